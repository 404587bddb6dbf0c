// SPDX-License-Identifier: Apache-2.0
#include "core/network_change.h"

#include <algorithm>

namespace fulcrum {

namespace {

// What goes makes room for what comes. Both tables see the same in the same order, so that both have room, or neither.
void carry_out(RouteTable& table, const NetworkChange& change, std::vector<Prefix>& without_room) {
  for (const auto& [destination, route] : change.routes)
    if (!route) table.set(destination, route);
  for (const auto& [destination, route] : change.routes) {
    if (!route || table.set(destination, route)) continue;
    if (std::find(without_room.begin(), without_room.end(), destination) == without_room.end())
      without_room.push_back(destination);
  }
}

}  // namespace

std::shared_ptr<const Network> NetworkChanger::next(const NetworkChange& change, std::vector<Prefix>& without_room) {
  std::vector<Interface> interfaces = network_->interfaces();
  for (const auto& [id, addresses] : change.addresses) interfaces[id].addresses = addresses;
  for (const auto& [id, mtu] : change.mtus) interfaces[id].mtu = mtu;
  std::shared_ptr<RouteTable> routes = network_->routes();
  if (!change.routes.empty()) {
    carry_out(*spare_, change, without_room);
    std::swap(routes, spare_);
  }
  network_ = std::make_shared<const Network>(*network_, std::move(interfaces), std::move(routes));
  return network_;
}

void NetworkChanger::catch_up(const NetworkChange& change, std::vector<Prefix>& without_room) {
  if (!change.routes.empty()) carry_out(*spare_, change, without_room);
}

}  // namespace fulcrum
