// SPDX-License-Identifier: Apache-2.0
#include "core/port_alignment.h"

#include <algorithm>

namespace fulcrum {

ClientEnd client_end(const StartConfig& config, const PortConfig& port) {
  if (port.faces != Faces::kAuto) return port.faces == Faces::kClients ? ClientEnd::kSource : ClientEnd::kDestination;
  if (config.ports.size() == 1) return ClientEnd::kSource;
  const auto leaves_by = [](const RouteConfig& route, const InterfaceConfig& interface) {
    if (!route.interface.empty()) return route.interface == interface.name;
    return std::any_of(interface.addresses.begin(), interface.addresses.end(),
                       [&](const Prefix& own) { return own.contains(route.via); });
  };
  const auto is_default_by_it = [&](const RouteConfig& route) {
    return route.prefix.length == 0 &&
           std::any_of(config.interfaces.begin(), config.interfaces.end(), [&](const InterfaceConfig& interface) {
             return interface.port == port.name && leaves_by(route, interface);
           });
  };
  const bool clients = std::any_of(config.routes.begin(), config.routes.end(), is_default_by_it);
  return clients ? ClientEnd::kSource : ClientEnd::kDestination;
}

std::unique_ptr<RssSteering> align_ports(const StartConfig& config, const std::vector<std::unique_ptr<Port>>& ports) {
  const auto workers = static_cast<uint32_t>(config.worker_cpus.size());
  if (workers < 2) return nullptr;
  // One function for all: as fine as the coarsest of them can.
  const auto bits_of = [&](const Port& port) {
    return port.config().faces == Faces::kBoth ? 0 : port.rss_bits(workers);
  };
  unsigned bits = 0;
  for (const auto& port : ports)
    if (const unsigned of_port = bits_of(*port); of_port != 0) bits = bits == 0 ? of_port : std::min(bits, of_port);
  if (bits == 0) return nullptr;
  auto steering = std::make_unique<RssSteering>(bits);
  for (const auto& port : ports)
    if (bits_of(*port) != 0) port->align(*steering, client_end(config, port->config()), workers);
  return steering;
}

}  // namespace fulcrum
