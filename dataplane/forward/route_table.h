// SPDX-License-Identifier: Apache-2.0
// Where a packet goes next: longest prefix match by rte_lpm and rte_lpm6. While it is changed nobody may look anything
// up in it: who changes routes has two, changes the one that no worker reads, and has workers change over.
#pragma once

#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "net/address.h"

struct rte_lpm;
struct rte_lpm6;

namespace fulcrum {

using InterfaceId = uint16_t;
inline constexpr InterfaceId kNoInterface = 0xffff;

struct PrefixHash {
  size_t operator()(const Prefix& prefix) const {
    return AddressHash{}(prefix.address) ^ prefix.length * 0x9E3779B97F4A7C15u;
  }
};
// Without host bits: as a route's destination.
Prefix network_of(const Prefix& prefix);

struct Route {
  InterfaceId interface = kNoInterface;  // kNoInterface: there is no way
  Address gateway;                       // family kNone: on link
  bool is_silent = false;                // no way, and nobody is told

  bool leads_somewhere() const { return interface != kNoInterface; }
  bool operator==(const Route&) const = default;
};

struct RouteHash {
  size_t operator()(const Route& route) const {
    return AddressHash{}(route.gateway) ^ (size_t{route.interface} << 1 | route.is_silent);
  }
};

class RouteTable {
 public:
  static constexpr uint32_t kRules = 65536;             // of each family
  static constexpr uint32_t kSecondLevelTables = 4096;  // one for each IPv4 /24 that has longer prefixes within
  static constexpr uint32_t kTablesV6 = 16384;  // of 256 entries, one for every eight bits beyond a rule's first 24
  static constexpr uint32_t kNextHops = 16384;  // different ones

  RouteTable() = default;
  ~RouteTable();
  RouteTable(const RouteTable&) = delete;
  RouteTable& operator=(const RouteTable&) = delete;

  // False: no memory.
  bool create(unsigned socket);
  // nullopt: takes the route to `destination` out. False: no room; there is none now.
  bool set(const Prefix& destination, const std::optional<Route>& route);
  // Null when there is none.
  const Route* find(be32 destination) const;
  const Route* find(const Ipv6Address& destination) const;
  size_t size() const { return held_.size(); }

 private:
  std::optional<uint32_t> refer_to(const Route& route);
  void let_go(uint32_t next_hop);
  bool enter(const Prefix& destination, uint32_t next_hop);
  bool write(const Prefix& destination);
  bool write_half(const Prefix& half);
  bool add_rule(const Prefix& destination, uint32_t next_hop);
  void delete_rule(const Prefix& destination);
  const uint32_t* held(const Prefix& destination) const;

  rte_lpm* lpm_ = nullptr;
  rte_lpm6* lpm6_ = nullptr;
  std::unique_ptr<Route[]> next_hops_;
  std::vector<uint32_t> references_;  // by next hop
  std::vector<uint32_t> free_next_hops_;
  std::unordered_map<Route, uint32_t, RouteHash> next_hop_of_;
  std::unordered_map<Prefix, uint32_t, PrefixHash> held_;  // to next hops
};

}  // namespace fulcrum
