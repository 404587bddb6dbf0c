// SPDX-License-Identifier: Apache-2.0
// Maglev hashing (LVS "mh"; Eisenbud et al., NSDI 2016, section 3.4): each server has a permutation of the table's
// slots and claims its next free ones in turn, several a turn by weight, until all are taken: few change hands when a
// server comes or goes. Weights are the last ones that were not 0, so quiescing moves nobody. A client whose server is
// not usable is refused; with flag mh-fallback it is hashed again until it meets one that is.
#include <algorithm>
#include <bit>
#include <numeric>

#include "net/siphash.h"
#include "service/scheduler/hashing.h"

namespace fulcrum {
namespace {

constexpr uint32_t kSlots = 4093;  // prime, so that every skip makes a permutation
constexpr uint32_t kOffsetKey = 2654435761;
constexpr uint32_t kSkipKey = 2654446892;
constexpr uint32_t kFreeSlot = 0xffffffff;
// A turn takes fewer slots than this: greater weights are scaled down.
constexpr int kTurnBits = 6;

uint32_t hash(uint32_t value, uint32_t key) { return static_cast<uint32_t>(siphash<1, 3>(value, key, key)); }

struct Claimant {
  uint32_t index;  // into service.servers
  uint32_t slot;   // where its permutation is
  uint32_t skip;
  uint32_t turn;  // slots that it takes in a row
};

// In the list's order, those that take part.
std::vector<Claimant> claimants(const VirtualService& service) {
  uint32_t divisor = 0, greatest = 0;
  for (const RealServer& server : service.servers) {
    divisor = std::gcd(divisor, server.last_weight);
    greatest = std::max(greatest, server.last_weight);
  }
  std::vector<Claimant> all;
  if (divisor == 0) return all;
  const int shift = std::max(0, static_cast<int>(std::bit_width(greatest / divisor)) - kTurnBits);
  all.reserve(service.servers.size());
  for (size_t index = service.servers.size(); index-- > 0;) {
    const RealServer& server = service.servers[index];
    if (server.last_weight == 0) continue;
    // LVS reads its address by the family of the service, which a tunnel's end need not share.
    const uint32_t number = server.key.address.fold(service.key.address.family) + server.key.port;
    all.push_back({.index = static_cast<uint32_t>(index),
                   .slot = hash(number, kOffsetKey) % kSlots,
                   .skip = hash(number, kSkipKey) % (kSlots - 1) + 1,
                   .turn = std::max(server.last_weight / divisor >> shift, 1u)});
  }
  return all;
}

void claim_next_free(SchedulerTable& table, Claimant& claimant) {
  while (table[claimant.slot] != kFreeSlot) {
    claimant.slot += claimant.skip;
    if (claimant.slot >= kSlots) claimant.slot -= kSlots;
  }
  table[claimant.slot] = claimant.index;
}

SchedulerTable build(const VirtualService& service) {
  std::vector<Claimant> all = claimants(service);
  if (all.empty()) return {};
  SchedulerTable table(kSlots, kFreeSlot);
  for (uint32_t free = kSlots; free > 0;) {
    for (Claimant& claimant : all) {
      const uint32_t claims = std::min(claimant.turn, free);
      for (uint32_t i = 0; i < claims; ++i) claim_next_free(table, claimant);
      free -= claims;
    }
  }
  return table;
}

int fall_back(std::span<const uint32_t> table, uint32_t client, uint32_t slot, const VirtualService& service,
              const LoadView& loads) {
  const auto usable = [&](const RealServer& server) { return is_usable(server, loads); };
  // Thousands of hashes would find nobody.
  if (std::none_of(service.servers.begin(), service.servers.end(), usable)) return -1;
  for (uint32_t offset = 0; offset < kSlots; ++offset) {
    const uint32_t again = (offset + slot) % kSlots;
    const uint32_t index = table[hash(again + client, kOffsetKey) % kSlots];
    if (usable(service.servers[index])) return static_cast<int>(index);
  }
  return -1;
}

int choose(SchedulerState&, const VirtualService& service, const LoadView& loads, const ScheduleRequest& request) {
  const auto table = buckets_of(service);
  if (table.empty()) return -1;
  const uint32_t client = client_number(service, request);
  const uint32_t slot = hash(client, kOffsetKey) % kSlots;
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
                                      .table_weight = &RealServer::last_weight};

}  // namespace fulcrum
