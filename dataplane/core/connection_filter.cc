// SPDX-License-Identifier: Apache-2.0
#include "core/connection_filter.h"

#include "conn/sctp_state.h"
#include "conn/tcp_state.h"
#include "conn/udp_state.h"

namespace fulcrum {

std::optional<StateSet> StateSet::named(std::string_view name) {
  StateSet set;
  set.tcp = set.sctp = set.templates = 0;
  for (unsigned state = 0; state < kTcpStates; ++state)
    if (tcp_state_name(static_cast<TcpState>(state)) == name) set.tcp |= 1u << state;
  for (unsigned state = 0; state < kSctpStates; ++state)
    if (sctp_state_name(static_cast<SctpState>(state)) == name) set.sctp |= 1u << state;
  set.udp = name == kUdpStateName;
  if (name == "NONE") set.templates |= 1;
  if (name == "ASSURED") set.templates |= 2;
  if (set.tcp == 0 && set.sctp == 0 && !set.udp && set.templates == 0) return std::nullopt;
  return set;
}

}  // namespace fulcrum
