// SPDX-License-Identifier: Apache-2.0
// Packets looked at one by one, while somebody asks: what came, what was known of it, by which verdict it left, what
// went out. Off, it costs a load and a branch that is never taken for each burst. On, every packet is parsed once more,
// and those that match are copied, so many a millisecond; what is beyond that, or does not fit into the ring, is
// counted and goes its way unseen: no worker waits.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include "core/explain.h"

struct rte_ring;

namespace fulcrum {

// All that is set must match. Of a VIP and a real server: an end of the packet, or of the connection that it belongs
// to.
struct TraceFilter {
  std::optional<Prefix> client;  // an end of the packet
  std::optional<Address> vip, server;
  std::optional<Verdict> verdict;
  uint32_t most = 0;  // packets
};

using FrameBytes = std::vector<uint8_t>;

// What a packet says of itself.
struct SeenPacket {
  bool has_flow = false;  // it is TCP, UDP or SCTP, and whole
  ImaginedPacket packet;
};

struct TraceRecord {
  uint64_t unix_ns = 0;
  uint32_t worker = 0;
  PortId port = 0;
  bool was_handed_over = false;
  bool has_flow = false;  // it is TCP, UDP or SCTP, and `explanation` is of it
  ImaginedPacket packet;  // as it was parsed
  Explanation explanation;
  std::optional<Verdict> verdict;  // none: it waits for its next hop
  FrameBytes before;
  std::vector<FrameBytes> after;
  std::optional<ConnectionInfo> connection;  // that it belongs to afterwards
};

class TraceSession {
 public:
  static constexpr uint32_t kRingSize = 1024;
  static constexpr uint64_t kUnreadMs = 10'000;  // a reader that is gone ends it
  // A worker's; a packet costs it some microseconds. At once: a whole short flow fits, and a few bursts wait as long as
  // it takes to handle these.
  static constexpr uint32_t kPerMs = 8;
  static constexpr uint32_t kAtOnce = 64;

  // Throws std::runtime_error when there is no memory for it.
  TraceSession(uint64_t id, const TraceFilter& filter, uint64_t now_ms);
  ~TraceSession();
  TraceSession(const TraceSession&) = delete;
  TraceSession& operator=(const TraceSession&) = delete;

  uint64_t id() const { return id_; }
  const TraceFilter& filter() const { return filter_; }
  // Any worker's. A record that finds no room is lost, and counted.
  void add(std::unique_ptr<TraceRecord> record);
  void lose() { lost_.fetch_add(1, std::memory_order_relaxed); }
  bool is_full() const { return taken_.load(std::memory_order_relaxed) >= filter_.most; }
  // Full, or nobody reads it.
  bool is_over(uint64_t now_ms) const { return is_full() || is_unread(now_ms); }

  // The reader's: what has come, and how many were lost since the last time.
  std::vector<std::unique_ptr<TraceRecord>> read(uint64_t now_ms);
  uint64_t lost() { return lost_.exchange(0); }
  bool is_unread(uint64_t now_ms) const { return now_ms - read_at_ms_.load() > kUnreadMs; }

 private:
  uint64_t id_;
  TraceFilter filter_;
  rte_ring* ring_;
  std::atomic<uint32_t> taken_{0};
  std::atomic<uint64_t> lost_{0};
  std::atomic<uint64_t> read_at_ms_;
};

}  // namespace fulcrum
