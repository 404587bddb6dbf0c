// SPDX-License-Identifier: Apache-2.0
// Next hops. An adjacency is a neighbour as the packet path sees it: a ready Ethernet header behind an index, shared by
// all workers, written by the control thread alone. A worker's NeighborCache says which neighbour has which index, and
// parks packets while an address is being resolved.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "conn/connection.h"
#include "forward/network.h"

struct rte_hash;
struct rte_mbuf;

namespace fulcrum {

struct alignas(64) Adjacency {
  // Destination MAC and the first two bytes of the source MAC: all that changes, so one atomic store is enough.
  std::atomic<uint64_t> head{0};
  // The rest of the source MAC, then either the EtherType, or 802.1Q and tag and the EtherType.
  uint64_t tail = 0;
  uint16_t tail_more = 0;
  uint8_t header_bytes = 14;  // 14 or 18
  std::atomic<bool> usable{false};
  PortId port = 0;
  InterfaceId interface = kNoInterface;
  uint16_t mtu = 1500;
  // Seconds of the engine's clock when a worker last sent here; tells the control thread what is in use.
  std::atomic<uint32_t> last_used_s{0};
  // The director's own address towards it, if it is an IPv4 neighbour: source of tunnel packets.
  be32 own_v4{};
  Address address;

  // Where it is and who: all but its MAC.
  void set_link(const Interface& interface, const Address& neighbor);
  // While workers send by it: other addresses or another MTU of the interface. Plain numbers, which they may see a
  // moment later.
  void follow(const Interface& interface);
  void set_mac(const MacAddress& destination, const MacAddress& source);
  MacAddress mac() const;
};
static_assert(sizeof(Adjacency) == 64);

class AdjacencyTable {
 public:
  explicit AdjacencyTable(uint32_t capacity) : entries_(std::make_unique<Adjacency[]>(capacity)), capacity_(capacity) {}
  Adjacency& operator[](AdjacencyIndex index) { return entries_[index]; }
  const Adjacency& operator[](AdjacencyIndex index) const { return entries_[index]; }
  AdjacencyIndex index_of(const Adjacency& entry) const { return static_cast<AdjacencyIndex>(&entry - entries_.get()); }
  uint32_t capacity() const { return capacity_; }

 private:
  std::unique_ptr<Adjacency[]> entries_;
  uint32_t capacity_;
};

struct NeighborKey {
  Address address;
  uint8_t pad = 0;
  InterfaceId interface = kNoInterface;

  bool operator==(const NeighborKey& other) const { return address == other.address && interface == other.interface; }
};
static_assert(sizeof(NeighborKey) == 20);

// One worker's. No locks: bindings arrive through the worker's mailbox.
class NeighborCache {
 public:
  static constexpr uint32_t kParkedPerNeighbor = 8;
  static constexpr uint32_t kParkedPerWorker = 1024;
  enum class Park { kParked, kParkedAndAsk, kNeighborFull, kWorkerFull, kTableFull };

  NeighborCache() = default;
  ~NeighborCache();
  NeighborCache(const NeighborCache&) = delete;
  NeighborCache& operator=(const NeighborCache&) = delete;
  bool create(const std::string& name, uint32_t capacity, unsigned socket);

  // kNoAdjacency while nothing is bound.
  AdjacencyIndex find(const NeighborKey& key) const;
  // Bound, or asked for.
  bool knows(const NeighborKey& key) const { return find_entry(key) != nullptr; }
  void bind(const NeighborKey& key, AdjacencyIndex adjacency);
  void unbind(const NeighborKey& key);
  // Keeps the packet until release(). kParkedAndAsk: nobody has asked for this neighbour yet.
  Park park(const NeighborKey& key, rte_mbuf* packet, uint8_t verdict);
  // Hands out the parked packets of `key` in order of arrival.
  template <typename Take>
  void release(const NeighborKey& key, Take&& take) {
    Entry* entry = find_entry(key);
    if (entry == nullptr) return;
    uint16_t at = entry->first;
    entry->first = entry->last = kNone;
    entry->count = 0;
    entry->asked = false;
    while (at != kNone) {
      const Parked parked = parked_[at];
      parked_[at].next = free_;
      free_ = at;
      --parked_count_;
      take(parked.packet, parked.verdict);
      at = parked.next;
    }
    forget_if_unused(key, *entry);
  }
  // The question could not be asked: ask again with the next packet.
  void unask(const NeighborKey& key) {
    if (Entry* entry = find_entry(key)) entry->asked = false;
  }
  uint32_t parked() const { return parked_count_; }
  // Every parked packet, at the end.
  void drop_all();

 private:
  static constexpr uint16_t kNone = 0xffff;
  struct Entry {
    AdjacencyIndex adjacency = kNoAdjacency;
    uint16_t first = kNone;
    uint16_t last = kNone;
    uint8_t count = 0;
    bool asked = false;
  };
  struct Parked {
    rte_mbuf* packet;
    uint16_t next;
    uint8_t verdict;
  };
  Entry* find_entry(const NeighborKey& key) const;
  Entry* make_entry(const NeighborKey& key);
  void forget_if_unused(const NeighborKey& key, const Entry& entry);

  rte_hash* hash_ = nullptr;
  mutable std::vector<Entry> entries_;
  std::vector<Parked> parked_;
  uint16_t free_ = kNone;
  uint32_t parked_count_ = 0;
};

}  // namespace fulcrum
