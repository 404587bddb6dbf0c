// SPDX-License-Identifier: Apache-2.0
// What the engine says, as messages.
#include <ctime>

#include "api/traffic.h"
#include "api/translate.h"

namespace fulcrum::api {

namespace {

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
  for (const uint64_t bursts : report.counters.bursts) message->add_bursts(bursts);
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
