// SPDX-License-Identifier: Apache-2.0
// Windows of time in which running workers are watched from outside. One counts only if the workers had their CPUs all
// the while and every packet left by the verdict that the case expects.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "bench/rig.h"

namespace fulcrum::bench {

struct WindowOptions {
  unsigned wanted = 5;
  unsigned most_tries = 50;
  unsigned milliseconds = 500;
  unsigned cpu_percent = 96;  // that the workers must have had of a window
};

struct Windows {
  std::vector<double> ns;    // per packet, one a window that counts
  uint64_t packets = 0;      // in those
  unsigned discarded = 0;    // a worker had not its CPU
  double handover_lost = 0;  // share of packets that found the ring to their owner full, and count nowhere else

  double median() const;
  double spread() const;  // (greatest - least) / median
};

struct Sample {
  uint64_t wall_ns = 0;
  std::vector<uint64_t> cpu_ns;  // of each worker's thread, as the kernel scheduled it
  WorkerCounters counters;
};

// The workers' threads, and what is read at a window's borders.
class Watch {
 public:
  using Read = std::function<WorkerCounters()>;
  // Throws BenchError when EAL has not started so many workers.
  Watch(unsigned workers, Read read);

  Sample sample() const;
  // Adds the window between two samples if it counts.
  static void judge(const Sample& from, const Sample& to, const WindowOptions& options, Windows& windows);
  // A window after the other; `check` throws BenchError when something is wrong in one.
  Windows measure(const WindowOptions& options,
                  const std::function<void(const Sample& from, const Sample& to)>& check) const;
  // Throws BenchError when too few windows count.
  static void require(const Windows& windows, const WindowOptions& options);

 private:
  std::vector<std::string> schedstats_;
  Read read_;
};

void pass(unsigned milliseconds);
uint64_t left_by(const Sample& from, const Sample& to, Verdict verdict);
// Received, and not dropped because the ring to their owner was full.
uint64_t packets_between(const Sample& from, const Sample& to);
// Throws BenchError unless all packets left by the verdict that the case expects.
void check_verdicts(const Sample& from, const Sample& to, const Scenario& scenario);
// Until every flow has been seen and nothing but the expected happens: next hops are bound, pages are mapped.
void warm_up(Rig& rig, const Watch& watch);

// Throws BenchError when a packet leaves by another verdict, or when too few windows count.
Windows measure_hits(Rig& rig, const WindowOptions& options);

// Rounds of the worker, driven by hand: a fixed amount of work, for counting instructions (callgrind collects in here).
// Returns the packets forwarded. Throws BenchError like measure_hits().
uint64_t count_instructions(Rig& rig, unsigned rounds);

}  // namespace fulcrum::bench
