// SPDX-License-Identifier: Apache-2.0
#include "forward/neighbor.h"

#include <rte_hash.h>
#include <rte_mbuf.h>

#include "net/headers.h"
#include "net/owner.h"

namespace fulcrum {

namespace {

// A NeighborKey lies anywhere; rte_hash's own functions want aligned ones.
uint32_t hash_key(const void* key, uint32_t, uint32_t seed) {
  const auto* bytes = static_cast<const uint8_t*>(key);
  const uint64_t rest = uint64_t{load_unaligned<uint32_t>(bytes + 16)} << 32 | seed;
  return static_cast<uint32_t>(
      mix64(mix64(load_unaligned<uint64_t>(bytes) ^ rest) + load_unaligned<uint64_t>(bytes + 8)));
}

}  // namespace

namespace {

be32 own_v4_towards(const Interface& interface, const Address& neighbor) {
  const auto own = interface.address_for(neighbor);
  return own && own->family == Family::kIpv4 ? own->v4() : be32{};
}

}  // namespace

void Adjacency::follow(const Interface& of) {
  __atomic_store_n(&mtu, of.mtu, __ATOMIC_RELAXED);
  __atomic_store_n(reinterpret_cast<uint32_t*>(&own_v4), own_v4_towards(of, address).raw, __ATOMIC_RELAXED);
}

void Adjacency::set_link(const Interface& of, const Address& neighbor) {
  address = neighbor;
  own_v4 = own_v4_towards(of, neighbor);
  port = of.port;
  interface = of.id;
  mtu = of.mtu;
  header_bytes = static_cast<uint8_t>(kEthernetBytes + (of.vlan != 0 ? kVlanBytes : 0));
  const uint16_t type = be16::from_host(neighbor.family == Family::kIpv6 ? kEtherTypeIpv6 : kEtherTypeIpv4).raw;
  uint8_t bytes[10] = {of.mac[2], of.mac[3], of.mac[4], of.mac[5]};
  if (of.vlan == 0) {
    store_unaligned(bytes + 4, type);
  } else {
    store_unaligned(bytes + 4, be16::from_host(kEtherTypeVlan).raw);
    store_unaligned(bytes + 6, be16::from_host(of.vlan).raw);
    store_unaligned(bytes + 8, type);
  }
  tail = load_unaligned<uint64_t>(bytes);
  tail_more = load_unaligned<uint16_t>(bytes + 8);
}

void Adjacency::set_mac(const MacAddress& destination, const MacAddress& source) {
  uint8_t bytes[8];
  std::memcpy(bytes, destination.data(), 6);
  std::memcpy(bytes + 6, source.data(), 2);
  head.store(load_unaligned<uint64_t>(bytes), std::memory_order_relaxed);
  usable.store(true, std::memory_order_release);
}

MacAddress Adjacency::mac() const {
  MacAddress mac;
  const uint64_t bytes = head.load(std::memory_order_relaxed);
  std::memcpy(mac.data(), &bytes, 6);
  return mac;
}

NeighborCache::~NeighborCache() {
  if (hash_ != nullptr) rte_hash_free(hash_);
}

bool NeighborCache::create(const std::string& name, uint32_t capacity, unsigned socket) {
  // Tables live side by side in one process, in tests at least; DPDK wants a name for each.
  static std::atomic<unsigned> number{0};
  const std::string unique = name + "_" + std::to_string(number++);
  rte_hash_parameters parameters{};
  parameters.name = unique.c_str();
  parameters.entries = capacity;
  parameters.key_len = sizeof(NeighborKey);
  parameters.hash_func = hash_key;
  parameters.socket_id = static_cast<int>(socket);
  hash_ = rte_hash_create(&parameters);
  if (hash_ == nullptr) return false;
  entries_.resize(static_cast<size_t>(rte_hash_max_key_id(hash_)) + 1);
  parked_.resize(kParkedPerWorker);
  for (uint16_t i = 0; i < kParkedPerWorker; ++i) {
    parked_[i] = {nullptr, free_, 0};
    free_ = i;
  }
  return true;
}

NeighborCache::Entry* NeighborCache::find_entry(const NeighborKey& key) const {
  const int32_t position = rte_hash_lookup(hash_, &key);
  return position < 0 ? nullptr : &entries_[static_cast<size_t>(position)];
}

NeighborCache::Entry* NeighborCache::make_entry(const NeighborKey& key) {
  if (Entry* found = find_entry(key)) return found;
  const int32_t position = rte_hash_add_key(hash_, &key);
  if (position < 0) return nullptr;
  Entry& made = entries_[static_cast<size_t>(position)];
  made = Entry{};
  return &made;
}

void NeighborCache::forget_if_unused(const NeighborKey& key, const Entry& entry) {
  if (entry.adjacency == kNoAdjacency && entry.count == 0) rte_hash_del_key(hash_, &key);
}

AdjacencyIndex NeighborCache::find(const NeighborKey& key) const {
  const Entry* entry = find_entry(key);
  return entry == nullptr ? kNoAdjacency : entry->adjacency;
}

void NeighborCache::bind(const NeighborKey& key, AdjacencyIndex adjacency) {
  if (Entry* entry = make_entry(key)) entry->adjacency = adjacency;
}

void NeighborCache::unbind(const NeighborKey& key) {
  Entry* entry = find_entry(key);
  if (entry == nullptr) return;
  entry->adjacency = kNoAdjacency;
  forget_if_unused(key, *entry);
}

NeighborCache::Park NeighborCache::park(const NeighborKey& key, rte_mbuf* packet, uint8_t verdict) {
  if (free_ == kNone) return Park::kWorkerFull;
  Entry* entry = make_entry(key);
  if (entry == nullptr) return Park::kTableFull;
  if (entry->count == kParkedPerNeighbor) return Park::kNeighborFull;
  const uint16_t at = free_;
  free_ = parked_[at].next;
  parked_[at] = {packet, kNone, verdict};
  if (entry->last == kNone) {
    entry->first = at;
  } else {
    parked_[entry->last].next = at;
  }
  entry->last = at;
  ++entry->count;
  ++parked_count_;
  if (entry->asked) return Park::kParked;
  entry->asked = true;
  return Park::kParkedAndAsk;
}

void NeighborCache::drop_all() {
  for (Entry& entry : entries_) {
    for (uint16_t at = entry.first; at != kNone; at = parked_[at].next) rte_pktmbuf_free(parked_[at].packet);
    entry.first = entry.last = kNone;
    entry.count = 0;
  }
  parked_count_ = 0;
}

}  // namespace fulcrum
