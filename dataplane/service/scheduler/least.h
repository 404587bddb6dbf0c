// SPDX-License-Identifier: Apache-2.0
// The search that weighted schedulers share: the smallest cost per weight, compared by cross multiplication, the server
// nearest to the list's head among equals.
#pragma once

#include "service/scheduler/scheduler.h"

namespace fulcrum {

// `cost` maps a ServerLoad to an unsigned number. Index into service.servers, or -1 if no server is usable.
template <typename Cost>
int least_per_weight(const VirtualService& service, const LoadView& loads, Cost cost) {
  int best = -1;
  uint64_t best_cost = 0, best_weight = 0;
  for (size_t index = service.servers.size(); index-- > 0;) {
    const RealServer& server = service.servers[index];
    if (server.weight == 0) continue;
    const ServerLoad load = loads.of(server.slot);
    if (load.overloaded) continue;
    const uint64_t server_cost = cost(load);
    if (best >= 0 && best_cost * server.weight <= server_cost * best_weight) continue;
    best = static_cast<int>(index);
    best_cost = server_cost;
    best_weight = server.weight;
  }
  return best;
}

}  // namespace fulcrum
