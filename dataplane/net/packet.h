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

// A sum of all ones means the header is right (RFC 1071 section 1).
inline bool plain_ipv4_checksum_ok(const uint8_t* ip) {
  // Two sums of 32-bit words cannot carry out of 64 bits: five words.
  uint64_t sum = uint64_t{load_unaligned<uint32_t>(ip)} + load_unaligned<uint32_t>(ip + 4) +
                 load_unaligned<uint32_t>(ip + 8) + load_unaligned<uint32_t>(ip + 12) +
                 load_unaligned<uint32_t>(ip + 16);
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return (sum & 0xffff) + (sum >> 16) == 0xffff;
}

// The plain case; false: not plain, nothing decided. `mac` is the receiving port's own.
inline bool parse_plain(rte_mbuf* packet, uint64_t mac, PacketView& view) {
  uint8_t* frame = rte_pktmbuf_mtod(packet, uint8_t*);
  const uint32_t length = rte_pktmbuf_data_len(packet);
  if (length < kEthernetBytes + kIpv4Bytes + kUdpBytes || (packet->ol_flags & RTE_MBUF_F_RX_VLAN) != 0) [[unlikely]]
    return false;
  uint8_t* ip = frame + kEthernetBytes;
  const uint64_t destination_mac = load_unaligned<uint64_t>(frame) & 0x0000ffffffffffff;
  const uint16_t type = load_unaligned<uint16_t>(frame + 12);
  const uint16_t fragment = load_unaligned<uint16_t>(ip + 6);
  const uint8_t protocol = ip[9];
  const unsigned total = load_unaligned<be16>(ip + 2).host();
  const bool is_tcp = protocol == static_cast<uint8_t>(IpProtocol::kTcp);
  const unsigned least = kIpv4Bytes + (is_tcp ? kTcpBytes : kUdpBytes);
  // Every bit of the fragment word but DF must be clear.
  if (destination_mac != mac || type != be16::from_host(kEtherTypeIpv4).raw || ip[0] != 0x45 ||
      (fragment & be16::from_host(0xbfff).raw) != 0 ||
      !(is_tcp || protocol == static_cast<uint8_t>(IpProtocol::kUdp)) || total < least ||
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
  view.key.protocol = static_cast<IpProtocol>(protocol);
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
