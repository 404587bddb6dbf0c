// SPDX-License-Identifier: Apache-2.0
// When there is no room for another connection: which flows go on without an entry, and where to. The service's spread
// decides (service/spread.h), for as long as overload lasts and for a grace afterwards, so that a flow keeps its server
// whether or not there is room for its next packet.
#include "core/forward.h"
#include "service/spread.h"

namespace fulcrum {

namespace {

template <Family F>
constexpr Shortage kTableFullOf = F == Family::kIpv4 ? Shortage::kTableFullIpv4 : Shortage::kTableFullIpv6;

template <Family F>
bool is_roomy(const ConnectionTable<F>& table) {
  return table.capacity() - table.size() > table_reserve(table.capacity());
}

}  // namespace

TokenRate Worker::connection_budget() const {
  const uint64_t all = snapshot_->tunables.new_connections_per_second;
  if (all == 0) [[likely]]
    return {};
  return {all, (all + shared_.workers - 1) / shared_.workers, shared_.workers};
}

// What there is too little of for another entry, if anything.
template <Family F>
std::optional<Shortage> Worker::shortage() {
  if (lane<F>().table.is_full()) return kTableFullOf<F>;
  if (!new_connections_.has(connection_budget(), now_ms_)) return Shortage::kNewConnectionBudget;
  return std::nullopt;
}

// A new flow has met it. By which verdict it leaves, if it is refused.
Verdict Worker::deny(Shortage of) {
  overload(of).deny(now_ms_);
  return of == Shortage::kNewConnectionBudget ? Verdict::kNewConnectionBudget : Verdict::kTableFull;
}

// New flows of this family are spread, those with an entry too.
template <Family F>
bool Worker::spreads() const {
  return snapshot_->tunables.stateless_spread != 0 &&
         (overload(kTableFullOf<F>).is_active() || overload(Shortage::kNewConnectionBudget).is_active());
}

// What is unknown and does not begin may have begun without an entry, or before the director did.
template <Family F>
bool Worker::follows_spread() const {
  if (spreads<F>()) return true;
  const Ticks grace = snapshot_->timeouts.of(TimeoutTable::kTcp, static_cast<uint8_t>(TcpState::kEstablished));
  return snapshot_->tunables.stateless_grace != 0 &&
         now_ms_ - grace_began_ms_ < uint64_t{grace} * (1000 / kTicksPerSecond);
}

// The server of a flow without an entry; null: its flows need one. Replies to source port 0 cannot be told apart, and
// FTP's data port is never scheduled.
template <Family F>
const RealServer* Worker::spread_target(const VirtualService& service, const FlowKey<F>& flow) const {
  const auto& tuple = flow.tuple;
  const bool is_once = service.one_packet && flow.protocol == IpProtocol::kUdp;
  const bool is_service_port = service.key.fwmark != 0 || tuple.destination_port.host() == service.key.port;
  if (is_once || !is_service_port || service.persistence_timeout_s != 0 || tuple.source_port.raw == 0 ||
      tuple.source_port.host() == kFtpDataPort)
    return nullptr;
  if (service.spread != nullptr) return &service.servers[spread_server(*service.spread, flow)];
  if (service.rules == nullptr || !service.rules->is_pure) return nullptr;
  SchedulerState none;
  const ScheduleRequest request{Address::from(tuple.source), Address::from(tuple.destination),
                                tuple.source_port.host()};
  const int chosen = service.rules->choose(none, service, shared_.loads(), request);
  if (chosen < 0) return nullptr;
  const RealServer& server = service.servers[static_cast<size_t>(chosen)];
  return takes_any(server) ? &server : nullptr;
}

// A new flow finds no room.
template <Family F>
void Worker::turn_away(rte_mbuf* packet, PacketView<F>& view, const VirtualService& service, Shortage of) {
  const Verdict refusal = deny(of);
  if (snapshot_->tunables.stateless_spread != 0)
    if (const RealServer* server = spread_target(service, view.key))
      return forward_without_entry(packet, view, *server);
  drop(packet, refusal);
}

// An index that is full for this flow, though entries are left. A chain that only source port 0 makes is no overload.
template <Family F>
void Worker::turn_away(rte_mbuf* packet, PacketView<F>& view, const VirtualService& service) {
  if (view.key.tuple.source_port.raw == 0) return drop(packet, Verdict::kTableFull);
  turn_away(packet, view, service, kTableFullOf<F>);
}

// Makes an entry for a flow that goes on, in the state that sloppy_tcp would give, where that leaves enough room for
// flows that begin.
template <Family F>
Worker::Found<F> Worker::adopt_flow(const FlowKey<F>& flow, const VirtualService& service, const RealServer& server,
                                    uint32_t mark) {
  const TokenRate budget = connection_budget();
  if (!is_roomy(lane<F>().table) || !new_connections_.has(budget, now_ms_)) return {};
  const Choice choice = take_place_at(server, flow.tuple.destination_port);
  const Found<F> made = create_connection(service, choice, flow, mark);
  if (!made) return {};
  new_connections_.take(budget);
  ++counters_.adopted;
  return made;
}

// Once a tick: overload that is over begins the grace.
void Worker::tend_overload() {
  for (const Shortage of : kShortages) {
    const bool has_room = of == Shortage::kTableFullIpv4   ? is_roomy(lane4_.table)
                          : of == Shortage::kTableFullIpv6 ? is_roomy(lane6_.table)
                                                           : true;
    if (overload(of).ends(now_ms_, has_room)) grace_began_ms_ = now_ms_;
  }
}

#define INSTANTIATE(F)                                                                              \
  template std::optional<Shortage> Worker::shortage<F>();                                           \
  template bool Worker::spreads<F>() const;                                                         \
  template bool Worker::follows_spread<F>() const;                                                  \
  template const RealServer* Worker::spread_target(const VirtualService&, const FlowKey<F>&) const; \
  template void Worker::turn_away(rte_mbuf*, PacketView<F>&, const VirtualService&, Shortage);      \
  template void Worker::turn_away(rte_mbuf*, PacketView<F>&, const VirtualService&);                \
  template Worker::Found<F> Worker::adopt_flow(const FlowKey<F>&, const VirtualService&, const RealServer&, uint32_t)
INSTANTIATE(Family::kIpv4);
INSTANTIATE(Family::kIpv6);

}  // namespace fulcrum
