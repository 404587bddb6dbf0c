// SPDX-License-Identifier: Apache-2.0
// Shortest expected delay (LVS "sed"): the usable server of the smallest (active connections + 1) per weight, that is
// where one more connection would wait least. Inactive connections do not matter.
#include "service/scheduler/least.h"

namespace fulcrum {
namespace {

int choose(SchedulerState&, const VirtualService& service, const LoadView& loads, const ScheduleRequest&) {
  return least_per_weight(service, loads, expected_delay);
}

}  // namespace

constexpr Scheduler schedulers::sed = {.name = "sed",
                                       .start = nullptr,
                                       .edit = nullptr,
                                       .choose = choose,
                                       .cost = cost_per_weight<expected_delay>,
                                       .counts_connections = true,
                                       .table_weight = &RealServer::weight,
                                       .seeks_least = true};

}  // namespace fulcrum
