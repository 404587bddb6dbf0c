// SPDX-License-Identifier: Apache-2.0
// Interfaces, their addresses, and routes: where a packet came from and where one goes next. An interface is a port and
// an optional VLAN; routes hang on interfaces. Immutable; longest prefix match by rte_lpm.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "net/address.h"

struct rte_lpm;
struct rte_lpm6;

namespace fulcrum {

using PortId = uint16_t;
using InterfaceId = uint16_t;
inline constexpr InterfaceId kNoInterface = 0xffff;

struct Interface {
  std::string name;
  InterfaceId id = kNoInterface;
  PortId port = 0;
  uint16_t vlan = 0;  // 0: untagged
  uint16_t mtu = 1500;
  MacAddress mac{};
  std::vector<Prefix> addresses;

  // The address to speak with to a neighbour on this link: the one whose prefix holds it, else the first.
  std::optional<Address> address_for(const Address& neighbor) const;
};

struct Route {
  InterfaceId interface = kNoInterface;
  Address gateway;  // family kNone: on link
};

class Network {
 public:
  Network() = default;
  ~Network();
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  // All of these before the network is published. False: no memory for the table.
  bool create(unsigned socket);
  void add_interface(Interface interface);
  bool add_route(const Prefix& destination, const Route& route);

  // Null when there is no route.
  const Route* find_route(be32 destination) const;
  const Route* find_route(const Ipv6Address& destination) const;
  const Route* find_route(const Address& destination) const {
    return destination.family == Family::kIpv4 ? find_route(destination.v4()) : find_route(destination.v6());
  }
  const Interface& interface(InterfaceId id) const { return interfaces_[id]; }
  // While workers read it: one plain number that they may see a moment later.
  void set_mtu(InterfaceId id, uint16_t mtu) { __atomic_store_n(&interfaces_[id].mtu, mtu, __ATOMIC_RELAXED); }
  const std::vector<Interface>& interfaces() const { return interfaces_; }
  // Of a port and a VLAN id (0: untagged); kNoInterface when there is none.
  InterfaceId interface_of(PortId port, uint16_t vlan) const {
    return port < by_port_.size() ? by_port_[port].by_vlan[vlan & 0xfff] : kNoInterface;
  }

 private:
  bool add_route_v6(const Prefix& destination, uint32_t next_hop);
  struct PortInterfaces {
    InterfaceId by_vlan[4096];
  };
  std::vector<Interface> interfaces_;
  std::vector<Route> routes_;
  std::vector<PortInterfaces> by_port_;
  rte_lpm* lpm_ = nullptr;
  rte_lpm6* lpm6_ = nullptr;
};

}  // namespace fulcrum
