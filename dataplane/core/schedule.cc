// SPDX-License-Identifier: Apache-2.0
// The first packet of a connection: which server, by persistence or by the scheduler, and the making and ending of the
// entry with all that is counted of it.
#include <utility>

#include "core/forward.h"

namespace fulcrum {

namespace {

Address masked(const Address& address, unsigned prefix) {
  const unsigned bits = address.family == Family::kIpv4 ? 32 : 128;
  if (prefix == 0 || prefix >= bits) return address;
  Address result = address;
  for (unsigned i = 0; i < bits / 8; ++i) {
    const unsigned kept = prefix > 8 * i ? std::min(prefix - 8 * i, 8u) : 0;
    result.bytes[i] &= static_cast<uint8_t>(0xff00 >> kept);
  }
  return result;
}

}  // namespace

// LVS: a fwmark service's template covers every port, address and protocol; an FTP service's control and data
// connections; a port-0 service's every port.
template <Family F>
TemplateKey Worker::template_key(const VirtualService& service, const FlowKey<F>& flow, uint32_t mark) {
  TemplateKey key;
  key.client = masked(Address::from(flow.tuple.source), service.persistence_prefix);
  if (service.key.fwmark != 0) {
    key.vip.family = F;
    key.fwmark = mark;
    return key;
  }
  key.vip = Address::from(flow.tuple.destination);
  key.protocol = flow.protocol;
  const uint16_t port = flow.tuple.destination_port.host();
  key.port = port == service.key.port && port != kFtpControlPort ? port : 0;
  return key;
}

template <Family F>
Worker::Choice Worker::choose_server(const VirtualService& service, const FlowKey<F>& flow, uint32_t mark) {
  const be16 port = flow.tuple.destination_port;
  const bool is_service_port = port.host() == service.key.port;
  // Where its packets go without the entry that is about to be made.
  if (spreads<F>()) [[unlikely]]
    if (const RealServer* server = spread_target(service, flow)) return take_place_at(*server, port);
  Choice choice;
  if (service.persistence_timeout_s == 0) {
    if (!is_service_port && service.key.fwmark == 0) return choice;
    choice.server = schedule(service, flow);
    choice.port = port;
    if (choice.server != nullptr && choice.server->key.port != 0)
      choice.port = be16::from_host(choice.server->key.port);
    return choice;
  }

  const TemplateKey key = template_key(service, flow, mark);
  const bool quiesced_counts = snapshot_->tunables.expire_quiescent_template == 0;
  const auto is_usable = [&](ServerSlot slot) {
    const ServerLine& line = shared_.servers[slot];
    return line.available.load(std::memory_order_relaxed) && service.find(slot) >= 0 &&
           (quiesced_counts || line.weight.load(std::memory_order_relaxed) != 0);
  };
  const auto choose = [&]() -> TemplateTable::Choice {
    const RealServer* server = schedule(service, flow);
    if (server == nullptr) return {};
    return {server->slot, key.port != 0 ? server->key.port : uint16_t{0}, server->method};
  };
  const TemplateTable::Stick stick =
      shared_.templates->stick(key, seconds_to_ticks(service.persistence_timeout_s), now_, is_usable, choose);
  choice.full = stick.full;
  if (stick.server == kNoSlot) return choice;
  choice.server = &service.servers[static_cast<size_t>(service.find(stick.server))];
  choice.controlling = stick.index;
  if (stick.is_new) {
    shared_.servers[stick.server].persistent.fetch_add(1, std::memory_order_relaxed);
  } else if (server_counters_[stick.server].in_totals) {
    // A persistent client goes to its server though that is overloaded.
    take_place_anyway(shared_.totals[stick.server], shared_.servers[stick.server].thresholds());
    shared_.totals_changed(stick.server);
  }
  const bool translates = is_service_port && choice.server->key.port != 0;
  choice.port = translates ? be16::from_host(choice.server->key.port) : port;
  return choice;
}

template <Family F>
const RealServer* Worker::schedule(const VirtualService& service, const FlowKey<F>& flow) {
  if (service.rules == nullptr) return nullptr;
  const auto& tuple = flow.tuple;
  const ScheduleRequest request{
      Address::from(tuple.source), Address::from(tuple.destination), tuple.source_port.host(), now_ms_,
      CacheExpirations{snapshot_->tunables.lblc_expiration, snapshot_->tunables.lblcr_expiration}};
  for (size_t tries = 0; tries <= service.servers.size(); ++tries) {
    const int chosen = service.rules->choose(state_of(service), service, shared_.loads(), request);
    if (chosen < 0) return nullptr;
    const RealServer& server = service.servers[static_cast<size_t>(chosen)];
    // Another worker may have taken the last place: the server is overloaded now, and another is chosen.
    if (!server_counters_[server.slot].in_totals) return &server;
    const Thresholds thresholds = shared_.servers[server.slot].thresholds();
    LoadView::Line& totals = shared_.totals[server.slot];
    const bool taken = service.rules->may_choose_overloaded ? (take_place_anyway(totals, thresholds), true)
                                                            : take_place(totals, thresholds);
    if (thresholds.upper != 0) shared_.totals_changed(server.slot);
    if (taken) return &server;
  }
  return nullptr;
}

// For a connection that goes to this server, whatever its scheduler would say.
Worker::Choice Worker::take_place_at(const RealServer& server, be16 port) {
  if (server_counters_[server.slot].in_totals) {
    take_place_anyway(shared_.totals[server.slot], shared_.servers[server.slot].thresholds());
    shared_.totals_changed(server.slot);
  }
  return {.server = &server, .port = port};
}

// The place that was taken for a connection, and its hold on a template, are given back.
void Worker::give_back(ServerSlot slot, TemplateIndex controlling) {
  if (server_counters_[slot].in_totals) {
    leave_place(shared_.totals[slot], shared_.servers[slot].thresholds());
    shared_.totals_changed(slot);
  }
  if (controlling != kNoTemplate) shared_.templates->let_go(controlling);
}

template <Family F>
void Worker::fill(Connection<F>& entry, const Choice& choice, const FlowKey<F>& flow) const {
  const RealServer& server = *choice.server;
  entry.forward = flow.tuple;
  entry.reply = flow.tuple.reversed();
  entry.protocol = flow.protocol;
  entry.server = server.slot;
  entry.flags |= static_cast<uint32_t>(server.method) | kFlagInactive;
  if (server.method == ForwardingMethod::kNat) {
    entry.reply.source = server.key.address.as<F>();
    entry.reply.source_port = choice.port;
    if (flow.protocol == IpProtocol::kTcp) entry.flags |= kFlagUnanswered;
  } else {
    entry.flags |= kFlagNoOutput;
  }
  entry.route_epoch = route_epoch_ - 1;
}

template <Family F>
Worker::Found<F> Worker::create_connection(const VirtualService& service, const Choice& choice, const FlowKey<F>& flow,
                                           uint32_t mark) {
  const ConnectionIndex index = lane<F>().table.allocate();
  Found<F> made;
  if (index != kNoConnection) {
    Connection<F>& entry = lane<F>().table.entry(index);
    fill(entry, choice, flow);
    if (shared_.masquerade != nullptr) [[unlikely]]
      give_way(FlowKey<F>{entry.reply, entry.protocol});
    made = insert_connection<F>(index, service, choice.controlling, mark);
  }
  if (!made) give_back(choice.server->slot, choice.controlling);
  return made;
}

// LVS's cache_bypass: no server is left, the packets go on to where they were going.
template <Family F>
Worker::Found<F> Worker::create_bypass(const VirtualService& service, const FlowKey<F>& flow, uint32_t mark) {
  const ConnectionIndex index = lane<F>().table.allocate();
  if (index == kNoConnection) return {};
  Connection<F>& entry = lane<F>().table.entry(index);
  entry.forward = flow.tuple;
  entry.reply = flow.tuple.reversed();
  entry.protocol = flow.protocol;
  entry.server = Shared::kBypassSlot;
  entry.flags |= static_cast<uint32_t>(ForwardingMethod::kBypass) | kFlagInactive | kFlagNoOutput;
  entry.route_epoch = route_epoch_ - 1;
  return insert_connection<F>(index, service, kNoTemplate, mark);
}

template <Family F>
Worker::Found<F> Worker::insert_connection(ConnectionIndex index, const VirtualService& service,
                                           TemplateIndex controlling, uint32_t mark) {
  Lane<F>& lane = this->lane<F>();
  Connection<F>& entry = lane.table.entry(index);
  entry.deadline = now_ + seconds_to_ticks(kFreshTimeoutSeconds);
  if (controlling != kNoTemplate) entry.flags |= kFlagControlled;
  if (!lane.table.insert(index)) {
    lane.table.release(index);
    return {};
  }
  ConnectionRecord& record = lane.table.record(index);
  record.service = service.slot;
  record.controlling = controlling;
  record.fwmark = mark;
  record.created = now_;
  lane.wheel->arm(index, entry.deadline);
  count_connections();

  if (entry.method() != ForwardingMethod::kBypass) {
    ServiceCounters& of_service = service_counters_[service.slot];
    ++of_service.connections;
    if (of_service.in_total && !std::exchange(place_taken_, false)) [[unlikely]]
      shared_.services[service.slot].connections.fetch_add(1, std::memory_order_relaxed);
  }
  ServerCounters& counters = server_counters_[entry.server];
  ++counters.connections;
  ++counters.inactive;
  counters.opened += (entry.flags & kFlagUnanswered) != 0;
  if (counters.in_totals) {
    __atomic_fetch_add(&shared_.totals[entry.server].inactive, 1, __ATOMIC_RELAXED);
    shared_.totals_changed(entry.server);
  }
  return {&entry, index, false};
}

// What stands for the entry of a packet whose flow has none.
template <Family F>
Connection<F> Worker::passing_entry(const Choice& choice, const FlowKey<F>& flow) const {
  Connection<F> entry;
  fill(entry, choice, flow);
  return entry;
}

// One-packet scheduling: the entry exists only while the datagram is handled, so replies find none.
template <Family F>
void Worker::forward_once(rte_mbuf* packet, PacketView<F>& view, const Choice& choice) {
  Connection<F> entry = passing_entry(choice, view.key);
  ServerCounters& counters = server_counters_[entry.server];
  ++counters.connections;
  ++counters.in_packets;
  counters.in_bytes += view.total_length;
  forward_to_server(packet, view, entry);
  give_back(entry.server, choice.controlling);
}

// A packet of a flow that has no entry: nobody knows how many of these there are, so they are no connections.
template <Family F>
void Worker::forward_without_entry(rte_mbuf* packet, PacketView<F>& view, const RealServer& server) {
  Connection<F> entry = passing_entry(Choice{.server = &server}, view.key);
  ServerCounters& counters = server_counters_[entry.server];
  ++counters.in_packets;
  counters.in_bytes += view.total_length;
  ++counters_.stateless;
  forward_to_server(packet, view, entry);
}

// What its server and its template know of it.
template <Family F>
void Worker::leave_server(ConnectionIndex index) {
  Lane<F>& lane = this->lane<F>();
  const Connection<F>& entry = lane.table.entry(index);
  ServerCounters& counters = server_counters_[entry.server];
  const bool active = entry.is_active();
  --(active ? counters.active : counters.inactive);
  if (counters.in_totals) {
    LoadView::Line& totals = shared_.totals[entry.server];
    __atomic_fetch_sub(active ? &totals.active : &totals.inactive, 1, __ATOMIC_RELAXED);
  }
  const ConnectionRecord& record = lane.table.record(index);
  give_back(entry.server, record.controlling);
  if (entry.server < Shared::kFirstSpecialSlot) leave_service(record.service);
}

void Worker::leave_service(ServiceSlot service) {
  ServiceCounters& counters = service_counters_[service];
  --counters.connections;
  if (counters.in_total) [[unlikely]]
    shared_.services[service].connections.fetch_sub(1, std::memory_order_relaxed);
}

template <Family F>
void Worker::end_connection(ConnectionIndex index) {
  Lane<F>& lane = this->lane<F>();
  leave_server<F>(index);
  lane.wheel->disarm(index);
  lane.table.remove(index);
  lane.table.release(index);
  count_connections();
}

void Worker::count_connections() {
  __atomic_store_n(&live_connections_, lane4_.table.size() + lane6_.table.size(), __ATOMIC_RELAXED);
}

template <Family F>
void Worker::assure_template(Connection<F>& entry) {
  entry.flags |= kFlagAssured;
  Lane<F>& lane = this->lane<F>();
  shared_.templates->assure(lane.table.record(lane.table.index_of(entry)).controlling);
}

#define INSTANTIATE(F)                                                                                         \
  template TemplateKey Worker::template_key(const VirtualService&, const FlowKey<F>&, uint32_t);               \
  template Worker::Choice Worker::choose_server(const VirtualService&, const FlowKey<F>&, uint32_t);           \
  template Worker::Found<F> Worker::create_connection(const VirtualService&, const Choice&, const FlowKey<F>&, \
                                                      uint32_t);                                               \
  template Worker::Found<F> Worker::create_bypass(const VirtualService&, const FlowKey<F>&, uint32_t);         \
  template Connection<F> Worker::passing_entry(const Choice&, const FlowKey<F>&) const;                        \
  template void Worker::forward_once(rte_mbuf*, PacketView<F>&, const Choice&);                                \
  template void Worker::forward_without_entry(rte_mbuf*, PacketView<F>&, const RealServer&);                   \
  template void Worker::end_connection<F>(ConnectionIndex);                                                    \
  template void Worker::leave_server<F>(ConnectionIndex);                                                      \
  template void Worker::assure_template(Connection<F>&)
INSTANTIATE(Family::kIpv4);
INSTANTIATE(Family::kIpv6);

}  // namespace fulcrum
