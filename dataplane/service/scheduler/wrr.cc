// SPDX-License-Identifier: Apache-2.0
// Weighted round robin (LVS "wrr"): passes over the list, each giving a turn to every server whose weight reaches the
// current weight. That falls by the weights' common divisor from pass to pass and starts over from the greatest, so a
// server of weight w has w/divisor turns a cycle. Each edit, also one that changes nothing, sends the walk back to the
// head and keeps the current weight if it still fits: what follows depends on all edits since the start.
#include "service/scheduler/cursor.h"

namespace fulcrum {
namespace {

// The greatest weight less (divisor - 1): every current weight is then 1 above a multiple of the divisor, the last
// is 1.
void take_figures(SchedulerState& state, uint32_t greatest_weight, uint32_t weight_divisor) {
  state.divisor = weight_divisor;
  state.greatest_weight = int64_t{greatest_weight} - (state.divisor - 1);
}

// The first current weight of a cycle; workers of another phase begin some passes later.
void restart_cycle(SchedulerState& state) {
  const int64_t passes = (state.greatest_weight + state.divisor - 1) / state.divisor;
  const int64_t skipped = (passes * state.phase) >> 32;
  state.current_weight = state.greatest_weight - skipped * state.divisor;
}

void start(SchedulerState& state, const SchedulerStart& figures) {
  state.position = kNoSlot;
  take_figures(state, figures.greatest_weight, figures.weight_divisor);
  restart_cycle(state);
}

void edit(SchedulerState& state, const ServerEdit& edit) {
  state.position = kNoSlot;
  take_figures(state, edit.greatest_weight, edit.weight_divisor);
  if (state.current_weight > state.greatest_weight || state.current_weight == 0)
    restart_cycle(state);
  else if (state.divisor > 1)
    state.current_weight = state.current_weight / state.divisor * state.divisor + 1;
}

// A pass from the head for current weight `weight`. Where LVS makes one fruitless pass after another with ever smaller
// weights, this goes straight to the one that succeeds: it serves the greatest weight that is usable.
int choose_from_head(SchedulerState& state, const VirtualService& service, const LoadView& loads, int64_t weight) {
  size_t heaviest = 0;
  int64_t heaviest_weight = 0;
  for (size_t index = service.servers.size(); index-- > 0;) {
    const RealServer& server = service.servers[index];
    if (server.weight <= heaviest_weight || is_overloaded(server, loads)) continue;
    if (server.weight >= weight) {
      state.current_weight = weight;
      return move_cursor(state, service, index);
    }
    heaviest = index;
    heaviest_weight = server.weight;
  }
  if (heaviest_weight == 0) return -1;
  const int64_t passes = (weight - heaviest_weight + state.divisor - 1) / state.divisor;
  state.current_weight = weight - passes * state.divisor;
  return move_cursor(state, service, heaviest);
}

int choose(SchedulerState& state, const VirtualService& service, const LoadView& loads, const ScheduleRequest&) {
  if (state.greatest_weight == 0) return -1;
  for (size_t index = cursor_index(state, service); index-- > 0;) {
    const RealServer& server = service.servers[index];
    if (server.weight >= state.current_weight && !is_overloaded(server, loads))
      return move_cursor(state, service, index);
  }
  const bool last_pass = state.current_weight <= state.divisor;
  const int64_t next_weight = last_pass ? state.greatest_weight : state.current_weight - state.divisor;
  const int chosen = choose_from_head(state, service, loads, next_weight);
  // All are overloaded. LVS's search has then ended at the head before a new cycle, unless it came full circle.
  if (chosen < 0 && (!last_pass || state.position == kNoSlot)) {
    state.position = kNoSlot;
    state.current_weight = state.greatest_weight;
  }
  return chosen;
}

}  // namespace

constexpr Scheduler schedulers::wrr = {
    .name = "wrr", .start = start, .edit = edit, .choose = choose, .counts_connections = false};

}  // namespace fulcrum
