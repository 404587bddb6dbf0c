// SPDX-License-Identifier: Apache-2.0
// Routed flows that leave with an address of the director's: what leaves, what finds back, and what neither does.
#include "core/masquerade.h"

#include <set>

#include "core/start_network.h"
#include "test/topic.h"

using namespace fulcrum;
using namespace fulcrum::test;

namespace {

constexpr InterfaceId kClientLink = 0;
constexpr size_t kFragmentIdAt = 14 + 40 + 4;  // of IPv6
const char* const kServerMacText = "02:00:00:00:02:0b";
const char *const kFar = "198.51.100.1", *const kRouter = "198.51.100.9", *const kFarV6 = "2001:db8:cc::1",
                  *const kRouterV6 = "2001:db8:cc::9";

std::string at(const std::string& address, unsigned port) {
  return (address.find(':') == std::string::npos ? address : "[" + address + "]") + ":" + std::to_string(port);
}

MasqueradeRule rule(const char* source, PortRange ports = kMasqueradePorts, const char* address = nullptr) {
  MasqueradeRule made;
  made.source = Prefix::parse(source).value();
  made.interface = kClientLink;
  made.ports = ports;
  if (address != nullptr) made.address = Endpoint(address).address;
  return made;
}

// The servers' links are masqueraded, by these ports.
class Masquerading {
 public:
  Masquerading(Story& story, PortRange ports)
      : Masquerading(story, {rule("10.0.2.0/24", ports), rule("2001:db8:2::/64", ports)}) {}
  Masquerading(Story& story, std::vector<MasqueradeRule> rules) : story_(story), masquerade_(std::move(rules)) {
    story.shared().masquerade = &masquerade_;
  }
  ~Masquerading() { story_.shared().masquerade = nullptr; }

 private:
  Story& story_;
  Masquerade masquerade_;
};

// One family's names: a server behind the director, the director's address before it, a far end and a router there.
struct Names {
  std::string inside, own, far, router;
};
const Names kV4{"10.0.2.11", "10.0.1.1", kFar, kRouter}, kV6{server_v6(11), "2001:db8:1::1", kFarV6, kRouterV6};

// The quoted echo message's identifier and one of its addresses are others; checksums but the IP header's stay.
Bytes requoted_echo(Bytes packet, const std::string& address, unsigned identifier, bool source) {
  packet = readdressed(packet, at(address, 0), source);
  const bool is_ipv4 = packet.at(0) >> 4 == 4;
  const size_t icmp = is_ipv4 ? 20 : 40;
  // readdressed() takes these for ports.
  packet[icmp] = source ? (is_ipv4 ? 8 : 128) : 0;
  packet[icmp + 1] = 0;
  set16(packet, icmp + 4, identifier);
  return packet;
}

}  // namespace

TEST_CASE("masquerade: a TCP connection leaves as the director's, and its answers find back") {
  for (const auto& [inside, own, far, router] : {kV4, kV6}) {
    CAPTURE(inside);
    Story story;
    {
      const Masquerading on(story, {40000, 40000});
      const std::string from = at(inside, 5000), as = at(own, 40000), to = at(far, 443);
      story.server(tcp(from, to, "S").tcp_options("020405b4"), Verdict::kMasqueraded,
                   {to_client(tcp(as, to, "S").tcp_options("020405b4").ttl(63).packet())});
      story.client(tcp(to, as, "SA"), Verdict::kMasqueradedReply,
                   {to_server(11, tcp(to, from, "SA").ttl(63).packet())});
      story.server(tcp(from, to, "PA").payload("hello"), Verdict::kMasqueraded,
                   {to_client(tcp(as, to, "PA").payload("hello").ttl(63).packet())});
      CHECK(story.table() == "TCP " + from + " " + as + " " + to + " ESTABLISHED 900");
      story.client(tcp(to, as, "FA"), Verdict::kMasqueradedReply,
                   {to_server(11, tcp(to, from, "FA").ttl(63).packet())});
      story.server(tcp(from, to, "FA"), Verdict::kMasqueraded, {to_client(tcp(as, to, "FA").ttl(63).packet())});
      CHECK(story.World::connections().size() == 1);
      // Nothing else is let in: it meets the director itself.
      story.client(tcp(at(router, 443), as, "A").sequence(0), Verdict::kResetSent,
                   {to_client(tcp(as, at(router, 443), "R").id(0).sequence(0).window(0).packet())});
      story.advance_ms(130'000);
      CHECK(story.World::connections().empty());
      story.client(tcp(to, as, "A").sequence(0), Verdict::kResetSent,
                   {to_client(tcp(as, to, "R").id(0).sequence(0).window(0).packet())});
    }
    check_accounts(story);
  }
}

TEST_CASE("masquerade: UDP, its checksum where there is none, SCTP, echo by its identifier") {
  for (const auto& [inside, own, far, router] : {kV4, kV6}) {
    CAPTURE(inside);
    Story story;
    {
      const Masquerading on(story, {40000, 40000});
      const std::string from = at(inside, 5000), as = at(own, 40000), to = at(far, 53);
      story.server(udp(from, to).payload("who?"), Verdict::kMasqueraded,
                   {to_client(udp(as, to).payload("who?").ttl(63).packet())});
      story.client(udp(to, as).payload("him"), Verdict::kMasqueradedReply,
                   {to_server(11, udp(to, from).payload("him").ttl(63).packet())});
      CHECK(story.table() == "UDP " + from + " " + as + " " + to + " UDP 300");
      if (inside == kV4.inside)
        story.server(udp(from, to).payload("who?").zero_checksum(), Verdict::kMasqueraded,
                     {to_client(udp(as, to).payload("who?").ttl(63).packet())});
      const char* const init = "01000014 00000001 00010000 000a000a 00000001";
      story.server(sctp(from, to, 0, init), Verdict::kMasqueraded, {to_client(sctp(as, to, 0, init).ttl(63).packet())});

      const unsigned reply = inside == kV4.inside ? 0 : 129;
      story.server(echo_request(inside, far, 7, 1).payload("ping"), Verdict::kMasqueraded,
                   {to_client(echo_request(own, far, 40000, 1).payload("ping").ttl(63).packet())});
      story.client(icmp(far, own, reply, 0, 40000u << 16 | 1).payload("ping"), Verdict::kMasqueradedReply,
                   {to_server(11, icmp(far, inside, reply, 0, 7u << 16 | 1).payload("ping").ttl(63).packet())});
      // Somebody else's answer is for the director itself, which asked for none.
      story.client(icmp(far, own, reply, 0, 40001u << 16 | 1), Verdict::kLocalIgnored);
      CHECK(story.World::connections().size() == 3);
      story.advance_ms(61'000);
      CHECK(story.table() == "UDP " + from + " " + as + " " + to + " UDP 239");
      story.client(icmp(far, own, reply, 0, 40000u << 16 | 2), Verdict::kLocalIgnored);
    }
    check_accounts(story);
  }
}

TEST_CASE("masquerade: replies meet their owner, whichever worker got the first packet and whatever port it has") {
  Story story({}, {.workers = 2});
  {
    const Masquerading on(story, kMasqueradePorts);
    // A mark that makes nothing local changes nothing.
    MarkRule marked;
    marked.destination = Prefix::parse("198.51.100.0/25").value();
    marked.mark = 7;
    story.mark({marked});
    uint64_t flows = 0;
    std::map<uint32_t, unsigned> owners;
    for (const auto& names : {kV4, kV6}) {
      for (unsigned number = 0; number < 60; ++number) {
        const std::string from = at(names.inside, 1024 + number * 7), to = at(names.far, 100 + number % 20);
        const auto out =
            story.exchange(Side::kServer, udp(from, to).payload("?").mac(kServerMacText, "02:00:00:00:02:01").frame());
        REQUIRE(out.size() == 1);
        REQUIRE(out[0].side == Side::kClient);
        const unsigned port = get16(out[0].bytes, names.inside == kV4.inside ? 34 : 54);
        const std::string as = at(names.own, port);
        CHECK(difference(to_client(udp(as, to).payload("?").ttl(63).packet()).frame.bytes, out[0].bytes) == "");
        const auto back = story.exchange(Side::kClient, udp(to, as).payload("!").frame());
        REQUIRE(back.size() == 1);
        CHECK(difference(to_server(11, udp(to, from).payload("!").ttl(63).packet()).frame.bytes, back[0].bytes) == "");
        ++flows;
        const auto asks = echo_request(names.inside, names.far, 1000 + number);
        const auto asked =
            story.exchange(Side::kServer, PacketBuilder(asks).mac(kServerMacText, "02:00:00:00:02:01").frame());
        REQUIRE(asked.size() == 1);
        const unsigned identifier = get16(asked[0].bytes, names.inside == kV4.inside ? 38 : 58);
        const auto answered = story.exchange(
            Side::kClient,
            icmp(names.far, names.own, names.inside == kV4.inside ? 0 : 129, 0, uint32_t{identifier} << 16).frame());
        REQUIRE(answered.size() == 1);
        CHECK(get16(answered[0].bytes, names.inside == kV4.inside ? 38 : 58) == 1000 + number);
        ++flows;
      }
    }
    CHECK(story.verdict(Verdict::kMasqueraded) == flows);
    CHECK(story.verdict(Verdict::kMasqueradedReply) == flows);
    CHECK(story.World::connections().size() == flows);
    for (const ConnectionInfo& one : story.World::connections())
      if (one.protocol == IpProtocol::kUdp) ++owners[one.worker];
    CHECK(owners[0] > 30);
    CHECK(owners[1] > 30);
    CHECK(story.worker(0).counters().handed_over + story.worker(1).counters().handed_over > 100);
  }
  check_accounts(story);
}

TEST_CASE("masquerade: errors find whoever sent what they quote, and quote it as it was there") {
  for (const auto& [inside, own, far, router] : {kV4, kV6}) {
    CAPTURE(inside);
    const bool v4 = inside == kV4.inside;
    const unsigned unreachable = v4 ? 3 : 1, code = v4 ? 3 : 4, exceeded = v4 ? 11 : 3, reply = v4 ? 0 : 129;
    for (const uint32_t workers : {1u, 2u}) {
      Story story({}, {.workers = workers});
      {
        const Masquerading on(story, {40000, 40000});
        const std::string from = at(inside, 5000), as = at(own, 40000), to = at(far, 53);
        const Bytes left = udp(as, to).payload("question").ttl(63).packet();
        story.server(udp(from, to).payload("question"), Verdict::kMasqueraded, {to_client(left)});
        // From outside, by a router on the way.
        story.client(
            icmp_error(router, own, unreachable, code, left, 0, left.size()), Verdict::kMasqueradedReply,
            {to_server(11, icmp_error(router, inside, unreachable, code, readdressed(left, from, true), 0, left.size())
                               .ttl(63)
                               .packet())});
        // From inside, by a router behind the director: it comes from the director's address.
        const Bytes came = udp(to, from).payload("answer").ttl(60).packet();
        story.server(
            icmp_error(v4 ? "10.0.3.9" : "2001:db8:3::9", far, exceeded, 0, came, 0, came.size()),
            Verdict::kMasqueraded,
            {to_client(
                icmp_error(own, far, exceeded, 0, readdressed(came, as, false), 0, came.size()).ttl(63).packet())});
        // A ping that goes astray.
        const Bytes asked = echo_request(own, far, 40000, 1).payload("ping").ttl(63).packet();
        story.server(echo_request(inside, far, 7, 1).payload("ping"), Verdict::kMasqueraded, {to_client(asked)});
        story.client(icmp_error(router, own, exceeded, 0, asked, 0, asked.size()), Verdict::kMasqueradedReply,
                     {to_server(11, icmp_error(router, inside, exceeded, 0, requoted_echo(asked, inside, 7, true), 0,
                                               asked.size())
                                        .ttl(63)
                                        .packet())});
        const Bytes answered = icmp(far, inside, reply, 0, 7u << 16 | 1).ttl(60).packet();
        Bytes translated = readdressed(answered, at(own, 0), false);
        translated = patched(translated, v4 ? 22 : 42, {answered[v4 ? 22u : 42u], answered[v4 ? 23u : 43u]});
        set16(translated, v4 ? 24 : 44, 40000);
        story.server(
            icmp_error(inside, far, unreachable, 1, answered, 0, answered.size()), Verdict::kMasqueraded,
            {to_client(icmp_error(own, far, unreachable, 1, translated, 0, answered.size()).ttl(63).packet())});
        // Damaged, and about nothing that there is.
        story.client(icmp_error(router, own, unreachable, code, left, 0, left.size()).bad_checksum(),
                     Verdict::kBadTransport);
        const Bytes unknown = udp(at(own, 40001), to).payload("question").packet();
        story.client(icmp_error(router, own, unreachable, code, unknown, 0, unknown.size()), Verdict::kLocalIgnored);
        const Bytes strange = udp(to, at(inside, 5001)).payload("answer").packet();
        story.server(icmp_error(inside, far, unreachable, code, strange, 0, strange.size()),
                     Verdict::kMasqueradeNoFlow);
      }
      check_accounts(story);
    }
  }
}

TEST_CASE("masquerade: the director's own errors about masqueraded packets") {
  Story story({}, {.server_mtu = 1400});
  {
    const Masquerading on(story, {40000, 40000});
    const std::string from = "10.0.2.11:5000", as = "10.0.1.1:40000", to = "198.51.100.1:53";
    const auto last = udp(from, to).ttl(1);
    story.server(last, Verdict::kTimeExceededSent,
                 {to_server(11, icmp_error("10.0.2.1", "10.0.2.11", 11, 0, last.packet()).id(0).tos(0xc0).packet())});
    CHECK(story.World::connections().empty());
    story.server(udp(from, to), Verdict::kMasqueraded, {to_client(udp(as, to).ttl(63).packet())});
    const auto large = udp(to, as).payload_size(1430);
    story.client(
        large, Verdict::kFragmentationNeededSent,
        {to_client(icmp_error("10.0.1.1", "198.51.100.1", 3, 4, large.packet(), 1400, 548).id(0).tos(0xc0).packet())});
    story.server(last, Verdict::kTimeExceededSent,
                 {to_server(11, icmp_error("10.0.2.1", "10.0.2.11", 11, 0, last.packet()).id(0).tos(0xc0).packet())});
  }
  check_accounts(story);
}

TEST_CASE("masquerade: no port left towards one far end, any number towards another; they come free in time") {
  for (const auto& [inside, own, far, router] : {kV4, kV6}) {
    CAPTURE(inside);
    Story story;
    {
      const Masquerading on(story, {40000, 40003});
      std::set<unsigned> ports;
      const auto begin = [&](unsigned port, const std::string& to) {
        const auto out =
            story.exchange(Side::kServer, udp(at(inside, port), to).mac(kServerMacText, "02:00:00:00:02:01").frame());
        if (out.size() == 1) ports.insert(get16(out[0].bytes, inside == kV4.inside ? 34 : 54));
        return out.size() == 1;
      };
      for (unsigned port = 5000; port < 5004; ++port) CHECK(begin(port, at(far, 53)));
      CHECK(ports == std::set<unsigned>{40000, 40001, 40002, 40003});
      CHECK_FALSE(begin(5004, at(far, 53)));
      CHECK(story.verdict(Verdict::kMasqueradePortsFull) == 1);
      CHECK(begin(5004, at(far, 54)));
      CHECK(begin(5005, at(router, 53)));
      CHECK(begin(5000, at(far, 53)));  // who has one keeps it
      story.advance_ms(299'000);
      CHECK_FALSE(begin(5004, at(far, 53)));
      story.advance_ms(2'000);
      CHECK(story.World::connections().empty());
      CHECK(begin(5004, at(far, 53)));
      CHECK(story.verdict(Verdict::kMasqueradePortsFull) == 2);
    }
    check_accounts(story);
  }
}

TEST_CASE("masquerade: a service's port is never chosen, nor one that a balanced connection has") {
  Story story({"-A -u 10.0.1.1:40000 -s rr", "-a -u 10.0.1.1:40000 -r 10.0.2.12:53 -m"});
  {
    const Masquerading on(story, {40000, 40001});
    const std::string to = "198.51.100.1:53";
    story.server(udp("10.0.2.11:5000", to), Verdict::kMasqueraded,
                 {to_client(udp("10.0.1.1:40001", to).ttl(63).packet())});
    story.server(udp("10.0.2.11:5001", to), Verdict::kMasqueradePortsFull);
    // Who asks the service from the far end's port is its client.
    story.client(udp(to, "10.0.1.1:40000"), Verdict::kForwardedNat,
                 {to_server(12, udp(to, "10.0.2.12:53").ttl(63).packet())});
    story.configure({"-D -u 10.0.1.1:40000", "-A -u 192.0.2.1:53 -s rr"});
    story.server(udp("10.0.2.11:5001", to), Verdict::kMasqueradePortsFull);
    story.advance_ms(301'000);
    story.server(udp("10.0.2.11:5000", to), Verdict::kMasqueraded,
                 {to_client(udp("10.0.1.1:40001", to).ttl(63).packet())});
    story.server(udp("10.0.2.11:5001", to), Verdict::kMasqueraded,
                 {to_client(udp("10.0.1.1:40000", to).ttl(63).packet())});
  }
  check_accounts(story);
}

TEST_CASE("masquerade: a balanced connection takes over from what its server sent by itself before") {
  for (const uint32_t workers : {1u, 2u}) {
    Story story({"-A -u 192.0.2.1:53 -s rr", "-a -u 192.0.2.1:53 -r 10.0.2.11:53 -m"}, {.workers = workers});
    {
      const Masquerading on(story, {40000, 40000});
      const std::string client = "198.51.100.1:1024";
      story.server(udp("10.0.2.11:53", client).payload("late"), Verdict::kMasqueraded,
                   {to_client(udp("10.0.1.1:40000", client).payload("late").ttl(63).packet())});
      story.client(udp(client, "192.0.2.1:53").payload("?"), Verdict::kForwardedNat,
                   {to_server(11, udp(client, "10.0.2.11:53").payload("?").ttl(63).packet())});
      story.server(udp("10.0.2.11:53", client).payload("!"), Verdict::kForwardedNatReply,
                   {to_client(udp("192.0.2.1:53", client).payload("!").ttl(63).packet())});
      CHECK(story.World::connections().size() == 1);
      // To a VIP a server is a client as any other.
      story.server(udp("10.0.2.12:5000", "192.0.2.1:53"), Verdict::kForwardedNat,
                   {to_server(11, udp("10.0.2.12:5000", "10.0.2.11:53").ttl(63).packet())});
    }
    check_accounts(story);
  }
}

TEST_CASE("masquerade: only what a rule names, and only by its interface") {
  Story story;
  {
    const Masquerading on(story,
                          {rule("10.0.2.12/32", {50000, 50000}, "10.0.100.1"), rule("10.0.2.8/29", {40000, 40000})});
    const std::string to = "198.51.100.1:53";
    story.server(udp("10.0.2.12:5000", to), Verdict::kMasqueraded,
                 {to_client(udp("10.0.100.1:50000", to).ttl(63).packet())});
    story.client(udp(to, "10.0.100.1:50000"), Verdict::kMasqueradedReply,
                 {to_server(12, udp(to, "10.0.2.12:5000").ttl(63).packet())});
    story.server(udp("10.0.2.13:5000", to), Verdict::kMasqueraded,
                 {to_client(udp("10.0.1.1:40000", to).ttl(63).packet())});
    story.server(udp("10.0.2.16:5000", to), Verdict::kRouted, {to_client(udp("10.0.2.16:5000", to).ttl(63).packet())});
    story.server(udp("10.0.2.13:5000", "10.0.3.7:53"), Verdict::kRouted,
                 {to_server(0xfe, udp("10.0.2.13:5000", "10.0.3.7:53").ttl(63).packet())});
    // What comes in by itself is routed as ever, and answered by its own name until it is a flow of the server's.
    story.client(udp(to, "10.0.2.13:9"), Verdict::kRouted, {to_server(13, udp(to, "10.0.2.13:9").ttl(63).packet())});
  }
  check_accounts(story);
}

TEST_CASE("masquerade: what begins no flow and belongs to none does not leave") {
  Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11:80 -m"});
  {
    const Masquerading on(story, {40000, 40000});
    const std::string to = "198.51.100.1:443";
    story.server(tcp("10.0.2.11:5000", to, "R"), Verdict::kMasqueradeNoFlow);
    // Late for a balanced connection.
    story.server(tcp("10.0.2.11:80", to, "SA"), Verdict::kMasqueradeNoFlow);
    story.server(tcp("10.0.2.11:80", to, "PA"), Verdict::kMasqueradeNoFlow);
    story.server(icmp("10.0.2.11", "198.51.100.1", 13, 0), Verdict::kMasqueradeNoFlow);
    story.server(icmp("10.0.2.11", "198.51.100.1", 0, 0, 7u << 16), Verdict::kMasqueradeNoFlow);
    story.server(PacketBuilder("10.0.2.11", "198.51.100.1", 47).payload("tunnelled"), Verdict::kMasqueradeProtocol);
    CHECK(story.World::connections().empty());
    // A connection that is older than the director, or was silent too long, goes on.
    story.server(tcp("10.0.2.11:5000", to, "PA").payload("x"), Verdict::kMasqueraded,
                 {to_client(tcp("10.0.1.1:40000", to, "PA").payload("x").ttl(63).packet())});
    story.server(tcp("10.0.2.11:5000", to, "R"), Verdict::kMasqueraded,
                 {to_client(tcp("10.0.1.1:40000", to, "R").ttl(63).packet())});
  }
  check_accounts(story);
}

TEST_CASE("masquerade: datagrams in pieces, whether or not anything is balanced") {
  for (const bool balances : {false, true}) {
    for (const auto& [inside, own, far, router] : {kV4, kV6}) {
      CAPTURE(inside);
      Story story;
      if (balances) story.configure({"-A -u 192.0.2.1:53 -s rr", "-A -u [2001:db8:ff::1]:53 -s rr"});
      {
        const Masquerading on(story, {40000, 40000});
        const std::string from = at(inside, 5000), as = at(own, 40000), to = at(far, 53);
        const auto pieces = [](PacketBuilder packet) {
          return packet.payload_size(3000).dont_fragment(false).id(77).fragments(1000);
        };
        // As they came, those of IPv6 by an id of the director's.
        const auto expect = [&](std::vector<Bytes> frames) {
          const std::vector<Frame> left = story.collect();
          REQUIRE(left.size() == frames.size());
          for (size_t i = 0; i < left.size(); ++i) {
            Bytes actual = left[i].bytes;
            if (inside != kV4.inside) actual = patched(actual, kFragmentIdAt, {0, 0, 0, 77});
            CHECK(difference(frames[i], actual) == "");
          }
        };
        const auto from_server = udp(from, to).mac(kServerMacText, "02:00:00:00:02:01");
        for (const Bytes& piece : pieces(from_server)) story.put(Side::kServer, piece);
        story.run();
        expect(pieces(udp(as, to).ttl(63).mac("02:00:00:00:01:01", "02:00:00:00:01:fe")));
        for (const Bytes& piece : pieces(udp(to, as))) story.put(Side::kClient, piece);
        story.run();
        expect(pieces(udp(to, from).ttl(63).mac("02:00:00:00:02:01", kServerMacText)));
        CHECK(story.verdict(Verdict::kMasqueraded) == 1);
        CHECK(story.verdict(Verdict::kMasqueradedReply) == 1);
      }
      check_accounts(story);
    }
  }
}

TEST_CASE("masquerade: neither a sweep nor a family's last service ends its flows, and a full table refuses new ones") {
  Story story({"-A -t 192.0.2.1:80 -s rr"}, {.connections = 4});
  {
    const Masquerading on(story, kMasqueradePorts);
    const auto query = [](unsigned port) {
      return udp(at("10.0.2.11", port), "198.51.100.1:53").mac(kServerMacText, "02:00:00:00:02:01").frame();
    };
    for (unsigned port = 5000; port < 5004; ++port) CHECK(story.exchange(Side::kServer, query(port)).size() == 1);
    CHECK(story.exchange(Side::kServer, query(5004)).empty());
    CHECK(story.verdict(Verdict::kTableFull) == 1);
    Command sweep{};
    sweep.kind = Command::Kind::kSweep;
    story.command(sweep);
    story.run();
    CHECK(story.World::connections().size() == 4);
    story.configure({"-D -t 192.0.2.1:80"});
    CHECK(story.exchange(Side::kServer, query(5000)).size() == 1);
    CHECK(story.verdict(Verdict::kMasqueraded) == 5);
    CHECK(story.verdict(Verdict::kRouted) == 0);
    story.tune("new_connections_per_second", 1);
    story.advance_ms(301'000);
    CHECK(story.exchange(Side::kServer, query(5000)).size() == 1);
    CHECK(story.exchange(Side::kServer, query(5001)).empty());
    CHECK(story.verdict(Verdict::kNewConnectionBudget) == 1);
  }
  check_accounts(story);
}

TEST_CASE("masquerade: where nothing is masqueraded, echoes and what they quote are routed as ever") {
  Story story;
  story.server(echo_request("10.0.2.11", kFar, 7), Verdict::kRouted,
               {to_client(echo_request("10.0.2.11", kFar, 7).ttl(63).packet())});
  const Bytes asked = echo_request("10.0.2.11", kFar, 7).packet();
  story.client(icmp_error(kRouter, "10.0.2.11", 11, 0, asked), Verdict::kRouted,
               {to_server(11, icmp_error(kRouter, "10.0.2.11", 11, 0, asked).ttl(63).packet())});
  check_accounts(story);
}

TEST_CASE("masquerade: every port of a range is tried once, the first one depends on who asks") {
  const be32 source = Endpoint("10.0.2.11").address.v4(), other = Endpoint("10.0.2.12").address.v4();
  for (const PortRange range : {PortRange{1024, 32767}, PortRange{40000, 40000}, PortRange{40000, 40001},
                                PortRange{1, 65535}, PortRange{40000, 40011}}) {
    PortWalk walk(range, source, be16::from_host(5000));
    std::set<uint16_t> ports;
    const unsigned size = range.last - range.first + 1u;
    for (unsigned i = 0; i < size; ++i) ports.insert(walk.next().host());
    CHECK(ports.size() == size);
    CHECK(*ports.begin() == range.first);
    CHECK(*ports.rbegin() == range.last);
  }
  // What a kernel gives its sockets does not meet itself.
  std::set<uint16_t> firsts;
  for (unsigned port = 32768; port <= 60999; ++port)
    firsts.insert(PortWalk(kMasqueradePorts, source, be16::from_host(static_cast<uint16_t>(port))).next().host());
  CHECK(firsts.size() == 60999 - 32768 + 1);
  const auto first = [](be32 from) { return PortWalk(kMasqueradePorts, from, be16::from_host(5000)).next().host(); };
  CHECK(first(source) == first(source));
  CHECK(first(source) != first(other));
}

TEST_CASE("masquerade: a rule that makes no sense is refused by its field") {
  Network network;
  Interface wan, lan;
  wan.name = "wan";
  wan.addresses = {Prefix::parse("203.0.113.1/24").value()};
  lan.name = "lan";
  lan.addresses = {Prefix::parse("10.0.2.1/24").value(), Prefix::parse("2001:db8:2::1/64").value()};
  network.add_interface(wan);
  network.add_interface(lan);
  const auto reason = [&](const MasqueradeConfig& wanted) -> std::string {
    StartConfig config;
    config.masquerade = {wanted};
    try {
      const auto built = build_masquerade(config, network);
      return built->rules().size() == 1 ? "" : "?";
    } catch (const StartError& error) {
      return error.what();
    }
  };
  MasqueradeConfig wanted;
  wanted.source = Prefix::parse("10.0.2.0/24").value();
  wanted.interface = "wan";
  CHECK(reason(wanted) == "");
  wanted.interface = "wam";
  CHECK(reason(wanted) == "masquerade[0].interface: there is no interface \"wam\"");
  wanted.interface = "wan";
  wanted.source = Prefix::parse("2001:db8:2::/64").value();
  CHECK(reason(wanted) == "masquerade[0].address: interface \"wan\" has none of the source's family");
  wanted.address = Endpoint("10.0.2.1").address;
  CHECK(reason(wanted) == "masquerade[0].address: 10.0.2.1 is not of the source's address family");
  wanted.address = Endpoint("2001:db8:2::2").address;
  CHECK(reason(wanted) == "masquerade[0].address: 2001:db8:2::2 is no interface's address");
  wanted.address = Endpoint("2001:db8:2::1").address;
  CHECK(reason(wanted) == "");
  wanted.ports = {2000, 1999};
  CHECK(reason(wanted) == "masquerade[0].ports: from 1 to 65535, the first not above the last");
  CHECK(build_masquerade(StartConfig{}, network) == nullptr);
}
