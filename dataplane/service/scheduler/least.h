// SPDX-License-Identifier: Apache-2.0
// The search that the counting schedulers share: the smallest cost per weight, compared by cross multiplication, the
// server nearest to the list's head among equals.
#pragma once

#include "service/least_index.h"

namespace fulcrum {

// LVS's expected delay of one more connection, to be divided by the weight.
constexpr uint64_t expected_delay(const ServerLoad& load) { return uint64_t{load.active} + 1; }

// What a cost is divided by.
constexpr uint64_t by_weight(uint32_t weight) { return weight; }
constexpr uint64_t by_one(uint32_t) { return 1; }

// As Scheduler::cost.
template <uint64_t (*Cost)(const ServerLoad&)>
double cost_per_weight(const ServerLoad& load, uint32_t weight) {
  return static_cast<double>(Cost(load)) / weight;
}

// `cost` maps a ServerLoad to an unsigned number. Index into service.servers, or -1 if no server is usable.
template <typename Cost, typename Divisor>
int least_server(const VirtualService& service, const LoadView& loads, Cost cost, Divisor divisor) {
  if (service.least != nullptr && loads.tells_changes()) return service.least->find(loads, cost, divisor);
  Least least;
  for (size_t index = service.servers.size(); index-- > 0;) {
    const RealServer& server = service.servers[index];
    if (server.weight == 0) continue;
    const ServerLoad load = loads.of(server.slot);
    if (!load.overloaded) least.consider(static_cast<int>(index), cost(load), divisor(server.weight));
  }
  return least.index;
}

template <typename Cost>
int least_per_weight(const VirtualService& service, const LoadView& loads, Cost cost) {
  return least_server(service, loads, cost, by_weight);
}

}  // namespace fulcrum
