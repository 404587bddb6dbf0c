// SPDX-License-Identifier: Apache-2.0
// TUN: the client's packet, TTL already decremented, goes whole into an outer packet: IPIP (RFC 2003, RFC 2473, RFC
// 4213), GUE or GRE (RFC 2784), between any two address families. LVS derives the outer header from the inner one: TTL,
// DSCP and DF copied, ECN copied with CE becoming ECT(0), id 0 where DF is set. Also how to recognise such a packet in
// an ICMP error about it.
#pragma once

#include "net/chain.h"
#include "net/headers.h"
#include "service/tunnel_settings.h"

namespace fulcrum {

inline constexpr unsigned kIpipBytes = kIpv4Bytes;

constexpr bool gre_has_checksum(const TunnelSettings& settings) { return settings.checksum == TunnelChecksum::kFull; }

// What stands between the outer IP header and the inner one.
constexpr unsigned tunnel_header_bytes(const TunnelSettings& settings) {
  switch (settings.type) {
    case TunnelType::kIpip:
      return 0;
    case TunnelType::kGue:
      return kUdpBytes + kGueBytes;
    case TunnelType::kGre:
      return gre_has_checksum(settings) ? kGreChecksumBytes : kGreBytes;
  }
  return 0;
}

constexpr unsigned tunnel_overhead(const TunnelSettings& settings, Family outer) {
  return (outer == Family::kIpv6 ? kIpv6Bytes : kIpv4Bytes) + tunnel_header_bytes(settings);
}

// An outer packet has 16 bits for its length too.
constexpr bool tunnel_holds(const TunnelSettings& settings, Family outer, unsigned inner_length) {
  const unsigned uncounted = outer == Family::kIpv6 ? kIpv6Bytes : 0;
  return tunnel_overhead(settings, outer) - uncounted + inner_length <= 0xffff;
}

// What an outer header takes from the inner one.
struct InnerFields {
  unsigned length;
  uint8_t traffic_class;
  uint8_t hop_limit;
  bool dont_fragment;
  Family family;
};

inline InnerFields inner_fields(const Ipv4Header& ip) {
  return {ip.total_length.host(), ip.tos, ip.ttl, (ip.fragment.host() & kIpv4DontFragment) != 0, Family::kIpv4};
}
// IPv6 is not fragmented on the way, but LVS lets what carries it be.
inline InnerFields inner_fields(const Ipv6Header& ip) {
  return {ip.total_length(), ip.traffic_class(), ip.hop_limit, false, Family::kIpv6};
}

constexpr uint8_t outer_traffic_class(uint8_t inner) {
  constexpr uint8_t kEcnMask = 0x03, kEcnCe = 0x03, kEcnEct0 = 0x02;
  return static_cast<uint8_t>((inner & kEcnMask) == kEcnCe ? (inner & ~kEcnMask) | kEcnEct0 : inner);
}

// `between`: bytes of the tunnel's own header. `id` is used where the packet may be fragmented.
inline void write_outer(Ipv4Header& outer, const InnerFields& inner, IpProtocol protocol, unsigned between, be32 source,
                        be32 destination, bool dont_fragment, be16 id) {
  Ipv4Header header;
  header.version_ihl = 0x45;
  header.tos = outer_traffic_class(inner.traffic_class);
  header.total_length = be16::from_host(static_cast<uint16_t>(inner.length + kIpv4Bytes + between));
  header.id = dont_fragment ? be16{} : id;
  header.fragment = be16::from_host(dont_fragment ? kIpv4DontFragment : 0);
  header.ttl = inner.hop_limit;
  header.protocol = static_cast<uint8_t>(protocol);
  header.source = source;
  header.destination = destination;
  // From the values, not from memory that was written in other pieces a moment ago. First byte of a word: low.
  const uint64_t sum = uint64_t{header.version_ihl} + (uint64_t{header.tos} << 8) + header.total_length.raw +
                       header.id.raw + header.fragment.raw + header.ttl + (uint64_t{header.protocol} << 8) +
                       header.source.raw + header.destination.raw;
  header.checksum = complement_sum(sum);
  outer = header;
}

inline void write_outer(Ipv6Header& outer, const InnerFields& inner, IpProtocol protocol, unsigned between,
                        const Ipv6Address& source, const Ipv6Address& destination) {
  Ipv6Header header;
  header.version_class_flow = be32::from_host(6u << 28 | uint32_t{outer_traffic_class(inner.traffic_class)} << 20);
  header.payload_length = be16::from_host(static_cast<uint16_t>(inner.length + between));
  header.next_header = static_cast<uint8_t>(protocol);
  header.hop_limit = inner.hop_limit;
  header.source = source;
  header.destination = destination;
  outer = header;
}

// IPv4 in IPv4, the common case: the twenty bytes before the inner header.
inline void write_ipip(Ipv4Header& outer, const Ipv4Header& inner, be32 source, be32 destination, be16 id,
                       bool path_mtu_discovery = true) {
  const InnerFields fields = inner_fields(inner);
  write_outer(outer, fields, IpProtocol::kIpip, 0, source, destination, fields.dont_fragment && path_mtu_discovery, id);
}

// What a packet brings along besides its own header.
struct TunnelPacket {
  be16 id;                         // random; used where the outer IPv4 packet may be fragmented
  bool path_mtu_discovery = true;  // LVS's pmtu_disc: copy DF
  uint32_t flow_hash = 0;          // of the inner packet: the source port of GUE
};

// The source ports of GUE: the local range that Linux has by default, where LVS takes them from.
inline constexpr uint16_t kLeastTunnelPort = 32768, kGreatestTunnelPort = 60999;
constexpr uint16_t tunnel_source_port(uint32_t flow_hash) {
  constexpr uint32_t kPorts = kGreatestTunnelPort - kLeastTunnelPort + 1;
  return static_cast<uint16_t>(kLeastTunnelPort + ((uint64_t{flow_hash} * kPorts) >> 32));
}

// Writes the outer headers into the tunnel_overhead() bytes before `inner`, which points to the datagram's header in
// the first buffer of `packet`. The caller has seen to room there, to tunnel_holds(), and to it that nothing stands
// behind the datagram.
template <Family kOuter, Family kInner>
void write_tunnel(const rte_mbuf* packet, uint8_t* inner, const TunnelSettings& settings,
                  const AddressOf<kOuter>& source, const AddressOf<kOuter>& destination, const TunnelPacket& brings);

// One of our own tunnel packets, as an ICMP error quotes it.
struct TunnelQuote {
  TunnelType type = TunnelType::kIpip;
  Family inner_family = Family::kNone;
  uint16_t inner_offset = 0;  // from the outer header; also by how much the outer packet was longer
  uint16_t port = 0;          // GUE: where to
  Address source;
  Address destination;
};

// `quote` begins with the outer IP header. False: not what write_tunnel() makes, or too short to hold the inner IP
// header. Whether the addresses (and the port of GUE) are those of a tunnel of ours is for the caller to look up.
bool parse_tunnel_quote(const uint8_t* quote, size_t size, TunnelQuote& found);

}  // namespace fulcrum
