// SPDX-License-Identifier: Apache-2.0
// The first packet of a connection: which server, by persistence or by the scheduler, and the making and ending of the
// entry with all that is counted of it.
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

// LVS: an FTP service's template covers control and data connections, a port-0 service's every port.
TemplateKey template_key(const VirtualService& service, const FlowKey<Family::kIpv4>& flow) {
  TemplateKey key;
  key.client = masked(Address::from(flow.tuple.source), service.persistence_prefix);
  key.vip = Address::from(flow.tuple.destination);
  key.protocol = flow.protocol;
  const uint16_t port = flow.tuple.destination_port.host();
  key.port = port == service.key.port && port != kFtpControlPort ? port : 0;
  return key;
}

}  // namespace

Worker::Choice Worker::choose_server(const VirtualService& service, const PacketView& view) {
  const be16 port = view.key.tuple.destination_port;
  const bool is_service_port = port.host() == service.key.port;
  Choice choice;
  if (service.persistence_timeout_s == 0) {
    if (!is_service_port) return choice;
    choice.server = schedule(service, view);
    choice.port = port;
    if (choice.server != nullptr && choice.server->key.port != 0)
      choice.port = be16::from_host(choice.server->key.port);
    return choice;
  }

  const TemplateKey key = template_key(service, view.key);
  const auto is_usable = [&](ServerSlot slot) {
    return shared_.servers[slot].available.load(std::memory_order_relaxed) && service.find(slot) >= 0;
  };
  const auto choose = [&]() -> TemplateTable::Choice {
    const RealServer* server = schedule(service, view);
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
  }
  const bool translates = is_service_port && choice.server->key.port != 0;
  choice.port = translates ? be16::from_host(choice.server->key.port) : port;
  return choice;
}

const RealServer* Worker::schedule(const VirtualService& service, const PacketView& view) {
  if (service.rules == nullptr) return nullptr;
  const auto& tuple = view.key.tuple;
  const ScheduleRequest request{Address::from(tuple.source), Address::from(tuple.destination),
                                tuple.source_port.host()};
  for (size_t tries = 0; tries <= service.servers.size(); ++tries) {
    const int chosen =
        service.rules->choose(scheduler_states_[service.slot], service, LoadView(shared_.totals), request);
    if (chosen < 0) return nullptr;
    const RealServer& server = service.servers[static_cast<size_t>(chosen)];
    // Another worker may have taken the last place: the server is overloaded now, and another is chosen.
    if (!server_counters_[server.slot].in_totals ||
        take_place(shared_.totals[server.slot], shared_.servers[server.slot].thresholds()))
      return &server;
  }
  return nullptr;
}

// The place that was taken for a connection, and its hold on a template, are given back.
void Worker::give_back(ServerSlot slot, TemplateIndex controlling) {
  if (server_counters_[slot].in_totals) leave_place(shared_.totals[slot], shared_.servers[slot].thresholds());
  if (controlling != kNoTemplate) shared_.templates->let_go(controlling);
}

void Worker::fill(Table::Entry& entry, const Choice& choice, const PacketView& view) const {
  const RealServer& server = *choice.server;
  entry.forward = view.key.tuple;
  entry.reply = view.key.tuple.reversed();
  entry.protocol = view.key.protocol;
  entry.server = server.slot;
  entry.flags |= static_cast<uint32_t>(server.method) | kFlagInactive;
  if (server.method == ForwardingMethod::kNat) {
    entry.reply.source = server.key.address.v4();
    entry.reply.source_port = choice.port;
  } else {
    entry.flags |= kFlagNoOutput;
  }
  entry.route_epoch = route_epoch_ - 1;
}

Worker::Table::Found Worker::create_connection(const VirtualService& service, const Choice& choice,
                                               const PacketView& view) {
  const ServerSlot slot = choice.server->slot;
  const ConnectionIndex index = table_.allocate();
  if (index == kNoConnection) {
    give_back(slot, choice.controlling);
    return {};
  }
  Table::Entry& entry = table_.entry(index);
  fill(entry, choice, view);
  entry.deadline = now_ + seconds_to_ticks(kFreshTimeoutSeconds);
  if (choice.controlling != kNoTemplate) entry.flags |= kFlagControlled;
  if (!table_.insert(index)) {
    table_.release(index);
    give_back(slot, choice.controlling);
    return {};
  }
  ConnectionRecord& record = table_.record(index);
  record.service = service.slot;
  record.controlling = choice.controlling;
  record.created = now_;
  wheel_->arm(index, entry.deadline);
  __atomic_store_n(&live_connections_, table_.size(), __ATOMIC_RELAXED);

  ServerCounters& counters = server_counters_[slot];
  ++counters.connections;
  ++counters.inactive;
  if (counters.in_totals) __atomic_fetch_add(&shared_.totals[slot].inactive, 1, __ATOMIC_RELAXED);
  return {&entry, index, false};
}

// One-packet scheduling: the entry exists only while the datagram is handled, so replies find none.
void Worker::forward_once(rte_mbuf* packet, PacketView& view, const Choice& choice) {
  Table::Entry entry;
  fill(entry, choice, view);
  ServerCounters& counters = server_counters_[entry.server];
  ++counters.connections;
  ++counters.in_packets;
  counters.in_bytes += view.total_length;
  forward_to_server(packet, view, entry);
  give_back(entry.server, choice.controlling);
}

void Worker::end_connection(ConnectionIndex index) {
  Table::Entry& entry = table_.entry(index);
  ServerCounters& counters = server_counters_[entry.server];
  const bool active = entry.is_active();
  --(active ? counters.active : counters.inactive);
  if (counters.in_totals) {
    LoadView::Line& totals = shared_.totals[entry.server];
    __atomic_fetch_sub(active ? &totals.active : &totals.inactive, 1, __ATOMIC_RELAXED);
  }
  give_back(entry.server, table_.record(index).controlling);
  wheel_->disarm(index);
  table_.remove(index);
  table_.release(index);
  __atomic_store_n(&live_connections_, table_.size(), __ATOMIC_RELAXED);
}

void Worker::assure_template(Table::Entry& entry) {
  entry.flags |= kFlagAssured;
  shared_.templates->assure(table_.record(table_.index_of(entry)).controlling);
}

}  // namespace fulcrum
