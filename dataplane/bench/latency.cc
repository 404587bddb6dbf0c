// SPDX-License-Identifier: Apache-2.0
#include "bench/latency.h"

#include <rte_cycles.h>
#include <rte_mbuf.h>
#include <rte_pause.h>
#include <rte_ring.h>

#include <cstring>

#include "bench/histogram.h"
#include "bench/stolen.h"
#include "bench/window.h"
#include "net/headers.h"

namespace fulcrum::bench {

namespace {

constexpr unsigned kBurst = 32;
// Of packets between sender and taker: more than these are never on their way.
constexpr unsigned kMostUnderway = 2048;

// Sends frames into the director's ring and takes them from the other, in one thread, so that one clock tells all.
class Sender {
 public:
  Sender(Rig& rig, const std::vector<std::vector<uint8_t>>& frames)
      : frames_(frames),
        to_(ring_named("fulcrum_memory_source0_0_rx")),
        from_(ring_named("fulcrum_memory_sink0_0_tx")),
        buffers_(rig.engine().shared().buffers),
        tick_ns_(1e9 / static_cast<double>(rte_get_tsc_hz())) {}

  // Each packet when the one before has come back.
  Histogram one_at_a_time(unsigned milliseconds) {
    Histogram histogram;
    const uint64_t end = rte_rdtsc() + ticks(milliseconds);
    while (rte_rdtsc() < end) {
      send(rte_rdtsc());
      while (underway_ != 0) take(histogram);
    }
    return histogram;
  }

  // As many as the rings bear; packets per second.
  double greatest_rate(unsigned milliseconds) {
    Histogram histogram;
    const uint64_t begun = rte_rdtsc(), end = begun + ticks(milliseconds);
    uint64_t taken = 0;
    for (uint64_t now = begun; now < end; now = rte_rdtsc()) {
      for (unsigned i = 0; i < kBurst && underway_ < kMostUnderway / 2; ++i) send(now);
      taken += take(histogram);
    }
    const double seconds = static_cast<double>(rte_rdtsc() - begun) * tick_ns_ / 1e9;
    drain(histogram);
    return static_cast<double>(taken) / seconds;
  }

  // At set times, whether or not earlier ones have come back. A packet is as old as the time at which it was to be
  // sent: what the sender is late by counts.
  Histogram paced(double per_second, unsigned milliseconds) {
    Histogram histogram;
    const double interval = static_cast<double>(rte_get_tsc_hz()) / per_second;
    const uint64_t begun = rte_rdtsc(), end = begun + ticks(milliseconds);
    double due = static_cast<double>(begun);
    for (uint64_t now = begun; now < end; now = rte_rdtsc()) {
      for (; static_cast<uint64_t>(due) <= now && underway_ < kMostUnderway; due += interval)
        send(static_cast<uint64_t>(due));
      take(histogram);
    }
    drain(histogram);
    return histogram;
  }

 private:
  static rte_ring* ring_named(const char* name) {
    rte_ring* ring = rte_ring_lookup(name);
    if (ring == nullptr) throw BenchError(std::string("there is no ring ") + name);
    return ring;
  }
  uint64_t ticks(unsigned milliseconds) const { return rte_get_tsc_hz() / 1000 * milliseconds; }

  void send(uint64_t at) {
    rte_mbuf* packet = rte_pktmbuf_alloc(buffers_);
    if (packet == nullptr) throw BenchError("no packet buffer left");
    const std::vector<uint8_t>& frame = frames_[next_];
    if (++next_ == frames_.size()) next_ = 0;
    std::memcpy(rte_pktmbuf_append(packet, static_cast<uint16_t>(frame.size())), frame.data(), frame.size());
    sent_at_[head_ % kMostUnderway] = at;
    if (rte_ring_sp_enqueue(to_, packet) != 0) throw BenchError("the director's ring is full");
    ++head_;
    ++underway_;
  }

  // One worker with one ring on either side keeps the order, so the packets that come are the oldest underway.
  unsigned take(Histogram& histogram) {
    void* packets[kBurst];
    const unsigned count = rte_ring_sc_dequeue_burst(from_, packets, kBurst, nullptr);
    if (count == 0) {
      rte_pause();
      return 0;
    }
    const uint64_t now = rte_rdtsc();
    unsigned ours = 0;
    for (unsigned i = 0; i < count; ++i) {
      if (!is_balanced(static_cast<rte_mbuf*>(packets[i]))) continue;
      histogram.add(static_cast<uint64_t>(static_cast<double>(now - sent_at_[tail_++ % kMostUnderway]) * tick_ns_));
      ++ours;
    }
    rte_pktmbuf_free_bulk(reinterpret_cast<rte_mbuf**>(packets), count);
    underway_ -= ours;
    return ours;
  }

  // The director sends ARP and neighbour discovery of its own.
  static bool is_balanced(const rte_mbuf* packet) {
    const auto* frame = rte_pktmbuf_mtod(packet, const uint8_t*);
    const uint16_t type = load_unaligned<be16>(frame + 12).host();
    constexpr unsigned kNextHeader = kEthernetBytes + 6;
    return type == kEtherTypeIpv4 ||
           (type == kEtherTypeIpv6 && frame[kNextHeader] != static_cast<uint8_t>(IpProtocol::kIcmpv6));
  }

  void drain(Histogram& histogram) {
    const uint64_t end = rte_rdtsc() + ticks(1000);
    while (underway_ != 0 && rte_rdtsc() < end) take(histogram);
    if (underway_ != 0) throw BenchError(std::to_string(underway_) + " packets were lost on their way");
  }

  const std::vector<std::vector<uint8_t>>& frames_;
  rte_ring* to_;
  rte_ring* from_;
  rte_mempool* buffers_;
  const double tick_ns_;
  size_t next_ = 0;
  uint64_t head_ = 0, tail_ = 0;
  uint64_t sent_at_[kMostUnderway] = {};
  unsigned underway_ = 0;
};

std::vector<std::vector<uint8_t>> frames_of(Rig& rig) {
  const Scenario& scenario = rig.scenario();
  const MacAddress to = rig.engine().network()->interface(0).mac;
  std::vector<std::vector<uint8_t>> frames;
  for (const uint32_t flow : scenario.flows_of_pair(0)) {
    frames.push_back(frame_of(scenario, 0, flow));
    std::copy(to.begin(), to.end(), frames.back().begin());
  }
  return frames;
}

// With what the host took of either CPU while `measure` ran, and the share of it that the worker had its CPU.
template <typename Measure>
JsonObject with_shares(const LatencyOptions& options, const Watch& watch, Measure&& measure) {
  const uint64_t worker = stolen_ms(options.worker_cpu), sender = stolen_ms(options.sender_cpu);
  const Sample from = watch.sample();
  JsonObject json = measure().json();
  const Sample to = watch.sample();
  json.add("workerShare",
           static_cast<double>(to.cpu_ns[0] - from.cpu_ns[0]) / static_cast<double>(to.wall_ns - from.wall_ns));
  json.add("workerStolenMs", stolen_ms(options.worker_cpu) - worker);
  json.add("senderStolenMs", stolen_ms(options.sender_cpu) - sender);
  return json;
}

}  // namespace

void measure_latency(const Scenario& scenario, const LatencyOptions& options) {
  RigOptions rig_options;
  rig_options.worker_cpu = options.worker_cpu;
  rig_options.housekeeping_cpu = options.sender_cpu;
  rig_options.hugepages = options.hugepages;
  rig_options.memory_ports = true;
  Rig rig(scenario, rig_options);
  const std::vector<std::vector<uint8_t>> frames = frames_of(rig);
  rig.launch();
  Sender sender(rig, frames);
  constexpr unsigned kWarmUpMs = 500;
  const unsigned milliseconds = options.seconds * 1000;
  sender.paced(100'000, kWarmUpMs);

  const Watch watch(1, [&rig] { return rig.counters(); });
  JsonObject json;
  json.add("name", scenario.name).add("memory", rig.memory());
  json.add("single", with_shares(options, watch, [&] { return sender.one_at_a_time(milliseconds); }));
  const double greatest = sender.greatest_rate(milliseconds);
  json.add("perSecond", greatest);
  std::vector<JsonObject> loads;
  for (const unsigned percent : {10u, 50u, 90u}) {
    JsonObject load = with_shares(options, watch, [&] { return sender.paced(greatest * percent / 100, milliseconds); });
    loads.push_back(load.add("percent", percent));
  }
  json.add("loads", loads).print();
}

}  // namespace fulcrum::bench
