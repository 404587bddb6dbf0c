// SPDX-License-Identifier: Apache-2.0
#include "core/fragment.h"

#include <doctest/doctest.h>
#include <rte_mempool.h>

#include <random>

#include "net/fragment_limit.h"
#include "net/reassembly.h"
#include "test/buffers.h"

using namespace fulcrum;
using namespace fulcrum::test;

namespace {

// The pieces of a datagram; `segment` bytes of it in each buffer.
std::vector<Bytes> cut(const Bytes& packet, unsigned mtu, size_t segment = 2048, uint32_t id = 0x8765,
                       const FragmentsSeen& seen = {}) {
  const unsigned before = rte_mempool_in_use_count(test_buffers());
  rte_mbuf* whole = buffers_of(packet, segment);
  rte_mbuf* pieces[kMaxFragments];
  const unsigned count = packet[0] >> 4 == 4 ? cut_ipv4(whole, mtu, *test_buffers(), pieces)
                                             : cut_ipv6(whole, mtu, seen, be32::from_host(id), *test_buffers(), pieces);
  std::vector<Bytes> all;
  for (unsigned i = 0; i < count; ++i) {
    CHECK(pieces[i]->nb_segs == 1);
    all.push_back(bytes_of(pieces[i]));
    CHECK(all.back().size() <= mtu);
    rte_pktmbuf_free(pieces[i]);
  }
  CHECK(bytes_of(whole) == packet);
  rte_pktmbuf_free(whole);
  CHECK(rte_mempool_in_use_count(test_buffers()) == before);
  return all;
}

std::vector<Bytes> without_ethernet(std::vector<Bytes> frames) {
  for (Bytes& frame : frames) frame.erase(frame.begin(), frame.begin() + 14);
  return frames;
}

PacketBuilder datagram(size_t payload) {
  return udp("198.51.100.1:1000", "192.0.2.1:53").payload_size(payload).dont_fragment(false);
}

PacketBuilder datagram6(size_t payload) {
  return udp("[2001:db8:aa::1]:1000", "[2001:db8:ff::1]:53").payload_size(payload).id(0x8765);
}

unsigned slow_header_checksum(const Bytes& packet) {
  return slow_checksum(Bytes(packet.begin(), packet.begin() + (packet[0] & 15) * 4));
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
  CHECK(cut(datagram(1900).packet(), 28).size() == 239);
  CHECK(cut(datagram(20000).packet(), 28).empty());
  CHECK(cut(datagram6(100).packet(), 55).empty());
  CHECK(cut(datagram6(100).packet(), 56).size() == 14);
}

TEST_CASE("fragments: the longest datagram by the least MTU") {
  CHECK(cut(datagram(65507).packet(), 68).size() == 1365);
}

TEST_CASE("fragments: DF is as in the datagram") {
  for (const Bytes& piece : cut(udp("198.51.100.1:1000", "192.0.2.1:53").payload_size(1000).packet(), 500))
    CHECK((get16(piece, 6) & 0x4000) != 0);
  for (const Bytes& piece : cut(datagram(1000).packet(), 500)) CHECK((get16(piece, 6) & 0x4000) == 0);
}

TEST_CASE("fragments: an MTU longer than a buffer is used as far as buffers go") {
  const auto pieces = cut(datagram(9000).packet(), 9000);
  REQUIRE(pieces.size() == 5);
  CHECK(pieces[0].size() == 20 + 2024);
}

TEST_CASE("fragments: padding behind the datagram is not cut") {
  Bytes padded = datagram(1000).packet();
  padded.resize(padded.size() + 30);
  const auto pieces = cut(padded, 500);
  CHECK(pieces == cut(datagram(1000).packet(), 500));
}

TEST_CASE("fragments: a datagram shorter than it says is not cut") {
  Bytes shorter = datagram(1000).packet();
  shorter.resize(shorter.size() - 1);
  CHECK(cut(shorter, 500).empty());
  Bytes shorter6 = datagram6(1000).packet();
  shorter6.resize(shorter6.size() - 1);
  CHECK(cut(shorter6, 500).empty());
}

TEST_CASE("fragments: IPv6, byte for byte") {
  for (const unsigned mtu : {1500u, 1280u, 575u, 56u})
    for (const size_t segment : {2048u, 333u, 70u})
      CHECK(cut(datagram6(1900).packet(), mtu, segment) ==
            without_ethernet(datagram6(1900).fragments((mtu - 48) / 8 * 8)));
  const auto pieces = cut(datagram6(100).packet(), 112, 2048, 0xfedcba98);
  REQUIRE(pieces.size() == 2);
  CHECK(to_hex(Bytes(pieces[0].begin() + 40, pieces[0].begin() + 48)) == "11000001fedcba98");
  CHECK(to_hex(Bytes(pieces[1].begin() + 40, pieces[1].begin() + 48)) == "11000040fedcba98");
  CHECK(get16(pieces[1], 4) == 8 + 44);
}

TEST_CASE("fragments: IPv6 headers that routers look at go with every piece") {
  constexpr const char *kHopByHop = "00 0104 00000000", *kRouting = "00 00 00 00000000",
                       *kOptions = "01 010c 000000000000000000000000";
  const auto first_at = [](const std::vector<Bytes>& pieces) {
    REQUIRE(pieces.size() > 1);
    size_t at = 40;
    for (unsigned next = pieces[1].at(6); next != 44; at += (pieces[1].at(at + 1) + 1u) * 8u) next = pieces[1].at(at);
    return at;
  };
  PacketBuilder builder = datagram6(1900);
  CHECK(first_at(cut(builder.extension(60, kOptions).packet(), 1280)) == 40);
  builder = datagram6(1900);
  CHECK(first_at(cut(builder.extension(0, kHopByHop).packet(), 1280)) == 48);
  CHECK(first_at(cut(builder.extension(60, kOptions).packet(), 1280)) == 48);
  CHECK(first_at(cut(builder.extension(43, kRouting).packet(), 1280)) == 72);
  CHECK(first_at(cut(builder.extension(60, kOptions).packet(), 1280)) == 72);
  CHECK(cut(builder.packet(), 1280, 80).empty());  // headers must be in the first buffer
  CHECK(cut(datagram6(1900).fragment(0, true).packet(), 1280).empty());
}

// As LVS: the pieces of IPv6 keep the length in which they came; a tunnel's header makes the first one longer.
TEST_CASE("fragments: IPv6 in pieces as they came") {
  const auto parts_of = [](const std::vector<Bytes>& pieces) {
    std::vector<size_t> parts;
    for (const Bytes& piece : pieces) parts.push_back(piece.size() - 48);
    return parts;
  };
  const Bytes whole = datagram6(1000).packet();  // 1008 bytes of payload
  using Sizes = std::vector<size_t>;
  CHECK(parts_of(cut(whole, 1280, 2048, 1, {.longest = 528, .part = 480, .payload = 1008})) == Sizes{480, 480, 48});
  CHECK(parts_of(cut(whole, 1280, 2048, 1, {.longest = 528, .part = 480, .payload = 968})) == Sizes{520, 480, 8});
  CHECK(parts_of(cut(whole, 1280, 2048, 1, {.longest = 528, .part = 480, .payload = 960})) == Sizes{528, 480});
  CHECK(parts_of(cut(whole, 1280, 2048, 1, {.longest = 528, .part = 480, .payload = 963})) ==
        Sizes{1008});  // no multiple of eight
  CHECK(parts_of(cut(whole, 500, 2048, 1, {.longest = 528, .part = 480, .payload = 1008})) == Sizes{448, 448, 112});
  CHECK(parts_of(cut(whole, 1280, 2048, 1, {.longest = 528, .part = 0, .payload = 1008})) == Sizes{1008});
  const Bytes only = cut(whole, 1280, 2048, 1).at(0);
  CHECK(to_hex(Bytes(only.begin() + 40, only.begin() + 48)) == "1100000000000001");
}

// By anything that is cut here, taken up in any order there.
TEST_CASE("fragments: what is cut comes together again") {
  std::mt19937 random(3);
  const auto below = [&](unsigned limit) { return static_cast<unsigned>(random() % limit); };
  for (unsigned round = 0; round < 300; ++round) {
    const bool ipv6 = below(2) != 0;
    const unsigned size = round < 4 ? 65535 - round % 2 : 1281 + below(round % 3 == 0 ? 64255 : 3000);
    PacketBuilder builder = ipv6 ? datagram6(size - 48) : datagram(size - 28);
    if (size < 60000 && below(4) == 0) {
      if (ipv6)
        builder.extension(0, "00 0104 00000000").extension(60, "00 0104 00000000");
      else
        builder.ip_options("94040000");
    }
    const unsigned mtu = size > 20000 ? 576 + below(1000) : 100 + below(1200);
    CAPTURE(size);
    CAPTURE(mtu);
    CAPTURE(ipv6);
    const Bytes whole = builder.packet();
    auto pieces = cut(whole, mtu, 200 + below(1848));
    REQUIRE(pieces.size() > 1);
    for (const Bytes& piece : pieces)
      if (!ipv6) REQUIRE(slow_header_checksum(piece) == 0);
    const size_t longest = pieces[0].size();
    std::shuffle(pieces.begin(), pieces.end(), random);

    Reassembler reassembler;
    FragmentLosses losses{};
    REQUIRE(reassembler.create({}));
    for (size_t i = 0; i < pieces.size(); ++i) {
      rte_mbuf* packet = buffers_of(pieces[i], 100 + below(2000));
      const auto result = reassembler.add(packet, rte_pktmbuf_mtod(packet, uint8_t*), 0, 0, losses);
      if (i + 1 < pieces.size()) {
        REQUIRE(result.outcome == Reassembler::Outcome::kHeld);
        continue;
      }
      REQUIRE(result.outcome == Reassembler::Outcome::kComplete);
      REQUIRE(bytes_of(result.packet) == whole);
      REQUIRE(fragment_limit(result.packet) == longest);
      rte_pktmbuf_free(result.packet);
    }
  }
}
