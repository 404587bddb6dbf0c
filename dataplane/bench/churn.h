// SPDX-License-Identifier: Apache-2.0
// The longest burst while connections come and go, and what many connections take of memory.
#pragma once

#include "bench/window.h"

namespace fulcrum::bench {

struct ChurnOptions {
  unsigned seconds = 10;
  uint32_t cpu = 1;  // the worker's
};
// Prints a line of JSON: how long rounds of the worker take, a burst each, while nothing begins, while the table grows,
// and while as many connections begin as end. Of a kLife rig that has not been launched.
void measure_churn(Rig& rig, const ChurnOptions& options);

// Prints a line of JSON: what the process takes with its table full, and what a packet of any of the connections costs.
// Of a kNew rig that has not been launched.
void measure_memory(Rig& rig, const WindowOptions& options);

}  // namespace fulcrum::bench
