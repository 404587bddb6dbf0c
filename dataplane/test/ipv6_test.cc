// SPDX-License-Identifier: Apache-2.0
// The director in IPv6: NAT, DR and TUN between both families, ICMPv6, extension headers, and its own answers.
#include "test/topic.h"

using namespace fulcrum;
using namespace fulcrum::test;

namespace {

const char* const kVip = "[2001:db8:ff::1]:80";
const char* const kVipHost = "2001:db8:ff::1";
const char* const kClientHost = "2001:db8:aa::1";
std::string client(unsigned port) { return "[2001:db8:aa::1]:" + std::to_string(port); }
std::string server(unsigned last_byte, unsigned port) {
  return "[" + server_v6(last_byte) + "]:" + std::to_string(port);
}
const std::vector<std::string> kNat = {"-A -t [2001:db8:ff::1]:80 -s rr",
                                       "-a -t [2001:db8:ff::1]:80 -r [2001:db8:2::b]:8080 -m"};
const std::vector<std::string> kDirect = {"-A -t [2001:db8:ff::1]:80 -s rr",
                                          "-a -t [2001:db8:ff::1]:80 -r [2001:db8:2::b]:80 -g"};
const std::vector<std::string> kTunnel = {"-A -t [2001:db8:ff::1]:80 -s rr",
                                          "-a -t [2001:db8:ff::1]:80 -r [2001:db8:2::d]:80 -i"};

// All of `about` that fits the least MTU (RFC 4443 section 2.4).
Bytes error(const Endpoint& from, const Endpoint& to, unsigned type, unsigned code, const Bytes& about,
            uint32_t rest = 0) {
  return icmp_error(from, to, type, code, about, rest, 1280 - 48).packet();
}

}  // namespace

TEST_CASE("ipv6: NAT and its replies, by one and by two workers") {
  for (const uint32_t workers : {1u, 2u}) {
    Story story(kNat, {.workers = workers});
    for (unsigned port = 1000; port < 1050; ++port) {
      story.client(tcp(client(port), kVip, "S").tos(0x48).payload("abc"), Verdict::kForwardedNat,
                   {to_server(11, tcp(client(port), server(11, 8080), "S").tos(0x48).payload("abc").ttl(63).packet())});
      story.server(tcp(server(11, 8080), client(port), "SA"), Verdict::kForwardedNatReply,
                   {to_client(tcp(kVip, client(port), "SA").ttl(63).packet())});
    }
    CHECK(story.statistics() ==
          "TCP [2001:db8:ff::1]:80 50 50 50 3150 3000\n  [2001:db8:2::b]:8080 50 50 50 3150 3000");
    CHECK(story.services() == "TCP [2001:db8:ff::1]:80 rr\n  [2001:db8:2::b]:8080 Masq 1 50 0");
    check_accounts(story);
  }
}

TEST_CASE("ipv6: UDP over NAT; no checksum becomes one") {
  Story story({"-A -u [2001:db8:ff::1]:53 -s rr", "-a -u [2001:db8:ff::1]:53 -r [2001:db8:2::b]:5353 -m"});
  const char* const vip = "[2001:db8:ff::1]:53";
  for (const bool with_checksum : {true, false}) {
    auto query = udp(client(1000), vip).payload("query");
    auto answer = udp(server(11, 5353), client(1000)).payload("answer!");
    if (!with_checksum) query.zero_checksum(), answer.zero_checksum();
    story.client(query, Verdict::kForwardedNat,
                 {to_server(11, udp(client(1000), server(11, 5353)).payload("query").ttl(63).packet())});
    story.server(answer, Verdict::kForwardedNatReply,
                 {to_client(udp(vip, client(1000)).payload("answer!").ttl(63).packet())});
  }
  CHECK(story.table() == "UDP [2001:db8:aa::1]:1000 [2001:db8:ff::1]:53 [2001:db8:2::b]:5353 UDP 300");
}

TEST_CASE("ipv6: DR changes the hop limit only; a reply that passes is counted") {
  Story story(kDirect);
  story.client(tcp(client(1000), kVip, "S"), Verdict::kForwardedDr,
               {to_server(11, tcp(client(1000), kVip, "S").ttl(63).packet())});
  story.server(tcp(kVip, client(1000), "SA"), Verdict::kForwardedReply,
               {to_client(tcp(kVip, client(1000), "SA").ttl(63).packet())});
  CHECK(story.statistics() == "TCP [2001:db8:ff::1]:80 1 1 1 60 60\n  [2001:db8:2::b]:80 1 1 1 60 60");
}

TEST_CASE("ipv6: a server behind a router") {
  Story story({"-A -t [2001:db8:ff::1]:80 -s rr", "-a -t [2001:db8:ff::1]:80 -r [2001:db8:3::5]:80 -g"});
  story.client(tcp(client(1000), kVip, "S"), Verdict::kForwardedDr,
               {to_server(0xfe, tcp(client(1000), kVip, "S").ttl(63).packet())});
}

TEST_CASE("ipv6: tunnels between both families") {
  Story story(kTunnel);
  story.configure({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r [2001:db8:2::e]:80 -i",
                   "-A -t [2001:db8:ff::2]:80 -s rr", "-a -t [2001:db8:ff::2]:80 -r 10.0.2.15:80 -i"});
  const auto syn = tcp(client(1000), kVip, "S").tos(0x48);
  story.client(
      syn, Verdict::kForwardedTun,
      {to_server(
          13, ipip("2001:db8:2::1", server_v6(13), PacketBuilder(syn).ttl(63).packet()).tos(0x48).ttl(63).packet())});
  // ECN: congestion is not copied, LVS says ECT(0) outside.
  const auto congested = tcp("198.51.100.1:1000", "192.0.2.1:80", "S").tos(0x4b);
  story.client(
      congested, Verdict::kForwardedTun,
      {to_server(
          14,
          ipip("2001:db8:2::1", server_v6(14), PacketBuilder(congested).ttl(63).packet()).tos(0x4a).ttl(63).packet())});
  const auto inner = tcp(client(1000), "[2001:db8:ff::2]:80", "S");
  story.client(inner, Verdict::kForwardedTun,
               {any_id(to_server(15, ipip("10.0.2.1", "10.0.2.15", PacketBuilder(inner).ttl(63).packet())
                                         .ttl(63)
                                         .dont_fragment(false)
                                         .id(0)
                                         .packet()))});
  // The replies go past the director, or through it as they are.
  story.server(tcp(kVip, client(1000), "SA"), Verdict::kForwardedReply,
               {to_client(tcp(kVip, client(1000), "SA").ttl(63).packet())});
}

TEST_CASE("ipv6: the hop limit ends at the director, the connection is made all the same") {
  for (const auto* config : {&kNat, &kDirect, &kTunnel}) {
    Story story(*config);
    const auto last = tcp(client(1000), kVip, "S").ttl(1);
    story.client(last, Verdict::kTimeExceededSent, {to_client(error(kVipHost, kClientHost, 3, 0, last.packet()))});
    CHECK(story.World::connections().size() == 1);
    CHECK(story.statistics().starts_with(config == &kNat ? "TCP [2001:db8:ff::1]:80 1 1 0 60 0"
                                                         : "TCP [2001:db8:ff::1]:80 1 1 1 60 108"));
  }
  Story story(kNat);
  story.client(tcp(client(1000), kVip, "S"), Verdict::kForwardedNat,
               {to_server(11, tcp(client(1000), server(11, 8080), "S").ttl(63).packet())});
  const auto reply = tcp(server(11, 8080), client(1000), "SA").ttl(1);
  story.server(reply, Verdict::kTimeExceededSent,
               {to_server(11, error("2001:db8:2::1", server_v6(11), 3, 0, reply.packet()))});
  CHECK(story.statistics().starts_with("TCP [2001:db8:ff::1]:80 1 1 0 60 0"));
}

TEST_CASE("ipv6: what is longer than the way to the server is refused with its MTU") {
  const auto data = tcp(client(1000), kVip, "A").payload_size(1440);
  const auto check = [&](const std::vector<std::string>& config, unsigned limit) {
    Story story(config, {.server_mtu = 1400});
    story.exchange(Side::kClient, tcp(client(1000), kVip, "S").frame());
    const auto before = story.verdict(Verdict::kFragmentationNeededSent);
    const auto left = story.exchange(Side::kClient, data.frame());
    CHECK(story.verdict(Verdict::kFragmentationNeededSent) == before + 1);
    REQUIRE(left.size() == 1);
    CHECK(difference(
              to_client(error(kVipHost, kClientHost, 2, 0, PacketBuilder(data).ttl(63).packet(), limit)).frame.bytes,
              left[0].bytes) == "");
    // Exactly as long as fits.
    const auto fits = story.exchange(Side::kClient, tcp(client(1000), kVip, "A").payload_size(limit - 60).frame());
    REQUIRE(fits.size() == 1);
    CHECK(fits[0].bytes.size() == 14 + 1400);
  };
  check(kDirect, 1400);
  check(kNat, 1400);
  check(kTunnel, 1360);
  check({"-A -t [2001:db8:ff::1]:80 -s rr", "-a -t [2001:db8:ff::1]:80 -r 10.0.2.13:80 -i"}, 1380);
}

TEST_CASE("ipv6: a reply that is longer than the way to the client is refused before LVS sees it") {
  Story story(kNat);
  story.client(tcp(client(1000), kVip, "S"), Verdict::kForwardedNat,
               {to_server(11, tcp(client(1000), server(11, 8080), "S").ttl(63).packet())});
  const auto reply = tcp(server(11, 8080), client(1000), "SA").payload_size(1441);
  story.server(reply, Verdict::kFragmentationNeededSent,
               {to_server(11, error("2001:db8:2::1", server_v6(11), 2, 0, reply.packet(), 1500))});
  CHECK(story.statistics().starts_with("TCP [2001:db8:ff::1]:80 1 1 0 60 0"));
  CHECK(story.table() == "TCP [2001:db8:aa::1]:1000 [2001:db8:ff::1]:80 [2001:db8:2::b]:8080 SYN_RECV 60");
}

TEST_CASE("ipv6: ICMPv6 errors about NAT connections are translated, both ways, by one and by two workers") {
  for (const uint32_t workers : {1u, 2u}) {
    Story story(kNat, {.workers = workers});
    for (unsigned port = 1000; port < 1016; ++port) {
      story.client(tcp(client(port), kVip, "S"), Verdict::kForwardedNat,
                   {to_server(11, tcp(client(port), server(11, 8080), "S").ttl(63).packet())});
      // From a router behind the director, about what the server was sent.
      const Bytes sent = tcp(client(port), server(11, 8080), "S").ttl(63).packet();
      story.server(icmp_error("2001:db8:2::fe", kClientHost, 1, 3, sent, 0, sent.size()), Verdict::kForwardedNatReply,
                   {to_client(icmp_error(kVipHost, kClientHost, 1, 3, readdressed(sent, kVip, false), 0, sent.size())
                                  .ttl(63)
                                  .packet())});
      // From a router on the clients' side, about a reply.
      const Bytes reply = tcp(kVip, client(port), "SA").ttl(60).payload_size(40).packet();
      story.client(icmp_error("2001:db8:cc::1", kVipHost, 2, 0, reply, 1280, reply.size()), Verdict::kForwardedNat,
                   {to_server(11, icmp_error("2001:db8:cc::1", server_v6(11), 2, 0,
                                             readdressed(reply, server(11, 8080), true), 1280, reply.size())
                                      .ttl(63)
                                      .packet())});
    }
    // 16 SYNs of 60 and 16 errors of 148 bytes in; 16 errors of 108 bytes out.
    CHECK(story.statistics().starts_with("TCP [2001:db8:ff::1]:80 16 32 16 3328 1728"));
    check_accounts(story);
  }
}

TEST_CASE("ipv6: an ICMPv6 error whose checksum is wrong is dropped, one about nothing known is routed") {
  Story story(kNat);
  story.client(tcp(client(1000), kVip, "S"), Verdict::kForwardedNat,
               {to_server(11, tcp(client(1000), server(11, 8080), "S").ttl(63).packet())});
  const Bytes sent = tcp(client(1000), server(11, 8080), "S").ttl(63).packet();
  story.server(icmp_error("2001:db8:2::fe", kClientHost, 1, 3, sent, 0, sent.size()).bad_checksum(),
               Verdict::kBadTransport);
  const Bytes unknown = tcp(client(1001), server(11, 8080), "S").ttl(63).packet();
  const auto about = icmp_error("2001:db8:2::fe", kClientHost, 1, 3, unknown, 0, unknown.size());
  story.server(about, Verdict::kRouted, {to_client(PacketBuilder(about).ttl(63).packet())});
  // To the VIP: its own stack, which has nothing to say.
  const Bytes nothing = tcp(kVip, client(1001), "SA").packet();
  story.client(icmp_error("2001:db8:cc::1", kVipHost, 1, 0, nothing, 0, nothing.size()), Verdict::kLocalIgnored);
}

TEST_CASE("ipv6: extension headers stay where they are") {
  const auto with_headers = [](PacketBuilder builder) {
    return builder.extension(0, "00 0502 0000 0100").extension(60, "01 010c 000000000000000000000000");
  };
  Story story(kNat);
  story.client(
      with_headers(tcp(client(1000), kVip, "S").payload("data")), Verdict::kForwardedNat,
      {to_server(11, with_headers(tcp(client(1000), server(11, 8080), "S").payload("data")).ttl(63).packet())});
  story.server(with_headers(tcp(server(11, 8080), client(1000), "SA")), Verdict::kForwardedNatReply,
               {to_client(with_headers(tcp(kVip, client(1000), "SA")).ttl(63).packet())});
  CHECK(story.table() == "TCP [2001:db8:aa::1]:1000 [2001:db8:ff::1]:80 [2001:db8:2::b]:8080 SYN_RECV 60");
}

TEST_CASE("ipv6: its own answers") {
  Story story(kDirect);
  story.client(echo_request(kClientHost, kVipHost, 9, 3).payload("x"), Verdict::kEchoAnswered,
               {to_client(icmp(kVipHost, kClientHost, 129, 0, 0x00090003).payload("x").packet())});
  story.client(
      tcp(client(1000), "[2001:db8:ff::1]:81", "S").payload("ab").sequence(77), Verdict::kResetSent,
      {to_client(tcp("[2001:db8:ff::1]:81", client(1000), "RA").sequence(0).acknowledgement(80).window(0).packet())});
  const auto query = udp(client(1000), "[2001:db8:ff::1]:53").payload("query");
  story.client(query, Verdict::kPortUnreachableSent, {to_client(error(kVipHost, kClientHost, 1, 4, query.packet()))});
  // Parameter problem, unrecognized next header: it is named at byte 6.
  const auto tunnel = ipip(kClientHost, kVipHost, query.packet());
  story.client(tunnel, Verdict::kProtocolUnreachableSent,
               {to_client(error(kVipHost, kClientHost, 4, 1, tunnel.packet(), 6))});
  auto behind = ipip(kClientHost, kVipHost, query.packet());
  behind.extension(60, "00 0104 00000000");
  story.client(behind, Verdict::kProtocolUnreachableSent,
               {to_client(error(kVipHost, kClientHost, 4, 1, behind.packet(), 40))});
  // No error about an error, and none to a group's packet or from an address that is none.
  story.client(icmp_error(kClientHost, "2001:db8:3::3", 1, 3, query.packet()).ttl(1), Verdict::kErrorWithheld);
  story.client(udp("[::1]:1", "[2001:db8:ff::1]:53"), Verdict::kMartian);
  story.client(udp("[::]:1", "[2001:db8:ff::1]:53"), Verdict::kMartian);
  story.client(udp("[::ffff:10.0.2.1]:1", "[2001:db8:ff::1]:53"), Verdict::kMartian);
  story.client(udp(client(1), "[ff02::1]:53").mac("02:00:00:00:01:fe", "33:33:00:00:00:01"), Verdict::kMulticast);
  CHECK(story.table() == "");
  check_accounts(story);
}

TEST_CASE("ipv6: a service without a server says port unreachable, for TCP too") {
  Story story({"-A -t [2001:db8:ff::1]:80 -s rr"});
  const auto syn = tcp(client(1000), kVip, "S");
  story.client(syn, Verdict::kNoServer, {to_client(error(kVipHost, kClientHost, 1, 4, syn.packet()))});
  CHECK(story.table() == "");
}

TEST_CASE("ipv6: without a route the sender is told") {
  Story story(kNat);
  const auto syn = tcp("[fd00::1]:1000", kVip, "S");
  story.client(syn, Verdict::kForwardedNat,
               {to_server(11, tcp("[fd00::1]:1000", server(11, 8080), "S").ttl(63).packet())});
  const auto reply = tcp(server(11, 8080), "[fd00::1]:1000", "SA");
  story.server(reply, Verdict::kNetUnreachableSent,
               {to_server(11, error("2001:db8:2::1", server_v6(11), 1, 0, reply.packet()))});
  const auto stray = udp(server(11, 99), "[fd00::2]:1");
  story.server(stray, Verdict::kNetUnreachableSent,
               {to_server(11, error("2001:db8:2::1", server_v6(11), 1, 0, stray.packet()))});
  // And nobody can be told who is not reachable himself.
  story.client(udp("[fd00::1]:1000", "[2001:db8:ff::1]:53"), Verdict::kErrorWithheld);
}

TEST_CASE("ipv6: everything else is routed, but not what only a link knows") {
  Story story(kDirect);
  const auto out = tcp(server(12, 40000), "[2001:db8:cb::9]:443", "S");
  story.server(out, Verdict::kRouted, {to_client(PacketBuilder(out).ttl(63).packet())});
  const auto back = tcp("[2001:db8:cb::9]:443", server(12, 40000), "SA");
  story.client(back, Verdict::kRouted, {to_server(12, PacketBuilder(back).ttl(63).packet())});
  const auto last = PacketBuilder(out).ttl(1);
  story.server(last, Verdict::kTimeExceededSent,
               {to_server(12, error("2001:db8:2::1", server_v6(12), 3, 0, last.packet()))});
  // RFC 4291 section 2.5.6: a router does not forward it.
  const auto on_link = udp("[fe80::9]:1", server(12, 2));
  story.put(Side::kClient, on_link.frame());
  story.run();
  story.add_neighbor("fe80::9", "cl", kGatewayMac);
  story.expect(on_link.frame(), Verdict::kNetUnreachableSent,
               {to_client(error("fe80::ff:fe00:101", "fe80::9", 1, 2, on_link.packet()))});
  story.client(udp(client(1), "[fe80::9]:2"), Verdict::kNetUnreachableSent,
               {to_client(error("2001:db8:1::1", kClientHost, 1, 0, udp(client(1), "[fe80::9]:2").packet()))});
}

TEST_CASE("ipv6: an echo from the link is answered over the link that it came by") {
  Story story;
  const auto ping = echo_request("fe80::9", "fe80::ff:fe00:101", 1, 2);
  story.put(Side::kClient, ping.frame());
  story.run();
  CHECK(story.collect().empty());
  const auto messages = story.messages();
  REQUIRE(messages.size() == 1);
  CHECK(messages[0].kind == ControlMessage::Kind::kNeighborWanted);
  CHECK(messages[0].key.address.text() == "fe80::9");
  CHECK(messages[0].key.interface == story.neighbor_key("fe80::9", "cl").interface);
  story.add_neighbor("fe80::9", "cl", kGatewayMac);
  story.expect(ping.frame(), Verdict::kEchoAnswered,
               {to_client(icmp("fe80::ff:fe00:101", "fe80::9", 129, 0, 0x00010002).packet())});
  check_accounts(story);
}

TEST_CASE("ipv6: malformed packets have their verdicts") {
  Story story(kDirect);
  const auto in = [&](const PacketBuilder& packet, Verdict verdict) { story.client(packet, verdict); };
  in(tcp(client(1), kVip, "S").total_length(90), Verdict::kTruncated);
  in(tcp(client(1), kVip, "S").total_length(0), Verdict::kBadIpHeader);
  in(tcp(client(1), kVip, "S").total_length(19), Verdict::kBadTransport);
  in(tcp(client(1), kVip, "S").extension(0, "20 0502 0000 0100"), Verdict::kBadIpHeader);
  in(PacketBuilder(kClientHost, kVipHost, 59), Verdict::kBadIpHeader);  // no payload at all
  in(PacketBuilder(kClientHost, kVipHost, 59).payload("x"), Verdict::kLocalIgnored);
  check_accounts(story);
}
