// SPDX-License-Identifier: Apache-2.0
// One poll core and all that it owns: connection table, timers, scheduler states, neighbour cache, counters, transmit
// buffers. Nothing here is touched by another thread, except counters, which others read.
#pragma once

#include <memory>
#include <optional>

#include "conn/connection_table.h"
#include "conn/timer_wheel.h"
#include "core/shared.h"
#include "net/packet.h"
#include "net/reassembly.h"
#include "service/defence.h"
#include "service/overload.h"
#include "service/token_bucket.h"

namespace fulcrum {

struct WorkerCounters {
  uint64_t verdicts[kVerdicts] = {};
  uint64_t rx_packets = 0;
  uint64_t tx_packets = 0;
  // Errors that it told itself, checks that the host sends: they have verdicts of their own, as if received.
  uint64_t came_again = 0;
  uint64_t handed_over = 0;
  uint64_t taken_over = 0;
  uint64_t busy_tsc = 0;
  // Bursts that a queue brought, by size: 1, 2, up to 4, 8, 16, 32.
  static constexpr unsigned kBurstSizes = 6;
  uint64_t bursts[kBurstSizes] = {};
  uint64_t control_lost = 0;  // messages that found the control ring full
  uint64_t unnamed_lost = 0;  // packets without a verdict of their own that could not leave
  // Of what left by a forwarding method: packets of flows that have no entry, and such flows that were given one.
  uint64_t stateless = 0;
  uint64_t adopted = 0;
  // Connections that were deleted by request, and packets that reset one of them.
  uint64_t deleted = 0;
  uint64_t resets = 0;
};

// Why a packet goes no further; the ICMP type and code follow from it and the family.
enum class Refusal : uint8_t { kNoRoute, kNoHost, kNoProtocol, kNoPort, kTooBig, kTimeExceeded, kNotReassembled };

// Type and code of an ICMP error.
struct Complaint {
  uint8_t type;
  uint8_t code;
};
template <Family F>
Complaint complaint_of(Refusal refusal);

struct MasqueradeRule;
struct DigestRequest;
struct ExplainRequest;
struct Explanation;
struct ImaginedPacket;
struct TraceFilter;
struct SeenPacket;
class TraceSession;

class Worker {
 public:
  static constexpr unsigned kBurst = 32;

  Worker(Shared& shared, uint32_t id) : shared_(shared), id_(id) {}
  ~Worker();
  // Memory for `connections` connections; false and error() when it is not to be had.
  bool create(uint32_t connections, uint32_t neighbors, bool huge, unsigned socket);

  // The poll loop; returns when the engine stops.
  void run();
  // One round of it; true if anything was done. Tests call it by hand.
  bool poll();

  // A burst of packets as received. Packets that other workers own are handed over unless they come from there.
  // When it is asked whose a packet is: it came from its owner's ring or there is one worker only; before its flow is
  // looked up; or when that was in vain, since who has the entry owns the flow.
  enum class Steering : uint8_t { kDone, kBeforeLookup, kOnMiss };
  void handle_burst(rte_mbuf** packets, unsigned count, Steering steering);

  // For the bench: an established connection as a client's packet would have left it.
  template <Family F>
  bool preload(const VirtualService& service, const RealServer& server, const FlowKey<F>& key);

  const WorkerCounters& counters() const { return counters_; }
  const ServerCounters& server_counters(ServerSlot slot) const { return server_counters_[slot]; }
  const ServiceCounters& service_counters(ServiceSlot slot) const { return service_counters_[slot]; }
  // For the control side, once no worker can refer to the slot.
  void clear_server_counters(ServerSlot slot) { server_counters_[slot] = ServerCounters{}; }
  uint32_t connections() const { return __atomic_load_n(&live_connections_, __ATOMIC_RELAXED); }
  // Of either family.
  uint32_t connection_capacity() const { return lane4_.table.capacity(); }
  uint32_t overload_changes(Shortage of) const { return overload(of).changes(); }
  uint64_t adopted_version() const { return adopted_.load(std::memory_order_acquire); }
  bool timers_caught_up(Ticks now) const { return timers_at_.load(std::memory_order_acquire) == now; }
  Ticks timers_at() const { return timers_at_.load(std::memory_order_acquire); }
  bool huge_tables() const { return lane4_.arena.huge(); }
  const std::string& error() const { return error_; }
  uint64_t activity() const { return __atomic_load_n(&activity_, __ATOMIC_RELAXED); }
  uint64_t rounds() const { return __atomic_load_n(&rounds_, __ATOMIC_RELAXED); }
  uint32_t id() const { return id_; }

 private:
  friend struct WorkerInspector;  // tests: is what lies inside consistent?
  template <Family F>
  struct alignas(64) Flow {
    rte_mbuf* packet;
    uint64_t hash;
    ConnectionIndex candidate;
    PacketView<F> view;
  };
  // All that is kept for one address family.
  template <Family F>
  struct Lane {
    Flow<F> flows[kBurst];  // of the burst in hand
    unsigned flow_count = 0;
    ConnectionTable<F> table;
    std::unique_ptr<TimerWheel<F>> wheel;
    Arena arena;
    AddressOf<F> known_local{};  // the address of ours that a packet was for last
    // The stretch of entries that drop_entry has still to look at.
    uint32_t drop_next = 0, drop_left = 0;
  };
  template <Family F>
  using Found = typename ConnectionTable<F>::Found;
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

  template <Family F>
  Lane<F>& lane() {
    if constexpr (F == Family::kIpv4) return lane4_;
    if constexpr (F == Family::kIpv6) return lane6_;
  }
  template <Family F>
  const Lane<F>& lane() const {
    return const_cast<Worker*>(this)->lane<F>();
  }

  // worker.cc: the loop
  template <Family F>
  bool create_lane(uint32_t connections, bool huge);
  bool receive();
  void send_handover();
  bool take_handed_over();
  bool take_from_kernel();
  bool serve_mailbox();
  void obey(const Command& command);
  bool list_slice();
  template <Family F>
  bool list_lane(ListRequest& request, uint32_t& budget);
  template <Family F>
  ConnectionInfo info_of(const Connection<F>& entry, const ConnectionRecord& record) const;
  bool sweep_slice();
  template <Family F>
  void sweep_entry(ConnectionIndex index);
  void drop_entries();
  bool drop_slice();
  template <Family F>
  void drop_some(Lane<F>& lane, uint32_t& budget);
  // purge.cc: connections that an operator deletes
  bool purge_slice();
  template <Family F>
  bool purge_lane(PurgeRequest& request, uint32_t& budget);
  template <Family F>
  bool can_be_reset(const Connection<F>& entry) const;
  template <Family F>
  void condemn(ConnectionIndex index);
  template <Family F, bool kIsReply>
  [[gnu::noinline]] void reset_flow(rte_mbuf* packet, PacketView<F>& view, Found<F> found);

  void adopt(const Snapshot& snapshot);
  bool follow_slice();
  void follow(const VirtualService& service);
  SchedulerState& state_of(const VirtualService& service);
  void run_timers();
  bool tell_control(ControlMessage message);
  void idle();
  void count_connections();

  // director.cc: the packet's path
  template <Family F>
  void enqueue(rte_mbuf* packet, Flow<F>& flow);
  void handle_unusual(rte_mbuf* packet, uint64_t mac, Steering steering);
  template <Family F>
  void handle_flows(bool is_steered);
  template <Family F>
  void handle_other(rte_mbuf* packet, PacketView<F>& view, bool must_steer);
  template <Family F>
  bool is_for_us(const AddressOf<F>& destination);
  template <Family F>
  std::optional<uint32_t> owner_hash_of(const FlowKey<F>& key);
  template <Family F>
  bool steer(rte_mbuf* packet, const FlowKey<F>& key);
  bool hand_over(rte_mbuf* packet, uint32_t hash);
  template <Family F>
  [[gnu::noinline]] void handle_miss(rte_mbuf* packet, PacketView<F>& view);
  template <Family F>
  [[gnu::noinline]] void admit(rte_mbuf* packet, PacketView<F>& view, Found<F>& made);
  // Of a packet that meets a service: what its destination is to the director, and how it is scheduled.
  struct Arrival {
    const LocalAddress* own;  // null: local by its mark only
    uint32_t mark;
    bool is_once;
  };
  template <Family F>
  void begin(rte_mbuf* packet, PacketView<F>& view, const VirtualService& service, const Arrival& arrival,
             Found<F>& made);
  template <Family F>
  void leave_unbalanced(rte_mbuf* packet, PacketView<F>& view, const LocalAddress* own);
  template <Family F, bool kIsReply>
  void handle_hit(rte_mbuf* packet, PacketView<F>& view, Found<F> found);
  template <Family F>
  [[gnu::noinline]] void replace(rte_mbuf* packet, PacketView<F>& view, ConnectionIndex old);
  template <Family F>
  void take_in(rte_mbuf* packet, PacketView<F>& view, Found<F> found);
  template <Family F>
  bool starts_anew(const Connection<F>& entry, const rte_mbuf* packet, const PacketView<F>& view) const;
  template <Family F>
  bool may_begin_again(const Connection<F>& entry, IpProtocol protocol) const;
  template <Family F>
  bool may_start(const rte_mbuf* packet, const PacketView<F>& view, bool sloppy) const;
  template <Family F>
  bool go_on(rte_mbuf* packet, PacketView<F>& view, const VirtualService& service, uint32_t mark, Found<F>& adopted);
  template <Family F, bool kIsReply>
  void advance(Connection<F>& entry, ConnectionIndex index, const rte_mbuf* packet, const PacketView<F>& view);
  template <Family F>
  [[gnu::noinline]] void advance_sctp(Connection<F>& entry, Direction direction, const rte_mbuf* packet,
                                      const PacketView<F>& view);
  template <Family F>
  void change_state(Connection<F>& entry, uint8_t next, bool active, bool established);

  // schedule.cc: the first packet of a connection, and its end
  struct Choice {
    const RealServer* server = nullptr;  // null: none
    be16 port{};                         // the server's, for NAT
    TemplateIndex controlling = kNoTemplate;
    bool full = false;  // no room for another template
  };
  template <Family F>
  Choice choose_server(const VirtualService& service, const FlowKey<F>& key, uint32_t mark);
  template <Family F>
  const RealServer* schedule(const VirtualService& service, const FlowKey<F>& key);
  template <Family F>
  void fill(Connection<F>& entry, const Choice& choice, const FlowKey<F>& key) const;
  template <Family F>
  Found<F> create_connection(const VirtualService& service, const Choice& choice, const FlowKey<F>& key, uint32_t mark);
  template <Family F>
  Found<F> create_bypass(const VirtualService& service, const FlowKey<F>& key, uint32_t mark);
  template <Family F>
  Found<F> insert_connection(ConnectionIndex index, const VirtualService& service, TemplateIndex controlling,
                             uint32_t mark);
  Choice take_place_at(const RealServer& server, be16 port);
  template <Family F>
  Connection<F> passing_entry(const Choice& choice, const FlowKey<F>& key) const;
  template <Family F>
  void forward_once(rte_mbuf* packet, PacketView<F>& view, const Choice& choice);
  template <Family F>
  void forward_without_entry(rte_mbuf* packet, PacketView<F>& view, const RealServer& server);
  template <Family F>
  void end_connection(ConnectionIndex index);
  template <Family F>
  void leave_server(ConnectionIndex index);
  void leave_service(ServiceSlot service);
  void give_back(ServerSlot slot, TemplateIndex controlling);
  template <Family F>
  void assure_template(Connection<F>& entry);

  // Of the template that a packet of this flow would come by.
  template <Family F>
  static TemplateKey template_key(const VirtualService& service, const FlowKey<F>& flow, uint32_t mark);

  // explain.cc: what would happen to a packet
  void explain(ExplainRequest& request);
  template <Family F>
  void explain_flow(ExplainRequest& request);
  template <Family F>
  bool explain_hit(ExplainRequest& request, const FlowKey<F>& key, Found<F> found);
  template <Family F>
  void explain_miss(ExplainRequest& request, const FlowKey<F>& key);
  template <Family F>
  void explain_choice(ExplainRequest& request, const FlowKey<F>& key, const VirtualService& service, uint32_t mark,
                      bool is_own);
  template <Family F>
  const RealServer* peek_server(const VirtualService& service, const FlowKey<F>& key, uint32_t mark,
                                Explanation& answer);
  template <Family F>
  const RealServer* foretell(const VirtualService& service, const FlowKey<F>& key);
  template <Family F>
  void explain_server(ExplainRequest& request, const RealServer& server, uint16_t port);
  template <Family F>
  void explain_server_way(ExplainRequest& request, ServerSlot slot);
  void explain_route(ExplainRequest& request);
  void explain_local(ExplainRequest& request, const LocalAddress& own, const std::string& why);
  void explain_way(Explanation& answer, const Address& destination);

  template <Family F>
  std::optional<ConnectionInfo> find_connection(const ImaginedPacket& packet);

  // verify.cc: what this worker uses, in a few numbers
  void begin_digest();
  bool digest_slice();
  bool digest_services(DigestRequest& request);
  bool digest_vips(DigestRequest& request);

  // trace.cc: packets that somebody wants to see
  [[gnu::noinline]] void handle_traced(rte_mbuf** packets, unsigned count, Steering steering, TraceSession& session);
  void trace_one(rte_mbuf* packet, Steering steering, TraceSession& session, const SeenPacket& seen);
  SeenPacket see(rte_mbuf* packet) const;
  bool may_be_wanted(const TraceFilter& filter, const SeenPacket& seen);
  bool may_trace();
  std::optional<ConnectionInfo> connection_of(const ImaginedPacket& packet);
  void handle_plainly(rte_mbuf** packets, unsigned count, Steering steering);

  // limits.cc: what a service with a traffic policy lets in
  template <typename AnyAddress>
  bool denies(const VirtualService& service, const AnyAddress& client);
  std::optional<Verdict> take_service_place(const VirtualService& service, bool is_once);
  void give_back_service_place(const VirtualService& service);
  void count_in_total(const VirtualService& service);

  // overload.cc: no room for another connection
  Overload& overload(Shortage of) { return overloads_[static_cast<size_t>(of)]; }
  const Overload& overload(Shortage of) const { return overloads_[static_cast<size_t>(of)]; }
  TokenRate connection_budget() const;
  template <Family F>
  std::optional<Shortage> shortage();
  Verdict deny(Shortage of);
  template <Family F>
  bool spreads() const;
  template <Family F>
  bool follows_spread() const;
  template <Family F>
  const RealServer* spread_target(const VirtualService& service, const FlowKey<F>& flow) const;
  template <Family F>
  void turn_away(rte_mbuf* packet, PacketView<F>& view, const VirtualService& service, Shortage of);
  template <Family F>
  void turn_away(rte_mbuf* packet, PacketView<F>& view, const VirtualService& service);
  template <Family F>
  Found<F> adopt_flow(const FlowKey<F>& flow, const VirtualService& service, const RealServer& server, uint32_t mark);
  void tend_overload();

  // forward.h: what every balanced packet goes through
  template <Family F>
  NextHop next_hop_of(Connection<F>& entry, bool to_client);
  template <Family F>
  void forward_to_server(rte_mbuf* packet, PacketView<F>& view, Connection<F>& entry);
  template <Family F>
  void forward_to_client(rte_mbuf* packet, PacketView<F>& view, Connection<F>& entry);
  template <Family F>
  void forward_by_tunnel(rte_mbuf* packet, PacketView<F>& view, Connection<F>& entry, NextHop hop);
  // Sends the IP datagram at `ip`; parks it while the neighbour is unknown; cuts it where it is too long.
  void send(rte_mbuf* packet, uint8_t* ip, unsigned length, const NextHop& hop, uint8_t verdict);
  void send_by(rte_mbuf* packet, uint8_t* ip, Adjacency& adjacency, uint8_t verdict);
  void push(rte_mbuf* packet, PortId port, uint8_t verdict);
  template <Family F>
  bool fits(const rte_mbuf* packet, const PacketView<F>& view, unsigned limit) const;
  template <Family F>
  bool fits_server(const rte_mbuf* packet, const PacketView<F>& view, unsigned limit) const;

  // forward.cc: what only some need
  NextHop resolve_server(ServerSlot slot);
  template <Family F>
  NextHop resolve_for(Connection<F>& entry, bool to_client);
  NextHop resolve(const Address& destination);
  NextHop resolve_on(InterfaceId interface, const Address& neighbor);
  template <Family F>
  bool encapsulate(rte_mbuf* packet, const PacketView<F>& view, const ServerLine& server, const TunnelSettings& tunnel,
                   const NextHop& hop);
  unsigned path_mtu(const ServerLine& server, unsigned link_mtu) const;
  template <Family F>
  void write_other_tunnel(rte_mbuf* packet, const PacketView<F>& view, const ServerLine& server,
                          const TunnelSettings& tunnel, const NextHop& hop);
  Address tunnel_source(const NextHop& hop, Family family) const;
  template <Family F>
  [[gnu::noinline]] void limit_segments(const rte_mbuf* packet, const PacketView<F>& view, Connection<F>& entry);
  template <Family F>
  bool is_stray_reply(const rte_mbuf* packet, const PacketView<F>& view) const;
  template <Family F>
  void route(rte_mbuf* packet, PacketView<F>& view);
  void send(rte_mbuf* packet, uint8_t* ip, const NextHop& hop, uint8_t verdict);
  void send_fragments(rte_mbuf* packet, uint8_t* ip, const NextHop& hop, uint8_t verdict);
  void send_whole(rte_mbuf* packet, uint8_t* ip, const NextHop& hop, uint8_t verdict);
  void park(rte_mbuf* packet, uint8_t* ip, const NeighborKey& key, uint8_t verdict);
  void flush(PortId port);
  void flush_all();
  void count_sent(const uint8_t* verdicts, unsigned count);

  // icmp.cc: errors about balanced connections
  // A packet that an ICMP error quotes.
  template <Family F>
  struct Quote {
    uint8_t* ip = nullptr;
    uint8_t* ports = nullptr;
    FlowKey<F> key;  // of a packet in the opposite direction, as the error itself goes
  };
  template <Family F>
  bool read_quote(const rte_mbuf* packet, const PacketView<F>& view, Quote<F>& quote) const;
  template <Family F>
  bool handle_icmp_error(rte_mbuf* packet, PacketView<F>& view, const Quote<F>& quote);
  template <Family F>
  void pass_on_error(rte_mbuf* packet, PacketView<F>& view, const Quote<F>& quote, const Found<F>& found);
  // An error about a packet to a NAT server becomes one about a packet to the VIP. False: it arrived damaged.
  template <Family F>
  static bool translate_error(rte_mbuf* packet, PacketView<F>& view, const Quote<F>& quote, const AddressOf<F>& vip,
                              be16 port);
  template <Family F>
  void error_to_client(rte_mbuf* packet, PacketView<F>& view, const Quote<F>& quote, Connection<F>& entry);
  template <Family F>
  void error_to_server(rte_mbuf* packet, PacketView<F>& view, const Quote<F>& quote, Connection<F>& entry);
  template <Family F>
  bool schedule_error(rte_mbuf* packet, PacketView<F>& view, const Quote<F>& quote);
  template <Family F>
  bool handle_tunnel_error(rte_mbuf* packet, PacketView<F>& view, bool must_steer);
  template <Family F, Family kInner>
  bool pass_on_tunnel_error(rte_mbuf* packet, PacketView<F>& view, const TunnelQuote& tunnel, bool must_steer);
  template <Family F>
  bool follow_security(rte_mbuf* packet, PacketView<F>& view, bool must_steer);

  template <Family F>
  bool pass_on_masqueraded_error(rte_mbuf* packet, PacketView<F>& view, const Quote<F>& quote, const Found<F>& found);

  // masquerade.cc: routed flows that leave with an address of the director's
  template <Family F>
  bool is_masqueraded(const AddressOf<F>& source) const;
  template <Family F>
  bool read_echo(PacketView<F>& view) const;
  template <Family F>
  bool handle_echo(rte_mbuf* packet, PacketView<F>& view, bool must_steer);
  template <Family F>
  void masquerade(rte_mbuf* packet, PacketView<F>& view, const MasqueradeRule& rule);
  template <Family F>
  bool begins_masqueraded(const rte_mbuf* packet, PacketView<F>& view) const;
  template <Family F>
  bool choose_port(const MasqueradeRule& rule, const FlowKey<F>& flow, Tuple<F>& reply);
  template <Family F>
  Found<F> create_masqueraded(const FlowKey<F>& flow, const Tuple<F>& reply);
  template <Family F>
  void give_way(const FlowKey<F>& replies);
  template <Family F, bool kIsReply>
  [[gnu::noinline]] void handle_masqueraded(rte_mbuf* packet, PacketView<F>& view, Found<F> found);
  template <Family F, bool kIsReply>
  void pass_masqueraded(rte_mbuf* packet, PacketView<F>& view, Found<F> found);

  // reassembly.cc: fragments become datagrams
  template <Family F>
  void handle_fragment(rte_mbuf* packet, PacketView<F>& view, bool must_steer);
  void expire_fragments();
  void give_up(const Reassembler::Expired& expired);
  void count(const FragmentLosses& losses);

  // local.cc: the director's own small stack
  template <Family F>
  void handle_local(rte_mbuf* packet, PacketView<F>& view);
  template <Family F>
  void answer_echo(rte_mbuf* packet, PacketView<F>& view);
  template <Family F>
  void answer_reset(rte_mbuf* packet, PacketView<F>& view);
  // Resets the sender of `packet`, which stays the caller's. kResetSent, or why not.
  template <Family F>
  Verdict send_reset(const rte_mbuf* packet, const PacketView<F>& view);
  // Answers `packet` by an ICMP error and frees it.
  template <Family F>
  void refuse(rte_mbuf* packet, const PacketView<F>& view, Refusal refusal, Verdict verdict, uint16_t mtu = 0);
  // Sends an ICMP error about `view`, which lies in `packet`, to its source; frees `packet`.
  template <Family F>
  void complain(rte_mbuf* packet, const PacketView<F>& view, Complaint complaint, uint32_t detail, Verdict verdict);
  void come_in_again(rte_mbuf* error, Family family, PortId port, uint16_t vlan);
  template <Family F>
  void count_own_error(const PacketView<F>& view, unsigned length);
  template <typename AnyAddress>
  NextHop way_back(const rte_mbuf* packet, const PacketFacts& facts, const AnyAddress& destination);
  bool error_allowed();
  bool must_drop_packet() {
    return packet_dropper_.pick(shared_.defence.drop_packet_rate.load(std::memory_order_relaxed));
  }

  // neighbor.cc: ARP and neighbour discovery
  void handle_arp(rte_mbuf* packet, PacketFacts& facts);
  void handle_neighbor_discovery(rte_mbuf* packet, PacketView<Family::kIpv6>& view);

  // to_kernel.cc: what is the kernel's. False: there is no kernel port, and the packet is still the caller's.
  KernelPath* kernel_path(const rte_mbuf* packet, uint16_t vlan) const;
  bool to_kernel(rte_mbuf* packet, const PacketFacts& facts, KernelClass of, Verdict verdict = Verdict::kToKernel);
  bool group_to_kernel(rte_mbuf* packet, const PacketFacts& facts);
  template <Family F>
  bool local_to_kernel(rte_mbuf* packet, PacketView<F>& view);
  void put_to_kernel(KernelPath& path, rte_mbuf* packet, KernelClass of, Verdict verdict);
  // Whichever interface it came by.
  void give_to_kernel(rte_mbuf* packet, InterfaceId interface, KernelClass of);

  // check_path.cc: checks that go the client's way
  bool take_check(rte_mbuf* packet);
  template <Family F>
  bool send_check(rte_mbuf* packet, PacketView<F>& view);
  template <Family F>
  bool take_check_answer(rte_mbuf* packet, PacketView<F>& view);

  void count(Verdict verdict) { ++counters_.verdicts[static_cast<size_t>(verdict)]; }
  void drop(rte_mbuf* packet, Verdict verdict);
  // A packet with this verdict to come cannot leave.
  void lose(rte_mbuf* packet, uint8_t verdict, Verdict reason);
  template <typename AnyAddress>
  const LocalAddress* local(const AnyAddress& address) const {
    return snapshot_->find_local(Address::from(address));
  }

  Shared& shared_;
  const uint32_t id_;
  const Snapshot* snapshot_ = nullptr;
  Ticks now_ = 0;
  uint32_t now_s_ = 0;
  uint64_t now_ms_ = 0;
  uint32_t route_epoch_ = 1;
  uint64_t network_version_ = 0;

  Lane<Family::kIpv4> lane4_;
  Lane<Family::kIpv6> lane6_;
  // What the burst in hand has made for this director itself begins anew after it: datagrams that are complete now, and
  // errors to ourselves. A packet makes one at most.
  rte_mbuf* again_[kBurst];
  unsigned again_count_ = 0;
  Reassembler reassembler_;

  NeighborCache neighbors_;
  // The way to each server, by slot; a slot may have another server later.
  struct ServerHop {
    Address address;
    uint32_t epoch = 0;
    AdjacencyIndex adjacency = kNoAdjacency;
  };
  std::vector<ServerHop> server_hops_{Shared::kServerSlots};
  // Of packets of our own that may be cut: unlike its neighbours' is all that it must be (RFC 6864). Knuth's generator;
  // to read the clock instead costs a tunnel packet 7 ns.
  uint64_t ip_ids_ = 0;
  be16 next_ip_id() {
    ip_ids_ = ip_ids_ * 6364136223846793005u + 1442695040888963407u;
    return be16{static_cast<uint16_t>(ip_ids_ >> 48)};
  }
  NeighborKey sought_;  // by the last resolve()
  ServerCounters* server_counters_ = nullptr;
  ServiceCounters* service_counters_ = nullptr;
  // The connection that is being made has its place among those of its service already.
  bool place_taken_ = false;
  std::vector<SchedulerState> scheduler_states_;  // by service slot
  // Which of the snapshot's services are followed next: of those that changed, or of all.
  size_t follow_next_ = 0;
  bool follows_all_ = false;

  std::vector<TransmitBuffer> transmit_;          // by port
  std::vector<std::vector<rte_mbuf*>> handover_;  // by worker
  struct OwnedQueue {
    PortId port;
    uint16_t queue;
    Steering steering;
  };
  std::vector<OwnedQueue> owned_queues_;  // to receive from
  uint64_t handed_away_ = 0;
  ListRequest* listing_ = nullptr;
  PurgeRequest* purging_ = nullptr;
  DigestRequest* digesting_ = nullptr;
  TraceSession* trace_ = nullptr;  // null: nobody looks
  TokenBucket tracing_budget_;
  // Removal of deleted servers' connections, in slices.
  bool sweeping_ = false;
  uint32_t sweep_cursor_ = 0;
  TcpTable tcp_table_ = TcpTable::kNormal;
  EveryNth packet_dropper_;
  EntryDropper entry_dropper_;
  TokenBucket own_errors_;  // ICMP
  TokenBucket new_connections_;
  std::array<Overload, kShortages.size()> overloads_;
  uint64_t grace_began_ms_ = 0;  // at the start, or when overload ended
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
