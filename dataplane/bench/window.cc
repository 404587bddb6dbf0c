// SPDX-License-Identifier: Apache-2.0
#include "bench/window.h"

#include <time.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "bench/counted.h"

namespace fulcrum::bench {

namespace {

constexpr unsigned kLeastWindows = 3;
constexpr unsigned kWarmUpMs = 200;
constexpr unsigned kWarmUpTries = 100;

uint64_t monotonic_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC_RAW, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

// EAL names the threads of its worker lcores, in 22.11 and later.
std::string schedstat_of(unsigned lcore) {
  const std::string number = std::to_string(lcore);
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    std::getline(std::ifstream(task.path() / "comm"), name);
    if (name == "rte-worker-" + number || name == "dpdk-worker" + number) return task.path() / "schedstat";
  }
  throw BenchError("no thread has the name that EAL gives to worker lcore " + number);
}

// The first verdict other than `expected` by which packets left.
std::string other_verdict(const Sample& from, const Sample& to, const Scenario& scenario) {
  const Verdict expected = scenario.expected_verdict();
  // The source never ends: a worker that is faster than its packets' owner fills the ring to it.
  const bool tolerates_full_rings = scenario.layout == Layout::kHandOver;
  for (size_t i = 0; i < kVerdicts; ++i) {
    const auto verdict = static_cast<Verdict>(i);
    if (verdict == Verdict::kHandoverFull && tolerates_full_rings) continue;
    if (verdict != expected && left_by(from, to, verdict) != 0)
      return std::to_string(left_by(from, to, verdict)) + " packets left by " + std::string(verdict_name(verdict));
  }
  return "";
}

}  // namespace

void pass(unsigned milliseconds) {
  const timespec pause{milliseconds / 1000, static_cast<long>(milliseconds % 1000) * 1'000'000};
  nanosleep(&pause, nullptr);
}

uint64_t left_by(const Sample& from, const Sample& to, Verdict verdict) {
  const auto index = static_cast<size_t>(verdict);
  return to.counters.verdicts[index] - from.counters.verdicts[index];
}

uint64_t packets_between(const Sample& from, const Sample& to) {
  return to.counters.rx_packets - from.counters.rx_packets - left_by(from, to, Verdict::kHandoverFull);
}

void check_verdicts(const Sample& from, const Sample& to, const Scenario& scenario) {
  const Verdict expected = scenario.expected_verdict();
  if (const std::string other = other_verdict(from, to, scenario); !other.empty())
    throw BenchError(other + ", none should");
  // The counters are read one after another while the worker goes on, and the reader may be interrupted between them.
  const auto received = static_cast<int64_t>(packets_between(from, to));
  const auto forwarded = static_cast<int64_t>(left_by(from, to, expected));
  // Those that wait in rings for their owner were received and have not left.
  constexpr int64_t kOnTheirWay = 4 * Worker::kBurst + 4 * static_cast<int64_t>(Shared::kHandoverRingSize);
  if (std::abs(received - forwarded) > received / 100 + kOnTheirWay)
    throw BenchError(std::to_string(received) + " packets received, " + std::to_string(forwarded) + " left by " +
                     std::string(verdict_name(expected)));
}

Watch::Watch(unsigned workers, Read read) : read_(std::move(read)) {
  for (unsigned lcore = 1; lcore <= workers; ++lcore) schedstats_.push_back(schedstat_of(lcore));
}

Sample Watch::sample() const {
  Sample sample;
  for (const std::string& path : schedstats_) std::ifstream(path) >> sample.cpu_ns.emplace_back();
  sample.wall_ns = monotonic_ns();
  sample.counters = read_();
  return sample;
}

void Watch::judge(const Sample& from, const Sample& to, const WindowOptions& options, Windows& windows) {
  const auto wall = static_cast<double>(to.wall_ns - from.wall_ns);
  const double least = wall * options.cpu_percent / 100;
  const uint64_t packets = packets_between(from, to);
  for (size_t worker = 0; worker < to.cpu_ns.size(); ++worker) {
    if (packets != 0 && static_cast<double>(to.cpu_ns[worker] - from.cpu_ns[worker]) >= least) continue;
    ++windows.discarded;
    return;
  }
  windows.ns.push_back(wall / static_cast<double>(packets));
  windows.packets += packets;
}

Windows Watch::measure(const WindowOptions& options,
                       const std::function<void(const Sample& from, const Sample& to)>& check) const {
  Windows windows;
  for (unsigned tries = 0; tries < options.most_tries && windows.ns.size() < options.wanted; ++tries) {
    const Sample from = sample();
    pass(options.milliseconds);
    const Sample to = sample();
    check(from, to);
    judge(from, to, options, windows);
  }
  require(windows, options);
  return windows;
}

void Watch::require(const Windows& windows, const WindowOptions& options) {
  if (windows.ns.size() < std::min(kLeastWindows, options.wanted))
    throw BenchError("in " + std::to_string(windows.discarded) + " of " +
                     std::to_string(windows.discarded + windows.ns.size()) +
                     " windows another process had a worker's CPU");
}

void warm_up(Rig& rig, const Watch& watch) {
  const Sample begin = watch.sample();
  std::string other;
  for (unsigned tries = 0; tries < kWarmUpTries; ++tries) {
    const Sample before = watch.sample();
    pass(kWarmUpMs);
    const Sample after = watch.sample();
    other = other_verdict(before, after, rig.scenario());
    if (other.empty() && packets_between(begin, after) > 2 * rig.scenario().connections()) return;
  }
  throw BenchError("the rig does not settle" + (other.empty() ? std::string() : ": " + other));
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

namespace {
// Every packet is its receiver's own, or none is.
void check_handover(const Sample& from, const Sample& to, Layout layout) {
  const uint64_t received = packets_between(from, to);
  const uint64_t handed_over = to.counters.handed_over - from.counters.handed_over;
  if (layout == Layout::kHandOver ? handed_over < received / 2 : handed_over != 0)
    throw BenchError(std::to_string(handed_over) + " of " + std::to_string(received) + " packets were handed over");
}
}  // namespace

Windows measure_hits(Rig& rig, const WindowOptions& options) {
  const Watch watch(rig.scenario().workers(), [&rig] { return rig.counters(); });
  warm_up(rig, watch);
  uint64_t dropped = 0, kept = 0;
  Windows windows = watch.measure(options, [&](const Sample& from, const Sample& to) {
    check_verdicts(from, to, rig.scenario());
    check_handover(from, to, rig.scenario().layout);
    dropped += left_by(from, to, Verdict::kHandoverFull);
    kept += packets_between(from, to);
  });
  windows.handover_lost = static_cast<double>(dropped) / static_cast<double>(std::max<uint64_t>(dropped + kept, 1));
  return windows;
}

uint64_t count_instructions(Rig& rig, unsigned rounds) {
  const Watch watch(rig.scenario().workers(), [&rig] { return rig.counters(); });
  warm_up(rig, watch);
  rig.take_over();
  rig.poll();
  const Sample from = watch.sample();
  counted([&rig] { rig.poll(); }, rounds);
  const Sample to = watch.sample();
  check_verdicts(from, to, rig.scenario());
  return packets_between(from, to);
}

}  // namespace fulcrum::bench
