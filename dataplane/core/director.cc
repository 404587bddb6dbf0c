// SPDX-License-Identifier: Apache-2.0
// The packet's life from top to bottom, a burst at a time: parse, steer, find, classify, schedule, advance, forward.
#include <rte_mbuf.h>
#include <rte_ring.h>

#include "core/forward.h"
#include "net/owner.h"

namespace fulcrum {

namespace {
constexpr unsigned kPrefetchAhead = 4;

inline bool is_tcp(const FlowKey<Family::kIpv4>& key) { return key.protocol == IpProtocol::kTcp; }

// LVS takes its hooks away with the last service: what is left of its connections meets a host and a router again.
inline bool balances_nothing(const Snapshot& snapshot) { return snapshot.services.empty(); }
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
        handle_other(packet, flow.view, must_steer);
        continue;
      }
    }
    if (must_steer && steer(packet, flow.view.key.tuple)) continue;
    flow.packet = packet;
    flow.hash = table_.hash(flow.view.key);
    table_.prefetch_bucket(flow.hash);
    ++flow_count;
  }
  handle_flows(flow_count);
}

// Hands the packet to its owner if that is another worker.
bool Worker::steer(rte_mbuf* packet, const Tuple<Family::kIpv4>& tuple) {
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

// One function from lookup to transmit buffer: `flatten` spares every packet the calls.
[[gnu::flatten]] void Worker::handle_flows(unsigned count) {
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

void Worker::handle_other(rte_mbuf* packet, PacketView& view, bool must_steer) {
  switch (view.kind) {
    case PacketKind::kArp:
      return handle_arp(packet, view);
    case PacketKind::kIcmp:
    case PacketKind::kOtherIp:
    case PacketKind::kFragment:
      if (snapshot_->network->interface_of(packet->port, view.vlan) == kNoInterface)
        return drop(packet, Verdict::kUnknownVlan);
      // An error follows the connection that it quotes a packet of, to that one's owner.
      if (FlowKey<Family::kIpv4> quoted; view.kind == PacketKind::kIcmp && read_quote(packet, view, quoted))
        if ((must_steer && steer(packet, quoted.tuple)) || handle_icmp_error(packet, view, quoted)) return;
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
  // A persistent client's goes on: its server stays the same anyway.
  if ((entry.flags & kFlagControlled) != 0) return false;
  const auto state = static_cast<TcpState>(entry.state);
  return state == TcpState::kTimeWait || state == TcpState::kClose;
}

template <bool kIsReply>
void Worker::handle_hit(rte_mbuf* packet, PacketView& view, Table::Found found) {
  Table::Entry& entry = *found.entry;
  ServerCounters& counters = server_counters_[entry.server];
  const bool available = shared_.servers[entry.server].available.load(std::memory_order_relaxed);

  if (!available && balances_nothing(*snapshot_)) [[unlikely]]
    return handle_miss(packet, view);

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
    if ((entry.flags & (kFlagControlled | kFlagAssured)) == kFlagControlled && !is_tcp(view.key)) [[unlikely]]
      assure_template(entry);
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
  if (next == TcpState::kEstablished && (entry.flags & kFlagControlled) != 0) assure_template(entry);
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
  // LVS never schedules what comes from FTP's data port, whatever the service.
  if (service == nullptr || tuple.source_port.host() == kFtpDataPort) return handle_local(packet, view);
  if (is_tcp(view.key) && (view.tcp_flags & (kTcpSyn | kTcpRst)) != kTcpSyn) return handle_local(packet, view);

  if (table_.is_full()) return drop(packet, Verdict::kTableFull);
  const Choice choice = choose_server(*service, view);
  if (choice.full) return drop(packet, Verdict::kTableFull);
  if (choice.server == nullptr) {
    // Found by its FTP control port only: not a service of this port.
    if (service->key.port == kFtpControlPort && tuple.destination_port.host() != kFtpControlPort)
      return handle_local(packet, view);
    return refuse(packet, view, kIcmpUnreachable, kUnreachablePort, 0, Verdict::kNoServer);
  }
  if (service->one_packet && view.key.protocol == IpProtocol::kUdp) return forward_once(packet, view, choice);
  const Table::Found made = create_connection(*service, choice, view);
  if (!made) return drop(packet, Verdict::kTableFull);
  handle_hit<false>(packet, view, made);
}

}  // namespace fulcrum
