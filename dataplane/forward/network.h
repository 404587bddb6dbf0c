// SPDX-License-Identifier: Apache-2.0
// Interfaces, their addresses, and routes: where a packet came from and where one goes next. An interface is a port and
// an optional VLAN; routes hang on interfaces. Immutable once workers have it: a change is another one.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "forward/route_table.h"

namespace fulcrum {

using PortId = uint16_t;

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

// RFC 4291 section 2.5.1 and appendix A: the address that an interface's link knows.
Prefix link_local_of(const MacAddress& mac);

class Network {
 public:
  Network() = default;
  // As `before`, but for its interfaces' addresses and MTUs, and for where it looks routes up.
  Network(const Network& before, std::vector<Interface> interfaces, std::shared_ptr<RouteTable> routes)
      : interfaces_(std::move(interfaces)), by_port_(before.by_port_), routes_(std::move(routes)) {}
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  // All of these before the network is published. False: no memory for the table.
  bool create(unsigned socket);
  void add_interface(Interface interface);
  bool add_route(const Prefix& destination, const Route& route) { return routes_->set(destination, route); }

  // Null when there is no route, or one that leads nowhere. For workers and the control thread: to others the table may
  // change under their hands.
  const Route* find_route(be32 destination) const { return usable(routes_->find(destination)); }
  const Route* find_route(const Ipv6Address& destination) const { return usable(routes_->find(destination)); }
  const Route* find_route(const Address& destination) const {
    return destination.family == Family::kIpv4 ? find_route(destination.v4()) : find_route(destination.v6());
  }
  // There is a route, which says that there is no way and that nobody is to be told.
  template <typename AnyAddress>
  bool is_blackhole(const AnyAddress& destination) const {
    const Route* route = routes_->find(destination);
    return route != nullptr && route->is_silent;
  }
  const std::shared_ptr<RouteTable>& routes() const { return routes_; }
  const Interface& interface(InterfaceId id) const { return interfaces_[id]; }
  const std::vector<Interface>& interfaces() const { return interfaces_; }
  // Of a port and a VLAN id (0: untagged); kNoInterface when there is none.
  InterfaceId interface_of(PortId port, uint16_t vlan) const {
    return port < by_port_.size() ? by_port_[port].by_vlan[vlan & 0xfff] : kNoInterface;
  }

 private:
  static const Route* usable(const Route* route) {
    return route != nullptr && route->leads_somewhere() ? route : nullptr;
  }
  struct PortInterfaces {
    InterfaceId by_vlan[4096];
  };
  std::vector<Interface> interfaces_;
  std::vector<PortInterfaces> by_port_;
  std::shared_ptr<RouteTable> routes_;
};

}  // namespace fulcrum
