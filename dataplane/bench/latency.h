// SPDX-License-Identifier: Apache-2.0
// How long a packet is on its way through the director: from a ring, which net_ring receives from, through the worker,
// to a ring that net_ring sends to. One CPU is the worker's, the other sends packets at set times and takes them in.
#pragma once

#include "bench/scenario.h"
#include "core/config.h"

namespace fulcrum::bench {

struct LatencyOptions {
  uint32_t worker_cpu = 1;
  uint32_t sender_cpu = 0;
  Hugepages hugepages = Hugepages::kAuto;
  unsigned seconds = 3;  // of each load
};

// Prints a line of JSON: percentiles of one packet at a time, and of 10, 50 and 90 per cent of what sender and director
// can do together, with what the host took of either CPU meanwhile.
void measure_latency(const Scenario& scenario, const LatencyOptions& options);

}  // namespace fulcrum::bench
