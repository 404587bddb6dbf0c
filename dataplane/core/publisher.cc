// SPDX-License-Identifier: Apache-2.0
#include "core/publisher.h"

#include <rte_rcu_qsbr.h>
#include <time.h>

#include <algorithm>
#include <set>

#include "service/destination_cache.h"
#include "service/spread.h"

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

namespace {

OperationResult refused(Reason reason, std::string field, std::string message) {
  return {reason, std::move(field), std::move(message)};
}

std::string text_of(const ServiceKey& key) {
  if (key.fwmark != 0)
    return "fwmark " + std::to_string(key.fwmark) + (key.address.family == Family::kIpv6 ? " (IPv6)" : "");
  const char* protocol = key.protocol == IpProtocol::kTcp   ? "tcp:"
                         : key.protocol == IpProtocol::kUdp ? "udp:"
                                                            : "sctp:";
  const std::string address = key.address.text();
  return protocol + (key.address.family == Family::kIpv6 ? "[" + address + "]" : address) + ":" +
         std::to_string(key.port);
}

ServiceSettings settings_of(const VirtualService& service) {
  return {service.scheduler, service.scheduler_flags, service.persistence_timeout_s, service.persistence_prefix,
          service.one_packet};
}

// What makes no sense of a service; the API refuses it with its own words before.
std::optional<OperationResult> invalid_service(const ServiceKey& key, const ServiceSettings& settings) {
  if (key.address.family == Family::kNone) return refused(Reason::kInvalid, "key.address", "no address family");
  if (key.fwmark != 0) return std::nullopt;
  if (key.protocol != IpProtocol::kTcp && key.protocol != IpProtocol::kUdp && key.protocol != IpProtocol::kSctp)
    return refused(Reason::kInvalid, "key.protocol", "TCP, UDP or SCTP");
  if (key.port == 0 && settings.persistence_timeout_s == 0)
    return refused(Reason::kInvalid, "key.port", "port 0 needs persistence");
  return std::nullopt;
}

std::optional<OperationResult> invalid_server(const ServiceKey& service, const RealServer& server) {
  const Address& address = server.key.address;
  if (!address.is_unicast())
    return refused(Reason::kInvalid, "key.address", address.text() + " is not a unicast address");
  // LVS: only a tunnel can carry one family in the other.
  if (address.family != service.address.family && server.method != ForwardingMethod::kTun)
    return refused(Reason::kFamilyMismatch, "key.address", "another address family than the service's");
  if (server.lower_threshold > server.upper_threshold)
    return refused(Reason::kOutOfRange, "spec.lower_threshold", "above spec.upper_threshold");
  if (server.tunnel.type == TunnelType::kGue && server.tunnel.port == 0)
    return refused(Reason::kInvalid, "spec.tunnel_port", "GUE needs a port");
  return std::nullopt;
}

}  // namespace

// The configuration while it is being edited.
struct Publisher::Draft {
  std::vector<std::shared_ptr<const VirtualService>> services;
  std::unordered_map<ServiceKey, uint32_t, ServiceKeyHash> position;
  // Services that are being edited; their place in `services` holds what they were, or null for a new one.
  std::unordered_map<ServiceKey, std::unique_ptr<Open>, ServiceKeyHash> open;
  std::map<std::string, VipSettings> vips;
  Timeouts timeouts;
  Tunables tunables;
  std::shared_ptr<const std::vector<MarkRule>> marks;
  bool services_changed = false;
  bool servers_changed = false;
  bool vips_changed = false;
  std::vector<std::function<void()>> on_success;
};

Publisher::Publisher(Shared& shared, std::vector<std::unique_ptr<Worker>>& workers,
                     std::shared_ptr<const Network> network)
    : shared_(shared), workers_(workers) {
  auto first = std::make_unique<Snapshot>();
  first->version = 1;
  first->network = std::move(network);
  first->marks = std::make_shared<const std::vector<MarkRule>>();
  // Never deleted, in no service: see Shared.
  shared_.servers[Shared::kBypassSlot].available.store(true, std::memory_order_relaxed);
  current_ = std::move(first);
  rebuild_tables(const_cast<Snapshot&>(*current_), true, true);
  shared_.snapshot.store(current_.get(), std::memory_order_release);
}

Publisher::~Publisher() { shared_.snapshot.store(nullptr, std::memory_order_release); }

std::vector<OperationResult> Publisher::apply(const std::vector<Operation>& operations, bool atomic,
                                              AnnouncementChange& change) {
  Draft draft;
  draft.services = current_->services;
  draft.vips = vips_;
  draft.timeouts = timeouts_;
  draft.tunables = current_->tunables;
  draft.marks = current_->marks;
  draft.position.reserve(draft.services.size());
  for (uint32_t i = 0; i < draft.services.size(); ++i) draft.position.emplace(draft.services[i]->key, i);

  std::vector<OperationResult> results;
  results.reserve(operations.size());
  for (const Operation& operation : operations) {
    results.push_back(carry_out(draft, operation));
    if (atomic && results.back().reason != Reason::kDone) return results;
  }
  publish(draft, change);
  return results;
}

OperationResult Publisher::carry_out(Draft& draft, const Operation& operation) {
  switch (operation.kind) {
    case Operation::Kind::kAddService:
      return add_service(draft, operation);
    case Operation::Kind::kEditService:
      return edit_service(draft, operation);
    case Operation::Kind::kDeleteService:
      return delete_service(draft, operation.service);
    case Operation::Kind::kAddServer:
    case Operation::Kind::kEditServer:
    case Operation::Kind::kDeleteServer:
      return edit_server(draft, operation);
    case Operation::Kind::kFlush:
      draft.services.clear();
      draft.position.clear();
      draft.open.clear();
      draft.services_changed = draft.servers_changed = true;
      return {};
    case Operation::Kind::kZero:
      return zero(draft, operation);
    case Operation::Kind::kSetTimeouts:
      draft.timeouts.set(operation.timeouts);
      return {};
    case Operation::Kind::kSetTunables:
      operation.tunables.apply_to(draft.tunables);
      return {};
    case Operation::Kind::kSetMarkRules:
      draft.marks = std::make_shared<const std::vector<MarkRule>>(operation.marks);
      return {};
    case Operation::Kind::kSetVip:
      return set_vip(draft, operation.vip);
    case Operation::Kind::kDeleteVip:
      if (draft.vips.erase(operation.vip.text()) == 0)
        return refused(Reason::kVipNotFound, "delete_vip", operation.vip.text() + " was not declared");
      draft.vips_changed = true;
      return {};
  }
  return refused(Reason::kInvalid, "action", "unknown operation");
}

OperationResult Publisher::add_service(Draft& draft, const Operation& operation) {
  const ServiceKey& key = operation.service;
  if (auto invalid = invalid_service(key, operation.settings)) return *invalid;
  if (draft.position.contains(key)) return refused(Reason::kServiceExists, "key", text_of(key) + " exists already");
  const Scheduler* rules = find_scheduler(operation.settings.scheduler);
  if (rules == nullptr)
    return refused(Reason::kSchedulerNotFound, "spec.scheduler",
                   "no scheduler is named \"" + operation.settings.scheduler + "\"");
  auto [record, is_new] = records_.try_emplace(key);
  if (is_new) {
    if (next_service_slot_ == Shared::kServiceSlots) {
      records_.erase(record);
      return refused(Reason::kNoRoom, "key", "no room for another service");
    }
    record->second.slot = next_service_slot_++;
  }
  auto opened = std::make_unique<Open>();
  VirtualService& service = opened->service;
  service.key = key;
  service.slot = record->second.slot;
  service.scheduler = operation.settings.scheduler;
  service.rules = rules;
  service.scheduler_flags = operation.settings.scheduler_flags;
  service.persistence_timeout_s = operation.settings.persistence_timeout_s;
  service.persistence_prefix = operation.settings.persistence_prefix;
  service.one_packet = operation.settings.one_packet;
  start_scheduler(service, next_epoch_++);
  opened->edits = std::make_unique<EditList>(service);
  draft.position.emplace(key, static_cast<uint32_t>(draft.services.size()));
  draft.services.push_back(nullptr);
  draft.open[key] = std::move(opened);
  draft.services_changed = draft.servers_changed = true;
  // A new service object counts from zero, whatever servers in the trash bring back.
  draft.on_success.push_back([this, key] {
    ServiceRecord& at = records_[key];
    at.base = at.estimated_base = raw(at);
    at.estimator = Estimator<CounterValues>(at.base);
  });
  return {};
}

Publisher::Open* Publisher::open(Draft& draft, const ServiceKey& key) {
  const auto position = draft.position.find(key);
  if (position == draft.position.end()) return nullptr;
  auto& opened = draft.open[key];
  if (opened == nullptr) {
    opened = std::make_unique<Open>();
    opened->service = next_generation(*draft.services[position->second]);
    opened->edits = std::make_unique<EditList>(opened->service);
  }
  return opened.get();
}

OperationResult Publisher::edit_service(Draft& draft, const Operation& operation) {
  const Scheduler* rules = find_scheduler(operation.settings.scheduler);
  if (!draft.position.contains(operation.service))
    return refused(Reason::kServiceNotFound, "key", text_of(operation.service) + " does not exist");
  if (rules == nullptr)
    return refused(Reason::kSchedulerNotFound, "spec.scheduler",
                   "no scheduler is named \"" + operation.settings.scheduler + "\"");
  Open& opened = *open(draft, operation.service);
  VirtualService& service = opened.service;
  // LVS keeps the scheduler's state when its name stays; another one starts from today's list.
  if (service.rules != rules) {
    opened.edits.reset();
    service.scheduler = operation.settings.scheduler;
    service.rules = rules;
    start_scheduler(service, next_epoch_++);
    opened.edits = std::make_unique<EditList>(service);
  }
  service.scheduler_flags = operation.settings.scheduler_flags;
  service.persistence_timeout_s = operation.settings.persistence_timeout_s;
  service.persistence_prefix = operation.settings.persistence_prefix;
  service.one_packet = operation.settings.one_packet;
  return {};
}

OperationResult Publisher::delete_service(Draft& draft, const ServiceKey& key) {
  const auto found = draft.position.find(key);
  if (found == draft.position.end()) return refused(Reason::kServiceNotFound, "key", text_of(key) + " does not exist");
  const uint32_t removed = found->second;
  draft.position.erase(found);
  draft.open.erase(key);
  draft.services.erase(draft.services.begin() + removed);
  for (auto& [other, position] : draft.position)
    if (position > removed) --position;
  draft.services_changed = draft.servers_changed = true;
  return {};
}

OperationResult Publisher::edit_server(Draft& draft, const Operation& operation) {
  const ServiceKey& service_key = operation.service;
  const ServerKey& key = operation.server.key;
  if (!draft.position.contains(service_key))
    return refused(Reason::kServiceNotFound, "service", text_of(service_key) + " does not exist");
  EditList& edits = *open(draft, service_key)->edits;
  const std::string name = key.address.text() + ":" + std::to_string(key.port);
  if (operation.kind == Operation::Kind::kDeleteServer) {
    draft.servers_changed = true;
    if (edits.remove(key) == EditResult::kDone) return {};
    return refused(Reason::kServerNotFound, "key", name + " is not a server of " + text_of(service_key));
  }
  if (auto invalid = invalid_server(service_key, operation.server)) return *invalid;
  RealServer server = operation.server;
  if (operation.kind == Operation::Kind::kEditServer) {
    // A changed method may change what steering must know.
    draft.servers_changed = true;
    const RealServer* old = edits.find(key);
    if (old == nullptr)
      return refused(Reason::kServerNotFound, "key", name + " is not a server of " + text_of(service_key));
    server.slot = old->slot;
    edits.edit(server);
    return {};
  }
  if (edits.find(key) != nullptr)
    return refused(Reason::kServerExists, "key", name + " is a server of " + text_of(service_key) + " already");
  server.slot = slot_for(service_key, key);
  if (server.slot == kNoSlot) return refused(Reason::kNoRoom, "key", "no room for another real server");
  edits.add(server);
  draft.servers_changed = true;
  return {};
}

OperationResult Publisher::zero(Draft& draft, const Operation& operation) {
  if (!operation.all_services && !draft.position.contains(operation.service))
    return refused(Reason::kServiceNotFound, "zero.service", text_of(operation.service) + " does not exist");
  draft.on_success.push_back([this, operation] {
    for (auto& [key, record] : records_) {
      if (!operation.all_services && !(key == operation.service)) continue;
      record.base = raw(record);
      record.estimated_base = record.estimator.counters();
      record.estimator.zero();
      for (const auto& [server, slot] : record.servers) {
        slots_[slot].zero = raw(slot);
        slots_[slot].estimated_zero = slots_[slot].estimator.counters();
        slots_[slot].estimator.zero();
      }
    }
  });
  return {};
}

OperationResult Publisher::set_vip(Draft& draft, const VipSettings& vip) {
  if (!vip.address.is_unicast())
    return refused(Reason::kInvalid, "set_vip.address", vip.address.text() + " is not a unicast address");
  VipSettings& declared = draft.vips[vip.text()];
  declared.address = vip.address;
  declared.prefix_length = vip.prefix_length;
  if (vip.announce) declared.announce = vip.announce;
  if (vip.state) declared.state = vip.state;
  draft.vips_changed = true;
  return {};
}

ServerSlot Publisher::slot_for(const ServiceKey& service, const ServerKey& server) {
  ServiceRecord& record = records_[service];
  if (const auto known = record.servers.find(server); known != record.servers.end()) return known->second;
  ServerSlot slot;
  if (!free_slots_.empty()) {
    slot = free_slots_.back();
    free_slots_.pop_back();
  } else if (slots_.size() < Shared::kBypassSlot) {
    slot = static_cast<ServerSlot>(slots_.size());
    slots_.emplace_back();
  } else {
    return kNoSlot;
  }
  slots_[slot] = SlotRecord{};
  slots_[slot].service = service;
  slots_[slot].server = server;
  slots_[slot].used = true;
  ServerLine& line = shared_.servers[slot];
  line.address = server.address;
  line.port = server.port;
  line.service = record.slot;
  line.path_mtu.store(0, std::memory_order_relaxed);
  record.servers.emplace(server, slot);
  return slot;
}

CounterValues Publisher::raw(ServerSlot slot) const {
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

CounterValues Publisher::raw(const ServiceRecord& record) const {
  CounterValues sum = record.gone;
  for (const auto& [server, slot] : record.servers) sum += raw(slot);
  return sum;
}

void Publisher::rebuild_tables(Snapshot& next, bool services_changed, bool servers_changed) {
  if (services_changed) {
    auto by_key = std::make_shared<FrozenMap<ServiceKey, uint32_t, ServiceKeyHash>>();
    by_key->reserve(next.services.size());
    for (uint32_t i = 0; i < next.services.size(); ++i) by_key->at(next.services[i]->key) = i;
    next.by_key = std::move(by_key);
    next.any_ftp_service = next.any_port_service = next.balances_v4 = next.balances_v6 = false;
    for (const auto& service : next.services) {
      (service->key.address.family == Family::kIpv4 ? next.balances_v4 : next.balances_v6) = true;
      if (service->key.fwmark != 0) continue;
      next.any_ftp_service |= service->key.port == kFtpControlPort;
      next.any_port_service |= service->key.port == 0;
    }

    auto local = std::make_shared<FrozenMap<Address, LocalAddress, AddressHash>>();
    size_t addresses = next.services.size() + vips_.size();
    for (const Interface& interface : next.network->interfaces()) addresses += interface.addresses.size();
    local->reserve(addresses);
    for (const Interface& interface : next.network->interfaces()) {
      for (const Prefix& own : interface.addresses) {
        LocalAddress& at = local->at(own.address);
        at.is_own = true;
        at.interface = interface.id;
      }
    }
    for (const auto& service : next.services)
      if (service->key.fwmark == 0) local->at(service->key.address).is_vip = true;
    auto prefixes = std::make_shared<std::vector<LocalPrefix>>();
    for (const auto& [text, vip] : vips_) {
      LocalAddress what;
      what.is_vip = true;
      what.announce = vip.announce.value_or(Announce::kArp);
      what.active = vip.state.value_or(VipState::kActive) == VipState::kActive;
      if (vip.prefix_length != 0) {
        prefixes->push_back({{vip.address, vip.prefix_length}, what});
        continue;
      }
      LocalAddress& at = local->at(vip.address);
      what.is_own = at.is_own;
      what.interface = at.interface;
      at = what;
    }
    std::stable_sort(prefixes->begin(), prefixes->end(),
                     [](const LocalPrefix& a, const LocalPrefix& b) { return a.prefix.length > b.prefix.length; });
    next.local_prefixes = std::move(prefixes);
    next.local = std::move(local);
  }
  if (servers_changed) {
    auto endpoints = std::make_shared<FrozenMap<ServerKey, ProtocolSet, ServerKeyHash>>();
    endpoints->reserve(slots_.size());
    next.nat_endpoints_any_port = false;
    for (const SlotRecord& slot : slots_) {
      if (!slot.used || !slot.was_nat) continue;
      endpoints->at(slot.server);
      next.nat_endpoints_any_port |= slot.server.port == 0;
    }
    for (const auto& service : next.services)
      for (const RealServer& server : service->servers)
        if (server.method == ForwardingMethod::kNat)
          if (ProtocolSet* of = endpoints->find_mutable(server.key)) of->add(service->key);
    next.nat_endpoints = std::move(endpoints);
  }
}

void Publisher::publish(Draft& draft, AnnouncementChange& change) {
  auto next = std::make_unique<Snapshot>();
  next->version = current_->version + 1;
  next->network = current_->network;
  next->by_key = current_->by_key;
  next->any_ftp_service = current_->any_ftp_service;
  next->any_port_service = current_->any_port_service;
  next->balances_v4 = current_->balances_v4;
  next->balances_v6 = current_->balances_v6;
  next->local = current_->local;
  next->local_prefixes = current_->local_prefixes;
  next->marks = draft.marks;
  next->tunables = draft.tunables;
  next->nat_endpoints = current_->nat_endpoints;
  next->nat_endpoints_any_port = current_->nat_endpoints_any_port;

  std::vector<bool> stays(slots_.size());
  next->services = std::move(draft.services);
  for (auto& [key, opened] : draft.open) {
    if (opened == nullptr) continue;
    opened->edits.reset();
    prepare_scheduler(opened->service);
    prepare_spread(opened->service);
    auto service = std::make_shared<const VirtualService>(std::move(opened->service));
    next->services[draft.position.at(key)] = service;
    next->changed.push_back(std::move(service));
  }
  for (const auto& service : next->changed) {
    for (const RealServer& server : service->servers) {
      SlotRecord& slot = slots_[server.slot];
      slot.was_nat |= server.method == ForwardingMethod::kNat;
      if (!slot.live) change.servers_added.push_back(server.key.address);
      ServerLine& line = shared_.servers[server.slot];
      line.weight.store(server.weight, std::memory_order_relaxed);
      line.tunnel.store(server.tunnel, std::memory_order_relaxed);
      edit_upper_threshold(shared_.totals[server.slot], line.upper.load(std::memory_order_relaxed),
                           server.upper_threshold);
      shared_.totals_changed(server.slot);
      line.upper.store(server.upper_threshold, std::memory_order_relaxed);
      line.lower.store(server.lower_threshold, std::memory_order_relaxed);
      line.available.store(true, std::memory_order_relaxed);
    }
  }
  vips_ = std::move(draft.vips);
  timeouts_ = draft.timeouts;
  next->timeouts = TimeoutTable(timeouts_);
  rebuild_tables(*next, draft.services_changed || draft.vips_changed, draft.servers_changed);
  for (const auto& cell : next->local->cells()) {
    if (!cell.used || !cell.value.is_vip || !cell.value.answers_arp()) continue;
    const LocalAddress* before = current_->local->find(cell.key);
    if (before == nullptr || !before->answers_arp()) change.became_active.push_back(cell.key);
  }
  for (const auto& cell : current_->local->cells()) {
    if (!cell.used || !cell.value.is_vip || !cell.value.answers_arp()) continue;
    const LocalAddress* after = next->local->find(cell.key);
    if (after == nullptr || !after->answers_arp()) change.became_silent.push_back(cell.key);
  }

  shared_.snapshot.store(next.get(), std::memory_order_release);
  await_adoption(next->version);
  rte_rcu_qsbr_synchronize(shared_.quiescence, RTE_QSBR_THRID_INVALID);
  current_ = std::move(next);

  // Whoever is no longer in a service goes to the trash: its connections' packets are dropped from now on.
  if (draft.servers_changed) {
    for (const auto& service : current_->services)
      for (const RealServer& server : service->servers) stays[server.slot] = true;
    for (ServerSlot slot = 0; slot < slots_.size(); ++slot) {
      if (slots_[slot].used && !stays[slot]) shared_.servers[slot].available.store(false, std::memory_order_relaxed);
      if (!stays[slot]) {
        if (slots_[slot].live) change.servers_deleted.push_back(slot);
        slots_[slot].live = false;
      }
      if (stays[slot]) {
        slots_[slot].live = true;
        slots_[slot].unreferenced_since_ms = 0;
      }
    }
  }
  for (const auto& action : draft.on_success) action();
}

void Publisher::await_adoption(uint64_t version) {
  for (const auto& worker : workers_) {
    while (shared_.running.load(std::memory_order_relaxed) && worker->adopted_version() < version) {
      const timespec pause{0, 20'000};
      nanosleep(&pause, nullptr);
    }
  }
}

std::vector<ServiceStatistics> Publisher::statistics(const ServiceKey* only, bool estimated) const {
  std::vector<ServiceStatistics> all;
  for (const auto& service : current_->services) {
    if (only != nullptr && !(service->key == *only)) continue;
    ServiceStatistics of;
    of.key = service->key;
    const ServiceRecord& record = records_.at(service->key);
    of.counters = estimated ? record.estimator.counters() : raw(record);
    of.counters -= estimated ? record.estimated_base : record.base;
    of.rates = record.estimator.rates();
    for (auto server = service->servers.rbegin(); server != service->servers.rend(); ++server) {
      ServerStatistics one;
      one.key = server->key;
      const SlotRecord& slot = slots_[server->slot];
      one.counters = estimated ? slot.estimator.counters() : raw(server->slot);
      one.counters -= estimated ? slot.estimated_zero : slot.zero;
      one.rates = slot.estimator.rates();
      one.persistent = shared_.servers[server->slot].persistent.load(std::memory_order_relaxed);
      for (const auto& worker : workers_) {
        const ServerCounters& counters = worker->server_counters(server->slot);
        one.active += __atomic_load_n(&counters.active, __ATOMIC_RELAXED);
        one.inactive += __atomic_load_n(&counters.inactive, __ATOMIC_RELAXED);
      }
      of.servers.push_back(one);
    }
    all.push_back(std::move(of));
  }
  return all;
}

void Publisher::estimate(uint64_t now_ms) {
  constexpr uint64_t kPeriodMs = Estimator<CounterValues>::kPeriodMs;
  constexpr uint64_t kMostRuns = 64;  // then every rate is 0, whatever the clock did
  if (current_->tunables.run_estimation == 0 || now_ms - estimated_at_ms_ > kMostRuns * kPeriodMs)
    estimated_at_ms_ = now_ms - now_ms % kPeriodMs - (current_->tunables.run_estimation == 0 ? 0 : kPeriodMs);
  for (; now_ms - estimated_at_ms_ >= kPeriodMs; estimated_at_ms_ += kPeriodMs) {
    for (const auto& service : current_->services) {
      ServiceRecord& record = records_.at(service->key);
      record.estimator.update(raw(record));
      for (const RealServer& server : service->servers) slots_[server.slot].estimator.update(raw(server.slot));
    }
  }
}

void Publisher::tend_schedulers(uint64_t now_ms) {
  const CacheExpirations expirations{current_->tunables.lblc_expiration, current_->tunables.lblcr_expiration};
  for (const auto& service : current_->services) tend_destinations(*service, now_ms, expirations);
}

// Destinations that a scheduler still connects with the server.
uint32_t Publisher::remembered(const SlotRecord& record, ServerSlot slot) const {
  const VirtualService* service = current_->find_exactly(record.service);
  return service == nullptr || service->destinations == nullptr ? 0 : service->destinations->references(slot);
}

void Publisher::empty_trash(uint64_t now_ms) {
  for (ServerSlot slot = 0; slot < slots_.size(); ++slot) {
    SlotRecord& record = slots_[slot];
    if (!record.used || record.live) continue;
    uint64_t connections = shared_.servers[slot].persistent.load(std::memory_order_relaxed) + remembered(record, slot);
    for (const auto& worker : workers_) {
      const ServerCounters& counters = worker->server_counters(slot);
      connections +=
          __atomic_load_n(&counters.active, __ATOMIC_RELAXED) + __atomic_load_n(&counters.inactive, __ATOMIC_RELAXED);
    }
    if (connections != 0) {
      record.unreferenced_since_ms = 0;
    } else if (record.unreferenced_since_ms == 0) {
      record.unreferenced_since_ms = now_ms;
    } else if (now_ms - record.unreferenced_since_ms >= kTrashMs) {
      ServiceRecord& service = records_[record.service];
      service.gone += raw(slot);
      service.servers.erase(record.server);
      for (const auto& worker : workers_) worker->clear_server_counters(slot);
      shared_.totals[slot] = {};
      shared_.totals_changed(slot);
      record = SlotRecord{};
      free_slots_.push_back(slot);
    }
  }
}

// Snapshots are applied by key: what is equal is left alone, order included.
std::vector<Operation> Publisher::difference(const Wanted& wanted) const {
  std::vector<Operation> operations;
  const auto add = [&](Operation::Kind kind, const ServiceKey& service) -> Operation& {
    operations.emplace_back();
    operations.back().kind = kind;
    operations.back().service = service;
    return operations.back();
  };
  std::unordered_map<ServiceKey, const VirtualService*, ServiceKeyHash> have;
  for (const auto& service : current_->services) have.emplace(service->key, service.get());
  std::unordered_map<ServiceKey, bool, ServiceKeyHash> named;
  for (const auto& service : wanted.services) named[service.key] = true;
  for (const auto& service : current_->services)
    if (!named.contains(service->key)) add(Operation::Kind::kDeleteService, service->key);

  for (const auto& service : wanted.services) {
    const auto found = have.find(service.key);
    const VirtualService* is = found == have.end() ? nullptr : found->second;
    if (is == nullptr) {
      add(Operation::Kind::kAddService, service.key).settings = service.settings;
    } else if (!(settings_of(*is) == service.settings)) {
      add(Operation::Kind::kEditService, service.key).settings = service.settings;
    }
    static const std::vector<RealServer> kNobody;
    const std::vector<RealServer>& servers = is == nullptr ? kNobody : is->servers;
    // The longest common beginning keeps its place; later ones that are not in the same order are added anew.
    std::unordered_map<ServerKey, const RealServer*, ServerKeyHash> wanted_servers, old_servers;
    for (const RealServer& server : service.servers) wanted_servers.emplace(server.key, &server);
    std::vector<const RealServer*> kept;
    for (const RealServer& server : servers) {
      if (wanted_servers.contains(server.key)) {
        kept.push_back(&server);
      } else {
        add(Operation::Kind::kDeleteServer, service.key).server = server;
      }
    }
    size_t same = 0;
    while (same < kept.size() && same < service.servers.size() && kept[same]->key == service.servers[same].key) ++same;
    for (size_t i = same; i < kept.size(); ++i) add(Operation::Kind::kDeleteServer, service.key).server = *kept[i];
    for (size_t i = 0; i < service.servers.size(); ++i) {
      const RealServer& server = service.servers[i];
      if (i >= same) {
        add(Operation::Kind::kAddServer, service.key).server = server;
      } else if (kept[i]->method != server.method || kept[i]->weight != server.weight ||
                 kept[i]->upper_threshold != server.upper_threshold ||
                 kept[i]->lower_threshold != server.lower_threshold || !(kept[i]->tunnel == server.tunnel)) {
        add(Operation::Kind::kEditServer, service.key).server = server;
      }
    }
  }
  std::set<std::string> wanted_vips;
  for (const VipSettings& vip : wanted.vips) {
    wanted_vips.insert(vip.text());
    const auto found = vips_.find(vip.text());
    const bool equal = found != vips_.end() &&
                       found->second.announce.value_or(Announce::kArp) == vip.announce.value_or(Announce::kArp) &&
                       found->second.state.value_or(VipState::kActive) == vip.state.value_or(VipState::kActive);
    if (!equal) add(Operation::Kind::kSetVip, {}).vip = vip;
  }
  for (const auto& [text, vip] : vips_)
    if (!wanted_vips.contains(text)) add(Operation::Kind::kDeleteVip, {}).vip = vip;
  Timeouts timeouts = timeouts_;
  timeouts.set(wanted.timeouts);
  if (!(timeouts == timeouts_)) add(Operation::Kind::kSetTimeouts, {}).timeouts = wanted.timeouts;
  if (!(wanted.tunables == current_->tunables))
    add(Operation::Kind::kSetTunables, {}).tunables = TunablesEdit::to(wanted.tunables);
  if (!(wanted.marks == *current_->marks)) add(Operation::Kind::kSetMarkRules, {}).marks = wanted.marks;
  return operations;
}

}  // namespace fulcrum
