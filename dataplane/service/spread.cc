// SPDX-License-Identifier: Apache-2.0
#include "service/spread.h"

#include <algorithm>

#include "service/maglev.h"
#include "service/scheduler/scheduler.h"

namespace fulcrum {
namespace {

constexpr size_t kMostServers = 65536;  // positions that a slot can hold

std::vector<MaglevClaimant> claimants(const VirtualService& service) {
  std::vector<MaglevClaimant> all;
  for (size_t index = std::min(service.servers.size(), kMostServers); index-- > 0;) {
    const RealServer& server = service.servers[index];
    if (server.weight == 0 || !takes_any(server)) continue;
    all.push_back({.index = static_cast<uint32_t>(index),
                   .number = server.key.address.fold() + server.key.port,
                   .weight = server.weight});
  }
  return all;
}

}  // namespace

void prepare_spread(VirtualService& service) {
  if (service.persistence_timeout_s != 0 || (service.rules != nullptr && service.rules->is_pure)) {
    service.spread.reset();
    return;
  }
  if (service.spread != nullptr) return;
  const std::vector<MaglevClaimant> all = claimants(service);
  if (all.empty()) return;
  const std::vector<uint32_t> table = maglev_table(all, spread_slots(service.servers.size()));
  service.spread = std::make_shared<const SpreadTable>(table.begin(), table.end());
}

}  // namespace fulcrum
