// SPDX-License-Identifier: Apache-2.0
// Packets whose bytes lie in a chain of buffers: summing, reading in order, shortening.
#pragma once

#include <rte_mbuf.h>

#include <algorithm>

#include "net/checksum.h"

namespace fulcrum {

// The sum of `size` bytes that begin `offset` bytes into the packet's first buffer. What begins at an odd place has its
// bytes in the other halves of the words (RFC 1071 section 2(B)); rte_raw_cksum_mbuf of DPDK 22.11 loses carries there.
inline uint64_t sum_of_data(const rte_mbuf* packet, uint32_t offset, uint32_t size) {
  uint64_t sum = 0;
  for (bool odd = false; packet != nullptr && size != 0; packet = packet->next, offset = 0) {
    const uint32_t part = std::min(packet->data_len - offset, size);
    const uint16_t folded = fold_sum(add_to_sum(0, rte_pktmbuf_mtod_offset(packet, const uint8_t*, offset), part));
    sum += odd ? swap_bytes(folded) : folded;
    odd ^= (part & 1) != 0;
    size -= part;
  }
  return sum;
}

// Reads a packet from front to back; each buffer is met once, however many pieces are asked for.
class ChainReader {
 public:
  ChainReader(const rte_mbuf* packet, uint32_t offset) : at_(packet), offset_(offset) {}

  // Copies the next `size` bytes; false if there are fewer.
  bool read(uint8_t* to, uint32_t size) {
    while (size != 0) {
      while (at_ != nullptr && offset_ >= at_->data_len) {
        offset_ -= at_->data_len;
        at_ = at_->next;
      }
      if (at_ == nullptr) return false;
      const uint32_t part = std::min(at_->data_len - offset_, size);
      std::memcpy(to, rte_pktmbuf_mtod_offset(at_, const uint8_t*, offset_), part);
      to += part;
      offset_ += part;
      size -= part;
    }
    return true;
  }

 private:
  const rte_mbuf* at_;
  uint32_t offset_;
};

// Cuts the packet behind its first `length` bytes; buffers that are left empty are freed. Unlike rte_pktmbuf_trim it
// takes what is more than the last buffer holds. `length` is not 0 and at most the packet's own.
inline void shorten(rte_mbuf* packet, uint32_t length) {
  if (packet->pkt_len == length) return;
  rte_mbuf* last = packet;
  uint32_t before = 0;
  uint16_t segments = 1;
  for (; before + last->data_len < length; last = last->next, ++segments) before += last->data_len;
  rte_pktmbuf_free(last->next);
  last->next = nullptr;
  last->data_len = static_cast<uint16_t>(length - before);
  packet->nb_segs = segments;
  packet->pkt_len = length;
}

}  // namespace fulcrum
