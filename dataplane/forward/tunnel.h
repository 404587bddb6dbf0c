// SPDX-License-Identifier: Apache-2.0
// TUN: the client's packet, TTL already decremented, goes whole into an outer IPv4 packet (IPIP, RFC 2003) whose fields
// LVS derives from the inner ones: TTL and DSCP and DF copied, ECN copied with CE becoming ECT(0), id 0 where DF is
// set.
#pragma once

#include "net/checksum.h"
#include "net/headers.h"

namespace fulcrum {

inline constexpr unsigned kIpipBytes = kIpv4Bytes;

// Fills `outer`; `id` is used where the packet may be fragmented.
inline void write_ipip(Ipv4Header& outer, const Ipv4Header& inner, be32 source, be32 destination, be16 id) {
  constexpr uint8_t kEcnMask = 0x03, kEcnCe = 0x03, kEcnEct0 = 0x02;
  const bool dont_fragment = (inner.fragment.host() & kIpv4DontFragment) != 0;
  const uint8_t ecn = inner.tos & kEcnMask;
  outer.version_ihl = 0x45;
  outer.tos = static_cast<uint8_t>((inner.tos & ~kEcnMask) | (ecn == kEcnCe ? kEcnEct0 : ecn));
  outer.total_length = be16::from_host(static_cast<uint16_t>(inner.total_length.host() + kIpipBytes));
  outer.id = dont_fragment ? be16{} : id;
  outer.fragment = be16::from_host(dont_fragment ? kIpv4DontFragment : 0);
  outer.ttl = inner.ttl;
  outer.protocol = static_cast<uint8_t>(IpProtocol::kIpip);
  outer.checksum = be16{};
  outer.source = source;
  outer.destination = destination;
  outer.checksum = internet_checksum(&outer, sizeof outer);
}

}  // namespace fulcrum
