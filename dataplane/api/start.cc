// SPDX-License-Identifier: Apache-2.0
// What the engine starts with. Each of these throws StartError, by the path in the configuration file.
#include "api/translate.h"

namespace fulcrum::api {

namespace {

uint16_t start_number(uint32_t value, uint32_t most, const std::string& path) {
  if (value > most)
    throw StartError(path + ": " + std::to_string(value) + " is not between 0 and " + std::to_string(most));
  return static_cast<uint16_t>(value);
}

Prefix start_prefix(const std::string& text, const std::string& path) {
  const auto parsed = Prefix::parse(text);
  if (!parsed) throw StartError(path + ": \"" + text + "\" is not an address with a prefix length");
  return *parsed;
}

Address start_address(const std::string& text, const std::string& path) {
  const auto parsed = Address::parse(text);
  if (!parsed) throw StartError(path + ": \"" + text + "\" is not an IP address");
  return *parsed;
}

Faces faces_of(dataplane::Faces faces, const std::string& path) {
  switch (faces) {
    case dataplane::FACES_UNSPECIFIED:
      return Faces::kAuto;
    case dataplane::FACES_CLIENTS:
      return Faces::kClients;
    case dataplane::FACES_SERVERS:
      return Faces::kServers;
    case dataplane::FACES_BOTH:
      return Faces::kBoth;
    default:
      throw StartError(path + ": no such value");
  }
}

MacAddress start_mac(const std::string& text, const std::string& path) {
  const auto parsed = parse_mac(text);
  if (!parsed) throw StartError(path + ": \"" + text + "\" is not a MAC address");
  return *parsed;
}
KernelPortConfig kernel_port(const dataplane::KernelPortConfig& message, const std::string& path) {
  if (message.driver() != dataplane::KERNEL_DRIVER_UNSPECIFIED && message.driver() != dataplane::KERNEL_DRIVER_TAP)
    throw StartError(path + ".driver: not one that there is");
  KernelPortConfig made;
  made.name = message.name();
  const dataplane::KernelLimits& limits = message.limits();
  const auto set = [&](KernelClass of, bool given, uint32_t value) {
    if (given) made.limits[static_cast<size_t>(of)] = value;
  };
  set(KernelClass::kControl, limits.has_control(), limits.control());
  set(KernelClass::kTcp, limits.has_tcp(), limits.tcp());
  set(KernelClass::kConnect, limits.has_connect(), limits.connect());
  set(KernelClass::kIcmp, limits.has_icmp(), limits.icmp());
  set(KernelClass::kRest, limits.has_rest(), limits.rest());
  return made;
}
}  // namespace

StartConfig start_config(const dataplane::StartConfig& message) {
  StartConfig config;
  config.housekeeping_cpus.assign(message.housekeeping_cpus().begin(), message.housekeeping_cpus().end());
  config.worker_cpus.assign(message.worker_cpus().begin(), message.worker_cpus().end());
  config.hugepages = message.hugepages() == dataplane::HUGEPAGES_ON    ? Hugepages::kOn
                     : message.hugepages() == dataplane::HUGEPAGES_OFF ? Hugepages::kOff
                                                                       : Hugepages::kAuto;
  config.memory_mb = message.memory_mb();
  if (message.connections() != 0) config.connections = message.connections();
  config.packet_buffers = message.packet_buffers();
  config.idle = message.idle() == dataplane::IDLE_POLICY_POLL ? IdlePolicy::kPoll : IdlePolicy::kSleep;
  config.forwarding = !message.has_forwarding() || message.forwarding();
  config.testing = message.testing();
  config.eal_arguments.assign(message.eal_arguments().begin(), message.eal_arguments().end());
  for (const auto& port : message.ports()) {
    const std::string path = "ports." + port.name();
    PortConfig made;
    made.name = port.name();
    made.device = port.device();
    if (port.mtu() != 0) made.mtu = start_number(port.mtu(), 9600, path + ".mtu");
    made.rx_queues = start_number(port.rx_queues(), 1024, path + ".rx_queues");
    made.tx_queues = start_number(port.tx_queues(), 1024, path + ".tx_queues");
    made.rx_descriptors = start_number(port.rx_descriptors(), 32768, path + ".rx_descriptors");
    made.tx_descriptors = start_number(port.tx_descriptors(), 32768, path + ".tx_descriptors");
    made.faces = faces_of(port.faces(), path + ".faces");
    if (port.has_kernel()) made.kernel = kernel_port(port.kernel(), path + ".kernel");
    if (!port.mac().empty()) made.mac = start_mac(port.mac(), path + ".mac");
    config.ports.push_back(std::move(made));
  }
  for (const auto& interface : message.interfaces()) {
    const std::string path = "interfaces." + interface.name();
    InterfaceConfig made;
    made.name = interface.name();
    made.port = interface.port();
    made.vlan = start_number(interface.vlan(), 4094, path + ".vlan");
    made.mtu = start_number(interface.mtu(), 9600, path + ".mtu");
    for (const auto& own : interface.addresses())
      made.addresses.push_back(start_prefix(own.prefix(), path + ".addresses"));
    config.interfaces.push_back(std::move(made));
  }
  for (const auto& route : message.routes()) {
    RouteConfig made;
    made.prefix = start_prefix(route.prefix(), "routes.prefix");
    if (!route.via().empty()) made.via = start_address(route.via(), "routes.via");
    made.interface = route.interface();
    config.routes.push_back(std::move(made));
  }
  for (const auto& neighbor : message.neighbors())
    config.neighbors.push_back({start_address(neighbor.address(), "neighbors.address"), neighbor.interface(),
                                start_mac(neighbor.mac(), "neighbors.mac")});
  for (int i = 0; i < message.masquerade_size(); ++i) {
    const auto& rule = message.masquerade(i);
    const std::string path = "masquerade[" + std::to_string(i) + "]";
    MasqueradeConfig made;
    made.source = start_prefix(rule.source(), path + ".source");
    made.interface = rule.interface();
    if (!rule.address().empty()) made.address = start_address(rule.address(), path + ".address");
    if (rule.first_port() != 0) made.ports.first = start_number(rule.first_port(), 0xffff, path + ".first_port");
    if (rule.last_port() != 0) made.ports.last = start_number(rule.last_port(), 0xffff, path + ".last_port");
    config.masquerade.push_back(std::move(made));
  }
  return config;
}

}  // namespace fulcrum::api
