// SPDX-License-Identifier: Apache-2.0
#include "core/draft.h"

#include <algorithm>

#include "service/spread.h"

namespace fulcrum {

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

std::string text_of(const ServerKey& key) { return key.address.text() + ":" + std::to_string(key.port); }

OperationResult no_service(const char* field, const ServiceKey& key) {
  return refused(Reason::kServiceNotFound, field, text_of(key) + " does not exist");
}

OperationResult no_server(const ServiceKey& service, const ServerKey& key) {
  return refused(Reason::kServerNotFound, "key", text_of(key) + " is not a server of " + text_of(service));
}

OperationResult no_scheduler(const std::string& name) {
  return refused(Reason::kSchedulerNotFound, "spec.scheduler", "no scheduler is named \"" + name + "\"");
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

void take_settings(VirtualService& service, const ServiceSettings& settings) {
  service.scheduler = settings.scheduler;
  service.scheduler_flags = settings.scheduler_flags;
  service.persistence_timeout_s = settings.persistence_timeout_s;
  service.persistence_prefix = settings.persistence_prefix;
  service.one_packet = settings.one_packet;
}

bool is_nat(const RealServer& server) { return server.method == ForwardingMethod::kNat; }

}  // namespace

Draft::Draft(const Snapshot& current, const Settings& settings, Ledger& ledger, uint64_t& next_epoch)
    : current_(current), ledger_(ledger), next_epoch_(next_epoch) {
  edited_.services = current.services;
  edited_.settings = settings;
}

OperationResult Draft::carry_out(const Operation& operation) {
  switch (operation.kind) {
    case Operation::Kind::kAddService:
      return add_service(operation);
    case Operation::Kind::kEditService:
      return edit_service(operation);
    case Operation::Kind::kDeleteService:
      return delete_service(operation.service);
    case Operation::Kind::kAddServer:
      return add_server(operation.service, operation.server);
    case Operation::Kind::kEditServer:
      return edit_server(operation.service, operation.server);
    case Operation::Kind::kDeleteServer:
      return delete_server(operation.service, operation.server.key);
    case Operation::Kind::kFlush:
      flush();
      return {};
    case Operation::Kind::kZero:
      return zero(operation);
    case Operation::Kind::kSetTimeouts:
      edited_.settings.timeouts.set(operation.timeouts);
      return {};
    case Operation::Kind::kSetTunables:
      operation.tunables.apply_to(edited_.settings.tunables);
      return {};
    case Operation::Kind::kSetMarkRules:
      edited_.settings.marks = std::make_shared<const std::vector<MarkRule>>(operation.marks);
      return {};
    case Operation::Kind::kSetVip:
      return set_vip(operation.vip);
    case Operation::Kind::kDeleteVip:
      return delete_vip(operation.vip);
    case Operation::Kind::kSetTraffic:
      return set_traffic(operation);
    case Operation::Kind::kSetPrefixList:
      return set_prefix_list(operation.prefixes);
    case Operation::Kind::kDeletePrefixList:
      return delete_prefix_list(operation.prefixes.name);
  }
  return refused(Reason::kInvalid, "action", "unknown operation");
}

std::optional<uint32_t> Draft::position(const ServiceKey& key) const {
  if (const auto moved = moved_.find(key); moved != moved_.end()) return moved->second;
  if (flushed_) return std::nullopt;
  const uint32_t* found = current_.by_key->find(key);
  return found == nullptr ? std::nullopt : std::optional(*found);
}

Draft::Open* Draft::open(const ServiceKey& key) {
  if (const auto opened = open_.find(key); opened != open_.end()) return &opened->second;
  const auto at = position(key);
  if (!at) return nullptr;
  Open& opened = open_[key];
  edited_.before.push_back(edited_.services[*at]);
  opened.service = next_generation(*edited_.services[*at]);
  opened.edits = std::make_unique<EditList>(opened.service);
  return &opened;
}

OperationResult Draft::add_service(const Operation& operation) {
  const ServiceKey& key = operation.service;
  if (auto invalid = invalid_service(key, operation.settings)) return *invalid;
  if (position(key)) return refused(Reason::kServiceExists, "key", text_of(key) + " exists already");
  const Scheduler* rules = find_scheduler(operation.settings.scheduler);
  if (rules == nullptr) return no_scheduler(operation.settings.scheduler);
  const auto slot = ledger_.slot_of(key);
  if (!slot) return refused(Reason::kNoRoom, "key", "no room for another service");
  Open& opened = open_[key];
  VirtualService& service = opened.service;
  service.key = key;
  service.slot = *slot;
  service.rules = rules;
  take_settings(service, operation.settings);
  start_scheduler(service, next_epoch_++);
  opened.edits = std::make_unique<EditList>(service);
  moved_[key] = static_cast<uint32_t>(edited_.services.size());
  edited_.services.push_back(nullptr);
  edited_.keys_changed = true;
  edited_.to_settle.push_back([key](Ledger& ledger) { ledger.begin(key); });
  return {};
}

OperationResult Draft::edit_service(const Operation& operation) {
  const Scheduler* rules = find_scheduler(operation.settings.scheduler);
  if (!position(operation.service)) return no_service("key", operation.service);
  if (rules == nullptr) return no_scheduler(operation.settings.scheduler);
  Open& opened = *open(operation.service);
  VirtualService& service = opened.service;
  // LVS keeps the scheduler's state when its name stays; another one starts from today's list.
  if (service.rules != rules) {
    opened.edits.reset();
    service.rules = rules;
    start_scheduler(service, next_epoch_++);
    opened.edits = std::make_unique<EditList>(service);
  }
  take_settings(service, operation.settings);
  return {};
}

OperationResult Draft::delete_service(const ServiceKey& key) {
  const auto at = position(key);
  if (!at) return no_service("key", key);
  if (const auto& published = edited_.services[*at]; published != nullptr) edited_.before.push_back(published);
  // Places are numbers until the end: the gap closes then.
  edited_.services.replace(*at, nullptr);
  has_gaps_ = true;
  moved_[key] = std::nullopt;
  open_.erase(key);
  edited_.keys_changed = edited_.nat_endpoints_changed = true;
  return {};
}

void Draft::flush() {
  for (const auto& service : edited_.services)
    if (service != nullptr) edited_.before.push_back(service);
  edited_.services.clear();
  moved_.clear();
  open_.clear();
  flushed_ = true;
  has_gaps_ = false;
  edited_.keys_changed = edited_.nat_endpoints_changed = true;
}

OperationResult Draft::add_server(const ServiceKey& service, RealServer server) {
  Open* opened = open(service);
  if (opened == nullptr) return no_service("service", service);
  if (auto invalid = invalid_server(service, server)) return *invalid;
  if (opened->edits->find(server.key) != nullptr)
    return refused(Reason::kServerExists, "key",
                   text_of(server.key) + " is a server of " + text_of(service) + " already");
  server.slot = ledger_.slot_of(service, server.key);
  if (server.slot == kNoSlot) return refused(Reason::kNoRoom, "key", "no room for another real server");
  opened->edits->add(server);
  edited_.nat_endpoints_changed |= is_nat(server);
  return {};
}

OperationResult Draft::edit_server(const ServiceKey& service, RealServer server) {
  Open* opened = open(service);
  if (opened == nullptr) return no_service("service", service);
  if (auto invalid = invalid_server(service, server)) return *invalid;
  const RealServer* old = opened->edits->find(server.key);
  if (old == nullptr) return no_server(service, server.key);
  edited_.nat_endpoints_changed |= is_nat(*old) != is_nat(server);
  server.slot = old->slot;
  opened->edits->edit(server);
  return {};
}

OperationResult Draft::delete_server(const ServiceKey& service, const ServerKey& key) {
  Open* opened = open(service);
  if (opened == nullptr) return no_service("service", service);
  const RealServer* old = opened->edits->find(key);
  if (old == nullptr) return no_server(service, key);
  edited_.nat_endpoints_changed |= is_nat(*old);
  opened->edits->remove(key);
  return {};
}

OperationResult Draft::zero(const Operation& operation) {
  if (operation.all_services) {
    edited_.to_settle.push_back([](Ledger& ledger) { ledger.zero_all(); });
    return {};
  }
  if (!position(operation.service)) return no_service("zero.service", operation.service);
  edited_.to_settle.push_back([key = operation.service](Ledger& ledger) { ledger.zero(key); });
  return {};
}

OperationResult Draft::set_vip(const VipSettings& vip) {
  if (!vip.address.is_unicast())
    return refused(Reason::kInvalid, "set_vip.address", vip.address.text() + " is not a unicast address");
  if (vips_ == nullptr) vips_ = std::make_shared<DeclaredVips>(*edited_.settings.vips);
  VipSettings& declared = (*vips_)[vip.text()];
  declared.address = vip.address;
  declared.prefix_length = vip.prefix_length;
  if (vip.announce) declared.announce = vip.announce;
  if (vip.state) declared.state = vip.state;
  edited_.vips_changed = true;
  return {};
}

OperationResult Draft::delete_vip(const VipSettings& vip) {
  if (vips_ == nullptr) vips_ = std::make_shared<DeclaredVips>(*edited_.settings.vips);
  if (vips_->erase(vip.text()) == 0)
    return refused(Reason::kVipNotFound, "delete_vip", vip.text() + " was not declared");
  edited_.vips_changed = true;
  return {};
}

Edited Draft::finish() {
  for (auto& [key, opened] : open_) {
    opened.edits.reset();
    prepare_scheduler(opened.service);
    prepare_spread(opened.service);
    auto service = std::make_shared<const VirtualService>(std::move(opened.service));
    edited_.services.replace(*position(key), service);
    edited_.after.push_back(std::move(service));
  }
  if (has_gaps_) compact();
  if (vips_ != nullptr) edited_.settings.vips = std::move(vips_);
  if (own_lists_ != nullptr) edited_.settings.prefix_lists = std::move(own_lists_);
  return std::move(edited_);
}

// One pass for all deletions of the draft.
void Draft::compact() {
  ServiceList remaining;
  for (const auto& service : edited_.services)
    if (service != nullptr) remaining.push_back(service);
  edited_.services = std::move(remaining);
}

}  // namespace fulcrum
