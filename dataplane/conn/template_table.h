// SPDX-License-Identifier: Apache-2.0
// Persistence templates: which server a client sticks to. A template's key is the masked client, not a flow, so copies
// per worker would be wrong: one sharded table for the director, visited at connection events of persistent services
// only. Expiry and re-arming follow LVS.
#pragma once

#include <functional>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "conn/connection.h"
#include "service/defence.h"

namespace fulcrum {

// Shard in the upper byte, place in the shard below.
using TemplateIndex = uint32_t;
inline constexpr TemplateIndex kNoTemplate = 0xffffffff;

struct TemplateKey {
  Address client;  // masked
  Address vip;     // family only for a fwmark service
  IpProtocol protocol{};
  uint16_t port = 0;
  uint32_t fwmark = 0;
  bool operator==(const TemplateKey&) const = default;
};

struct TemplateKeyHash {
  size_t operator()(const TemplateKey& key) const {
    const uint64_t rest = uint64_t{key.fwmark} << 32 | uint64_t{key.port} << 8 | static_cast<uint8_t>(key.protocol);
    return (AddressHash{}(key.client) * 31 + AddressHash{}(key.vip) * 0x9E3779B97F4A7C15u) ^ rest * 0xD6E8FEB86659FD93u;
  }
};

struct Template {
  TemplateKey key;
  ServerSlot server = kNoSlot;
  uint16_t server_port = 0;
  ForwardingMethod method{};
  bool used = false;
  bool assured = false;  // one of its connections was established, or had a reply
  bool invalid = false;  // its server went: never found again, listed until it expires
  uint32_t controlled = 0;
  Ticks timeout = 0;
  Ticks deadline = 0;
};

class TemplateTable {
 public:
  static constexpr uint32_t kShards = 64;
  static constexpr Ticks kControllingTimeout = 60 * kTicksPerSecond;

  explicit TemplateTable(uint32_t capacity) : capacity_(capacity) {}

  struct Stick {
    TemplateIndex index = kNoTemplate;
    ServerSlot server = kNoSlot;
    uint16_t server_port = 0;
    bool is_new = false;
    bool full = false;
  };
  // The client's template, if its server `is_usable`; otherwise a new one for the server that `choose` finds (kNoSlot
  // for none; its port and method are filled in). The template then controls one connection more, and its timer starts.
  // Both are called with the shard locked.
  struct Choice {
    ServerSlot server = kNoSlot;
    uint16_t port = 0;
    ForwardingMethod method{};
  };
  Stick stick(const TemplateKey& key, Ticks timeout, Ticks now, const std::function<bool(ServerSlot)>& is_usable,
              const std::function<Choice()>& choose);
  // The server of the client's template; kNoSlot: it has none that is found.
  ServerSlot find(const TemplateKey& key, Ticks now) const;
  // A connection that it controlled ended, or was never made.
  void let_go(TemplateIndex index);
  void assure(TemplateIndex index);
  // Templates that control nothing are due at once: this one, or all of a server's.
  void end_if_idle(TemplateIndex index, Ticks now);
  void end_idle(ServerSlot server, Ticks now);
  // Removes what is due and controls nothing; what still controls lives on for 60 s, and again.
  void expire(Ticks now, const std::function<void(const Template&)>& gone);
  // Those that match are found no more, and go at once or with the last that they control. How many.
  uint64_t erase(Ticks now, const std::function<bool(const Template&)>& matches,
                 const std::function<void(const Template&)>& gone);
  // drop_entry's round over a part of them, which `random` chooses: what goes is due at once.
  void drop_entries(Ticks now, uint32_t random, EntryDropper& dropper);
  // Calls for templates from `cursor` on until `take` says enough; where to go on, or 0 at the end.
  uint64_t list(uint64_t cursor, const std::function<bool(const Template&)>& take) const;

 private:
  struct Shard {
    mutable std::mutex mutex;
    std::unordered_map<TemplateKey, uint32_t, TemplateKeyHash> by_key;
    std::vector<Template> templates;
    std::vector<uint32_t> free;
  };
  static void release(Shard& shard, uint32_t place, const std::function<void(const Template&)>& gone);
  static uint32_t shard_of(const TemplateKey& key) {
    return static_cast<uint32_t>((TemplateKeyHash{}(key)*0x9E3779B97F4A7C15u) >> 58);
  }

  Shard shards_[kShards];
  uint32_t capacity_;
};

}  // namespace fulcrum
