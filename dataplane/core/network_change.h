// SPDX-License-Identifier: Apache-2.0
// What is different about interfaces and routes, and the two routing tables that take turns: workers read one while the
// other is brought up to date.
#pragma once

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "forward/network.h"

namespace fulcrum {

struct NetworkChange {
  std::vector<std::pair<InterfaceId, std::vector<Prefix>>> addresses;  // all of the interface's
  std::vector<std::pair<InterfaceId, uint16_t>> mtus;
  std::vector<std::pair<Prefix, std::optional<Route>>> routes;  // nullopt: no longer

  bool empty() const { return addresses.empty() && mtus.empty() && routes.empty(); }
};

class NetworkChanger {
 public:
  // `spare`: with the routes of `network`; null: routes do not change.
  NetworkChanger(std::shared_ptr<const Network> network, std::shared_ptr<RouteTable> spare)
      : network_(std::move(network)), spare_(std::move(spare)) {}

  // The network after `change`, to be published. Destinations that there is no room for are added to `without_room`.
  std::shared_ptr<const Network> next(const NetworkChange& change, std::vector<Prefix>& without_room);
  // Once nobody reads the network from before `change`: its table follows.
  void catch_up(const NetworkChange& change, std::vector<Prefix>& without_room);

 private:
  std::shared_ptr<const Network> network_;
  std::shared_ptr<RouteTable> spare_;
};

}  // namespace fulcrum
