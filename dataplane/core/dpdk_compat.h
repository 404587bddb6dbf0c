// SPDX-License-Identifier: Apache-2.0
// Differences between DPDK 22.11 and 25.11, in one place.
#pragma once

#include <rte_ethdev.h>
#include <rte_lpm6.h>
#include <rte_version.h>

#include "net/address.h"

namespace fulcrum::compat {

// 24.11 gave rte_lpm6 an address type of its own.
#if RTE_VERSION >= RTE_VERSION_NUM(24, 11, 0, 0)
inline rte_ipv6_addr lpm6_address(const Ipv6Address& address) {
  rte_ipv6_addr result;
  store_unaligned(result.a, address);
  return result;
}
inline bool add_route(rte_lpm6* table, const Ipv6Address& prefix, uint8_t length, uint32_t next_hop) {
  const rte_ipv6_addr key = lpm6_address(prefix);
  return rte_lpm6_add(table, &key, length, next_hop) == 0;
}
inline void delete_route(rte_lpm6* table, const Ipv6Address& prefix, uint8_t length) {
  const rte_ipv6_addr key = lpm6_address(prefix);
  rte_lpm6_delete(table, &key, length);
}
inline bool find_route(const rte_lpm6* table, const Ipv6Address& destination, uint32_t& next_hop) {
  const rte_ipv6_addr key = lpm6_address(destination);
  return rte_lpm6_lookup(table, &key, &next_hop) == 0;
}
#else
inline bool add_route(rte_lpm6* table, const Ipv6Address& prefix, uint8_t length, uint32_t next_hop) {
  uint8_t key[16];
  store_unaligned(key, prefix);
  return rte_lpm6_add(table, key, length, next_hop) == 0;
}
inline void delete_route(rte_lpm6* table, const Ipv6Address& prefix, uint8_t length) {
  uint8_t key[16];
  store_unaligned(key, prefix);
  rte_lpm6_delete(table, key, length);
}
inline bool find_route(const rte_lpm6* table, const Ipv6Address& destination, uint32_t& next_hop) {
  uint8_t key[16];
  store_unaligned(key, destination);
  return rte_lpm6_lookup(table, key, &next_hop) == 0;
}
#endif

// What the link speed is when nobody knows.
constexpr uint32_t known_speed(uint32_t speed) {
  return speed == RTE_ETH_SPEED_NUM_UNKNOWN || speed == RTE_ETH_SPEED_NUM_NONE ? 0 : speed;
}

}  // namespace fulcrum::compat
