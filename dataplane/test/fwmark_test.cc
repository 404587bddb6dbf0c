// SPDX-License-Identifier: Apache-2.0
// Fwmark services: several ports, protocols and addresses under one mark, set by the director's own rules.
#include "test/topic.h"

using namespace fulcrum;
using namespace fulcrum::test;

namespace {

std::string client(unsigned port) { return "198.51.100.1:" + std::to_string(port); }

MarkRule rule(uint32_t mark, const char* destination, IpProtocol protocol = {}, PortRange ports = {},
              bool local = false) {
  MarkRule made;
  made.destination = Prefix::parse(destination).value();
  made.protocol = protocol;
  made.destination_ports = ports;
  made.mark = mark;
  made.local = local;
  return made;
}
std::string taker(Story& story, const PacketBuilder& packet) {
  const auto left = story.exchange(Side::kClient, packet.frame());
  return left.size() == 1 && left[0].side == Side::kServer ? std::to_string(left[0].bytes[5]) : "-";
}

}  // namespace

TEST_CASE("fwmark: ports, protocols and a range of addresses share one service") {
  for (const uint32_t workers : {1u, 2u}) {
    Story story({"-A -f 1 -s rr", "-a -f 1 -r 10.0.2.11:0 -m"}, {.workers = workers});
    story.mark({rule(1, "192.0.2.0/29", IpProtocol::kTcp, {80, 90}), rule(1, "192.0.2.1/32", IpProtocol::kUdp)});
    // Port 0 of the server: the packet's own.
    for (const char* vip : {"192.0.2.1:80", "192.0.2.1:85", "192.0.2.2:90"}) {
      story.client(
          tcp(client(1000), vip, "S"), Verdict::kForwardedNat,
          {to_server(11, tcp(client(1000), "10.0.2.11:" + std::to_string(Endpoint(vip).port), "S").ttl(63).packet())});
    }
    story.client(udp(client(1000), "192.0.2.1:9999").payload("q"), Verdict::kForwardedNat,
                 {to_server(11, udp(client(1000), "10.0.2.11:9999").payload("q").ttl(63).packet())});
    story.server(udp("10.0.2.11:9999", client(1000)).payload("a"), Verdict::kForwardedNatReply,
                 {to_client(udp("192.0.2.1:9999", client(1000)).payload("a").ttl(63).packet())});
    CHECK(taker(story, tcp(client(1000), "192.0.2.1:79", "S")) == "-");
    CHECK(taker(story, tcp(client(1000), "192.0.2.1:91", "S")) == "-");
    CHECK(taker(story, udp(client(1000), "192.0.2.2:80")) == "-");
    CHECK(story.statistics().starts_with("FWM 1 4 4 1 "));
    check_accounts(story);
  }
}

TEST_CASE("fwmark: the mark's service comes before the address's, the first rule that matches counts") {
  Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11:80 -g", "-A -f 2 -s rr",
               "-a -f 2 -r 10.0.2.12:0 -g"});
  const auto syn = [](unsigned port) { return tcp(client(port), "192.0.2.1:80", "S"); };
  CHECK(taker(story, syn(1000)) == "11");
  story.mark({rule(2, "192.0.2.1/32")});
  CHECK(taker(story, syn(1001)) == "12");
  story.mark({rule(3, "192.0.2.1/32", IpProtocol::kTcp), rule(2, "192.0.2.1/32")});
  CHECK(taker(story, syn(1002)) == "11");  // no service has that mark
  CHECK(taker(story, tcp(client(1000), "192.0.2.1:80", "A")) == "11");
  story.mark({});
  CHECK(taker(story, tcp(client(1001), "192.0.2.1:80", "A")) == "12");
}

TEST_CASE("fwmark: persistence holds over ports, protocols and addresses, on every worker") {
  Story story({"-A -f 1 -s rr -p 300", "-a -f 1 -r 10.0.2.11:0 -g", "-a -f 1 -r 10.0.2.12:0 -g"}, {.workers = 2});
  story.mark({rule(1, "192.0.2.0/24")});
  for (unsigned host = 1; host < 9; ++host) {
    const std::string from = "198.51.100." + std::to_string(host) + ":";
    const std::string first = taker(story, tcp(from + "1000", "192.0.2.1:80", "S"));
    CHECK(first != "-");
    for (unsigned port = 1001; port < 1011; ++port)
      CHECK(taker(story, tcp(from + std::to_string(port), "192.0.2.2:443", "S")) == first);
    CHECK(taker(story, udp(from + "1000", "192.0.2.3:53")) == first);
  }
  CHECK(story.services().starts_with("FWM 1 rr"));
  story.advance_ms(1'000);
  check_accounts(story);
}

TEST_CASE("fwmark: IPv6 has services of its own") {
  Story story({"-A -f 1 -s rr", "-a -f 1 -r 10.0.2.11:0 -g", "-A -f 1 -6 -s rr", "-a -f 1 -6 -r [2001:db8:2::c]:0 -g"});
  MarkRule all;
  all.mark = 1;
  story.mark({all});
  CHECK(taker(story, tcp(client(1), "192.0.2.1:80", "S")) == "11");
  CHECK(taker(story, tcp("[2001:db8:aa::1]:1", "[2001:db8:ff::1]:80", "S")) == "12");
}

TEST_CASE("fwmark: what is local by its mark is balanced, whatever its address; nobody else answers for it") {
  for (const uint32_t workers : {1u, 2u}) {
    Story story({"-A -f 7 -s rr", "-a -f 7 -r 10.0.2.11:0 -g"}, {.workers = workers});
    const auto syn = tcp(client(1000), "203.0.113.9:80", "S");
    story.client(syn, Verdict::kRouted, {to_client(PacketBuilder(syn).ttl(63).packet())});
    story.mark({rule(7, "203.0.113.0/24", {}, {}, true)});
    story.client(syn, Verdict::kForwardedDr, {to_server(11, PacketBuilder(syn).ttl(63).packet())});
    const auto reply = tcp("203.0.113.9:80", client(1000), "SA");
    story.server(reply, Verdict::kForwardedReply, {to_client(PacketBuilder(reply).ttl(63).packet())});
    story.client(tcp(client(1001), "203.0.113.9:80", "A"), Verdict::kLocalIgnored);
    story.client(echo_request("198.51.100.1", "203.0.113.9"), Verdict::kLocalIgnored);
    CHECK(story.World::connections().size() == 1);
    check_accounts(story);
  }
}

TEST_CASE("fwmark, cache_bypass: without a server on to where it was going") {
  for (const uint32_t workers : {1u, 2u}) {
    Story story({"-A -f 7 -s rr"}, {.workers = workers});
    story.mark({rule(7, "10.0.3.0/24", {}, {}, true)});
    const auto syn = tcp(client(1000), "10.0.3.5:80", "S");
    story.client(syn, Verdict::kErrorWithheld);
    story.tune("cache_bypass", 1);
    story.client(syn, Verdict::kForwardedBypass, {to_server(0xfe, PacketBuilder(syn).ttl(63).packet())});
    const auto reply = tcp("10.0.3.5:80", client(1000), "SA");
    story.server(reply, Verdict::kForwardedReply, {to_client(PacketBuilder(reply).ttl(63).packet())});
    CHECK(story.table() == "TCP 198.51.100.1:1000 10.0.3.5:80 0.0.0.0:0 SYN_RECV 60");
    // It has no real server whose weight could be 0: a SYN that comes again meets it.
    story.tune("expire_nodest_conn", 1);
    story.client(syn, Verdict::kForwardedBypass, {to_server(0xfe, PacketBuilder(syn).ttl(63).packet())});
    REQUIRE(story.World::connections().size() == 1);
    CHECK(story.World::connections()[0].in_packets == 2);
    // The VIP itself is no place to go on to.
    story.mark({rule(7, "192.0.2.1/32")});
    const auto own = tcp(client(1000), "192.0.2.1:80", "S");
    story.client(
        own, Verdict::kNoServer,
        {to_client(icmp_error("192.0.2.1", "198.51.100.1", 3, 3, own.packet(), 0, 40).tos(0xc0).id(0).packet())});
    check_accounts(story);
  }
}
