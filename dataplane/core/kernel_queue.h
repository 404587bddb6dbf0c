// SPDX-License-Identifier: Apache-2.0
// The way from the workers to a kernel interface: bounded queues, one for each worker and class of packets, each with
// its share of the class's rate, so that a flood of one class starves no other. One producer and one consumer; a
// consumed packet is freed by the worker that brought it, since a thread that may be preempted in the middle of the
// pool would hold all workers up.
#pragma once

#include <rte_mbuf.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>

#include "service/token_bucket.h"

namespace fulcrum {

enum class KernelClass : uint8_t {
  kControl,  // ARP and neighbour discovery, BGP, BFD, VRRP, OSPF, PIM, IGMP, MLD
  kTcp,      // of connections: ssh, answers to health checks
  kConnect,  // TCP's first packets: anybody can send them from anywhere
  kIcmp,
  kRest
};
inline constexpr size_t kKernelClasses = 5;
inline constexpr std::array<std::string_view, kKernelClasses> kKernelClassNames = {"control", "tcp", "connect", "icmp",
                                                                                   "rest"};
// Packets a second, over all workers; 0: no limit.
using KernelLimits = std::array<uint32_t, kKernelClasses>;
inline constexpr KernelLimits kDefaultKernelLimits = {50'000, 100'000, 5'000, 10'000, 20'000};

// Of one class; written by one worker, read by others.
struct KernelClassCounters {
  uint64_t passed = 0;
  uint64_t rate_limited = 0;
  uint64_t queue_full = 0;
};

class alignas(64) KernelQueue {
 public:
  static constexpr uint32_t kSize = 256;
  enum class Outcome : uint8_t { kTaken, kRateLimited, kFull };

  // The worker's: what is not taken stays the caller's.
  Outcome put(rte_mbuf* packet, uint32_t per_second, uint32_t workers, uint64_t now_ms) {
    const TokenRate rate{per_second, kSize, workers};
    if (!bucket_.has(rate, now_ms)) {
      add_one(counters_.rate_limited);
      return Outcome::kRateLimited;
    }
    const uint32_t head = head_.load(std::memory_order_relaxed);
    free_up_to(tail_.load(std::memory_order_acquire));
    if (head - freed_ == kSize) {
      add_one(counters_.queue_full);
      return Outcome::kFull;
    }
    bucket_.take(rate);
    packets_[head % kSize] = packet;
    head_.store(head + 1, std::memory_order_release);
    add_one(counters_.passed);
    return Outcome::kTaken;
  }

  // The consumer's: null when nothing waits. The packet may be read until pop().
  const rte_mbuf* front() const {
    const uint32_t tail = tail_.load(std::memory_order_relaxed);
    return tail == head_.load(std::memory_order_acquire) ? nullptr : packets_[tail % kSize];
  }
  void pop() { tail_.store(tail_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }
  bool is_empty() const { return front() == nullptr; }

  // Once both are gone.
  void clear() {
    free_up_to(head_.load(std::memory_order_relaxed));
    tail_.store(freed_, std::memory_order_relaxed);
  }

  KernelClassCounters counters() const {
    const auto read = [](const uint64_t& counter) { return __atomic_load_n(&counter, __ATOMIC_RELAXED); };
    return {read(counters_.passed), read(counters_.rate_limited), read(counters_.queue_full)};
  }

 private:
  static void add_one(uint64_t& counter) { __atomic_store_n(&counter, counter + 1, __ATOMIC_RELAXED); }
  void free_up_to(uint32_t end) {
    for (; freed_ != end; ++freed_) rte_pktmbuf_free(packets_[freed_ % kSize]);
  }

  // The worker's.
  alignas(64) std::atomic<uint32_t> head_{0};
  uint32_t freed_ = 0;
  TokenBucket bucket_;
  KernelClassCounters counters_;
  // The consumer's.
  alignas(64) std::atomic<uint32_t> tail_{0};
  alignas(64) rte_mbuf* packets_[kSize];
};

// All queues towards one kernel interface.
class KernelPath {
 public:
  KernelPath(uint32_t workers, const KernelLimits& limits)
      : workers_(workers), limits_(limits), queues_(std::make_unique<KernelQueue[]>(workers * kKernelClasses)) {}
  ~KernelPath() {
    for (size_t i = 0; i < workers_ * kKernelClasses; ++i) queues_[i].clear();
  }
  KernelPath(const KernelPath&) = delete;
  KernelPath& operator=(const KernelPath&) = delete;

  KernelQueue::Outcome put(uint32_t worker, KernelClass of, rte_mbuf* packet, uint64_t now_ms) {
    return queue(worker, of).put(packet, limits_[static_cast<size_t>(of)], workers_, now_ms);
  }
  KernelQueue& queue(uint32_t worker, KernelClass of) {
    return queues_[worker * kKernelClasses + static_cast<size_t>(of)];
  }
  const KernelQueue& queue(uint32_t worker, KernelClass of) const {
    return queues_[worker * kKernelClasses + static_cast<size_t>(of)];
  }
  uint32_t workers() const { return workers_; }
  const KernelLimits& limits() const { return limits_; }

 private:
  uint32_t workers_;
  KernelLimits limits_;
  std::unique_ptr<KernelQueue[]> queues_;
};

}  // namespace fulcrum
