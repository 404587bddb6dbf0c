// SPDX-License-Identifier: Apache-2.0
#include "core/difference.h"

#include <set>
#include <unordered_map>
#include <unordered_set>

namespace fulcrum {

namespace {

using Operations = std::vector<Operation>;

Operation& add(Operations& operations, Operation::Kind kind, const ServiceKey& service = {}) {
  operations.emplace_back();
  operations.back().kind = kind;
  operations.back().service = service;
  return operations.back();
}

ServiceSettings settings_of(const VirtualService& service) {
  return {service.scheduler, service.scheduler_flags, service.persistence_timeout_s, service.persistence_prefix,
          service.one_packet};
}

bool is_equal(const RealServer& is, const RealServer& wanted) {
  return is.method == wanted.method && is.weight == wanted.weight && is.upper_threshold == wanted.upper_threshold &&
         is.lower_threshold == wanted.lower_threshold && is.tunnel == wanted.tunnel;
}

bool is_equal(const VipSettings& is, const VipSettings& wanted) {
  return is.announce.value_or(Announce::kArp) == wanted.announce.value_or(Announce::kArp) &&
         is.state.value_or(VipState::kActive) == wanted.state.value_or(VipState::kActive);
}

// The longest common beginning keeps its place; later ones that are not in the same order are added anew.
void servers_difference(const std::vector<RealServer>& servers, const WantedConfiguration::Service& wanted,
                        Operations& operations) {
  std::unordered_set<ServerKey, ServerKeyHash> stay;
  for (const RealServer& server : wanted.servers) stay.insert(server.key);
  std::vector<const RealServer*> kept;
  for (const RealServer& server : servers) {
    if (stay.contains(server.key)) {
      kept.push_back(&server);
    } else {
      add(operations, Operation::Kind::kDeleteServer, wanted.key).server = server;
    }
  }
  size_t same = 0;
  while (same < kept.size() && same < wanted.servers.size() && kept[same]->key == wanted.servers[same].key) ++same;
  for (size_t i = same; i < kept.size(); ++i)
    add(operations, Operation::Kind::kDeleteServer, wanted.key).server = *kept[i];
  for (size_t i = 0; i < wanted.servers.size(); ++i) {
    const RealServer& server = wanted.servers[i];
    if (i >= same) {
      add(operations, Operation::Kind::kAddServer, wanted.key).server = server;
    } else if (!is_equal(*kept[i], server)) {
      add(operations, Operation::Kind::kEditServer, wanted.key).server = server;
    }
  }
}

bool is_equal(const TrafficRules* is, const TrafficPolicy* wanted) {
  static const TrafficPolicy kNone;
  return (is == nullptr ? kNone : is->policy) == (wanted == nullptr ? kNone : *wanted);
}

void services_difference(const ServiceList& services, const WantedConfiguration& wanted, Operations& operations) {
  std::unordered_map<ServiceKey, const VirtualService*, ServiceKeyHash> have;
  for (const auto& service : services) have.emplace(service->key, service.get());
  std::unordered_set<ServiceKey, ServiceKeyHash> named;
  for (const auto& service : wanted.services) named.insert(service.key);
  for (const auto& service : services)
    if (!named.contains(service->key)) add(operations, Operation::Kind::kDeleteService, service->key);

  static const std::vector<RealServer> kNobody;
  for (const auto& service : wanted.services) {
    const auto found = have.find(service.key);
    if (found == have.end()) {
      add(operations, Operation::Kind::kAddService, service.key).settings = service.settings;
    } else if (!(settings_of(*found->second) == service.settings)) {
      add(operations, Operation::Kind::kEditService, service.key).settings = service.settings;
    }
    const TrafficRules* traffic = found == have.end() ? nullptr : found->second->traffic.get();
    if (!is_equal(traffic, service.traffic.get()))
      add(operations, Operation::Kind::kSetTraffic, service.key).traffic = service.traffic;
    servers_difference(found == have.end() ? kNobody : found->second->servers, service, operations);
  }
}

void vips_difference(const DeclaredVips& vips, const std::vector<VipSettings>& wanted, Operations& operations) {
  std::set<std::string> named;
  for (const VipSettings& vip : wanted) {
    named.insert(vip.text());
    const auto found = vips.find(vip.text());
    if (found == vips.end() || !is_equal(found->second, vip)) add(operations, Operation::Kind::kSetVip).vip = vip;
  }
  for (const auto& [text, vip] : vips)
    if (!named.contains(text)) add(operations, Operation::Kind::kDeleteVip).vip = vip;
}

// Before the services that refer to them.
void prefix_lists_set(const PrefixLists& lists, const std::vector<NamedPrefixList>& wanted, Operations& operations) {
  for (const NamedPrefixList& named : wanted) {
    const PrefixList* is = lists.find(named.name);
    if (is == nullptr || !(*is == *named.list)) add(operations, Operation::Kind::kSetPrefixList).prefixes = named;
  }
}

// After the services that did.
void prefix_lists_deleted(const PrefixLists& lists, const std::vector<NamedPrefixList>& wanted,
                          Operations& operations) {
  std::unordered_set<std::string> named;
  for (const NamedPrefixList& list : wanted) named.insert(list.name);
  for (const auto& [name, slot] : lists.slots)
    if (!named.contains(name)) add(operations, Operation::Kind::kDeletePrefixList).prefixes.name = name;
}

}  // namespace

std::vector<Operation> difference(const ServiceList& services, const Settings& settings,
                                  const WantedConfiguration& wanted) {
  Operations operations;
  prefix_lists_set(*settings.prefix_lists, wanted.prefix_lists, operations);
  services_difference(services, wanted, operations);
  prefix_lists_deleted(*settings.prefix_lists, wanted.prefix_lists, operations);
  vips_difference(*settings.vips, wanted.vips, operations);
  Timeouts timeouts = settings.timeouts;
  timeouts.set(wanted.timeouts);
  if (!(timeouts == settings.timeouts)) add(operations, Operation::Kind::kSetTimeouts).timeouts = wanted.timeouts;
  if (!(wanted.tunables == settings.tunables))
    add(operations, Operation::Kind::kSetTunables).tunables = TunablesEdit::to(wanted.tunables);
  if (!(wanted.marks == *settings.marks)) add(operations, Operation::Kind::kSetMarkRules).marks = wanted.marks;
  return operations;
}

}  // namespace fulcrum
