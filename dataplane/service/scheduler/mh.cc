// SPDX-License-Identifier: Apache-2.0
// Maglev hashing (LVS "mh"): the client's address, and its port if asked to, leads to a slot of a table that holds
// servers by weight (service/maglev.h). Weights are the last ones that were not 0, so quiescing moves nobody. A client
// whose server is not usable is refused; with flag mh-fallback it is hashed again until it meets one that is.
#include <algorithm>

#include "service/maglev.h"
#include "service/scheduler/hashing.h"

namespace fulcrum {
namespace {

constexpr uint32_t kSlots = 4093;

SchedulerTable build(const VirtualService& service) {
  std::vector<MaglevClaimant> claimants;
  claimants.reserve(service.servers.size());
  // In the list's order. LVS reads a server's address by the family of the service, which a tunnel's end need not
  // share.
  for (size_t index = service.servers.size(); index-- > 0;) {
    const RealServer& server = service.servers[index];
    claimants.push_back({.index = static_cast<uint32_t>(index),
                         .number = server.key.address.fold(service.key.address.family) + server.key.port,
                         .weight = server.last_weight});
  }
  return maglev_table(claimants, kSlots);
}

int fall_back(std::span<const uint32_t> table, uint32_t client, uint32_t slot, const VirtualService& service,
              const LoadView& loads) {
  const auto usable = [&](const RealServer& server) { return is_usable(server, loads); };
  // Thousands of hashes would find nobody.
  if (std::none_of(service.servers.begin(), service.servers.end(), usable)) return -1;
  for (uint32_t offset = 0; offset < kSlots; ++offset) {
    const uint32_t again = (offset + slot) % kSlots;
    const uint32_t index = table[maglev_hash(again + client, kMaglevOffsetKey) % kSlots];
    if (usable(service.servers[index])) return static_cast<int>(index);
  }
  return -1;
}

int choose(SchedulerState&, const VirtualService& service, const LoadView& loads, const ScheduleRequest& request) {
  const auto table = buckets_of(service);
  if (table.empty()) return -1;
  const uint32_t client = client_number(service, request);
  const uint32_t slot = maglev_hash(client, kMaglevOffsetKey) % kSlots;
  const uint32_t index = table[slot];
  if (is_usable(service.servers[index], loads)) return static_cast<int>(index);
  return (service.scheduler_flags & kFallbackFlag) != 0 ? fall_back(table, client, slot, service, loads) : -1;
}

}  // namespace

constexpr Scheduler schedulers::mh = {.name = "mh",
                                      .start = nullptr,
                                      .edit = nullptr,
                                      .choose = choose,
                                      .counts_connections = false,
                                      .build = build,
                                      .table_weight = &RealServer::last_weight,
                                      .is_pure = true};

}  // namespace fulcrum
