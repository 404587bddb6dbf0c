// SPDX-License-Identifier: Apache-2.0
#include "net/packet.h"

#include <algorithm>

namespace fulcrum {

namespace {

void reject(PacketFacts& facts, Verdict verdict) {
  facts.kind = PacketKind::kRejected;
  facts.verdict = verdict;
}

// RFC 1071 over a header of any length (a multiple of four).
bool ipv4_checksum_ok(const uint8_t* ip, unsigned bytes) {
  uint64_t sum = 0;
  for (unsigned at = 0; at < bytes; at += 4) sum += load_unaligned<uint32_t>(ip + at);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return sum == 0xffff;
}

// What lies in one piece from the IP header on.
unsigned contiguous(const rte_mbuf* packet, const PacketFacts& facts) {
  return rte_pktmbuf_data_len(packet) - static_cast<unsigned>(facts.ip - rte_pktmbuf_mtod(packet, const uint8_t*));
}
unsigned whole(const rte_mbuf* packet, const PacketFacts& facts) {
  return rte_pktmbuf_pkt_len(packet) - static_cast<unsigned>(facts.ip - rte_pktmbuf_mtod(packet, const uint8_t*));
}

// `have`: bytes of the transport header and payload that lie in one piece.
template <Family F>
void parse_transport(unsigned have, PacketView<F>& view) {
  constexpr IpProtocol kOwnIcmp = F == Family::kIpv4 ? IpProtocol::kIcmp : IpProtocol::kIcmpv6;
  const uint8_t* transport = view.transport();
  switch (view.key.protocol) {
    case IpProtocol::kTcp:
      if (have < kTcpBytes) return reject(view, Verdict::kBadTransport);
      view.tcp_flags = transport[13];
      break;
    case IpProtocol::kUdp:
      if (have < kUdpBytes) return reject(view, Verdict::kBadTransport);
      break;
    case IpProtocol::kSctp:
      // With the header of the first chunk, which says what it is.
      if (have < kSctpBytes + 4) return reject(view, Verdict::kBadTransport);
      break;
    case kOwnIcmp:
      if (have < kIcmpBytes) return reject(view, Verdict::kBadTransport);
      view.kind = PacketKind::kIcmp;
      return;
    default:
      view.kind = PacketKind::kOtherIp;
      return;
  }
  std::memcpy(&view.key.tuple.source_port, transport, 4);
  view.kind = PacketKind::kFlow;
}

}  // namespace

template <>
void parse_network(rte_mbuf* packet, PacketView<Family::kIpv4>& view) {
  const unsigned have = contiguous(packet, view);
  if (have < kIpv4Bytes) return reject(view, Verdict::kTruncated);
  const Ipv4Header& header = view.header();
  const unsigned header_bytes = header.header_bytes();
  const unsigned total = header.total_length.host();
  if (header.version_ihl >> 4 != 4 || header_bytes < kIpv4Bytes || total < header_bytes)
    return reject(view, Verdict::kBadIpHeader);
  if (have < header_bytes || whole(packet, view) < total) return reject(view, Verdict::kTruncated);
  if (!ipv4_checksum_ok(view.ip, header_bytes)) return reject(view, Verdict::kBadIpChecksum);
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
  parse_transport(std::min(have, total) - header_bytes, view);
}

bool walk_extension_headers(const uint8_t* ip, unsigned have, Ipv6Chain& chain) {
  constexpr unsigned kMostHeaders = 8;  // a sane packet has three at most (RFC 8200 section 4.1)
  if (have < kIpv6Bytes) return false;
  chain = {};
  chain.protocol = ip[chain.named_at];
  for (unsigned i = 0; i < kMostHeaders; ++i) {
    const uint8_t* at = ip + chain.offset;
    unsigned bytes;
    switch (static_cast<IpProtocol>(chain.protocol)) {
      case IpProtocol::kHopByHop:
      case IpProtocol::kRouting:
      case IpProtocol::kDestinationOptions:
        if (have < chain.offset + 8) return false;
        bytes = (at[1] + 1u) * 8;
        break;
      case IpProtocol::kAh:
        if (have < chain.offset + 8) return false;
        bytes = (at[1] + 2u) * 4;
        break;
      default:
        return true;
    }
    if (have < chain.offset + bytes) return false;
    chain.protocol = at[0];
    chain.named_at = chain.offset;
    chain.offset += bytes;
  }
  return false;
}

template <>
void parse_network(rte_mbuf* packet, PacketView<Family::kIpv6>& view) {
  const unsigned have = contiguous(packet, view);
  if (have < kIpv6Bytes) return reject(view, Verdict::kTruncated);
  const Ipv6Header& header = view.header();
  const unsigned total = kIpv6Bytes + header.payload_length.host();
  // No jumbograms: 0 would mean one (RFC 2675).
  if (view.ip[0] >> 4 != 6 || total > 0xffff || total == kIpv6Bytes) return reject(view, Verdict::kBadIpHeader);
  if (whole(packet, view) < total) return reject(view, Verdict::kTruncated);
  view.key.tuple.source = header.source;
  view.key.tuple.destination = header.destination;
  view.total_length = static_cast<uint16_t>(total);
  // Neighbour discovery asks from the unspecified address and speaks to groups; nothing else may.
  const bool unspecified = header.source == Ipv6Address{};
  const bool to_group = is_multicast(header.destination);
  if ((is_martian(header.source) && !unspecified) || (is_martian(header.destination) && !to_group))
    return reject(view, Verdict::kMartian);

  Ipv6Chain chain;
  if (!walk_extension_headers(view.ip, std::min(have, total), chain)) return reject(view, Verdict::kBadIpHeader);
  view.transport_offset = static_cast<uint16_t>(chain.offset);
  view.key.protocol = static_cast<IpProtocol>(chain.protocol);
  const unsigned transport = std::min(have, total) - chain.offset;
  if (view.key.protocol == IpProtocol::kFragment) {
    if (transport < sizeof(Ipv6FragmentHeader)) return reject(view, Verdict::kBadIpHeader);
    view.kind = PacketKind::kFragment;
  } else {
    parse_transport(transport, view);
  }
  if (view.kind == PacketKind::kRejected) return;
  if ((to_group || !view.to_our_mac) && view.kind != PacketKind::kIcmp) return reject(view, Verdict::kMulticast);
  if (unspecified && view.kind != PacketKind::kIcmp) return reject(view, Verdict::kMartian);
}

Family parse_link(rte_mbuf* packet, uint64_t mac, PacketFacts& facts) {
  const auto rejected = [&facts](Verdict verdict) {
    reject(facts, verdict);
    return Family::kNone;
  };
  facts = PacketFacts{};
  uint8_t* frame = rte_pktmbuf_mtod(packet, uint8_t*);
  const unsigned have = rte_pktmbuf_data_len(packet);
  if (have < kEthernetBytes) return rejected(Verdict::kTruncated);

  unsigned offset = kEthernetBytes;
  uint16_t type = load_unaligned<be16>(frame + 12).host();
  // AF_PACKET and stripping NICs hand the tag over as metadata; others leave it in the frame.
  if ((packet->ol_flags & RTE_MBUF_F_RX_VLAN) != 0 && (packet->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) != 0) {
    facts.vlan = packet->vlan_tci & 0xfff;
  } else if (type == kEtherTypeVlan) {
    if (have < kEthernetBytes + kVlanBytes) return rejected(Verdict::kTruncated);
    facts.vlan = load_unaligned<be16>(frame + 14).host() & 0xfff;
    type = load_unaligned<be16>(frame + 16).host();
    offset += kVlanBytes;
  }
  facts.ip = frame + offset;
  facts.to_our_mac = (load_unaligned<uint64_t>(frame) & 0x0000ffffffffffff) == mac;
  const bool is_group = (frame[0] & 1) != 0;

  if (type == kEtherTypeArp) {
    if (!facts.to_our_mac && !is_group) return rejected(Verdict::kOtherHost);
    if (have < offset + sizeof(ArpPacket)) return rejected(Verdict::kTruncated);
    facts.kind = PacketKind::kArp;
    return Family::kNone;
  }
  if (is_group && type != kEtherTypeIpv6) return rejected(Verdict::kMulticast);
  if (!is_group && !facts.to_our_mac) return rejected(Verdict::kOtherHost);
  if (type == kEtherTypeIpv6) return Family::kIpv6;
  return type == kEtherTypeIpv4 ? Family::kIpv4 : rejected(Verdict::kUnknownEtherType);
}

}  // namespace fulcrum
