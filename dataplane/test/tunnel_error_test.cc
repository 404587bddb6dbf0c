// SPDX-License-Identifier: Apache-2.0
// ICMP errors about the director's own tunnel packets: the path's MTU is learnt, the client is told what concerns it.
#include "test/topic.h"

using namespace fulcrum;
using namespace fulcrum::test;

namespace {

const char* const kVip = "192.0.2.1:80";
std::string client(unsigned port) { return "198.51.100.1:" + std::to_string(port); }
const char *const kRouter = "10.0.9.9", *const kHost = "10.0.2.1", *const kServer = "10.0.2.13";

struct Kind {
  std::string options;
  unsigned overhead;
};
const Kind kIpip = {"", 20}, kGue = {" --tun-type gue --tun-port 6080 --tun-nocsum", 32},
           kGre = {" --tun-type gre --tun-nocsum", 24}, kGreSum = {" --tun-type gre --tun-csum", 28};

std::vector<std::string> tunnel(const Kind& kind) {
  return {"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.13:80 -i" + kind.options};
}
// The packet that the director sent last.
Bytes sent_by(Story& story, const PacketBuilder& packet) {
  const auto left = story.exchange(Side::kClient, packet.frame());
  REQUIRE(left.size() == 1);
  REQUIRE(left[0].side == Side::kServer);
  return Bytes(left[0].bytes.begin() + 14, left[0].bytes.end());
}
Expected told(const PacketBuilder& about, unsigned type, unsigned code, unsigned rest, size_t quoted) {
  return to_client(
      icmp_error("192.0.2.1", "198.51.100.1", type, code, about.packet(), rest, quoted).tos(0xc0).id(0).packet());
}
Bytes from_router(const Bytes& about, unsigned type, unsigned code, unsigned rest, size_t quoted) {
  return icmp_error(kRouter, kHost, type, code, about, rest, quoted)
      .mac("02:00:00:00:02:0b", "02:00:00:00:02:01")
      .frame();
}
void error(Story& story, const Bytes& frame, Verdict verdict, const std::vector<Expected>& out,
           Story::Where where = Story::Where::current()) {
  const uint64_t before = story.verdict(verdict);
  const auto left = story.exchange(Side::kServer, frame);
  CHECK(story.verdict(verdict) == before + 1);
  CHECK_MESSAGE(left.size() == out.size(), "line " << where.line());
  for (size_t i = 0; i < std::min(left.size(), out.size()); ++i) {
    CHECK(left[i].side == out[i].frame.side);
    CHECK_MESSAGE(difference(out[i].frame.bytes, left[i].bytes) == "", "line " << where.line());
  }
}

}  // namespace

TEST_CASE("tunnel errors: the MTU is learnt, the client told, and both forgotten after ten minutes") {
  for (const uint32_t workers : {1u, 2u}) {
    for (const Kind& kind : {kIpip, kGue, kGre, kGreSum}) {
      CAPTURE(workers);
      CAPTURE(kind.options);
      Story story(tunnel(kind), {.workers = workers});
      for (unsigned port = 1000; port < 1008; ++port) sent_by(story, tcp(client(port), kVip, "S"));
      const auto data = tcp(client(1003), kVip, "A").payload_size(1400);
      const Bytes outer = sent_by(story, data);
      CHECK(outer.size() == 1440 + kind.overhead);
      // 1300 for the outer packet.
      error(story, from_router(outer, 3, 4, 1300, 200), Verdict::kTunnelErrorTaken,
            {told(PacketBuilder(data).ttl(63), 3, 4, 1300 - kind.overhead, 200 - kind.overhead)});
      // From now on nobody's longer ones are sent.
      const auto other = tcp(client(1006), kVip, "A").payload_size(1400);
      const auto refused = [&](const PacketBuilder& packet) {
        return std::vector<Expected>{told(PacketBuilder(packet).ttl(63), 3, 4, 1300 - kind.overhead, 548)};
      };
      const auto left = story.exchange(Side::kClient, other.frame());
      REQUIRE(left.size() == 1);
      CHECK(difference(refused(other)[0].frame.bytes, left[0].bytes) == "");
      CHECK(sent_by(story, tcp(client(1006), kVip, "A").payload_size(1260 - kind.overhead)).size() == 1300);
      // A wider path is no news.
      error(story, from_router(outer, 3, 4, 1450, 200), Verdict::kTunnelErrorTaken,
            {told(PacketBuilder(data).ttl(63), 3, 4, 1450 - kind.overhead, 200 - kind.overhead)});
      CHECK(story.exchange(Side::kClient, other.frame()).at(0).side == Side::kClient);
      story.advance_ms(599'000);
      CHECK(story.exchange(Side::kClient, other.frame()).at(0).side == Side::kClient);
      story.advance_ms(1'000);
      CHECK(story.exchange(Side::kClient, other.frame()).at(0).side == Side::kServer);
      check_accounts(story);
    }
  }
}

TEST_CASE("tunnel errors: without DF only the director learns, and cuts") {
  Story story(tunnel(kIpip));
  sent_by(story, tcp(client(1000), kVip, "S"));
  const auto data = tcp(client(1000), kVip, "A").payload_size(1400).dont_fragment(false);
  const Bytes outer = sent_by(story, data);
  error(story, from_router(outer, 3, 4, 1300, 200), Verdict::kTunnelErrorTaken, {});
  CHECK(story.exchange(Side::kClient, data.frame()).size() == 2);
}

TEST_CASE("tunnel errors: unreachable and time exceeded come from the VIP, about the client's packet") {
  for (const Kind& kind : {kIpip, kGue, kGre}) {
    Story story(tunnel(kind));
    const auto syn = tcp(client(1000), kVip, "S");
    const Bytes outer = sent_by(story, syn);
    error(story, from_router(outer, 3, 1, 0, outer.size()), Verdict::kTunnelErrorTaken,
          {told(PacketBuilder(syn).ttl(63), 3, 1, 0, 40)});
    error(story, from_router(outer, 11, 0, 0, outer.size()), Verdict::kTunnelErrorTaken,
          {told(PacketBuilder(syn).ttl(63), 11, 0, 0, 40)});
  }
}

TEST_CASE("tunnel errors: too short, about nothing known, not to be believed") {
  Story story(tunnel(kIpip));
  const auto syn = tcp(client(1000), kVip, "S");
  const Bytes outer = sent_by(story, syn);
  // Not up to the ports behind the inner header.
  error(story, from_router(outer, 3, 4, 1000, 43), Verdict::kLocalIgnored, {});
  error(story, from_router(outer, 3, 4, 1000, 28), Verdict::kLocalIgnored, {});
  const Bytes unknown = ipip(kHost, kServer, tcp(client(1001), kVip, "S").packet()).packet();
  error(story, from_router(unknown, 3, 4, 1000, unknown.size()), Verdict::kLocalIgnored, {});
  const Bytes elsewhere = ipip(kHost, "10.0.2.14", PacketBuilder(syn).ttl(63).packet()).packet();
  error(story, from_router(elsewhere, 3, 4, 1000, elsewhere.size()), Verdict::kLocalIgnored, {});
  Bytes damaged = from_router(outer, 3, 4, 1000, outer.size());
  damaged.back() ^= 1;
  error(story, damaged, Verdict::kBadTransport, {});
  // Less than every link carries.
  error(story, from_router(outer, 3, 4, 67, outer.size()), Verdict::kTunnelErrorTaken, {});
  const Bytes all = sent_by(story, tcp(client(1000), kVip, "A").payload_size(1440));
  CHECK(all.size() == 1500);
  check_accounts(story);
}

TEST_CASE("tunnel errors: a GUE error is of a tunnel only if it names the server's port") {
  Story story(tunnel(kGue));
  const auto syn = tcp(client(1000), kVip, "S");
  const Bytes outer = sent_by(story, syn);
  story.configure({"-e -t 192.0.2.1:80 -r 10.0.2.13:80 -i --tun-type gue --tun-port 6081"});
  error(story, from_router(outer, 3, 1, 0, outer.size()), Verdict::kLocalIgnored, {});
}

TEST_CASE("tunnel errors: IPv6 outside, and both inside") {
  Story story({"-A -t [2001:db8:ff::1]:80 -s rr", "-a -t [2001:db8:ff::1]:80 -r [2001:db8:2::d]:80 -i",
               "-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r [2001:db8:2::e]:80 -i"});
  const auto about = [](const Bytes& outer, unsigned type, unsigned code, unsigned rest) {
    return icmp_error("2001:db8:9::9", "2001:db8:2::1", type, code, outer, rest, std::min<size_t>(outer.size(), 1232))
        .mac("02:00:00:00:02:0b", "02:00:00:00:02:01")
        .frame();
  };
  sent_by(story, tcp("[2001:db8:aa::1]:1000", "[2001:db8:ff::1]:80", "S"));
  const auto data = tcp("[2001:db8:aa::1]:1000", "[2001:db8:ff::1]:80", "A").payload_size(1380);
  error(
      story, about(sent_by(story, data), 2, 0, 1400), Verdict::kTunnelErrorTaken,
      {to_client(icmp_error("2001:db8:ff::1", "2001:db8:aa::1", 2, 0, PacketBuilder(data).ttl(63).packet(), 1360, 1192)
                     .packet())});
  CHECK(story.exchange(Side::kClient, data.frame()).at(0).side == Side::kClient);

  sent_by(story, tcp(client(1000), kVip, "S"));
  const auto data4 = tcp(client(1000), kVip, "A").payload_size(1400);
  error(story, about(sent_by(story, data4), 2, 0, 1400), Verdict::kTunnelErrorTaken,
        {told(PacketBuilder(data4).ttl(63), 3, 4, 1360, 548)});
  check_accounts(story);
}

TEST_CASE("tunnel errors: both what was told and what the client is told count") {
  Story story(tunnel(kIpip));
  const auto data = tcp(client(1000), kVip, "S");
  const Bytes outer = sent_by(story, data);
  error(story, from_router(outer, 3, 1, 0, 60), Verdict::kTunnelErrorTaken,
        {told(PacketBuilder(data).ttl(63), 3, 1, 0, 40)});
  CHECK(story.statistics() == "TCP 192.0.2.1:80 1 1 2 40 108\n  10.0.2.13:80 1 1 2 40 108");
}
