// SPDX-License-Identifier: Apache-2.0
// Windows of time in which a running worker is watched from outside. One counts only if the worker had its CPU all the
// while and every packet left by the verdict that the case expects.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/rig.h"

namespace fulcrum::bench {

struct WindowOptions {
  unsigned wanted = 5;
  unsigned most_tries = 50;
  unsigned milliseconds = 500;
};

struct Windows {
  std::vector<double> ns;  // per packet, one a window that counts
  uint64_t packets = 0;    // in those
  unsigned discarded = 0;  // the worker had not its CPU

  double median() const;
  double spread() const;  // (greatest - least) / median
};

// Throws BenchError when a packet leaves by another verdict, or when too few windows count.
Windows measure(Rig& rig, const Scenario& scenario, const WindowOptions& options);

// Rounds of the worker, driven by hand: a fixed amount of work, for counting instructions (callgrind collects in here).
// Returns the packets forwarded. Throws BenchError like measure().
uint64_t count_instructions(Rig& rig, const Scenario& scenario, unsigned rounds);

}  // namespace fulcrum::bench
