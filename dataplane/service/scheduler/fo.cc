// SPDX-License-Identifier: Apache-2.0
// Weighted failover (LVS "fo"): all connections to the usable server of the greatest weight, the nearest to the list's
// head among equals. The next one takes over when its weight becomes 0 or it is overloaded.
#include "service/scheduler/scheduler.h"

namespace fulcrum {
namespace {

int choose(SchedulerState&, const VirtualService& service, const LoadView& loads, const ScheduleRequest&) {
  int best = -1;
  uint32_t best_weight = 0;
  for (size_t index = service.servers.size(); index-- > 0;) {
    const RealServer& server = service.servers[index];
    if (server.weight <= best_weight || is_overloaded(server, loads)) continue;
    best = static_cast<int>(index);
    best_weight = server.weight;
  }
  return best;
}

}  // namespace

constexpr Scheduler schedulers::fo = {
    .name = "fo", .start = nullptr, .edit = nullptr, .choose = choose, .counts_connections = false};

}  // namespace fulcrum
