// SPDX-License-Identifier: Apache-2.0
// Edits and what else is asked for, as the engine's own types.
#include "api/translate.h"

#include "api/fields.h"
#include "api/traffic.h"

namespace fulcrum::api {

namespace {

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

}  // namespace

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

}  // namespace fulcrum::api
