// SPDX-License-Identifier: Apache-2.0
// Locality-based least connection (LVS "lblc"): a destination address stays with the server that it went to last, even
// an overloaded one, until that is deleted, quiesced or crowded while another is idle by half; then, and at first, the
// server of the smallest cost per weight is chosen (see wlc).
#include "service/scheduler/locality.h"

namespace fulcrum {
namespace {

int choose(SchedulerState&, const VirtualService& service, const LoadView& loads, const ScheduleRequest& request) {
  DestinationCache::Visit visit(*service.destinations, request.destination, request.now_ms);
  const auto known = visit.servers();
  if (!known.empty()) {
    const int index = locate(known.front(), service);
    if (index >= 0) {
      const RealServer& server = service.servers[static_cast<size_t>(index)];
      if (server.weight != 0 && !is_crowded(server, service, loads)) return index;
    }
  }
  const int chosen = least_per_weight(service, loads, connection_cost);
  if (chosen >= 0) visit.replace(remembered(service, chosen));
  return chosen;
}

}  // namespace

constexpr Scheduler schedulers::lblc = {.name = "lblc",
                                        .start = nullptr,
                                        .edit = nullptr,
                                        .choose = choose,
                                        .counts_connections = true,
                                        .table_weight = &RealServer::weight,
                                        .cache_expiration = &CacheExpirations::lblc_s,
                                        .may_choose_overloaded = true,
                                        .seeks_least = true};

}  // namespace fulcrum
