// SPDX-License-Identifier: Apache-2.0
// What a reassembled datagram remembers of its fragments, as LVS goes by it: it is sent on in pieces no longer than
// they came. Kept in a dynamic field of the mbuf, so that it crosses rings with the packet.
#pragma once

#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>

#include "net/byte_order.h"

namespace fulcrum {

namespace fragment_limit_parts {
inline int field_offset = -1;
inline uint64_t flag = 0;  // in ol_flags, which every allocation clears, unlike the field
inline constexpr uint32_t kDontFragment = 1u << 16;
}  // namespace fragment_limit_parts

// Reserves the field, once a process; EAL must run. False: no room in the mbuf.
bool register_fragment_limit();

// `bytes`: of the longest IP fragment, headers included. `dont_fragment`: it had DF set.
inline void set_fragment_limit(rte_mbuf* packet, uint16_t bytes, bool dont_fragment) {
  using namespace fragment_limit_parts;
  if (field_offset < 0) return;
  *RTE_MBUF_DYNFIELD(packet, field_offset, uint32_t*) = bytes | (dont_fragment ? kDontFragment : 0);
  packet->ol_flags |= flag;
}

// 0: the packet came whole.
inline unsigned fragment_limit(const rte_mbuf* packet) {
  using namespace fragment_limit_parts;
  if ((packet->ol_flags & flag) == 0) [[likely]]
    return 0;
  return static_cast<uint16_t>(*RTE_MBUF_DYNFIELD(packet, field_offset, const uint32_t*));
}

inline bool fragments_had_dont_fragment(const rte_mbuf* packet) {
  using namespace fragment_limit_parts;
  return (packet->ol_flags & flag) != 0 &&
         (*RTE_MBUF_DYNFIELD(packet, field_offset, const uint32_t*) & kDontFragment) != 0;
}

}  // namespace fulcrum
