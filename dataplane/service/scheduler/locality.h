// SPDX-License-Identifier: Apache-2.0
// What the schedulers share that keep a destination address at a server, or at few, as caches like it.
#pragma once

#include <algorithm>

#include "service/destination_cache.h"
#include "service/scheduler/least.h"

namespace fulcrum {

// Index of a remembered server in today's list, or -1 if it is not in it: deleted, LVS's "not AVAILABLE".
inline int locate(CachedServer& cached, const VirtualService& service) {
  if (cached.index >= service.servers.size() || service.servers[cached.index].slot != cached.slot) {
    const int found = service.find(cached.slot);
    if (found < 0) return -1;
    cached.index = static_cast<uint32_t>(found);
  }
  cached.weight = service.servers[cached.index].weight;
  return static_cast<int>(cached.index);
}

inline CachedServer remembered(const VirtualService& service, int index) {
  const RealServer& server = service.servers[static_cast<size_t>(index)];
  return {.slot = server.slot, .index = static_cast<uint32_t>(index), .weight = server.weight};
}

// The server has more active connections than its weight while another has less than half as many: time to leave it.
inline bool is_crowded(const RealServer& server, const VirtualService& service, const LoadView& loads) {
  if (loads.of(server.slot).active <= server.weight) return false;
  return std::any_of(service.servers.begin(), service.servers.end(),
                     [&](const RealServer& other) { return 2 * uint64_t{loads.of(other.slot).active} < other.weight; });
}

}  // namespace fulcrum
