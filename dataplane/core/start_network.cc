// SPDX-License-Identifier: Apache-2.0
#include "core/start_network.h"

#include <algorithm>

namespace fulcrum {

namespace {

bool is_link_local(const Prefix& prefix) {
  return prefix.address.family == Family::kIpv6 && fulcrum::is_link_local(prefix.address.v6());
}

// An interface that speaks IPv6 has an address that its link knows.
void add_link_local(Interface& interface) {
  const auto speaks_v6 = [](const Prefix& own) { return own.address.family == Family::kIpv6; };
  if (std::none_of(interface.addresses.begin(), interface.addresses.end(), speaks_v6) ||
      std::any_of(interface.addresses.begin(), interface.addresses.end(), is_link_local))
    return;
  interface.addresses.push_back(link_local_of(interface.mac));
}

}  // namespace

std::shared_ptr<Network> build_network(const StartConfig& config, const std::vector<std::unique_ptr<Port>>& ports,
                                       std::vector<std::pair<Prefix, Route>>& routes) {
  auto network = std::make_shared<Network>();
  if (!network->create(0)) throw StartError("memory: no room for the routing table");
  for (const InterfaceConfig& wanted : config.interfaces) {
    const auto port =
        std::find_if(ports.begin(), ports.end(), [&](const auto& at) { return at->config().name == wanted.port; });
    Interface interface;
    interface.name = wanted.name;
    interface.port = (*port)->id();
    interface.vlan = wanted.vlan;
    interface.mtu = wanted.mtu != 0 ? wanted.mtu : (*port)->config().mtu;
    if (interface.mtu > (*port)->config().mtu)
      throw StartError("interfaces." + wanted.name + ".mtu: above its port's, " +
                       std::to_string((*port)->config().mtu));
    interface.mac = (*port)->mac();
    interface.addresses = wanted.addresses;
    add_link_local(interface);
    network->add_interface(interface);
  }
  const auto id_of = [&](const std::string& name) {
    for (const Interface& interface : network->interfaces())
      if (interface.name == name) return interface.id;
    return kNoInterface;
  };
  for (const Interface& interface : network->interfaces())
    for (const Prefix& own : interface.addresses)
      if (!is_link_local(own) && !network->add_route(own, {interface.id, Address{}}))
        throw StartError("interfaces." + interface.name + ".addresses: no room for the route to " + own.text());
  for (const RouteConfig& route : config.routes) {
    const std::string where = "routes: " + route.prefix.text();
    Route made{id_of(route.interface), route.via};
    if (!route.interface.empty() && made.interface == kNoInterface)
      throw StartError(where + ": there is no interface \"" + route.interface + "\"");
    if (route.interface.empty()) {
      for (const Interface& interface : network->interfaces())
        for (const Prefix& own : interface.addresses)
          if (own.contains(route.via)) made.interface = interface.id;
      if (made.interface == kNoInterface)
        throw StartError(where + ": via " + route.via.text() + " is on no interface's link");
    }
    if (route.via.family != Family::kNone && route.via.family != route.prefix.address.family)
      throw StartError(where + ": via " + route.via.text() + " is of another address family");
    if (!network->add_route(route.prefix, made)) throw StartError(where + ": no room in the routing table");
    routes.emplace_back(route.prefix, made);
  }
  for (const StaticNeighbor& neighbor : config.neighbors)
    if (id_of(neighbor.interface) == kNoInterface)
      throw StartError("neighbors: " + neighbor.address.text() + ": there is no interface \"" + neighbor.interface +
                       "\"");
  return network;
}

}  // namespace fulcrum
