// SPDX-License-Identifier: Apache-2.0
// Weighted overflow (LVS "ovf"): the usable server of the greatest weight among those whose active connections do not
// exceed their weight, the nearest to the list's head among equals; a server is thus filled to weight + 1 before the
// next is. Refuses when all are full.
#include "service/scheduler/scheduler.h"

namespace fulcrum {
namespace {

int choose(SchedulerState&, const VirtualService& service, const LoadView& loads, const ScheduleRequest&) {
  int best = -1;
  uint32_t best_weight = 0;
  for (size_t index = service.servers.size(); index-- > 0;) {
    const RealServer& server = service.servers[index];
    if (server.weight <= best_weight) continue;
    const ServerLoad load = loads.of(server.slot);
    if (load.overloaded || load.active > server.weight) continue;
    best = static_cast<int>(index);
    best_weight = server.weight;
  }
  return best;
}

}  // namespace

constexpr Scheduler schedulers::ovf = {
    .name = "ovf", .start = nullptr, .edit = nullptr, .choose = choose, .counts_connections = true};

}  // namespace fulcrum
