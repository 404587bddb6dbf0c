// SPDX-License-Identifier: Apache-2.0
#include "forward/route_table.h"

#include <rte_lpm.h>
#include <rte_lpm6.h>

#include <atomic>
#include <string>

#include "core/dpdk_compat.h"

namespace fulcrum {

namespace {

// The lower or the upper half of all addresses of a family.
Prefix half_of(Family family, bool upper) {
  Prefix half;
  half.address.family = family;
  half.address.bytes[0] = upper ? 0x80 : 0;
  half.length = 1;
  return half;
}

}  // namespace

Prefix network_of(const Prefix& prefix) {
  Prefix result = prefix;
  for (unsigned i = prefix.length / 8; i < result.address.bytes.size(); ++i)
    result.address.bytes[i] &= static_cast<uint8_t>(i == prefix.length / 8u ? 0xff00 >> prefix.length % 8 : 0);
  return result;
}

RouteTable::~RouteTable() {
  if (lpm_ != nullptr) rte_lpm_free(lpm_);
  if (lpm6_ != nullptr) rte_lpm6_free(lpm6_);
}

bool RouteTable::create(unsigned socket) {
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
  next_hops_ = std::make_unique<Route[]>(kNextHops);
  return lpm_ != nullptr && lpm6_ != nullptr;
}

bool RouteTable::set(const Prefix& wanted, const std::optional<Route>& route) {
  const Prefix destination = network_of(wanted);
  const auto before = held_.find(destination);
  if (before != held_.end()) {
    const uint32_t next_hop = before->second;
    if (route && next_hops_[next_hop] == *route) return true;
    // Which frees its next hop, but leaves the rule, so that the new one finds its place.
    let_go(next_hop);
    if (!route) {
      held_.erase(before);
      write(destination);
      return true;
    }
  } else if (!route) {
    return true;
  }
  const auto next_hop = refer_to(*route);
  if (next_hop && enter(destination, *next_hop)) return true;
  if (next_hop) let_go(*next_hop);
  held_.erase(destination);
  write(destination);
  return false;
}

bool RouteTable::enter(const Prefix& destination, uint32_t next_hop) {
  held_[destination] = next_hop;
  return write(destination);
}

const uint32_t* RouteTable::held(const Prefix& destination) const {
  const auto found = held_.find(destination);
  return found == held_.end() ? nullptr : &found->second;
}

// Neither rte_lpm nor rte_lpm6 has a rule of length 0: the default route is its two halves, unless somebody has a route
// to a half.
bool RouteTable::write(const Prefix& destination) {
  if (destination.length == 1) return write_half(destination);
  if (destination.length == 0) {
    const bool low = write_half(half_of(destination.address.family, false));
    return write_half(half_of(destination.address.family, true)) && low;
  }
  const uint32_t* next_hop = held(destination);
  if (next_hop != nullptr) return add_rule(destination, *next_hop);
  delete_rule(destination);
  return true;
}

bool RouteTable::write_half(const Prefix& half) {
  Prefix whole = half;
  whole.length = 0;
  const uint32_t* next_hop = held(half);
  if (next_hop == nullptr) next_hop = held(network_of(whole));
  if (next_hop != nullptr) return add_rule(half, *next_hop);
  delete_rule(half);
  return true;
}

bool RouteTable::add_rule(const Prefix& destination, uint32_t next_hop) {
  if (destination.address.family == Family::kIpv6)
    return compat::add_route(lpm6_, destination.address.v6(), destination.length, next_hop);
  return rte_lpm_add(lpm_, destination.address.v4().host(), destination.length, next_hop) == 0;
}

// One that is not there is no error.
void RouteTable::delete_rule(const Prefix& destination) {
  if (destination.address.family == Family::kIpv6)
    return compat::delete_route(lpm6_, destination.address.v6(), destination.length);
  rte_lpm_delete(lpm_, destination.address.v4().host(), destination.length);
}

// Many routes have few next hops between them.
std::optional<uint32_t> RouteTable::refer_to(const Route& route) {
  if (const auto known = next_hop_of_.find(route); known != next_hop_of_.end()) {
    ++references_[known->second];
    return known->second;
  }
  uint32_t fresh;
  if (!free_next_hops_.empty()) {
    fresh = free_next_hops_.back();
    free_next_hops_.pop_back();
    references_[fresh] = 1;
  } else if (references_.size() < kNextHops) {
    fresh = static_cast<uint32_t>(references_.size());
    references_.push_back(1);
  } else {
    return std::nullopt;
  }
  next_hops_[fresh] = route;
  next_hop_of_.emplace(route, fresh);
  return fresh;
}

void RouteTable::let_go(uint32_t next_hop) {
  if (--references_[next_hop] != 0) return;
  next_hop_of_.erase(next_hops_[next_hop]);
  free_next_hops_.push_back(next_hop);
}

const Route* RouteTable::find(be32 destination) const {
  uint32_t next_hop;
  if (rte_lpm_lookup(lpm_, destination.host(), &next_hop) != 0) return nullptr;
  return &next_hops_[next_hop];
}

const Route* RouteTable::find(const Ipv6Address& destination) const {
  uint32_t next_hop;
  if (!compat::find_route(lpm6_, destination, next_hop)) return nullptr;
  return &next_hops_[next_hop];
}

}  // namespace fulcrum
