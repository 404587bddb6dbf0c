// SPDX-License-Identifier: Apache-2.0
#include "api/read_back.h"

namespace fulcrum::api {

namespace {

void set_by_name(google::protobuf::Message* message, const std::string& name, uint32_t value) {
  message->GetReflection()->SetUInt32(message, message->GetDescriptor()->FindFieldByName(name), value);
}

void write(const ClientPrefixes& clients, google::protobuf::RepeatedPtrField<std::string>* message) {
  for (const std::string& list : clients.lists) *message->Add() = list;
  for (const Prefix& own : clients.own) *message->Add() = own.text();
}

void write(const TrafficPolicy& policy, v1::TrafficPolicy* message) {
  write(policy.allow, message->mutable_allow());
  write(policy.deny, message->mutable_deny());
  message->set_max_connections(policy.max_connections);
  message->set_connections_per_second(policy.connections_per_second);
  message->set_connections_burst(policy.connections_burst);
  message->set_mss_auto(policy.mss == kAutoSegmentLimit);
  if (policy.mss != kAutoSegmentLimit) message->set_mss(policy.mss);
}

void write(const TunnelSettings& tunnel, v1::ServerSpec* message) {
  message->set_tunnel_type(tunnel.type == TunnelType::kGue   ? v1::TUNNEL_TYPE_GUE
                           : tunnel.type == TunnelType::kGre ? v1::TUNNEL_TYPE_GRE
                                                             : v1::TUNNEL_TYPE_IPIP);
  message->set_tunnel_port(tunnel.port);
  message->set_tunnel_checksum(tunnel.checksum == TunnelChecksum::kFull     ? v1::TUNNEL_CHECKSUM_CSUM
                               : tunnel.checksum == TunnelChecksum::kRemote ? v1::TUNNEL_CHECKSUM_REMCSUM
                                                                            : v1::TUNNEL_CHECKSUM_NOCSUM);
}

void write(const RealServer& server, v1::RealServer* message) {
  message->mutable_key()->set_address(server.key.address.text());
  message->mutable_key()->set_port(server.key.port);
  v1::ServerSpec* spec = message->mutable_spec();
  spec->set_method(method_message(server.method));
  spec->set_weight(static_cast<int32_t>(server.weight));
  spec->set_upper_threshold(server.upper_threshold);
  spec->set_lower_threshold(server.lower_threshold);
  if (server.method == ForwardingMethod::kTun) write(server.tunnel, spec);
}

void write(const std::string& address, const LocalAddress& vip, v1::Vip* message) {
  message->set_address(address);
  message->set_announce(vip.announce == Announce::kArp     ? v1::ANNOUNCE_ARP
                        : vip.announce == Announce::kRoute ? v1::ANNOUNCE_ROUTE
                                                           : v1::ANNOUNCE_NONE);
  message->set_state(vip.active ? v1::VIP_STATE_ACTIVE : v1::VIP_STATE_STANDBY);
}

v1::AddressFamily family_message(Family family) {
  return family == Family::kIpv4   ? v1::ADDRESS_FAMILY_IPV4
         : family == Family::kIpv6 ? v1::ADDRESS_FAMILY_IPV6
                                   : v1::ADDRESS_FAMILY_UNSPECIFIED;
}

void write(const PortRange& ports, v1::PortRange* message) {
  message->set_first(ports.first);
  message->set_last(ports.last);
}

void write(const MarkRule& rule, v1::MarkRule* message) {
  message->set_family(family_message(rule.family));
  if (v1::Protocol_IsValid(static_cast<int>(rule.protocol)))
    message->set_protocol(static_cast<v1::Protocol>(rule.protocol));
  if (rule.source.address.family != Family::kNone) message->set_source(rule.source.text());
  if (rule.destination.address.family != Family::kNone) message->set_destination(rule.destination.text());
  if (!rule.source_ports.is_all()) write(rule.source_ports, message->mutable_source_ports());
  if (!rule.destination_ports.is_all()) write(rule.destination_ports, message->mutable_destination_ports());
  message->set_mark(rule.mark);
  message->set_local(rule.local);
}

std::string text_of(const ServerKey& key) {
  const std::string address = key.address.text();
  return (key.address.family == Family::kIpv6 ? "[" + address + "]" : address) + ":" + std::to_string(key.port);
}

}  // namespace

void write(const VirtualService& service, v1::VirtualService* message) {
  write(service.key, message->mutable_key());
  v1::ServiceSpec* spec = message->mutable_spec();
  if (service.rules != nullptr) spec->set_scheduler(std::string(service.rules->name));
  spec->set_scheduler_flags(service.scheduler_flags);
  spec->set_persistence_timeout_s(service.persistence_timeout_s);
  spec->set_persistence_prefix(service.persistence_prefix);
  spec->set_one_packet(service.one_packet);
  if (service.traffic != nullptr) write(service.traffic->policy, message->mutable_traffic());
  for (const RealServer& server : service.servers) write(server, message->add_servers());
}

void write_settings(const Snapshot& snapshot, v1::Configuration* message) {
  for (const auto& cell : snapshot.local->cells())
    if (cell.used && cell.value.is_vip) write(cell.key.text(), cell.value, message->add_vips());
  for (const LocalPrefix& range : *snapshot.local_prefixes) write(range.prefix.text(), range.what, message->add_vips());
  visit_timeouts(snapshot.timeouts, [&](std::string_view name, uint32_t seconds) {
    set_by_name(message->mutable_timeouts(), std::string(name) + "_s", seconds);
  });
#define X(name, initially) set_by_name(message->mutable_tunables(), #name, snapshot.tunables.name);
  FULCRUM_TUNABLES(X)
#undef X
  for (const MarkRule& rule : *snapshot.marks) write(rule, message->mutable_mark_rules()->add_rules());
  for (const auto& [name, slot] : snapshot.prefix_lists->slots) {
    v1::PrefixList* list = message->add_prefix_lists();
    list->set_name(name);
    snapshot.prefix_lists->by_slot[slot]->visit([&](const Prefix& prefix) { list->add_prefixes(prefix.text()); });
  }
}

std::vector<std::string> contradictions(const Snapshot& snapshot, size_t position, const ServerLine* lines) {
  const VirtualService& service = *snapshot.services[position];
  std::vector<std::string> found;
  if (const char* what = contradiction(snapshot, service, position)) found.emplace_back(what);
  for (const RealServer& server : service.servers)
    if (const char* what = contradiction(snapshot, service, server, lines))
      found.push_back("real server " + text_of(server.key) + ": " + what);
  return found;
}

void write(const ConfigurationDigests& digests, uint32_t worker, bool with_services,
           dataplane::ConfigurationDigest* message) {
  message->set_worker(worker);
  message->set_services(digests.services.value());
  message->set_vips(digests.vips.value());
  message->set_timeouts(digests.settings.timeouts.value());
  message->set_tunables(digests.settings.tunables.value());
  message->set_mark_rules(digests.settings.mark_rules.value());
  message->set_prefix_lists(digests.settings.prefix_lists.value());
  if (!with_services) return;
  for (const Digest& one : digests.each) message->add_each_service(one.value());
}

void write(const ServicePlan& plan, v1::ServicePlan* message) {
  write(plan.key, message->mutable_service());
  message->set_change(plan.change == ServicePlan::Change::kAdded     ? v1::ServicePlan::CHANGE_ADDED
                      : plan.change == ServicePlan::Change::kDeleted ? v1::ServicePlan::CHANGE_DELETED
                                                                     : v1::ServicePlan::CHANGE_EDITED);
  message->set_hash_slots(plan.buckets);
  message->set_moved_hash_slots(plan.moved);
  message->set_usable_servers_before(plan.usable_before);
  message->set_usable_servers_after(plan.usable_after);
  message->set_connections(plan.connections);
  message->set_lost_active_connections(plan.active);
  message->set_lost_inactive_connections(plan.inactive);
  message->set_quiesced_connections(plan.quiesced);
  message->set_lost_templates(plan.templates);
}

}  // namespace fulcrum::api
