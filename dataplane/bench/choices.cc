// SPDX-License-Identifier: Apache-2.0
#include "bench/choices.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <random>
#include <vector>

#include "service/edit_list.h"
#include "service/least_index.h"

namespace fulcrum::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kSlots = 4096;
constexpr unsigned kWarmWindows = 100, kChoicesPerWindow = 200, kColdChoices = 30;

// A service whose servers have some connections each, and what a worker does to their counts.
class Crowd {
 public:
  Crowd(const Scheduler& scheduler, uint32_t servers, bool indexed)
      : servers_(servers), lines_(kSlots), changes_(kSlots) {
    service_.rules = &scheduler;
    start_scheduler(service_, 1);
    {
      EditList list(service_);
      for (uint32_t number = 0; number < servers; ++number) {
        RealServer server;
        server.key.port = static_cast<uint16_t>(number + 1);
        server.slot = number;
        server.weight = 1 + random() % 10;
        list.add(server);
        lines_[number].active = 20 + random() % 50;
        lines_[number].inactive = random() % 500;
      }
    }
    prepare_scheduler(service_);
    loads_ = LoadView(lines_.data(), indexed ? changes_.data() : nullptr);
  }

  ServerSlot choose() {
    const int index = service_.rules->choose(state_, service_, loads_, {});
    return service_.servers[static_cast<size_t>(index)].slot;
  }
  // A connection to `chosen` begins and is established, one to somebody ends.
  void count(ServerSlot chosen) {
    add(chosen, &LoadView::Line::inactive, 1);
    add(chosen, &LoadView::Line::inactive, ~0u);
    add(chosen, &LoadView::Line::active, 1);
    const ServerSlot other = random() % servers_;
    if (lines_[other].active > 1) add(other, &LoadView::Line::active, ~0u);
  }

 private:
  void add(ServerSlot slot, uint32_t LoadView::Line::*count, uint32_t step) {
    __atomic_fetch_add(&(lines_[slot].*count), step, __ATOMIC_RELAXED);
    if (loads_.tells_changes()) note_change(changes_.data(), slot);
  }
  uint32_t random() { return static_cast<uint32_t>(random_()); }

  uint32_t servers_;
  std::mt19937 random_{1};
  VirtualService service_;
  SchedulerState state_;
  std::vector<LoadView::Line> lines_;
  std::vector<LoadView::Changes> changes_;
  LoadView loads_;
};

double nanoseconds_since(Clock::time_point begun) {
  return std::chrono::duration<double, std::nano>(Clock::now() - begun).count();
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

// With what counting costs.
double warm(Crowd& crowd) {
  std::vector<double> windows;
  for (unsigned window = 0; window < kWarmWindows; ++window) {
    const auto begun = Clock::now();
    for (unsigned i = 0; i < kChoicesPerWindow; ++i) crowd.count(crowd.choose());
    windows.push_back(nanoseconds_since(begun) / kChoicesPerWindow);
  }
  return median(std::move(windows));
}

// Greater than the last cache of most machines.
void evict(std::vector<uint64_t>& memory) {
  for (size_t i = 0; i < memory.size(); i += 8) ++memory[i];
  asm volatile("" : : "r"(memory.data()) : "memory");
}

double cold(Crowd& crowd, std::vector<uint64_t>& memory) {
  std::vector<double> choices;
  for (unsigned i = 0; i < kColdChoices; ++i) {
    evict(memory);
    const auto begun = Clock::now();
    const ServerSlot chosen = crowd.choose();
    choices.push_back(nanoseconds_since(begun));
    crowd.count(chosen);
  }
  return median(std::move(choices));
}

}  // namespace

void measure_choices() {
  std::vector<uint64_t> memory((size_t{96} << 20) / sizeof(uint64_t));
  std::printf(
      "| scheduler | servers | walk ns | walk, cold ns | index ns | index, cold ns |\n|---|---|---|---|---|---|\n");
  for (const Scheduler* scheduler : {&schedulers::lc, &schedulers::wlc, &schedulers::sed, &schedulers::nq})
    for (const uint32_t servers : {10u, 100u, 1000u}) {
      Crowd walked(*scheduler, servers, false), indexed(*scheduler, servers, true);
      const double walk = warm(walked), walk_cold = cold(walked, memory);
      std::printf("| %s | %u | %.0f | %.0f |", scheduler->name.data(), servers, walk, walk_cold);
      // Short lists are walked.
      if (servers < LeastIndex::kWorthwhile) {
        std::printf(" | |\n");
        continue;
      }
      const double index = warm(indexed), index_cold = cold(indexed, memory);
      std::printf(" %.0f | %.0f |\n", index, index_cold);
    }
}

}  // namespace fulcrum::bench
