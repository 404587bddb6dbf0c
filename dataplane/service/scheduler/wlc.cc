// SPDX-License-Identifier: Apache-2.0
// Weighted least connection (LVS "wlc"): the usable server of the smallest cost per weight, where the cost is
// 256 · active + inactive connections.
#include "service/scheduler/least.h"

namespace fulcrum {
namespace {

int choose(SchedulerState&, const VirtualService& service, const LoadView& loads, const ScheduleRequest&) {
  return least_per_weight(service, loads, connection_cost);
}

}  // namespace

constexpr Scheduler schedulers::wlc = {.name = "wlc",
                                       .start = nullptr,
                                       .edit = nullptr,
                                       .choose = choose,
                                       .cost = cost_per_weight<connection_cost>,
                                       .counts_connections = true,
                                       .table_weight = &RealServer::weight,
                                       .seeks_least = true};

}  // namespace fulcrum
