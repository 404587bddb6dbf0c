// SPDX-License-Identifier: Apache-2.0
// The packet's life from top to bottom, a burst at a time: parse, steer, find, classify, schedule, advance, forward.
#include <rte_mbuf.h>
#include <rte_ring.h>

#include "core/worker.h"
#include "net/owner.h"

namespace fulcrum {

namespace {
constexpr unsigned kPrefetchAhead = 4;

// LVS never schedules what comes from FTP's data port, whatever the service.
constexpr be16 kFtpDataPort = be16::from_host(20);

inline bool is_tcp(const FlowKey<Family::kIpv4>& key) { return key.protocol == IpProtocol::kTcp; }
}  // namespace

void Worker::handle_burst(rte_mbuf** packets, unsigned count, bool handed_over) {
  unsigned flow_count = 0;
  const bool must_steer = shared_.workers > 1 && !handed_over;

  for (unsigned i = 0; i < count && i < kPrefetchAhead; ++i) rte_prefetch0(rte_pktmbuf_mtod(packets[i], void*));
  for (unsigned i = 0; i < count; ++i) {
    if (i + kPrefetchAhead < count) rte_prefetch0(rte_pktmbuf_mtod(packets[i + kPrefetchAhead], void*));
    rte_mbuf* packet = packets[i];
    Flow& flow = flows_[flow_count];
    const uint64_t mac = shared_.ports[packet->port].mac;
    if (!parse_plain(packet, mac, flow.view)) [[unlikely]] {
      parse_any(packet, mac, flow.view);
      if (flow.view.kind != PacketKind::kFlow) {
        handle_other(packet, flow.view);
        continue;
      }
    }
    if (must_steer && steer(packet, flow.view)) continue;
    flow.packet = packet;
    flow.hash = table_.hash(flow.view.key);
    table_.prefetch_bucket(flow.hash);
    ++flow_count;
  }
  handle_flows(flow_count);
}

// Hands the packet to its owner if that is another worker.
bool Worker::steer(rte_mbuf* packet, const PacketView& view) {
  const auto& tuple = view.key.tuple;
  uint32_t hash;
  if (local(tuple.destination) != nullptr) {
    hash = owner_hash(tuple.source, tuple.source_port);
  } else if (local(tuple.source) != nullptr ||
             snapshot_->is_nat_endpoint(Address::from(tuple.source), tuple.source_port.host())) {
    hash = owner_hash(tuple.destination, tuple.destination_port);
  } else {
    return false;  // routed, no connection: any worker will do
  }
  const uint32_t owner = owner_of(hash, shared_.workers);
  if (owner == id_) return false;
  handover_[owner].push_back(packet);
  return true;
}

void Worker::handle_flows(unsigned count) {
  for (unsigned i = 0; i < count; ++i) flows_[i].candidate = table_.candidate(flows_[i].hash);
  for (unsigned i = 0; i < count; ++i) {
    Flow& flow = flows_[i];
    Table::Found found;
    if (flow.candidate != kNoConnection) [[likely]]
      found = table_.check(flow.candidate, flow.view.key);
    // A second candidate, a chained bucket, or an entry that an earlier packet of this burst made.
    if (!found) [[unlikely]]
      found = table_.find(flow.view.key, flow.hash);
    if (!found) [[unlikely]] {
      handle_miss(flow.packet, flow.view);
    } else if (found.is_reply) {
      handle_hit<true>(flow.packet, flow.view, found);
    } else {
      handle_hit<false>(flow.packet, flow.view, found);
    }
  }
}

void Worker::handle_other(rte_mbuf* packet, PacketView& view) {
  switch (view.kind) {
    case PacketKind::kArp:
      return handle_arp(packet, view);
    case PacketKind::kIcmp:
    case PacketKind::kOtherIp:
    case PacketKind::kFragment:
      if (snapshot_->network->interface_of(packet->port, view.vlan) == kNoInterface)
        return drop(packet, Verdict::kUnknownVlan);
      if (local(view.key.tuple.destination) == nullptr) return route(packet, view);
      if (view.kind == PacketKind::kFragment) return drop(packet, Verdict::kFragmentUnsupported);
      return handle_local(packet, view);
    default:
      return drop(packet, view.verdict);
  }
}

// LVS: a SYN that meets the remains of an old connection is a new connection (conn_reuse_mode = 1).
bool Worker::starts_anew(const Table::Entry& entry, const PacketView& view) const {
  if (is_due(entry.deadline, now_)) return true;
  if ((view.tcp_flags & kTcpSyn) == 0 || !is_tcp(view.key)) return false;
  const auto state = static_cast<TcpState>(entry.state);
  return state == TcpState::kTimeWait || state == TcpState::kClose;
}

template <bool kIsReply>
void Worker::handle_hit(rte_mbuf* packet, PacketView& view, Table::Found found) {
  Table::Entry& entry = *found.entry;
  ServerCounters& counters = server_counters_[entry.server];
  const bool available = shared_.servers[entry.server].available.load(std::memory_order_relaxed);

  if constexpr (kIsReply) {
    if (is_due(entry.deadline, now_)) [[unlikely]] {
      end_connection(found.index);
      return handle_miss(packet, view);
    }
    // The kernel decides TTL and MTU of what it forwards before LVS sees it.
    if (view.ipv4().ttl <= 1) [[unlikely]]
      return refuse(packet, view, kIcmpTimeExceeded, 0, 0, Verdict::kTimeExceededSent);
    if (available) [[likely]] {
      ++counters.out_packets;
      counters.out_bytes += view.total_length;
    }
    advance<true>(entry, found.index, view);
    return forward_to_client(packet, view, entry);
  }

  if (starts_anew(entry, view)) [[unlikely]] {
    end_connection(found.index);
    return handle_miss(packet, view);
  }
  if (!available) [[unlikely]]
    return drop(packet, Verdict::kServerGone);  // LVS, expire_nodest_conn = 0: silent, and its timer runs on
  ++counters.in_packets;
  counters.in_bytes += view.total_length;
  ++entry.in_packets;
  advance<false>(entry, found.index, view);
  forward_to_server(packet, view, entry);
}

// State, active and inactive counts, deadline.
template <bool kIsReply>
void Worker::advance(Table::Entry& entry, ConnectionIndex index, const PacketView& view) {
  const bool tcp = is_tcp(view.key);
  if (tcp) {
    Direction direction = kIsReply ? Direction::kOutput : Direction::kInput;
    if ((entry.flags & kFlagNoOutput) != 0) {
      if (kIsReply) {
        entry.flags &= ~kFlagNoOutput;
      } else {
        direction = Direction::kInputOnly;
      }
    }
    const auto state = static_cast<TcpState>(entry.state);
    const TcpState next = next_tcp_state(TcpTable::kNormal, direction, state, view.tcp_flags);
    if (next != state) [[unlikely]]
      change_state(entry, next);
  }
  const Ticks deadline = now_ + snapshot_->timeouts.of(tcp, entry.state);
  const bool closer = static_cast<int32_t>(deadline - entry.deadline) < 0;
  entry.deadline = deadline;
  if (closer) [[unlikely]]
    wheel_->rearm(index, deadline);
}

void Worker::change_state(Table::Entry& entry, TcpState next) {
  entry.state = static_cast<uint8_t>(next);
  const bool active = is_active(next);
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
  }
}

void Worker::handle_miss(rte_mbuf* packet, PacketView& view) {
  const auto& tuple = view.key.tuple;
  if (is_martian(tuple.source) || is_martian(tuple.destination)) return drop(packet, Verdict::kMartian);
  if (snapshot_->network->interface_of(packet->port, view.vlan) == kNoInterface)
    return drop(packet, Verdict::kUnknownVlan);
  if (local(tuple.destination) == nullptr) return route(packet, view);

  const VirtualService* service =
      snapshot_->find_service(Address::from(tuple.destination), view.key.protocol, tuple.destination_port.host());
  if (service == nullptr || tuple.source_port == kFtpDataPort) return handle_local(packet, view);
  if (is_tcp(view.key) && (view.tcp_flags & (kTcpSyn | kTcpRst)) != kTcpSyn) return handle_local(packet, view);

  if (table_.is_full()) return drop(packet, Verdict::kTableFull);
  const RealServer* server = schedule(*service, view);
  if (server == nullptr) return refuse(packet, view, kIcmpUnreachable, kUnreachablePort, 0, Verdict::kNoServer);
  const Table::Found made = create_connection(*service, *server, view);
  if (!made) return drop(packet, Verdict::kTableFull);
  handle_hit<false>(packet, view, made);
}

const RealServer* Worker::schedule(const VirtualService& service, const PacketView& view) {
  if (service.rules == nullptr) return nullptr;
  const auto& tuple = view.key.tuple;
  const ScheduleRequest request{Address::from(tuple.source), Address::from(tuple.destination),
                                tuple.source_port.host()};
  for (;;) {
    const int chosen =
        service.rules->choose(scheduler_states_[service.slot], service, LoadView(shared_.totals), request);
    if (chosen < 0) return nullptr;
    const RealServer& server = service.servers[static_cast<size_t>(chosen)];
    // Another worker may have taken the last place: the server is overloaded now, and another is chosen.
    if (!server_counters_[server.slot].in_totals ||
        take_place(shared_.totals[server.slot], shared_.servers[server.slot].thresholds()))
      return &server;
  }
}

Worker::Table::Found Worker::create_connection(const VirtualService& service, const RealServer& server,
                                               const PacketView& view) {
  const ConnectionIndex index = table_.allocate();
  if (index == kNoConnection) return {};
  Table::Entry& entry = table_.entry(index);
  entry.forward = view.key.tuple;
  entry.reply = view.key.tuple.reversed();
  entry.protocol = view.key.protocol;
  entry.server = server.slot;
  entry.flags |= static_cast<uint32_t>(server.method) | kFlagInactive;
  if (server.method == ForwardingMethod::kNat) {
    entry.reply.source = server.key.address.v4();
    if (server.key.port != 0) entry.reply.source_port = be16::from_host(server.key.port);
  } else {
    entry.flags |= kFlagNoOutput;
  }
  entry.deadline = now_ + seconds_to_ticks(kFreshTimeoutSeconds);
  entry.route_epoch = route_epoch_ - 1;
  if (!table_.insert(index)) {
    table_.release(index);
    if (server_counters_[server.slot].in_totals)
      leave_place(shared_.totals[server.slot], shared_.servers[server.slot].thresholds());
    return {};
  }
  ConnectionRecord& record = table_.record(index);
  record.service = service.slot;
  record.created = now_;
  wheel_->arm(index, entry.deadline);
  __atomic_store_n(&live_connections_, table_.size(), __ATOMIC_RELAXED);

  ServerCounters& counters = server_counters_[server.slot];
  ++counters.connections;
  ++counters.inactive;
  if (counters.in_totals) __atomic_fetch_add(&shared_.totals[server.slot].inactive, 1, __ATOMIC_RELAXED);
  return {&entry, index, false};
}

void Worker::end_connection(ConnectionIndex index) {
  Table::Entry& entry = table_.entry(index);
  ServerCounters& counters = server_counters_[entry.server];
  const bool active = entry.is_active();
  --(active ? counters.active : counters.inactive);
  if (counters.in_totals) {
    LoadView::Line& totals = shared_.totals[entry.server];
    __atomic_fetch_sub(active ? &totals.active : &totals.inactive, 1, __ATOMIC_RELAXED);
    leave_place(totals, shared_.servers[entry.server].thresholds());
  }
  wheel_->disarm(index);
  table_.remove(index);
  table_.release(index);
  __atomic_store_n(&live_connections_, table_.size(), __ATOMIC_RELAXED);
}

}  // namespace fulcrum
