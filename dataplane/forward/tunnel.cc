// SPDX-License-Identifier: Apache-2.0
#include "forward/tunnel.h"

namespace fulcrum {

namespace {

constexpr IpProtocol protocol_of_inner(Family inner) {
  return inner == Family::kIpv4 ? IpProtocol::kIpip : IpProtocol::kIpv6;
}

constexpr IpProtocol protocol_of(TunnelType type, Family inner) {
  switch (type) {
    case TunnelType::kIpip:
      return protocol_of_inner(inner);
    case TunnelType::kGue:
      return IpProtocol::kUdp;
    case TunnelType::kGre:
      return IpProtocol::kGre;
  }
  return protocol_of_inner(inner);
}

// RFC 768; over IPv6 a tunnel may go without a checksum too (RFC 6935).
template <typename AnyAddress>
void write_gue(uint8_t* at, Family inner, unsigned inner_length, const TunnelSettings& settings,
               const AnyAddress& source, const AnyAddress& destination, uint32_t flow_hash, const rte_mbuf* packet,
               uint32_t inner_offset) {
  struct {
    UdpHeader udp;
    GueHeader gue;
  } header;
  static_assert(sizeof header == kUdpBytes + kGueBytes);
  const unsigned length = sizeof header + inner_length;
  header.udp.source_port = be16::from_host(tunnel_source_port(flow_hash));
  header.udp.destination_port = be16::from_host(settings.port);
  header.udp.length = be16::from_host(static_cast<uint16_t>(length));
  header.udp.checksum = be16{};
  header.gue.version_control_length = 0;
  header.gue.protocol = static_cast<uint8_t>(protocol_of_inner(inner));
  header.gue.flags = be16{};
  if (settings.checksum != TunnelChecksum::kNone) {
    const uint64_t sum =
        add_to_sum(pseudo_header_sum(source, destination, IpProtocol::kUdp, length), &header, sizeof header) +
        sum_of_data(packet, inner_offset, inner_length);
    header.udp.checksum = udp_on_wire(complement_sum(sum));
  }
  store_unaligned(at, header);
}

// RFC 2784 section 2: the checksum is of the GRE header and what follows it.
void write_gre(uint8_t* at, Family inner, unsigned inner_length, const TunnelSettings& settings, const rte_mbuf* packet,
               uint32_t inner_offset) {
  GreChecksumHeader header{};
  header.base.protocol = be16::from_host(inner == Family::kIpv4 ? kEtherTypeIpv4 : kEtherTypeIpv6);
  if (!gre_has_checksum(settings)) return store_unaligned(at, header.base);
  header.base.flags_version = be16::from_host(kGreChecksumPresent);
  header.checksum = complement_sum(add_to_sum(sum_of_data(packet, inner_offset, inner_length), &header, sizeof header));
  store_unaligned(at, header);
}

// Where the outer header ends and what follows it. IPv4 fragments other than the first do not show the inner packet.
bool parse_outer(const uint8_t* quote, size_t size, TunnelQuote& found, size_t& end, IpProtocol& protocol) {
  if (size < 1) return false;
  if (quote[0] >> 4 == 4) {
    if (size < kIpv4Bytes) return false;
    const auto header = load_unaligned<Ipv4Header>(quote);
    end = header.header_bytes();
    // We write no options.
    if (end != kIpv4Bytes || (header.fragment.host() & kIpv4OffsetMask) != 0) return false;
    protocol = static_cast<IpProtocol>(header.protocol);
    found.source = Address::from(header.source);
    found.destination = Address::from(header.destination);
    return true;
  }
  if (quote[0] >> 4 != 6 || size < kIpv6Bytes) return false;
  const auto header = load_unaligned<Ipv6Header>(quote);
  end = kIpv6Bytes;
  protocol = static_cast<IpProtocol>(header.next_header);
  found.source = Address::from(header.source);
  found.destination = Address::from(header.destination);
  if (protocol != IpProtocol::kFragment) return true;
  // We cut outer packets where pmtu_disc is off.
  if (size < end + kIpv6FragmentBytes) return false;
  const auto fragment = load_unaligned<Ipv6FragmentHeader>(quote + end);
  end += kIpv6FragmentBytes;
  protocol = static_cast<IpProtocol>(fragment.next_header);
  return (fragment.offset_more.host() & kIpv6OffsetMask) == 0;
}

bool set_inner_by_protocol(uint8_t protocol, TunnelQuote& found) {
  if (protocol == static_cast<uint8_t>(IpProtocol::kIpip))
    found.inner_family = Family::kIpv4;
  else if (protocol == static_cast<uint8_t>(IpProtocol::kIpv6))
    found.inner_family = Family::kIpv6;
  else
    return false;
  return true;
}

bool parse_gue(const uint8_t* at, size_t left, TunnelQuote& found, size_t& bytes) {
  bytes = kUdpBytes + kGueBytes;
  if (left < bytes) return false;
  found.type = TunnelType::kGue;
  found.port = load_unaligned<UdpHeader>(at).destination_port.host();
  const auto gue = load_unaligned<GueHeader>(at + kUdpBytes);
  return gue.version_control_length == 0 && gue.flags.raw == 0 && set_inner_by_protocol(gue.protocol, found);
}

bool parse_gre(const uint8_t* at, size_t left, TunnelQuote& found, size_t& bytes) {
  if (left < kGreBytes) return false;
  found.type = TunnelType::kGre;
  const auto gre = load_unaligned<GreHeader>(at);
  const uint16_t flags = gre.flags_version.host();
  if (flags != 0 && flags != kGreChecksumPresent) return false;
  bytes = flags == 0 ? kGreBytes : kGreChecksumBytes;
  if (gre.protocol.host() == kEtherTypeIpv4)
    found.inner_family = Family::kIpv4;
  else if (gre.protocol.host() == kEtherTypeIpv6)
    found.inner_family = Family::kIpv6;
  else
    return false;
  return true;
}

}  // namespace

template <Family kOuter, Family kInner>
void write_tunnel(const rte_mbuf* packet, uint8_t* inner, const TunnelSettings& settings,
                  const AddressOf<kOuter>& source, const AddressOf<kOuter>& destination, const TunnelPacket& brings) {
  using InnerHeader = std::conditional_t<kInner == Family::kIpv4, Ipv4Header, Ipv6Header>;
  using OuterHeader = std::conditional_t<kOuter == Family::kIpv4, Ipv4Header, Ipv6Header>;
  const InnerFields fields = inner_fields(*reinterpret_cast<const InnerHeader*>(inner));
  const unsigned between = tunnel_header_bytes(settings);
  const auto inner_offset = static_cast<uint32_t>(inner - rte_pktmbuf_mtod(packet, const uint8_t*));
  if (settings.type == TunnelType::kGue)
    write_gue(inner - between, kInner, fields.length, settings, source, destination, brings.flow_hash, packet,
              inner_offset);
  else if (settings.type == TunnelType::kGre)
    write_gre(inner - between, kInner, fields.length, settings, packet, inner_offset);

  auto& outer = *reinterpret_cast<OuterHeader*>(inner - between - sizeof(OuterHeader));
  const IpProtocol protocol = protocol_of(settings.type, kInner);
  if constexpr (kOuter == Family::kIpv4)
    write_outer(outer, fields, protocol, between, source, destination,
                fields.dont_fragment && brings.path_mtu_discovery, brings.id);
  else
    write_outer(outer, fields, protocol, between, source, destination);
}

#define FULCRUM_WRITE_TUNNEL(outer, inner)                                                                            \
  template void write_tunnel<outer, inner>(const rte_mbuf*, uint8_t*, const TunnelSettings&, const AddressOf<outer>&, \
                                           const AddressOf<outer>&, const TunnelPacket&);
FULCRUM_WRITE_TUNNEL(Family::kIpv4, Family::kIpv4)
FULCRUM_WRITE_TUNNEL(Family::kIpv4, Family::kIpv6)
FULCRUM_WRITE_TUNNEL(Family::kIpv6, Family::kIpv4)
FULCRUM_WRITE_TUNNEL(Family::kIpv6, Family::kIpv6)
#undef FULCRUM_WRITE_TUNNEL

bool parse_tunnel_quote(const uint8_t* quote, size_t size, TunnelQuote& found) {
  found = TunnelQuote{};
  size_t end = 0, between = 0;
  IpProtocol protocol{};
  if (!parse_outer(quote, size, found, end, protocol)) return false;
  switch (protocol) {
    case IpProtocol::kUdp:
      if (!parse_gue(quote + end, size - end, found, between)) return false;
      break;
    case IpProtocol::kGre:
      if (!parse_gre(quote + end, size - end, found, between)) return false;
      break;
    default:
      if (!set_inner_by_protocol(static_cast<uint8_t>(protocol), found)) return false;
  }
  const size_t inner = end + between;
  const bool is_ipv4 = found.inner_family == Family::kIpv4;
  if (size < inner + (is_ipv4 ? kIpv4Bytes : kIpv6Bytes) || quote[inner] >> 4 != (is_ipv4 ? 4 : 6)) return false;
  found.inner_offset = static_cast<uint16_t>(inner);
  return true;
}

}  // namespace fulcrum
