// SPDX-License-Identifier: Apache-2.0
#include "bench/churn.h"

#include <rte_cycles.h>
#include <rte_launch.h>
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <fstream>

#include "bench/histogram.h"
#include "bench/json.h"
#include "bench/stolen.h"

namespace fulcrum::bench {

namespace {

// What the kernel says that this thread ran: not while another process had its CPU, nor, where the kernel accounts for
// it (CONFIG_PARAVIRT_TIME_ACCOUNTING), another guest.
uint64_t own_ns() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

// Faults: pages that the kernel had to give the thread, which it fills with zeros first.
struct Round {
  uint64_t own_ns, wall_ns;
  uint64_t faults;
  int64_t more_connections;
};

uint64_t own_faults() {
  rusage usage;
  getrusage(RUSAGE_THREAD, &usage);
  return static_cast<uint64_t>(usage.ru_minflt + usage.ru_majflt);
}

// Rounds of one phase.
struct Rounds {
  static constexpr size_t kSlowest = 8;
  static constexpr uint64_t kPauseNs = 100'000;
  Histogram own, wall;
  std::vector<Round> slowest;
  uint64_t pauses = 0, pauses_with_faults = 0;

  void add(const Round& round) {
    own.add(round.own_ns);
    wall.add(round.wall_ns);
    if (round.own_ns > kPauseNs) ++(round.faults != 0 ? pauses_with_faults : pauses);
    if (slowest.size() == kSlowest && round.own_ns <= slowest.back().own_ns) return;
    const auto slower = [](const Round& a, const Round& b) { return a.own_ns > b.own_ns; };
    slowest.insert(std::upper_bound(slowest.begin(), slowest.end(), round, slower), round);
    if (slowest.size() > kSlowest) slowest.pop_back();
  }
  JsonObject json() const {
    std::vector<JsonObject> rounds;
    for (const Round& round : slowest)
      rounds.push_back(JsonObject()
                           .add("ownUs", static_cast<double>(round.own_ns) / 1000)
                           .add("wallUs", static_cast<double>(round.wall_ns) / 1000)
                           .add("faults", round.faults)
                           .add("moreConnections", static_cast<double>(round.more_connections)));
    return JsonObject()
        .add("own", own.json())
        .add("wall", wall.json())
        .add("pauses", pauses)
        .add("pausesWithFaults", pauses_with_faults)
        .add("slowest", rounds);
  }
};

enum Phase : unsigned { kSettling, kHits, kGrowth, kSteady, kPhases, kDone };

struct ChurnLoop {
  Rig& rig;
  std::atomic<unsigned> phase{kSettling};
  Rounds rounds[kPhases] = {};
};

int churn_loop(void* argument) {
  auto& loop = *static_cast<ChurnLoop*>(argument);
  const double tick_ns = 1e9 / static_cast<double>(rte_get_tsc_hz());
  for (auto& rounds : loop.rounds) rounds.slowest.reserve(Rounds::kSlowest + 1);
  for (unsigned phase; (phase = loop.phase.load(std::memory_order_relaxed)) != kDone;) {
    const auto connections = static_cast<int64_t>(loop.rig.connections());
    const uint64_t faults = own_faults(), own = own_ns(), begun = rte_rdtsc();
    loop.rig.poll();
    const uint64_t ended = rte_rdtsc(), own_ended = own_ns();
    const auto wall = static_cast<uint64_t>(static_cast<double>(ended - begun) * tick_ns);
    const auto more = static_cast<int64_t>(loop.rig.connections()) - connections;
    loop.rounds[phase].add({std::min(own_ended - own, wall), wall, own_faults() - faults, more});
  }
  return 0;
}

}  // namespace

void measure_churn(Rig& rig, const ChurnOptions& options) {
  // Connections live for a second or two.
  constexpr unsigned kGrowthMs = 4000, kSettleMs = 500;
  rig.launch();
  pass(kSettleMs);  // next hops are bound
  rig.stop_workers();
  ChurnLoop loop{rig};
  const uint64_t stolen = stolen_ms(options.cpu);
  if (rte_eal_remote_launch(churn_loop, &loop, 1) != 0) throw BenchError("the worker's thread does not start");
  const auto enter = [&](Phase phase, Source::Gate gate, unsigned milliseconds) {
    rig.open(gate);
    loop.phase.store(phase);
    pass(milliseconds);
  };
  enter(kSettling, Source::Gate::kPlain, kSettleMs);
  enter(kHits, Source::Gate::kPlain, options.seconds * 500);
  enter(kGrowth, Source::Gate::kStamped, kGrowthMs);
  const uint64_t begun = rig.source().fresh();
  enter(kSteady, Source::Gate::kStamped, options.seconds * 1000);
  const uint64_t begun_in_steady = rig.source().fresh() - begun, alive = rig.connections();
  loop.phase.store(kDone);
  rte_eal_mp_wait_lcore();
  JsonObject json;
  json.add("name", rig.scenario().name).add("memory", rig.memory()).add("hugeTables", rig.huge_tables());
  json.add("connections", alive);
  json.add("begunPerSecond", static_cast<double>(begun_in_steady) / options.seconds);
  json.add("stolenMs", stolen_ms(options.cpu) - stolen);
  json.add("hits", loop.rounds[kHits].json()).add("growth", loop.rounds[kGrowth].json());
  json.add("steady", loop.rounds[kSteady].json()).print();
}

namespace {

// In bytes: what of memory the process has, huge pages included.
uint64_t resident() {
  std::ifstream status("/proc/self/status");
  uint64_t kilobytes = 0;
  for (std::string line; std::getline(status, line);) {
    unsigned long long value;
    if (std::sscanf(line.c_str(), "VmRSS: %llu kB", &value) == 1 ||
        std::sscanf(line.c_str(), "HugetlbPages: %llu kB", &value) == 1)
      kilobytes += value;
  }
  return kilobytes * 1024;
}

}  // namespace

void measure_memory(Rig& rig, const WindowOptions& options) {
  constexpr unsigned kPatienceMs = 120'000;
  const uint64_t wanted = rig.scenario().flows;
  rig.open(Source::Gate::kShut);
  rig.launch();
  const uint64_t before = resident();
  rig.open(Source::Gate::kStamped);
  for (unsigned waited = 0; rig.connections() < wanted; ++waited) {
    if (waited == kPatienceMs) throw BenchError("the table does not fill");
    pass(1);
  }
  rig.open(Source::Gate::kRevisit);
  pass(200);
  const uint64_t taken = resident() - before;
  const Watch watch(1, [&rig] { return rig.counters(); });
  const Windows windows = watch.measure(
      options, [&rig](const Sample& from, const Sample& to) { check_verdicts(from, to, rig.scenario()); });
  const auto per_connection = [&](uint64_t bytes) { return static_cast<double>(bytes) / static_cast<double>(wanted); };
  const uint64_t planned = rig.scenario().family == Family::kIpv4
                               ? ConnectionTable<Family::kIpv4>::bytes_for(rig.scenario().flows)
                               : ConnectionTable<Family::kIpv6>::bytes_for(rig.scenario().flows);
  JsonObject json;
  json.add("name", rig.scenario().name).add("memory", rig.memory()).add("hugeTables", rig.huge_tables());
  json.add("connections", rig.connections()).add("bytesPerConnection", per_connection(planned));
  json.add("residentPerConnection", per_connection(taken)).add("residentMb", (before + taken) >> 20);
  json.add("ns", windows.median()).add("windows", windows.ns).print();
}

}  // namespace fulcrum::bench
