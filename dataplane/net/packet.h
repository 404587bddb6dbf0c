// SPDX-License-Identifier: Apache-2.0
// What is read of a frame, once: where its headers are and which flow it belongs to. The plain case (untagged, TCP or
// UDP, no options, extension headers or fragments) is decided with a handful of loads; everything else goes through
// parse_link() and parse_network().
#pragma once

#include <rte_mbuf.h>

#include <algorithm>
#include <span>

#include "core/verdict.h"
#include "net/flow_key.h"
#include "net/headers.h"

namespace fulcrum {

enum class PacketKind : uint8_t {
  kFlow,      // TCP, UDP or SCTP, whole: key and flags are set
  kIcmp,      // ICMP of the packet's family, whole
  kFragment,  // any piece of a fragmented datagram
  kOtherIp,   // another protocol
  kArp,
  kRejected,  // `verdict` says why
};

struct PacketFacts {
  uint8_t* ip = nullptr;          // start of the IP (or ARP) header
  uint16_t total_length = 0;      // of the IP datagram, header included
  uint16_t transport_offset = 0;  // from `ip`; of a fragment of IPv6: where its fragment header is
  uint16_t vlan = 0;
  PacketKind kind = PacketKind::kRejected;
  Verdict verdict = Verdict::kUnknownEtherType;
  uint8_t tcp_flags = 0;
  bool to_our_mac = false;

  uint8_t* transport() const { return ip + transport_offset; }
};

// The datagram's bytes from `offset` (from its IP header) on, as far as they lie in the first buffer.
inline std::span<const uint8_t> bytes_from(const rte_mbuf* packet, const PacketFacts& facts, unsigned offset) {
  const uint8_t* end = rte_pktmbuf_mtod(packet, const uint8_t*) + rte_pktmbuf_data_len(packet);
  const uint8_t* first = facts.ip + offset;
  const uint8_t* last = std::min<const uint8_t*>(end, facts.ip + facts.total_length);
  return first < last ? std::span<const uint8_t>(first, last) : std::span<const uint8_t>();
}
// Of an SCTP packet: what follows the common header (RFC 9260 section 3).
inline std::span<const uint8_t> chunks_of(const rte_mbuf* packet, const PacketFacts& facts) {
  return bytes_from(packet, facts, facts.transport_offset + kSctpBytes);
}

template <Family F>
using IpHeaderOf = std::conditional_t<F == Family::kIpv4, Ipv4Header, Ipv6Header>;

template <Family F>
struct PacketView : PacketFacts {
  FlowKey<F> key;

  IpHeaderOf<F>& header() const { return *reinterpret_cast<IpHeaderOf<F>*>(ip); }
  uint8_t& ttl() const {
    if constexpr (F == Family::kIpv4) return header().ttl;
    if constexpr (F == Family::kIpv6) return header().hop_limit;
  }
  uint8_t traffic_class() const {
    if constexpr (F == Family::kIpv4) return header().tos;
    if constexpr (F == Family::kIpv6) return header().traffic_class();
  }
};

// Never the address of a host on a wire: multicast and above, loopback, "this network" (RFC 1122 section 3.2.1.3).
inline bool is_martian(be32 address) {
  const uint32_t host = address.host();
  return host >= 0xe0000000u || host >> 24 == 127 || host >> 24 == 0;
}
// Multicast, unspecified, loopback, IPv4-mapped (RFC 4291 sections 2.5 and 2.7).
inline bool is_martian(const Ipv6Address& address) {
  constexpr uint64_t kMapped = be64::from_host(0x0000ffff00000000u).raw;
  constexpr uint64_t kMappedMask = be64::from_host(0xffffffff00000000u).raw;
  if ((address.high & 0xff) == 0xff) return true;
  if (address.high != 0) return false;
  return address.low == 0 || address.low == be64::from_host(1).raw || (address.low & kMappedMask) == kMapped;
}

// A sum of all ones means the header is right (RFC 1071 section 1). One's complement sums are sums modulo 2^16 - 1, and
// this one is never zero, so all ones means divisible; for a constant divisor that is one multiplication.
inline bool plain_ipv4_checksum_ok(const uint8_t* ip) {
  // Five words of 32 bits cannot carry out of 64.
  const uint64_t sum = uint64_t{load_unaligned<uint32_t>(ip)} + load_unaligned<uint32_t>(ip + 4) +
                       load_unaligned<uint32_t>(ip + 8) + load_unaligned<uint32_t>(ip + 12) +
                       load_unaligned<uint32_t>(ip + 16);
  return sum % 0xffff == 0;
}

// The plain case; false: not plain, nothing decided. `mac` is the receiving port's own.
inline bool parse_plain(rte_mbuf* packet, uint64_t mac, PacketView<Family::kIpv4>& view) {
  uint8_t* frame = rte_pktmbuf_mtod(packet, uint8_t*);
  const uint32_t length = rte_pktmbuf_data_len(packet);
  if (length < kEthernetBytes + kIpv4Bytes + kUdpBytes || (packet->ol_flags & RTE_MBUF_F_RX_VLAN) != 0) [[unlikely]]
    return false;
  uint8_t* ip = frame + kEthernetBytes;
  // One word each: EtherType, version and header length, TOS; fragment word, TTL, protocol. As they lie in memory.
  constexpr uint32_t kTypeMask = 0x00ffffff, kPlainType = 0x00450008;
  constexpr uint32_t kFragmentMask = 0x0000ffbf;  // every bit of the fragment word but DF
  const uint64_t destination_mac = load_unaligned<uint64_t>(frame) << 16;
  const uint32_t type = load_unaligned<uint32_t>(frame + 12) & kTypeMask;
  const uint32_t fragment = load_unaligned<uint32_t>(ip + 6);
  const auto protocol = static_cast<IpProtocol>(fragment >> 24);
  const unsigned total = load_unaligned<be16>(ip + 2).host();
  const bool is_tcp = protocol == IpProtocol::kTcp;
  if (destination_mac != mac << 16 || type != kPlainType || (fragment & kFragmentMask) != 0 ||
      !(is_tcp || protocol == IpProtocol::kUdp) || total < kIpv4Bytes + (is_tcp ? kTcpBytes : kUdpBytes) ||
      total + kEthernetBytes > length || !plain_ipv4_checksum_ok(ip)) [[unlikely]]
    return false;
  view.ip = ip;
  view.total_length = static_cast<uint16_t>(total);
  view.transport_offset = kIpv4Bytes;
  view.kind = PacketKind::kFlow;
  view.vlan = 0;
  view.to_our_mac = true;
  view.tcp_flags = is_tcp ? ip[kIpv4Bytes + 13] : 0;
  std::memcpy(&view.key.tuple.source, ip + 12, 8);
  std::memcpy(&view.key.tuple.source_port, ip + kIpv4Bytes, 4);
  view.key.protocol = protocol;
  return true;
}

inline bool parse_plain(rte_mbuf* packet, uint64_t mac, PacketView<Family::kIpv6>& view) {
  uint8_t* frame = rte_pktmbuf_mtod(packet, uint8_t*);
  const uint32_t length = rte_pktmbuf_data_len(packet);
  if (length < kEthernetBytes + kIpv6Bytes + kUdpBytes || (packet->ol_flags & RTE_MBUF_F_RX_VLAN) != 0) return false;
  uint8_t* ip = frame + kEthernetBytes;
  constexpr uint32_t kTypeMask = 0x00f0ffff, kPlainType = 0x0060dd86;  // EtherType, version
  const uint64_t destination_mac = load_unaligned<uint64_t>(frame) << 16;
  const auto protocol = static_cast<IpProtocol>(ip[6]);
  const unsigned payload = load_unaligned<be16>(ip + 4).host();
  const bool is_tcp = protocol == IpProtocol::kTcp;
  if (destination_mac != mac << 16 || (load_unaligned<uint32_t>(frame + 12) & kTypeMask) != kPlainType ||
      !(is_tcp || protocol == IpProtocol::kUdp) || payload < (is_tcp ? kTcpBytes : kUdpBytes) ||
      payload + kIpv6Bytes + kEthernetBytes > length || payload > 0xffff - kIpv6Bytes)
    return false;
  view.ip = ip;
  view.total_length = static_cast<uint16_t>(payload + kIpv6Bytes);
  view.transport_offset = kIpv6Bytes;
  view.kind = PacketKind::kFlow;
  view.vlan = 0;
  view.to_our_mac = true;
  view.tcp_flags = is_tcp ? ip[kIpv6Bytes + 13] : 0;
  std::memcpy(&view.key.tuple.source, ip + 8, 32);
  std::memcpy(&view.key.tuple.source_port, ip + kIpv6Bytes, 4);
  view.key.protocol = protocol;
  return true;
}

// Any frame's link header. The family of the IP packet that begins at facts.ip; kNone: facts.kind says what it is.
// `mac` is the receiving port's own.
Family parse_link(rte_mbuf* packet, uint64_t mac, PacketFacts& facts);
// The IP packet at view.ip, into view. Never reads beyond the first segment.
template <Family F>
void parse_network(rte_mbuf* packet, PacketView<F>& view);

// Walks the extension headers of an IPv6 packet of which `have` bytes lie at `ip`, up to what is none, or to a fragment
// header. False: they do not end within these bytes, or there are too many.
struct Ipv6Chain {
  unsigned offset = kIpv6Bytes;  // of what follows the last extension header, or of the fragment header
  uint8_t protocol = 0;          // of what follows
  unsigned named_at = 6;         // offset of the byte that names `protocol`
};
bool walk_extension_headers(const uint8_t* ip, unsigned have, Ipv6Chain& chain);

// The MAC as parse_plain() compares it: six bytes as they lie in memory.
inline uint64_t mac_value(const MacAddress& mac) {
  uint64_t value = 0;
  std::memcpy(&value, mac.data(), mac.size());
  return value;
}

}  // namespace fulcrum
