// SPDX-License-Identifier: Apache-2.0
#include "core/fragment.h"

#include <rte_mbuf.h>

#include <algorithm>

#include "net/chain.h"
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

// So many bytes of payload in the first piece, and in each that follows.
struct Parts {
  unsigned first = 0, next = 0;
};

// The longest that an MTU, or a buffer, takes.
Parts longest_parts(unsigned mtu, unsigned header_bytes, const rte_mempool& buffers) {
  const unsigned room = rte_pktmbuf_data_room_size(const_cast<rte_mempool*>(&buffers)) - unsigned{RTE_PKTMBUF_HEADROOM};
  const unsigned most = std::min(mtu, room);
  if (most < header_bytes + 8) return {};
  const unsigned part = (most - header_bytes) / 8 * 8;
  return {part, part};
}

// One buffer a piece: room for `header_bytes`, then its part of the payload, which begins `payload_at` bytes into
// `packet`. finish(header, offset, part, is_last) writes the header.
template <typename Finish>
unsigned cut(const rte_mbuf* packet, unsigned payload_at, unsigned payload, unsigned header_bytes, Parts parts,
             rte_mempool& buffers, rte_mbuf** pieces, Finish&& finish) {
  if (parts.first == 0) return 0;
  ChainReader reader(packet, payload_at);
  unsigned count = 0;
  for (unsigned offset = 0, step = parts.first; offset < payload; offset += step, step = parts.next, ++count) {
    const unsigned part = std::min(step, payload - offset);
    rte_mbuf* piece = count < kMaxFragments ? rte_pktmbuf_alloc(&buffers) : nullptr;
    auto* room =
        piece == nullptr
            ? nullptr
            : reinterpret_cast<uint8_t*>(rte_pktmbuf_append(piece, static_cast<uint16_t>(header_bytes + part)));
    if (room == nullptr || !reader.read(room + header_bytes, part)) {
      rte_pktmbuf_free(piece);
      while (count != 0) rte_pktmbuf_free(pieces[--count]);
      return 0;
    }
    finish(room, offset, part, offset + part == payload);
    pieces[count] = piece;
  }
  return count;
}

// What routers on the way look at goes with every piece: all up to a Routing header, or else a Hop-by-Hop header (RFC
// 8200 section 4.5). Where it ends, and where its last header says what comes next; 0 if that is not in the first
// buffer or there is a Fragment header.
unsigned unfragmentable_bytes(const uint8_t* ip, unsigned have, unsigned& next_header_at) {
  unsigned at = kIpv6Bytes, end = kIpv6Bytes, last = 6;
  next_header_at = last;
  for (auto next = static_cast<IpProtocol>(ip[6]);;) {
    if (next == IpProtocol::kFragment) return 0;
    if (next != IpProtocol::kHopByHop && next != IpProtocol::kRouting && next != IpProtocol::kDestinationOptions)
      return end;
    if (have < at + sizeof(Ipv6ExtensionHeader)) return 0;
    const auto extension = load_unaligned<Ipv6ExtensionHeader>(ip + at);
    last = at;
    at += extension.header_bytes();
    if (have < at) return 0;
    if (next != IpProtocol::kDestinationOptions) {
      end = at;
      next_header_at = last;
    }
    next = static_cast<IpProtocol>(extension.next_header);
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
  const auto* whole = rte_pktmbuf_mtod(packet, const uint8_t*);
  const auto ip = load_unaligned<Ipv4Header>(whole);
  const unsigned header_bytes = ip.header_bytes();
  const uint16_t word = ip.fragment.host();
  return cut(packet, header_bytes, ip.total_length.host() - header_bytes, header_bytes,
             longest_parts(mtu, header_bytes, buffers), buffers, pieces,
             [&](uint8_t* room, unsigned offset, unsigned part, bool is_last) {
               std::memcpy(room, whole, header_bytes);
               if (offset != 0) blank_uncopied_options(room + kIpv4Bytes, header_bytes - kIpv4Bytes);
               auto& header = *reinterpret_cast<Ipv4Header*>(room);
               const unsigned more = is_last ? word & kIpv4MoreFragments : kIpv4MoreFragments;
               header.total_length = be16::from_host(static_cast<uint16_t>(header_bytes + part));
               header.fragment = be16::from_host(
                   static_cast<uint16_t>((word & kIpv4DontFragment) | more | ((word & kIpv4OffsetMask) + offset / 8)));
               header.checksum = be16{};
               header.checksum = internet_checksum(room, header_bytes);
             });
}

unsigned cut_ipv6(rte_mbuf* packet, unsigned mtu, const FragmentsSeen& seen, be32 id, rte_mempool& buffers,
                  rte_mbuf** pieces) {
  const auto* whole = rte_pktmbuf_mtod(packet, const uint8_t*);
  const auto ip = load_unaligned<Ipv6Header>(whole);
  unsigned next_header_at = 0;
  const unsigned kept = unfragmentable_bytes(whole, packet->data_len, next_header_at);
  if (kept == 0 || ip.total_length() < kept) return 0;
  const unsigned header_bytes = kept + kIpv6FragmentBytes, payload = ip.total_length() - kept;
  Parts parts = longest_parts(mtu, header_bytes, buffers);
  if (seen.part != 0 && payload >= seen.payload) {
    const Parts came = {seen.part + payload - seen.payload, seen.part};
    if (came.first <= parts.first && came.first % 8 == 0) parts = came;
  }
  return cut(packet, kept, payload, header_bytes, parts, buffers, pieces,
             [&](uint8_t* room, unsigned offset, unsigned part, bool is_last) {
               std::memcpy(room, whole, kept);
               Ipv6FragmentHeader fragment{};
               fragment.next_header = room[next_header_at];
               fragment.offset_more =
                   be16::from_host(static_cast<uint16_t>(offset | (is_last ? 0 : kIpv6MoreFragments)));
               fragment.id = id;
               store_unaligned(room + kept, fragment);
               room[next_header_at] = static_cast<uint8_t>(IpProtocol::kFragment);
               reinterpret_cast<Ipv6Header*>(room)->payload_length =
                   be16::from_host(static_cast<uint16_t>(header_bytes + part - kIpv6Bytes));
             });
}

}  // namespace fulcrum
