// SPDX-License-Identifier: Apache-2.0
// Cutting a datagram into fragments (RFC 791 section 3.2, RFC 8200 section 4.5), by copying into one buffer each: a
// device need not take chained buffers.
#pragma once

#include <cstdint>

#include "net/byte_order.h"
#include "net/fragment_limit.h"

struct rte_mempool;

namespace fulcrum {

// 64 KiB over the least MTU that IPv4 has, 68 bytes.
inline constexpr unsigned kMaxFragments = 1366;

// Makes the packet begin at `at`, which lies in its first segment.
void strip_to(rte_mbuf* packet, uint8_t* at);

// Cut the datagram that `packet` consists of (no link header), its headers in the first segment. The pieces, in order,
// are datagrams of at most `mtu` bytes, or of what a buffer takes if that is less; 0 if there is no buffer or too small
// an MTU. `packet` stays the caller's.

// DF is as in the datagram; a fragment's pieces are fragments of the same datagram.
unsigned cut_ipv4(rte_mbuf* packet, unsigned mtu, rte_mempool& buffers, rte_mbuf** pieces);
// As its sender does it: not for what has a Fragment header already. As LVS, what came in equal pieces leaves in pieces
// of the same length, if the link and 1,280 bytes take them; a tunnel's header makes the first one longer. One piece
// has a Fragment header, too.
unsigned cut_ipv6(rte_mbuf* packet, unsigned mtu, const FragmentsSeen& seen, be32 id, rte_mempool& buffers,
                  rte_mbuf** pieces);

}  // namespace fulcrum
