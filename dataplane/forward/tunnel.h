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
  Ipv4Header header;
  header.version_ihl = 0x45;
  header.tos = static_cast<uint8_t>((inner.tos & ~kEcnMask) | (ecn == kEcnCe ? kEcnEct0 : ecn));
  header.total_length = be16::from_host(static_cast<uint16_t>(inner.total_length.host() + kIpipBytes));
  header.id = dont_fragment ? be16{} : id;
  header.fragment = be16::from_host(dont_fragment ? kIpv4DontFragment : 0);
  header.ttl = inner.ttl;
  header.protocol = static_cast<uint8_t>(IpProtocol::kIpip);
  header.source = source;
  header.destination = destination;
  // From the values, not from memory that was written in other pieces a moment ago. First byte of a word: low.
  const uint64_t sum = uint64_t{header.version_ihl} + (uint64_t{header.tos} << 8) + header.total_length.raw +
                       header.id.raw + header.fragment.raw + header.ttl + (uint64_t{header.protocol} << 8) +
                       header.source.raw + header.destination.raw;
  header.checksum = complement_sum(sum);
  outer = header;
}

}  // namespace fulcrum
