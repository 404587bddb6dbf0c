// SPDX-License-Identifier: Apache-2.0
#include "forward/neighbor_discovery.h"

#include "net/checksum.h"

namespace fulcrum {

namespace {

// What a router has not passed on (RFC 4861 section 7.1.1).
constexpr uint8_t kOnLink = 255;

struct Envelope {
  MacAddress destination_mac;
  Ipv6Address source, destination;
};

size_t write_ethernet(uint8_t* at, const NeighborPort& port, const MacAddress& destination) {
  std::memcpy(at, destination.data(), kMacBytes);
  std::memcpy(at + kMacBytes, port.mac.data(), kMacBytes);
  size_t size = 2 * kMacBytes;
  if (port.vlan != 0) {
    store_unaligned(at + size, be16::from_host(kEtherTypeVlan));
    store_unaligned(at + size + 2, be16::from_host(port.vlan));
    size += kVlanBytes;
  }
  store_unaligned(at + size, be16::from_host(kEtherTypeIpv6));
  return size + 2;
}

// `option`: type of the option that tells our MAC, 0 for none.
NeighborFrame make_frame(const NeighborPort& port, const Envelope& envelope, uint8_t type, uint32_t flags,
                         const Ipv6Address& target, uint8_t option) {
  NeighborFrame frame;
  uint8_t* at = frame.bytes.data();
  at += write_ethernet(at, port, envelope.destination_mac);
  const size_t size = sizeof(NeighborMessage) + (option != 0 ? sizeof(LinkLayerAddressOption) : 0);

  Ipv6Header ip{};
  ip.version_class_flow = be32::from_host(6u << 28);
  ip.payload_length = be16::from_host(static_cast<uint16_t>(size));
  ip.next_header = static_cast<uint8_t>(IpProtocol::kIcmpv6);
  ip.hop_limit = kOnLink;
  ip.source = envelope.source;
  ip.destination = envelope.destination;
  store_unaligned(at, ip);
  at += sizeof ip;

  NeighborMessage message{};
  message.type = type;
  message.flags = be32::from_host(flags);
  message.target = target;
  store_unaligned(at, message);
  if (option != 0) store_unaligned(at + sizeof message, LinkLayerAddressOption{option, 1, port.mac});
  store_unaligned(at + offsetof(NeighborMessage, checksum),
                  transport_checksum(envelope.source, envelope.destination, IpProtocol::kIcmpv6, at, size));
  frame.size = static_cast<uint8_t>(at + size - frame.bytes.data());
  return frame;
}

constexpr uint32_t router_flag(bool is_router) { return is_router ? kAdvertisementRouter : 0; }

// Finds the link-layer address of `wanted` type. False if the options are malformed. Others are skipped (RFC 4861
// section 4.6), and so is one that is not of Ethernet's size.
bool parse_options(const uint8_t* at, size_t left, uint8_t wanted, NeighborDiscovery& found) {
  while (left != 0) {
    if (left < 2) return false;
    const size_t bytes = at[1] * 8u;
    if (bytes == 0 || bytes > left) return false;
    if (at[0] == wanted && bytes == sizeof(LinkLayerAddressOption) && !found.has_mac) {
      found.mac = load_unaligned<LinkLayerAddressOption>(at).mac;
      found.has_mac = true;
    }
    at += bytes;
    left -= bytes;
  }
  return true;
}

}  // namespace

MacAddress multicast_mac(const Ipv6Address& group) {
  MacAddress mac{0x33, 0x33};
  std::memcpy(mac.data() + 2, reinterpret_cast<const uint8_t*>(&group.low) + 4, 4);
  return mac;
}

NeighborFrame make_solicitation(const NeighborPort& port, const Ipv6Address& source, const Ipv6Address& target) {
  const Ipv6Address group = solicited_node(target);
  // Nobody is to learn an address that is not ours yet (RFC 4861 section 4.3).
  const uint8_t option = source == kIpv6Unspecified ? uint8_t{0} : kOptionSourceLinkLayer;
  return make_frame(port, {multicast_mac(group), source, group}, kIcmpv6NeighborSolicitation, 0, target, option);
}

NeighborFrame make_probe(const NeighborPort& port, const Ipv6Address& source, const Ipv6Address& target,
                         const MacAddress& mac) {
  return make_frame(port, {mac, source, target}, kIcmpv6NeighborSolicitation, 0, target, kOptionSourceLinkLayer);
}

NeighborFrame make_answer(const NeighborPort& port, const NeighborDiscovery& solicitation, const MacAddress& asker,
                          bool is_router) {
  const uint32_t flags = router_flag(is_router) | kAdvertisementOverride;
  const Ipv6Address& target = solicitation.target;
  if (solicitation.source == kIpv6Unspecified)
    return make_frame(port, {multicast_mac(all_nodes()), target, all_nodes()}, kIcmpv6NeighborAdvertisement, flags,
                      target, kOptionTargetLinkLayer);
  const MacAddress& mac = solicitation.has_mac ? solicitation.mac : asker;
  return make_frame(port, {mac, target, solicitation.source}, kIcmpv6NeighborAdvertisement,
                    flags | kAdvertisementSolicited, target, kOptionTargetLinkLayer);
}

NeighborFrame make_announcement(const NeighborPort& port, const Ipv6Address& target, bool is_router) {
  return make_frame(port, {multicast_mac(all_nodes()), target, all_nodes()}, kIcmpv6NeighborAdvertisement,
                    router_flag(is_router) | kAdvertisementOverride, target, kOptionTargetLinkLayer);
}

bool parse_neighbor_message(const uint8_t* ip, size_t size, NeighborDiscovery& found) {
  found = NeighborDiscovery{};
  if (size < kIpv6Bytes + sizeof(NeighborMessage)) return false;
  const auto header = load_unaligned<Ipv6Header>(ip);
  const size_t length = header.payload_length.host();
  if (header.version() != 6 || header.next_header != static_cast<uint8_t>(IpProtocol::kIcmpv6) ||
      header.hop_limit != kOnLink || length < sizeof(NeighborMessage) || size < kIpv6Bytes + length)
    return false;
  const uint8_t* at = ip + kIpv6Bytes;
  const auto message = load_unaligned<NeighborMessage>(at);
  found.is_solicitation = message.type == kIcmpv6NeighborSolicitation;
  if (!found.is_solicitation && message.type != kIcmpv6NeighborAdvertisement) return false;
  found.source = header.source;
  found.destination = header.destination;
  found.target = message.target;
  // A sum over right data is all ones.
  const uint64_t sum = pseudo_header_sum(found.source, found.destination, IpProtocol::kIcmpv6, length);
  if (message.code != 0 || is_multicast(found.target) || fold_sum(add_to_sum(sum, at, length)) != 0xffff) return false;
  if (!parse_options(at + sizeof message, length - sizeof message,
                     found.is_solicitation ? kOptionSourceLinkLayer : kOptionTargetLinkLayer, found))
    return false;
  // Nobody can be answered at, or speak from, a group.
  if (is_multicast(found.source)) return false;
  if (found.is_solicitation) {
    // "The IP destination address is a solicited-node multicast address", and which one follows from the target.
    return found.source != kIpv6Unspecified || (found.destination == solicited_node(found.target) && !found.has_mac);
  }
  const uint32_t flags = message.flags.host();
  found.is_router = (flags & kAdvertisementRouter) != 0;
  found.is_solicited = (flags & kAdvertisementSolicited) != 0;
  found.overrides = (flags & kAdvertisementOverride) != 0;
  return !(is_multicast(found.destination) && found.is_solicited);
}

}  // namespace fulcrum
