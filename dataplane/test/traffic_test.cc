// SPDX-License-Identifier: Apache-2.0
// What a service takes besides being balanced: which clients, how many connections, with which segments.
#include "test/topic.h"

using namespace fulcrum;
using namespace fulcrum::test;

namespace {

const char* const kVip = "192.0.2.1:80";
const std::vector<std::string> kNat = {"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11:8080 -m"};
const std::vector<std::string> kDirect = {"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11 -g"};
const std::string kService = "-t 192.0.2.1:80";

std::string client(unsigned port, unsigned host = 1) {
  return "198.51.100." + std::to_string(host) + ":" + std::to_string(port);
}

void send(Story& story, const PacketBuilder& packet, Verdict verdict, uint64_t times = 1) {
  const uint64_t before = story.verdict(verdict);
  story.exchange(Side::kClient, packet.frame());
  CHECK(story.verdict(verdict) == before + times);
}
// Nothing comes out.
void refused(Story& story, const PacketBuilder& packet, Verdict verdict) {
  const uint64_t before = story.verdict(verdict);
  CHECK(story.exchange(Side::kClient, packet.frame()).empty());
  CHECK(story.verdict(verdict) == before + 1);
}

TrafficPolicy allow(const std::vector<std::string>& prefixes, const std::vector<std::string>& lists = {}) {
  TrafficPolicy policy;
  policy.allow = {lists, World::prefixes_of(prefixes)};
  return policy;
}
TrafficPolicy deny(const std::vector<std::string>& prefixes, const std::vector<std::string>& lists = {}) {
  TrafficPolicy policy;
  policy.deny = {lists, World::prefixes_of(prefixes)};
  return policy;
}
TrafficPolicy at_most(uint32_t connections) {
  TrafficPolicy policy;
  policy.max_connections = connections;
  return policy;
}
TrafficPolicy rate(uint32_t per_second, uint32_t burst) {
  TrafficPolicy policy;
  policy.connections_per_second = per_second;
  policy.connections_burst = burst;
  return policy;
}
TrafficPolicy segments(uint16_t mss) {
  TrafficPolicy policy;
  policy.mss = mss;
  return policy;
}

uint32_t entries(Story& story) {
  uint32_t sum = 0;
  for (uint32_t id = 0; id < story.workers(); ++id) sum += story.worker(id).connections();
  return sum;
}
ServiceStatistics statistics(Story& story) { return story.publisher().statistics(nullptr, false).at(0); }

// The MSS that the one frame announces which comes out; 0: no frame, or not that option first.
unsigned announced(const std::vector<Frame>& frames, size_t tcp_at) {
  if (frames.size() != 1 || frames[0].bytes.size() < tcp_at + 24 || frames[0].bytes[tcp_at + 20] != 2) return 0;
  return get16(frames[0].bytes, tcp_at + 22);
}

}  // namespace

TEST_CASE("clients: who is denied gets no answer and no connection") {
  Story story(kNat);
  CHECK(story.traffic(kService, deny({"198.51.100.0/25"})).reason == Reason::kDone);
  refused(story, tcp(client(1000), kVip, "S"), Verdict::kClientDenied);
  // No RST either: that would tell that somebody is there.
  refused(story, tcp(client(1000), kVip, "A"), Verdict::kClientDenied);
  refused(story, tcp(client(20), kVip, "S"), Verdict::kClientDenied);
  CHECK(entries(story) == 0);
  CHECK(statistics(story).refusals.denied == 3);
  send(story, tcp(client(1000, 200), kVip, "S"), Verdict::kForwardedNat);
  CHECK(entries(story) == 1);
  story.apply({"-Z"});
  CHECK(statistics(story).refusals.denied == 0);
  check_accounts(story);
}

TEST_CASE("clients: with prefixes to allow, nobody else") {
  Story story({"-A -u 192.0.2.1:53 -s rr", "-a -u 192.0.2.1:53 -r 10.0.2.11:53 -m", "-A -t [2001:db8:ff::1]:80 -s rr",
               "-a -t [2001:db8:ff::1]:80 -r [2001:db8:2::b]:80 -g"});
  story.traffic("-u 192.0.2.1:53", allow({"198.51.100.7/32"}));
  story.traffic("-t [2001:db8:ff::1]:80", allow({"2001:db8:aa::/64"}));
  send(story, udp("198.51.100.7:1000", "192.0.2.1:53"), Verdict::kForwardedNat);
  refused(story, udp("198.51.100.8:1000", "192.0.2.1:53"), Verdict::kClientDenied);
  send(story, tcp("[2001:db8:aa::1]:1000", "[2001:db8:ff::1]:80", "S"), Verdict::kForwardedDr);
  refused(story, tcp("[2001:db8:ab::1]:1000", "[2001:db8:ff::1]:80", "S"), Verdict::kClientDenied);
  check_accounts(story);
}

TEST_CASE("clients: established connections go on when a list changes, but do not begin again") {
  Story story(kNat);
  story.prefix_list("bad", {"203.0.113.0/24"});
  story.traffic(kService, deny({}, {"bad"}));
  send(story, tcp(client(1000), kVip, "S"), Verdict::kForwardedNat);
  send(story, tcp(client(1000), kVip, "A"), Verdict::kForwardedNat);
  const auto before = story.publisher().current().services[0];
  story.prefix_list("bad", {"203.0.113.0/24", "198.51.100.0/24"});
  // The service is the same object: a list of a thousand services costs one list.
  CHECK(story.publisher().current().services[0] == before);
  send(story, tcp(client(1000), kVip, "PA"), Verdict::kForwardedNat);
  refused(story, tcp(client(1001), kVip, "S"), Verdict::kClientDenied);
  send(story, tcp(client(1000), kVip, "R"), Verdict::kForwardedNat);
  refused(story, tcp(client(1000), kVip, "S"), Verdict::kClientDenied);  // upon the remains of the old one
  story.prefix_list("bad", {});
  send(story, tcp(client(1001), kVip, "S"), Verdict::kForwardedNat);
  check_accounts(story);
}

TEST_CASE("clients: lists are there before services refer to them, and as long as they do") {
  Story story(kNat);
  CHECK(story.traffic(kService, deny({}, {"bad"})).reason == Reason::kPrefixListNotFound);
  story.prefix_list("bad", {"198.51.100.0/24"});
  CHECK(story.traffic(kService, deny({}, {"bad"})).reason == Reason::kDone);
  Operation deletion;
  deletion.kind = Operation::Kind::kDeletePrefixList;
  deletion.prefixes.name = "bad";
  CHECK(story.publish({deletion}).at(0).reason == Reason::kPrefixListInUse);
  // What the same edits let go of, and take anew, counts.
  Operation without = World::parse(kService);
  without.kind = Operation::Kind::kSetTraffic;
  for (const OperationResult& result : story.publish({without, deletion})) CHECK(result.reason == Reason::kDone);
  CHECK(story.publish({deletion}).at(0).reason == Reason::kPrefixListNotFound);
  send(story, tcp(client(1000), kVip, "S"), Verdict::kForwardedNat);
}

TEST_CASE("clients: ipvsadm's edits leave the policy alone; -C leaves the lists") {
  Story story(kNat);
  story.prefix_list("bad", {"198.51.100.0/24"});
  story.traffic(kService, deny({}, {"bad"}));
  story.configure({"-E -t 192.0.2.1:80 -s wlc", "-e -t 192.0.2.1:80 -r 10.0.2.11:8080 -m -w 2"});
  refused(story, tcp(client(1000), kVip, "S"), Verdict::kClientDenied);
  story.configure({"-C"});
  story.configure(kNat);
  send(story, tcp(client(1000), kVip, "S"), Verdict::kForwardedNat);
  CHECK(story.traffic(kService, deny({}, {"bad"})).reason == Reason::kDone);
}

TEST_CASE("clients: an ICMP error that would begin a connection begins none for who is denied") {
  Story story(kNat);
  story.tune("schedule_icmp", 1);
  story.traffic(kService, deny({"198.51.100.1/32"}));
  const Bytes quoted = tcp(kVip, client(1000), "A").packet();
  refused(story, icmp_error("198.51.100.1", "192.0.2.1", 3, 1, quoted), Verdict::kClientDenied);
  CHECK(entries(story) == 0);
}

TEST_CASE("limits: never more connections than the limit, by all workers together") {
  for (const uint32_t workers : {1u, 2u}) {
    Story story(kDirect, {.workers = workers});
    story.traffic(kService, at_most(5));
    for (unsigned port = 1000; port < 1020; ++port) story.exchange(Side::kClient, tcp(client(port), kVip, "S").frame());
    CHECK(entries(story) == 5);
    CHECK(story.verdict(Verdict::kForwardedDr) == 5);
    CHECK(story.verdict(Verdict::kConnectionLimit) == 15);
    CHECK(statistics(story).open == 5);
    CHECK(statistics(story).refusals.over_limit == 15);
    // The first of them, and what belongs to it, goes on; when one ends another may begin.
    send(story, tcp(client(1000), kVip, "S"), Verdict::kForwardedDr);
    send(story, tcp(client(1000), kVip, "A"), Verdict::kForwardedDr);
    send(story, tcp(client(1000), kVip, "R"), Verdict::kForwardedDr);
    refused(story, tcp(client(1030), kVip, "S"), Verdict::kConnectionLimit);
    story.advance_ms(10'010);
    send(story, tcp(client(1030), kVip, "S"), Verdict::kForwardedDr);
    refused(story, tcp(client(1031), kVip, "S"), Verdict::kConnectionLimit);
    check_accounts(story);
  }
}

TEST_CASE("limits: connections that there are count, and go on; without a limit nobody counts together") {
  for (const uint32_t workers : {1u, 2u}) {
    Story story(kDirect, {.workers = workers});
    for (unsigned port = 1000; port < 1010; ++port) send(story, tcp(client(port), kVip, "S"), Verdict::kForwardedDr);
    CHECK(story.shared().services[0].connections == 0);
    story.traffic(kService, at_most(4));
    CHECK(story.shared().services[0].connections == 10);
    refused(story, tcp(client(2000), kVip, "S"), Verdict::kConnectionLimit);
    send(story, tcp(client(1003), kVip, "A"), Verdict::kForwardedDr);
    check_accounts(story);
    story.traffic(kService, {});
    CHECK(story.shared().services[0].connections == 0);
    send(story, tcp(client(2000), kVip, "S"), Verdict::kForwardedDr);
    story.traffic(kService, at_most(12));
    send(story, tcp(client(2001), kVip, "S"), Verdict::kForwardedDr);
    refused(story, tcp(client(2002), kVip, "S"), Verdict::kConnectionLimit);
    // Deleted and added again it has its connections back, and no limit.
    story.configure({"-D -t 192.0.2.1:80"});
    story.configure(kDirect);
    send(story, tcp(client(2002), kVip, "S"), Verdict::kForwardedDr);
    CHECK(statistics(story).open == 13);
    check_accounts(story);
  }
}

TEST_CASE("limits: who is refused by something else needs no place") {
  Story story(kDirect);
  story.traffic(kService, at_most(1));
  story.configure({"-d -t 192.0.2.1:80 -r 10.0.2.11"});
  for (unsigned port = 1000; port < 1003; ++port) send(story, tcp(client(port), kVip, "S"), Verdict::kNoServer);
  story.configure({"-a -t 192.0.2.1:80 -r 10.0.2.11 -g"});
  send(story, tcp(client(1000), kVip, "S"), Verdict::kForwardedDr);
  refused(story, tcp(client(1001), kVip, "S"), Verdict::kConnectionLimit);
  check_accounts(story);
}

TEST_CASE("limits: of a persistent service, too, and what is refused leaves no template") {
  Story story({"-A -t 192.0.2.1:80 -s rr -p 60", "-a -t 192.0.2.1:80 -r 10.0.2.11 -g"});
  story.traffic(kService, at_most(1));
  send(story, tcp(client(1000), kVip, "S"), Verdict::kForwardedDr);
  refused(story, tcp(client(1000, 2), kVip, "S"), Verdict::kConnectionLimit);
  CHECK(statistics(story).servers.at(0).persistent == 1);
}

TEST_CASE("limits: so many a second after a burst, by all workers together") {
  for (const uint32_t workers : {1u, 2u}) {
    Story story(kDirect, {.workers = workers});
    story.traffic(kService, rate(10, 3));
    for (unsigned port = 1000; port < 1008; ++port) story.exchange(Side::kClient, tcp(client(port), kVip, "S").frame());
    CHECK(entries(story) == 3);
    CHECK(story.verdict(Verdict::kConnectionRateLimit) == 5);
    CHECK(statistics(story).refusals.over_rate == 5);
    // The client tries again; packets of connections cost nothing.
    story.advance_ms(100);
    send(story, tcp(client(1000), kVip, "A"), Verdict::kForwardedDr);
    send(story, tcp(client(1007), kVip, "S"), Verdict::kForwardedDr);
    refused(story, tcp(client(1006), kVip, "S"), Verdict::kConnectionRateLimit);
    // An edit of something else gives no tokens; one of the rate does.
    TrafficPolicy both = rate(10, 3);
    both.max_connections = 100;
    story.traffic(kService, both);
    refused(story, tcp(client(1006), kVip, "S"), Verdict::kConnectionRateLimit);
    CHECK(story.shared().services[0].connections == 4);  // the place was given back
    story.traffic(kService, rate(10, 4));
    send(story, tcp(client(1006), kVip, "S"), Verdict::kForwardedDr);
    check_accounts(story);
  }
}

TEST_CASE("limits: a datagram that is scheduled on its own counts for the rate, and is no connection") {
  Story story({"-A -u 192.0.2.1:53 -s rr -o", "-a -u 192.0.2.1:53 -r 10.0.2.11:53 -m"});
  TrafficPolicy policy = rate(10, 2);
  policy.max_connections = 1;
  story.traffic("-u 192.0.2.1:53", policy);
  send(story, udp(client(1000), "192.0.2.1:53"), Verdict::kForwardedNat);
  send(story, udp(client(1000), "192.0.2.1:53"), Verdict::kForwardedNat);
  refused(story, udp(client(1000), "192.0.2.1:53"), Verdict::kConnectionRateLimit);
  check_accounts(story);
}

TEST_CASE("segments: NAT lowers the MSS of both SYNs, whatever came between") {
  Story story(kNat);
  story.traffic(kService, segments(1200));
  const auto from_client = [&](std::string_view flags) {
    return tcp(client(1000), kVip, flags).tcp_options("020405b4 0402 0101");
  };
  const auto to_server_syn = [](std::string_view options) {
    return tcp(client(1000), "10.0.2.11:8080", "S").tcp_options(options).ttl(63);
  };
  for (int i = 0; i < 2; ++i)  // sent again
    story.client(from_client("S"), Verdict::kForwardedNat,
                 {to_server(11, to_server_syn("020404b0 0402 0101").packet())});
  story.server(tcp("10.0.2.11:8080", client(1000), "SA").tcp_options("020405b4"), Verdict::kForwardedNatReply,
               {to_client(tcp(kVip, client(1000), "SA").tcp_options("020404b0").ttl(63).packet())});
  // That option means nothing but in a SYN.
  story.client(
      from_client("A"), Verdict::kForwardedNat,
      {to_server(11, tcp(client(1000), "10.0.2.11:8080", "A").tcp_options("020405b4 0402 0101").ttl(63).packet())});
  story.traffic(kService, {});
  story.client(tcp(client(1000), kVip, "S").tcp_options("020405b4"), Verdict::kForwardedNat,
               {to_server(11, to_server_syn("020405b4").packet())});
  check_accounts(story);
}

TEST_CASE("segments: auto is what goes whole to the server, in its tunnel too") {
  struct Case {
    const char* server;
    unsigned tcp_at;
    unsigned expected;
  };
  for (const Case& one :
       {Case{"-r 10.0.2.11 -g", 34, 1360}, Case{"-r 10.0.2.11:8080 -m", 34, 1360}, Case{"-r 10.0.2.11 -i", 54, 1340},
        Case{"-r 10.0.2.11 -i --tun-type gre", 58, 1336}, Case{"-r 10.0.2.11 -i --tun-type gre --tun-csum", 62, 1332},
        Case{"-r 10.0.2.11 -i --tun-type gue --tun-port 6080", 66, 1328}, Case{"-r [2001:db8:2::b] -i", 74, 1320}}) {
    INFO(one.server);
    Story story({"-A -t 192.0.2.1:80 -s rr", std::string("-a -t 192.0.2.1:80 ") + one.server}, {.server_mtu = 1400});
    story.traffic(kService, segments(kAutoSegmentLimit));
    const PacketBuilder syn = tcp(client(1000), kVip, "S").tcp_options("020405b4");
    CHECK(announced(story.exchange(Side::kClient, syn.frame()), one.tcp_at) == one.expected);
  }
  Story story({"-A -t [2001:db8:ff::1]:80 -s rr", "-a -t [2001:db8:ff::1]:80 -r [2001:db8:2::b] -i"},
              {.server_mtu = 1400});
  story.traffic("-t [2001:db8:ff::1]:80", segments(kAutoSegmentLimit));
  const PacketBuilder syn = tcp("[2001:db8:aa::1]:1000", "[2001:db8:ff::1]:80", "S").tcp_options("020405a0");
  CHECK(announced(story.exchange(Side::kClient, syn.frame()), 94) == 1300);
}

TEST_CASE("segments: a flow that has no entry, and the answer of a DR server that passes by") {
  Story story(kDirect);
  story.traffic(kService, segments(1000));
  const PacketBuilder syn = tcp(client(1000), kVip, "S").tcp_options("020405b4");
  CHECK(announced(story.exchange(Side::kClient, syn.frame()), 34) == 1000);
  const Bytes answer =
      tcp(kVip, client(1000), "SA").tcp_options("020405b4").mac("02:00:00:00:02:0b", "02:00:00:00:02:01").frame();
  CHECK(announced(story.exchange(Side::kServer, answer), 34) == 1000);
}

TEST_CASE("a resync asks for what differs, lists before services and after them") {
  Story story(kNat);
  story.prefix_list("bad", {"198.51.100.0/24"});
  story.prefix_list("old", {"203.0.113.0/24"});
  story.traffic(kService, deny({}, {"bad"}));
  WantedConfiguration wanted;
  const auto& service = story.publisher().current().services[0];
  const auto bad = std::make_shared<const PrefixList>(World::prefixes_of({"198.51.100.0/24"}));
  const auto old = std::make_shared<const PrefixList>(World::prefixes_of({"203.0.113.0/24"}));
  wanted.services.push_back(
      {service->key, {.scheduler = "rr"}, service->servers, std::make_shared<const TrafficPolicy>(deny({}, {"bad"}))});
  wanted.prefix_lists = {{"old", old}, {"bad", bad}};
  wanted.tunables = story.publisher().current().tunables;
  const auto kinds = [&] {
    std::vector<Operation::Kind> found;
    for (const Operation& operation : story.publisher().difference(wanted))
      if (operation.kind != Operation::Kind::kDeleteVip) found.push_back(operation.kind);
    return found;
  };
  using Kind = Operation::Kind;
  CHECK(kinds() == std::vector<Kind>{});
  wanted.prefix_lists = {{"new", old}, {"bad", old}};
  wanted.services[0].traffic = std::make_shared<const TrafficPolicy>(deny({}, {"new"}));
  CHECK(kinds() ==
        std::vector<Kind>{Kind::kSetPrefixList, Kind::kSetPrefixList, Kind::kSetTraffic, Kind::kDeletePrefixList});
  wanted.services[0].traffic = nullptr;
  wanted.prefix_lists = {};
  CHECK(kinds() == std::vector<Kind>{Kind::kSetTraffic, Kind::kDeletePrefixList, Kind::kDeletePrefixList});
  for (const OperationResult& result : story.publish(story.publisher().difference(wanted), true))
    CHECK(result.reason == Reason::kDone);
  CHECK(kinds() == std::vector<Kind>{});
}
