// SPDX-License-Identifier: Apache-2.0
#include "service/destination_cache.h"

#include <algorithm>
#include <utility>

namespace fulcrum {

void DestinationCache::tend(uint64_t now_ms, uint64_t expiration_ms) {
  if (next_tick_ms_ == 0) next_tick_ms_ = now_ms + kTickMs;
  for (; next_tick_ms_ <= now_ms; next_tick_ms_ += kTickMs) tick(next_tick_ms_, expiration_ms);
}

void DestinationCache::tick(uint64_t now_ms, uint64_t expiration_ms) {
  if (ticks_ % kTicksPerCleaning == 0) {
    clean(now_ms, expiration_ms);
    ticks_ = 1;
  } else if (size() <= kLimit) {
    ++ticks_;
  } else {
    shrink(now_ms);
  }
}

void DestinationCache::clean(uint64_t now_ms, uint64_t expiration_ms) {
  if (size() == 0) return;
  for (uint32_t bucket = 0; bucket < kBuckets; ++bucket) forget_unused(bucket, now_ms, expiration_ms);
}

// Four thirds of what is too much, so that the next minute's newcomers have room, but never more than half the limit.
void DestinationCache::shrink(uint64_t now_ms) {
  int64_t goal = std::min<int64_t>((int64_t{size()} - kLimit) * 4 / 3, kLimit / 2);
  for (uint32_t visited = 0; visited < kBuckets; ++visited) {
    rover_ = (rover_ + 1) % kBuckets;
    goal -= forget_unused(rover_, now_ms, kIdleMs);
    if (goal <= 0) return;
  }
}

// How many went. The lock is taken for one bucket at a time, so that workers wait for little.
uint32_t DestinationCache::forget_unused(uint32_t bucket, uint64_t now_ms, uint64_t unused_ms) {
  Shard& shard = shards_[bucket / kBucketsPerShard];
  const std::lock_guard lock(shard.mutex);
  if (shard.buckets.empty()) return 0;
  // A worker's clock may be ahead of the one that `now_ms` was read from.
  const auto gone = [&](const Destination& destination) {
    if (now_ms < destination.used_ms + unused_ms) return false;
    for (const CachedServer& server : destination.servers) drop_reference(shard, server.slot);
    return true;
  };
  const auto count = static_cast<uint32_t>(std::erase_if(shard.buckets[bucket % kBucketsPerShard], gone));
  size_.fetch_sub(count, std::memory_order_relaxed);
  return count;
}

void DestinationCache::drop_reference(Shard& shard, ServerSlot slot) {
  const auto found = shard.references.find(slot);
  if (--found->second == 0) shard.references.erase(found);
}

uint32_t DestinationCache::references(ServerSlot slot) const {
  uint32_t total = 0;
  for (const Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    if (const auto found = shard.references.find(slot); found != shard.references.end()) total += found->second;
  }
  return total;
}

const DestinationCache::Destination* DestinationCache::find(const Shard& shard, const Address& destination) {
  if (shard.buckets.empty()) return nullptr;
  const Bucket& bucket = shard.buckets[bucket_of(destination) % kBucketsPerShard];
  const auto found = std::find_if(bucket.begin(), bucket.end(),
                                  [&](const Destination& known) { return known.address == destination; });
  return found == bucket.end() ? nullptr : &*found;
}

DestinationCache::Destination* DestinationCache::find(Shard& shard, const Address& destination) {
  return const_cast<Destination*>(find(std::as_const(shard), destination));
}

std::vector<CachedServer> DestinationCache::servers_of(const Address& destination) const {
  const Shard& shard = shards_[bucket_of(destination) / kBucketsPerShard];
  const std::lock_guard lock(shard.mutex);
  const Destination* known = find(shard, destination);
  return known == nullptr ? std::vector<CachedServer>{} : known->servers;
}

DestinationCache::Visit::Visit(DestinationCache& cache, const Address& destination, uint64_t now_ms)
    : cache_(cache),
      address_(destination),
      now_ms_(now_ms),
      bucket_(bucket_of(destination)),
      shard_(cache.shards_[bucket_ / kBucketsPerShard]),
      lock_(shard_.mutex),
      known_(find(shard_, destination)) {
  if (known_ != nullptr) known_->used_ms = now_ms;
}

std::span<CachedServer> DestinationCache::Visit::servers() {
  if (known_ == nullptr) return {};
  return known_->servers;
}

void DestinationCache::Visit::join(const CachedServer& server) {
  if (known_ == nullptr) {
    if (cache_.size() >= kLimit + kLimit / 2) return;
    if (shard_.buckets.empty()) shard_.buckets.resize(kBucketsPerShard);
    known_ = &shard_.buckets[bucket_ % kBucketsPerShard].emplace_back();
    known_->address = address_;
    known_->used_ms = now_ms_;
    cache_.size_.fetch_add(1, std::memory_order_relaxed);
  }
  known_->servers.insert(known_->servers.begin(), server);
  known_->changed_ms = now_ms_;
  ++shard_.references[server.slot];
}

void DestinationCache::Visit::leave(size_t place) {
  const auto leaving = known_->servers.begin() + static_cast<std::ptrdiff_t>(place);
  drop_reference(shard_, leaving->slot);
  known_->servers.erase(leaving);
  known_->changed_ms = now_ms_;
}

void DestinationCache::Visit::replace(const CachedServer& server) {
  if (known_ != nullptr) {
    for (const CachedServer& old : known_->servers) drop_reference(shard_, old.slot);
    known_->servers.clear();
  }
  join(server);
}

}  // namespace fulcrum
