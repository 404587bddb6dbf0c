// SPDX-License-Identifier: Apache-2.0
#include "service/maglev.h"

#include <algorithm>
#include <bit>
#include <numeric>

#include "net/siphash.h"

namespace fulcrum {
namespace {

constexpr uint32_t kFreeSlot = 0xffffffff;
// A turn takes fewer slots than this: greater weights are scaled down.
constexpr int kTurnBits = 6;

struct Cursor {
  uint32_t index;
  uint32_t slot;  // where its permutation is
  uint32_t skip;
  uint32_t turn;  // slots that it takes in a row
};

std::vector<Cursor> cursors(const std::vector<MaglevClaimant>& claimants, uint32_t slots) {
  uint32_t divisor = 0, greatest = 0;
  for (const MaglevClaimant& claimant : claimants) {
    divisor = std::gcd(divisor, claimant.weight);
    greatest = std::max(greatest, claimant.weight);
  }
  std::vector<Cursor> all;
  if (divisor == 0) return all;
  const int shift = std::max(0, static_cast<int>(std::bit_width(greatest / divisor)) - kTurnBits);
  all.reserve(claimants.size());
  for (const MaglevClaimant& claimant : claimants) {
    if (claimant.weight == 0) continue;
    all.push_back({.index = claimant.index,
                   .slot = maglev_hash(claimant.number, kMaglevOffsetKey) % slots,
                   .skip = maglev_hash(claimant.number, kMaglevSkipKey) % (slots - 1) + 1,
                   .turn = std::max(claimant.weight / divisor >> shift, 1u)});
  }
  return all;
}

void claim_next_free(std::vector<uint32_t>& table, Cursor& cursor) {
  const auto slots = static_cast<uint32_t>(table.size());
  while (table[cursor.slot] != kFreeSlot) {
    cursor.slot += cursor.skip;
    if (cursor.slot >= slots) cursor.slot -= slots;
  }
  table[cursor.slot] = cursor.index;
}

}  // namespace

uint32_t maglev_hash(uint32_t value, uint32_t key) { return static_cast<uint32_t>(siphash<1, 3>(value, key, key)); }

std::vector<uint32_t> maglev_table(const std::vector<MaglevClaimant>& claimants, uint32_t slots) {
  std::vector<Cursor> all = cursors(claimants, slots);
  if (all.empty()) return {};
  std::vector<uint32_t> table(slots, kFreeSlot);
  for (uint32_t free = slots; free > 0;) {
    for (Cursor& cursor : all) {
      const uint32_t claims = std::min(cursor.turn, free);
      for (uint32_t i = 0; i < claims; ++i) claim_next_free(table, cursor);
      free -= claims;
    }
  }
  return table;
}

}  // namespace fulcrum
