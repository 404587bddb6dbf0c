// SPDX-License-Identifier: Apache-2.0
// Power of two choices (LVS "twos"): draws two usable servers at random in proportion to their weights, and takes the
// one of the smaller cost per weight (256 · active + inactive connections), the first drawn if they are equal. LVS's
// draw includes both ends of 0 to the sum of weights, so the list's head has one chance more than its weight.
#include "service/scheduler/least.h"

namespace fulcrum {
namespace {

// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
uint64_t next_random(uint64_t& state) {
  uint64_t mixed = state += 0x9E3779B97F4A7C15;
  mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9;
  mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB;
  return mixed ^ mixed >> 31;
}

// Uniform in 0 to `most`, inclusive.
int64_t draw(uint64_t& state, int64_t most) {
  using Wide = unsigned __int128;
  return static_cast<int64_t>(Wide{next_random(state)} * (static_cast<uint64_t>(most) + 1) >> 64);
}

// Every worker has a sequence of its own.
void start(SchedulerState& state, const SchedulerStart& figures) {
  state.random = figures.epoch;
  state.random = next_random(state.random) ^ figures.sequence ^ uint64_t { state.phase } << 32;
}

// By the flag alone, as all that look at counts do: a threshold may be in force before this service says so.
bool may_be_drawn(const RealServer& server, const LoadView& loads) {
  return server.weight != 0 && !loads.overloaded(server.slot);
}

int64_t total_weight(const VirtualService& service, const LoadView& loads) {
  int64_t total = 0;
  for (const RealServer& server : service.servers)
    if (may_be_drawn(server, loads)) total += server.weight;
  return total;
}

// Walks the list, less the servers' weights, until nothing is left of what was drawn.
struct Draw {
  int64_t rest;
  int index = -1;
  void pass(int at, uint32_t weight) {
    if (rest > 0 || index < 0) index = at;
    rest -= weight;
  }
};

// LVS multiplies signed numbers of 32 bits, which wrap.
int32_t product(uint32_t weight, uint64_t cost) { return static_cast<int32_t>(weight * static_cast<uint32_t>(cost)); }

int choose(SchedulerState& state, const VirtualService& service, const LoadView& loads, const ScheduleRequest&) {
  const int64_t total = total_weight(service, loads);
  if (total == 0) return -1;
  Draw first{draw(state.random, total)}, second{draw(state.random, total)};
  for (size_t index = service.servers.size(); index-- > 0 && (first.rest > 0 || second.rest > 0 || first.index < 0);) {
    const RealServer& server = service.servers[index];
    if (!may_be_drawn(server, loads)) continue;
    first.pass(static_cast<int>(index), server.weight);
    second.pass(static_cast<int>(index), server.weight);
  }
  // Another worker may have overloaded the last usable server meanwhile.
  if (first.index < 0) return -1;
  const RealServer& one = service.servers[static_cast<size_t>(first.index)];
  const RealServer& other = service.servers[static_cast<size_t>(second.index)];
  const bool other_is_better = product(other.weight, connection_cost(loads.of(one.slot))) >
                               product(one.weight, connection_cost(loads.of(other.slot)));
  return other_is_better ? second.index : first.index;
}

}  // namespace

constexpr Scheduler schedulers::twos = {.name = "twos",
                                        .start = start,
                                        .edit = nullptr,
                                        .choose = choose,
                                        .cost = cost_per_weight<connection_cost>,
                                        .counts_connections = true};

}  // namespace fulcrum
