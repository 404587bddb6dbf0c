// SPDX-License-Identifier: Apache-2.0
// Connections that an operator deletes: what goes, what counts afterwards, what becomes of the next packet, and whom a
// reset reaches.
#include "test/topic.h"

using namespace fulcrum;
using namespace fulcrum::test;

namespace {

using Action = PurgeRequest::Action;

const char* const kVip = "192.0.2.1:80";
const char* const kVip6 = "[2001:db8:ff::1]:80";
const std::vector<std::string> kNat = {"-A -t 192.0.2.1:80 -s lc", "-a -t 192.0.2.1:80 -r 10.0.2.11:8080 -m",
                                       "-a -t 192.0.2.1:80 -r 10.0.2.12:8080 -m"};
const std::vector<std::string> kDirect6 = {"-A -t [2001:db8:ff::1]:80 -s lc",
                                           "-a -t [2001:db8:ff::1]:80 -r [2001:db8:2::b] -g",
                                           "-a -t [2001:db8:ff::1]:80 -r [2001:db8:2::c] -g"};

std::string client(unsigned port) { return "198.51.100.1:" + std::to_string(port); }
std::string client6(unsigned port) { return "[2001:db8:9::1]:" + std::to_string(port); }

// Established, by DR.
void connect6(Story& story, unsigned first, unsigned count) {
  for (unsigned port = first; port < first + count; ++port)
    for (const char* flags : {"S", "A"}) story.exchange(Side::kClient, tcp(client6(port), kVip6, flags).frame());
  story.connections(0, client(1), kVip);
}

struct Purged {
  uint64_t connections = 0, active = 0;
  Ticks oldest = 0;
};

// All workers at once, as the engine does it.
Purged purge(Story& story, const ConnectionFilter& filter, Action action) {
  const auto requests = std::make_unique<PurgeRequest[]>(story.workers());
  for (uint32_t id = 0; id < story.workers(); ++id) {
    requests[id].filter = filter;
    requests[id].action = action;
    Command command{};
    command.kind = Command::Kind::kPurge;
    command.purge = &requests[id];
    REQUIRE(rte_ring_sp_enqueue_elem(story.shared().mailboxes[id], &command, sizeof command) == 0);
  }
  story.run();
  Purged sum;
  for (uint32_t id = 0; id < story.workers(); ++id) {
    CHECK(requests[id].done.load() == 1);
    sum.connections += requests[id].connections;
    sum.active += requests[id].active;
    sum.oldest = std::max(sum.oldest, requests[id].oldest);
  }
  return sum;
}
uint64_t count(Story& story, const ConnectionFilter& filter) {
  return purge(story, filter, Action::kCount).connections;
}

ConnectionFilter to(const char* server) {
  ConnectionFilter filter;
  filter.server = Endpoint(server).address;
  return filter;
}

uint64_t sum_of(Story& story, uint64_t WorkerCounters::*counter) {
  uint64_t sum = 0;
  for (uint32_t id = 0; id < story.workers(); ++id) sum += story.worker(id).counters().*counter;
  return sum;
}

// What a client's established connection looks like to itself.
PacketBuilder from_client(const std::string& from, const char* to, std::string_view flags = "PA") {
  return tcp(from, to, flags).sequence(7001).acknowledgement(9001);
}
PacketBuilder reset(const std::string& from, const std::string& to, uint32_t sequence) {
  return tcp(from, to, "R").id(0).sequence(sequence).window(0);
}

}  // namespace

TEST_CASE("purge: what matches goes, on every worker and of either family; counts follow, the rest stays") {
  for (const uint32_t workers : {1u, 2u}) {
    Story story(kNat, {.workers = workers});
    story.configure(kDirect6);
    story.connections(40, client(2000), kVip, "est");
    connect6(story, 2000, 40);
    CHECK(story.services() ==
          "TCP 192.0.2.1:80 lc\n"
          "  10.0.2.12:8080 Masq 1 20 0\n"
          "  10.0.2.11:8080 Masq 1 20 0\n"
          "TCP [2001:db8:ff::1]:80 lc\n"
          "  [2001:db8:2::c]:80 Route 1 20 0\n"
          "  [2001:db8:2::b]:80 Route 1 20 0");
    const auto statistics = story.statistics();
    const ConnectionFilter v4 = to("10.0.2.11"), v6 = to("2001:db8:2::c");
    // Counting changes nothing.
    CHECK(count(story, v4) == 20);
    CHECK(count(story, {}) == 80);
    CHECK(sum_of(story, &WorkerCounters::deleted) == 0);

    CHECK(purge(story, v4, Action::kDelete).connections == 20);
    const Purged six = purge(story, v6, Action::kDelete);
    CHECK(six.connections == 20);
    CHECK(six.active == 20);
    CHECK(story.services() ==
          "TCP 192.0.2.1:80 lc\n"
          "  10.0.2.12:8080 Masq 1 20 0\n"
          "  10.0.2.11:8080 Masq 1 0 0\n"
          "TCP [2001:db8:ff::1]:80 lc\n"
          "  [2001:db8:2::c]:80 Route 1 0 0\n"
          "  [2001:db8:2::b]:80 Route 1 20 0");
    CHECK(story.statistics() == statistics);  // what was counted happened
    CHECK(sum_of(story, &WorkerCounters::deleted) == 40);
    CHECK(count(story, {}) == 40);
    check_accounts(story);

    // lc finds the emptied servers; and what is left is where it was.
    CHECK(story.connections(20, client(3000), kVip, "est").find("12") == std::string::npos);
    for (unsigned port = 2000; port < 2040; ++port) story.exchange(Side::kClient, tcp(client(port), kVip, "A").frame());
    CHECK(count(story, to("10.0.2.12")) == 20);
    CHECK(purge(story, {}, Action::kDelete).connections == 60);
    CHECK(story.table() == "");
    for (uint32_t id = 0; id < workers; ++id) CHECK(story.worker(id).connections() == 0);
    check_accounts(story);
  }
}

TEST_CASE("purge: by service, client, protocol, state, port of the server") {
  Story story(kNat);
  story.configure({"-A -u 192.0.2.1:53 -s rr", "-a -u 192.0.2.1:53 -r 10.0.2.11:53 -m", "-A -t 192.0.2.1:0 -s rr -p 60",
                   "-a -t 192.0.2.1:0 -r 10.0.2.13:0 -g"});
  story.connections(3, "198.51.100.1:2000", kVip, "est");
  story.connections(2, "198.51.100.77:2000", kVip, "syn");
  story.connections(1, "203.0.113.9:2000", kVip, "est");
  story.connections(4, "198.51.100.1:2000", "192.0.2.1:53", "syn", true);
  story.connections(2, "198.51.100.1:2000", "192.0.2.1:443", "syn");
  const auto service = [&](const char* at, IpProtocol protocol) {
    ConnectionFilter filter;
    const Endpoint key(at);
    filter.by_service = true;
    filter.service = {key.address, protocol, static_cast<uint16_t>(key.port), 0};
    filter.service_slot = story.publisher().slot_of(filter.service).value_or(kNoServiceSlot);
    return filter;
  };
  CHECK(count(story, {}) == 12);
  CHECK(count(story, service(kVip, IpProtocol::kTcp)) == 6);
  CHECK(count(story, service("192.0.2.1:53", IpProtocol::kUdp)) == 4);
  // Of any port, but not of those that have a service of their own.
  CHECK(count(story, service("192.0.2.1:0", IpProtocol::kTcp)) == 2);
  CHECK(count(story, service("192.0.2.9:80", IpProtocol::kTcp)) == 0);

  ConnectionFilter filter;
  filter.client = Prefix::parse("198.51.100.64/26").value();
  CHECK(count(story, filter) == 2);
  filter.client = Prefix::parse("198.51.100.0/24").value();
  CHECK(count(story, filter) == 11);
  filter.protocol = IpProtocol::kUdp;
  CHECK(count(story, filter) == 4);
  filter = {};
  filter.states = StateSet::named("ESTABLISHED").value();
  CHECK(count(story, filter) == 4);
  filter.states = StateSet::named("UDP").value();
  CHECK(count(story, filter) == 4);
  filter.states = StateSet::named("SYN_RECV").value();
  CHECK(count(story, filter) == 4);
  CHECK(!StateSet::named("established"));
  CHECK(StateSet::named("CLOSED").value().tcp == 0);  // SCTP's

  filter = to("10.0.2.11");
  const uint64_t all = count(story, filter);
  filter.server_port = 53;
  CHECK(count(story, filter) == 4);
  filter.server_port = 8080;
  CHECK(count(story, filter) == all - 4);
  CHECK(purge(story, filter, Action::kDelete).connections == all - 4);
  CHECK(count(story, to("10.0.2.11")) == 4);
  check_accounts(story);
}

TEST_CASE("purge: the age of the oldest, and what is due already is none of them") {
  Story story(kNat);
  story.connections(1, client(2000), kVip, "est");
  story.advance_ms(30'000);
  story.connections(1, client(2001), kVip, "est");
  story.advance_ms(5'000);
  CHECK(purge(story, {}, Action::kCount).oldest == 35 * kTicksPerSecond);
  story.exchange(Side::kClient, tcp(client(2000), kVip, "R").frame());
  story.advance_ms(10'000);
  CHECK(purge(story, {}, Action::kDelete).oldest == 15 * kTicksPerSecond);
}

TEST_CASE("purge: a slice at a time") {
  Story story(kNat);
  story.connections(1200, client(2000), kVip);
  PurgeRequest request;
  request.action = Action::kDelete;
  Command command{};
  command.kind = Command::Kind::kPurge;
  command.purge = &request;
  REQUIRE(rte_ring_sp_enqueue_elem(story.shared().mailboxes[0], &command, sizeof command) == 0);
  std::vector<uint64_t> seen;
  while (request.done.load() == 0) {
    story.worker(0).poll();
    seen.push_back(request.connections);
  }
  CHECK(seen == std::vector<uint64_t>{512, 1024, 1200});
  CHECK(story.worker(0).connections() == 0);
  check_accounts(story);
}

TEST_CASE("purge: a segment of a deleted connection is one of no connection") {
  Story story(kNat);
  CHECK(story.connections(1, client(2000), kVip, "est") == "12");
  purge(story, {}, Action::kDelete);
  story.client(from_client(client(2000), kVip), Verdict::kResetSent,
               {to_client(reset(kVip, client(2000), 9001).packet())});
  // The server's goes where it is addressed to, untranslated.
  story.server(tcp("10.0.2.12:8080", client(2000), "PA"), Verdict::kRouted,
               {to_client(tcp("10.0.2.12:8080", client(2000), "PA").ttl(63).packet())});
  // A UDP flow just begins anew.
  story.configure({"-A -u 192.0.2.1:53 -s rr", "-a -u 192.0.2.1:53 -r 10.0.2.11:53 -m"});
  story.client(udp(client(2000), "192.0.2.1:53"), Verdict::kForwardedNat,
               {to_server(11, udp(client(2000), "10.0.2.11:53").ttl(63).packet())});
  CHECK(purge(story, {}, Action::kReset).connections == 1);
  story.client(udp(client(2000), "192.0.2.1:53"), Verdict::kForwardedNat,
               {to_server(11, udp(client(2000), "10.0.2.11:53").ttl(63).packet())});
  check_accounts(story);
}

TEST_CASE("purge: after a reset of NAT the next segment of either end tells both") {
  for (const uint32_t workers : {1u, 2u}) {
    Story story(kNat, {.workers = workers});
    CHECK(story.connections(2, client(2000), kVip, "est") == "12 11");
    const Purged purged = purge(story, {}, Action::kReset);
    CHECK(purged.connections == 2);
    CHECK(story.services() ==
          "TCP 192.0.2.1:80 lc\n"
          "  10.0.2.12:8080 Masq 1 0 0\n"
          "  10.0.2.11:8080 Masq 1 0 0");
    CHECK(story.table() == "");
    CHECK(count(story, {}) == 0);
    check_accounts(story);

    const auto data = from_client(client(2000), kVip).payload("hello").tcp_options("01010101");
    const auto told = from_client(client(2000), "10.0.2.12:8080", "RA").ttl(63).packet();
    story.client(data, Verdict::kForwardedNat,
                 {to_client(reset(kVip, client(2000), 9001).packet()), to_server(12, told)});
    // Every one does, for a while; what resets is passed on.
    story.client(data, Verdict::kForwardedNat,
                 {to_client(reset(kVip, client(2000), 9001).packet()), to_server(12, told)});
    story.client(tcp(client(2000), kVip, "R").sequence(5), Verdict::kForwardedNat,
                 {to_server(12, tcp(client(2000), "10.0.2.12:8080", "R").sequence(5).ttl(63).packet())});

    const auto reply = tcp("10.0.2.11:8080", client(2001), "PA").sequence(9001).acknowledgement(7001);
    story.server(PacketBuilder(reply).payload_size(1000), Verdict::kForwardedNatReply,
                 {to_client(tcp(kVip, client(2001), "RA").sequence(9001).acknowledgement(7001).ttl(63).packet()),
                  to_server(11, reset(client(2001), "10.0.2.11:8080", 7001).packet())});
    CHECK(sum_of(story, &WorkerCounters::resets) == 3);
    CHECK(sum_of(story, &WorkerCounters::deleted) == 2);
    check_accounts(story);
  }
}

TEST_CASE("purge: a reset with DR and TUN") {
  for (const bool tunnel : {false, true}) {
    Story story({"-A -t 192.0.2.1:80 -s rr", std::string("-a -t 192.0.2.1:80 -r 10.0.2.11 ") + (tunnel ? "-i" : "-g")});
    CHECK(story.connections(1, client(2000), kVip, "est") == "11");
    CHECK(purge(story, {}, Action::kReset).connections == 1);
    // What the server sends past the director says nothing yet that the client has not answered.
    const auto reply = tcp(kVip, client(2000), "PA").payload("data");
    story.server(reply, Verdict::kForwardedReply, {to_client(PacketBuilder(reply).ttl(63).packet())});
    const Bytes told = from_client(client(2000), kVip, "RA").ttl(63).packet();
    const Expected at_server = tunnel
                                   ? any_id(to_server(11, ipip("10.0.2.1", "10.0.2.11", told).ttl(63).id(0).packet()))
                                   : to_server(11, told);
    story.client(from_client(client(2000), kVip).payload_size(100),
                 tunnel ? Verdict::kForwardedTun : Verdict::kForwardedDr,
                 {to_client(reset(kVip, client(2000), 9001).packet()), at_server});
    check_accounts(story);
  }
}

TEST_CASE("purge: a reset in IPv6") {
  Story story(kDirect6);
  connect6(story, 2000, 1);
  CHECK(purge(story, {}, Action::kReset).connections == 1);
  story.client(from_client(client6(2000), kVip6).payload_size(64), Verdict::kForwardedDr,
               {to_client(reset(kVip6, client6(2000), 9001).packet()),
                {{Side::kServer, ethernet(server_mac(12), kServerPortMac,
                                          from_client(client6(2000), kVip6, "RA").ttl(63).packet())}}});
  check_accounts(story);
}

TEST_CASE("purge: a condemned connection makes room for a new one, ends after a minute, and is found by nobody") {
  Story story(kNat);
  CHECK(story.connections(3, client(2000), kVip, "est") == "12 11 12");
  CHECK(purge(story, {}, Action::kReset).connections == 3);
  // The same ports again.
  CHECK(story.connections(1, client(2000), kVip, "est") == "12");
  CHECK(story.table() == "TCP 198.51.100.1:2000 192.0.2.1:80 10.0.2.12:8080 ESTABLISHED 900");
  CHECK(story.worker(0).connections() == 3);
  check_accounts(story);
  // An error about one of them is about none.
  const Bytes about = tcp(kVip, client(2001), "A").packet();
  story.client(icmp_error("203.0.113.1", "192.0.2.1", 3, 1, about, 0, 40), Verdict::kLocalIgnored);
  // Deleted servers' connections are swept away, but these are not theirs any more.
  story.tune("expire_nodest_conn", 1);
  Command sweep{};
  sweep.kind = Command::Kind::kSweep;
  story.command(sweep);
  story.run();
  CHECK(story.worker(0).connections() == 3);

  story.advance_ms(59'900);
  CHECK(story.worker(0).connections() == 3);
  story.advance_ms(200);
  CHECK(story.worker(0).connections() == 1);
  story.client(from_client(client(2001), kVip), Verdict::kResetSent,
               {to_client(reset(kVip, client(2001), 9001).packet())});
  check_accounts(story);
}

TEST_CASE("purge: the spread takes up a flow that was deleted, but not one that is reset") {
  const std::vector<std::string> config = {"-A -t 192.0.2.1:80 -s sh", "-a -t 192.0.2.1:80 -r 10.0.2.11 -g"};
  Story story(config, {.stateless = true});
  CHECK(story.connections(1, client(2000), kVip, "est") == "11");
  purge(story, {}, Action::kDelete);
  story.client(from_client(client(2000), kVip), Verdict::kForwardedDr,
               {to_server(11, from_client(client(2000), kVip).ttl(63).packet())});
  CHECK(count(story, {}) == 1);
  purge(story, {}, Action::kReset);
  story.client(from_client(client(2000), kVip), Verdict::kForwardedDr,
               {to_client(reset(kVip, client(2000), 9001).packet()),
                to_server(11, from_client(client(2000), kVip, "RA").ttl(63).packet())});
  CHECK(count(story, {}) == 0);
}

TEST_CASE("purge: thresholds count what is left") {
  Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11 -g -x 3"});
  CHECK(story.connections(4, client(2000), kVip, "est") == "11 11 11 -");
  ConnectionFilter one;
  one.states = StateSet::named("ESTABLISHED").value();
  CHECK(purge(story, one, Action::kReset).connections == 3);
  CHECK(story.connections(4, client(3000), kVip, "est") == "11 11 11 -");
  check_accounts(story);
}

TEST_CASE("purge: templates stay unless they are meant too") {
  Story story(
      {"-A -t 192.0.2.1:80 -s rr -p 300", "-a -t 192.0.2.1:80 -r 10.0.2.11 -g", "-a -t 192.0.2.1:80 -r 10.0.2.12 -g"});
  CHECK(story.connections(2, client(2000), kVip, "est") == "12 12");
  CHECK(story.connections(1, "198.51.100.2:2000", kVip, "est") == "11");
  Shared& shared = story.shared();
  const auto erase = [&](const ConnectionFilter& filter) {
    return shared.templates->erase(
        shared.clock.now(),
        [&](const Template& at) {
          const ServerLine& server = shared.servers[at.server];
          return matches(filter, at, server.address, server.port, server.service);
        },
        [&](const Template& gone) { shared.servers[gone.server].persistent.fetch_sub(1); });
  };
  const auto persistent = [&] {
    uint32_t sum = 0;
    for (ServerSlot slot = 0; slot < 16; ++slot) sum += shared.servers[slot].persistent.load();
    return sum;
  };
  CHECK(persistent() == 2);
  CHECK(purge(story, to("10.0.2.12"), Action::kDelete).connections == 2);
  story.configure({"-e -t 192.0.2.1:80 -r 10.0.2.12 -g -w 0"});
  CHECK(story.connections(1, client(2002), kVip, "est") == "12");  // LVS: it sticks
  check_accounts(story);

  // One that controls a connection is found no more at once, and goes with it.
  CHECK(erase(to("10.0.2.12")) == 1);
  CHECK(persistent() == 2);
  CHECK(erase(to("10.0.2.12")) == 0);
  CHECK(story.connections(1, client(2003), kVip, "est") == "11");
  CHECK(purge(story, to("10.0.2.12"), Action::kDelete).connections == 1);
  CHECK(erase(to("10.0.2.12")) == 0);
  CHECK(persistent() == 2);  // of the two clients on 10.0.2.11
  ConnectionFilter assured;
  assured.states = StateSet::named("ASSURED").value();
  assured.client = Prefix::parse("198.51.100.2/32").value();
  CHECK(erase(assured) == 1);
  CHECK(purge(story, {}, Action::kDelete).connections == 2);
  CHECK(erase({}) == 1);
  CHECK(persistent() == 0);
  check_accounts(story);
}

TEST_CASE("purge: templates of an FTP service are not those of a port-0 service, though their keys may be alike") {
  Story story({"-A -t 192.0.2.1:21 -s rr -p 300", "-a -t 192.0.2.1:21 -r 10.0.2.11 -g",
               "-A -t 192.0.2.1:0 -s rr -p 300", "-a -t 192.0.2.1:0 -r 10.0.2.12:0 -g"});
  CHECK(story.connections(1, client(2000), "192.0.2.1:21", "est") == "11");
  CHECK(story.connections(1, "198.51.100.2:2000", "192.0.2.1:443", "est") == "12");
  for (const char* at : {"192.0.2.1:21", "192.0.2.1:0"}) {
    const Endpoint key(at);
    ConnectionFilter filter;
    filter.by_service = true;
    filter.service_slot =
        story.publisher().slot_of({key.address, IpProtocol::kTcp, static_cast<uint16_t>(key.port), 0}).value();
    std::vector<Address> servers;
    story.shared().templates->list(0, [&](const Template& of) {
      const ServerLine& server = story.shared().servers[of.server];
      if (matches(filter, of, server.address, server.port, server.service)) servers.push_back(server.address);
      return true;
    });
    REQUIRE(servers.size() == 1);
    CHECK(servers[0].text() == (key.port == 21 ? "10.0.2.11" : "10.0.2.12"));
  }
}
