// SPDX-License-Identifier: Apache-2.0
#include "service/configuration_digest.h"

namespace fulcrum {

namespace {

Digest named(std::string_view name, uint32_t value) {
  Digest digest;
  digest.add(name);
  digest.add(value);
  return digest;
}

void add_clients(Digest& digest, const ClientPrefixes& clients) {
  digest.add(static_cast<uint32_t>(clients.lists.size()));
  for (const std::string& list : clients.lists) digest.add(list);
  digest.add(static_cast<uint32_t>(clients.own.size()));
  for (const Prefix& own : clients.own) digest.add(own);
}

void add_traffic(Digest& digest, const TrafficPolicy& policy) {
  add_clients(digest, policy.allow);
  add_clients(digest, policy.deny);
  digest.add(policy.max_connections);
  digest.add(policy.connections_per_second);
  digest.add(policy.connections_burst);
  digest.add(policy.mss);
}

Digest timeouts_digest(const TimeoutTable& table) {
  Digest digest;
  visit_timeouts(table, [&](std::string_view name, uint32_t seconds) { digest.join(named(name, seconds)); });
  return digest;
}

Digest tunables_digest(const Tunables& tunables) {
  Digest digest;
#define X(name, initially) digest.join(named(#name, tunables.name));
  FULCRUM_TUNABLES(X)
#undef X
  return digest;
}

Digest mark_rules_digest(const std::vector<MarkRule>& rules) {
  Digest digest;
  for (const MarkRule& rule : rules) {
    digest.add(static_cast<uint32_t>(rule.family));
    digest.add(static_cast<uint32_t>(rule.protocol));
    digest.add(rule.source);
    digest.add(rule.destination);
    for (const PortRange& ports : {rule.source_ports, rule.destination_ports})
      digest.add(uint32_t{ports.first} << 16 | ports.last);
    digest.add(rule.mark);
    digest.add(rule.local ? 1 : 0);
  }
  return digest;
}

Digest prefix_lists_digest(const PrefixLists& lists) {
  Digest digest;
  for (const auto& [name, slot] : lists.slots) {
    Digest list;
    list.add(name);
    list.add(lists.by_slot[slot]->digest());
    digest.join(list);
  }
  return digest;
}

}  // namespace

Digest digest_of(const Prefix& vip, const LocalAddress& what) {
  Digest digest;
  digest.add(vip);
  digest.add(static_cast<uint32_t>(what.announce));
  digest.add(what.active ? 1 : 0);
  return digest;
}

Digest digest_of(const VirtualService& service) {
  Digest digest;
  digest.add(static_cast<uint32_t>(service.key.protocol));
  digest.add(service.key.address);
  digest.add(uint32_t{service.key.port});
  digest.add(service.key.fwmark);
  digest.add(service.rules == nullptr ? std::string_view() : service.rules->name);
  digest.add(service.scheduler_flags);
  digest.add(service.persistence_timeout_s);
  digest.add(uint32_t{service.persistence_prefix});
  digest.add(service.one_packet ? 1 : 0);
  static const TrafficPolicy kNone;
  add_traffic(digest, service.traffic == nullptr ? kNone : service.traffic->policy);
  digest.add(static_cast<uint32_t>(service.servers.size()));
  return digest;
}

Digest digest_of(const RealServer& server) {
  Digest digest;
  digest.add(server.key.address);
  digest.add(uint32_t{server.key.port});
  digest.add(static_cast<uint32_t>(server.method));
  digest.add(server.weight);
  digest.add(server.upper_threshold);
  digest.add(server.lower_threshold);
  digest.add(static_cast<uint32_t>(server.tunnel.type));
  digest.add(static_cast<uint32_t>(server.tunnel.checksum));
  digest.add(uint32_t{server.tunnel.port});
  return digest;
}

SettingsDigests settings_digests(const Snapshot& snapshot) {
  return {timeouts_digest(snapshot.timeouts), tunables_digest(snapshot.tunables), mark_rules_digest(*snapshot.marks),
          prefix_lists_digest(*snapshot.prefix_lists)};
}

}  // namespace fulcrum
