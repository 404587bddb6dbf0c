// SPDX-License-Identifier: Apache-2.0
// The pointer of the round-robin schedulers into a service's list. The walk goes on towards smaller indices (LVS's list
// is the reverse of service.servers), so "before the first server" is index n.
#pragma once

#include "service/scheduler/scheduler.h"

namespace fulcrum {

// Index of the server chosen last; n at the list's head. A worker of another phase has its head further on.
inline size_t cursor_index(const SchedulerState& state, const VirtualService& service) {
  const size_t count = service.servers.size();
  if (state.position != kNoSlot) {
    if (state.position_index < count && service.servers[state.position_index].slot == state.position)
      return state.position_index;
    if (const int found = service.find(state.position); found >= 0) return static_cast<size_t>(found);
  }
  return count - ((count * state.phase) >> 32);
}

inline int move_cursor(SchedulerState& state, const VirtualService& service, size_t index) {
  state.position = service.servers[index].slot;
  state.position_index = static_cast<uint32_t>(index);
  return static_cast<int>(index);
}

}  // namespace fulcrum
