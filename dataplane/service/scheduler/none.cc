// SPDX-License-Identifier: Apache-2.0
// No scheduler (LVS "none"): finds no server. Connections that exist go on.
#include "service/scheduler/scheduler.h"

namespace fulcrum {
namespace {

int choose(SchedulerState&, const VirtualService&, const LoadView&, const ScheduleRequest&) { return -1; }

}  // namespace

constexpr Scheduler schedulers::none = {
    .name = "none", .start = nullptr, .edit = nullptr, .choose = choose, .counts_connections = false, .is_pure = true};

}  // namespace fulcrum
