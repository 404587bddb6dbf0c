// SPDX-License-Identifier: Apache-2.0
// Packet buffers for tests of what works on mbufs alone. EAL starts when they are first asked for.
#pragma once

#include <rte_mbuf.h>

#include "test/packet_builder.h"

namespace fulcrum::test {

rte_mempool* test_buffers();

// In buffers of at most `segment` bytes.
inline rte_mbuf* buffers_of(const Bytes& bytes, size_t segment = 2048) {
  rte_mbuf* first = nullptr;
  rte_mbuf* last = nullptr;
  for (size_t at = 0; at < bytes.size() || first == nullptr; at += segment) {
    rte_mbuf* buffer = rte_pktmbuf_alloc(test_buffers());
    if (buffer == nullptr) throw std::runtime_error("no packet buffer left");
    const size_t size = std::min(segment, bytes.size() - at);
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), size,
                reinterpret_cast<uint8_t*>(rte_pktmbuf_append(buffer, static_cast<uint16_t>(size))));
    if (first == nullptr) {
      first = buffer;
    } else {
      last->next = buffer;
      ++first->nb_segs;
      first->pkt_len += static_cast<uint32_t>(size);
    }
    last = buffer;
  }
  return first;
}

inline Bytes bytes_of(const rte_mbuf* packet) {
  Bytes all;
  for (; packet != nullptr; packet = packet->next) {
    const auto* data = rte_pktmbuf_mtod(packet, const uint8_t*);
    all.insert(all.end(), data, data + packet->data_len);
  }
  return all;
}

}  // namespace fulcrum::test
