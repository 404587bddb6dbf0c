// SPDX-License-Identifier: Apache-2.0
// Least connection (LVS "lc"): the usable server of the smallest cost, 256 · active + inactive connections, the nearest
// to the list's head among equals. Weights count only as zero or not.
#include "service/scheduler/scheduler.h"

namespace fulcrum {
namespace {

int choose(SchedulerState&, const VirtualService& service, const LoadView& loads, const ScheduleRequest&) {
  int best = -1;
  uint64_t best_cost = 0;
  for (size_t index = service.servers.size(); index-- > 0;) {
    const RealServer& server = service.servers[index];
    if (server.weight == 0) continue;
    const ServerLoad load = loads.of(server.slot);
    if (load.overloaded) continue;
    const uint64_t cost = connection_cost(load);
    if (best >= 0 && cost >= best_cost) continue;
    best = static_cast<int>(index);
    best_cost = cost;
  }
  return best;
}

}  // namespace

constexpr Scheduler schedulers::lc = {
    .name = "lc", .start = nullptr, .edit = nullptr, .choose = choose, .counts_connections = true};

}  // namespace fulcrum
