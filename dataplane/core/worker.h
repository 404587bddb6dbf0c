// SPDX-License-Identifier: Apache-2.0
// One poll core and all that it owns: connection table, timers, scheduler states, neighbour cache, counters, transmit
// buffers. Nothing here is touched by another thread, except counters, which others read.
#pragma once

#include <memory>

#include "conn/connection_table.h"
#include "conn/timer_wheel.h"
#include "core/shared.h"
#include "net/packet.h"

namespace fulcrum {

struct WorkerCounters {
  uint64_t verdicts[kVerdicts] = {};
  uint64_t rx_packets = 0;
  uint64_t tx_packets = 0;
  uint64_t handed_over = 0;
  uint64_t taken_over = 0;
  uint64_t busy_tsc = 0;
  uint64_t control_lost = 0;  // messages that found the control ring full
  uint64_t unnamed_lost = 0;  // packets without a verdict of their own that could not leave
};

class Worker {
 public:
  static constexpr unsigned kBurst = 32;
  using Table = ConnectionTable<Family::kIpv4>;

  Worker(Shared& shared, uint32_t id) : shared_(shared), id_(id) {}
  ~Worker();
  // Memory for `connections` connections; false and error() when it is not to be had.
  bool create(uint32_t connections, uint32_t neighbors, bool huge, unsigned socket);

  // The poll loop; returns when the engine stops.
  void run();
  // One round of it; true if anything was done. Tests call it by hand.
  bool poll();

  // A burst of packets as received. Packets that other workers own are handed over unless they come from there.
  void handle_burst(rte_mbuf** packets, unsigned count, bool handed_over);

  // For the bench: an established connection as a client's packet would have left it.
  bool preload(const VirtualService& service, const RealServer& server, const FlowKey<Family::kIpv4>& key);

  const WorkerCounters& counters() const { return counters_; }
  const ServerCounters& server_counters(ServerSlot slot) const { return server_counters_[slot]; }
  // For the control side, once no worker can refer to the slot.
  void clear_server_counters(ServerSlot slot) { server_counters_[slot] = ServerCounters{}; }
  uint32_t connections() const { return __atomic_load_n(&live_connections_, __ATOMIC_RELAXED); }
  uint32_t connection_capacity() const { return table_.capacity(); }
  uint64_t adopted_version() const { return adopted_.load(std::memory_order_acquire); }
  bool timers_caught_up(Ticks now) const { return timers_at_.load(std::memory_order_acquire) == now; }
  Ticks timers_at() const { return timers_at_.load(std::memory_order_acquire); }
  bool huge_tables() const { return arena_.huge(); }
  const std::string& error() const { return error_; }
  uint64_t activity() const { return __atomic_load_n(&activity_, __ATOMIC_RELAXED); }
  uint64_t rounds() const { return __atomic_load_n(&rounds_, __ATOMIC_RELAXED); }
  uint32_t id() const { return id_; }

 private:
  friend struct WorkerInspector;  // tests: is what lies inside consistent?
  struct alignas(64) Flow {
    rte_mbuf* packet;
    uint64_t hash;
    ConnectionIndex candidate;
    PacketView view;
  };
  // Where a packet goes next: an adjacency if one is bound; otherwise resolve() has just left the neighbour's name in
  // sought_. Small enough to stay in registers. False: there is no route.
  struct NextHop {
    Adjacency* adjacency = nullptr;
    uint32_t mtu = 0;
    explicit operator bool() const { return mtu != 0; }
  };
  struct TransmitBuffer {
    static constexpr unsigned kSize = 64;
    unsigned count = 0;
    rte_mbuf* packets[kSize];
    uint8_t verdicts[kSize];
  };
  // A packet that the director made itself has no verdict of its own.
  static constexpr uint8_t kNoVerdict = static_cast<uint8_t>(Verdict::kCount);

  // worker.cc: the loop
  bool receive();
  bool take_handed_over();
  bool serve_mailbox();
  void obey(const Command& command);
  bool list_slice();
  void adopt(const Snapshot& snapshot);
  void run_timers();
  bool tell_control(ControlMessage message);
  void idle();

  // director.cc: the packet's path
  void handle_flows(unsigned count);
  void handle_other(rte_mbuf* packet, PacketView& view, bool must_steer);
  bool steer(rte_mbuf* packet, const Tuple<Family::kIpv4>& tuple);
  [[gnu::noinline]] void handle_miss(rte_mbuf* packet, PacketView& view);
  template <bool kIsReply>
  void handle_hit(rte_mbuf* packet, PacketView& view, Table::Found found);
  bool starts_anew(const Table::Entry& entry, const PacketView& view) const;
  template <bool kIsReply>
  void advance(Table::Entry& entry, ConnectionIndex index, const PacketView& view);
  void change_state(Table::Entry& entry, TcpState next);

  // schedule.cc: the first packet of a connection, and its end
  struct Choice {
    const RealServer* server = nullptr;  // null: none
    be16 port;                           // the server's, for NAT
    TemplateIndex controlling = kNoTemplate;
    bool full = false;  // no room for another template
  };
  Choice choose_server(const VirtualService& service, const PacketView& view);
  const RealServer* schedule(const VirtualService& service, const PacketView& view);
  void fill(Table::Entry& entry, const Choice& choice, const PacketView& view) const;
  Table::Found create_connection(const VirtualService& service, const Choice& choice, const PacketView& view);
  void forward_once(rte_mbuf* packet, PacketView& view, const Choice& choice);
  void end_connection(ConnectionIndex index);
  void give_back(ServerSlot slot, TemplateIndex controlling);
  void assure_template(Table::Entry& entry);

  // forward.h: what every balanced packet goes through
  NextHop next_hop_of(Table::Entry& entry, bool to_client);
  void forward_to_server(rte_mbuf* packet, PacketView& view, Table::Entry& entry);
  void forward_to_client(rte_mbuf* packet, PacketView& view, Table::Entry& entry);
  bool encapsulate(rte_mbuf* packet, const PacketView& view, const Table::Entry& entry, const NextHop& hop);
  // Sends the IP datagram at `ip`; parks it while the neighbour is unknown; cuts it where it is too long.
  void send(rte_mbuf* packet, uint8_t* ip, unsigned length, const NextHop& hop, uint8_t verdict);
  void send_by(rte_mbuf* packet, uint8_t* ip, Adjacency& adjacency, uint8_t verdict);
  void push(rte_mbuf* packet, PortId port, uint8_t verdict);
  bool fits(const PacketView& view, unsigned limit) const;

  // forward.cc: what only some need
  NextHop resolve_for(Table::Entry& entry, bool to_client);
  NextHop resolve(be32 destination);
  void route(rte_mbuf* packet, PacketView& view);
  void send(rte_mbuf* packet, uint8_t* ip, const NextHop& hop, uint8_t verdict);
  void send_fragments(rte_mbuf* packet, uint8_t* ip, const NextHop& hop, uint8_t verdict);
  void park(rte_mbuf* packet, uint8_t* ip, const NeighborKey& key, uint8_t verdict);
  void flush(PortId port);
  void flush_all();
  void count_sent(const uint8_t* verdicts, unsigned count);

  // icmp.cc: errors about balanced connections
  bool read_quote(const rte_mbuf* packet, const PacketView& view, FlowKey<Family::kIpv4>& key) const;
  bool handle_icmp_error(rte_mbuf* packet, PacketView& view, const FlowKey<Family::kIpv4>& key);

  // local.cc: the director's own small stack
  void handle_arp(rte_mbuf* packet, PacketView& view);
  void handle_local(rte_mbuf* packet, PacketView& view);
  void answer_echo(rte_mbuf* packet, PacketView& view);
  void answer_reset(rte_mbuf* packet, PacketView& view);
  // Answers `packet` by an ICMP error and frees it.
  void refuse(rte_mbuf* packet, const PacketView& view, uint8_t type, uint8_t code, uint16_t mtu, Verdict verdict);
  void originate(rte_mbuf* packet, be32 destination);

  void count(Verdict verdict) { ++counters_.verdicts[static_cast<size_t>(verdict)]; }
  void drop(rte_mbuf* packet, Verdict verdict);
  // A packet with this verdict to come cannot leave.
  void lose(rte_mbuf* packet, uint8_t verdict, Verdict reason);
  const LocalAddress* local(be32 address) const { return snapshot_->local->find(Address::from(address)); }

  Shared& shared_;
  const uint32_t id_;
  const Snapshot* snapshot_ = nullptr;
  Ticks now_ = 0;
  uint32_t now_s_ = 0;
  uint32_t route_epoch_ = 1;

  Flow flows_[kBurst];  // of the burst in hand

  Arena arena_;
  Table table_;
  std::unique_ptr<TimerWheel<Family::kIpv4>> wheel_;
  NeighborCache neighbors_;
  NeighborKey sought_;  // by the last resolve()
  ServerCounters* server_counters_ = nullptr;
  std::vector<SchedulerState> scheduler_states_;  // by service slot

  std::vector<TransmitBuffer> transmit_;          // by port
  std::vector<std::vector<rte_mbuf*>> handover_;  // by worker
  std::vector<uint32_t> owned_queues_;            // port << 16 | queue, to receive from
  ListRequest* listing_ = nullptr;
  uint32_t empty_rounds_ = 0;

  WorkerCounters counters_;
  uint32_t live_connections_ = 0;
  uint64_t activity_ = 0;
  uint64_t rounds_ = 0;
  std::atomic<uint64_t> adopted_{0};
  std::atomic<Ticks> timers_at_{0};
  std::string error_;
};

}  // namespace fulcrum
