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

std::unique_ptr<const Masquerade> build_masquerade(const StartConfig& config, const Network& network) {
  if (config.masquerade.empty()) return nullptr;
  std::vector<MasqueradeRule> rules;
  for (size_t i = 0; i < config.masquerade.size(); ++i) {
    const MasqueradeConfig& wanted = config.masquerade[i];
    const std::string where = "masquerade[" + std::to_string(i) + "]";
    const auto& interfaces = network.interfaces();
    const auto leaves_by = std::find_if(interfaces.begin(), interfaces.end(),
                                        [&](const Interface& at) { return at.name == wanted.interface; });
    if (leaves_by == interfaces.end())
      throw StartError(where + ".interface: there is no interface \"" + wanted.interface + "\"");
    const auto is_its_family = [&](const Prefix& own) { return own.address.family == wanted.source.address.family; };
    const auto is_wanted = [&](const Prefix& own) { return own.address == wanted.address; };
    const auto has = [](const Interface& at, const auto& is) {
      return std::any_of(at.addresses.begin(), at.addresses.end(), is);
    };
    if (wanted.address.family == Family::kNone) {
      if (!has(*leaves_by, is_its_family))
        throw StartError(where + ".address: interface \"" + wanted.interface + "\" has none of the source's family");
    } else if (wanted.address.family != wanted.source.address.family) {
      throw StartError(where + ".address: " + wanted.address.text() + " is not of the source's address family");
    } else if (std::none_of(interfaces.begin(), interfaces.end(),
                            [&](const Interface& at) { return has(at, is_wanted); })) {
      throw StartError(where + ".address: " + wanted.address.text() + " is no interface's address");
    }
    if (wanted.ports.first == 0 || wanted.ports.first > wanted.ports.last)
      throw StartError(where + ".ports: from 1 to 65535, the first not above the last");
    rules.push_back({wanted.source, leaves_by->id, wanted.address, wanted.ports});
  }
  return std::make_unique<const Masquerade>(std::move(rules));
}

}  // namespace fulcrum
