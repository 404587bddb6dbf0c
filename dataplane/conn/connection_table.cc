// SPDX-License-Identifier: Apache-2.0
#include "conn/connection_table.h"

#include <algorithm>

namespace fulcrum {

namespace {
// Six index entries a home bucket at most on average (two a NAT connection): one bucket in forty overflows.
constexpr uint32_t kEntriesPerBucket = 6;
constexpr uint32_t kChainShare = 8;  // one chain bucket for so many home buckets

uint32_t home_buckets_for(uint32_t capacity) {
  return static_cast<uint32_t>((uint64_t{capacity} * 2 + kEntriesPerBucket - 1) / kEntriesPerBucket) + 1;
}
uint32_t all_buckets_for(uint32_t capacity) {
  const uint32_t home = home_buckets_for(capacity);
  return home + home / kChainShare + 16;
}
}  // namespace

template <Family F>
size_t ConnectionTable<F>::bytes_for(uint32_t capacity) {
  return sizeof(Entry) * capacity + sizeof(ConnectionRecord) * capacity +
         sizeof(ConnectionBucket) * all_buckets_for(capacity) + 3 * 64;
}

template <Family F>
bool ConnectionTable<F>::create(Arena& arena, uint32_t capacity, HashSecret secret) {
  capacity_ = capacity;
  secret_ = secret;
  home_buckets_ = home_buckets_for(capacity);
  all_buckets_ = all_buckets_for(capacity);
  fresh_bucket_ = home_buckets_;
  buckets_ = static_cast<ConnectionBucket*>(arena.take(sizeof(ConnectionBucket) * all_buckets_));
  entries_ = static_cast<Entry*>(arena.take(sizeof(Entry) * capacity));
  records_ = static_cast<ConnectionRecord*>(arena.take(sizeof(ConnectionRecord) * capacity));
  return buckets_ != nullptr && entries_ != nullptr && records_ != nullptr;
}

template <Family F>
typename ConnectionTable<F>::Found ConnectionTable<F>::find(const Key& key, uint64_t hash) const {
  const uint16_t wanted = signature(hash);
  for (const ConnectionBucket* at = &bucket(hash); at != nullptr; at = chained(*at)) {
    for (uint32_t ways = at->match(wanted); ways != 0; ways &= ways - 1) {
      if (const Found found = check(at->index[__builtin_ctz(ways)], key)) return found;
    }
  }
  return {};
}

template <Family F>
ConnectionIndex ConnectionTable<F>::allocate() {
  ConnectionIndex index;
  if (free_ != kNoConnection) {
    index = free_;
    free_ = records_[index].next;
  } else if (fresh_ < capacity_) {
    index = fresh_++;
  } else {
    return kNoConnection;
  }
  ++used_;
  entries_[index] = Entry{};
  entries_[index].flags = kFlagUsed;
  records_[index] = ConnectionRecord{};
  return index;
}

template <Family F>
void ConnectionTable<F>::release(ConnectionIndex index) {
  entries_[index].flags = 0;
  // Until it is used again nothing may take it for a connection: no packet has protocol 0.
  entries_[index].protocol = IpProtocol{};
  records_[index].next = free_;
  free_ = index;
  --used_;
}

template <Family F>
bool ConnectionTable<F>::insert(ConnectionIndex index) {
  Entry& added = entries_[index];
  const uint64_t forward_hash = hash({added.forward, added.protocol});
  if (has_mirrored_reply(added)) return index_insert(forward_hash, index);

  const uint64_t reply_hash = hash({added.reply, added.protocol});
  const ConnectionIndex older = find_translated_reply(added, reply_hash);
  if (older != kNoConnection) {
    // LVS: of several connections with one reply tuple the newest takes the replies.
    if (!index_insert(forward_hash, index)) return false;
    added.older_reply = older;
    index_replace(reply_hash, older, index);
    return true;
  }
  if (!index_insert(forward_hash, index)) return false;
  if (index_insert(reply_hash, index)) return true;
  index_replace(forward_hash, index, kNoConnection);
  return false;
}

template <Family F>
void ConnectionTable<F>::remove(ConnectionIndex index) {
  Entry& removed = entries_[index];
  index_replace(hash({removed.forward, removed.protocol}), index, kNoConnection);
  if (has_mirrored_reply(removed)) return;

  const uint64_t reply_hash = hash({removed.reply, removed.protocol});
  const ConnectionIndex newest = find_translated_reply(removed, reply_hash);
  if (newest == index) {
    index_replace(reply_hash, index, removed.older_reply);
  } else {
    for (ConnectionIndex at = newest; at != kNoConnection; at = entries_[at].older_reply) {
      if (entries_[at].older_reply != index) continue;
      entries_[at].older_reply = removed.older_reply;
      break;
    }
  }
  removed.older_reply = kNoConnection;
}

template <Family F>
ConnectionIndex ConnectionTable<F>::find_translated_reply(const Entry& like, uint64_t reply_hash) const {
  const uint16_t wanted = signature(reply_hash);
  for (const ConnectionBucket* at = &bucket(reply_hash); at != nullptr; at = chained(*at)) {
    for (uint32_t ways = at->match(wanted); ways != 0; ways &= ways - 1) {
      const ConnectionIndex index = at->index[__builtin_ctz(ways)];
      const Entry& entry = entries_[index];
      if (entry.reply == like.reply && entry.protocol == like.protocol && !has_mirrored_reply(entry)) return index;
    }
  }
  return kNoConnection;
}

template <Family F>
bool ConnectionTable<F>::index_insert(uint64_t hash, ConnectionIndex index) {
  // Only entries with one and the same key make such a chain (LVS: those of clients with source port 0). An end to it,
  // or who sends such packets makes every further one dearer.
  constexpr unsigned kLongestChain = 32;
  ConnectionBucket* at = &buckets_[bucket_number(hash)];
  for (unsigned passed = 0; passed < kLongestChain; ++passed) {
    if (const uint32_t free_ways = at->match(0); free_ways != 0) {
      const int way = __builtin_ctz(free_ways);
      at->signature[way] = signature(hash);
      at->index[way] = index;
      return true;
    }
    if (ConnectionBucket* next = chained(*at)) {
      at = next;
      continue;
    }
    uint32_t number = free_bucket_;
    if (number != 0) {
      free_bucket_ = buckets_[number].overflow;
    } else if (fresh_bucket_ < all_buckets_) {
      number = fresh_bucket_++;
    } else {
      return false;
    }
    buckets_[number] = ConnectionBucket{};
    at->overflow = number;
    at = &buckets_[number];
  }
  return false;
}

template <Family F>
void ConnectionTable<F>::index_replace(uint64_t hash, ConnectionIndex index, ConnectionIndex replacement) {
  const uint16_t wanted = signature(hash);
  ConnectionBucket* previous = nullptr;
  for (ConnectionBucket* at = &buckets_[bucket_number(hash)]; at != nullptr; previous = at, at = chained(*at)) {
    for (uint32_t ways = at->match(wanted); ways != 0; ways &= ways - 1) {
      const int way = __builtin_ctz(ways);
      if (at->index[way] != index) continue;
      if (replacement != kNoConnection) {
        at->index[way] = replacement;
        return;
      }
      at->signature[way] = 0;
      if (previous != nullptr && at->match(0) == (1u << ConnectionBucket::kWays) - 1) {
        const uint32_t number = previous->overflow;
        previous->overflow = at->overflow;
        at->overflow = free_bucket_;
        free_bucket_ = number;
      }
      return;
    }
  }
}

template class ConnectionTable<Family::kIpv4>;
template class ConnectionTable<Family::kIpv6>;

}  // namespace fulcrum
