// SPDX-License-Identifier: Apache-2.0
// All connections of one worker and one family, found by either direction's tuple. Buckets are one cache line: ten
// 16-bit signatures and ten indexes; a full one grows a chain. The hash is keyed with a secret and symmetric in source
// and destination, so that a connection whose reply is the mirror image of its forward tuple (DR, TUN) has one index
// entry for both directions; NAT has two. Lookup is split so that a burst can prefetch bucket, then entry.
#pragma once

#include <emmintrin.h>

#include <string>

#include "conn/arena.h"
#include "conn/connection.h"

namespace fulcrum {

struct alignas(64) ConnectionBucket {
  static constexpr unsigned kWays = 10;
  uint16_t signature[kWays];  // 0: free
  ConnectionIndex index[kWays];
  uint32_t overflow;  // number of the chained bucket, 0: none

  // Bit i set: way i carries the signature.
  uint32_t match(uint16_t wanted) const {
    const __m128i want = _mm_set1_epi16(static_cast<short>(wanted));
    const __m128i low = _mm_loadu_si128(reinterpret_cast<const __m128i*>(signature));
    const __m128i high = _mm_cvtsi32_si128(load_unaligned<int>(signature + 8));
    const __m128i equal = _mm_packs_epi16(_mm_cmpeq_epi16(low, want), _mm_cmpeq_epi16(high, want));
    return static_cast<uint32_t>(_mm_movemask_epi8(equal)) & ((1u << kWays) - 1);
  }
};
static_assert(sizeof(ConnectionBucket) == 64);

// The secret of a table's hash, random at every start.
struct HashSecret {
  uint64_t first;
  uint64_t second;
};

template <Family F>
class ConnectionTable {
 public:
  using Entry = Connection<F>;
  using Key = FlowKey<F>;
  struct Found {
    Entry* entry = nullptr;
    ConnectionIndex index = kNoConnection;
    bool is_reply = false;
    explicit operator bool() const { return entry != nullptr; }
  };

  // Bytes of arena needed for `capacity` connections.
  static size_t bytes_for(uint32_t capacity);
  // False when the arena has no room for it.
  bool create(Arena& arena, uint32_t capacity, HashSecret secret);

  uint64_t hash(const Key& key) const;
  const ConnectionBucket& bucket(uint64_t hash) const { return buckets_[bucket_number(hash)]; }
  void prefetch_bucket(uint64_t hash) const { __builtin_prefetch(&bucket(hash)); }

  // Second step: the first candidate of the bucket, prefetched; kNoConnection if no signature matches.
  ConnectionIndex candidate(uint64_t hash) const {
    const ConnectionBucket& at = bucket(hash);
    const uint32_t ways = at.match(signature(hash));
    if (ways == 0) [[unlikely]]
      return kNoConnection;
    const ConnectionIndex index = at.index[__builtin_ctz(ways)];
    __builtin_prefetch(&entries_[index], 1);
    return index;
  }
  // Third step: does the candidate carry this key, and in which direction?
  Found check(ConnectionIndex index, const Key& key) const {
    Entry& entry = entries_[index];
    if (entry.protocol == key.protocol) [[likely]] {
      if (entry.forward == key.tuple) return {&entry, index, false};
      if (entry.reply == key.tuple) return {&entry, index, true};
    }
    return {};
  }
  // The whole lookup at once, and what remains when the first candidate is not the one.
  Found find(const Key& key, uint64_t hash) const;
  Found find(const Key& key) const { return find(key, hash(key)); }

  // A fresh entry, not yet findable; kNoConnection when the table is full.
  ConnectionIndex allocate();
  // Makes it findable by both of its tuples, before any older entry with the same reply tuple. False when the index
  // has no room: release() it.
  bool insert(ConnectionIndex index);
  // Takes it out of the index.
  void remove(ConnectionIndex index);
  // Gives back an entry that is not findable.
  void release(ConnectionIndex index);

  Entry& entry(ConnectionIndex index) { return entries_[index]; }
  const Entry& entry(ConnectionIndex index) const { return entries_[index]; }
  ConnectionIndex index_of(const Entry& entry) const { return static_cast<ConnectionIndex>(&entry - entries_); }
  ConnectionRecord& record(ConnectionIndex index) { return records_[index]; }
  const ConnectionRecord& record(ConnectionIndex index) const { return records_[index]; }

  bool is_full() const { return free_ == kNoConnection && fresh_ == capacity_; }
  uint32_t size() const { return used_; }
  uint32_t capacity() const { return capacity_; }
  // Entries with an index below this have been in use at some time: the end of a listing.
  uint32_t high_water() const { return fresh_; }

 private:
  static uint16_t signature(uint64_t hash) {
    const auto bits = static_cast<uint16_t>(hash >> 48);
    return static_cast<uint16_t>(bits + (bits == 0));
  }
  uint32_t bucket_number(uint64_t hash) const {
    return static_cast<uint32_t>((uint64_t{static_cast<uint32_t>(hash)} * home_buckets_) >> 32);
  }
  ConnectionBucket* chained(const ConnectionBucket& at) const {
    return at.overflow == 0 ? nullptr : &buckets_[at.overflow];
  }
  // The newest NAT connection with this reply tuple.
  ConnectionIndex find_translated_reply(const Entry& like, uint64_t reply_hash) const;
  bool index_insert(uint64_t hash, ConnectionIndex index);
  // Replaces `index` by `replacement`, or takes it out (kNoConnection).
  void index_replace(uint64_t hash, ConnectionIndex index, ConnectionIndex replacement);
  static bool has_mirrored_reply(const Entry& entry) { return entry.reply == entry.forward.reversed(); }

  Entry* entries_ = nullptr;
  ConnectionRecord* records_ = nullptr;
  ConnectionBucket* buckets_ = nullptr;  // home buckets, then those for chains
  HashSecret secret_{};
  uint32_t home_buckets_ = 0;
  uint32_t all_buckets_ = 0;
  uint32_t fresh_bucket_ = 0;  // chain buckets never used begin here
  uint32_t free_bucket_ = 0;   // list through `overflow`, 0: none
  ConnectionIndex free_ = kNoConnection;
  uint32_t fresh_ = 0;  // entries never used begin here
  uint32_t used_ = 0;
  uint32_t capacity_ = 0;
};

// A 64-bit value of one side of a flow.
inline uint64_t endpoint_value(be32 address, be16 port) { return uint64_t{port.raw} << 32 | address.raw; }

// The folded 128-bit product: both factors are blinded by the secret, so nobody outside can aim at a bucket.
inline uint64_t fold_multiply(uint64_t a, uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

// Flows of one client are an arithmetic progression, by their ports, and a product keeps them one: with a secret in
// sixty it would fill some buckets and pass over others. After a second one they lie as if by chance.
inline uint64_t scatter(uint64_t product) { return fold_multiply(product, 0x9e3779b97f4a7c15); }

template <>
inline uint64_t ConnectionTable<Family::kIpv4>::hash(const Key& key) const {
  const uint64_t source = endpoint_value(key.tuple.source, key.tuple.source_port);
  const uint64_t destination = endpoint_value(key.tuple.destination, key.tuple.destination_port);
  const uint64_t low = source < destination ? source : destination;
  const uint64_t high = source < destination ? destination : source;
  return scatter(
      fold_multiply(low ^ secret_.first, high ^ secret_.second ^ (uint64_t{static_cast<uint8_t>(key.protocol)} << 56)));
}

template <>
inline uint64_t ConnectionTable<Family::kIpv6>::hash(const Key& key) const {
  const auto side = [this](const Ipv6Address& address, be16 port) {
    return fold_multiply(address.high ^ secret_.first, address.low ^ secret_.second) ^ (uint64_t{port.raw} << 40);
  };
  const uint64_t source = side(key.tuple.source, key.tuple.source_port);
  const uint64_t destination = side(key.tuple.destination, key.tuple.destination_port);
  const uint64_t low = source < destination ? source : destination;
  const uint64_t high = source < destination ? destination : source;
  return scatter(
      fold_multiply(low ^ secret_.second, high ^ secret_.first ^ (uint64_t{static_cast<uint8_t>(key.protocol)} << 56)));
}

}  // namespace fulcrum
