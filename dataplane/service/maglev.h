// SPDX-License-Identifier: Apache-2.0
// Maglev's lookup table (Eisenbud et al., NSDI 2016, section 3.4), by the rules of LVS's "mh": each claimant has a
// permutation of the slots and claims its next free ones in turn, several a turn by weight, until all are taken: few
// change hands when a claimant comes or goes.
#pragma once

#include <cstdint>
#include <vector>

namespace fulcrum {

inline constexpr uint32_t kMaglevOffsetKey = 2654435761;
inline constexpr uint32_t kMaglevSkipKey = 2654446892;

// LVS's hash of a client or of a server.
uint32_t maglev_hash(uint32_t value, uint32_t key);

struct MaglevClaimant {
  uint32_t index;   // what its slots will hold
  uint32_t number;  // its name, from which the permutation follows
  uint32_t weight;  // with 0 it takes no part
};

// In the order in which they claim. `slots` must be prime, so that every skip makes a permutation. Empty if nobody
// takes part; with more claimants than slots the last ones get none.
std::vector<uint32_t> maglev_table(const std::vector<MaglevClaimant>& claimants, uint32_t slots);

}  // namespace fulcrum
