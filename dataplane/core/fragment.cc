// SPDX-License-Identifier: Apache-2.0
#include "core/fragment.h"

#include <rte_mbuf.h>

#include <algorithm>

#include "net/checksum.h"
#include "net/headers.h"

namespace fulcrum {

namespace {

// Options without the copied bit stay out of later fragments (RFC 791 section 3.1): they become no-operations.
void blank_uncopied_options(uint8_t* options, unsigned bytes) {
  constexpr uint8_t kEnd = 0, kNoOperation = 1, kCopied = 0x80;
  for (unsigned at = 0; at < bytes && options[at] != kEnd;) {
    if (options[at] == kNoOperation) {
      ++at;
      continue;
    }
    const unsigned length = at + 1 < bytes ? options[at + 1] : 0;
    if (length < 2 || at + length > bytes) return;
    if ((options[at] & kCopied) == 0) std::memset(options + at, kNoOperation, length);
    at += length;
  }
}

}  // namespace

void strip_to(rte_mbuf* packet, uint8_t* at) {
  const auto offset = at - rte_pktmbuf_mtod(packet, uint8_t*);
  packet->data_off = static_cast<uint16_t>(packet->data_off + offset);
  packet->data_len = static_cast<uint16_t>(packet->data_len - offset);
  packet->pkt_len = static_cast<uint32_t>(packet->pkt_len - offset);
}

unsigned cut_ipv4(rte_mbuf* packet, unsigned mtu, rte_mempool& buffers, rte_mbuf** pieces) {
  const auto& whole = *rte_pktmbuf_mtod(packet, const Ipv4Header*);
  const unsigned header_bytes = whole.header_bytes();
  const unsigned payload = whole.total_length.host() - header_bytes;
  if (mtu < header_bytes + 8) return 0;
  const unsigned step = (mtu - header_bytes) / 8 * 8;
  const uint16_t word = whole.fragment.host();

  unsigned count = 0;
  for (unsigned offset = 0; offset < payload; offset += step, ++count) {
    const unsigned part = std::min(step, payload - offset);
    rte_mbuf* piece = count < kMaxFragments ? rte_pktmbuf_alloc(&buffers) : nullptr;
    char* room = piece != nullptr ? rte_pktmbuf_append(piece, static_cast<uint16_t>(header_bytes + part)) : nullptr;
    if (room == nullptr) {
      if (piece != nullptr) rte_pktmbuf_free(piece);
      while (count != 0) rte_pktmbuf_free(pieces[--count]);
      return 0;
    }
    std::memcpy(room, &whole, header_bytes);
    const void* data = rte_pktmbuf_read(packet, header_bytes + offset, part, room + header_bytes);
    if (data != room + header_bytes) std::memcpy(room + header_bytes, data, part);

    auto& header = *reinterpret_cast<Ipv4Header*>(room);
    if (offset != 0) blank_uncopied_options(reinterpret_cast<uint8_t*>(room) + kIpv4Bytes, header_bytes - kIpv4Bytes);
    const bool more = offset + part < payload || (word & kIpv4MoreFragments) != 0;
    header.total_length = be16::from_host(static_cast<uint16_t>(header_bytes + part));
    header.fragment =
        be16::from_host(static_cast<uint16_t>((word & kIpv4OffsetMask) + offset / 8 + (more ? kIpv4MoreFragments : 0)));
    header.checksum = be16{};
    header.checksum = internet_checksum(room, header_bytes);
    pieces[count] = piece;
  }
  return count;
}

}  // namespace fulcrum
