// SPDX-License-Identifier: Apache-2.0
#include "forward/network.h"

#include <algorithm>

namespace fulcrum {

std::optional<Address> Interface::address_for(const Address& neighbor) const {
  for (const Prefix& own : addresses)
    if (own.contains(neighbor)) return own.address;
  for (const Prefix& own : addresses)
    if (own.address.family == neighbor.family) return own.address;
  return std::nullopt;
}

Prefix link_local_of(const MacAddress& mac) {
  Prefix own;
  own.length = 64;
  own.address.family = Family::kIpv6;
  own.address.bytes = {0xfe,   0x80,   0,    0,    0,      0,      0,     0, static_cast<uint8_t>(mac[0] ^ 2),
                       mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]};
  return own;
}

bool Network::create(unsigned socket) {
  routes_ = std::make_shared<RouteTable>();
  return routes_->create(socket);
}

void Network::add_interface(Interface interface) {
  interface.id = static_cast<InterfaceId>(interfaces_.size());
  while (by_port_.size() <= interface.port) {
    by_port_.emplace_back();
    std::fill(std::begin(by_port_.back().by_vlan), std::end(by_port_.back().by_vlan), kNoInterface);
  }
  by_port_[interface.port].by_vlan[interface.vlan & 0xfff] = interface.id;
  interfaces_.push_back(std::move(interface));
}

}  // namespace fulcrum
