// SPDX-License-Identifier: Apache-2.0
// Never queue (LVS "nq"): the first usable server without an active connection, whatever its weight; when all have
// some, the one of the shortest expected delay (see sed).
#include "service/scheduler/least.h"

namespace fulcrum {
namespace {

bool is_idle(const ServerLoad& load) { return load.active == 0; }

int choose(SchedulerState&, const VirtualService& service, const LoadView& loads, const ScheduleRequest&) {
  return least_per_weight(service, loads, expected_delay, is_idle);
}

}  // namespace

constexpr Scheduler schedulers::nq = {
    .name = "nq", .start = nullptr, .edit = nullptr, .choose = choose, .counts_connections = true};

}  // namespace fulcrum
