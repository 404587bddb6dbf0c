// SPDX-License-Identifier: Apache-2.0
// SCTP's checksum: CRC32c (RFC 9260 appendix A) of a packet in a chain of buffers, its checksum field taken as zero.
// DPDK's hash library has the polynomial's primitives: it uses the CPU's CRC32 instructions where there are any, on x86
// and Arm, and tables where not; no instruction set need be chosen here.
#pragma once

#include <rte_hash_crc.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <cstddef>

#include "net/byte_order.h"

namespace fulcrum {

inline constexpr uint32_t kCrc32cStart = 0xffffffff;
constexpr uint32_t crc32c_of(uint32_t state) { return ~state; }

// rte_hash_crc() itself reads words where they are not aligned.
inline uint32_t add_to_crc32c(uint32_t state, const void* data, size_t size) {
  const auto* at = static_cast<const uint8_t*>(data);
  for (; size >= 8; at += 8, size -= 8) state = rte_hash_crc_8byte(load_unaligned<uint64_t>(at), state);
  if (size >= 4) state = rte_hash_crc_4byte(load_unaligned<uint32_t>(at), state), at += 4, size -= 4;
  if (size >= 2) state = rte_hash_crc_2byte(load_unaligned<uint16_t>(at), state), at += 2, size -= 2;
  if (size != 0) state = rte_hash_crc_1byte(*at, state);
  return state;
}

// `size` bytes from `offset` on, as far as the chain has them.
inline uint32_t add_to_crc32c(uint32_t state, const rte_mbuf* packet, size_t offset, size_t size) {
  for (; packet != nullptr && size != 0; packet = packet->next) {
    const size_t length = rte_pktmbuf_data_len(packet);
    if (offset >= length) {
      offset -= length;
      continue;
    }
    const size_t piece = std::min(length - offset, size);
    state = add_to_crc32c(state, rte_pktmbuf_mtod_offset(packet, const uint8_t*, offset), piece);
    size -= piece;
    offset = 0;
  }
  return state;
}

inline constexpr size_t kSctpChecksumOffset = 8;  // RFC 9260 section 3.1

// Of the SCTP packet of `size` bytes (at least the common header) at `offset`; what lies behind it in the frame does
// not count. To be stored as it is: the CRC's lowest byte comes first on the wire.
inline uint32_t sctp_checksum(const rte_mbuf* packet, size_t offset, size_t size) {
  constexpr uint32_t kNoChecksum = 0;
  constexpr size_t kAfter = kSctpChecksumOffset + sizeof kNoChecksum;
  uint32_t state = add_to_crc32c(kCrc32cStart, packet, offset, kSctpChecksumOffset);
  state = rte_hash_crc_4byte(kNoChecksum, state);
  return crc32c_of(add_to_crc32c(state, packet, offset + kAfter, size - kAfter));
}

}  // namespace fulcrum
