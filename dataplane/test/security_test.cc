// SPDX-License-Identifier: Apache-2.0
// IPsec's AH and ESP go where their hosts' key exchange (UDP port 500) went.
#include "test/topic.h"

using namespace fulcrum;
using namespace fulcrum::test;

namespace {

constexpr unsigned kEsp = 50, kAh = 51;
const char *const kClient = "198.51.100.1", *const kVip = "192.0.2.1";

PacketBuilder sealed(const char* from, const char* to, unsigned protocol) {
  return PacketBuilder(from, to, protocol).payload_size(64);
}

}  // namespace

TEST_CASE("security: AH and ESP follow the connection of UDP port 500, by one and by two workers") {
  for (const uint32_t workers : {1u, 2u}) {
    Story story({"-A -u 192.0.2.1:500 -s rr", "-a -u 192.0.2.1:500 -r 10.0.2.11:500 -m"}, {.workers = workers});
    for (unsigned host = 1; host < 9; ++host) {
      const std::string from = "198.51.100." + std::to_string(host);
      for (const unsigned protocol : {kEsp, kAh}) {
        const auto early = sealed(from.c_str(), kVip, protocol);
        story.client(early, Verdict::kProtocolUnreachableSent,
                     {to_client(icmp_error(kVip, from, 3, 2, early.packet(), 0, 84).tos(0xc0).id(0).packet())});
      }
      story.client(udp(from + ":500", "192.0.2.1:500").payload("ike"), Verdict::kForwardedNat,
                   {to_server(11, udp(from + ":500", "10.0.2.11:500").payload("ike").ttl(63).packet())});
      for (const unsigned protocol : {kEsp, kAh}) {
        story.client(sealed(from.c_str(), kVip, protocol), Verdict::kForwardedNat,
                     {to_server(11, sealed(from.c_str(), "10.0.2.11", protocol).ttl(63).packet())});
        story.server(sealed("10.0.2.11", from.c_str(), protocol), Verdict::kForwardedNatReply,
                     {to_client(sealed(kVip, from.c_str(), protocol).ttl(63).packet())});
      }
    }
    // 31 bytes of UDP and twice 84 each.
    CHECK(story.statistics().starts_with("UDP 192.0.2.1:500 8 24 16 1592 1344"));
    check_accounts(story);
  }
}

TEST_CASE("security: they keep the connection alive, and end with it") {
  Story story({"-A -u 192.0.2.1:500 -s rr", "-a -u 192.0.2.1:500 -r 10.0.2.11:500 -g"});
  story.exchange(Side::kClient, udp("198.51.100.1:500", "192.0.2.1:500").frame());
  story.advance_ms(200'000);
  story.exchange(Side::kClient, sealed(kClient, kVip, kEsp).frame());
  CHECK(story.table() == "UDP 198.51.100.1:500 192.0.2.1:500 10.0.2.11:500 UDP 300");
  story.advance_ms(299'000);
  CHECK(story.exchange(Side::kClient, sealed(kClient, kVip, kEsp).frame()).at(0).side == Side::kServer);
  story.configure({"-d -u 192.0.2.1:500 -r 10.0.2.11:500"});
  story.exchange(Side::kClient, sealed(kClient, kVip, kEsp).frame());
  CHECK(story.verdict(Verdict::kServerGone) == 1);
  story.advance_ms(300'000);
  CHECK(story.exchange(Side::kClient, sealed(kClient, kVip, kEsp).frame()).at(0).side == Side::kClient);
  check_accounts(story);
}

TEST_CASE("security: one with no payload at all") {
  Story story({"-A -u 192.0.2.1:500 -s rr", "-a -u 192.0.2.1:500 -r 10.0.2.11:500 -m"});
  story.exchange(Side::kClient, udp("198.51.100.1:500", "192.0.2.1:500").frame());
  const auto left = story.exchange(Side::kClient, PacketBuilder(kClient, kVip, kEsp).frame());
  REQUIRE(left.size() == 1);
  CHECK(difference(to_server(11, PacketBuilder(kClient, "10.0.2.11", kEsp).ttl(63).packet()).frame.bytes,
                   left[0].bytes) == "");
}

TEST_CASE("security: a client with source port 0 never meets its own connection, and cannot flood the index") {
  Story story({"-A -u 192.0.2.1:53 -s rr", "-a -u 192.0.2.1:53 -r 10.0.2.11:53 -g"});
  const auto query = udp("198.51.100.1:0", "192.0.2.1:53");
  for (int i = 0; i < 3; ++i)
    story.client(query, Verdict::kForwardedDr, {to_server(11, PacketBuilder(query).ttl(63).packet())});
  CHECK(story.World::connections().size() == 3);
  for (int i = 0; i < 1000; ++i) story.exchange(Side::kClient, query.frame());
  CHECK(story.World::connections().size() < 400);
  CHECK(story.verdict(Verdict::kTableFull) > 600);
  CHECK(story.connections(1, "198.51.100.1:1000", "192.0.2.1:53", "syn", true) == "11");
  story.advance_ms(300'000);
  CHECK(story.World::connections().empty());
  check_accounts(story);
}
