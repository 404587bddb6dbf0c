// SPDX-License-Identifier: Apache-2.0
// Never queue (LVS "nq"): the first usable server without an active connection, whatever its weight; when all have
// some, the one of the shortest expected delay (see sed).
#include "service/scheduler/least.h"

namespace fulcrum {
namespace {

// No cost at all divided by any weight is the least, and the same for all that are idle.
constexpr uint64_t delay_of_busy(const ServerLoad& load) { return load.active == 0 ? 0 : expected_delay(load); }

int choose(SchedulerState&, const VirtualService& service, const LoadView& loads, const ScheduleRequest&) {
  return least_per_weight(service, loads, delay_of_busy);
}

}  // namespace

constexpr Scheduler schedulers::nq = {.name = "nq",
                                      .start = nullptr,
                                      .edit = nullptr,
                                      .choose = choose,
                                      .cost = cost_per_weight<delay_of_busy>,
                                      .counts_connections = true,
                                      .table_weight = &RealServer::weight,
                                      .seeks_least = true};

}  // namespace fulcrum
