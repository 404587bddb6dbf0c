// SPDX-License-Identifier: Apache-2.0
#include "net/packet.h"

namespace fulcrum {

namespace {

void reject(PacketView& view, Verdict verdict) {
  view.kind = PacketKind::kRejected;
  view.verdict = verdict;
}

// RFC 1071 over a header of any length (a multiple of four).
bool ipv4_checksum_ok(const uint8_t* ip, unsigned bytes) {
  uint64_t sum = 0;
  for (unsigned at = 0; at < bytes; at += 4) sum += load_unaligned<uint32_t>(ip + at);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return sum == 0xffff;
}

void parse_ipv4(uint8_t* ip, unsigned have, unsigned whole, PacketView& view) {
  if (have < kIpv4Bytes) return reject(view, Verdict::kTruncated);
  const auto& header = *reinterpret_cast<const Ipv4Header*>(ip);
  const unsigned header_bytes = header.header_bytes();
  const unsigned total = header.total_length.host();
  if (header.version_ihl >> 4 != 4 || header_bytes < kIpv4Bytes || total < header_bytes)
    return reject(view, Verdict::kBadIpHeader);
  if (have < header_bytes || whole < total) return reject(view, Verdict::kTruncated);
  if (!ipv4_checksum_ok(ip, header_bytes)) return reject(view, Verdict::kBadIpChecksum);
  if (is_martian(header.source) || is_martian(header.destination)) return reject(view, Verdict::kMartian);

  view.total_length = static_cast<uint16_t>(total);
  view.transport_offset = static_cast<uint16_t>(header_bytes);
  view.key.tuple.source = header.source;
  view.key.tuple.destination = header.destination;
  view.key.protocol = static_cast<IpProtocol>(header.protocol);
  if ((header.fragment.host() & (kIpv4MoreFragments | kIpv4OffsetMask)) != 0) {
    view.kind = PacketKind::kFragment;
    return;
  }
  // Headers must lie in the first segment; `have` is what that holds.
  const unsigned transport = (have < total ? have : total) - header_bytes;
  switch (view.key.protocol) {
    case IpProtocol::kTcp:
      if (transport < kTcpBytes) return reject(view, Verdict::kBadTransport);
      view.tcp_flags = ip[header_bytes + 13];
      break;
    case IpProtocol::kUdp:
      if (transport < kUdpBytes) return reject(view, Verdict::kBadTransport);
      break;
    case IpProtocol::kIcmp:
      if (transport < kIcmpBytes) return reject(view, Verdict::kBadTransport);
      view.kind = PacketKind::kIcmp;
      return;
    default:
      view.kind = PacketKind::kOtherIp;
      return;
  }
  std::memcpy(&view.key.tuple.source_port, ip + header_bytes, 4);
  view.kind = PacketKind::kFlow;
}

}  // namespace

void parse_any(rte_mbuf* packet, uint64_t mac, PacketView& view) {
  view = PacketView{};
  uint8_t* frame = rte_pktmbuf_mtod(packet, uint8_t*);
  const unsigned have = rte_pktmbuf_data_len(packet);
  const unsigned whole = rte_pktmbuf_pkt_len(packet);
  if (have < kEthernetBytes) return reject(view, Verdict::kTruncated);

  unsigned offset = kEthernetBytes;
  uint16_t type = load_unaligned<be16>(frame + 12).host();
  // AF_PACKET and stripping NICs hand the tag over as metadata; others leave it in the frame.
  if ((packet->ol_flags & RTE_MBUF_F_RX_VLAN) != 0 && (packet->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) != 0) {
    view.vlan = packet->vlan_tci & 0xfff;
  } else if (type == kEtherTypeVlan) {
    if (have < kEthernetBytes + kVlanBytes) return reject(view, Verdict::kTruncated);
    view.vlan = load_unaligned<be16>(frame + 14).host() & 0xfff;
    type = load_unaligned<be16>(frame + 16).host();
    offset += kVlanBytes;
  }
  view.ip = frame + offset;
  view.to_our_mac = (load_unaligned<uint64_t>(frame) & 0x0000ffffffffffff) == mac;
  const bool is_group = (frame[0] & 1) != 0;

  if (type == kEtherTypeArp) {
    if (!view.to_our_mac && !is_group) return reject(view, Verdict::kOtherHost);
    if (have < offset + sizeof(ArpPacket)) return reject(view, Verdict::kTruncated);
    view.kind = PacketKind::kArp;
    return;
  }
  if (is_group) return reject(view, type == kEtherTypeIpv6 ? Verdict::kIpv6Ignored : Verdict::kMulticast);
  if (!view.to_our_mac) return reject(view, Verdict::kOtherHost);
  if (type == kEtherTypeIpv6) return reject(view, Verdict::kIpv6Ignored);
  if (type != kEtherTypeIpv4) return reject(view, Verdict::kUnknownEtherType);
  parse_ipv4(view.ip, have - offset, whole - offset, view);
}

}  // namespace fulcrum
