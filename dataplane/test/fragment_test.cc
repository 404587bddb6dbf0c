// SPDX-License-Identifier: Apache-2.0
#include "core/fragment.h"

#include <rte_mempool.h>

#include "test/story.h"

using namespace fulcrum;
using namespace fulcrum::test;

namespace {

// The pieces of a datagram; `segment` bytes of it in each buffer.
std::vector<Bytes> cut(const Bytes& packet, unsigned mtu, size_t segment = 2048) {
  Story story;
  rte_mbuf* whole = story.make_packet(packet, segment);
  rte_mbuf* pieces[kMaxFragments];
  const unsigned count = cut_ipv4(whole, mtu, *World::buffers(), pieces);
  std::vector<Bytes> all;
  for (unsigned i = 0; i < count; ++i) {
    const auto* data = rte_pktmbuf_mtod(pieces[i], const uint8_t*);
    CHECK(pieces[i]->nb_segs == 1);
    all.emplace_back(data, data + pieces[i]->data_len);
    rte_pktmbuf_free(pieces[i]);
  }
  rte_pktmbuf_free(whole);
  CHECK(rte_mempool_in_use_count(World::buffers()) == 0);
  return all;
}

std::vector<Bytes> without_ethernet(std::vector<Bytes> frames) {
  for (Bytes& frame : frames) frame.erase(frame.begin(), frame.begin() + 14);
  return frames;
}

PacketBuilder datagram(size_t payload) {
  return udp("198.51.100.1:1000", "192.0.2.1:53").payload_size(payload).dont_fragment(false);
}

}  // namespace

TEST_CASE("fragments: every piece but the last as large as multiples of eight allow") {
  for (const unsigned mtu : {1500u, 1499u, 1400u, 576u, 68u, 28u}) {
    CAPTURE(mtu);
    const size_t payload = mtu == 28 ? 100 : 1900;
    CHECK(cut(datagram(payload).packet(), mtu) == without_ethernet(datagram(payload).fragments((mtu - 20) / 8 * 8)));
  }
}

TEST_CASE("fragments: a datagram in several buffers") {
  for (const size_t segment : {100u, 333u, 1024u})
    CHECK(cut(datagram(1900).packet(), 576, segment) == without_ethernet(datagram(1900).fragments(552)));
}

TEST_CASE("fragments: a piece of a datagram is cut again") {
  const auto pieces = without_ethernet(datagram(1900).fragments(1480));
  auto again = cut(pieces[0], 1000);
  REQUIRE(again.size() == 2);
  CHECK(get16(again[0], 6) == 0x2000);
  CHECK(get16(again[1], 6) == (0x2000 | 976 / 8));  // more follow: it was not the last
  again = cut(pieces[1], 228);
  REQUIRE(again.size() == 3);
  CHECK(get16(again[0], 6) == (0x2000 | 1480 / 8));
  CHECK(get16(again[2], 6) == (1480 + 416) / 8);
  for (const Bytes& piece : again) CHECK(slow_checksum(Bytes(piece.begin(), piece.begin() + 20)) == 0);
}

TEST_CASE("fragments: only options that are to be copied are in later ones") {
  // Router alert is copied (bit 7), record route is not.
  const auto pieces = cut(datagram(100).ip_options("94040000 0707040000000000").packet(), 100);
  REQUIRE(pieces.size() == 2);
  CHECK(to_hex(Bytes(pieces[0].begin() + 20, pieces[0].begin() + 32)) == "940400000707040000000000");
  CHECK(to_hex(Bytes(pieces[1].begin() + 20, pieces[1].begin() + 32)) == "940400000101010101010100");
  for (const Bytes& piece : pieces) CHECK(slow_checksum(Bytes(piece.begin(), piece.begin() + 32)) == 0);
}

TEST_CASE("fragments: options that make no sense are left alone") {
  for (const char* options : {"07ff0400", "07000000", "07010000", "00ffffff", "01010107"}) {
    CAPTURE(options);
    const auto pieces = cut(datagram(100).ip_options(options).packet(), 100);
    REQUIRE(pieces.size() == 2);
    CHECK(to_hex(Bytes(pieces[1].begin() + 20, pieces[1].begin() + 24)) == options);
  }
}

TEST_CASE("fragments: an MTU without room for eight bytes, more pieces than there may be") {
  CHECK(cut(datagram(100).packet(), 27).empty());
  CHECK(cut(datagram(1900).packet(), 28).empty());
}
