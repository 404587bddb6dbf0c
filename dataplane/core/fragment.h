// SPDX-License-Identifier: Apache-2.0
// Cutting an IPv4 datagram into fragments (RFC 791 section 3.2), by copying: a device need not take chained buffers.
#pragma once

#include <cstdint>

struct rte_mbuf;
struct rte_mempool;

namespace fulcrum {

// 64 KiB over the least MTU that anybody sets here, 576 bytes.
inline constexpr unsigned kMaxFragments = 128;

// Makes the packet begin at `at`, which lies in its first segment.
void strip_to(rte_mbuf* packet, uint8_t* at);

// Cuts the datagram that `packet` consists of (no link header). The pieces, in order, each a datagram of at most `mtu`
// bytes; 0 if there is no buffer or too small an MTU. `packet` stays the caller's.
unsigned cut_ipv4(rte_mbuf* packet, unsigned mtu, rte_mempool& buffers, rte_mbuf** pieces);

}  // namespace fulcrum
