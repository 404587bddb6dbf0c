// SPDX-License-Identifier: Apache-2.0
#include "api/translate.h"

#include <ctime>

#include "api/traffic.h"

namespace fulcrum::api {

namespace {

[[noreturn]] void bad(const std::string& path, const std::string& why) {
  throw CallError("INVALID_ARGUMENT", path + ": " + why);
}

Address address(const std::string& text, const std::string& path) {
  const auto parsed = Address::parse(text);
  if (!parsed) bad(path, "\"" + text + "\" is not an IP address");
  return *parsed;
}

uint16_t port_number(uint32_t value, const std::string& path) {
  if (value > 65535) bad(path, std::to_string(value) + " is not between 0 and 65535");
  return static_cast<uint16_t>(value);
}

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

ServiceSettings settings(const v1::ServiceSpec& spec) {
  ServiceSettings made;
  if (!spec.scheduler().empty()) made.scheduler = spec.scheduler();
  made.scheduler_flags = spec.scheduler_flags();
  made.persistence_timeout_s = spec.persistence_timeout_s();
  made.persistence_prefix = static_cast<uint8_t>(spec.persistence_prefix());
  made.one_packet = spec.one_packet();
  return made;
}

ServerKey server_key(const v1::ServerKey& message, const std::string& path) {
  return {address(message.address(), path + ".address"), port_number(message.port(), path + ".port")};
}

TunnelSettings tunnel_settings(const v1::ServerSpec& spec, const std::string& path) {
  TunnelSettings made;
  made.type = spec.tunnel_type() == v1::TUNNEL_TYPE_GUE   ? TunnelType::kGue
              : spec.tunnel_type() == v1::TUNNEL_TYPE_GRE ? TunnelType::kGre
                                                          : TunnelType::kIpip;
  made.checksum = spec.tunnel_checksum() == v1::TUNNEL_CHECKSUM_CSUM      ? TunnelChecksum::kFull
                  : spec.tunnel_checksum() == v1::TUNNEL_CHECKSUM_REMCSUM ? TunnelChecksum::kRemote
                                                                          : TunnelChecksum::kNone;
  made.port = port_number(spec.tunnel_port(), path + ".tunnel_port");
  return made;
}

Timeouts timeouts(const v1::Timeouts& message) {
  Timeouts made = Timeouts::keep();
  made.udp = message.udp_s();
  made.of(TcpState::kEstablished) = message.tcp_s();
  made.of(TcpState::kFinWait) = message.tcp_fin_s();
  made.of(TcpState::kNone) = message.tcp_none_s();
  made.of(TcpState::kSynSent) = message.tcp_syn_sent_s();
  made.of(TcpState::kSynReceived) = message.tcp_syn_recv_s();
  made.of(TcpState::kTimeWait) = message.tcp_time_wait_s();
  made.of(TcpState::kClose) = message.tcp_close_s();
  made.of(TcpState::kCloseWait) = message.tcp_close_wait_s();
  made.of(TcpState::kLastAck) = message.tcp_last_ack_s();
  made.of(TcpState::kListen) = message.tcp_listen_s();
  made.of(TcpState::kSynAck) = message.tcp_synack_s();
  made.of(SctpState::kNone) = message.sctp_none_s();
  made.of(SctpState::kInit1) = message.sctp_init1_s();
  made.of(SctpState::kInit) = message.sctp_init_s();
  made.of(SctpState::kCookieSent) = message.sctp_cookie_sent_s();
  made.of(SctpState::kCookieReplied) = message.sctp_cookie_replied_s();
  made.of(SctpState::kCookieWait) = message.sctp_cookie_wait_s();
  made.of(SctpState::kCookie) = message.sctp_cookie_s();
  made.of(SctpState::kCookieEchoed) = message.sctp_cookie_echoed_s();
  made.of(SctpState::kEstablished) = message.sctp_established_s();
  made.of(SctpState::kShutdownSent) = message.sctp_shutdown_sent_s();
  made.of(SctpState::kShutdownReceived) = message.sctp_shutdown_received_s();
  made.of(SctpState::kShutdownAckSent) = message.sctp_shutdown_ack_sent_s();
  made.of(SctpState::kRejected) = message.sctp_rejected_s();
  made.of(SctpState::kClosed) = message.sctp_closed_s();
  return made;
}

TunablesEdit tunables(const v1::Tunables& message) {
  TunablesEdit made;
#define X(name, initially) \
  if (message.has_##name()) made.name = message.name();
  FULCRUM_TUNABLES(X)
#undef X
  return made;
}

Family family(v1::AddressFamily message) {
  return message == v1::ADDRESS_FAMILY_IPV4   ? Family::kIpv4
         : message == v1::ADDRESS_FAMILY_IPV6 ? Family::kIpv6
                                              : Family::kNone;
}

PortRange port_range(const v1::PortRange& message, const std::string& path) {
  const uint32_t last = message.last() == 0 ? message.first() : message.last();
  const PortRange made{port_number(message.first(), path + ".first"), port_number(last, path + ".last")};
  if (made.first > made.last) bad(path, "first is above last");
  return made;
}

MarkRule mark_rule(const v1::MarkRule& message, const std::string& path) {
  MarkRule made;
  made.family = family(message.family());
  made.protocol = static_cast<IpProtocol>(message.protocol());
  if (!message.source().empty()) made.source = prefix(message.source(), path + ".source");
  if (!message.destination().empty()) made.destination = prefix(message.destination(), path + ".destination");
  if (message.has_source_ports()) made.source_ports = port_range(message.source_ports(), path + ".source_ports");
  if (message.has_destination_ports())
    made.destination_ports = port_range(message.destination_ports(), path + ".destination_ports");
  made.mark = message.mark();
  made.local = message.local();
  return made;
}

std::vector<MarkRule> mark_rules(const v1::MarkRules& message, const std::string& path) {
  std::vector<MarkRule> made;
  for (int i = 0; i < message.rules_size(); ++i)
    made.push_back(mark_rule(message.rules(i), path + ".rules[" + std::to_string(i) + "]"));
  return made;
}

// "203.0.113.10", or a VIP range, "203.0.113.0/24".
void write_vip_address(const std::string& text, const std::string& path, VipSettings& made) {
  if (text.find('/') == std::string::npos) {
    made.address = address(text, path);
    return;
  }
  const Prefix range = prefix(text, path);
  made.address = range.address;
  made.prefix_length = range.length;
  if (range.length == 0) bad(path, "a prefix of length 0 would be every address");
}

RealServer real_server(const ServiceKey& service, const v1::ServerKey& key, const v1::ServerSpec& spec,
                       const std::string& path) {
  RealServer made;
  made.key = server_key(key, path + ".key");
  switch (spec.method()) {
    case v1::FORWARDING_METHOD_NAT:
      made.method = ForwardingMethod::kNat;
      break;
    case v1::FORWARDING_METHOD_TUN:
      made.method = ForwardingMethod::kTun;
      break;
    default:
      made.method = ForwardingMethod::kDr;
  }
  if (made.method == ForwardingMethod::kTun) made.tunnel = tunnel_settings(spec, path + ".spec");
  const int32_t weight = spec.has_weight() ? spec.weight() : 1;
  if (weight < 0) bad(path + ".spec.weight", "below 0");
  made.weight = static_cast<uint32_t>(weight);
  made.upper_threshold = spec.upper_threshold();
  made.lower_threshold = spec.lower_threshold();
  // LVS: DR and TUN leave the port alone, so the server's is the service's.
  if (made.method != ForwardingMethod::kNat && service.fwmark == 0) made.key.port = service.port;
  return made;
}

VipSettings vip_settings(const v1::Vip& message, const std::string& path) {
  VipSettings made;
  write_vip_address(message.address(), path + ".address", made);
  if (message.announce() != v1::ANNOUNCE_UNSPECIFIED)
    made.announce = message.announce() == v1::ANNOUNCE_ARP     ? Announce::kArp
                    : message.announce() == v1::ANNOUNCE_ROUTE ? Announce::kRoute
                                                               : Announce::kNone;
  if (message.state() != v1::VIP_STATE_UNSPECIFIED)
    made.state = message.state() == v1::VIP_STATE_ACTIVE ? VipState::kActive : VipState::kStandby;
  return made;
}

v1::Reason reason_message(Reason reason) {
  switch (reason) {
    case Reason::kDone:
      return v1::REASON_UNSPECIFIED;
    case Reason::kServiceExists:
      return v1::REASON_SERVICE_EXISTS;
    case Reason::kServiceNotFound:
      return v1::REASON_SERVICE_NOT_FOUND;
    case Reason::kServerExists:
      return v1::REASON_SERVER_EXISTS;
    case Reason::kServerNotFound:
      return v1::REASON_SERVER_NOT_FOUND;
    case Reason::kSchedulerNotFound:
      return v1::REASON_SCHEDULER_NOT_FOUND;
    case Reason::kInvalid:
      return v1::REASON_INVALID;
    case Reason::kOutOfRange:
      return v1::REASON_OUT_OF_RANGE;
    case Reason::kFamilyMismatch:
      return v1::REASON_FAMILY_MISMATCH;
    case Reason::kNoRoom:
      return v1::REASON_NO_ROOM;
    case Reason::kNotSupported:
      return v1::REASON_NOT_SUPPORTED;
    case Reason::kVipNotFound:
      return v1::REASON_VIP_NOT_FOUND;
    case Reason::kPrefixListNotFound:
      return v1::REASON_PREFIX_LIST_NOT_FOUND;
    case Reason::kPrefixListInUse:
      return v1::REASON_PREFIX_LIST_IN_USE;
  }
  return v1::REASON_INVALID;
}

v1::NeighborState neighbor_state(NeighborState state) {
  switch (state) {
    case NeighborState::kIncomplete:
      return v1::NEIGHBOR_STATE_INCOMPLETE;
    case NeighborState::kReachable:
      return v1::NEIGHBOR_STATE_REACHABLE;
    case NeighborState::kStale:
    case NeighborState::kProbe:
      return v1::NEIGHBOR_STATE_STALE;
    case NeighborState::kFailed:
      return v1::NEIGHBOR_STATE_FAILED;
    case NeighborState::kStatic:
      return v1::NEIGHBOR_STATE_STATIC;
  }
  return v1::NEIGHBOR_STATE_UNSPECIFIED;
}

void write_counters(const CounterValues& counters, v1::Counters* message) {
  message->set_connections(counters.connections);
  message->set_in_packets(counters.in_packets);
  message->set_in_bytes(counters.in_bytes);
  message->set_out_packets(counters.out_packets);
  message->set_out_bytes(counters.out_bytes);
}

void write_rates(const Rates& rates, v1::Rates* message) {
  message->set_connections(rates.connections);
  message->set_in_packets(rates.in_packets);
  message->set_in_bytes(rates.in_bytes);
  message->set_out_packets(rates.out_packets);
  message->set_out_bytes(rates.out_bytes);
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

void write_kernel(const KernelInterfaceStatistics& of, const PortStatistics& port, v1::KernelInterface* message) {
  message->set_name(of.name);
  for (const Interface& interface : port.interfaces)
    if (interface.id == of.interface) message->set_interface(interface.name);
  message->set_to_kernel_packets(of.to_kernel_packets);
  message->set_to_kernel_bytes(of.to_kernel_bytes);
  message->set_from_kernel_packets(of.from_kernel_packets);
  message->set_from_kernel_bytes(of.from_kernel_bytes);
  message->set_refused_packets(of.refused);
  for (size_t i = 0; i < kKernelClasses; ++i) {
    v1::KernelClass* at = message->add_classes();
    at->set_name(std::string(kKernelClassNames[i]));
    at->set_limit_per_second(of.limits[i]);
    at->set_passed_packets(of.classes[i].passed);
    at->set_rate_limited_packets(of.classes[i].rate_limited);
    at->set_queue_full_packets(of.classes[i].queue_full);
  }
}

std::string_view state_name(const ConnectionInfo& connection) {
  if (connection.is_template) return connection.state != 0 ? "ASSURED" : "NONE";
  if (connection.protocol == IpProtocol::kTcp) return tcp_state_name(static_cast<TcpState>(connection.state));
  if (connection.protocol == IpProtocol::kSctp) return sctp_state_name(static_cast<SctpState>(connection.state));
  if (connection.protocol == IpProtocol::kIcmp || connection.protocol == IpProtocol::kIcmpv6) return "ECHO";
  return kUdpStateName;
}

}  // namespace

v1::ForwardingMethod method_message(ForwardingMethod method) {
  switch (method) {
    case ForwardingMethod::kNat:
      return v1::FORWARDING_METHOD_NAT;
    case ForwardingMethod::kTun:
      return v1::FORWARDING_METHOD_TUN;
    case ForwardingMethod::kDr:
      return v1::FORWARDING_METHOD_DR;
    case ForwardingMethod::kBypass:
    case ForwardingMethod::kMasquerade:
      break;
  }
  return v1::FORWARDING_METHOD_UNSPECIFIED;
}

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

Prefix prefix(const std::string& text, const std::string& path) {
  if (const auto alone = Address::parse(text))
    return {*alone, static_cast<uint8_t>(alone->family == Family::kIpv4 ? 32 : 128)};
  const auto parsed = Prefix::parse(text);
  if (!parsed) bad(path, "\"" + text + "\" is not an address with a prefix length");
  return *parsed;
}

ServiceKey service_key(const v1::ServiceKey& message, const std::string& path) {
  ServiceKey key;
  if (message.fwmark() != 0) {
    key.fwmark = message.fwmark();
    key.address.family = message.family() == v1::ADDRESS_FAMILY_IPV6 ? Family::kIpv6 : Family::kIpv4;
    return key;
  }
  key.address = address(message.address(), path + ".address");
  switch (message.protocol()) {
    case v1::PROTOCOL_TCP:
    case v1::PROTOCOL_UDP:
    case v1::PROTOCOL_SCTP:
      key.protocol = static_cast<IpProtocol>(message.protocol());
      break;
    default:
      bad(path + ".protocol", "not TCP, UDP or SCTP");
  }
  key.port = port_number(message.port(), path + ".port");
  return key;
}

Operation operation(const v1::Operation& message, const std::string& path) {
  Operation made;
  const auto service_change = [&](Operation::Kind kind, const v1::ServiceChange& change, const std::string& at) {
    made.kind = kind;
    made.service = service_key(change.key(), at + ".key");
    made.settings = settings(change.spec());
  };
  const auto server_change = [&](Operation::Kind kind, const v1::ServerChange& change, const std::string& at) {
    made.kind = kind;
    made.service = service_key(change.service(), at + ".service");
    made.server = real_server(made.service, change.key(), change.spec(), at);
  };
  switch (message.action_case()) {
    case v1::Operation::kAddService:
      service_change(Operation::Kind::kAddService, message.add_service(), path + ".add_service");
      break;
    case v1::Operation::kEditService:
      service_change(Operation::Kind::kEditService, message.edit_service(), path + ".edit_service");
      break;
    case v1::Operation::kDeleteService:
      made.kind = Operation::Kind::kDeleteService;
      made.service = service_key(message.delete_service(), path + ".delete_service");
      break;
    case v1::Operation::kAddServer:
      server_change(Operation::Kind::kAddServer, message.add_server(), path + ".add_server");
      break;
    case v1::Operation::kEditServer:
      server_change(Operation::Kind::kEditServer, message.edit_server(), path + ".edit_server");
      break;
    case v1::Operation::kDeleteServer:
      made.kind = Operation::Kind::kDeleteServer;
      made.service = service_key(message.delete_server().service(), path + ".delete_server.service");
      made.server.key = server_key(message.delete_server().key(), path + ".delete_server.key");
      break;
    case v1::Operation::kFlush:
      made.kind = Operation::Kind::kFlush;
      break;
    case v1::Operation::kZero:
      made.kind = Operation::Kind::kZero;
      made.all_services = !message.zero().has_service();
      if (!made.all_services) made.service = service_key(message.zero().service(), path + ".zero.service");
      break;
    case v1::Operation::kSetTimeouts:
      made.kind = Operation::Kind::kSetTimeouts;
      made.timeouts = timeouts(message.set_timeouts());
      break;
    case v1::Operation::kSetTunables:
      made.kind = Operation::Kind::kSetTunables;
      made.tunables = tunables(message.set_tunables());
      break;
    case v1::Operation::kSetMarkRules:
      made.kind = Operation::Kind::kSetMarkRules;
      made.marks = mark_rules(message.set_mark_rules(), path + ".set_mark_rules");
      break;
    case v1::Operation::kSetVip:
      made.kind = Operation::Kind::kSetVip;
      made.vip = vip_settings(message.set_vip(), path + ".set_vip");
      break;
    case v1::Operation::kDeleteVip:
      made.kind = Operation::Kind::kDeleteVip;
      write_vip_address(message.delete_vip(), path + ".delete_vip", made.vip);
      break;
    case v1::Operation::kSetTraffic:
      made.kind = Operation::Kind::kSetTraffic;
      made.service = service_key(message.set_traffic().service(), path + ".set_traffic.service");
      made.traffic = traffic_policy(message.set_traffic().traffic(), path + ".set_traffic.traffic");
      break;
    case v1::Operation::kSetPrefixList:
      made.kind = Operation::Kind::kSetPrefixList;
      made.prefixes = prefix_list(message.set_prefix_list(), path + ".set_prefix_list");
      break;
    case v1::Operation::kDeletePrefixList:
      made.kind = Operation::Kind::kDeletePrefixList;
      made.prefixes.name = message.delete_prefix_list();
      break;
    // What becomes of health checks comes as additions, edits and deletions of servers.
    case v1::Operation::kSetHealth:
    case v1::Operation::kSetServerHealth:
      bad(path, "health is the manager's");
    case v1::Operation::kSetDrain:
      bad(path, "drains are the manager's");
    case v1::Operation::ACTION_NOT_SET:
      bad(path, "no action");
  }
  return made;
}

Publisher::Wanted wanted(const v1::Configuration& message, const std::string& path) {
  Publisher::Wanted made;
  for (int i = 0; i < message.services_size(); ++i) {
    const auto& service = message.services(i);
    const std::string at = path + ".services[" + std::to_string(i) + "]";
    Publisher::Wanted::Service one;
    one.key = service_key(service.key(), at + ".key");
    one.settings = settings(service.spec());
    for (int j = 0; j < service.servers_size(); ++j)
      one.servers.push_back(real_server(one.key, service.servers(j).key(), service.servers(j).spec(),
                                        at + ".servers[" + std::to_string(j) + "]"));
    if (service.has_traffic()) one.traffic = traffic_policy(service.traffic(), at + ".traffic");
    made.services.push_back(std::move(one));
  }
  for (int i = 0; i < message.vips_size(); ++i)
    made.vips.push_back(vip_settings(message.vips(i), path + ".vips[" + std::to_string(i) + "]"));
  made.timeouts.set(timeouts(message.timeouts()));
  tunables(message.tunables()).apply_to(made.tunables);
  made.marks = mark_rules(message.mark_rules(), path + ".mark_rules");
  for (int i = 0; i < message.prefix_lists_size(); ++i)
    made.prefix_lists.push_back(
        prefix_list(message.prefix_lists(i), path + ".prefix_lists[" + std::to_string(i) + "]"));
  return made;
}

CheckPath check_path(const dataplane::CheckPath& message, const std::string& path) {
  CheckPath made;
  made.service = service_key(message.service(), path + ".service");
  if (made.service.fwmark != 0) bad(path + ".service.fwmark", "a service by mark has no VIP");
  made.port = port_number(message.port(), path + ".port");
  made.server = real_server(made.service, message.key(), message.spec(), path);
  if (made.server.method != ForwardingMethod::kTun && made.server.key.address.family != made.service.address.family)
    bad(path + ".key.address", "another address family than the service's");
  // Nobody chooses it.
  made.server.weight = made.server.last_weight = 1;
  made.server.upper_threshold = made.server.lower_threshold = 0;
  made.first_port = port_number(message.first_port(), path + ".first_port");
  made.ports = port_number(message.ports(), path + ".ports");
  if (made.first_port == 0 || made.ports == 0 || made.first_port + made.ports > 65536)
    bad(path + ".ports", "not so many ports from first_port on");
  return made;
}

ConnectionFilter connection_filter(const v1::ConnectionFilter& message, const std::string& path) {
  ConnectionFilter filter;
  filter.by_service = message.has_service();
  if (filter.by_service) filter.service = service_key(message.service(), path + ".service");
  if (!message.server_address().empty()) filter.server = address(message.server_address(), path + ".server_address");
  if (message.has_server_port()) filter.server_port = port_number(message.server_port(), path + ".server_port");
  if (!message.client().empty()) filter.client = prefix(message.client(), path + ".client");
  if (message.protocol() != v1::PROTOCOL_UNSPECIFIED) filter.protocol = static_cast<IpProtocol>(message.protocol());
  if (message.state().empty()) return filter;
  const auto states = StateSet::named(message.state());
  if (!states) bad(path + ".state", "no protocol has a state \"" + message.state() + "\"");
  filter.states = *states;
  return filter;
}

void write(const ServiceKey& key, v1::ServiceKey* message) {
  if (key.fwmark != 0) {
    message->set_fwmark(key.fwmark);
    message->set_family(key.address.family == Family::kIpv6 ? v1::ADDRESS_FAMILY_IPV6 : v1::ADDRESS_FAMILY_IPV4);
    return;
  }
  message->set_protocol(static_cast<v1::Protocol>(key.protocol));
  message->set_address(key.address.text());
  message->set_port(key.port);
}

void write(const OperationResult& result, v1::OperationResult* message) {
  message->set_reason(reason_message(result.reason));
  message->set_field(result.field);
  message->set_message(result.message);
}

void write(const ServiceStatistics& statistics, v1::ServiceStatistics* message) {
  write(statistics.key, message->mutable_key());
  write_counters(statistics.counters, message->mutable_counters());
  write_rates(statistics.rates, message->mutable_rates());
  message->set_open_connections(statistics.open);
  write(statistics.refusals, message->mutable_refusals());
  for (const ServerStatistics& server : statistics.servers) {
    auto* one = message->add_servers();
    one->mutable_key()->set_address(server.key.address.text());
    one->mutable_key()->set_port(server.key.port);
    write_counters(server.counters, one->mutable_counters());
    write_rates(server.rates, one->mutable_rates());
    one->set_active_connections(server.active);
    one->set_inactive_connections(server.inactive);
    one->set_persistent_connections(server.persistent);
    if (server.answers.opened == 0 && server.answers.answered == 0 && server.answers.reset == 0) continue;
    auto* answers = one->mutable_answers();
    answers->set_opened(server.answers.opened);
    answers->set_answered(server.answers.answered);
    answers->set_reset(server.answers.reset);
  }
}

void write(const WorkerReport& report, v1::WorkerStatistics* message) {
  message->set_worker(report.worker);
  message->set_cpu(report.cpu);
  message->set_rx_packets(report.counters.rx_packets);
  message->set_tx_packets(report.counters.tx_packets);
  message->set_handed_over(report.counters.handed_over);
  message->set_taken_over(report.counters.taken_over);
  message->set_connections(report.connections);
  message->set_connection_capacity(report.capacity);
  message->set_busy_ns(report.busy_ns);
  message->set_total_ns(report.total_ns);
  message->set_stateless_packets(report.counters.stateless);
  message->set_adopted_connections(report.counters.adopted);
  message->set_deleted_connections(report.counters.deleted);
  message->set_reset_packets(report.counters.resets);
  for (size_t i = 0; i < kVerdicts; ++i) {
    auto* verdict = message->add_verdicts();
    verdict->set_verdict(std::string(verdict_name(static_cast<Verdict>(i))));
    verdict->set_packets(report.counters.verdicts[i]);
    verdict->set_drop(verdict_is_loss(static_cast<Verdict>(i)));
  }
  // Not a packet that was received: an answer or a fragment of the director's own that could not leave.
  auto* own = message->add_verdicts();
  own->set_verdict("own_packet_lost");
  own->set_packets(report.counters.unnamed_lost);
  own->set_drop(true);
}

void write(const OverloadReport& overload, v1::Overload* message) {
  message->set_worker(overload.worker);
  message->set_reason(std::string(shortage_name(overload.shortage)));
  if (overload.shortage == Shortage::kTableFullIpv4) message->set_family(v1::ADDRESS_FAMILY_IPV4);
  if (overload.shortage == Shortage::kTableFullIpv6) message->set_family(v1::ADDRESS_FAMILY_IPV6);
}

void write(const ConnectionInfo& connection, v1::Connection* message) {
  const auto protocol = static_cast<v1::Protocol>(connection.protocol);
  if (v1::Protocol_IsValid(protocol)) message->set_protocol(protocol);  // but for ICMP echo's
  message->set_masqueraded(connection.method == ForwardingMethod::kMasquerade);
  message->set_client_address(connection.client.text());
  message->set_client_port(connection.client_port);
  message->set_virtual_address(connection.vip.text());
  message->set_virtual_port(connection.virtual_port);
  message->set_server_address(connection.server.text());
  message->set_server_port(connection.server_port);
  message->set_state(std::string(state_name(connection)));
  message->set_expires_ms(connection.expires_ms);
  message->set_method(method_message(connection.method));
  message->set_active(connection.active);
  message->set_worker(connection.worker);
  message->set_in_packets(connection.in_packets);
  message->set_fwmark(connection.fwmark);
}

void write(const NeighborInfo& neighbor, const Network& network, v1::Neighbor* message) {
  message->set_address(neighbor.key.address.text());
  message->set_interface(network.interface(neighbor.key.interface).name);
  if (neighbor.has_mac) message->set_mac(mac_text(neighbor.mac));
  message->set_state(neighbor_state(neighbor.state));
  message->set_age_ms(neighbor.age_ms);
}

void write(const RouteInfo& route, const Network& network, v1::Route* message) {
  message->set_destination(route.destination.text());
  if (route.route.gateway.family != Family::kNone) message->set_via(route.route.gateway.text());
  if (route.route.leads_somewhere()) message->set_interface(network.interface(route.route.interface).name);
  message->set_metric(route.metric);
  message->set_protocol(route_protocol_name(route.protocol));
  message->set_blackhole(route.route.is_silent);
  message->set_from_kernel(route.is_from_kernel);
  message->set_in_force(route.is_in_force);
}

void write(const PortStatistics& port, v1::Port* message) {
  message->set_name(port.name);
  message->set_device(port.device);
  message->set_driver(port.driver);
  message->set_mac(mac_text(port.mac));
  message->set_link_up(port.link_up);
  message->set_speed_mbps(port.speed_mbps);
  message->set_rss_aligned(port.rss_aligned);
  message->set_rx_queues(port.rx_queues);
  message->set_tx_queues(port.tx_queues);
  message->set_mtu(port.mtu);
  message->set_rx_packets(port.rx_packets);
  message->set_tx_packets(port.tx_packets);
  message->set_rx_bytes(port.rx_bytes);
  message->set_tx_bytes(port.tx_bytes);
  message->set_rx_missed(port.rx_missed);
  message->set_rx_errors(port.rx_errors);
  message->set_tx_errors(port.tx_errors);
  message->set_rx_no_buffer(port.rx_no_buffer);
  for (const std::string& offload : port.offloads) message->add_offloads(offload);
  for (const KernelInterfaceStatistics& kernel : port.kernel) write_kernel(kernel, port, message->add_kernel());
  for (const Interface& interface : port.interfaces) {
    auto* one = message->add_interfaces();
    one->set_name(interface.name);
    one->set_port(port.name);
    one->set_vlan(interface.vlan);
    one->set_mac(mac_text(interface.mac));
    one->set_mtu(interface.mtu);
    for (const Prefix& own : interface.addresses) one->add_addresses(own.text());
  }
}

void write(const Event& event, v1::Event* message) {
  const auto seconds = static_cast<time_t>(event.unix_ms / 1000);
  tm utc{};
  gmtime_r(&seconds, &utc);
  char text[40];
  const size_t length = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
  std::snprintf(text + length, sizeof text - length, ".%03uZ", static_cast<unsigned>(event.unix_ms % 1000));
  message->set_time(text);
  message->set_kind(event.kind);
  message->set_message(event.message);
}

}  // namespace fulcrum::api
