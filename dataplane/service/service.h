// SPDX-License-Identifier: Apache-2.0
// What the control plane asked for: virtual services and their real servers. Immutable once published; the state that
// schedulers keep is per worker and lives elsewhere (scheduler/scheduler.h).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "net/flow_key.h"
#include "service/tunnel_settings.h"

namespace fulcrum {

// The numbers of LVS's connection flags. kBypass: on to the packet's own destination, without a real server. Ours:
// kMasquerade, of routed flows that are no service's (core/masquerade.h).
enum class ForwardingMethod : uint8_t { kNat = 0, kTun = 2, kDr = 3, kBypass = 4, kMasquerade = 5 };

// Names (service key, server key) for as long as anything refers to it; survives delete and add (LVS's trash).
using ServerSlot = uint32_t;
inline constexpr ServerSlot kNoSlot = 0xffffffff;
// Names a service likewise.
using ServiceSlot = uint32_t;

struct ServiceKey {
  Address address;  // family only, for a fwmark service: see of_mark()
  IpProtocol protocol{};
  uint16_t port = 0;
  uint32_t fwmark = 0;
  bool operator==(const ServiceKey&) const = default;
  // LVS: one service a mark and family.
  static ServiceKey of_mark(Family family, uint32_t mark) {
    ServiceKey key;
    key.address.family = family;
    key.fwmark = mark;
    return key;
  }
};

struct ServerKey {
  Address address;
  uint16_t port = 0;
  bool operator==(const ServerKey&) const = default;
};

struct RealServer {
  ServerKey key;
  ServerSlot slot = kNoSlot;
  ForwardingMethod method = ForwardingMethod::kDr;
  uint32_t weight = 1;
  uint32_t last_weight = 1;  // last weight that was not 0, or the weight given at add
  uint32_t upper_threshold = 0;
  uint32_t lower_threshold = 0;
  TunnelSettings tunnel;
  bool operator==(const RealServer&) const = default;
};

// One edit of a service's server list, with what a scheduler needs to follow it without seeing the list in between.
struct ServerEdit {
  enum class Kind : uint8_t { kAdd, kEdit, kDelete };
  Kind kind{};
  ServerSlot slot = kNoSlot;
  ServerSlot predecessor = kNoSlot;  // kDelete: the server before it in LVS's list, kNoSlot if it was the head
  // The list's figures after the edit.
  uint32_t greatest_weight = 0;
  uint32_t weight_divisor = 1;  // greatest common divisor of the positive weights, 1 if there are none
};

// The moment a service's scheduler began: at creation, or when another one was chosen. Workers whose state is of
// another epoch start from these figures and then follow the edits that came after.
struct SchedulerStart {
  uint64_t epoch = 0;     // unique among all services and times; 0 is never used
  uint64_t sequence = 0;  // edits made before
  // The list's figures at that moment.
  uint32_t greatest_weight = 0;
  uint32_t weight_divisor = 1;
};

struct Scheduler;
struct TrafficRules;
class DestinationCache;
class LeastIndex;

// What a hash scheduler looks up: by bucket, an index into VirtualService::servers.
using SchedulerTable = std::vector<uint32_t>;

struct VirtualService {
  ServiceKey key;
  ServiceSlot slot = 0;
  std::string scheduler = "wlc";
  const Scheduler* rules = nullptr;  // of that name; null: finds no server
  uint32_t scheduler_flags = 0;
  uint32_t persistence_timeout_s = 0;
  uint8_t persistence_prefix = 0;
  bool one_packet = false;
  // Which clients it takes, how many connections, with which segments; null: no more is said than LVS can say.
  std::shared_ptr<const TrafficRules> traffic;
  // In order of addition, the oldest first, so that adding is cheap and moves nobody's index. LVS's list is the
  // reverse: its head is the server added last, so schedulers walk from the back to the front. Changed by EditList
  // only.
  std::vector<RealServer> servers;
  // Figures of the list above.
  uint32_t greatest_weight = 0;
  uint32_t weight_divisor = 1;

  // Made from the list by prepare_scheduler() if the scheduler has one. Generations share it until an edit moves a
  // bucket.
  std::shared_ptr<const SchedulerTable> table;

  // Where flows without an entry go; made from the list by prepare_spread() where they may go anywhere. Generations
  // share it like the table.
  std::shared_ptr<const std::vector<uint16_t>> spread;

  // For schedulers that seek the least of many servers; made, and shared, like the table.
  std::shared_ptr<const LeastIndex> least;

  // What the scheduler remembers of destinations, if it does; made by prepare_scheduler(). Unlike all else here workers
  // change it. Generations share it until another scheduler is chosen.
  std::shared_ptr<DestinationCache> destinations;

  SchedulerStart scheduler_start;
  // Number of edits since the service was created; a worker that is behind replays the last ones from `edits`.
  uint64_t sequence = 0;
  // The edits of the generation that made this object, the last one being number `sequence`.
  std::vector<ServerEdit> edits;

  // Position in `servers`, or -1.
  int find(ServerSlot wanted) const {
    for (size_t i = 0; i < servers.size(); ++i)
      if (servers[i].slot == wanted) return static_cast<int>(i);
    return -1;
  }
};

}  // namespace fulcrum
