// SPDX-License-Identifier: Apache-2.0
// What lblc and lblcr remember of one service: by destination address, the server or servers that it is sent to. Shared
// by all workers and visited by first packets of connections only. Buckets are LVS's, so that what is forgotten first
// is too; a lock covers a sixteenth of them. All generations of the service share it until it chooses another
// scheduler.
#pragma once

#include <array>
#include <atomic>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include "service/service.h"

namespace fulcrum {

struct CachedServer {
  ServerSlot slot = kNoSlot;
  // As last seen in the service's list: where it was, to be checked before use, and what a deleted one counts with.
  uint32_t index = 0;
  uint32_t weight = 0;
};

class DestinationCache {
 public:
  // Beyond it, what is unused for kIdleMs goes at the next tick; at one and a half of it nothing is added.
  static constexpr uint32_t kLimit = 16384;
  static constexpr uint64_t kIdleMs = 360'000;
  static constexpr uint64_t kTickMs = 60'000;
  // Ticks from one full clean-up to the next: half an hour.
  static constexpr uint32_t kTicksPerCleaning = 30;

  class Visit;

  // The timer of LVS's clean-up: ticks once a minute from the first call on, whatever is due at each call. At each full
  // cleaning, what was unused for `expiration_ms` goes. Called by one thread at a time, at any time.
  void tend(uint64_t now_ms, uint64_t expiration_ms);

  // The servers of one destination, without that counting as use: the one that joined last comes first. Empty: nothing
  // is known.
  std::vector<CachedServer> servers_of(const Address& destination) const;

  // Destinations that name this server: while there are any, it must keep its slot.
  uint32_t references(ServerSlot slot) const;
  uint32_t size() const { return size_.load(std::memory_order_relaxed); }

 private:
  static constexpr uint32_t kBucketBits = 10;
  static constexpr uint32_t kBuckets = 1u << kBucketBits;
  static constexpr uint32_t kShards = 16;
  static constexpr uint32_t kBucketsPerShard = kBuckets / kShards;

  struct Destination {
    Address address;
    uint64_t used_ms = 0;
    uint64_t changed_ms = 0;  // when a server joined or left last
    std::vector<CachedServer> servers;
  };
  using Bucket = std::vector<Destination>;
  struct alignas(64) Shard {
    mutable std::mutex mutex;
    std::vector<Bucket> buckets;  // none until something is remembered
    std::unordered_map<ServerSlot, uint32_t> references;
  };

  static uint32_t bucket_of(const Address& destination) {
    return (destination.fold() * 0x61C88647u) >> (32 - kBucketBits);
  }
  // Null when it is not known. The shard is locked by the caller.
  static Destination* find(Shard& shard, const Address& destination);
  static const Destination* find(const Shard& shard, const Address& destination);
  static void drop_reference(Shard& shard, ServerSlot slot);
  void tick(uint64_t now_ms, uint64_t expiration_ms);
  void clean(uint64_t now_ms, uint64_t expiration_ms);
  void shrink(uint64_t now_ms);
  uint32_t forget_unused(uint32_t bucket, uint64_t now_ms, uint64_t unused_ms);

  std::array<Shard, kShards> shards_;
  std::atomic<uint32_t> size_{0};
  // Of tend()'s caller.
  uint64_t next_tick_ms_ = 0;
  uint32_t ticks_ = 1;
  uint32_t rover_ = 0;  // the bucket where shrink() stopped
};

// What is known of one destination, locked until the end of the visit: two first packets to it decide one after the
// other. Counts as use.
class DestinationCache::Visit {
 public:
  Visit(DestinationCache& cache, const Address& destination, uint64_t now_ms);

  // The one that joined last comes first. Empty: nothing is known. Valid until the next change.
  std::span<CachedServer> servers();
  uint64_t changed_ms() const { return known_->changed_ms; }

  // Unless the cache is full. The server must not be there already.
  void join(const CachedServer& server);
  // Never the only one.
  void leave(size_t place);
  // This server instead of all others.
  void replace(const CachedServer& server);

 private:
  DestinationCache& cache_;
  const Address& address_;
  const uint64_t now_ms_;
  const uint32_t bucket_;
  Shard& shard_;
  const std::lock_guard<std::mutex> lock_;
  Destination* known_ = nullptr;
};

}  // namespace fulcrum
