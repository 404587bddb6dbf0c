// SPDX-License-Identifier: Apache-2.0
// What all workers share, and who may write it. Everything here is made before the workers start.
#pragma once

#include <rte_rcu_qsbr.h>
#include <rte_ring.h>

#include <atomic>
#include <vector>

#include "conn/template_table.h"
#include "core/clock.h"
#include "core/kernel_queue.h"
#include "core/messages.h"
#include "forward/tunnel.h"
#include "net/owner.h"
#include "net/rss.h"
#include "service/snapshot.h"
#include "service/threshold.h"

struct rte_mempool;

namespace fulcrum {

class Masquerade;

// One real server as the packet path sees it, by slot. Address, port and service never change while the slot lives.
struct alignas(64) ServerLine {
  Address address;
  uint16_t port = 0;
  std::atomic<uint16_t> segment_limit{0};  // its service's, for the MSS option of SYNs: service/traffic.h
  // LVS reads a tunnel's kind at every packet: an edit changes old connections too.
  std::atomic<TunnelSettings> tunnel{TunnelSettings{}};
  // What routers said of the way there (bytes, 0: nothing), and until when it counts, in seconds of the engine's clock.
  std::atomic<uint16_t> path_mtu{0};
  std::atomic<uint32_t> path_mtu_until_s{0};
  // Written by the control side, read per packet: in a service, not in the trash.
  std::atomic<bool> available{false};
  std::atomic<uint32_t> weight{0};
  ServiceSlot service = 0;
  // Thresholds of active + inactive connections.
  std::atomic<uint32_t> upper{0};
  std::atomic<uint32_t> lower{0};
  std::atomic<uint32_t> persistent{0};  // templates that name it

  Thresholds thresholds() const {
    return {upper.load(std::memory_order_relaxed), lower.load(std::memory_order_relaxed)};
  }
};
static_assert(sizeof(ServerLine) == 64);
static_assert(std::atomic<TunnelSettings>::is_always_lock_free);

// One worker's counts of one server. Written by that worker alone.
struct alignas(64) ServerCounters {
  uint64_t connections = 0;
  uint64_t in_packets = 0;
  uint64_t in_bytes = 0;
  uint64_t out_packets = 0;
  uint64_t out_bytes = 0;
  uint32_t active = 0;
  uint32_t inactive = 0;
  // TCP connections of NAT servers: of these both directions are seen. Modulo 2^32.
  uint32_t opened = 0;
  uint32_t answered = 0;  // the server has sent something, be it a reset
  uint32_t reset = 0;     // by the server, before either side had closed
  // The counts of active and inactive ones are part of the totals that counting schedulers read.
  bool in_totals = false;
};
static_assert(sizeof(ServerCounters) == 64);

// All workers' connections of a service, by slot: of services that limit them.
struct alignas(64) ServiceLine {
  std::atomic<uint32_t> connections{0};
};

// One worker's counts of one service. Written by that worker alone; touched where connections begin and end.
struct ServiceCounters {
  uint64_t denied = 0;  // packets, by the verdicts of these names
  uint64_t over_limit = 0;
  uint64_t over_rate = 0;
  uint32_t connections = 0;
  bool in_total = false;  // they are part of the line above
};
static_assert(sizeof(ServiceCounters) == 32);

struct PortRuntime {
  PortId id = 0;
  uint16_t rx_queues = 0;
  uint16_t tx_queues = 0;
  uint64_t mac = 0;  // mac_value()
};

// Idle workers: sleep a little longer after every empty poll, or never.
enum class IdlePolicy : uint8_t { kSleep, kPoll };

// Which of LVS's defences are in force; the control side decides once a second.
struct Defence {
  std::atomic<bool> secure_tcp{false};
  std::atomic<bool> drop_entry{false};
  std::atomic<uint64_t> drop_packet_rate{0};  // every n-th packet that would make a connection; 0: none
};

struct Shared {
  static constexpr uint32_t kServerSlots = 131072;
  // Stands for "no real server": what cache_bypass sends on to its own destination.
  static constexpr ServerSlot kBypassSlot = kServerSlots - 1;
  // Likewise for masqueraded flows; never available, so that they leave the balanced packets' path where servers that
  // are gone do.
  static constexpr ServerSlot kMasqueradeSlot = kServerSlots - 2;
  // Never available either: of connections that are to be reset.
  static constexpr ServerSlot kCondemnedSlot = kServerSlots - 3;
  static constexpr ServerSlot kFirstSpecialSlot = kCondemnedSlot;
  static constexpr uint32_t kServerBlocks = kServerSlots >> LoadView::kBlockBits;
  static constexpr uint32_t kServiceSlots = 65536;
  static constexpr uint32_t kMailboxSize = 1024;
  static constexpr uint32_t kControlRingSize = 8192;
  static constexpr uint32_t kHandoverRingSize = 2048;

  uint32_t workers = 1;
  IdlePolicy idle = IdlePolicy::kSleep;
  bool forwarding = true;
  Clock clock;
  std::atomic<bool> running{false};
  std::atomic<const Snapshot*> snapshot{nullptr};
  rte_rcu_qsbr* quiescence = nullptr;
  rte_mempool* buffers = nullptr;
  const RssSteering* steering = nullptr;  // who owns a client's flows; null: owner_hash() says so
  std::vector<PortRuntime> ports;         // by port id; holes have no queues
  AdjacencyTable* adjacencies = nullptr;
  ServerLine* servers = nullptr;         // kServerSlots, control side writes
  ServiceLine* services = nullptr;       // kServiceSlots, workers add, relaxed
  LoadView::Line* totals = nullptr;      // kServerSlots, workers add, relaxed
  LoadView::Changes* changes = nullptr;  // of the totals, one a block of slots
  TemplateTable* templates = nullptr;
  const Masquerade* masquerade = nullptr;  // null: nothing is masqueraded
  Defence defence;
  rte_ring* to_control = nullptr;  // ControlMessage, many producers
  // [from * workers + to]: packets for their owner, and packets for the worker that has the port's queue.
  std::vector<rte_ring*> handover;
  std::vector<rte_ring*> transmit;
  std::vector<rte_ring*> mailboxes;  // Command, one producer at a time
  // The kernel ports, if there are any. By interface, null where it has none; and by worker, what the kernel sends:
  // whole frames for the port that each names.
  std::vector<KernelPath*> to_kernel;
  std::vector<rte_ring*> from_kernel;

  // Of a client's flows, for owner_of().
  template <typename AnyAddress>
  uint32_t client_hash(const AnyAddress& client, be16 port) const {
    return steering == nullptr ? owner_hash(client, port) : steering->hash(client, port);
  }

  LoadView loads() const { return LoadView(totals, changes); }
  // After every change of a server's totals, or of its flag.
  void totals_changed(ServerSlot slot) const { note_change(changes, slot); }

  rte_ring* handover_ring(uint32_t from, uint32_t to) const { return handover[from * workers + to]; }
  rte_ring* transmit_ring(uint32_t from, uint32_t to) const { return transmit[from * workers + to]; }
};

}  // namespace fulcrum
