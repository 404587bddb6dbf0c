// SPDX-License-Identifier: Apache-2.0
// Finds the server of the least cost per weight without asking them all. Servers are grouped by blocks of slots; each
// group remembers its best until a count of the block changes, for all workers: a choice asks one server a group, and
// again those of the few groups where connections began, changed or ended since. The choice is that of the plain walk.
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <vector>

#include "service/scheduler/scheduler.h"

namespace fulcrum {

// The least so far, compared by cross multiplication; of equals the one nearest to the list's head wins.
struct Least {
  int index = -1;
  uint64_t cost = 0;
  uint64_t weight = 0;

  // True if it is the other now.
  bool consider(int other, uint64_t other_cost, uint64_t other_weight) {
    const uint64_t mine = cost * other_weight, others = other_cost * weight;
    if (index >= 0 && (mine < others || (mine == others && index > other))) return false;
    index = other;
    cost = other_cost;
    weight = other_weight;
    return true;
  }
};

class LeastIndex {
 public:
  // With fewer servers the walk costs less.
  static constexpr size_t kWorthwhile = 96;

  explicit LeastIndex(const VirtualService& service) {
    for (uint32_t index = 0; index < service.servers.size(); ++index) {
      const RealServer& server = service.servers[index];
      if (server.weight != 0) members_.push_back({.index = index, .slot = server.slot, .weight = server.weight});
    }
    std::sort(members_.begin(), members_.end(), [](const Member& a, const Member& b) { return a.slot < b.slot; });
    for (uint32_t place = 0; place < members_.size(); ++place) {
      const uint32_t block = LoadView::block_of(members_[place].slot);
      if (groups_.empty() || groups_.back().block != block) groups_.push_back({.block = block, .begin = place});
      groups_.back().end = place + 1;
    }
    best_ = std::make_unique<std::atomic<uint64_t>[]>(groups_.size());
    for (size_t i = 0; i < groups_.size(); ++i) best_[i].store(~uint64_t{0}, std::memory_order_relaxed);
  }

  // Index into service.servers, or -1. `cost` maps load and weight to what LVS divides by the weight that `divisor`
  // maps the server's to. All callers of one index must mean the same by them.
  template <typename Cost, typename Divisor>
  int find(const LoadView& loads, Cost cost, Divisor divisor) const {
    Least least;
    for (size_t i = 0; i < groups_.size(); ++i) {
      const uint32_t place = best_of(i, loads, cost, divisor);
      if (place == kNobody) continue;
      const Member& member = members_[place];
      const ServerLoad load = loads.of(member.slot);
      // Overloaded this very moment: another of the group may not be.
      if (load.overloaded) [[unlikely]]
        search(groups_[i], loads, cost, divisor, least);
      else
        least.consider(static_cast<int>(member.index), cost(load), divisor(member.weight));
    }
    return least.index;
  }

 private:
  struct Member {
    uint32_t index;  // into service.servers
    ServerSlot slot;
    uint32_t weight;
  };
  struct Group {
    uint32_t block;
    uint32_t begin;
    uint32_t end = 0;
  };
  // What is remembered: the block's count of changes, and a place among the members.
  static constexpr unsigned kPlaceBits = 24;
  static constexpr uint32_t kNobody = (1u << kPlaceBits) - 1;

  template <typename Cost, typename Divisor>
  uint32_t best_of(size_t i, const LoadView& loads, Cost cost, Divisor divisor) const {
    const Group& group = groups_[i];
    // A change is counted after it was made, and the count read before the lines: what is remembered may be newer than
    // its count says, never older.
    const uint64_t changes = loads.changes(group.block) << kPlaceBits;
    const uint64_t remembered = best_[i].load(std::memory_order_relaxed);
    if ((remembered & ~uint64_t{kNobody}) == changes) return static_cast<uint32_t>(remembered) & kNobody;
    Least least;
    const uint32_t place = search(group, loads, cost, divisor, least);
    best_[i].store(changes | place, std::memory_order_relaxed);
    return place;
  }

  // The place of the one that `least` is then, if it is of this group.
  template <typename Cost, typename Divisor>
  uint32_t search(const Group& group, const LoadView& loads, Cost cost, Divisor divisor, Least& least) const {
    uint32_t found = kNobody;
    for (uint32_t place = group.begin; place < group.end; ++place) {
      const Member& member = members_[place];
      const ServerLoad load = loads.of(member.slot);
      if (!load.overloaded && least.consider(static_cast<int>(member.index), cost(load), divisor(member.weight)))
        found = place;
    }
    return found;
  }

  std::vector<Member> members_;  // by slot
  std::vector<Group> groups_;
  std::unique_ptr<std::atomic<uint64_t>[]> best_;  // by group
};

}  // namespace fulcrum
