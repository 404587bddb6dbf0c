// SPDX-License-Identifier: Apache-2.0
// What the frames of a capture file become when they are received: a receive callback (rte_eth_add_rx_callback) stamps
// client addresses and ports that were never there before, since a file that is replayed never begins anything anew.
// What that costs is measured apart, under macswap. Each source belongs to the worker that polls its port.
#pragma once

#include <atomic>

#include "bench/scenario.h"

struct rte_mbuf;

namespace fulcrum::bench {

class Source {
 public:
  enum class Gate : uint8_t {
    kShut,   // nothing arrives
    kPlain,  // frames arrive as they are in the file
    kStamped,
    kRevisit,  // kNew: any of the first connections again
  };

  explicit Source(const Scenario& scenario) : scenario_(scenario) {}
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  // Throws BenchError. Of a port that has been started, before its worker runs.
  void attach(uint16_t port);
  void open(Gate gate) { gate_.store(gate, std::memory_order_release); }
  // Packets let through that begin a connection, and those of the file's own flows.
  uint64_t fresh() const { return fresh_.load(std::memory_order_relaxed); }
  uint64_t plain() const { return plain_.load(std::memory_order_relaxed); }

 private:
  // A packet of a connection's life comes so many connections after the packet before: nothing of it is in the cache.
  static constexpr uint64_t kLifeLag = 100'000;

  template <Family F>
  static uint16_t receive(uint16_t port, uint16_t queue, rte_mbuf** packets, uint16_t count, uint16_t room,
                          void* source);
  template <Family F>
  uint16_t pass(rte_mbuf** packets, uint16_t count);
  // False: the packet is of a connection that has not begun.
  template <Family F>
  bool stamp_life(rte_mbuf* packet);
  template <Family F>
  void stamp_flood(rte_mbuf* packet);
  // What would begin a connection over TCP.
  template <Family F>
  static void make_syn(rte_mbuf* packet);
  template <Family F>
  void stamp(rte_mbuf* packet, uint64_t flow) const;
  void count(std::atomic<uint64_t>& counter) {
    counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

  const Scenario scenario_;
  std::atomic<Gate> gate_{Gate::kPlain};
  std::atomic<uint64_t> fresh_{0}, plain_{0};
  uint64_t next_flow_ = 0;
  uint64_t revisited_ = 0;
  uint64_t life_packets_ = 0;
  uint32_t flood_at_ = 0;  // of the file's frames
  bool flood_odd_lap_ = false;
};

}  // namespace fulcrum::bench
