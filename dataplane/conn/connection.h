// SPDX-License-Identifier: Apache-2.0
// One connection: a hot line that packets touch, and a cold record at the same index that only connection events
// touch. No pointers: indexes and slots, so that a table can be listed, synchronised, and outlive its process.
#pragma once

#include "core/clock.h"
#include "net/flow_key.h"
#include "service/service.h"

namespace fulcrum {

using ConnectionIndex = uint32_t;
inline constexpr ConnectionIndex kNoConnection = 0xffffffff;

using AdjacencyIndex = uint32_t;
inline constexpr AdjacencyIndex kNoAdjacency = 0xffffffff;

// The low bits are those of LVS's synchronisation protocol (semantics: "Flags sent").
inline constexpr uint32_t kFlagMethodMask = 0x0007;
inline constexpr uint32_t kFlagNoOutput = 0x0080;        // no packet of the server has been seen
inline constexpr uint32_t kFlagInactive = 0x0100;        // counted as inactive
inline constexpr uint32_t kFlagUnanswered = 0x10000000;  // ours: TCP by NAT, no packet of the server has been seen
inline constexpr uint32_t kFlagControlled = 0x20000000;  // ours: by a persistence template
inline constexpr uint32_t kFlagAssured = 0x40000000;     // ours: the template has been told that it is in use
inline constexpr uint32_t kFlagUsed = 0x80000000;        // ours: the record is in use

template <Family F>
struct alignas(64) Connection {
  Tuple<F> forward;  // client → VIP, as the client's packets have it
  Tuple<F> reply;    // server → client, as the server's packets have it; not assumed to be forward's mirror image
  uint32_t flags = 0;
  Ticks deadline = 0;
  ServerSlot server = kNoSlot;
  AdjacencyIndex server_adjacency = kNoAdjacency;
  AdjacencyIndex client_adjacency = kNoAdjacency;
  uint32_t route_epoch = 0;  // the epoch at which both adjacencies were resolved
  uint32_t in_packets = 0;
  ConnectionIndex older_reply = kNoConnection;  // the next older connection with an equal reply tuple
  IpProtocol protocol{};
  uint8_t state = 0;
  uint16_t unused = 0;

  ForwardingMethod method() const { return static_cast<ForwardingMethod>(flags & kFlagMethodMask); }
  bool is_used() const { return (flags & kFlagUsed) != 0; }
  bool is_active() const { return (flags & kFlagInactive) == 0; }
};
static_assert(sizeof(Connection<Family::kIpv4>) == 64);
static_assert(sizeof(Connection<Family::kIpv6>) == 128);

struct ConnectionRecord {
  ConnectionIndex next = kNoConnection;      // wheel list, or free list
  ConnectionIndex previous = kNoConnection;  // wheel list; kInSlot | slot at the list's head
  Ticks timeout = 0;                         // of templates; other entries take their state's
  uint32_t controlling = 0xffffffff;         // the persistence template that controls it
  uint32_t fwmark = 0;
  uint32_t extension = 0xffffffff;  // sequence deltas and the like
  ServiceSlot service = 0;
  Ticks created = 0;
};
static_assert(sizeof(ConnectionRecord) == 32);

}  // namespace fulcrum
