// SPDX-License-Identifier: Apache-2.0
// Locality-based least connection with replication (LVS "lblcr"): a destination address has a set of servers and goes
// to the one of the smallest cost per weight. When that is crowded while another of the service is idle by half, the
// best of all joins the set; from a set that has not changed for long, the worst goes.
#include <optional>

#include "service/scheduler/locality.h"

namespace fulcrum {
namespace {

// Index into service.servers of the best usable one, or -1.
int least_of(std::span<CachedServer> set, const VirtualService& service, const LoadView& loads) {
  int best = -1;
  uint64_t best_cost = 0, best_weight = 0;
  for (CachedServer& member : set) {
    const int index = locate(member, service);
    if (index < 0 || member.weight == 0) continue;
    const ServerLoad load = loads.of(member.slot);
    if (load.overloaded) continue;
    const uint64_t cost = connection_cost(load);
    if (best >= 0 && best_cost * member.weight <= cost * best_weight) continue;
    best = index;
    best_cost = cost;
    best_weight = member.weight;
  }
  return best;
}

// Place in the set of the greatest cost per weight, the first of equals. Deleted and overloaded servers count, with the
// weight that they had; quiesced ones do not.
std::optional<size_t> most_of(std::span<CachedServer> set, const VirtualService& service, const LoadView& loads) {
  std::optional<size_t> worst;
  uint64_t worst_cost = 0, worst_weight = 0;
  for (size_t place = 0; place < set.size(); ++place) {
    CachedServer& member = set[place];
    locate(member, service);
    if (member.weight == 0) continue;
    const uint64_t cost = connection_cost(loads.of(member.slot));
    if (worst && worst_cost * member.weight >= cost * worst_weight) continue;
    worst = place;
    worst_cost = cost;
    worst_weight = member.weight;
  }
  return worst;
}

void let_go_of_most(DestinationCache::Visit& visit, const VirtualService& service, const LoadView& loads,
                    const ScheduleRequest& request) {
  const uint64_t expiration_ms = uint64_t{request.expirations.lblcr_s} * 1000;
  if (visit.servers().size() < 2 || request.now_ms <= visit.changed_ms() + expiration_ms) return;
  if (const auto worst = most_of(visit.servers(), service, loads)) visit.leave(*worst);
}

bool has(std::span<const CachedServer> set, ServerSlot slot) {
  return std::any_of(set.begin(), set.end(), [slot](const CachedServer& member) { return member.slot == slot; });
}

// Index into service.servers of the one of the set that it goes to, or -1.
int stays_with(std::span<CachedServer> set, const VirtualService& service, const LoadView& loads) {
  const int best = least_of(set, service, loads);
  return best >= 0 && !is_crowded(service.servers[static_cast<size_t>(best)], service, loads) ? best : -1;
}

int choose(SchedulerState&, const VirtualService& service, const LoadView& loads, const ScheduleRequest& request) {
  DestinationCache::Visit visit(*service.destinations, request.destination, request.now_ms);
  const int known = stays_with(visit.servers(), service, loads);
  // The one that leaves may be the one that was chosen: it has this connection yet.
  let_go_of_most(visit, service, loads, request);
  if (known >= 0) return known;
  const int chosen = least_per_weight(service, loads, connection_cost);
  if (chosen >= 0 && !has(visit.servers(), service.servers[static_cast<size_t>(chosen)].slot))
    visit.join(remembered(service, chosen));
  return chosen;
}

int foretell(const VirtualService& service, const LoadView& loads, const ScheduleRequest& request) {
  auto known = service.destinations->servers_of(request.destination);
  const int index = stays_with(known, service, loads);
  return index >= 0 ? index : least_per_weight(service, loads, connection_cost);
}

}  // namespace

constexpr Scheduler schedulers::lblcr = {.name = "lblcr",
                                         .start = nullptr,
                                         .edit = nullptr,
                                         .choose = choose,
                                         .foretell = foretell,
                                         .cost = cost_per_weight<connection_cost>,
                                         .counts_connections = true,
                                         .table_weight = &RealServer::weight,
                                         .cache_expiration = &CacheExpirations::lblcr_s,
                                         .seeks_least = true};

}  // namespace fulcrum
