// SPDX-License-Identifier: Apache-2.0
// How long a connection lives after a packet, by protocol and state. LVS's defaults.
#pragma once

#include "conn/sctp_state.h"
#include "conn/tcp_state.h"
#include "conn/udp_state.h"

namespace fulcrum {

inline constexpr unsigned kStateRoom = kTcpStateRoom;  // of every protocol
static_assert(kSctpStateRoom == kStateRoom);

// In seconds.
struct Timeouts {
  // By TcpState. What is no state gets the shortest.
  std::array<uint32_t, kStateRoom> tcp = {2, 900, 120, 60, 120, 120, 10, 60, 30, 120, 120, 2, 2, 2, 2, 2};
  std::array<uint32_t, kStateRoom> sctp = kSctpTimeoutSeconds;
  uint32_t udp = kUdpTimeoutSeconds;

  uint32_t of(TcpState state) const { return tcp[static_cast<unsigned>(state) & (kStateRoom - 1)]; }
  uint32_t& of(TcpState state) { return tcp[static_cast<unsigned>(state) & (kStateRoom - 1)]; }
  uint32_t& of(SctpState state) { return sctp[static_cast<unsigned>(state) & (kStateRoom - 1)]; }

  // An edit that changes nothing.
  static constexpr Timeouts keep() {
    Timeouts edit;
    edit.tcp.fill(0);
    edit.sctp.fill(0);
    edit.udp = 0;
    return edit;
  }
  // What is 0 in `edit` stays as it is, as with LVS's "--set tcp tcpfin udp".
  constexpr void set(const Timeouts& edit) {
    for (unsigned state = 0; state < kStateRoom; ++state) {
      if (edit.tcp[state] != 0) tcp[state] = edit.tcp[state];
      if (edit.sctp[state] != 0) sctp[state] = edit.sctp[state];
    }
    if (edit.udp != 0) udp = edit.udp;
  }
  bool operator==(const Timeouts&) const = default;
};

}  // namespace fulcrum
