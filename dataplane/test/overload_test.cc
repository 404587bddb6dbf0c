// SPDX-License-Identifier: Apache-2.0
// Overload: what the director does when there is no room for another connection, how it gets over it, and what it does
// about connections that began before it did.
#include "service/spread.h"
#include "test/topic.h"

using namespace fulcrum;
using namespace fulcrum::test;

namespace {

const char* const kVip = "192.0.2.1:80";
constexpr uint32_t kRoom = 32;
constexpr uint64_t kEstablishedMs = 900'000;
constexpr uint64_t kClosedMs = 10'000;

std::string client(unsigned port) { return "198.51.100.1:" + std::to_string(port); }

// Three DR servers, the second of twice the weight, and no connection counts but those that lc would read.
const std::vector<std::string> kDirect = {"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11 -g",
                                          "-a -t 192.0.2.1:80 -r 10.0.2.12 -g -w 2",
                                          "-a -t 192.0.2.1:80 -r 10.0.2.13 -g"};
const std::vector<std::string> kTunnel = {"-A -t 192.0.2.1:80 -s wlc", "-a -t 192.0.2.1:80 -r 10.0.2.11 -i",
                                          "-a -t 192.0.2.1:80 -r 10.0.2.12 -i -w 2",
                                          "-a -t 192.0.2.1:80 -r 10.0.2.13 -i"};
const std::vector<std::string> kNat = {"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11:8080 -m",
                                       "-a -t 192.0.2.1:80 -r 10.0.2.12:8080 -m"};

WorldOptions small(uint32_t workers = 1) { return {.workers = workers, .connections = kRoom, .stateless = true}; }

// The last byte of the server that a packet of the client's went to; 0: none.
unsigned server_of(Story& story, const PacketBuilder& packet) {
  const auto left = story.exchange(Side::kClient, packet.frame());
  return left.size() == 1 && left[0].side == Side::kServer ? left[0].bytes[5] : 0;
}

uint32_t entries(Story& story) {
  uint32_t sum = 0;
  for (uint32_t id = 0; id < story.workers(); ++id) sum += story.worker(id).connections();
  return sum;
}

// Established connections, from ports that no flood uses, until no worker takes another one.
std::vector<unsigned> fill(Story& story, const char* vip = kVip, std::string (*from)(unsigned) = client) {
  std::vector<unsigned> ports;
  for (unsigned port = 2000; entries(story) < kRoom * story.workers(); ++port) {
    const uint32_t before = entries(story);
    server_of(story, tcp(from(port), vip, "S"));
    if (entries(story) == before) continue;  // its worker is full
    server_of(story, tcp(from(port), vip, "A"));
    ports.push_back(port);
  }
  return ports;
}

// Exactly this verdict, and nothing comes out.
void refused(Story& story, const PacketBuilder& packet, Verdict verdict) {
  const uint64_t before = story.verdict(verdict);
  CHECK(story.exchange(Side::kClient, packet.frame()).empty());
  CHECK(story.verdict(verdict) == before + 1);
}

uint64_t stateless(Story& story) {
  uint64_t sum = 0;
  for (uint32_t id = 0; id < story.workers(); ++id) sum += story.worker(id).counters().stateless;
  return sum;
}
uint64_t adopted(Story& story) {
  uint64_t sum = 0;
  for (uint32_t id = 0; id < story.workers(); ++id) sum += story.worker(id).counters().adopted;
  return sum;
}

bool is_overloaded(Story& story, uint32_t worker, Shortage of) {
  return Overload::is_active(story.worker(worker).overload_changes(of));
}

// The servers of many flows, by the first packet of each.
std::vector<unsigned> spread(Story& story, unsigned flows, std::string_view flags = "S", const char* vip = kVip,
                             std::string (*from)(unsigned) = client) {
  std::vector<unsigned> servers;
  for (unsigned port = 10'000; port < 10'000 + flows; ++port)
    servers.push_back(server_of(story, tcp(from(port), vip, flags)));
  return servers;
}

size_t share(const std::vector<unsigned>& servers, unsigned server) {
  return static_cast<size_t>(std::count(servers.begin(), servers.end(), server));
}

void expect_by_weight(const std::vector<unsigned>& servers) {
  // 1 : 2 : 1, within 10 % of all.
  const size_t tenth = servers.size() / 10;
  for (const auto& [server, part] : {std::pair{11u, 4u}, {12u, 2u}, {13u, 4u}}) {
    CHECK(share(servers, server) > servers.size() / part - tenth);
    CHECK(share(servers, server) < servers.size() / part + tenth);
  }
}

// What a full table or a spent budget leaves waits as long as this.
void calm_down(Story& story) {
  story.advance_ms(Overload::kCalmMs);
  story.advance_ms(10);
}

// Entries end, so that there is room for all but `left` of them.
void empty(Story& story, const std::vector<unsigned>& ports, size_t left = 0) {
  for (size_t i = left; i < ports.size(); ++i) server_of(story, tcp(client(ports[i]), kVip, "R"));
  story.advance_ms(kClosedMs + 10);
}

}  // namespace

TEST_CASE("overload: a full table spreads new flows to DR and TUN servers by weight; established ones go on") {
  for (const auto& config : {kDirect, kTunnel}) {
    for (const uint32_t workers : {1u, 2u}) {
      Story story(config, small(workers));
      const std::vector<unsigned> established = fill(story);
      std::map<unsigned, unsigned> where;
      for (const ConnectionInfo& at : story.World::connections()) where[at.client_port] = at.server.bytes[3];
      const auto before = story.services();

      const std::vector<unsigned> servers = spread(story, 1000);
      expect_by_weight(servers);
      for (uint32_t id = 0; id < workers; ++id) CHECK(is_overloaded(story, id, Shortage::kTableFullIpv4));
      // Whatever comes of them goes there too, also what ends them.
      for (const char* flags : {"A", "PA", "S", "FA", "R"}) CHECK(spread(story, 1000, flags) == servers);
      CHECK(stateless(story) >= 6000);
      CHECK(adopted(story) == 0);
      CHECK(story.verdict(Verdict::kTableFull) == 0);

      // They are no connections, and disturb none.
      CHECK(story.services() == before);
      for (const unsigned port : established) CHECK(server_of(story, tcp(client(port), kVip, "A")) == where[port]);
      check_accounts(story);
    }
  }
}

TEST_CASE("overload: IPv6 alike, each family by itself") {
  const auto from = [](unsigned port) { return "[2001:db8:aa::1]:" + std::to_string(port); };
  const char* const vip = "[2001:db8:ff::1]:80";
  Story story({"-A -t [2001:db8:ff::1]:80 -s rr", "-a -t [2001:db8:ff::1]:80 -r [2001:db8:2::b] -g",
               "-a -t [2001:db8:ff::1]:80 -r [2001:db8:2::c] -g -w 2",
               "-a -t [2001:db8:ff::1]:80 -r [2001:db8:2::d] -g", kDirect[0], kDirect[1], kDirect[2], kDirect[3]},
              small());
  fill(story, vip, from);
  const std::vector<unsigned> servers = spread(story, 1000, "S", vip, from);
  expect_by_weight(servers);
  CHECK(spread(story, 1000, "A", vip, from) == servers);
  CHECK(is_overloaded(story, 0, Shortage::kTableFullIpv6));
  // IPv4 has room, and its scheduler.
  CHECK_FALSE(is_overloaded(story, 0, Shortage::kTableFullIpv4));
  CHECK(story.connections(4, client(1000), kVip) == "13 12 11 13");
  check_accounts(story);
}

TEST_CASE("overload: one server fewer moves few flows of the others") {
  Story story(kDirect, small());
  fill(story);
  const std::vector<unsigned> before = spread(story, 1000);
  story.configure({"-e -t 192.0.2.1:80 -r 10.0.2.13 -g -w 0"});
  const std::vector<unsigned> after = spread(story, 1000);
  // A quiesced server gets none: the table has no memory.
  CHECK(share(after, 13) == 0);
  size_t moved = 0;
  for (size_t i = 0; i < before.size(); ++i) moved += before[i] != 13 && before[i] != after[i];
  CHECK(moved < 150);
  // And back.
  story.configure({"-e -t 192.0.2.1:80 -r 10.0.2.13 -g -w 1"});
  CHECK(spread(story, 1000) == before);
}

TEST_CASE("overload: without a server that takes packets as they are new flows are refused, and counted") {
  const auto refuses = [](const std::vector<std::string>& config, const PacketBuilder& packet) {
    Story story(config, small());
    story.configure({"-A -t 192.0.2.9:80 -s rr", "-a -t 192.0.2.9:80 -r 10.0.2.11 -g"});
    fill(story, "192.0.2.9:80");
    refused(story, packet, Verdict::kTableFull);
    CHECK(is_overloaded(story, 0, Shortage::kTableFullIpv4));
    check_accounts(story);
  };
  refuses(kNat, tcp(client(9), kVip, "S"));
  // A template would have to be kept.
  refuses({"-A -t 192.0.2.1:80 -s rr -p 60", kDirect[1]}, tcp(client(9), kVip, "S"));
  // Nobody would count them, so they might be too many.
  refuses({kDirect[0], "-a -t 192.0.2.1:80 -r 10.0.2.11 -g -x 5 -y 1"}, tcp(client(9), kVip, "S"));
  refuses({"-A -t 192.0.2.1:80 -s mh", "-a -t 192.0.2.1:80 -r 10.0.2.11:8080 -m"}, tcp(client(9), kVip, "S"));
  refuses(kDirect, tcp(client(0), kVip, "S"));
}

TEST_CASE("overload: of servers of all kinds, those that can take a flow take it") {
  Story story({kDirect[0], "-a -t 192.0.2.1:80 -r 10.0.2.11:80 -m", "-a -t 192.0.2.1:80 -r 10.0.2.12 -g -x 9",
               "-a -t 192.0.2.1:80 -r 10.0.2.13 -g", "-a -t 192.0.2.1:80 -r 10.0.2.14 -i"},
              small());
  fill(story);
  const std::vector<unsigned> servers = spread(story, 400);
  CHECK(share(servers, 13) + share(servers, 14) == 400);
  CHECK(share(servers, 13) > 150);
  CHECK(share(servers, 14) > 150);
}

TEST_CASE("overload: hash schedulers decide for themselves") {
  for (const char* scheduler : {"mh -b mh-port", "sh -b sh-port", "dh"}) {
    Story story({std::string("-A -t 192.0.2.1:80 -s ") + scheduler, kDirect[1], kDirect[2], kDirect[3]}, small());
    std::vector<unsigned> with_entry;
    for (unsigned port = 10'000; port < 10'020; ++port)
      with_entry.push_back(server_of(story, tcp(client(port), kVip, "S")));
    CHECK(story.worker(0).counters().stateless == 0);
    story.advance_ms(kEstablishedMs + 1000);
    fill(story);
    CHECK(spread(story, 20) == with_entry);
    CHECK(spread(story, 20, "A") == with_entry);
    CHECK(story.worker(0).counters().stateless == 40);
    CHECK(story.publisher().current().services[0]->spread == nullptr);
  }
}

TEST_CASE("overload: UDP keeps its server when there is room for an entry at last, and after overload") {
  Story story({"-A -u 192.0.2.1:53 -s rr", "-a -u 192.0.2.1:53 -r 10.0.2.11 -g", "-a -u 192.0.2.1:53 -r 10.0.2.12 -g",
               kDirect[0], kDirect[1]},
              small());
  const std::vector<unsigned> ports = fill(story);
  const auto ask = [&] {
    std::vector<unsigned> servers;
    for (unsigned port = 3000; port < 3020; ++port)
      servers.push_back(server_of(story, udp(client(port), "192.0.2.1:53")));
    return servers;
  };
  for (const unsigned port : ports) server_of(story, tcp(client(port), kVip, "R"));
  story.advance_ms(kClosedMs - 100);
  const std::vector<unsigned> first = ask();
  CHECK(share(first, 11) > 3);
  CHECK(share(first, 12) > 3);
  CHECK(stateless(story) == 20);
  // Overload lasts a while longer than the shortage.
  story.advance_ms(200);
  CHECK(story.worker(0).connections() == 0);
  CHECK(is_overloaded(story, 0, Shortage::kTableFullIpv4));
  CHECK(ask() == first);
  CHECK(story.worker(0).connections() == 20);
  calm_down(story);
  CHECK_FALSE(is_overloaded(story, 0, Shortage::kTableFullIpv4));
  CHECK(ask() == first);
  CHECK(stateless(story) == 20);
  check_accounts(story);
}

TEST_CASE("overload: one-packet scheduling needs no room") {
  Story story({"-A -u 192.0.2.1:53 -s rr -o", "-a -u 192.0.2.1:53 -r 10.0.2.11 -g",
               "-a -u 192.0.2.1:53 -r 10.0.2.12 -m", kDirect[0], kDirect[1]},
              small());
  fill(story);
  CHECK(story.connections(4, client(3000), "192.0.2.1:53", "syn", true) == "12 11 12 11");
  CHECK(story.worker(0).counters().stateless == 0);
  CHECK_FALSE(is_overloaded(story, 0, Shortage::kTableFullIpv4));
}

TEST_CASE("overload: errors about flows without an entry find their server") {
  Story story(kDirect, small());
  story.configure({"-A -u 192.0.2.1:53 -s rr", "-a -u 192.0.2.1:53 -r 10.0.2.11 -g"});
  const auto about_udp = [&] {
    const Bytes reply = udp("192.0.2.1:53", client(10'000)).packet();
    return server_of(story, icmp_error("198.51.100.254", "192.0.2.1", 3, 4, reply, 1400));
  };
  // UDP has no grace: any packet begins a flow.
  CHECK(about_udp() == 0);
  fill(story);
  const std::vector<unsigned> servers = spread(story, 20);
  for (unsigned i = 0; i < 20; ++i) {
    const Bytes reply = tcp(kVip, client(10'000 + i), "A").packet();
    CHECK(server_of(story, icmp_error("198.51.100.254", "192.0.2.1", 3, 4, reply, 1400)) == servers[i]);
  }
  CHECK(about_udp() == 11);
  check_accounts(story);
}

TEST_CASE("overload: it ends when there is room and nobody was turned away for a while; no sooner") {
  Story story(kDirect, small());
  const std::vector<unsigned> ports = fill(story);
  CHECK(story.worker(0).overload_changes(Shortage::kTableFullIpv4) == 0);
  spread(story, 5);
  CHECK(story.worker(0).overload_changes(Shortage::kTableFullIpv4) == 1);
  // Quiet, but full.
  calm_down(story);
  CHECK(is_overloaded(story, 0, Shortage::kTableFullIpv4));
  // Room for a few is no room.
  empty(story, ports, kRoom - table_reserve(kRoom));
  CHECK(story.worker(0).connections() == kRoom - table_reserve(kRoom));
  CHECK(is_overloaded(story, 0, Shortage::kTableFullIpv4));
  empty(story, ports);
  CHECK_FALSE(is_overloaded(story, 0, Shortage::kTableFullIpv4));
  CHECK(story.worker(0).overload_changes(Shortage::kTableFullIpv4) == 2);
  // The scheduler has its service back: it went on from 13 to 12 when the table was filled.
  CHECK(story.connections(4, client(5000), kVip) == "11 13 12 11");
}

TEST_CASE("grace: after overload flows go on where they were, and get an entry while there is plenty of room") {
  Story story(kDirect, small());
  const std::vector<unsigned> ports = fill(story);
  const std::vector<unsigned> servers = spread(story, 60);
  empty(story, ports);
  REQUIRE_FALSE(is_overloaded(story, 0, Shortage::kTableFullIpv4));
  const uint64_t before = stateless(story);
  // A reset is passed on, and makes nothing.
  CHECK(server_of(story, tcp(client(10'000), kVip, "R")) == servers[0]);
  CHECK(adopted(story) == 0);
  CHECK(spread(story, 60, "A") == servers);
  CHECK(adopted(story) == kRoom - table_reserve(kRoom));
  CHECK(stateless(story) - before == 1 + 60 - adopted(story));
  // In the state that sloppy_tcp gives, so that they live as long as others.
  for (const ConnectionInfo& at : story.World::connections()) {
    CHECK(static_cast<TcpState>(at.state) == TcpState::kEstablished);
    CHECK(at.expires_ms == kEstablishedMs);
    CHECK(at.server.bytes[3] == servers[at.client_port - 10'000u]);
  }
  // That is no overload, and what begins has room.
  CHECK_FALSE(is_overloaded(story, 0, Shortage::kTableFullIpv4));
  story.connections(table_reserve(kRoom), client(5000), kVip);
  CHECK(entries(story) == kRoom);
  CHECK_FALSE(is_overloaded(story, 0, Shortage::kTableFullIpv4));
  CHECK(spread(story, 60, "A") == servers);
  check_accounts(story);
}

TEST_CASE("grace: one ESTABLISHED timeout, then unknown packets are refused as LVS does it") {
  Story story(kDirect, small());
  const auto knock = [&](unsigned port) { return server_of(story, tcp(client(port), kVip, "A")); };
  // It begins with the director.
  CHECK(knock(1000) != 0);
  story.advance_ms(kEstablishedMs - 10);
  CHECK(knock(1001) != 0);
  story.advance_ms(10);
  CHECK(knock(1002) == 0);
  CHECK(story.verdict(Verdict::kResetSent) == 1);
  CHECK(adopted(story) == 2);
  // And again with the end of overload, as long as the timeout is then.
  story.configure({"--set 100 10 10"});
  const std::vector<unsigned> ports = fill(story);
  spread(story, 1);
  story.advance_ms(150'000);
  CHECK_FALSE(is_overloaded(story, 0, Shortage::kTableFullIpv4));
  CHECK(knock(1003) != 0);
  story.advance_ms(100'000);
  CHECK(knock(1004) == 0);
}

TEST_CASE("grace: a director that starts anew sends flows without an entry where it sent them before") {
  std::vector<unsigned> servers;
  {
    Story story(kDirect, small(2));
    fill(story);
    servers = spread(story, 200);
  }
  Story story(kDirect, {.workers = 1, .stateless = true});
  CHECK(spread(story, 200, "PA") == servers);
  CHECK(adopted(story) == 200);
  // A NAT server's address is in no packet.
  story.configure({"-C"});
  story.configure(kNat);
  CHECK(server_of(story, tcp(client(1), kVip, "A")) == 0);
  CHECK(story.verdict(Verdict::kResetSent) == 1);
}

TEST_CASE("grace: quiesced servers, deleted ones and FTP's data connections are left alone") {
  Story story({kDirect[0], "-a -t 192.0.2.1:80 -r 10.0.2.11 -g -w 0"}, small());
  CHECK(server_of(story, tcp(client(1000), kVip, "A")) == 0);
  story.configure({"-a -t 192.0.2.1:80 -r 10.0.2.12 -g"});
  CHECK(server_of(story, tcp(client(1000), kVip, "A")) == 12);
  CHECK(server_of(story, tcp(client(20), kVip, "A")) == 0);
  CHECK(server_of(story, tcp(client(0), kVip, "A")) == 0);
  // What has an entry already goes on to a quiesced server.
  story.configure({"-e -t 192.0.2.1:80 -r 10.0.2.12 -g -w 0"});
  CHECK(server_of(story, tcp(client(1000), kVip, "A")) == 12);
  CHECK(server_of(story, tcp(client(1001), kVip, "A")) == 0);
}

TEST_CASE("grace: switched off, unknown packets are refused; spreading switched off, new flows are") {
  Story story(kDirect, small());
  story.tune("stateless_grace", 0);
  CHECK(server_of(story, tcp(client(1), kVip, "A")) == 0);
  CHECK(story.verdict(Verdict::kResetSent) == 1);
  story.tune("stateless_spread", 0);
  fill(story);
  refused(story, tcp(client(9), kVip, "S"), Verdict::kTableFull);
  CHECK(is_overloaded(story, 0, Shortage::kTableFullIpv4));
  CHECK(server_of(story, tcp(client(9), kVip, "A")) == 0);
  CHECK(stateless(story) == 0);
}

TEST_CASE("budget: so many entries a second, shared evenly; what is beyond is spread, or refused") {
  for (const uint32_t workers : {1u, 2u}) {
    Story story(kDirect, {.workers = workers, .stateless = true});
    story.tune("new_connections_per_second", 100);
    const std::vector<unsigned> servers = spread(story, 1000);
    CHECK(std::count(servers.begin(), servers.end(), 0u) == 0);
    // As many at once as in a second.
    CHECK(story.World::connections().size() == 100);
    CHECK(stateless(story) == 900);
    for (uint32_t id = 0; id < workers; ++id) {
      CHECK(story.worker(id).connections() == 100 / workers);
      CHECK(is_overloaded(story, id, Shortage::kNewConnectionBudget));
    }
    // All packets of a flow go to one server, whether it has an entry or not, and whether it gets one meanwhile.
    CHECK(spread(story, 1000, "A") == servers);
    story.advance_ms(500);
    CHECK(spread(story, 1000, "A") == servers);
    CHECK(adopted(story) == 50);
    story.advance_ms(500);
    CHECK(spread(story, 1000, "A") == servers);
    CHECK(adopted(story) == 100);
    // Nobody was turned away since.
    story.advance_ms(Overload::kCalmMs);
    for (uint32_t id = 0; id < workers; ++id) CHECK_FALSE(is_overloaded(story, id, Shortage::kNewConnectionBudget));
    check_accounts(story);
  }
}

TEST_CASE("budget: NAT's new connections are refused beyond it, established ones are not asked") {
  Story story(kNat, {.stateless = true});
  story.tune("new_connections_per_second", 3);
  for (unsigned port = 1; port <= 3; ++port) CHECK(server_of(story, tcp(client(port), kVip, "S")) != 0);
  refused(story, tcp(client(4), kVip, "S"), Verdict::kNewConnectionBudget);
  for (unsigned port = 1; port <= 3; ++port) CHECK(server_of(story, tcp(client(port), kVip, "A")) != 0);
  // A third of a second brings one.
  story.advance_ms(333);
  refused(story, tcp(client(4), kVip, "S"), Verdict::kNewConnectionBudget);
  story.advance_ms(1);
  CHECK(server_of(story, tcp(client(4), kVip, "S")) != 0);
  refused(story, tcp(client(5), kVip, "S"), Verdict::kNewConnectionBudget);
  // Less than one a worker is still one now and then; no budget is no limit.
  story.tune("new_connections_per_second", 0);
  for (unsigned port = 5; port <= 15; ++port) CHECK(server_of(story, tcp(client(port), kVip, "S")) != 0);
  check_accounts(story);
}

TEST_CASE("budget: who aims at one worker takes nothing from the other") {
  Story story(kNat, {.workers = 2, .stateless = true});
  story.tune("new_connections_per_second", 20);
  for (const unsigned port : ports_of_worker(0, 100)) server_of(story, tcp(client(port), kVip, "S"));
  CHECK(story.worker(0).connections() == 10);
  CHECK(story.verdict(Verdict::kNewConnectionBudget) == 90);
  CHECK(is_overloaded(story, 0, Shortage::kNewConnectionBudget));
  CHECK_FALSE(is_overloaded(story, 1, Shortage::kNewConnectionBudget));
  for (const unsigned port : ports_of_worker(1, 10)) CHECK(server_of(story, tcp(client(port), kVip, "S")) != 0);
  CHECK(story.worker(1).connections() == 10);
}

TEST_CASE("budget: a port that is used again begins without its old entry") {
  Story story(kDirect, {.stateless = true});
  server_of(story, tcp(client(1), kVip, "S"));
  server_of(story, tcp(client(1), kVip, "A"));
  server_of(story, tcp(client(1), kVip, "R"));
  story.tune("new_connections_per_second", 1);
  server_of(story, tcp(client(2), kVip, "S"));
  // conn_reuse_mode 1: the old one was closed.
  const unsigned anew = server_of(story, tcp(client(1), kVip, "S"));
  CHECK(anew != 0);
  CHECK(stateless(story) == 1);
  CHECK(story.World::connections().size() == 1);
  CHECK(server_of(story, tcp(client(1), kVip, "A")) == anew);
}

TEST_CASE("spread: a table is kept while nothing moves, and made only where it is of use") {
  Story story(kDirect);
  const auto table = [&] { return story.publisher().current().services[0]->spread; };
  const auto first = table();
  REQUIRE(first != nullptr);
  CHECK(first->size() == 1021);
  story.configure({"-E -t 192.0.2.1:80 -s wlc", "-e -t 192.0.2.1:80 -r 10.0.2.12 -g -w 2"});
  CHECK(table() == first);
  story.configure({"-E -t 192.0.2.1:80 -s wlc -p 60"});
  CHECK(table() == nullptr);
  story.configure({"-E -t 192.0.2.1:80 -s mh"});
  CHECK(table() == nullptr);
  story.configure({"-E -t 192.0.2.1:80 -s rr"});
  REQUIRE(table() != nullptr);
  CHECK(*table() == *first);
  // The oldest server is the first of the list.
  CHECK(std::count(first->begin(), first->end(), 0) > 200);
  story.configure({"-e -t 192.0.2.1:80 -r 10.0.2.11 -m"});
  CHECK(std::count(table()->begin(), table()->end(), 0) == 0);
  story.configure({"-e -t 192.0.2.1:80 -r 10.0.2.11 -i"});
  CHECK(*table() == *first);
  story.configure(
      {"-d -t 192.0.2.1:80 -r 10.0.2.12", "-d -t 192.0.2.1:80 -r 10.0.2.13", "-e -t 192.0.2.1:80 -r 10.0.2.11 -m"});
  CHECK(table() == nullptr);
}
