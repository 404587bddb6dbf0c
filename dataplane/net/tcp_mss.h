// SPDX-License-Identifier: Apache-2.0
// The Maximum Segment Size option of a SYN (RFC 9293 section 3.7.1). Lowered where it is greater than a limit, never
// raised and never added: a SYN without one means 536 bytes (IPv6: 1220), which is below any limit that helps.
#pragma once

#include <span>

#include "net/checksum.h"
#include "net/headers.h"

namespace fulcrum {

inline constexpr unsigned kTcpOptionEnd = 0, kTcpOptionNone = 1, kTcpOptionMss = 2, kTcpOptionMssBytes = 4;

// The value at `at`, with the checksum of the segment. A value at an odd place is summed with its bytes changed over.
inline void lower_mss(uint8_t* segment, size_t at, uint16_t limit) {
  const auto old = load_unaligned<be16>(segment + at);
  if (old.host() <= limit) return;
  const be16 lowered = be16::from_host(limit);
  store_unaligned(segment + at, lowered);
  auto& tcp = *reinterpret_cast<TcpHeader*>(segment);
  ChecksumDelta delta;
  if (at % 2 == 0) {
    delta.replace(old, lowered);
  } else {
    delta.replace(be16{swap_bytes(old.raw)}, be16{swap_bytes(lowered.raw)});
  }
  tcp.checksum = delta.apply(tcp.checksum);
}

// `segment` begins with the TCP header and holds what of it lies in one piece. Whatever is malformed is left as it is,
// and what stands behind it.
inline void clamp_mss(std::span<uint8_t> segment, uint16_t limit) {
  if (segment.size() < kTcpBytes) return;
  const size_t header = (segment[12] >> 4) * 4u;
  if (header > segment.size()) return;
  for (size_t at = kTcpBytes; at < header;) {
    const unsigned kind = segment[at];
    if (kind == kTcpOptionEnd) return;
    if (kind == kTcpOptionNone) {
      ++at;
      continue;
    }
    const size_t bytes = at + 1 < header ? segment[at + 1] : 0u;
    if (bytes < 2 || at + bytes > header) return;
    if (kind == kTcpOptionMss && bytes == kTcpOptionMssBytes) lower_mss(segment.data(), at + 2, limit);
    at += bytes;
  }
}

}  // namespace fulcrum
