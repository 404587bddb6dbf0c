// SPDX-License-Identifier: Apache-2.0
// Fragmented datagrams through the whole director: one datagram is one packet, and goes on in pieces no larger than it
// came in.
#include "test/topic.h"

using namespace fulcrum;
using namespace fulcrum::test;

namespace {

const char* const kVip = "192.0.2.1:53";
const char* const kVip6 = "[2001:db8:ff::1]:53";
std::string client(unsigned port) { return "198.51.100.1:" + std::to_string(port); }
std::string client6(unsigned port) { return "[2001:db8:aa::1]:" + std::to_string(port); }

const std::vector<std::string> kNat = {"-A -u 192.0.2.1:53 -s rr", "-a -u 192.0.2.1:53 -r 10.0.2.11:5353 -m"};
const std::vector<std::string> kDirect = {"-A -u 192.0.2.1:53 -s rr", "-a -u 192.0.2.1:53 -r 10.0.2.11:53 -g"};
const std::vector<std::string> kTunnel = {"-A -u 192.0.2.1:53 -s rr", "-a -u 192.0.2.1:53 -r 10.0.2.11:53 -i"};
const std::vector<std::string> kNat6 = {"-A -u [2001:db8:ff::1]:53 -s rr",
                                        "-a -u [2001:db8:ff::1]:53 -r [2001:db8:2::b]:5353 -m"};
const std::vector<std::string> kDirect6 = {"-A -u [2001:db8:ff::1]:53 -s rr",
                                           "-a -u [2001:db8:ff::1]:53 -r [2001:db8:2::b]:53 -g"};
const std::vector<std::string> kTunnel6 = {"-A -u [2001:db8:ff::1]:53 -s rr",
                                           "-a -u [2001:db8:ff::1]:53 -r [2001:db8:2::b]:53 -i"};

PacketBuilder datagram(const std::string& from, const std::string& to, size_t size = 4000) {
  return udp(from, to).dont_fragment(false).payload_size(size);
}
std::vector<Bytes> from_server(PacketBuilder builder, size_t size) {
  return builder.mac("02:00:00:00:02:0b", "02:00:00:00:02:01").fragments(size);
}

// The IP packet that frames are the pieces of, and the longest piece.
struct Whole {
  Bytes packet;
  size_t longest = 0;
  size_t pieces = 0;
};
Whole whole(const std::vector<Frame>& frames, Side side) {
  Whole made;
  std::map<size_t, Bytes> parts;
  for (const Frame& frame : frames) {
    CHECK(frame.side == side);
    const Bytes ip(frame.bytes.begin() + 14, frame.bytes.end());
    ++made.pieces;
    const bool is_ipv4 = ip.at(0) >> 4 == 4;
    made.longest = std::max(made.longest, is_ipv4 ? size_t{get16(ip, 2)} : size_t{40} + get16(ip, 4));
    const bool is_piece = is_ipv4 ? (get16(ip, 6) & 0x3fff) != 0 : ip[6] == 44;
    const size_t header = is_ipv4 ? (ip[0] & 15u) * 4u : is_piece ? 48 : 40;
    const size_t offset = !is_piece ? 0 : is_ipv4 ? (get16(ip, 6) & 0x1fffu) * 8u : get16(ip, 42) & 0xfff8u;
    const size_t end = is_ipv4 ? get16(ip, 2) : 40u + get16(ip, 4);
    parts[offset] = packet_text_parts::slice(ip, header, end - header);
    if (offset != 0) continue;
    made.packet = Bytes(ip.begin(), ip.begin() + (is_ipv4 ? static_cast<std::ptrdiff_t>(header) : 40));
    if (!is_ipv4 && is_piece) made.packet[6] = ip[40];
  }
  size_t expected = 0;
  for (const auto& [offset, part] : parts) {
    CHECK(offset == expected);
    expected += part.size();
    put(made.packet, part);
  }
  if (made.packet.empty()) return made;
  const bool is_ipv4 = made.packet[0] >> 4 == 4;
  if (is_ipv4) {
    const size_t header = (made.packet[0] & 15u) * 4u;
    set16(made.packet, 2, static_cast<unsigned>(made.packet.size()));
    set16(made.packet, 6, get16(made.packet, 6) & 0x4000);
    set16(made.packet, 10, 0);
    set16(made.packet, 10,
          slow_checksum(Bytes(made.packet.begin(), made.packet.begin() + static_cast<std::ptrdiff_t>(header))));
  } else {
    set16(made.packet, 4, static_cast<unsigned>(made.packet.size() - 40));
  }
  return made;
}

}  // namespace

TEST_CASE("fragments: in order, reversed, doubled: one packet in statistics, no piece longer than it came") {
  for (const uint32_t workers : {1u, 2u}) {
    for (const int order : {0, 1, 2}) {
      Story story(kNat, {.workers = workers});
      for (unsigned port = 1000; port < 1010; ++port) {
        auto pieces = datagram(client(port), kVip).id(port).fragments(800);
        Story::Given given = {{Verdict::kReassembled, pieces.size() - 1}, {Verdict::kForwardedNat, 1}};
        if (order == 1) std::reverse(pieces.begin(), pieces.end());
        if (order == 2) {
          pieces.insert(pieces.begin() + 1, pieces[0]);
          given[Verdict::kFragmentDuplicate] = 1;
        }
        for (const Bytes& piece : pieces) story.put(Side::kClient, piece);
        story.run();
        const auto before = story.collect();
        story.expect("a datagram", given, {});
        const Whole sent = whole(before, Side::kServer);
        CHECK(sent.longest <= 820);
        CHECK(sent.pieces == 6);
        CHECK(to_hex(sent.packet) == to_hex(datagram(client(port), "10.0.2.11:5353").id(port).ttl(63).packet()));
      }
      CHECK(story.statistics().starts_with("UDP 192.0.2.1:53 10 10 0 40280 0"));
      check_accounts(story);
    }
  }
}

TEST_CASE("fragments: pieces that arrive by different workers meet") {
  Story story(kNat, {.workers = 3});
  // As if each worker had a receive queue: in turn, each piece by another.
  for (unsigned port = 1000; port < 1030; ++port) {
    uint32_t next = port;
    for (const Bytes& piece : datagram(client(port), kVip).id(port).fragments(1480)) {
      rte_mbuf* packet = story.make_packet(piece);
      packet->port = story.port_id(Side::kClient);
      story.worker(next++ % 3).handle_burst(&packet, 1, Worker::Steering::kBeforeLookup);
    }
    for (int round = 0; round < 3; ++round) story.run();
    const Whole sent = whole(story.collect(), Side::kServer);
    CHECK(to_hex(sent.packet) == to_hex(datagram(client(port), "10.0.2.11:5353").id(port).ttl(63).packet()));
  }
  unsigned with_connections = 0;
  for (uint32_t id = 0; id < 3; ++id) with_connections += story.worker(id).connections() != 0;
  CHECK(with_connections == 3);
  CHECK(story.World::connections().size() == 30);
  CHECK(story.verdict(Verdict::kForwardedNat) == 30);
  CHECK(rte_mempool_in_use_count(World::buffers()) == 0);
}

TEST_CASE("fragments: overlapping ones kill the datagram, and are counted") {
  Story story(kDirect);
  auto pieces = datagram(client(1000), kVip).fragments(1480);
  const auto others = datagram(client(1000), kVip).fragments(1000);
  story.frames(Side::kClient, {pieces[0], others[1], pieces[1], pieces[2]},
               {{Verdict::kFragmentOverlap, 2}});  // the others wait now
  story.advance_ms(31'000);
  story.frames(Side::kClient, {}, {{Verdict::kFragmentTimeout, 2}});
  CHECK(story.table() == "");
  check_accounts(story);
}

TEST_CASE("fragments: overlapping ones of IPv6 kill also what comes later (RFC 5722)") {
  Story six(kDirect6);
  auto pieces6 = datagram(client6(1000), kVip6).fragments(1440);
  const auto others6 = datagram(client6(1000), kVip6).fragments(1000);
  six.frames(Side::kClient, {pieces6[0], others6[1], pieces6[1], pieces6[2]}, {{Verdict::kFragmentOverlap, 4}});
  six.advance_ms(61'000);
  check_accounts(six);
}

TEST_CASE("fragments: what does not come in time; the sender is told if the first piece came") {
  for (const uint32_t workers : {1u, 2u}) {
    Story story(kDirect, {.workers = workers});
    const auto pieces = datagram(client(1000), kVip).fragments(1480);
    story.frames(Side::kClient, {pieces[0], pieces[1]}, {});
    story.frames(Side::kClient, {datagram(client(1000), kVip).id(7).fragments(1480)[1]}, {});
    story.advance_ms(29'000);
    story.frames(Side::kClient, {}, {});
    story.advance_ms(1'000);
    const Bytes first(pieces[0].begin() + 14, pieces[0].end());
    story.frames(Side::kClient, {}, {{Verdict::kFragmentTimeout, 3}},
                 {to_client(icmp_error("192.0.2.1", "198.51.100.1", 11, 1, first, 0, 548).tos(0xc0).id(0).packet())});
    check_accounts(story);
  }
  for (const uint32_t workers : {1u, 2u}) {
    Story six(kDirect6, {.workers = workers});
    const auto pieces6 = datagram(client6(1000), kVip6).fragments(1440);
    six.frames(Side::kClient, {pieces6[0], pieces6[1]}, {});
    six.advance_ms(60'000);
    const Bytes first6(pieces6[0].begin() + 14, pieces6[0].end());
    six.frames(Side::kClient, {}, {{Verdict::kFragmentTimeout, 2}},
               {to_client(icmp_error("2001:db8:ff::1", "2001:db8:aa::1", 3, 1, first6, 0, 1232).packet())});
    check_accounts(six);
  }
}

TEST_CASE("fragments: memory is bounded, the oldest goes") {
  Story story(kDirect);
  story.tune("ipfrag_high_thresh", 64 * 1024);
  unsigned sent = 0;
  for (unsigned host = 1; host < 200; ++host) {
    const std::string from = "198.51.100." + std::to_string(host) + ":1000";
    story.put(Side::kClient, datagram(from, kVip).fragments(1480)[0]);
    ++sent;
    story.run();
    CHECK(WorkerInspector::held_bytes(story.worker(0)) <= 64 * 1024);
  }
  const uint64_t lost = story.verdict(Verdict::kFragmentMemory);
  CHECK(lost > 150);
  CHECK(lost + WorkerInspector::held_datagrams(story.worker(0)) == sent);
  // A few at a time are given up.
  story.advance_ms(30'000);
  for (int i = 0; i < 20; ++i) story.advance_ms(10);
  check_accounts(story);
}

TEST_CASE("fragments: one sender has a part of the memory only, so the others' stay") {
  Story greedy(kDirect);
  greedy.tune("ipfrag_high_thresh", 64 * 1024);
  greedy.put(Side::kClient, datagram("198.51.100.77:1000", kVip).fragments(1480)[0]);
  for (unsigned id = 0; id < 200; ++id)
    greedy.put(Side::kClient, datagram("198.51.100.1:1000", kVip).id(id).fragments(1480)[0]);
  greedy.run();
  const auto rest = datagram("198.51.100.77:1000", kVip).fragments(1480);
  for (size_t i = 1; i < rest.size(); ++i) greedy.put(Side::kClient, rest[i]);
  greedy.run();
  CHECK(greedy.verdict(Verdict::kForwardedDr) == 1);
  greedy.advance_ms(30'000);
  for (int i = 0; i < 20; ++i) greedy.advance_ms(10);
  check_accounts(greedy);
}

TEST_CASE("fragments: 60,000 bytes by each method and both families, and back") {
  struct Kind {
    const std::vector<std::string>* config;
    bool is_ipv6;
    std::string to, back_from;  // as NAT has it; empty: the VIP's
    Verdict verdict;
    unsigned outer;
  };
  const Kind kinds[] = {{&kNat, false, "10.0.2.11:5353", "10.0.2.11:5353", Verdict::kForwardedNat, 0},
                        {&kDirect, false, kVip, kVip, Verdict::kForwardedDr, 0},
                        {&kTunnel, false, kVip, kVip, Verdict::kForwardedTun, 20},
                        {&kNat6, true, "[2001:db8:2::b]:5353", "[2001:db8:2::b]:5353", Verdict::kForwardedNat, 0},
                        {&kDirect6, true, kVip6, kVip6, Verdict::kForwardedDr, 0},
                        {&kTunnel6, true, kVip6, kVip6, Verdict::kForwardedTun, 40}};
  for (const Kind& kind : kinds) {
    for (const uint32_t workers : {1u, 2u}) {
      CAPTURE(kind.to);
      CAPTURE(workers);
      Story story(*kind.config, {.workers = workers});
      const std::string from = kind.is_ipv6 ? client6(1000) : client(1000), vip = kind.is_ipv6 ? kVip6 : kVip;
      // A tunnel over IPv6 leaves less: larger ones would be refused.
      const size_t size = kind.is_ipv6 ? 1384 : 1480;
      const auto pieces = datagram(from, vip, 60'000).fragments(size);
      for (const Bytes& piece : pieces) story.put(Side::kClient, piece);
      story.run();
      const auto frames = story.collect();
      story.expect("60,000 bytes", {{Verdict::kReassembled, pieces.size() - 1}, {kind.verdict, 1}}, {});
      const Whole sent = whole(frames, Side::kServer);
      CHECK(sent.longest <= 1500);
      const Bytes inner(sent.packet.begin() + static_cast<std::ptrdiff_t>(kind.outer), sent.packet.end());
      CHECK(to_hex(inner) == to_hex(datagram(from, kind.to, 60'000).ttl(63).packet()));

      const auto answers = from_server(datagram(kind.back_from, from, 60'000), size);
      for (const Bytes& piece : answers) story.put(Side::kServer, piece);
      story.run();
      const Whole back = whole(story.collect(), Side::kClient);
      CHECK(back.longest <= size + (kind.is_ipv6 ? 48 : 20));
      CHECK(to_hex(back.packet) == to_hex(datagram(vip, from, 60'000).ttl(63).packet()));
      check_accounts(story);
    }
  }
}

TEST_CASE("fragments: an IPv6 datagram whose pieces are too long for the way is refused") {
  Story story(kDirect6, {.server_mtu = 1400});
  const auto pieces = datagram(client6(1000), kVip6).fragments(1440);
  for (const Bytes& piece : pieces) story.put(Side::kClient, piece);
  story.run();
  const auto left = story.collect();
  REQUIRE(left.size() == 1);
  CHECK(left[0].side == Side::kClient);
  CHECK(get16(left[0].bytes, 14 + 40) == 0x0200);  // packet too big
  CHECK(get16(left[0].bytes, 14 + 40 + 6) == 1400);
  CHECK(story.verdict(Verdict::kFragmentationNeededSent) == 1);
  check_accounts(story);
}

TEST_CASE("fragments: a long packet without DF is cut for a short link, with DF it is refused") {
  Story story(kDirect, {.server_mtu = 1400});
  const auto packet = udp(client(1000), kVip).payload_size(1472);
  story.put(Side::kClient, PacketBuilder(packet).dont_fragment(false).frame());
  story.run();
  const Whole sent = whole(story.collect(), Side::kServer);
  CHECK(sent.pieces == 2);
  CHECK(sent.longest <= 1400);
  CHECK(to_hex(sent.packet) == to_hex(PacketBuilder(packet).dont_fragment(false).ttl(63).packet()));
  story.expect("", {{Verdict::kForwardedDr, 1}}, {});
  story.client(
      packet, Verdict::kFragmentationNeededSent,
      {to_client(icmp_error("192.0.2.1", "198.51.100.1", 3, 4, PacketBuilder(packet).ttl(63).packet(), 1400, 548)
                     .tos(0xc0)
                     .id(0)
                     .packet())});
}

TEST_CASE("fragments: a mere router passes them on as they are, a director puts together what it routes") {
  Story story;
  const auto pieces = datagram("203.0.113.9:7", "10.0.2.12:9").fragments(1480);
  for (const Bytes& piece : pieces) {
    Bytes expected(piece.begin() + 14, piece.end());
    expected[8] = 63;
    set16(expected, 10, 0);
    set16(expected, 10, slow_checksum(Bytes(expected.begin(), expected.begin() + 20)));
    story.frame(Side::kClient, piece, Verdict::kRouted, {to_server(12, expected)});
  }
  story.configure(kDirect);
  story.put(Side::kClient, pieces[0]);
  story.run();
  CHECK(story.collect().empty());
  for (size_t i = 1; i < pieces.size(); ++i) story.put(Side::kClient, pieces[i]);
  story.run();
  const Whole sent = whole(story.collect(), Side::kServer);
  CHECK(sent.pieces == pieces.size());
  CHECK(sent.longest == 1500);
  check_accounts(story);
}

TEST_CASE("fragments: headers that make a fragment of what has been put together") {
  Story story(kDirect6);
  const auto query = udp(client6(1000), kVip6).payload("query");
  // Behind an authentication header, and one behind the other.
  story.client(PacketBuilder(query).extension(51, "01 0000 00000000 00000000").fragment(0, true),
               Verdict::kFragmentMalformed);
  story.client(PacketBuilder(query).extension(44, "00 0000 00000007").fragment(0, false), Verdict::kFragmentMalformed);
  story.client(PacketBuilder(query).extension(44, "00 0000 00000007").fragment(8, true), Verdict::kFragmentMalformed);
  check_accounts(story);
}

TEST_CASE("fragments: an atomic fragment is a packet by itself") {
  Story story(kNat6);
  const auto query = udp(client6(1000), kVip6).payload("query");
  story.frames(Side::kClient, {PacketBuilder(query).fragment(0, false).frame()}, {{Verdict::kForwardedNat, 1}},
               {to_server(11, udp(client6(1000), "[2001:db8:2::b]:5353").payload("query").ttl(63).packet())});
  check_accounts(story);
}
