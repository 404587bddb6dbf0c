// SPDX-License-Identifier: Apache-2.0
// OVERLOAD by upper and lower threshold, LVS's way, for many workers: a server's connections and its flag are one
// atomic word, so that a place is taken or refused in one step and never more than the upper threshold are taken.
#pragma once

#include "service/scheduler/scheduler.h"

namespace fulcrum {

struct Thresholds {
  uint32_t upper = 0;  // 0: none
  uint32_t lower = 0;  // 0: three quarters of the upper one
};

inline constexpr uint64_t kOverloadFlag = uint64_t{1} << 63;

// Schedulers read the flag where it costs them nothing more.
inline void mirror_overload(LoadView::Line& line, uint64_t occupancy) {
  __atomic_store_n(&line.overloaded, (occupancy & kOverloadFlag) != 0 ? 1u : 0u, __ATOMIC_RELAXED);
}

// One connection more. False: the server became overloaded since the scheduler looked.
inline bool take_place(LoadView::Line& line, const Thresholds& thresholds) {
  uint64_t occupancy = __atomic_load_n(&line.occupancy, __ATOMIC_RELAXED);
  for (;;) {
    if (thresholds.upper != 0 && (occupancy & kOverloadFlag) != 0) {
      mirror_overload(line, occupancy);
      return false;
    }
    uint64_t next = occupancy + 1;
    // Set at exactly u: so many fit. A threshold edited below what there is takes effect with the next connection.
    if (thresholds.upper != 0 && next >= thresholds.upper) next |= kOverloadFlag;
    if (!__atomic_compare_exchange_n(&line.occupancy, &occupancy, next, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
      continue;
    if (next != occupancy + 1) mirror_overload(line, next);
    return true;
  }
}

// One connection more, whatever the flag says: persistent clients, and what was there before.
inline void take_place_anyway(LoadView::Line& line, const Thresholds& thresholds) {
  const uint64_t occupancy = __atomic_add_fetch(&line.occupancy, 1, __ATOMIC_RELAXED);
  if (thresholds.upper == 0 || (occupancy & ~kOverloadFlag) < thresholds.upper) return;
  mirror_overload(line, __atomic_or_fetch(&line.occupancy, kOverloadFlag, __ATOMIC_RELAXED));
}

// One connection less. The flag goes when the total is below l; without l, when below three quarters of u.
inline void leave_place(LoadView::Line& line, const Thresholds& thresholds) {
  uint64_t occupancy = __atomic_load_n(&line.occupancy, __ATOMIC_RELAXED);
  for (;;) {
    uint64_t next = occupancy - 1;
    const uint64_t total = next & ~kOverloadFlag;
    const bool relieved = thresholds.lower != 0   ? total < thresholds.lower
                          : thresholds.upper != 0 ? total * 4 < uint64_t{thresholds.upper} * 3
                                                  : true;
    if (relieved) next &= ~kOverloadFlag;
    if (!__atomic_compare_exchange_n(&line.occupancy, &occupancy, next, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
      continue;
    if (next != occupancy - 1) mirror_overload(line, next);
    return;
  }
}

// An edit to none, or to more than before, ends OVERLOAD; any other leaves it as it is.
inline void edit_upper_threshold(LoadView::Line& line, uint32_t before, uint32_t after) {
  if (after != 0 && after <= before) return;
  const uint64_t occupancy = __atomic_and_fetch(&line.occupancy, ~kOverloadFlag, __ATOMIC_RELAXED);
  mirror_overload(line, occupancy);
}

}  // namespace fulcrum
