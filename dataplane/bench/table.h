// SPDX-License-Identifier: Apache-2.0
// The connection table beside DPDK's rte_hash.
#pragma once

#include <cstdint>
#include <vector>

#include "core/config.h"

namespace fulcrum::bench {

struct TableOptions {
  std::vector<uint32_t> sizes = {1'000, 200'000, 1'000'000, 10'000'000};
  uint32_t cpu = 1;
  Hugepages hugepages = Hugepages::kAuto;
};
// Prints a line of JSON: nanoseconds per lookup and bytes per entry of both, for each size. Keys are sought in random
// order, a burst of 32 at a time.
void compare_tables(const TableOptions& options);

}  // namespace fulcrum::bench
