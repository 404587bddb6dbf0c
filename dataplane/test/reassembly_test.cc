// SPDX-License-Identifier: Apache-2.0
#include "net/reassembly.h"

#include <doctest/doctest.h>
#include <rte_mempool.h>

#include <numeric>
#include <random>

#include "net/fragment_limit.h"
#include "test/buffers.h"

using namespace fulcrum;
using namespace fulcrum::test;

namespace {

constexpr size_t kEthernet = 14;

// A reassembler that is fed frames; a leak of buffers is a failure.
class Bench {
 public:
  using Outcome = Reassembler::Outcome;

  explicit Bench(ReassemblySettings settings = {}) {
    before_ = rte_mempool_in_use_count(test_buffers());
    settings.secret_first = 1;
    settings.secret_second = 2;
    REQUIRE(reassembler.create(settings));
  }
  ~Bench() {
    reassembler.clear();
    CHECK(reassembler.held_bytes() == 0);
    CHECK(reassembler.held_datagrams() == 0);
    CHECK(rte_mempool_in_use_count(test_buffers()) == before_);
  }

  Outcome add(const Bytes& frame, size_t segment = 2048, size_t link_bytes = kEthernet, uint32_t link = 0) {
    rte_mbuf* packet = buffers_of(frame, segment);
    const auto result = reassembler.add(packet, rte_pktmbuf_mtod(packet, uint8_t*) + link_bytes, link, now, losses);
    reason = result.reason;
    if (result.outcome == Outcome::kComplete) {
      ip_at = static_cast<size_t>(result.ip - rte_pktmbuf_mtod(result.packet, uint8_t*));
      fragments = result.fragments;
      limit = fragment_limit(result.packet);
      seen = fragments_seen(result.packet);
      had_dont_fragment = fragments_had_dont_fragment(result.packet);
      contiguous = result.packet->data_len;
      CHECK(rte_mbuf_check(result.packet, 1, &why) == 0);
      whole = bytes_of(result.packet);
      rte_pktmbuf_free(result.packet);
    }
    return result.outcome;
  }
  // All of them; what the last one led to.
  Outcome add_all(const std::vector<Bytes>& frames, size_t segment = 2048, size_t link_bytes = kEthernet) {
    Outcome last{};
    for (size_t i = 0; i < frames.size(); ++i) {
      last = add(frames[i], segment, link_bytes);
      if (i + 1 < frames.size()) REQUIRE(last == Outcome::kHeld);
    }
    return last;
  }
  unsigned lost(FragmentDrop why_lost) const { return losses[static_cast<size_t>(why_lost)]; }
  unsigned lost() const { return std::accumulate(losses.begin(), losses.end(), 0u); }

  Reassembler reassembler;
  FragmentLosses losses{};
  Ticks now = 0xffffff00;  // shortly before it wraps around
  FragmentDrop reason{};
  Bytes whole;
  size_t ip_at = 0, contiguous = 0;
  unsigned fragments = 0, limit = 0;
  bool had_dont_fragment = false;
  FragmentsSeen seen;

 private:
  const char* why = nullptr;
  unsigned before_ = 0;
};

using Outcome = Reassembler::Outcome;

PacketBuilder datagram4(size_t payload) {
  return udp("198.51.100.1:7", "192.0.2.1:53").payload_size(payload).dont_fragment(false);
}
PacketBuilder datagram6(size_t payload) {
  return udp("[2001:db8:aa::1]:7", "[2001:db8:ff::1]:53").payload_size(payload).id(0x8765).tos(0);
}
PacketBuilder datagram(bool ipv6, size_t payload) { return ipv6 ? datagram6(payload) : datagram4(payload); }

std::vector<Bytes> reversed(std::vector<Bytes> frames) {
  std::reverse(frames.begin(), frames.end());
  return frames;
}

// Bytes of the IP payload, as a fragment of its own.
Bytes piece(bool ipv6, unsigned offset, size_t size, bool more, const char* source = nullptr, unsigned id = 77) {
  Bytes payload;
  while (payload.size() < size) put8(payload, (offset + payload.size()) & 0xff);
  const Endpoint from(source != nullptr ? source : ipv6 ? "2001:db8:aa::1" : "198.51.100.1");
  return PacketBuilder(from, ipv6 ? "2001:db8:ff::1" : "192.0.2.1", 99)
      .id(id)
      .payload(payload)
      .fragment(offset, more)
      .frame();
}

}  // namespace

TEST_CASE("reassembly: in order, reversed and shuffled, in buffers of every size") {
  std::mt19937 random(1);
  for (const bool ipv6 : {false, true}) {
    for (const size_t payload : {1u, 9u, 500u, 1900u, 20000u, 65000u}) {
      for (const size_t size : {8u, 480u, 1480u}) {
        if (payload / size > 400) continue;
        CAPTURE(ipv6);
        CAPTURE(payload);
        CAPTURE(size);
        const PacketBuilder builder = datagram(ipv6, payload);
        auto frames = builder.fragments(size);
        if (frames.size() == 1) continue;
        const size_t longest = frames[0].size() - kEthernet;
        for (const size_t segment : {2048u, 700u, 100u}) {
          ReassemblySettings settings;
          settings.memory_bytes = 16 << 20;  // many small buffers
          Bench bench(settings);
          REQUIRE(bench.add_all(frames, segment) == Outcome::kComplete);
          REQUIRE(bench.whole == builder.frame());
          REQUIRE(bench.add_all(reversed(frames), segment) == Outcome::kComplete);
          REQUIRE(bench.whole == builder.frame());
          std::shuffle(frames.begin(), frames.end(), random);
          REQUIRE(bench.add_all(frames, segment) == Outcome::kComplete);
          REQUIRE(bench.whole == builder.frame());
          CHECK(bench.fragments == frames.size());
          CHECK(bench.limit == longest);
          CHECK(bench.ip_at == kEthernet);
          CHECK(bench.contiguous >= std::min(bench.whole.size(), kEthernet + Reassembler::kContiguousBytes));
          CHECK(bench.lost() == 0);
          CHECK(bench.reassembler.held_bytes() == 0);
        }
      }
    }
  }
}

// Scenario frag-in: the pieces as they came, the datagram as it went out before it was cut again.
TEST_CASE("reassembly: LVS's fragments of scenario frag-in") {
  Bench bench;
  const PacketBuilder builder = udp("198.51.100.4:7", "192.0.2.1:53").payload_size(900).id(9).dont_fragment(false);
  const auto frames = builder.fragments(480);
  REQUIRE(to_hex(frames[1]).substr(28, 24) == "450001c00009003c40118caf");
  CHECK(bench.add_all(reversed(frames)) == Outcome::kComplete);
  CHECK(to_hex(bench.whole).substr(28, 24) == to_hex(builder.packet()).substr(0, 24));
  CHECK(bench.limit == 500);
}

TEST_CASE("reassembly: the smallest pieces, no link header, a VLAN tag") {
  for (const bool ipv6 : {false, true}) {
    Bench bench;
    const PacketBuilder builder = datagram(ipv6, 1000);
    CHECK(bench.add_all(builder.fragments(8)) == Outcome::kComplete);
    CHECK(bench.whole == builder.frame());
    CHECK(bench.fragments == 126);
    auto bare = builder.fragments(480);
    for (Bytes& frame : bare) frame.erase(frame.begin(), frame.begin() + kEthernet);
    CHECK(bench.add_all(bare, 2048, 0) == Outcome::kComplete);
    CHECK(bench.whole == builder.packet());
    PacketBuilder tagged = builder;
    tagged.vlan(100);
    CHECK(bench.add_all(tagged.fragments(480), 2048, 18) == Outcome::kComplete);
    CHECK(bench.whole == tagged.frame());
  }
}

TEST_CASE("reassembly: Ethernet padding is no payload") {
  for (const bool ipv6 : {false, true}) {
    for (const size_t segment : {2048u, 60u, 90u}) {
      Bench bench;
      PacketBuilder builder = datagram(ipv6, 500);
      const Bytes whole = builder.frame();
      auto frames = builder.pad_to(700).fragments(8);
      CHECK(bench.add_all(frames, segment + 40) == Outcome::kComplete);
      CHECK(bench.whole == whole);
    }
  }
}

TEST_CASE("reassembly: headers are those of the first fragment") {
  Bench bench;
  PacketBuilder builder = datagram4(1000).ip_options("94040000").ttl(9).tos(0xb8);
  auto frames = builder.fragments(480);
  // Later ones need not have the options, nor the TTL.
  frames[1] = udp("198.51.100.1:7", "192.0.2.1:53").dont_fragment(false).payload_size(1000).fragments(480)[1];
  frames[2] = udp("198.51.100.1:7", "192.0.2.1:53").dont_fragment(false).payload_size(1000).fragments(480)[2];
  for (Bytes& frame : frames) frame[kEthernet + 1] = 0xb8;
  CHECK(bench.add_all(reversed(frames)) == Outcome::kComplete);
  CHECK(bench.whole == builder.frame());
}

TEST_CASE("reassembly: IPv6 extension headers before the fragment header stay, those behind it are payload") {
  Bench bench;
  PacketBuilder builder = datagram6(1000);
  builder.extension(0, "00 0104 00000000")
      .extension(43, "00 00 00 00000000")
      .extension(60, "01 010c 000000000000000000000000");
  CHECK(bench.add_all(builder.fragments(480)) == Outcome::kComplete);
  CHECK(bench.whole == builder.frame());
  CHECK(bench.add_all(reversed(builder.fragments(480)), 200) == Outcome::kComplete);
  CHECK(bench.whole == builder.frame());
}

TEST_CASE("reassembly: an atomic fragment passes at once, and leaves others of its id alone") {
  Bench bench;
  CHECK(bench.add(piece(true, 0, 16, true)) == Outcome::kHeld);
  PacketBuilder builder = PacketBuilder("2001:db8:aa::1", "2001:db8:ff::1", 99).id(77).payload_size(100);
  const Bytes plain = builder.frame();
  CHECK(bench.add(builder.fragment(0, false).frame()) == Outcome::kComplete);
  CHECK(bench.whole == plain);
  CHECK(bench.limit == plain.size() - kEthernet + 8);  // it leaves as it came
  CHECK(bench.add(piece(true, 16, 5, false)) == Outcome::kComplete);
  CHECK(bench.whole.size() == kEthernet + 40 + 21);
  // Empty, and without any payload at all.
  CHECK(bench.add(PacketBuilder("2001:db8:aa::1", "2001:db8:ff::1", 59).fragment(0, false).frame()) ==
        Outcome::kComplete);
  CHECK(bench.whole.size() == kEthernet + 40);
}

TEST_CASE("reassembly: what fragments all but the last carry, if that is the same") {
  const auto part_of = [](std::vector<Bytes> frames) {
    Bench bench;
    REQUIRE(bench.add_all(frames) == Outcome::kComplete);
    return bench.seen.part;
  };
  CHECK(part_of(datagram6(1000).fragments(480)) == 480);
  CHECK(part_of(reversed(datagram6(1000).fragments(1000))) == 1000);
  CHECK(part_of({piece(true, 0, 16, true), piece(true, 16, 24, true), piece(true, 40, 3, false)}) == 0);
  CHECK(part_of({piece(true, 0, 16, true), piece(true, 16, 17, false)}) == 0);
  CHECK(part_of({piece(true, 0, 16, true), piece(true, 16, 16, false)}) == 16);
}

// RFC 8200 section 4.5: all headers are in the first fragment.
TEST_CASE("reassembly: a first IPv6 fragment without all of its TCP header is malformed") {
  Bench bench;
  const PacketBuilder segment = tcp("[2001:db8:aa::1]:7", "[2001:db8:ff::1]:80", "A").payload_size(100).id(77);
  CHECK(bench.add(segment.fragments(16)[0]) == Outcome::kDropped);
  CHECK(bench.lost(FragmentDrop::kMalformed) == 1);
  CHECK(bench.add_all(segment.fragments(24)) == Outcome::kComplete);
  CHECK(bench.whole == segment.frame());
}

TEST_CASE("reassembly: what is no fragment is handed back as it is") {
  Bench bench;
  for (const bool ipv6 : {false, true}) {
    CHECK(bench.add(datagram(ipv6, 100).frame()) == Outcome::kComplete);
    CHECK(bench.whole == datagram(ipv6, 100).frame());
    CHECK(bench.limit == 0);
  }
}

TEST_CASE("reassembly: DF counts if the longest fragment has it") {
  const auto with_df = [](Bytes frame) {
    set16(frame, kEthernet + 6, get16(frame, kEthernet + 6) | 0x4000);
    return frame;
  };
  const auto frames = datagram4(1000).fragments(480);
  Bench bench;
  CHECK(bench.add_all({frames[0], frames[1], with_df(frames[2])}) == Outcome::kComplete);
  CHECK_FALSE(bench.had_dont_fragment);
  CHECK(bench.add_all({frames[2], with_df(frames[0]), frames[1]}) == Outcome::kComplete);
  CHECK(bench.had_dont_fragment);
  CHECK(bench.whole == datagram4(1000).frame());  // the field itself is cleared
}

TEST_CASE("reassembly: ECN of all fragments together") {
  const auto outcome = [](bool ipv6, unsigned first, unsigned second, Bytes& whole) {
    Bench bench;
    auto frames = datagram(ipv6, 900).tos(first).fragments(480);
    frames[1] = datagram(ipv6, 900).tos(second).fragments(480)[1];
    const Outcome last = bench.add_all(frames);
    whole = bench.whole;
    if (last == Outcome::kDropped) CHECK(bench.lost(FragmentDrop::kMalformed) == 2);
    return last;
  };
  Bytes whole;
  for (const bool ipv6 : {false, true}) {
    CHECK(outcome(ipv6, 0xb9, 0xb8 | 3, whole) == Outcome::kComplete);
    CHECK(whole == datagram(ipv6, 900).tos(0xbb).frame());
    CHECK(outcome(ipv6, 2, 1, whole) == Outcome::kComplete);
    CHECK(whole == datagram(ipv6, 900).tos(2).frame());
    CHECK(outcome(ipv6, 3, 3, whole) == Outcome::kComplete);
    CHECK(outcome(ipv6, 0, 3, whole) == Outcome::kDropped);
    CHECK(outcome(ipv6, 2, 0, whole) == Outcome::kDropped);
  }
}

TEST_CASE("reassembly: an exact duplicate is ignored, first, middle or last") {
  for (const bool ipv6 : {false, true}) {
    const auto frames = datagram(ipv6, 1900).fragments(480);
    Bench bench;
    REQUIRE(frames.size() == 4);
    for (size_t i = 0; i < 3; ++i) CHECK(bench.add(frames[3 - i]) == Outcome::kHeld);
    for (size_t i = 0; i < 3; ++i) {
      CHECK(bench.add(frames[3 - i]) == Outcome::kDropped);
      CHECK(bench.reason == FragmentDrop::kDuplicate);
    }
    CHECK(bench.add(frames[0]) == Outcome::kComplete);
    CHECK(bench.whole == datagram(ipv6, 1900).frame());
    CHECK(bench.fragments == 4);
    CHECK(bench.lost(FragmentDrop::kDuplicate) == 3);
    CHECK(bench.lost() == 3);
  }
}

TEST_CASE("reassembly: every kind of overlap kills the datagram") {
  struct Row {
    unsigned offset;
    size_t size;
  };
  for (const bool ipv6 : {false, true}) {
    // Held: 16 to 48 and 64 to 96.
    for (const Row row : {Row{8, 16},
                          {16, 24},
                          {24, 16},
                          {40, 16},
                          {40, 32},
                          {0, 120},
                          {16, 40},
                          {64, 8},
                          {72, 24},
                          {88, 64},
                          {16, 80},
                          {48, 24}}) {
      CAPTURE(row.offset);
      CAPTURE(row.size);
      Bench bench;
      CHECK(bench.add(piece(ipv6, 16, 32, true)) == Outcome::kHeld);
      CHECK(bench.add(piece(ipv6, 64, 32, true)) == Outcome::kHeld);
      CHECK(bench.add(piece(ipv6, row.offset, row.size, true)) == Outcome::kDropped);
      CHECK(bench.reason == FragmentDrop::kOverlap);
      CHECK(bench.lost(FragmentDrop::kOverlap) == 3);
      // What comes later of it: dead too for IPv6, a new datagram for IPv4.
      CHECK(bench.reassembler.held_datagrams() == (ipv6 ? 1 : 0));
      CHECK(bench.add(piece(ipv6, 0, 16, true)) == (ipv6 ? Outcome::kDropped : Outcome::kHeld));
      CHECK(bench.lost(FragmentDrop::kOverlap) == (ipv6 ? 4 : 3));
      // Until its time is over, and nothing is said of it then.
      bench.now += seconds_to_ticks(61);
      unsigned called = 0;
      bench.reassembler.expire(bench.now, 10, [&](const Reassembler::Expired& expired) {
        ++called;
        rte_pktmbuf_free(expired.first);
      });
      CHECK(called == (ipv6 ? 0 : 1));
      CHECK(bench.add(piece(ipv6, 0, 16, true)) == Outcome::kHeld);
    }
    Bench bench;
    CHECK(bench.add(piece(ipv6, 16, 32, true)) == Outcome::kHeld);
    CHECK(bench.add(piece(ipv6, 48, 16, true)) == Outcome::kHeld);
    CHECK(bench.add(piece(ipv6, 0, 16, true)) == Outcome::kHeld);  // these touch only
  }
}

TEST_CASE("reassembly: a datagram ends in one place") {
  for (const bool ipv6 : {false, true}) {
    struct Row {
      Bytes first, second;
    };
    const Row rows[] = {{piece(ipv6, 64, 10, false), piece(ipv6, 80, 16, true)},
                        {piece(ipv6, 64, 10, false), piece(ipv6, 80, 10, false)},
                        {piece(ipv6, 64, 10, false), piece(ipv6, 40, 10, false)},
                        {piece(ipv6, 64, 16, true), piece(ipv6, 16, 10, false)}};
    for (const Row& row : rows) {
      Bench bench;
      CHECK(bench.add(row.first) == Outcome::kHeld);
      CHECK(bench.add(row.second) == Outcome::kDropped);
      CHECK(bench.reason == FragmentDrop::kMalformed);
      CHECK(bench.lost(FragmentDrop::kMalformed) == 2);
      CHECK(bench.reassembler.held_datagrams() == 0);
    }
  }
}

TEST_CASE("reassembly: fragments that make no sense die alone") {
  for (const bool ipv6 : {false, true}) {
    Bench bench;
    CHECK(bench.add(piece(ipv6, 0, 16, true)) == Outcome::kHeld);
    for (const Bytes& frame : {piece(ipv6, 16, 12, true), piece(ipv6, 16, 0, true), piece(ipv6, 16, 0, false),
                               piece(ipv6, 65528, 8, true), piece(ipv6, 65528, 100, false)}) {
      CHECK(bench.add(frame) == Outcome::kDropped);
      CHECK(bench.reason == FragmentDrop::kMalformed);
    }
    CHECK(bench.lost(FragmentDrop::kMalformed) == 5);
    CHECK(bench.add(piece(ipv6, 16, 3, false)) == Outcome::kComplete);
    CHECK(bench.whole.size() == kEthernet + (ipv6 ? 40 : 20) + 19);
  }
}

TEST_CASE("reassembly: cut off anywhere, it is malformed") {
  for (const bool ipv6 : {false, true}) {
    PacketBuilder builder = datagram(ipv6, 900);
    if (ipv6)
      builder.extension(0, "00 0104 00000000").extension(60, "01 010c 000000000000000000000000");
    else
      builder.ip_options("94040000");
    const Bytes frame = builder.fragments(480)[0];
    Bench bench;
    for (size_t size = kEthernet + 1; size < frame.size(); ++size) {
      REQUIRE(bench.add(Bytes(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(size))) == Outcome::kDropped);
      REQUIRE(bench.reason == FragmentDrop::kMalformed);
    }
    // Headers in the second buffer are not looked for.
    const size_t headers = kEthernet + (ipv6 ? 40 + 8 + 16 + 8 : 24);
    CHECK(bench.add(frame, headers - 1) == Outcome::kDropped);
    CHECK(bench.add(frame, headers) == Outcome::kHeld);
  }
}

TEST_CASE("reassembly: the longest datagrams") {
  Bench bench;
  // 65535 bytes with the header; one more does not fit.
  CHECK(bench.add_all(datagram4(65535 - 28).fragments(1480)) == Outcome::kComplete);
  CHECK(bench.whole == datagram4(65535 - 28).frame());
  CHECK(get16(bench.whole, kEthernet + 2) == 65535);
  CHECK(bench.add_all(datagram6(65535 - 8).fragments(1448)) == Outcome::kComplete);
  CHECK(bench.whole.size() == kEthernet + 40 + 65535);

  // The options of the first make it too long, which is known at the end.
  for (unsigned at = 1472; at < 65472; at += 1280) CHECK(bench.add(piece(false, at, 1280, true)) == Outcome::kHeld);
  CHECK(bench.add(piece(false, 65472, 43, false)) == Outcome::kHeld);
  Bytes payload(1472);
  CHECK(bench.add(PacketBuilder("198.51.100.1", "192.0.2.1", 99)
                      .id(77)
                      .ip_options("94040000")
                      .payload(payload)
                      .fragment(0, true)
                      .frame()) == Outcome::kDropped);
  CHECK(bench.reason == FragmentDrop::kMalformed);
  CHECK(bench.lost(FragmentDrop::kMalformed) == 52);
}

TEST_CASE("reassembly: everything in the key tells datagrams apart") {
  for (const bool ipv6 : {false, true}) {
    Bench bench;
    const char* other = ipv6 ? "2001:db8:aa::2" : "198.51.100.2";
    CHECK(bench.add(piece(ipv6, 0, 16, true)) == Outcome::kHeld);
    CHECK(bench.add(piece(ipv6, 16, 3, false, other)) == Outcome::kHeld);
    CHECK(bench.add(piece(ipv6, 16, 3, false, nullptr, 78)) == Outcome::kHeld);
    CHECK(bench.add(piece(ipv6, 16, 3, false), 2048, kEthernet, 1) == Outcome::kHeld);
    Bytes of_protocol = piece(ipv6, 16, 3, false);
    of_protocol[kEthernet + (ipv6 ? 40 : 9)] = 98;
    // RFC 8200: "the Next Header values in the Fragment headers of different fragments may differ".
    CHECK(bench.add(of_protocol) == (ipv6 ? Outcome::kComplete : Outcome::kHeld));
    CHECK(bench.reassembler.held_datagrams() == (ipv6 ? 3 : 5));
    if (!ipv6) CHECK(bench.add(piece(ipv6, 16, 3, false)) == Outcome::kComplete);
    CHECK(bench.whole[kEthernet + (ipv6 ? 6 : 9)] == 99);
  }
}

TEST_CASE("reassembly: time runs out, the first fragment is handed over if it came") {
  Bench bench;
  const auto frames = datagram4(1900).fragments(480);
  CHECK(bench.add(frames[1]) == Outcome::kHeld);
  CHECK(bench.add(frames[0]) == Outcome::kHeld);
  bench.now += 50;
  CHECK(bench.add(piece(false, 16, 16, true)) == Outcome::kHeld);
  CHECK(bench.add(piece(true, 0, 16, true)) == Outcome::kHeld);

  struct Gone {
    Bytes first;
    size_t ip_at;
    unsigned fragments;
  };
  std::vector<Gone> gone;
  const auto expire = [&](unsigned budget) {
    gone.clear();
    return bench.reassembler.expire(bench.now, budget, [&](const Reassembler::Expired& expired) {
      gone.push_back({});
      gone.back().fragments = expired.fragments;
      if (expired.first == nullptr) return;
      gone.back().first = bytes_of(expired.first);
      gone.back().ip_at = static_cast<size_t>(expired.ip - rte_pktmbuf_mtod(expired.first, uint8_t*));
      rte_pktmbuf_free(expired.first);
    });
  };
  bench.now += seconds_to_ticks(30) - 51;
  CHECK_FALSE(expire(10));
  CHECK(gone.empty());
  bench.now += 1;  // 30 s after the first came, whichever it was
  CHECK_FALSE(expire(10));
  REQUIRE(gone.size() == 1);
  CHECK(gone[0].first == frames[0]);
  CHECK(gone[0].ip_at == kEthernet);
  CHECK(gone[0].fragments == 2);
  bench.now += 50;
  CHECK_FALSE(expire(10));
  REQUIRE(gone.size() == 1);
  CHECK(gone[0].first.empty());
  CHECK(gone[0].fragments == 1);
  bench.now += seconds_to_ticks(30) - 1;
  CHECK_FALSE(expire(10));
  CHECK(gone.empty());
  bench.now += 1;
  CHECK_FALSE(expire(10));
  REQUIRE(gone.size() == 1);
  CHECK(gone[0].first == piece(true, 0, 16, true));
  CHECK(bench.reassembler.held_bytes() == 0);
  CHECK(bench.lost() == 0);  // the callback counts them

  for (unsigned id = 1; id <= 5; ++id) bench.add(piece(false, 0, 16, true, nullptr, id));
  bench.now += seconds_to_ticks(30);
  CHECK(expire(3));
  CHECK(gone.size() == 3);
  CHECK_FALSE(expire(3));
  CHECK(gone.size() == 2);
}

TEST_CASE("reassembly: a source that has its share makes room out of its own") {
  ReassemblySettings settings;
  settings.memory_bytes = 100'000;  // a source's share: ten buffers
  Bench bench(settings);
  CHECK(bench.add(piece(false, 0, 16, true, "203.0.113.1", 5)) == Outcome::kHeld);
  for (unsigned id = 0; id < 10; ++id) CHECK(bench.add(piece(false, 0, 16, true, nullptr, id)) == Outcome::kHeld);
  CHECK(bench.reassembler.held_datagrams() == 11);
  CHECK(bench.lost() == 0);
  for (unsigned id = 10; id < 60; ++id) CHECK(bench.add(piece(false, 0, 16, true, nullptr, id)) == Outcome::kHeld);
  CHECK(bench.lost(FragmentDrop::kMemory) == 50);
  CHECK(bench.reassembler.held_datagrams() == 11);
  // The oldest went, the youngest are there; and so is the other source's.
  CHECK(bench.add(piece(false, 16, 3, false, nullptr, 50)) == Outcome::kDropped);  // has to make room itself
  CHECK(bench.reason == FragmentDrop::kMemory);
  CHECK(bench.add(piece(false, 16, 3, false, nullptr, 59)) == Outcome::kComplete);
  CHECK(bench.add(piece(false, 16, 3, false, "203.0.113.1", 5)) == Outcome::kComplete);
  CHECK(bench.reassembler.held_bytes() <= settings.memory_bytes);
}

TEST_CASE("reassembly: the addresses of one IPv6 network are one source") {
  ReassemblySettings settings;
  settings.memory_bytes = 100'000;
  Bench bench(settings);
  for (unsigned host = 1; host <= 30; ++host)
    bench.add(piece(true, 0, 16, true, ("2001:db8:aa::" + std::to_string(host)).c_str()));
  CHECK(bench.reassembler.held_datagrams() == 10);
  CHECK(bench.lost(FragmentDrop::kMemory) == 20);
}

TEST_CASE("reassembly: the limit holds for all sources together, the oldest goes first") {
  ReassemblySettings settings;
  settings.memory_bytes = 100'000;
  Bench bench(settings);
  for (unsigned host = 1; host <= 200; ++host) {
    const bool ipv6 = host % 2 == 0;
    const std::string source = ipv6 ? "2001:db8:" + std::to_string(host) + "::1" : "203.0.113." + std::to_string(host);
    CHECK(bench.add(piece(ipv6, 0, 16, true, source.c_str())) == Outcome::kHeld);
    CHECK(bench.reassembler.held_bytes() <= settings.memory_bytes);
  }
  CHECK(bench.reassembler.held_datagrams() == 43);
  CHECK(bench.lost(FragmentDrop::kMemory) == 157);
  CHECK(bench.add(piece(false, 16, 3, false, "203.0.113.199")) == Outcome::kComplete);
  CHECK(bench.add(piece(true, 16, 3, false, "2001:db8:198::1")) == Outcome::kComplete);
}

TEST_CASE("reassembly: a fragment larger than any share") {
  ReassemblySettings settings;
  settings.memory_bytes = 20'000;
  Bench bench(settings);
  CHECK(bench.add(datagram4(6000).fragments(4800)[0]) == Outcome::kDropped);
  CHECK(bench.reason == FragmentDrop::kMemory);
  CHECK(bench.lost(FragmentDrop::kMemory) == 1);
}

TEST_CASE("reassembly: all is freed at the end") {
  Bench bench;
  for (unsigned id = 0; id < 20; ++id) bench.add(piece(id % 2 == 0, 0, 16, true, nullptr, id));
  CHECK(bench.reassembler.clear() == 20);
  CHECK(bench.reassembler.held_datagrams() == 0);
  CHECK(bench.add_all(datagram4(900).fragments(480)) == Outcome::kComplete);
}

TEST_CASE("reassembly: all pieces of a datagram have one home, and datagrams have many") {
  for (const bool ipv6 : {false, true}) {
    const auto home = [](const Bytes& frame) {
      rte_mbuf* packet = buffers_of(frame);
      const uint32_t hash = Reassembler::home_hash(packet, rte_pktmbuf_mtod(packet, uint8_t*) + kEthernet);
      rte_pktmbuf_free(packet);
      return hash;
    };
    std::vector<unsigned> shares(4);
    for (unsigned id = 0; id < 400; ++id) {
      const auto frames = datagram(ipv6, 100).id(id).fragments(40);
      REQUIRE(home(frames[0]) == home(frames[1]));
      REQUIRE(home(frames[0]) == home(frames[2]));
      ++shares[home(frames[0]) >> 30];
    }
    for (const unsigned share : shares) CHECK(share > 60);
    CHECK(home(Bytes(60)) == 0);
  }
}

// Against a simple model: random pieces of few datagrams; what is complete equals what was sent.
TEST_CASE("reassembly: random pieces") {
  std::mt19937 random(7);
  const auto below = [&](unsigned limit) { return static_cast<unsigned>(random() % limit); };
  ReassemblySettings settings;
  settings.memory_bytes = 300'000;
  Bench bench(settings);
  unsigned sent = 0, finished = 0, held = 0, expired_fragments = 0;
  for (unsigned round = 0; round < 20'000; ++round) {
    const bool ipv6 = below(2) != 0;
    const unsigned id = below(6);
    const std::string source =
        (ipv6 ? "2001:db8:a" + std::to_string(below(3)) + "::1" : "198.51.100." + std::to_string(below(3) + 1));
    // Mostly pieces of 40 bytes cut into 16, 16 and 8.
    const unsigned slot = below(3);
    const bool odd = below(10) == 0;
    const unsigned offset = odd ? 8 * below(6) : 16 * slot;
    const bool more = odd ? below(2) != 0 : slot != 2;
    const unsigned size = odd ? below(40) : slot == 2 ? 8 : 16;
    const Bytes frame = piece(ipv6, offset, size, more, source.c_str(), id);
    if (offset == 0 && !more) continue;
    ++sent;
    if (bench.add(frame, 60 + below(60)) == Outcome::kComplete) {
      ++finished;
      held += bench.fragments;
      const size_t header = kEthernet + (ipv6 ? 40 : 20);
      for (size_t i = header; i < bench.whole.size(); ++i) REQUIRE(bench.whole[i] == ((i - header) & 0xff));
      REQUIRE(get16(bench.whole, kEthernet + (ipv6 ? 4 : 2)) == bench.whole.size() - kEthernet - (ipv6 ? 40 : 0));
    }
    if (below(50) == 0) {
      bench.now += seconds_to_ticks(below(40));
      bench.reassembler.expire(bench.now, 5, [&](const Reassembler::Expired& expired) {
        expired_fragments += expired.fragments;
        rte_pktmbuf_free(expired.first);
      });
    }
  }
  CHECK(finished > 500);
  CHECK(sent == held + expired_fragments + bench.lost() + bench.reassembler.clear());
}

TEST_CASE("reassembly: frames changed anywhere") {
  std::mt19937 random(11);
  const auto below = [&](unsigned limit) { return static_cast<unsigned>(random() % limit); };
  Bench bench;
  unsigned sent = 0, finished = 0, finished_of = 0, expired_fragments = 0;
  for (unsigned round = 0; round < 3000; ++round) {
    const bool ipv6 = below(2) != 0;
    PacketBuilder builder = datagram(ipv6, 100 + below(400)).id(below(3));
    if (below(3) == 0) {
      if (ipv6)
        builder.extension(0, "00 0104 00000000").extension(60, "01 010c 000000000000000000000000");
      else
        builder.ip_options("94040000");
    }
    auto frames = builder.fragments(8 * (1 + below(30)));
    std::shuffle(frames.begin(), frames.end(), random);
    for (Bytes& frame : frames) {
      for (unsigned changes = below(8) == 0 ? 1 + below(3) : 0; changes != 0; --changes)
        frame[kEthernet + below(std::min<unsigned>(80, static_cast<unsigned>(frame.size() - kEthernet)))] =
            static_cast<uint8_t>(random());
      if (below(20) == 0) frame.resize(kEthernet + 1 + below(static_cast<unsigned>(frame.size() - kEthernet)));
      ++sent;
      if (bench.add(frame, 15 + below(200)) != Outcome::kComplete) continue;
      ++finished;
      finished_of += bench.fragments;
      const bool is_ipv4 = bench.whole[kEthernet] >> 4 == 4;
      if (bench.limit == 0 || !is_ipv4) continue;
      const size_t header = (bench.whole[kEthernet] & 15u) * 4u;
      REQUIRE(get16(bench.whole, kEthernet + 2) == bench.whole.size() - kEthernet);
      const auto ip = bench.whole.begin() + kEthernet;
      REQUIRE(slow_checksum(Bytes(ip, ip + static_cast<std::ptrdiff_t>(header))) == 0);
    }
    bench.now += below(300);
    bench.reassembler.expire(bench.now, 3, [&](const Reassembler::Expired& expired) {
      expired_fragments += expired.fragments;
      rte_pktmbuf_free(expired.first);
    });
  }
  CHECK(finished > 300);
  CHECK(sent == finished_of + expired_fragments + bench.lost() + bench.reassembler.clear());
}
