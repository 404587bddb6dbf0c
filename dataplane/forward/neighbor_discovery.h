// SPDX-License-Identifier: Apache-2.0
// Neighbour discovery for IPv6 over Ethernet as bytes (RFC 4861 sections 4.3, 4.4 and 7, RFC 2464): the frames that the
// director sends, and what it believes of those that it gets. No state; forward/neighbor.h has that.
#pragma once

#include <array>
#include <cstddef>

#include "net/headers.h"

namespace fulcrum {

// From where a frame leaves.
struct NeighborPort {
  MacAddress mac{};
  uint16_t vlan = 0;  // 0: untagged
};

struct NeighborFrame {
  std::array<uint8_t,
             kEthernetBytes + kVlanBytes + kIpv6Bytes + sizeof(NeighborMessage) + sizeof(LinkLayerAddressOption)>
      bytes{};
  uint8_t size = 0;
};

// A valid Neighbor Solicitation or Neighbor Advertisement.
struct NeighborDiscovery {
  Ipv6Address source, destination, target;
  MacAddress mac{};  // of `source` in a solicitation, of `target` in an advertisement
  bool has_mac = false;
  bool is_solicitation = false;
  bool is_router = false, is_solicited = false, overrides = false;  // of an advertisement
};

inline constexpr Ipv6Address kIpv6Unspecified{};

// ff02::1
constexpr Ipv6Address all_nodes() { return {swap_bytes(uint64_t{0xff02'0000'0000'0000}), swap_bytes(uint64_t{1})}; }
// ff02::1:ff00:0/104 and the last three bytes of the address (RFC 4291 section 2.7.1).
constexpr Ipv6Address solicited_node(const Ipv6Address& address) {
  return {swap_bytes(uint64_t{0xff02'0000'0000'0000}),
          swap_bytes(uint64_t{0x0000'0001'ff00'0000} | (swap_bytes(address.low) & 0xff'ffff))};
}
// 33:33 and the last four bytes (RFC 2464 section 7).
MacAddress multicast_mac(const Ipv6Address& group);

// Who has `target`? To everybody whose address ends like it. Source unspecified: is anybody else using it (RFC 4862
// section 5.4.2)?
NeighborFrame make_solicitation(const NeighborPort& port, const Ipv6Address& source, const Ipv6Address& target);
// Are you still there? To the neighbour alone (RFC 4861 section 7.3.3).
NeighborFrame make_probe(const NeighborPort& port, const Ipv6Address& source, const Ipv6Address& target,
                         const MacAddress& mac);
// I have it (RFC 4861 section 7.2.4). `asker` is where the solicitation came from on the link, should it not say.
NeighborFrame make_answer(const NeighborPort& port, const NeighborDiscovery& solicitation, const MacAddress& asker,
                          bool is_router);
// I have it now, unasked, to all nodes (RFC 4861 section 7.2.6): what gratuitous ARP is to IPv4.
NeighborFrame make_announcement(const NeighborPort& port, const Ipv6Address& target, bool is_router);

// `ip`: an IPv6 packet whose next header is ICMPv6, `size` bytes of it in one piece. False unless all of RFC 4861
// sections 7.1.1 and 7.1.2 holds.
bool parse_neighbor_message(const uint8_t* ip, size_t size, NeighborDiscovery& found);

}  // namespace fulcrum
