// SPDX-License-Identifier: Apache-2.0
#include "forward/network.h"

#include <rte_lpm.h>

#include <algorithm>
#include <atomic>

namespace fulcrum {

namespace {
constexpr uint32_t kRules = 65536;
constexpr uint32_t kSecondLevelTables = 4096;
}  // namespace

std::optional<Address> Interface::address_for(const Address& neighbor) const {
  for (const Prefix& own : addresses)
    if (own.contains(neighbor)) return own.address;
  for (const Prefix& own : addresses)
    if (own.address.family == neighbor.family) return own.address;
  return std::nullopt;
}

Network::~Network() {
  if (lpm_ != nullptr) rte_lpm_free(lpm_);
}

bool Network::create(unsigned socket) {
  static std::atomic<unsigned> number{0};
  const std::string name = "fulcrum_routes_" + std::to_string(number++);
  rte_lpm_config config{};
  config.max_rules = kRules;
  config.number_tbl8s = kSecondLevelTables;
  lpm_ = rte_lpm_create(name.c_str(), static_cast<int>(socket), &config);
  return lpm_ != nullptr;
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

bool Network::add_route(const Prefix& destination, const Route& route) {
  if (destination.address.family != Family::kIpv4) return false;
  routes_.push_back(route);
  const auto next_hop = static_cast<uint32_t>(routes_.size() - 1);
  if (destination.length != 0)
    return rte_lpm_add(lpm_, destination.address.v4().host(), destination.length, next_hop) == 0;
  // rte_lpm has no rule of length 0: the default route is its two halves, which every other rule outranks or ties.
  const bool low = rte_lpm_add(lpm_, 0, 1, next_hop) == 0;
  return rte_lpm_add(lpm_, 0x80000000u, 1, next_hop) == 0 && low;
}

const Route* Network::find_route(be32 destination) const {
  uint32_t next_hop;
  if (rte_lpm_lookup(lpm_, destination.host(), &next_hop) != 0) return nullptr;
  return &routes_[next_hop];
}

}  // namespace fulcrum
