// SPDX-License-Identifier: Apache-2.0
// The packet's path where the kernel's scenarios do not go: several workers, next hops that are not known yet, VLANs,
// the director's own addresses, and every bound being reached.
#include <rte_mempool.h>

#include <set>

#include "net/owner.h"
#include "test/inspector.h"
#include "test/story.h"

using namespace fulcrum;
using namespace fulcrum::test;

namespace {

const std::vector<std::string> kNat = {"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11:8080 -m"};
const std::vector<std::string> kDirect = {"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11 -g"};
const char* const kVip = "192.0.2.1:80";

std::string client(unsigned port) { return "198.51.100.1:" + std::to_string(port); }

// Client ports that belong to one of two workers.
std::vector<unsigned> ports_owned_by(uint32_t worker, size_t count) {
  std::vector<unsigned> ports;
  for (unsigned port = 1024; ports.size() < count; ++port) {
    const uint32_t hash =
        owner_hash(Endpoint("198.51.100.1").address.v4(), be16::from_host(static_cast<uint16_t>(port)));
    if (owner_of(hash, 2) == worker) ports.push_back(port);
  }
  return ports;
}

void check_accounts(Story& story) {
  uint64_t received = 0, given = 0, handed = 0, taken = 0;
  for (uint32_t id = 0; id < story.workers(); ++id) {
    received += story.worker(id).counters().rx_packets;
    handed += story.worker(id).counters().handed_over;
    taken += story.worker(id).counters().taken_over;
    CHECK(WorkerInspector::contradiction(story.worker(id)) == "");
  }
  for (const uint64_t count : story.verdicts()) given += count;
  CHECK(received == given);
  CHECK(handed == taken);
}

ConnectionInfo only(const std::vector<ConnectionInfo>& all) {
  REQUIRE(all.size() == 1);
  return all[0];
}

Operation set_vip(const char* address, std::optional<VipState> state, std::optional<Announce> announce = {}) {
  Operation operation;
  operation.kind = Operation::Kind::kSetVip;
  operation.vip = {Endpoint(address).address, 0, announce, state};
  return operation;
}

constexpr const char* kGateway = "02:00:00:00:01:fe";

// The answer to the gateway's question, on the clients' port.
Expected arp_answer(const char* address) {
  return {{Side::kClient, arp_reply("02:00:00:00:01:01", address, kGateway, "10.0.1.254")}};
}

}  // namespace

TEST_CASE("director: NAT with two workers on single-queue ports, replies find the connection's owner") {
  Story story(kNat, {.workers = 2});
  constexpr unsigned kConnections = 200;
  for (unsigned port = 2000; port < 2000 + kConnections; ++port) {
    const auto in = tcp(client(port), kVip, "S");
    story.client(in, Verdict::kForwardedNat,
                 {to_server(11, tcp(client(port), "10.0.2.11:8080", "S").ttl(63).packet())});
    story.server(tcp("10.0.2.11:8080", client(port), "SA"), Verdict::kForwardedNatReply,
                 {to_client(tcp(kVip, client(port), "SA").ttl(63).packet())});
    story.client(tcp(client(port), kVip, "A"), Verdict::kForwardedNat,
                 {to_server(11, tcp(client(port), "10.0.2.11:8080", "A").ttl(63).packet())});
  }
  CHECK(story.services() == "TCP 192.0.2.1:80 rr\n  10.0.2.11:8080 Masq 1 200 0");
  CHECK(story.statistics() == "TCP 192.0.2.1:80 200 400 200 16000 8000\n  10.0.2.11:8080 200 400 200 16000 8000");
  // Both took part; each has one port's only queue, and handed over what was the other's.
  const uint32_t first = story.worker(0).connections(), second = story.worker(1).connections();
  CHECK(first + second == kConnections);
  CHECK(first > kConnections / 4);
  CHECK(second > kConnections / 4);
  CHECK(story.worker(0).counters().rx_packets == 2 * kConnections);
  CHECK(story.worker(1).counters().rx_packets == kConnections);
  CHECK(story.worker(0).counters().handed_over == 2 * second);
  CHECK(story.worker(1).counters().handed_over == first);
  for (const ConnectionInfo& at : story.World::connections()) {
    const uint32_t hash = owner_hash(at.client.v4(), be16::from_host(at.client_port));
    CHECK(at.worker == owner_of(hash, 2));
  }
  check_accounts(story);
}

TEST_CASE("director: several workers on bursts, whatever the order of polling") {
  Story story(kNat, {.workers = 3});
  for (unsigned port = 1; port <= 500; ++port) story.put(Side::kClient, tcp(client(port), kVip, "S").frame());
  story.run();
  CHECK(story.collect().size() == 500);  // a reset among them: source port 20 is never scheduled
  CHECK(story.verdict(Verdict::kForwardedNat) == 499);
  CHECK(story.verdict(Verdict::kResetSent) == 1);
  check_accounts(story);
}

TEST_CASE("director: replies of retired NAT servers still go to the owner") {
  Story story(kNat, {.workers = 2});
  story.configure({"-a -t 192.0.2.1:80 -r 10.0.2.12:8080 -m"});
  for (const uint32_t owner : {0u, 1u}) {
    const std::string from = client(ports_owned_by(owner, 1)[0]);
    CHECK(story.connections(1, from, kVip) != "-");
  }
  story.configure({"-d -t 192.0.2.1:80 -r 10.0.2.11:8080", "-d -t 192.0.2.1:80 -r 10.0.2.12:8080"});
  const auto connections = story.World::connections();
  REQUIRE(connections.size() == 2);
  for (const ConnectionInfo& at : connections) {
    const std::string from = client(at.client_port), server = at.server.text() + ":8080";
    story.server(tcp(server, from, "SA"), Verdict::kForwardedNatReply,
                 {to_client(tcp(kVip, from, "SA").ttl(63).packet())});
  }
}

TEST_CASE("director: a full hand-over ring is a counted verdict, and nobody waits") {
  Story story(kNat, {.workers = 2});
  constexpr unsigned kFrames = 2500;
  const Bytes syn = tcp(client(ports_owned_by(1, 1)[0]), kVip, "S").frame();
  for (unsigned i = 0; i < kFrames; ++i) story.put(Side::kClient, syn);
  // Only the first worker runs.
  for (unsigned i = 0; i < kFrames; ++i) story.worker(0).poll();
  CHECK(story.worker(0).counters().rx_packets == kFrames);
  const uint64_t lost = story.verdict(Verdict::kHandoverFull);
  CHECK(lost == kFrames - (Shared::kHandoverRingSize - 1));
  story.run();
  CHECK(story.collect().size() == kFrames - lost);
  check_accounts(story);
}

TEST_CASE("director: a full transmit queue is a counted verdict") {
  Story story(kDirect);
  uint64_t sent = 0;
  const Bytes syn = tcp(client(1000), kVip, "S").frame();
  for (; story.verdict(Verdict::kTransmitFull) == 0 && sent < 20'000; sent += 1000) {
    for (unsigned i = 0; i < 1000; ++i) story.put(Side::kClient, syn);
    story.run();
  }
  CHECK(story.verdict(Verdict::kTransmitFull) > 0);
  CHECK(story.collect().size() == sent - story.verdict(Verdict::kTransmitFull));
  CHECK(rte_mempool_in_use_count(World::buffers()) == 0);
  check_accounts(story);
}

TEST_CASE("director: a full connection table refuses new connections only") {
  Story story(kNat, {.connections = 3});
  CHECK(story.connections(3, client(1000), kVip, "est") == "11 11 11");
  story.client(tcp(client(2000), kVip, "S"), Verdict::kTableFull);
  CHECK(story.connections(1, client(1001), kVip) == "11");
  story.advance_ms(900'000);
  CHECK(story.table() == "");
  CHECK(story.connections(1, client(2000), kVip) == "11");
}

TEST_CASE("director: packets to an unknown neighbour wait, eight at most, and leave in order") {
  Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.99 -g"});
  for (unsigned port = 1000; port < 1010; ++port) story.put(Side::kClient, tcp(client(port), kVip, "S").frame());
  story.run();
  CHECK(story.collect().empty());
  CHECK(story.verdict(Verdict::kNeighborQueueFull) == 2);
  CHECK(story.verdict(Verdict::kForwardedDr) == 0);
  const auto messages = story.messages();
  REQUIRE(messages.size() == 1);  // asked for once
  CHECK(messages[0].kind == ControlMessage::Kind::kNeighborWanted);
  CHECK(messages[0].key == story.neighbor_key("10.0.2.99", "rs"));

  story.add_neighbor("10.0.2.99", "rs", server_mac(99));
  const auto frames = story.collect();
  REQUIRE(frames.size() == 8);
  for (unsigned i = 0; i < 8; ++i)
    CHECK(difference(to_server(99, tcp(client(1000 + i), kVip, "S").ttl(63).packet()).frame.bytes, frames[i].bytes) ==
          "");
  CHECK(story.verdict(Verdict::kForwardedDr) == 8);
  CHECK(story.connections(1, client(1009), kVip) == "99");
  check_accounts(story);
}

TEST_CASE("director: each worker parks for itself, a tunnel's packets whole") {
  Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.99 -i"}, {.workers = 2});
  const auto syn = [](unsigned port) { return tcp(client(port), kVip, "S"); };
  for (const uint32_t owner : {0u, 1u})
    for (const unsigned port : ports_owned_by(owner, 3)) story.put(Side::kClient, syn(port).frame());
  story.run();
  CHECK(story.messages().size() == 2);
  story.add_neighbor("10.0.2.99", "rs", server_mac(99));
  std::set<std::string> expected, actual;
  for (const uint32_t owner : {0u, 1u})
    for (const unsigned port : ports_owned_by(owner, 3))
      expected.insert(to_hex(
          to_server(99, ipip("10.0.2.1", "10.0.2.99", syn(port).ttl(63).packet()).ttl(63).id(0).packet()).frame.bytes));
  for (const Frame& frame : story.collect()) actual.insert(to_hex(frame.bytes));
  CHECK(actual == expected);
  check_accounts(story);
}

TEST_CASE("director: a neighbour that does not answer costs its packets, counted") {
  Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.99 -g"});
  const auto fail = [&] {
    Command failed{};
    failed.kind = Command::Kind::kNeighborFailed;
    failed.key = story.neighbor_key("10.0.2.99", "rs");
    story.command(failed);
    story.run();
  };
  for (unsigned port = 1000; port < 1003; ++port) story.put(Side::kClient, tcp(client(port), kVip, "S").frame());
  story.run();
  fail();
  CHECK(story.verdict(Verdict::kNeighborFailed) == 3);
  CHECK(story.collect().empty());
  CHECK(story.messages().size() == 1);
  // The next packet asks again.
  story.put(Side::kClient, tcp(client(1000), kVip, "S").frame());
  story.run();
  CHECK(story.messages().size() == 1);
  fail();
  check_accounts(story);
}

TEST_CASE("director: an error message that must wait for its neighbour has no verdict of its own") {
  Story story;
  // From the link of the servers, but a host that nobody knows yet.
  const auto query = udp("10.0.2.77:1000", "192.0.2.1:9");
  for (int i = 0; i < 12; ++i)
    story.put(Side::kServer, PacketBuilder(query).mac("02:00:00:00:02:4d", "02:00:00:00:02:01").frame());
  story.run();
  CHECK(story.verdict(Verdict::kPortUnreachableSent) == 12);
  CHECK(story.verdict(Verdict::kNeighborQueueFull) == 0);
  CHECK(story.worker(0).counters().unnamed_lost == 4);
  story.add_neighbor("10.0.2.77", "rs", server_mac(77));
  CHECK(story.collect().size() == 8);
  check_accounts(story);
}

TEST_CASE("director: a neighbour that moves is followed, one that is forgotten is asked for again") {
  Story story(kDirect);
  CHECK(story.connections(1, client(1000), kVip, "est") == "11");
  story.add_neighbor("10.0.2.11", "rs", server_mac(0x77));
  Command unbind{};
  unbind.kind = Command::Kind::kUnbindNeighbor;
  unbind.key = story.neighbor_key("10.0.2.11", "rs");
  story.command(unbind);
  story.run();
  const auto data = tcp(client(1000), kVip, "A");
  story.put(Side::kClient, data.frame());
  story.run();
  CHECK(story.collect().empty());
  CHECK(story.messages().size() == 1);
  story.add_neighbor("10.0.2.11", "rs", server_mac(0x78));
  const auto frames = story.collect();
  REQUIRE(frames.size() == 1);
  CHECK(difference(to_server(0x78, PacketBuilder(data).ttl(63).packet()).frame.bytes, frames[0].bytes) == "");
}

TEST_CASE("director: servers behind a gateway get their packets through it") {
  Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.3.9:80 -i"});
  story.client(
      tcp(client(1000), kVip, "S"), Verdict::kForwardedTun,
      {to_server(0xfe,
                 ipip("10.0.2.1", "10.0.3.9", tcp(client(1000), kVip, "S").ttl(63).packet()).ttl(63).id(0).packet())});
}

TEST_CASE("director: VLAN tags out, and in by frame and by metadata") {
  Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.100.11:8080 -m"});
  const auto tagged = [](const Bytes& packet) {
    Bytes frame = from_hex("02000000640b 020000000201 81000064 0800");
    fulcrum::test::put(frame, packet);
    return Expected{{Side::kServer, frame}};
  };
  const auto request = tcp(client(1000), kVip, "S");
  story.client(request, Verdict::kForwardedNat, {tagged(tcp(client(1000), "10.0.100.11:8080", "S").ttl(63).packet())});

  const auto reply = tcp("10.0.100.11:8080", client(1000), "SA").mac("02:00:00:00:64:0b", "02:00:00:00:02:01");
  const auto out = to_client(tcp(kVip, client(1000), "SA").ttl(63).packet());
  story.frame(Side::kServer, PacketBuilder(reply).vlan(100, 5).frame(), Verdict::kForwardedNatReply, {out});
  rte_mbuf* stripped = story.make_packet(reply.frame());
  stripped->vlan_tci = 100;
  stripped->ol_flags |= RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
  story.put(Side::kServer, stripped);
  story.run();
  story.expect(reply.frame(), Verdict::kForwardedNatReply, {out});

  // A VLAN that no interface has; a connection's packets come by whatever way they like.
  story.frame(
      Side::kServer,
      tcp("10.0.100.12:1", "198.51.100.7:1", "A").mac("02:00:00:00:64:0b", "02:00:00:00:02:01").vlan(101).frame(),
      Verdict::kUnknownVlan);
  // ARP on a VLAN is answered there.
  story.frame(
      Side::kServer, arp_request("02:00:00:00:64:0b", "10.0.100.11", "10.0.100.1", 100), Verdict::kArpAnswered,
      {{{Side::kServer, arp_reply("02:00:00:00:02:01", "10.0.100.1", "02:00:00:00:64:0b", "10.0.100.11", 100)}}});
}

TEST_CASE("director: ARP for VIPs and own addresses") {
  Story story;
  const auto ask = [&](const char* target) { return arp_request(kGateway, "10.0.1.254", target); };
  story.frame(Side::kClient, ask("10.0.1.1"), Verdict::kArpAnswered, {arp_answer("10.0.1.1")});
  story.frame(Side::kClient, ask("192.0.2.1"), Verdict::kArpAnswered, {arp_answer("192.0.2.1")});
  // Another interface's address is that interface's; a stranger's is nobody's. Whoever asks is known by now.
  story.frame(Side::kClient, ask("10.0.2.1"), Verdict::kArpTaken);
  story.frame(Side::kClient, ask("10.0.1.77"), Verdict::kArpTaken);

  // A probe for our address (RFC 5227) comes from nobody, and is defended.
  const Bytes probe = arp_request("02:00:00:00:01:99", "0.0.0.0", "192.0.2.1");
  story.frame(Side::kClient, probe, Verdict::kArpAnswered,
              {{{Side::kClient, arp_reply("02:00:00:00:01:01", "192.0.2.1", "02:00:00:00:01:99", "0.0.0.0")}}});
  CHECK(story.messages().size() >= 4);

  // Somebody else's use of our address is reported, not believed.
  story.frame(Side::kClient, arp_request("02:00:00:00:01:99", "192.0.2.1", "192.0.2.1"), Verdict::kArpIgnored);
  auto messages = story.messages();
  REQUIRE(messages.size() == 1);
  CHECK(messages[0].kind == ControlMessage::Kind::kAddressConflict);

  Bytes ethernet_two = ask("10.0.1.1");
  ethernet_two[15] = 6;
  story.frame(Side::kClient, ethernet_two, Verdict::kBadArp);
  Bytes group = ask("10.0.1.1");
  group[22] = 0x01;  // a sender with a group address
  story.frame(Side::kClient, group, Verdict::kBadArp);
}

TEST_CASE("director: strangers' ARP teaches nothing, an asker on the link is learnt") {
  Story story;
  story.frame(Side::kClient, arp_request("02:00:00:00:01:50", "10.0.1.50", "10.0.1.51"), Verdict::kArpIgnored);
  story.frame(Side::kClient, arp_reply("02:00:00:00:01:50", "10.0.1.50", "02:00:00:00:01:01", "10.0.1.1"),
              Verdict::kArpIgnored);
  CHECK(story.messages().empty());
  story.frame(Side::kClient, arp_request("02:00:00:00:01:50", "10.0.1.50", "10.0.1.1"), Verdict::kArpAnswered,
              {{{Side::kClient, arp_reply("02:00:00:00:01:01", "10.0.1.1", "02:00:00:00:01:50", "10.0.1.50")}}});
  auto messages = story.messages();
  REQUIRE(messages.size() == 1);
  CHECK(messages[0].kind == ControlMessage::Kind::kNeighborSeen);
  CHECK(messages[0].mac == mac_of("02:00:00:00:01:50"));
  // Not on the link: answered, but not learnt.
  story.frame(Side::kClient, arp_request("02:00:00:00:01:50", "203.0.113.5", "10.0.1.1"), Verdict::kArpAnswered,
              {{{Side::kClient, arp_reply("02:00:00:00:01:01", "10.0.1.1", "02:00:00:00:01:50", "203.0.113.5")}}});
  CHECK(story.messages().empty());
}

TEST_CASE("director: a standby VIP is silent but forwards what arrives, an active one answers") {
  Story story(kDirect);
  const Bytes question = arp_request(kGateway, "10.0.1.254", "192.0.2.1");
  const auto through = [&](unsigned port) {
    story.client(tcp(client(port), kVip, "S"), Verdict::kForwardedDr,
                 {to_server(11, tcp(client(port), kVip, "S").ttl(63).packet())});
  };
  story.publish({set_vip("192.0.2.1", VipState::kStandby)});
  story.frame(Side::kClient, question, Verdict::kArpTaken);
  through(1000);
  // Under VRRP the other director announces it.
  story.messages();
  story.frame(Side::kClient, arp_request("02:00:00:00:01:99", "192.0.2.1", "192.0.2.1"), Verdict::kArpIgnored);
  CHECK(story.messages().empty());
  story.publish({set_vip("192.0.2.1", VipState::kActive)});
  story.frame(Side::kClient, question, Verdict::kArpAnswered, {arp_answer("192.0.2.1")});
  through(1001);
  for (const Announce silent : {Announce::kRoute, Announce::kNone}) {
    story.publish({set_vip("192.0.2.1", {}, silent)});
    story.frame(Side::kClient, question, Verdict::kArpTaken);
    through(1002);
  }
}

TEST_CASE("director: what nobody wants") {
  Story story(kDirect);
  const auto on_cl = [&](const PacketBuilder& packet, Verdict verdict) { story.client(packet, verdict); };
  on_cl(tcp(client(1000), kVip, "S").mac(kGateway, "02:00:00:00:01:02"), Verdict::kOtherHost);
  on_cl(tcp(client(1000), kVip, "S").mac(kGateway, "01:00:5e:00:00:05"), Verdict::kMulticast);
  on_cl(tcp(client(1000), kVip, "S").vlan(7), Verdict::kUnknownVlan);
  on_cl(tcp("127.0.0.1:1", kVip, "S"), Verdict::kMartian);
  on_cl(tcp(client(1000), "224.0.0.1:80", "S"), Verdict::kMartian);
  on_cl(tcp(client(1000), kVip, "S").bad_ip_checksum(), Verdict::kBadIpChecksum);
  on_cl(tcp(client(1000), kVip, "S").total_length(60), Verdict::kTruncated);
  on_cl(tcp(client(1000), kVip, "R"), Verdict::kLocalIgnored);
  on_cl(icmp("198.51.100.1", "192.0.2.1", 0, 0), Verdict::kLocalIgnored);
  on_cl(icmp("198.51.100.1", "192.0.2.1", 8, 1), Verdict::kLocalIgnored);
  CHECK(story.table() == "");
}

TEST_CASE("director: FTP's data port is never scheduled, a SYN with ACK is") {
  Story story(kDirect);
  story.client(tcp(client(20), kVip, "S"), Verdict::kResetSent,
               {to_client(tcp(kVip, client(20), "RA").id(0).sequence(0).acknowledgement(1001).window(0).packet())});
  story.client(tcp(client(1000), kVip, "SA"), Verdict::kForwardedDr,
               {to_server(11, tcp(client(1000), kVip, "SA").ttl(63).packet())});
}

TEST_CASE("director: its own answers to what it does not offer") {
  Story story(kDirect);
  const auto unreachable = [](const PacketBuilder& about, unsigned code) {
    return to_client(icmp_error("192.0.2.1", "198.51.100.1", 3, code, about.packet(), 0, about.packet().size())
                         .tos(0xc0)
                         .id(0)
                         .packet());
  };
  const auto query = udp(client(1000), "192.0.2.1:53").payload("query");
  story.client(query, Verdict::kPortUnreachableSent, {unreachable(query, 3)});
  const auto tunnel = ipip("198.51.100.1", "192.0.2.1", query.packet());
  story.client(tunnel, Verdict::kProtocolUnreachableSent, {unreachable(tunnel, 2)});
  // Sequence and acknowledgement of a reset: RFC 9293 section 3.10.7.1.
  story.client(
      tcp(client(1000), "192.0.2.1:81", "SF").payload("abc").sequence(77), Verdict::kResetSent,
      {to_client(tcp("192.0.2.1:81", client(1000), "RA").id(0).sequence(0).acknowledgement(82).window(0).packet())});
  story.client(tcp(client(1000), "10.0.1.1:22", "A").acknowledgement(5), Verdict::kResetSent,
               {to_client(tcp("10.0.1.1:22", client(1000), "R").id(0).sequence(5).window(0).packet())});
  // Own addresses answer echoes too, whichever interface is asked.
  story.client(echo_request("198.51.100.1", "10.0.2.1", 9, 3).payload("x"), Verdict::kEchoAnswered,
               {to_client(icmp("10.0.2.1", "198.51.100.1", 0, 0, 0x00090003).id(0).payload("x").packet())});
  // RFC 1122 section 3.2.2: no error about an error.
  story.client(icmp_error("198.51.100.1", "10.0.3.3", 3, 1, query.packet()).ttl(1), Verdict::kErrorWithheld);
}

TEST_CASE("director: everything else is routed") {
  Story story(kDirect);
  const auto in = tcp("10.0.2.12:40000", "203.0.113.9:443", "S");
  story.server(in, Verdict::kRouted, {to_client(PacketBuilder(in).ttl(63).packet())});
  const auto back = tcp("203.0.113.9:443", "10.0.2.12:40000", "SA");
  story.client(back, Verdict::kRouted, {to_server(12, PacketBuilder(back).ttl(63).packet())});
  const auto ping = echo_request("10.0.2.12", "203.0.113.9");
  story.server(ping, Verdict::kRouted, {to_client(PacketBuilder(ping).ttl(63).packet())});
  const auto last = PacketBuilder(in).ttl(1);
  story.server(
      last, Verdict::kTimeExceededSent,
      {to_server(12, icmp_error("10.0.2.1", "10.0.2.12", 11, 0, last.packet(), 0, 40).tos(0xc0).id(0).packet())});
  story.shared().forwarding = false;
  story.server(in, Verdict::kForwardingOff);
  CHECK(story.table() == "");
}

TEST_CASE("director: a DR server's reply that passes by is counted and only loses TTL") {
  Story story(kDirect);
  CHECK(story.connections(1, client(1000), kVip) == "11");
  const auto reply = tcp(kVip, client(1000), "SA");
  story.server(reply, Verdict::kForwardedReply, {to_client(PacketBuilder(reply).ttl(63).packet())});
  CHECK(story.statistics() == "TCP 192.0.2.1:80 1 1 1 40 40\n  10.0.2.11:80 1 1 1 40 40");
  // From now on the director knows both sides: the client's FIN means CLOSE_WAIT, not FIN_WAIT.
  CHECK(story.connections(1, client(1001), kVip, "half") == "11");
  story.exchange(Side::kClient, tcp(client(1000), kVip, "A").frame());
  story.exchange(Side::kClient, tcp(client(1000), kVip, "FA").frame());
  CHECK(story.table() ==
        "TCP 198.51.100.1:1000 192.0.2.1:80 10.0.2.11:80 CLOSE_WAIT 60\n"
        "TCP 198.51.100.1:1001 192.0.2.1:80 10.0.2.11:80 FIN_WAIT 120");
}

TEST_CASE("director: wrong transport checksums stay wrong by the same amount") {
  Story story(kNat);
  story.configure({"-A -u 192.0.2.1:53 -s rr", "-a -u 192.0.2.1:53 -r 10.0.2.11:5353 -m"});
  for (const bool is_tcp : {true, false}) {
    const auto packet = [&](const Endpoint& from, const Endpoint& to) {
      return is_tcp ? tcp(from, to, "S") : udp(from, to).payload("data");
    };
    const std::string vip = is_tcp ? kVip : "192.0.2.1:53", server = is_tcp ? "10.0.2.11:8080" : "10.0.2.11:5353";
    const auto wrong_by = [](const Bytes& right, const Bytes& wrong, size_t at) {
      return (get16(wrong, at) + 0xffff - get16(right, at)) % 0xffff;
    };
    const size_t at = is_tcp ? 36 : 26;
    const Bytes right = packet(client(1000), vip).packet(), sent = packet(client(1000), vip).bad_checksum().packet();
    const auto left = story.exchange(Side::kClient, packet(client(1000), vip).bad_checksum().frame());
    REQUIRE(left.size() == 1);
    const Bytes out(left[0].bytes.begin() + 14, left[0].bytes.end());
    const Bytes right_out = packet(client(1000), server).ttl(63).packet();
    CHECK(wrong_by(right_out, out, at) != 0);
    CHECK(wrong_by(right_out, out, at) == wrong_by(right, sent, at));
  }
}

TEST_CASE("director: UDP without a checksum gets one, in both directions, over any number of buffers") {
  Story story({"-A -u 192.0.2.1:53 -s rr", "-a -u 192.0.2.1:53 -r 10.0.2.11:5353 -m"});
  const auto query = udp(client(1000), "192.0.2.1:53").payload_size(701);
  const auto translated = to_server(11, udp(client(1000), "10.0.2.11:5353").payload_size(701).ttl(63).packet());
  story.client(PacketBuilder(query).zero_checksum(), Verdict::kForwardedNat, {translated});
  const auto answer = udp("10.0.2.11:5353", client(1000)).payload_size(300);
  story.server(PacketBuilder(answer).zero_checksum(), Verdict::kForwardedNatReply,
               {to_client(udp("192.0.2.1:53", client(1000)).payload_size(300).ttl(63).packet())});
  for (const size_t segment : {42u, 43u, 100u, 333u}) {
    CAPTURE(segment);
    const Bytes frame = PacketBuilder(query).zero_checksum().frame();
    story.put(Side::kClient, story.make_packet(frame, segment));
    story.run();
    story.expect(frame, Verdict::kForwardedNat, {translated});
  }
}

TEST_CASE("director: the padding of a short frame does not get into a tunnel") {
  Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.13:80 -i"});
  const auto syn = tcp(client(1000), kVip, "S");
  story.client(
      PacketBuilder(syn).pad_to(60), Verdict::kForwardedTun,
      {to_server(13, ipip("10.0.2.1", "10.0.2.13", PacketBuilder(syn).ttl(63).packet()).ttl(63).id(0).packet())});
}

TEST_CASE("director: connections expire by state, and their counts with them") {
  Story story(kNat);
  CHECK(story.connections(1, client(1000), kVip, "syn") == "11");
  CHECK(story.connections(1, client(1001), kVip, "est") == "11");
  CHECK(story.connections(1, client(1002), kVip, "close") == "11");
  CHECK(story.connections(1, client(1003), kVip, "rst") == "11");
  CHECK(story.services() == "TCP 192.0.2.1:80 rr\n  10.0.2.11:8080 Masq 1 2 2");
  const auto left_after = [&](uint64_t seconds) {
    story.advance_ms(seconds * 1000);
    std::string ports;
    for (const ConnectionInfo& at : story.World::connections())
      ports += (ports.empty() ? "" : " ") + std::to_string(at.client_port);
    return ports;
  };
  CHECK(left_after(9) == "1000 1001 1002 1003");
  CHECK(left_after(1) == "1000 1001 1002");
  CHECK(left_after(50) == "1001 1002");
  CHECK(left_after(60) == "1001");
  story.advance_ms(1000);
  CHECK(story.services() == "TCP 192.0.2.1:80 rr\n  10.0.2.11:8080 Masq 1 1 0");
  CHECK(left_after(780) == "");
  check_accounts(story);
}

TEST_CASE("director: a listing is complete, page by page, while connections come and go") {
  Story story(kDirect, {.workers = 2});
  CHECK(story.connections(300, client(2000), kVip, "est").size() == 300 * 3 - 1);
  // Short-lived ones churn between the pages; those that stay must be listed once each.
  std::multiset<uint16_t> listed;
  unsigned port = 10'000;
  for (uint32_t worker = 0; worker < 2; ++worker) {
    uint32_t cursor = 0;
    for (bool more = true; more;) {
      ListRequest page;
      page.limit = 7;
      page.cursor = cursor;
      story.list(worker, page);
      CHECK(page.connections.size() <= 7);
      for (const ConnectionInfo& at : page.connections) {
        CHECK(at.worker == worker);
        if (at.client_port < 10'000) listed.insert(at.client_port);
      }
      more = !page.exhausted;
      cursor = page.cursor;
      for (int i = 0; i < 5; ++i) story.exchange(Side::kClient, tcp(client(port++), kVip, "S").frame());
      if (port % 20 == 0) story.advance_ms(61'000);  // SYN_RECV ends
      for (unsigned kept = 2000; port % 40 == 0 && kept < 2300; ++kept)
        story.exchange(Side::kClient, tcp(client(kept), kVip, "A").frame());
    }
  }
  CHECK(listed.size() == 300);
  CHECK(std::set<uint16_t>(listed.begin(), listed.end()).size() == 300);
}

TEST_CASE("director: a listing's filters") {
  Story story(kDirect);
  story.configure(
      {"-a -t 192.0.2.1:80 -r 10.0.2.12 -g", "-A -t 192.0.2.2:80 -s rr", "-a -t 192.0.2.2:80 -r 10.0.2.12 -g"});
  CHECK(story.connections(2, client(1000), kVip) == "12 11");
  CHECK(story.connections(1, "198.51.100.2:1000", "192.0.2.2:80") == "12");
  const auto count = [&](const ConnectionFilter& filter) {
    ListRequest request;
    request.filter = filter;
    request.limit = 100;
    story.list(0, request);
    return request.connections.size();
  };
  ConnectionFilter filter;
  CHECK(count(filter) == 3);
  filter.by_service = true;
  filter.service_slot = story.publisher().slot_of({Endpoint("192.0.2.1").address, IpProtocol::kTcp, 80, 0}).value();
  CHECK(count(filter) == 2);
  CHECK(!story.publisher().slot_of({Endpoint("192.0.2.1").address, IpProtocol::kUdp, 80, 0}));
  filter.service_slot = kNoServiceSlot;
  CHECK(count(filter) == 0);
  filter = {};
  filter.server = Endpoint("10.0.2.12").address;
  CHECK(count(filter) == 2);
  filter.client = Prefix::parse("198.51.100.2/32").value();
  CHECK(count(filter) == 1);
}

TEST_CASE("director: a connection as it is listed") {
  Story story(kNat);
  CHECK(story.connections(1, client(1000), kVip, "est") == "11");
  story.advance_ms(1500);
  const ConnectionInfo at = only(story.World::connections());
  CHECK(at.client.text() == "198.51.100.1");
  CHECK(at.client_port == 1000);
  CHECK(at.vip.text() == "192.0.2.1");
  CHECK(at.virtual_port == 80);
  CHECK(at.server.text() == "10.0.2.11");
  CHECK(at.server_port == 8080);
  CHECK(at.protocol == IpProtocol::kTcp);
  CHECK(at.method == ForwardingMethod::kNat);
  CHECK(at.active);
  CHECK(at.in_packets == 2);
  CHECK(at.expires_ms == 898'500);
}

TEST_CASE("director: after 497 days, when ticks wrap around, timers and the use of neighbours go on") {
  constexpr uint64_t kWrapMs = (uint64_t{1} << 32) * 1000 / kTicksPerSecond;
  Story story(kNat, {.clock_ms = kWrapMs - 2000});
  CHECK(story.connections(1, client(1000), kVip, "est") == "11");
  CHECK(story.connections(1, client(1001), kVip, "rst") == "11");
  story.advance_ms(4000);
  CHECK(story.table() ==
        "TCP 198.51.100.1:1000 192.0.2.1:80 10.0.2.11:8080 ESTABLISHED 896\n"
        "TCP 198.51.100.1:1001 192.0.2.1:80 10.0.2.11:8080 CLOSE 6");
  CHECK(story.connections(1, client(1000), kVip) == "11");
  uint32_t last_used_s = 0;
  for (AdjacencyIndex at = 0; at < 23; ++at)
    last_used_s = std::max(last_used_s, (*story.shared().adjacencies)[at].last_used_s.load());
  CHECK(last_used_s == (kWrapMs + 2000) / 1000);
  story.advance_ms(6000);
  CHECK(story.table() == "TCP 198.51.100.1:1000 192.0.2.1:80 10.0.2.11:8080 ESTABLISHED 894");
}
