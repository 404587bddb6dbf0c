// SPDX-License-Identifier: Apache-2.0
#include "bench/window.h"

#include <time.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace fulcrum::bench {

namespace {

constexpr unsigned kLeastWindows = 3;
constexpr double kLeastCpuShare = 0.96;
constexpr unsigned kWarmUpMs = 200;
constexpr unsigned kWarmUpTries = 100;

struct Sample {
  uint64_t wall_ns = 0;
  uint64_t cpu_ns = 0;  // the worker's thread, as the kernel scheduled it
  WorkerCounters counters;
};

uint64_t monotonic_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC_RAW, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

void pass(unsigned milliseconds) {
  const timespec pause{milliseconds / 1000, static_cast<long>(milliseconds % 1000) * 1'000'000};
  nanosleep(&pause, nullptr);
}

// EAL names the thread of its first worker lcore.
std::string worker_schedstat() {
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    std::getline(std::ifstream(task.path() / "comm"), name);
    if (name == "rte-worker-1" || name == "dpdk-worker1") return task.path() / "schedstat";
  }
  throw BenchError("no thread has the name that EAL gives to its first worker");
}

Sample take_sample(Rig& rig, const std::string& schedstat) {
  Sample sample;
  std::ifstream(schedstat) >> sample.cpu_ns;
  sample.wall_ns = monotonic_ns();
  sample.counters = rig.counters();
  return sample;
}

uint64_t left_by(const Sample& from, const Sample& to, Verdict verdict) {
  const auto index = static_cast<size_t>(verdict);
  return to.counters.verdicts[index] - from.counters.verdicts[index];
}

// The first verdict other than `expected` by which packets left.
std::string other_verdict(const Sample& from, const Sample& to, Verdict expected) {
  for (size_t i = 0; i < kVerdicts; ++i) {
    const auto verdict = static_cast<Verdict>(i);
    if (verdict != expected && left_by(from, to, verdict) != 0)
      return std::to_string(left_by(from, to, verdict)) + " packets left by " + std::string(verdict_name(verdict));
  }
  return "";
}

void check_verdicts(const Sample& from, const Sample& to, Verdict expected) {
  if (const std::string other = other_verdict(from, to, expected); !other.empty())
    throw BenchError(other + ", none should");
  // The counters are read one after another while the worker goes on, and the reader may be interrupted between them.
  const auto received = static_cast<int64_t>(to.counters.rx_packets - from.counters.rx_packets);
  const auto forwarded = static_cast<int64_t>(left_by(from, to, expected));
  if (received == 0 || std::abs(received - forwarded) > received / 100 + 4 * static_cast<int64_t>(Worker::kBurst))
    throw BenchError(std::to_string(received) + " packets received, " + std::to_string(forwarded) + " left by " +
                     std::string(verdict_name(expected)));
}

// Until every flow has been seen and nothing but the expected happens: next hops are bound, pages are mapped.
void warm_up(Rig& rig, const Scenario& scenario, const std::string& schedstat) {
  const Sample begin = take_sample(rig, schedstat);
  std::string other;
  for (unsigned tries = 0; tries < kWarmUpTries; ++tries) {
    const Sample before = take_sample(rig, schedstat);
    pass(kWarmUpMs);
    const Sample after = take_sample(rig, schedstat);
    other = other_verdict(before, after, scenario.expected_verdict());
    if (other.empty() && after.counters.rx_packets - begin.counters.rx_packets > 2 * uint64_t{scenario.flows}) return;
  }
  throw BenchError("the rig does not settle" + (other.empty() ? std::string() : ": " + other));
}

}  // namespace

// Its name is what callgrind's --toggle-collect is given.
extern "C" __attribute__((noinline)) void fulcrum_bench_counted(Rig& rig, unsigned rounds) {
  for (unsigned round = 0; round < rounds; ++round) rig.poll();
}

double Windows::median() const {
  std::vector<double> sorted = ns;
  std::sort(sorted.begin(), sorted.end());
  const size_t half = sorted.size() / 2;
  return sorted.size() % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

double Windows::spread() const {
  const auto [least, greatest] = std::minmax_element(ns.begin(), ns.end());
  return (*greatest - *least) / median();
}

Windows measure(Rig& rig, const Scenario& scenario, const WindowOptions& options) {
  const std::string schedstat = worker_schedstat();
  warm_up(rig, scenario, schedstat);
  Windows windows;
  for (unsigned tries = 0; tries < options.most_tries && windows.ns.size() < options.wanted; ++tries) {
    const Sample from = take_sample(rig, schedstat);
    pass(options.milliseconds);
    const Sample to = take_sample(rig, schedstat);
    check_verdicts(from, to, scenario.expected_verdict());
    const auto wall = static_cast<double>(to.wall_ns - from.wall_ns);
    if (static_cast<double>(to.cpu_ns - from.cpu_ns) < kLeastCpuShare * wall) {
      ++windows.discarded;
      continue;
    }
    const uint64_t packets = to.counters.rx_packets - from.counters.rx_packets;
    windows.ns.push_back(wall / static_cast<double>(packets));
    windows.packets += packets;
  }
  if (windows.ns.size() < std::min(kLeastWindows, options.wanted))
    throw BenchError("in " + std::to_string(windows.discarded) + " of " +
                     std::to_string(windows.discarded + windows.ns.size()) +
                     " windows another process had the worker's CPU");
  return windows;
}

uint64_t count_instructions(Rig& rig, const Scenario& scenario, unsigned rounds) {
  const std::string schedstat = worker_schedstat();
  warm_up(rig, scenario, schedstat);
  rig.take_over();
  rig.poll();
  const Sample from = take_sample(rig, schedstat);
  fulcrum_bench_counted(rig, rounds);
  const Sample to = take_sample(rig, schedstat);
  check_verdicts(from, to, scenario.expected_verdict());
  return to.counters.rx_packets - from.counters.rx_packets;
}

}  // namespace fulcrum::bench
