// SPDX-License-Identifier: Apache-2.0
// The packet's life from top to bottom, a burst at a time: parse, steer, find, classify, schedule, advance, forward.
// One text for both address families.
#include <rte_mbuf.h>
#include <rte_ring.h>

#include "core/forward.h"
#include "core/kernel_class.h"
#include "core/masquerade.h"
#include "net/owner.h"

namespace fulcrum {

namespace {
constexpr unsigned kPrefetchAhead = 4;

template <Family F>
bool is_tcp(const FlowKey<F>& key) {
  return key.protocol == IpProtocol::kTcp;
}

bool is_neighbor_discovery(const PacketView<Family::kIpv6>& view) {
  const uint8_t type = view.transport()[0];
  return type >= kIcmpv6RouterSolicitation && type <= kIcmpv6Redirect;
}
}  // namespace

void Worker::handle_burst(rte_mbuf** packets, unsigned count, Steering steering) {
  if (trace_ != nullptr) [[unlikely]]
    return handle_traced(packets, count, steering, *trace_);
  handle_plainly(packets, count, steering);
}

// Whether or not somebody looks.
void Worker::handle_plainly(rte_mbuf** packets, unsigned count, Steering steering) {
  const bool is_steered = steering == Steering::kDone, steer_first = steering == Steering::kBeforeLookup;

  for (unsigned i = 0; i < count && i < kPrefetchAhead; ++i) rte_prefetch0(rte_pktmbuf_mtod(packets[i], void*));
  for (unsigned i = 0; i < count; ++i) {
    if (i + kPrefetchAhead < count) rte_prefetch0(rte_pktmbuf_mtod(packets[i + kPrefetchAhead], void*));
    rte_mbuf* packet = packets[i];
    const uint64_t mac = shared_.ports[packet->port].mac;
    if (auto& flow = lane4_.flows[lane4_.flow_count]; parse_plain(packet, mac, flow.view)) [[likely]] {
      if (steer_first && steer(packet, flow.view.key)) continue;
      enqueue(packet, flow);
    } else if (auto& flow6 = lane6_.flows[lane6_.flow_count]; parse_plain(packet, mac, flow6.view)) {
      if (steer_first && steer(packet, flow6.view.key)) continue;
      enqueue(packet, flow6);
    } else {
      handle_unusual(packet, mac, steering);
    }
  }
  if (lane4_.flow_count != 0) handle_flows<Family::kIpv4>(is_steered);
  if (lane6_.flow_count != 0) handle_flows<Family::kIpv6>(is_steered);
  if (again_count_ == 0) [[likely]]
    return;
  // These belong to a flow now, and that may be another worker's.
  rte_mbuf* whole[kBurst];
  const unsigned completed = again_count_;
  std::copy_n(again_, completed, whole);
  again_count_ = 0;
  handle_burst(whole, completed, shared_.workers > 1 ? Steering::kBeforeLookup : Steering::kDone);
}

template <Family F>
void Worker::enqueue(rte_mbuf* packet, Flow<F>& flow) {
  flow.packet = packet;
  flow.hash = lane<F>().table.hash(flow.view.key);
  lane<F>().table.prefetch_bucket(flow.hash);
  ++lane<F>().flow_count;
}

// Tags, options, extension headers, fragments, ICMP, ARP, and what is malformed.
void Worker::handle_unusual(rte_mbuf* packet, uint64_t mac, Steering steering) {
  const bool must_steer = steering != Steering::kDone;
  const auto handle = [&]<Family F>(Flow<F>& flow, const PacketFacts& facts) {
    static_cast<PacketFacts&>(flow.view) = facts;
    parse_network(packet, flow.view);
    if (flow.view.kind != PacketKind::kFlow) return handle_other(packet, flow.view, must_steer);
    if (must_steer && steer(packet, flow.view.key)) return;
    enqueue(packet, flow);
  };
  PacketFacts facts;
  switch (parse_link(packet, mac, facts)) {
    case Family::kIpv4:
      return handle(lane4_.flows[lane4_.flow_count], facts);
    case Family::kIpv6:
      return handle(lane6_.flows[lane6_.flow_count], facts);
    case Family::kNone:
      if (facts.kind == PacketKind::kArp) return handle_arp(packet, facts);
      if (group_to_kernel(packet, facts)) return;
      return drop(packet, facts.verdict);
  }
}

// Mostly it is the address that it was last time.
template <Family F>
bool Worker::is_for_us(const AddressOf<F>& destination) {
  AddressOf<F>& known = lane<F>().known_local;
  if (destination == known) [[likely]]
    return true;
  if (local(destination) == nullptr) return false;
  known = destination;
  return true;
}

// Says whose the packet is, by the client: design, "one owner per flow". None: it is routed and has no connection, any
// worker will do.
template <Family F>
std::optional<uint32_t> Worker::owner_hash_of(const FlowKey<F>& key) {
  const auto& tuple = key.tuple;
  if (is_for_us<F>(tuple.destination)) return shared_.client_hash(tuple.source, tuple.source_port);
  if (local(tuple.source) != nullptr ||
      snapshot_->is_nat_endpoint(Address::from(tuple.source), tuple.source_port.host()))
    return shared_.client_hash(tuple.destination, tuple.destination_port);
  if (shared_.masquerade != nullptr && is_masqueraded<F>(tuple.source) && !mark_of(*snapshot_->marks, key).local)
    return shared_.client_hash(tuple.destination, tuple.destination_port);
  if (!snapshot_->marks->empty()) {
    if (mark_of(*snapshot_->marks, key).value != 0) return shared_.client_hash(tuple.source, tuple.source_port);
    if (mark_of(*snapshot_->marks, FlowKey<F>{tuple.reversed(), key.protocol}).value != 0)
      return shared_.client_hash(tuple.destination, tuple.destination_port);
  }
  return std::nullopt;
}

// Hands the packet to its owner if that is another worker.
template <Family F>
bool Worker::steer(rte_mbuf* packet, const FlowKey<F>& key) {
  const std::optional<uint32_t> hash = owner_hash_of(key);
  return hash && hand_over(packet, *hash);
}

bool Worker::hand_over(rte_mbuf* packet, uint32_t hash) {
  const uint32_t owner = owner_of(hash, shared_.workers);
  if (owner == id_) return false;
  ++handed_away_;
  handover_[owner].push_back(packet);
  return true;
}

// One function from lookup to transmit buffer: `flatten` spares every packet the calls.
template <Family F>
[[gnu::flatten]] void Worker::handle_flows(bool is_steered) {
  Lane<F>& lane = this->lane<F>();
  const unsigned count = lane.flow_count;
  lane.flow_count = 0;
  for (unsigned i = 0; i < count; ++i) lane.flows[i].candidate = lane.table.candidate(lane.flows[i].hash);
  for (unsigned i = 0; i < count; ++i) {
    Flow<F>& flow = lane.flows[i];
    Found<F> found;
    if (flow.candidate != kNoConnection) [[likely]]
      found = lane.table.check(flow.candidate, flow.view.key);
    // A second candidate, a chained bucket, or an entry that an earlier packet of this burst made.
    if (!found) [[unlikely]]
      found = lane.table.find(flow.view.key, flow.hash);
    if (!found) [[unlikely]] {
      // Who has the entry owns the flow; else somebody else may.
      if (is_steered || !steer(flow.packet, flow.view.key)) handle_miss(flow.packet, flow.view);
    } else if (found.is_reply) {
      handle_hit<F, true>(flow.packet, flow.view, found);
    } else {
      handle_hit<F, false>(flow.packet, flow.view, found);
    }
  }
}

template <Family F>
void Worker::handle_other(rte_mbuf* packet, PacketView<F>& view, bool must_steer) {
  if (view.kind == PacketKind::kRejected) {
    if (F == Family::kIpv6 && view.verdict == Verdict::kMulticast && is_group_frame(packet) &&
        to_kernel(packet, view, kernel_class(view)))
      return;
    return drop(packet, view.verdict);
  }
  if (snapshot_->network->interface_of(packet->port, view.vlan) == kNoInterface)
    return drop(packet, Verdict::kUnknownVlan);
  if (view.kind == PacketKind::kFragment) return handle_fragment(packet, view, must_steer);
  if constexpr (F == Family::kIpv6) {
    if (view.kind == PacketKind::kIcmp && is_neighbor_discovery(view)) return handle_neighbor_discovery(packet, view);
    if (is_multicast(view.key.tuple.destination) && to_kernel(packet, view, kernel_class(view))) return;
    if (is_multicast(view.key.tuple.destination) || !view.to_our_mac) return drop(packet, Verdict::kMulticast);
    if (is_martian(view.key.tuple.source)) return drop(packet, Verdict::kMartian);
  }
  if (view.kind == PacketKind::kIcmp) {
    // A tunnel packet may be UDP, so whether it is one of ours comes first.
    if (handle_tunnel_error(packet, view, must_steer)) return;
    // An error follows the connection that it quotes a packet of, to that one's owner.
    if (Quote<F> quote; read_quote(packet, view, quote)) {
      if (must_steer && steer(packet, quote.key)) return;
      if (handle_icmp_error(packet, view, quote)) return;
    }
    if (shared_.masquerade != nullptr && handle_echo(packet, view, must_steer)) return;
  } else if (follow_security(packet, view, must_steer)) {
    return;
  }
  if (local(view.key.tuple.destination) != nullptr) return handle_local(packet, view);
  // Local by its mark only: no host has this address, so nobody answers.
  if (mark_of(*snapshot_->marks, view.key).local) return drop(packet, Verdict::kLocalIgnored);
  route(packet, view);
}

// LVS: a SYN (or an INIT) that meets the remains of an old connection may be a new one.
template <Family F>
bool Worker::starts_anew(const Connection<F>& entry, const rte_mbuf* packet, const PacketView<F>& view) const {
  if (is_tcp(view.key)) {
    if ((view.tcp_flags & kTcpSyn) == 0) return false;
  } else {
    if (view.key.protocol != IpProtocol::kSctp || !begins_with(chunks_of(packet, view), SctpChunkType::kInit))
      return false;
  }
  return may_begin_again(entry, view.key.protocol);
}

template <Family F>
bool Worker::may_begin_again(const Connection<F>& entry, IpProtocol protocol) const {
  const auto state = static_cast<TcpState>(entry.state);
  const bool is_tcp = protocol == IpProtocol::kTcp;
  const bool closed = is_tcp ? state == TcpState::kTimeWait || state == TcpState::kClose
                             : static_cast<SctpState>(entry.state) == SctpState::kClosed;
  const bool waits = is_tcp && state == TcpState::kFinWait && (entry.flags & kFlagNoOutput) != 0;
  const Tunables& tunables = snapshot_->tunables;
  if (tunables.expire_nodest_conn != 0 && entry.method() != ForwardingMethod::kBypass &&
      shared_.servers[entry.server].weight.load(std::memory_order_relaxed) == 0)
    return true;
  // A persistent client's goes on: its server stays the same anyway.
  if (tunables.conn_reuse_mode == 0 || (entry.flags & kFlagControlled) != 0) return false;
  return closed || (waits && (tunables.conn_reuse_mode & 2) != 0);
}

template <Family F, bool kIsReply>
[[gnu::always_inline]] inline void Worker::handle_hit(rte_mbuf* packet, PacketView<F>& view, Found<F> found) {
  Connection<F>& entry = *found.entry;
  ServerCounters& counters = server_counters_[entry.server];
  const bool available = shared_.servers[entry.server].available.load(std::memory_order_relaxed);

  if (!available) [[unlikely]] {
    if (entry.server == Shared::kCondemnedSlot) return reset_flow<F, kIsReply>(packet, view, found);
    if (entry.method() == ForwardingMethod::kMasquerade) return handle_masqueraded<F, kIsReply>(packet, view, found);
    if (!snapshot_->balances<F>()) return handle_miss(packet, view);
  }

  if constexpr (kIsReply) {
    if (is_due(entry.deadline, now_)) [[unlikely]] {
      end_connection<F>(found.index);
      return handle_miss(packet, view);
    }
    // The kernel decides TTL, route and MTU of what it forwards before LVS sees it.
    if (view.ttl() <= 1) [[unlikely]]
      return refuse(packet, view, Refusal::kTimeExceeded, Verdict::kTimeExceededSent);
    if (const NextHop hop = next_hop_of(entry, true); !hop || !fits(packet, view, hop.mtu)) [[unlikely]]
      return forward_to_client(packet, view, entry);  // refused there
    if (available) [[likely]] {
      ++counters.out_packets;
      counters.out_bytes += view.total_length;
    }
    if ((entry.flags & (kFlagControlled | kFlagAssured)) == kFlagControlled && view.key.protocol == IpProtocol::kUdp)
        [[unlikely]]
      assure_template(entry);
    advance<F, true>(entry, found.index, packet, view);
    return forward_to_client(packet, view, entry);
  }

  // LVS: a client with source port 0 never meets its own connection.
  if (view.key.tuple.source_port.raw == 0) [[unlikely]]
    return handle_miss(packet, view);
  if (is_due(entry.deadline, now_)) [[unlikely]] {
    end_connection<F>(found.index);
    return handle_miss(packet, view);
  }
  if (starts_anew(entry, packet, view)) [[unlikely]]
    return replace(packet, view, found.index);
  if (!available) [[unlikely]] {
    // LVS: silent, and its timer runs on; or away with it.
    if (snapshot_->tunables.expire_nodest_conn == 0) return drop(packet, Verdict::kServerGone);
    return replace(packet, view, found.index);
  }
  take_in(packet, view, found);
}

// The packet begins anew. LVS: what it met before ends soon after, and counts until then.
template <Family F>
void Worker::replace(rte_mbuf* packet, PacketView<F>& view, ConnectionIndex old) {
  const bool has_room = !lane<F>().table.is_full();
  if (!has_room) end_connection<F>(old);
  handle_miss(packet, view);
  if (has_room) end_connection<F>(old);
}

// A client's packet of a connection that takes it.
template <Family F>
[[gnu::always_inline]] inline void Worker::take_in(rte_mbuf* packet, PacketView<F>& view, Found<F> found) {
  Connection<F>& entry = *found.entry;
  ServerCounters& counters = server_counters_[entry.server];
  ++counters.in_packets;
  counters.in_bytes += view.total_length;
  ++entry.in_packets;
  advance<F, false>(entry, found.index, packet, view);
  forward_to_server(packet, view, entry);
}

// State, active and inactive counts, deadline.
template <Family F, bool kIsReply>
[[gnu::always_inline]] inline void Worker::advance(Connection<F>& entry, ConnectionIndex index, const rte_mbuf* packet,
                                                   const PacketView<F>& view) {
  const IpProtocol protocol = view.key.protocol;
  if (protocol != IpProtocol::kUdp) {
    Direction direction = kIsReply ? Direction::kOutput : Direction::kInput;
    if constexpr (kIsReply) {
      if ((entry.flags & (kFlagNoOutput | kFlagUnanswered)) != 0) [[unlikely]] {
        server_counters_[entry.server].answered += (entry.flags & kFlagUnanswered) != 0;
        entry.flags &= ~(kFlagNoOutput | kFlagUnanswered);
      }
    } else if ((entry.flags & kFlagNoOutput) != 0) {
      direction = Direction::kInputOnly;
    }
    if (protocol == IpProtocol::kTcp) [[likely]] {
      const auto state = static_cast<TcpState>(entry.state);
      const TcpState next = next_tcp_state(tcp_table_, direction, state, view.tcp_flags);
      if (next != state) [[unlikely]] {
        if (kIsReply && next == TcpState::kClose && is_active(state) && entry.method() == ForwardingMethod::kNat)
          ++server_counters_[entry.server].reset;
        change_state(entry, static_cast<uint8_t>(next), is_active(next), next == TcpState::kEstablished);
      }
    } else {
      advance_sctp(entry, direction, packet, view);
    }
  }
  const Ticks deadline = now_ + snapshot_->timeouts.of(TimeoutTable::row_of(protocol), entry.state);
  const bool closer = static_cast<int32_t>(deadline - entry.deadline) < 0;
  entry.deadline = deadline;
  if (closer) [[unlikely]]
    lane<F>().wheel->rearm(index, deadline);
}

template <Family F>
void Worker::advance_sctp(Connection<F>& entry, Direction direction, const rte_mbuf* packet,
                          const PacketView<F>& view) {
  const auto state = static_cast<SctpState>(entry.state);
  const SctpState next = next_sctp_state(direction, state, sctp_event(chunks_of(packet, view)));
  if (next != state) change_state(entry, static_cast<uint8_t>(next), is_active(next), next == SctpState::kEstablished);
}

template <Family F>
void Worker::change_state(Connection<F>& entry, uint8_t next, bool active, bool established) {
  entry.state = next;
  if (established && (entry.flags & kFlagControlled) != 0) assure_template(entry);
  if (active == entry.is_active()) return;
  entry.flags ^= kFlagInactive;
  const uint32_t step = active ? 1u : ~0u;
  ServerCounters& counters = server_counters_[entry.server];
  counters.active += step;
  counters.inactive -= step;
  if (counters.in_totals) {
    LoadView::Line& totals = shared_.totals[entry.server];
    __atomic_fetch_add(&totals.active, step, __ATOMIC_RELAXED);
    __atomic_fetch_sub(&totals.inactive, step, __ATOMIC_RELAXED);
    shared_.totals_changed(entry.server);
  }
}

// May this packet be the first of a connection? UDP's always may. Sloppy: as sloppy_tcp and sloppy_sctp have it.
template <Family F>
bool Worker::may_start(const rte_mbuf* packet, const PacketView<F>& view, bool sloppy) const {
  switch (view.key.protocol) {
    case IpProtocol::kTcp:
      if (sloppy) return (view.tcp_flags & kTcpRst) == 0;
      return (view.tcp_flags & (kTcpSyn | kTcpRst)) == kTcpSyn;
    case IpProtocol::kSctp:
      return may_start_association(chunks_of(packet, view), sloppy);
    default:
      return true;
  }
}

// A packet that is no beginning and meets no entry: may it belong to a flow that has none? Then that is adopted, or the
// packet leaves here.
template <Family F>
bool Worker::go_on(rte_mbuf* packet, PacketView<F>& view, const VirtualService& service, uint32_t mark,
                   Found<F>& adopted) {
  if (!follows_spread<F>()) return false;
  const RealServer* server = spread_target(service, view.key);
  if (server == nullptr) return false;
  constexpr bool kSloppy = true;
  if (may_start(packet, view, kSloppy)) adopted = adopt_flow(view.key, service, *server, mark);
  if (!adopted) forward_without_entry(packet, view, *server);
  return true;
}

template <Family F>
[[gnu::noinline]] void Worker::handle_miss(rte_mbuf* packet, PacketView<F>& view) {
  Found<F> made;
  admit(packet, view, made);
  if (made) take_in(packet, view, made);
}

// Makes an entry for a packet that meets none. If there is none to be made the packet leaves here.
template <Family F>
void Worker::admit(rte_mbuf* packet, PacketView<F>& view, Found<F>& made) {
  const auto& tuple = view.key.tuple;
  if (is_martian(tuple.source) || is_martian(tuple.destination)) return drop(packet, Verdict::kMartian);
  if (snapshot_->network->interface_of(packet->port, view.vlan) == kNoInterface)
    return drop(packet, Verdict::kUnknownVlan);
  const Mark mark = mark_of(*snapshot_->marks, view.key);
  const LocalAddress* own = local(tuple.destination);
  if (own == nullptr && !mark.local) return route(packet, view);

  const VirtualService* service = snapshot_->find_service(Address::from(tuple.destination), view.key.protocol,
                                                          tuple.destination_port.host(), mark.value);
  if (service == nullptr) return leave_unbalanced(packet, view, own);
  if (service->traffic != nullptr && denies(*service, tuple.source)) [[unlikely]]
    return drop(packet, Verdict::kClientDenied);
  if (!may_start(packet, view, false)) {
    if (go_on(packet, view, *service, mark.value, made)) return;
    if (!snapshot_->tunables.is_sloppy(view.key.protocol) || !may_start(packet, view, true))
      return leave_unbalanced(packet, view, own);
  }
  if (must_drop_packet()) return drop(packet, Verdict::kDropPacket);
  // LVS never schedules what comes from FTP's data port, whatever the service.
  if (tuple.source_port.host() == kFtpDataPort) return leave_unbalanced(packet, view, own);

  const bool is_once = service->one_packet && view.key.protocol == IpProtocol::kUdp;
  if (!is_once)
    if (const auto lacking = shortage<F>()) return turn_away(packet, view, *service, *lacking);
  if (service->traffic == nullptr) [[likely]]
    return begin(packet, view, *service, {own, mark.value, is_once}, made);
  if (const auto refused = take_service_place(*service, is_once)) return drop(packet, *refused);
  begin(packet, view, *service, {own, mark.value, is_once}, made);
  give_back_service_place(*service);
}

template <Family F>
void Worker::leave_unbalanced(rte_mbuf* packet, PacketView<F>& view, const LocalAddress* own) {
  if (own != nullptr) return handle_local(packet, view);
  // Local by its mark only: no host has this address, so nobody answers.
  drop(packet, Verdict::kLocalIgnored);
}

// Chooses a server and makes the entry; or the packet leaves here.
template <Family F>
void Worker::begin(rte_mbuf* packet, PacketView<F>& view, const VirtualService& service, const Arrival& arrival,
                   Found<F>& made) {
  const auto [own, mark, is_once] = arrival;
  const Choice choice = choose_server(service, view.key, mark);
  if (choice.full) return drop(packet, Verdict::kTableFull);
  if (choice.server == nullptr) {
    // Found by its FTP control port only: not a service of this port.
    if (service.key.port == kFtpControlPort && view.key.tuple.destination_port.host() != kFtpControlPort)
      return leave_unbalanced(packet, view, own);
    if (own != nullptr) return refuse(packet, view, Refusal::kNoPort, Verdict::kNoServer);
    if (snapshot_->tunables.cache_bypass == 0) return drop(packet, Verdict::kErrorWithheld);
    made = create_bypass(service, view.key, mark);
  } else if (is_once) {
    return forward_once(packet, view, choice);
  } else {
    made = create_connection(service, choice, view.key, mark);
  }
  if (!made) return turn_away(packet, view, service);
  new_connections_.take(connection_budget());
}

// For masquerade.cc and explain.cc.
#define INSTANTIATE(F)                                                                                             \
  template std::optional<uint32_t> Worker::owner_hash_of(const FlowKey<F>&);                                       \
  template bool Worker::may_begin_again(const Connection<F>&, IpProtocol) const;                                   \
  template bool Worker::steer(rte_mbuf*, const FlowKey<F>&);                                                       \
  template void Worker::handle_miss(rte_mbuf*, PacketView<F>&);                                                    \
  template bool Worker::may_start(const rte_mbuf*, const PacketView<F>&, bool) const;                              \
  template void Worker::advance<F, false>(Connection<F>&, ConnectionIndex, const rte_mbuf*, const PacketView<F>&); \
  template void Worker::advance<F, true>(Connection<F>&, ConnectionIndex, const rte_mbuf*, const PacketView<F>&)
INSTANTIATE(Family::kIpv4);
INSTANTIATE(Family::kIpv6);

}  // namespace fulcrum
