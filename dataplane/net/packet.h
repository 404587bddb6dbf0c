// SPDX-License-Identifier: Apache-2.0
// What is read of a frame, once: where its headers are and which flow it belongs to. The plain case (untagged IPv4
// without options or fragments, TCP or UDP) is decided with a handful of loads; everything else goes to parse_any().
#pragma once

#include <rte_mbuf.h>

#include "core/verdict.h"
#include "net/flow_key.h"
#include "net/headers.h"

namespace fulcrum {

enum class PacketKind : uint8_t {
  kFlow,      // TCP or UDP over IPv4, whole: key and flags are set
  kIcmp,      // ICMP over IPv4, whole
  kFragment,  // any piece of a fragmented IPv4 datagram
  kOtherIp,   // IPv4 with another protocol
  kArp,
  kRejected,  // `verdict` says why
};

struct PacketView {
  uint8_t* ip = nullptr;          // start of the IP (or ARP) header
  uint16_t total_length = 0;      // of the IP datagram
  uint16_t transport_offset = 0;  // from `ip`
  uint16_t vlan = 0;
  PacketKind kind = PacketKind::kRejected;
  Verdict verdict = Verdict::kUnknownEtherType;
  uint8_t tcp_flags = 0;
  bool to_our_mac = false;
  FlowKey<Family::kIpv4> key;

  Ipv4Header& ipv4() const { return *reinterpret_cast<Ipv4Header*>(ip); }
  uint8_t* transport() const { return ip + transport_offset; }
};

// Never the address of a host on a wire: multicast and above, loopback, "this network" (RFC 1122 section 3.2.1.3).
inline bool is_martian(be32 address) {
  const uint32_t host = address.host();
  return host >= 0xe0000000u || host >> 24 == 127 || host >> 24 == 0;
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
inline bool parse_plain(rte_mbuf* packet, uint64_t mac, PacketView& view) {
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

// Any frame. Never reads beyond the first segment of the packet.
void parse_any(rte_mbuf* packet, uint64_t mac, PacketView& view);

// The MAC as parse_plain() compares it: six bytes as they lie in memory.
inline uint64_t mac_value(const MacAddress& mac) {
  uint64_t value = 0;
  std::memcpy(&value, mac.data(), mac.size());
  return value;
}

}  // namespace fulcrum
