// SPDX-License-Identifier: Apache-2.0
// What a service takes besides being balanced: which clients, how many connections, how many new ones a second, and how
// long the segments may be that its TCP ends agree on. LVS has no words for these.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "service/prefix_list.h"

namespace fulcrum {

// As configured: prefixes of the service's own, and lists by name.
struct ClientPrefixes {
  std::vector<std::string> lists;
  std::vector<Prefix> own;
  bool empty() const { return lists.empty() && own.empty(); }
  bool operator==(const ClientPrefixes&) const = default;
};

inline constexpr uint16_t kNoSegmentLimit = 0;
inline constexpr uint16_t kLeastSegmentLimit = 88;     // what Linux takes as the least
inline constexpr uint16_t kAutoSegmentLimit = 0xffff;  // what the way to the chosen server carries whole

struct TrafficPolicy {
  ClientPrefixes allow;
  ClientPrefixes deny;
  uint32_t max_connections = 0;         // 0: no limit
  uint32_t connections_per_second = 0;  // 0: no limit
  uint32_t connections_burst = 0;       // at once after a quiet time; 0: a second's
  uint16_t mss = kNoSegmentLimit;
  bool operator==(const TrafficPolicy&) const = default;
};

// The longest prefix of both sides that a client is in decides, "deny" if they are of one length. A client in none of
// them is taken unless there are prefixes to allow.
class ClientFilter {
 public:
  struct Side {
    std::vector<PrefixListSlot> lists;
    std::shared_ptr<const PrefixList> own;  // null: none
    bool empty() const { return lists.empty() && own == nullptr; }
  };
  ClientFilter() = default;
  ClientFilter(Side allow, Side deny) : allow_(std::move(allow)), deny_(std::move(deny)) {}

  template <typename AnyAddress>
  bool takes(const PrefixLists& lists, const AnyAddress& client) const {
    const unsigned allowed = longest(allow_, lists, client), denied = longest(deny_, lists, client);
    if (allowed == 0 && denied == 0) return allow_.empty();
    return allowed > denied;
  }
  bool empty() const { return allow_.empty() && deny_.empty(); }
  bool refers_to(PrefixListSlot slot) const { return names(allow_, slot) || names(deny_, slot); }

 private:
  template <typename AnyAddress>
  static unsigned longest(const Side& side, const PrefixLists& lists, const AnyAddress& client) {
    unsigned match = side.own == nullptr ? 0 : side.own->match(client);
    for (const PrefixListSlot slot : side.lists) match = std::max(match, lists.by_slot[slot]->match(client));
    return match;
  }
  static bool names(const Side& side, PrefixListSlot slot) {
    return std::find(side.lists.begin(), side.lists.end(), slot) != side.lists.end();
  }

  Side allow_, deny_;
};

// How often connections may begin, by all workers together: a token bucket in one word that they share (GCRA, ITU-T
// I.371: when the bucket would be full again), in thousandths of a token. Written once a connection; when there is no
// token it is only read.
class ConnectionRate {
 public:
  // Of the engine's clock and this, the product must not reach half of what a word holds: in 29 years.
  static constexpr uint32_t kMostPerSecond = 10'000'000;

  ConnectionRate(uint32_t per_second, uint32_t burst)
      : per_second_(per_second), full_(uint64_t{1000} * (burst != 0 ? burst : per_second)) {}

  // Takes a token, if there is one at this time.
  bool take(uint64_t now_ms) const {
    const uint64_t now = now_ms * per_second_;
    uint64_t spent = spent_.load(std::memory_order_relaxed);
    for (;;) {
      // One worker's clock may be a little behind another's.
      const uint64_t used = spent > now ? spent - now : 0;
      if (used + 1000 > full_) return false;
      if (spent_.compare_exchange_weak(spent, now + used + 1000, std::memory_order_relaxed)) return true;
    }
  }

 private:
  uint64_t per_second_;
  uint64_t full_;
  alignas(64) mutable std::atomic<uint64_t> spent_{0};
};

// A policy in force. Immutable but for the rate's tokens; a service without a policy has none.
struct TrafficRules {
  TrafficPolicy policy;
  ClientFilter clients;
  std::shared_ptr<const ConnectionRate> rate;  // null: no limit. Kept while its figures stay.
};

}  // namespace fulcrum
