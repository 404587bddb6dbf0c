// SPDX-License-Identifier: Apache-2.0
// Time as a value. The engine reads one clock once a burst; tests set it. A tick is 10 ms of CLOCK_MONOTONIC, kept in
// 32 bits and compared by signed difference, so that deadlines stay meaningful for 248 days and outlive a process.
#pragma once

#include <time.h>

#include <atomic>
#include <cstdint>

namespace fulcrum {

using Ticks = uint32_t;
inline constexpr uint32_t kTicksPerSecond = 100;
inline constexpr uint64_t kNanosecondsPerTick = 1'000'000'000 / kTicksPerSecond;

constexpr Ticks seconds_to_ticks(uint32_t seconds) { return seconds * kTicksPerSecond; }
// True once `now` has reached `deadline`.
constexpr bool is_due(Ticks deadline, Ticks now) { return static_cast<int32_t>(now - deadline) >= 0; }
// Ticks left, 0 when due.
constexpr uint32_t ticks_until(Ticks deadline, Ticks now) { return is_due(deadline, now) ? 0 : deadline - now; }

class Clock {
 public:
  Ticks now() const {
    const uint64_t set = set_ns_.load(std::memory_order_acquire);
    return static_cast<Ticks>((set != 0 ? set : coarse_ns()) / kNanosecondsPerTick);
  }
  uint64_t now_ms() const {
    const uint64_t set = set_ns_.load(std::memory_order_acquire);
    return (set != 0 ? set : coarse_ns()) / 1'000'000;
  }
  // Stops the clock at a value; only tests do.
  void set_ms(uint64_t milliseconds) { set_ns_.store(milliseconds * 1'000'000, std::memory_order_release); }
  bool is_set() const { return set_ns_.load(std::memory_order_relaxed) != 0; }

 private:
  static uint64_t coarse_ns() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
  }
  std::atomic<uint64_t> set_ns_{0};
};

}  // namespace fulcrum
