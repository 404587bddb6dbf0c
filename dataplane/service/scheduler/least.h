// SPDX-License-Identifier: Apache-2.0
// The search that weighted schedulers share: the smallest cost per weight, compared by cross multiplication, the server
// nearest to the list's head among equals.
#pragma once

#include "service/scheduler/scheduler.h"

namespace fulcrum {

// LVS's expected delay of one more connection, to be divided by the weight.
constexpr uint64_t expected_delay(const ServerLoad& load) { return uint64_t{load.active} + 1; }

// `cost` maps a ServerLoad to an unsigned number. Index into service.servers, or -1 if no server is usable. The first
// usable server of which `at_once` is true ends the search.
template <typename Cost, typename AtOnce>
int least_per_weight(const VirtualService& service, const LoadView& loads, Cost cost, AtOnce at_once) {
  int best = -1;
  uint64_t best_cost = 0, best_weight = 0;
  for (size_t index = service.servers.size(); index-- > 0;) {
    const RealServer& server = service.servers[index];
    if (server.weight == 0) continue;
    const ServerLoad load = loads.of(server.slot);
    if (load.overloaded) continue;
    if (at_once(load)) return static_cast<int>(index);
    const uint64_t server_cost = cost(load);
    if (best >= 0 && best_cost * server.weight <= server_cost * best_weight) continue;
    best = static_cast<int>(index);
    best_cost = server_cost;
    best_weight = server.weight;
  }
  return best;
}

template <typename Cost>
int least_per_weight(const VirtualService& service, const LoadView& loads, Cost cost) {
  return least_per_weight(service, loads, cost, [](const ServerLoad&) { return false; });
}

}  // namespace fulcrum
