// SPDX-License-Identifier: Apache-2.0
// Cases in which connections begin: into a table large enough, through their whole life, and against a full table.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "bench/window.h"

namespace fulcrum::bench {

struct NewResult {
  Windows windows;
  double first_fill_ns = 0;  // per packet, while the table's memory is touched for the first time
};
// The table is filled from a tenth to nine tenths in each window, and emptied by the clock before the next.
NewResult measure_new(Rig& rig, const WindowOptions& options);

struct LifeResult {
  Windows windows;
  uint64_t connections = 0;  // alive at the end
  double begun_per_second = 0;
};
// In the steady state.
LifeResult measure_life(Rig& rig, const WindowOptions& options);

struct FloodResult {
  Windows established;                                     // nothing else arrives
  Windows mixed;                                           // every second packet would begin a connection
  uint64_t sent = 0;                                       // packets of established connections
  int64_t lost = 0;                                        // of those, by the connections' own counts
  std::vector<std::pair<std::string, uint64_t>> verdicts;  // by which all packets left while it was mixed

  // Of a packet that begins nothing, with what its stamping costs.
  double refused_ns() const { return 2 * mixed.median() - established.median(); }
};
FloodResult measure_flood(Rig& rig, const WindowOptions& options);

struct MacswapResult {
  Windows plain, stamped;
};
// The rig's devices and source without the engine: addresses are swapped and frames sent, as dpdk-testpmd's macswap
// does. What stamping costs is the difference. The engine is not launched.
MacswapResult measure_macswap(Rig& rig, const WindowOptions& options);

}  // namespace fulcrum::bench
