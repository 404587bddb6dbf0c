// SPDX-License-Identifier: Apache-2.0
// Round robin (LVS "rr"): the next usable server after the one chosen last, which itself is tried last. Weights count
// only as zero or not. A server that joins at the list's head has its turn when the walk wraps; when the server chosen
// last is deleted, the one before it takes its place as pointer, so that its successor is next.
#include "service/scheduler/cursor.h"

namespace fulcrum {
namespace {

void start(SchedulerState& state, const SchedulerStart&) { state.position = kNoSlot; }

void edit(SchedulerState& state, const ServerEdit& edit) {
  if (edit.kind == ServerEdit::Kind::kDelete && edit.slot == state.position) state.position = edit.predecessor;
}

int choose(SchedulerState& state, const VirtualService& service, const LoadView& loads, const ScheduleRequest&) {
  size_t index = cursor_index(state, service);
  for (size_t tried = 0; tried < service.servers.size(); ++tried) {
    if (index == 0) index = service.servers.size();
    --index;
    if (is_usable(service.servers[index], loads)) return move_cursor(state, service, index);
  }
  return -1;
}

}  // namespace

constexpr Scheduler schedulers::rr = {
    .name = "rr", .start = start, .edit = edit, .choose = choose, .counts_connections = false};

}  // namespace fulcrum
