// SPDX-License-Identifier: Apache-2.0
#include "forward/network.h"

#include <rte_lpm.h>
#include <rte_lpm6.h>

#include <algorithm>
#include <atomic>

#include "core/dpdk_compat.h"

namespace fulcrum {

namespace {
constexpr uint32_t kRules = 65536;
constexpr uint32_t kSecondLevelTables = 4096;
constexpr uint32_t kTablesV6 = 16384;  // of 256 entries, one for every eight bits beyond a rule's first 24
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
  if (lpm6_ != nullptr) rte_lpm6_free(lpm6_);
}

bool Network::create(unsigned socket) {
  static std::atomic<unsigned> number{0};
  const std::string name = "fulcrum_routes_" + std::to_string(number++);
  const std::string name6 = "fulcrum_routes6_" + std::to_string(number++);
  rte_lpm_config config{};
  config.max_rules = kRules;
  config.number_tbl8s = kSecondLevelTables;
  lpm_ = rte_lpm_create(name.c_str(), static_cast<int>(socket), &config);
  rte_lpm6_config config6{};
  config6.max_rules = kRules;
  config6.number_tbl8s = kTablesV6;
  lpm6_ = rte_lpm6_create(name6.c_str(), static_cast<int>(socket), &config6);
  return lpm_ != nullptr && lpm6_ != nullptr;
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
  routes_.push_back(route);
  const auto next_hop = static_cast<uint32_t>(routes_.size() - 1);
  if (destination.address.family == Family::kIpv6) return add_route_v6(destination, next_hop);
  if (destination.length != 0)
    return rte_lpm_add(lpm_, destination.address.v4().host(), destination.length, next_hop) == 0;
  // rte_lpm has no rule of length 0: the default route is its two halves, which every other rule outranks or ties.
  const bool low = rte_lpm_add(lpm_, 0, 1, next_hop) == 0;
  return rte_lpm_add(lpm_, 0x80000000u, 1, next_hop) == 0 && low;
}

bool Network::add_route_v6(const Prefix& destination, uint32_t next_hop) {
  const Ipv6Address address = destination.address.v6();
  if (destination.length != 0) return compat::add_route(lpm6_, address, destination.length, next_hop);
  // rte_lpm6 has no rule of length 0 either.
  const bool low = compat::add_route(lpm6_, Ipv6Address{}, 1, next_hop);
  return compat::add_route(lpm6_, Ipv6Address{0x80, 0}, 1, next_hop) && low;
}

const Route* Network::find_route(be32 destination) const {
  uint32_t next_hop;
  if (rte_lpm_lookup(lpm_, destination.host(), &next_hop) != 0) return nullptr;
  return &routes_[next_hop];
}

const Route* Network::find_route(const Ipv6Address& destination) const {
  uint32_t next_hop;
  if (!compat::find_route(lpm6_, destination, next_hop)) return nullptr;
  return &routes_[next_hop];
}

}  // namespace fulcrum
