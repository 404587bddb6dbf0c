// SPDX-License-Identifier: Apache-2.0
// Differences between DPDK 22.11 and 25.11, in one place.
#pragma once

#include <rte_ethdev.h>
#include <rte_version.h>

namespace fulcrum::compat {

// What the link speed is when nobody knows.
constexpr uint32_t known_speed(uint32_t speed) {
  return speed == RTE_ETH_SPEED_NUM_UNKNOWN || speed == RTE_ETH_SPEED_NUM_NONE ? 0 : speed;
}

}  // namespace fulcrum::compat
