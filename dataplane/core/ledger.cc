// SPDX-License-Identifier: Apache-2.0
#include "core/ledger.h"

#include <algorithm>

#include "service/destination_cache.h"

namespace fulcrum {

CounterValues& CounterValues::operator+=(const CounterValues& other) {
  connections += other.connections;
  in_packets += other.in_packets;
  in_bytes += other.in_bytes;
  out_packets += other.out_packets;
  out_bytes += other.out_bytes;
  return *this;
}

CounterValues& CounterValues::operator-=(const CounterValues& other) {
  connections -= other.connections;
  in_packets -= other.in_packets;
  in_bytes -= other.in_bytes;
  out_packets -= other.out_packets;
  out_bytes -= other.out_bytes;
  return *this;
}

RefusalValues& RefusalValues::operator+=(const RefusalValues& other) {
  denied += other.denied;
  over_limit += other.over_limit;
  over_rate += other.over_rate;
  return *this;
}

RefusalValues& RefusalValues::operator-=(const RefusalValues& other) {
  denied -= other.denied;
  over_limit -= other.over_limit;
  over_rate -= other.over_rate;
  return *this;
}

AnswerValues& AnswerValues::operator+=(const AnswerValues& other) {
  opened += other.opened;
  answered += other.answered;
  reset += other.reset;
  return *this;
}

AnswerValues& AnswerValues::operator-=(const AnswerValues& other) {
  opened -= other.opened;
  answered -= other.answered;
  reset -= other.reset;
  return *this;
}

Ledger::Ledger(Shared& shared, std::vector<std::unique_ptr<Worker>>& workers) : shared_(shared), workers_(workers) {}

std::optional<ServiceSlot> Ledger::slot_of(const ServiceKey& service) {
  if (const auto known = services_.find(service); known != services_.end()) return known->second.slot;
  ServiceSlot slot;
  if (!free_service_slots_.empty()) {
    slot = free_service_slots_.back();
    free_service_slots_.pop_back();
  } else if (next_service_slot_ < Shared::kServiceSlots) {
    slot = next_service_slot_++;
  } else {
    return std::nullopt;
  }
  services_[service].slot = slot;
  gone_services_.push_back(service);  // until it is published, for the case that it never is
  return slot;
}

std::optional<ServiceSlot> Ledger::known_slot_of(const ServiceKey& service) const {
  const auto known = services_.find(service);
  return known != services_.end() ? std::optional(known->second.slot) : std::nullopt;
}

ServerSlot Ledger::slot_of(const ServiceKey& service, const ServerKey& server) {
  ServiceRecord& record = services_.at(service);
  if (const auto known = record.servers.find(server); known != record.servers.end()) return known->second;
  const ServerSlot slot = take_slot(service, server);
  if (slot == kNoSlot) return kNoSlot;
  shared_.servers[slot].service = record.slot;
  record.servers.emplace(server, slot);
  put_in_trash(slot);  // until it is published
  return slot;
}

ServerSlot Ledger::take_slot(const ServiceKey& service, const ServerKey& server) {
  ServerSlot slot;
  if (!free_slots_.empty()) {
    slot = free_slots_.back();
    free_slots_.pop_back();
  } else if (servers_.size() < Shared::kFirstSpecialSlot) {
    slot = static_cast<ServerSlot>(servers_.size());
    servers_.emplace_back();
  } else {
    return kNoSlot;
  }
  ServerRecord& made = servers_[slot];
  made = ServerRecord{};
  made.service = service;
  made.key = server;
  made.used = true;
  ServerLine& line = shared_.servers[slot];
  line.address = server.address;
  line.port = server.port;
  line.path_mtu.store(0, std::memory_order_relaxed);
  return slot;
}

ServerSlot Ledger::take_check_slot(const RealServer& server) {
  const ServerSlot slot = take_slot(ServiceKey{}, server.key);
  if (slot == kNoSlot) return kNoSlot;
  servers_[slot].live = true;
  ServerLine& line = shared_.servers[slot];
  line.service = 0;
  line.weight.store(1, std::memory_order_relaxed);
  line.tunnel.store(server.tunnel, std::memory_order_relaxed);
  line.upper.store(0, std::memory_order_relaxed);
  line.lower.store(0, std::memory_order_relaxed);
  line.available.store(true, std::memory_order_relaxed);
  return slot;
}

void Ledger::edit_check_slot(const RealServer& server) {
  shared_.servers[server.slot].tunnel.store(server.tunnel, std::memory_order_relaxed);
}

void Ledger::return_check_slot(ServerSlot slot) {
  servers_[slot].live = false;
  shared_.servers[slot].available.store(false, std::memory_order_relaxed);
  put_in_trash(slot);
}

bool Ledger::enter(const RealServer& server) {
  ServerRecord& record = servers_[server.slot];
  record.was_nat |= server.method == ForwardingMethod::kNat;
  ServerLine& line = shared_.servers[server.slot];
  const uint32_t upper = line.upper.load(std::memory_order_relaxed);
  const bool same = record.live && line.weight.load(std::memory_order_relaxed) == server.weight &&
                    line.tunnel.load(std::memory_order_relaxed) == server.tunnel && upper == server.upper_threshold &&
                    line.lower.load(std::memory_order_relaxed) == server.lower_threshold;
  if (same) return false;
  line.weight.store(server.weight, std::memory_order_relaxed);
  line.tunnel.store(server.tunnel, std::memory_order_relaxed);
  edit_upper_threshold(shared_.totals[server.slot], upper, server.upper_threshold);
  shared_.totals_changed(server.slot);
  line.upper.store(server.upper_threshold, std::memory_order_relaxed);
  line.lower.store(server.lower_threshold, std::memory_order_relaxed);
  line.available.store(true, std::memory_order_relaxed);
  return !record.live;
}

// Read where a SYN passes, by the server that it belongs to.
void Ledger::enter_segment_limit(const VirtualService& service) {
  const uint16_t limit = service.traffic == nullptr ? kNoSegmentLimit : service.traffic->policy.mss;
  for (const RealServer& server : service.servers)
    shared_.servers[server.slot].segment_limit.store(limit, std::memory_order_relaxed);
}

std::vector<ServerSlot> Ledger::settle(const Services& before, const Services& after) {
  std::vector<ServerSlot> left;
  for (const auto& service : before) {
    for (const RealServer& server : service->servers) {
      if (!std::exchange(servers_[server.slot].live, false)) continue;
      left.push_back(server.slot);
    }
  }
  for (const auto& service : after) {
    for (const RealServer& server : service->servers) {
      servers_[server.slot].live = true;
      servers_[server.slot].unreferenced_since_ms = 0;
    }
  }
  std::erase_if(left, [this](ServerSlot slot) { return servers_[slot].live; });
  for (const ServerSlot slot : left) {
    shared_.servers[slot].available.store(false, std::memory_order_relaxed);
    put_in_trash(slot);
  }
  for (const auto& service : before) gone_services_.push_back(service->key);
  return left;
}

void Ledger::begin(const ServiceKey& service) {
  ServiceRecord& record = services_.at(service);
  record.base = record.estimated_base = raw(record);
  record.refusals_base = refusals(record.slot);
  record.estimator = Estimator<CounterValues>(record.base);
}

void Ledger::zero(const ServiceKey& service) { zero(services_.at(service)); }

void Ledger::zero_all() {
  for (auto& [key, record] : services_) zero(record);
}

void Ledger::zero(ServiceRecord& record) {
  record.base = raw(record);
  record.refusals_base = refusals(record.slot);
  record.estimated_base = record.estimator.counters();
  record.estimator.zero();
  for (const auto& [key, slot] : record.servers) {
    ServerRecord& server = servers_[slot];
    server.zero = raw(slot);
    server.answers_zero = answers(slot);
    server.estimated_zero = server.estimator.counters();
    server.estimator.zero();
  }
}

CounterValues Ledger::raw(ServerSlot slot) const {
  CounterValues sum;
  for (const auto& worker : workers_) {
    const ServerCounters& counters = worker->server_counters(slot);
    sum +=
        {__atomic_load_n(&counters.connections, __ATOMIC_RELAXED),
         __atomic_load_n(&counters.in_packets, __ATOMIC_RELAXED), __atomic_load_n(&counters.in_bytes, __ATOMIC_RELAXED),
         __atomic_load_n(&counters.out_packets, __ATOMIC_RELAXED),
         __atomic_load_n(&counters.out_bytes, __ATOMIC_RELAXED)};
  }
  return sum;
}

CounterValues Ledger::raw(const ServiceRecord& record) const {
  CounterValues sum = record.gone;
  for (const auto& [server, slot] : record.servers) sum += raw(slot);
  return sum;
}

RefusalValues Ledger::refusals(ServiceSlot slot) const {
  RefusalValues sum;
  for (const auto& worker : workers_) {
    const ServiceCounters& counters = worker->service_counters(slot);
    sum +=
        {__atomic_load_n(&counters.denied, __ATOMIC_RELAXED), __atomic_load_n(&counters.over_limit, __ATOMIC_RELAXED),
         __atomic_load_n(&counters.over_rate, __ATOMIC_RELAXED)};
  }
  return sum;
}

AnswerValues Ledger::answers(ServerSlot slot) const {
  AnswerValues sum;
  for (const auto& worker : workers_) {
    const ServerCounters& counters = worker->server_counters(slot);
    sum += {__atomic_load_n(&counters.opened, __ATOMIC_RELAXED), __atomic_load_n(&counters.answered, __ATOMIC_RELAXED),
            __atomic_load_n(&counters.reset, __ATOMIC_RELAXED)};
  }
  return sum;
}

ServiceStatistics Ledger::statistics(const VirtualService& service, bool estimated) const {
  ServiceStatistics of;
  of.key = service.key;
  const ServiceRecord& record = services_.at(service.key);
  of.counters = estimated ? record.estimator.counters() : raw(record);
  of.counters -= estimated ? record.estimated_base : record.base;
  of.rates = record.estimator.rates();
  of.refusals = refusals(record.slot);
  of.refusals -= record.refusals_base;
  for (const auto& worker : workers_)
    of.open += __atomic_load_n(&worker->service_counters(record.slot).connections, __ATOMIC_RELAXED);
  of.servers.reserve(service.servers.size());
  for (auto server = service.servers.rbegin(); server != service.servers.rend(); ++server) {
    ServerStatistics one;
    one.key = server->key;
    const ServerRecord& slot = servers_[server->slot];
    one.counters = estimated ? slot.estimator.counters() : raw(server->slot);
    one.counters -= estimated ? slot.estimated_zero : slot.zero;
    one.rates = slot.estimator.rates();
    one.answers = answers(server->slot);
    one.answers -= slot.answers_zero;
    one.persistent = shared_.servers[server->slot].persistent.load(std::memory_order_relaxed);
    for (const auto& worker : workers_) {
      const ServerCounters& counters = worker->server_counters(server->slot);
      one.active += __atomic_load_n(&counters.active, __ATOMIC_RELAXED);
      one.inactive += __atomic_load_n(&counters.inactive, __ATOMIC_RELAXED);
    }
    of.servers.push_back(one);
  }
  return of;
}

void Ledger::estimate(const Snapshot& current, uint64_t now_ms) {
  constexpr uint64_t kPeriodMs = Estimator<CounterValues>::kPeriodMs;
  constexpr uint64_t kMostRuns = 64;  // then every rate is 0, whatever the clock did
  if (current.tunables.run_estimation == 0 || now_ms - estimated_at_ms_ > kMostRuns * kPeriodMs)
    estimated_at_ms_ = now_ms - now_ms % kPeriodMs - (current.tunables.run_estimation == 0 ? 0 : kPeriodMs);
  for (; now_ms - estimated_at_ms_ >= kPeriodMs; estimated_at_ms_ += kPeriodMs) {
    for (const auto& service : current.services) {
      ServiceRecord& record = services_.at(service->key);
      record.estimator.update(raw(record));
      for (const RealServer& server : service->servers) servers_[server.slot].estimator.update(raw(server.slot));
    }
  }
}

void Ledger::put_in_trash(ServerSlot slot) {
  if (!std::exchange(servers_[slot].in_trash, true)) trash_.push_back(slot);
}

// By connections, templates, or destinations that a scheduler still connects with it.
bool Ledger::is_referred_to(const Snapshot& current, ServerSlot slot) const {
  if (shared_.servers[slot].persistent.load(std::memory_order_relaxed) != 0) return true;
  for (const auto& worker : workers_) {
    const ServerCounters& counters = worker->server_counters(slot);
    if (__atomic_load_n(&counters.active, __ATOMIC_RELAXED) != 0) return true;
    if (__atomic_load_n(&counters.inactive, __ATOMIC_RELAXED) != 0) return true;
  }
  const VirtualService* service = current.find_exactly(servers_[slot].service);
  return service != nullptr && service->destinations != nullptr && service->destinations->references(slot) != 0;
}

void Ledger::forget(ServerSlot slot) {
  ServerRecord& record = servers_[slot];
  // One for checks is in no service.
  if (const auto service = services_.find(record.service); service != services_.end()) {
    service->second.gone += raw(slot);
    service->second.servers.erase(record.key);
  }
  for (const auto& worker : workers_) worker->clear_server_counters(slot);
  shared_.totals[slot] = {};
  shared_.totals_changed(slot);
  forgotten_nat_ |= record.was_nat;
  record = ServerRecord{};
  free_slots_.push_back(slot);
}

void Ledger::empty_trash(const Snapshot& current, uint64_t now_ms) {
  std::erase_if(trash_, [&](ServerSlot slot) {
    ServerRecord& record = servers_[slot];
    if (record.live) {
      record.in_trash = false;
      return true;
    }
    if (is_referred_to(current, slot)) {
      record.unreferenced_since_ms = 0;
    } else if (record.unreferenced_since_ms == 0) {
      record.unreferenced_since_ms = now_ms;
    } else if (now_ms - record.unreferenced_since_ms >= kTrashMs) {
      forget(slot);
      return true;
    }
    return false;
  });
  forget_services(current);
}

void Ledger::forget_services(const Snapshot& current) {
  std::erase_if(gone_services_, [&](const ServiceKey& key) {
    const auto found = services_.find(key);
    if (found == services_.end() || current.find_exactly(key) != nullptr) return true;
    if (!found->second.servers.empty()) return false;
    free_service_slots_.push_back(found->second.slot);
    services_.erase(found);
    return true;
  });
}

}  // namespace fulcrum
