// SPDX-License-Identifier: Apache-2.0
#include "bench/connections.h"

#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <cstring>

namespace fulcrum::bench {

namespace {

constexpr uint32_t kLeastFill = 100'000;
constexpr unsigned kPatienceMs = 60'000;
// Longer than any timeout, and than what the timer wheel spans.
constexpr uint64_t kAgesMs = 1'200'000;
constexpr unsigned kSettleMs = 100;

template <typename Done>
void wait_until(Done&& done, const char* what) {
  for (unsigned waited = 0; !done(); ++waited) {
    if (waited == kPatienceMs) throw BenchError(std::string("waited in vain ") + what);
    pass(1);
  }
}

void empty_table(Rig& rig) {
  rig.open(Source::Gate::kShut);
  Clock& clock = rig.engine().shared().clock;
  clock.set_ms(clock.now_ms() + kAgesMs);
  wait_until([&] { return rig.connections() == 0; }, "for all connections to expire");
}

std::pair<Sample, Sample> fill_table(Rig& rig, const Watch& watch) {
  const uint64_t begin = rig.source().fresh(), room = rig.scenario().flows;
  const auto reached = [&](uint64_t tenths) {
    return [&rig, at = begin + room * tenths / 10] { return rig.source().fresh() >= at; };
  };
  rig.open(Source::Gate::kStamped);
  wait_until(reached(1), "for new connections");
  const Sample from = watch.sample();
  wait_until(reached(9), "for new connections");
  const Sample to = watch.sample();
  rig.open(Source::Gate::kShut);
  return {from, to};
}

std::vector<std::pair<std::string, uint64_t>> verdicts_between(const Sample& from, const Sample& to) {
  std::vector<std::pair<std::string, uint64_t>> found;
  for (size_t i = 0; i < kVerdicts; ++i)
    if (const uint64_t packets = left_by(from, to, static_cast<Verdict>(i)); packets != 0)
      found.emplace_back(verdict_name(static_cast<Verdict>(i)), packets);
  return found;
}

// With the source shut nothing is on its way any more.
uint64_t settled_packets(Rig& rig) {
  rig.open(Source::Gate::kShut);
  pass(kSettleMs);
  return rig.listed_packets();
}

}  // namespace

NewResult measure_new(Rig& rig, const WindowOptions& options) {
  if (rig.scenario().flows < kLeastFill)
    throw BenchError("a table of " + std::to_string(rig.scenario().flows) + " connections is full too soon; " +
                     std::to_string(kLeastFill) + " at least");
  const Watch watch(1, [&rig] { return rig.counters(); });
  NewResult result;
  empty_table(rig);
  const auto [begun, filled] = fill_table(rig, watch);
  result.first_fill_ns =
      static_cast<double>(filled.wall_ns - begun.wall_ns) / static_cast<double>(packets_between(begun, filled));
  for (unsigned tries = 0; tries < options.most_tries && result.windows.ns.size() < options.wanted; ++tries) {
    empty_table(rig);
    const auto [from, to] = fill_table(rig, watch);
    check_verdicts(from, to, rig.scenario());
    Watch::judge(from, to, options, result.windows);
  }
  Watch::require(result.windows, options);
  return result;
}

LifeResult measure_life(Rig& rig, const WindowOptions& options) {
  // Connections live for a second or two: after a few, as many end as begin.
  constexpr unsigned kLivesMs = 4000, kSlowlyMs = 500, kTries = 40;
  const Watch watch(1, [&rig] { return rig.counters(); });
  rig.open(Source::Gate::kStamped);
  pass(kLivesMs);
  LifeResult result;
  for (unsigned tries = 0;; ++tries) {
    const uint64_t before = rig.connections();
    pass(kSlowlyMs);
    result.connections = rig.connections();
    const uint64_t change = std::max(before, result.connections) - std::min(before, result.connections);
    if (change < result.connections / 20) break;
    if (tries == kTries) throw BenchError("as many connections do not end as begin");
  }
  const uint64_t begun = rig.source().fresh();
  const Sample start = watch.sample();
  result.windows = watch.measure(
      options, [&rig](const Sample& from, const Sample& to) { check_verdicts(from, to, rig.scenario()); });
  const Sample end = watch.sample();
  result.connections = rig.connections();
  result.begun_per_second =
      static_cast<double>(rig.source().fresh() - begun) * 1e9 / static_cast<double>(end.wall_ns - start.wall_ns);
  return result;
}

FloodResult measure_flood(Rig& rig, const WindowOptions& options) {
  const Watch watch(1, [&rig] { return rig.counters(); });
  warm_up(rig, watch);
  FloodResult result;
  const uint64_t received_before = settled_packets(rig), sent_before = rig.source().plain();
  WindowOptions one = options;
  one.wanted = 1;
  const auto add = [](Windows& all, const Windows& more) {
    all.ns.insert(all.ns.end(), more.ns.begin(), more.ns.end());
    all.packets += more.packets;
    all.discarded += more.discarded;
  };
  Sample flood_begin, flood_end;
  for (unsigned round = 0; round < options.wanted; ++round) {
    rig.open(Source::Gate::kPlain);
    pass(kSettleMs);
    add(result.established,
        watch.measure(one, [&rig](const Sample& from, const Sample& to) { check_verdicts(from, to, rig.scenario()); }));
    rig.open(Source::Gate::kStamped);
    pass(kSettleMs);
    flood_begin = watch.sample();
    add(result.mixed, watch.measure(one, [](const Sample&, const Sample&) {}));
    flood_end = watch.sample();
  }
  result.verdicts = verdicts_between(flood_begin, flood_end);
  const uint64_t received = settled_packets(rig) - received_before;
  result.sent = rig.source().plain() - sent_before;
  result.lost = static_cast<int64_t>(result.sent - received);
  return result;
}

namespace {

struct Swapper {
  uint16_t from, to;
  std::atomic<bool> running{true};
  std::atomic<uint64_t> packets{0};
};

void swap_addresses(rte_mbuf* packet) {
  auto* frame = rte_pktmbuf_mtod(packet, uint8_t*);
  uint8_t destination[6];
  std::memcpy(destination, frame, 6);
  std::memmove(frame, frame + 6, 6);
  std::memcpy(frame + 6, destination, 6);
}

int swap_loop(void* argument) {
  auto& swapper = *static_cast<Swapper*>(argument);
  rte_mbuf* packets[Worker::kBurst];
  while (swapper.running.load(std::memory_order_relaxed)) {
    const uint16_t count = rte_eth_rx_burst(swapper.from, 0, packets, Worker::kBurst);
    if (count == 0) continue;
    for (uint16_t i = 0; i < count; ++i) swap_addresses(packets[i]);
    const uint16_t sent = rte_eth_tx_burst(swapper.to, 0, packets, count);
    rte_pktmbuf_free_bulk(packets + sent, count - sent);
    swapper.packets.store(swapper.packets.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
  }
  return 0;
}

}  // namespace

MacswapResult measure_macswap(Rig& rig, const WindowOptions& options) {
  Swapper swapper{rig.engine().network()->interface(0).port, rig.engine().network()->interface(1).port};
  const Watch watch(1, [&swapper] {
    WorkerCounters counters;
    counters.rx_packets = swapper.packets.load(std::memory_order_relaxed);
    return counters;
  });
  if (rte_eal_remote_launch(swap_loop, &swapper, 1) != 0) throw BenchError("the worker's thread does not start");
  const auto windows_with = [&](Source::Gate gate) {
    rig.open(gate);
    pass(kSettleMs);
    return watch.measure(options, [](const Sample&, const Sample&) {});
  };
  MacswapResult result;
  try {
    result.plain = windows_with(Source::Gate::kPlain);
    if (rig.scenario().traffic != Traffic::kHit) result.stamped = windows_with(Source::Gate::kStamped);
  } catch (...) {
    swapper.running.store(false);
    rte_eal_mp_wait_lcore();
    throw;
  }
  swapper.running.store(false);
  rte_eal_mp_wait_lcore();
  return result;
}

}  // namespace fulcrum::bench
