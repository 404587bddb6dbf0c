// SPDX-License-Identifier: Apache-2.0
// Least connection (LVS "lc"): the usable server of the smallest cost, 256 · active + inactive connections, the nearest
// to the list's head among equals. Weights count only as zero or not.
#include "service/scheduler/least.h"

namespace fulcrum {
namespace {

int choose(SchedulerState&, const VirtualService& service, const LoadView& loads, const ScheduleRequest&) {
  return least_server(service, loads, connection_cost, by_one);
}

double cost(const ServerLoad& load, uint32_t) { return static_cast<double>(connection_cost(load)); }

}  // namespace

constexpr Scheduler schedulers::lc = {.name = "lc",
                                      .start = nullptr,
                                      .edit = nullptr,
                                      .choose = choose,
                                      .cost = cost,
                                      .counts_connections = true,
                                      .table_weight = &RealServer::weight,
                                      .seeks_least = true};

}  // namespace fulcrum
