// SPDX-License-Identifier: Apache-2.0
#include "core/lookup_tables.h"

#include <algorithm>

namespace fulcrum {

namespace {

LocalAddress as_declared(const VipSettings& vip) {
  LocalAddress what;
  what.is_vip = true;
  what.announce = vip.announce.value_or(Announce::kArp);
  what.active = vip.state.value_or(VipState::kActive) == VipState::kActive;
  return what;
}

bool announces(const FrozenMap<Address, LocalAddress, AddressHash>::Cell& cell) {
  return cell.used && cell.value.is_vip && cell.value.answers_arp();
}

}  // namespace

void index_services(Snapshot& next) {
  auto by_key = std::make_shared<FrozenMap<ServiceKey, uint32_t, ServiceKeyHash>>();
  by_key->reserve(next.services.size());
  next.any_ftp_service = next.any_port_service = next.balances_v4 = next.balances_v6 = false;
  uint32_t position = 0;
  for (const auto& service : next.services) {
    by_key->at(service->key) = position++;
    (service->key.address.family == Family::kIpv4 ? next.balances_v4 : next.balances_v6) = true;
    if (service->key.fwmark != 0) continue;
    next.any_ftp_service |= service->key.port == kFtpControlPort;
    next.any_port_service |= service->key.port == 0;
  }
  next.by_key = std::move(by_key);
}

void index_addresses(Snapshot& next, const DeclaredVips& vips) {
  auto local = std::make_shared<FrozenMap<Address, LocalAddress, AddressHash>>();
  size_t addresses = next.services.size() + vips.size();
  for (const Interface& interface : next.network->interfaces()) addresses += interface.addresses.size();
  local->reserve(addresses);
  for (const Interface& interface : next.network->interfaces()) {
    for (const Prefix& own : interface.addresses) {
      LocalAddress& at = local->at(own.address);
      at.is_own = true;
      at.interface = interface.id;
    }
  }
  auto prefixes = std::make_shared<std::vector<LocalPrefix>>();
  for (const auto& [text, vip] : vips)
    if (vip.prefix_length != 0) prefixes->push_back({{vip.address, vip.prefix_length}, as_declared(vip)});
  std::stable_sort(prefixes->begin(), prefixes->end(),
                   [](const LocalPrefix& a, const LocalPrefix& b) { return a.prefix.length > b.prefix.length; });
  const auto declare = [&](const Address& address, LocalAddress what) {
    LocalAddress& at = local->at(address);
    what.is_own = at.is_own;
    what.interface = at.interface;
    at = what;
  };
  // A service's address belongs to the narrowest range that has it in it, unless it was declared itself.
  for (const auto& service : next.services) {
    if (service->key.fwmark != 0) continue;
    const auto range = std::find_if(prefixes->begin(), prefixes->end(),
                                    [&](const LocalPrefix& at) { return at.prefix.contains(service->key.address); });
    declare(service->key.address, range == prefixes->end() ? as_declared({}) : range->what);
  }
  for (const auto& [text, vip] : vips)
    if (vip.prefix_length == 0) declare(vip.address, as_declared(vip));
  next.local_prefixes = std::move(prefixes);
  next.local = std::move(local);
}

void index_nat_endpoints(Snapshot& next, const Ledger& ledger) {
  size_t servers = 0;
  ledger.visit_nat_servers([&](const ServerKey&) { ++servers; });
  auto endpoints = std::make_shared<FrozenMap<ServerKey, ProtocolSet, ServerKeyHash>>();
  endpoints->reserve(servers);
  next.nat_endpoints_any_port = false;
  ledger.visit_nat_servers([&](const ServerKey& key) {
    endpoints->at(key);
    next.nat_endpoints_any_port |= key.port == 0;
  });
  for (const auto& service : next.services)
    for (const RealServer& server : service->servers)
      if (server.method == ForwardingMethod::kNat) endpoints->at(server.key).add(service->key);
  next.nat_endpoints = std::move(endpoints);
}

std::vector<Address> answering_only_in(const Snapshot& tables, const Snapshot& others) {
  std::vector<Address> found;
  if (tables.local == others.local) return found;
  for (const auto& cell : tables.local->cells()) {
    if (!announces(cell)) continue;
    const LocalAddress* other = others.local->find(cell.key);
    if (other == nullptr || !other->answers_arp()) found.push_back(cell.key);
  }
  return found;
}

}  // namespace fulcrum
