// SPDX-License-Identifier: Apache-2.0
// What a reassembled datagram remembers of its fragments, as LVS goes by it: it is sent on in pieces no longer than
// they came. Kept in a dynamic field of the mbuf, so that it crosses rings with the packet.
#pragma once

#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>

#include "net/address.h"

namespace fulcrum {

// The fragments that a datagram came in.
struct FragmentsSeen {
  uint16_t longest = 0;  // in bytes, IP headers included; 0: the packet came whole
  uint16_t part = 0;     // what all but the last carry, which carries no more; 0: they differ, or it was only one
  uint16_t payload = 0;  // what all of them carry
  Family family = Family::kNone;
  bool dont_fragment = false;  // the longest had DF set
};

namespace fragment_limit_parts {
inline int field_offset = -1;
inline uint64_t flag = 0;  // in ol_flags, which every allocation clears, unlike the field
}  // namespace fragment_limit_parts

// Reserves the field, once a process; EAL must run. False: no room in the mbuf.
bool register_fragment_limit();

inline void set_fragments_seen(rte_mbuf* packet, const FragmentsSeen& seen) {
  using namespace fragment_limit_parts;
  if (field_offset < 0) return;
  *RTE_MBUF_DYNFIELD(packet, field_offset, FragmentsSeen*) = seen;
  packet->ol_flags |= flag;
}

inline FragmentsSeen fragments_seen(const rte_mbuf* packet) {
  using namespace fragment_limit_parts;
  if ((packet->ol_flags & flag) == 0) [[likely]]
    return {};
  return *RTE_MBUF_DYNFIELD(packet, field_offset, const FragmentsSeen*);
}

// 0: the packet came whole.
inline unsigned fragment_limit(const rte_mbuf* packet) { return fragments_seen(packet).longest; }

inline bool fragments_had_dont_fragment(const rte_mbuf* packet) { return fragments_seen(packet).dont_fragment; }

}  // namespace fulcrum
