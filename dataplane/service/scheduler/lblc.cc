// SPDX-License-Identifier: Apache-2.0
// Locality-based least connection (LVS "lblc"): a destination address stays with the server that it went to last, even
// an overloaded one, until that is deleted, quiesced or crowded while another is idle by half; then, and at first, the
// server of the smallest cost per weight is chosen (see wlc).
#include "service/scheduler/locality.h"

namespace fulcrum {
namespace {

// Index into service.servers of the one that the destination stays with, or -1.
int stays_with(std::span<CachedServer> known, const VirtualService& service, const LoadView& loads) {
  if (known.empty()) return -1;
  const int index = locate(known.front(), service);
  if (index < 0) return -1;
  const RealServer& server = service.servers[static_cast<size_t>(index)];
  return server.weight != 0 && !is_crowded(server, service, loads) ? index : -1;
}

int choose(SchedulerState&, const VirtualService& service, const LoadView& loads, const ScheduleRequest& request) {
  DestinationCache::Visit visit(*service.destinations, request.destination, request.now_ms);
  const int known = stays_with(visit.servers(), service, loads);
  if (known >= 0) return known;
  const int chosen = least_per_weight(service, loads, connection_cost);
  if (chosen >= 0) visit.replace(remembered(service, chosen));
  return chosen;
}

int foretell(const VirtualService& service, const LoadView& loads, const ScheduleRequest& request) {
  auto known = service.destinations->servers_of(request.destination);
  const int index = stays_with(known, service, loads);
  return index >= 0 ? index : least_per_weight(service, loads, connection_cost);
}

}  // namespace

constexpr Scheduler schedulers::lblc = {.name = "lblc",
                                        .start = nullptr,
                                        .edit = nullptr,
                                        .choose = choose,
                                        .foretell = foretell,
                                        .cost = cost_per_weight<connection_cost>,
                                        .counts_connections = true,
                                        .table_weight = &RealServer::weight,
                                        .cache_expiration = &CacheExpirations::lblc_s,
                                        .may_choose_overloaded = true,
                                        .seeks_least = true};

}  // namespace fulcrum
