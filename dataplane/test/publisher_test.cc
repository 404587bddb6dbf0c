// SPDX-License-Identifier: Apache-2.0
#include "core/publisher.h"

#include "test/story.h"

using namespace fulcrum;
using namespace fulcrum::test;

namespace {

const std::vector<std::string> kTwoServers = {"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11 -g -w 1",
                                              "-a -t 192.0.2.1:80 -r 10.0.2.12 -g -w 1"};

std::vector<Operation> parsed(const std::vector<std::string>& lines) {
  std::vector<Operation> operations;
  for (const std::string& line : lines) operations.push_back(World::parse(line));
  return operations;
}

const VirtualService& service(Story& story, size_t at = 0) { return *story.publisher().current().services[at]; }

ServerSlot slot_of(Story& story, const char* server) {
  const Endpoint at(server);
  for (const RealServer& one : service(story).servers)
    if (one.key == ServerKey{at.address, static_cast<uint16_t>(at.port)}) return one.slot;
  return kNoSlot;
}

// The configuration as a snapshot that asks for exactly what is.
Publisher::Wanted as_wanted(Story& story) {
  Publisher::Wanted wanted;
  for (const auto& at : story.publisher().current().services)
    wanted.services.push_back(
        {at->key,
         {at->scheduler, at->scheduler_flags, at->persistence_timeout_s, at->persistence_prefix, at->one_packet},
         at->servers,
         {}});
  for (const char* prefix : {"192.0.2.", "2001:db8:ff::"}) {
    for (int i = 1; i <= 9; ++i) {
      wanted.vips.emplace_back();
      wanted.vips.back().address = Endpoint(prefix + std::to_string(i)).address;
    }
  }
  wanted.tunables = story.publisher().current().tunables;
  return wanted;
}

// What a difference does, a letter an edit with the server's last byte: "-12 +12 =11".
std::string edits(const std::vector<Operation>& operations) {
  std::string text;
  for (const Operation& operation : operations) {
    const auto server = std::to_string(operation.server.key.address.bytes[3]);
    using Kind = Operation::Kind;
    text += text.empty() ? "" : " ";
    switch (operation.kind) {
      case Kind::kAddServer:
        text += "+" + server;
        break;
      case Kind::kEditServer:
        text += "=" + server;
        break;
      case Kind::kDeleteServer:
        text += "-" + server;
        break;
      default:
        text += std::string(1, "AEDaedFZTVv"[static_cast<size_t>(operation.kind)]);
    }
  }
  return text;
}

}  // namespace

TEST_CASE("publisher: what is refused, and why") {
  Story story(kTwoServers);
  story.refused("-A -t 192.0.2.1:80 -s rr", Reason::kServiceExists);
  story.refused("-A -t 192.0.2.1:81 -s nonsense", Reason::kSchedulerNotFound);
  story.refused("-E -t 192.0.2.1:80 -s nonsense", Reason::kSchedulerNotFound);
  story.refused("-E -t 192.0.2.1:81 -s rr", Reason::kServiceNotFound);
  story.refused("-D -t 192.0.2.1:81", Reason::kServiceNotFound);
  story.refused("-D -u 192.0.2.1:80", Reason::kServiceNotFound);
  story.refused("-Z -t 192.0.2.1:81", Reason::kServiceNotFound);
  story.refused("-a -t 192.0.2.1:80 -r 10.0.2.11 -g", Reason::kServerExists);
  story.refused("-a -t 192.0.2.1:81 -r 10.0.2.11 -g", Reason::kServiceNotFound);
  story.refused("-e -t 192.0.2.1:80 -r 10.0.2.13 -g", Reason::kServerNotFound);
  story.refused("-d -t 192.0.2.1:80 -r 10.0.2.11:81", Reason::kServerNotFound);
  for (const char* address : {"0.0.0.0", "224.0.0.1", "255.255.255.255"})
    story.refused(std::string("-a -t 192.0.2.1:80 -r ") + address + ":80 -g", Reason::kInvalid);
  story.refused("-a -t 192.0.2.1:80 -r 2001:db8::1 -g", Reason::kFamilyMismatch);
  CHECK(story.services() == "TCP 192.0.2.1:80 rr\n  10.0.2.12:80 Route 1 0 0\n  10.0.2.11:80 Route 1 0 0");
}

TEST_CASE("publisher: atomic edits happen all or not at all, and not to counters either") {
  Story story(kTwoServers);
  CHECK(story.connections(2, "198.51.100.1:1000", "192.0.2.1:80") == "12 11");
  const std::string services = story.services(), statistics = story.statistics();
  const uint64_t version = story.publisher().current().version;
  const auto results =
      story.publish(parsed({"-Z", "-e -t 192.0.2.1:80 -r 10.0.2.11 -g -w 7", "-A -t 192.0.2.2:80 -s wlc", "--set 1 1 1",
                            "-d -t 192.0.2.1:80 -r 10.0.2.12", "-d -t 192.0.2.1:80 -r 10.0.2.13", "-C"}),
                    true);
  REQUIRE(results.size() == 6);  // the first refusal ends it
  CHECK(results.back().reason == Reason::kServerNotFound);
  CHECK(story.services() == services);
  CHECK(story.statistics() == statistics);
  CHECK(story.publisher().current().version == version);
  CHECK(story.publisher().current().timeouts.of(TimeoutTable::kTcp, 1) == TimeoutTable().of(TimeoutTable::kTcp, 1));
  story.client(tcp("198.51.100.1:1000", "192.0.2.1:80", "A"), Verdict::kForwardedDr,
               {to_server(12, tcp("198.51.100.1:1000", "192.0.2.1:80", "A").ttl(63).packet())});
}

TEST_CASE("publisher: in restore mode the lines that can be carried out are") {
  Story story;
  const auto results = story.publish(
      parsed({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.2:80 -r 10.0.2.11 -g", "-a -t 192.0.2.1:80 -r 10.0.2.11 -g",
              "-a -t 192.0.2.1:80 -r 10.0.2.11 -g", "-a -t 192.0.2.1:80 -r 10.0.2.12 -m -w 3"}));
  std::vector<Reason> reasons;
  for (const auto& result : results) reasons.push_back(result.reason);
  CHECK(reasons ==
        std::vector{Reason::kDone, Reason::kServiceNotFound, Reason::kDone, Reason::kServerExists, Reason::kDone});
  CHECK(story.services() == "TCP 192.0.2.1:80 rr\n  10.0.2.12:80 Masq 3 0 0\n  10.0.2.11:80 Route 1 0 0");
}

TEST_CASE("publisher: a server deleted and added keeps slot, connections and counters, at the head of the list") {
  Story story(kTwoServers);
  CHECK(story.connections(2, "198.51.100.1:1000", "192.0.2.1:80", "est") == "12 11");
  const ServerSlot slot = slot_of(story, "10.0.2.11:80");
  story.configure({"-d -t 192.0.2.1:80 -r 10.0.2.11"});
  story.client(tcp("198.51.100.1:1001", "192.0.2.1:80", "A"), Verdict::kServerGone);
  story.configure({"-a -t 192.0.2.1:80 -r 10.0.2.11 -g -w 4"});
  CHECK(slot_of(story, "10.0.2.11:80") == slot);
  CHECK(story.services() == "TCP 192.0.2.1:80 rr\n  10.0.2.11:80 Route 4 1 0\n  10.0.2.12:80 Route 1 1 0");
  CHECK(story.statistics() == "TCP 192.0.2.1:80 2 4 0 160 0\n  10.0.2.11:80 1 2 0 80 0\n  10.0.2.12:80 1 2 0 80 0");
  story.client(tcp("198.51.100.1:1001", "192.0.2.1:80", "A"), Verdict::kForwardedDr,
               {to_server(11, tcp("198.51.100.1:1001", "192.0.2.1:80", "A").ttl(63).packet())});
}

TEST_CASE("publisher: the trash survives the service, but its counters begin anew") {
  Story story(kTwoServers);
  story.configure({"-A -t 192.0.2.2:80 -s rr"});
  CHECK(story.connections(2, "198.51.100.1:1000", "192.0.2.1:80", "est") == "12 11");
  story.configure({"-D -t 192.0.2.1:80"});
  story.client(tcp("198.51.100.1:1001", "192.0.2.1:80", "A"), Verdict::kServerGone);
  story.configure({"-A -t 192.0.2.1:80 -s wlc", "-a -t 192.0.2.1:80 -r 10.0.2.11 -g"});
  CHECK(story.services() == "TCP 192.0.2.2:80 rr\nTCP 192.0.2.1:80 wlc\n  10.0.2.11:80 Route 1 1 0");
  CHECK(story.statistics() == "TCP 192.0.2.2:80 0 0 0 0 0\nTCP 192.0.2.1:80 0 0 0 0 0\n  10.0.2.11:80 1 2 0 80 0");
}

TEST_CASE("publisher: the trash forgets what nothing has referred to for two minutes") {
  Story story(kTwoServers);
  CHECK(story.connections(1, "198.51.100.1:1000", "192.0.2.1:80", "rst") == "12");  // CLOSE: 10 s
  const ServerSlot slot = slot_of(story, "10.0.2.12:80");
  story.configure({"-d -t 192.0.2.1:80 -r 10.0.2.12"});
  const auto empty = [&] { story.publisher().empty_trash(story.shared().clock.now_ms()); };
  const auto add = [&] { story.configure({"-a -t 192.0.2.1:80 -r 10.0.2.12 -g"}); };
  empty();  // a connection still refers to it
  story.advance_ms(11'000);
  CHECK(story.table() == "");
  empty();  // from now on nothing does
  story.advance_ms(119'000);
  empty();
  add();
  CHECK(slot_of(story, "10.0.2.12:80") == slot);
  CHECK(story.statistics() == "TCP 192.0.2.1:80 1 3 0 120 0\n  10.0.2.12:80 1 3 0 120 0\n  10.0.2.11:80 0 0 0 0 0");

  story.configure({"-d -t 192.0.2.1:80 -r 10.0.2.12"});
  empty();
  story.advance_ms(120'000);
  empty();
  add();
  // The service has its own counters, which forget nothing.
  CHECK(story.statistics() == "TCP 192.0.2.1:80 1 3 0 120 0\n  10.0.2.12:80 0 0 0 0 0\n  10.0.2.11:80 0 0 0 0 0");
}

TEST_CASE("publisher: slots of forgotten servers are used again, with nothing of their past") {
  Story story({"-A -t 192.0.2.1:80 -s wlc", "-a -t 192.0.2.1:80 -r 10.0.2.11:8080 -m"});
  CHECK(story.connections(1, "198.51.100.1:1000", "192.0.2.1:80", "rst") == "11");
  const ServerSlot slot = slot_of(story, "10.0.2.11:8080");
  story.configure({"-d -t 192.0.2.1:80 -r 10.0.2.11:8080"});
  story.advance_ms(11'000);
  story.publisher().empty_trash(story.shared().clock.now_ms());
  story.advance_ms(120'000);
  story.publisher().empty_trash(story.shared().clock.now_ms());
  story.configure({"-a -t 192.0.2.1:80 -r 10.0.2.20 -g"});
  CHECK(slot_of(story, "10.0.2.20:80") == slot);
  CHECK(story.statistics() == "TCP 192.0.2.1:80 1 3 1 120 40\n  10.0.2.20:80 0 0 0 0 0");
  CHECK_FALSE(story.publisher().current().is_nat_endpoint(Endpoint("10.0.2.11").address, 8080));
}

TEST_CASE("publisher: zero points") {
  Story story(kTwoServers);
  story.configure({"-A -t 192.0.2.2:80 -s rr", "-a -t 192.0.2.2:80 -r 10.0.2.11 -g"});
  CHECK(story.connections(2, "198.51.100.1:1000", "192.0.2.1:80") == "12 11");
  CHECK(story.connections(1, "198.51.100.2:1000", "192.0.2.2:80") == "11");
  story.configure({"-Z -t 192.0.2.1:80"});
  CHECK(story.statistics() ==
        "TCP 192.0.2.1:80 0 0 0 0 0\n  10.0.2.12:80 0 0 0 0 0\n  10.0.2.11:80 0 0 0 0 0\n"
        "TCP 192.0.2.2:80 1 1 0 40 0\n  10.0.2.11:80 1 1 0 40 0");
  CHECK(story.connections(1, "198.51.100.3:1000", "192.0.2.1:80") == "12");
  // A zero point outlives the trash.
  story.configure({"-d -t 192.0.2.1:80 -r 10.0.2.12", "-a -t 192.0.2.1:80 -r 10.0.2.12 -g"});
  CHECK(story.statistics() ==
        "TCP 192.0.2.1:80 1 1 0 40 0\n  10.0.2.12:80 1 1 0 40 0\n  10.0.2.11:80 0 0 0 0 0\n"
        "TCP 192.0.2.2:80 1 1 0 40 0\n  10.0.2.11:80 1 1 0 40 0");
  story.configure({"-Z"});
  CHECK(story.statistics() ==
        "TCP 192.0.2.1:80 0 0 0 0 0\n  10.0.2.12:80 0 0 0 0 0\n  10.0.2.11:80 0 0 0 0 0\n"
        "TCP 192.0.2.2:80 0 0 0 0 0\n  10.0.2.11:80 0 0 0 0 0");
  CHECK(story.services() ==
        "TCP 192.0.2.1:80 rr\n  10.0.2.12:80 Route 1 2 0\n  10.0.2.11:80 Route 1 1 0\n"
        "TCP 192.0.2.2:80 rr\n  10.0.2.11:80 Route 1 1 0");
}

TEST_CASE("publisher: services that are not edited are the same objects in the next snapshot") {
  Story story(kTwoServers);
  story.configure({"-A -t 192.0.2.2:80 -s rr"});
  const VirtualService* first = &service(story, 0);
  const VirtualService* second = &service(story, 1);
  story.configure({"-e -t 192.0.2.1:80 -r 10.0.2.11 -g -w 1"});
  CHECK(&service(story, 0) != first);
  CHECK(&service(story, 1) == second);
}

TEST_CASE("publisher: NAT servers are known as endpoints while they live and while they are in the trash") {
  Story story(
      {"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11:8080 -m", "-a -t 192.0.2.1:80 -r 10.0.2.12 -g"});
  const auto is_endpoint = [&](const char* server, uint16_t port) {
    return story.publisher().current().is_nat_endpoint(Endpoint(server).address, port);
  };
  CHECK(is_endpoint("10.0.2.11", 8080));
  CHECK_FALSE(is_endpoint("10.0.2.11", 80));
  CHECK_FALSE(is_endpoint("10.0.2.12", 80));
  // An edit of the method: old connections stay translated, new ones are.
  story.configure({"-e -t 192.0.2.1:80 -r 10.0.2.11:8080 -i", "-e -t 192.0.2.1:80 -r 10.0.2.12 -m"});
  CHECK(is_endpoint("10.0.2.11", 8080));
  CHECK(is_endpoint("10.0.2.12", 80));
  story.configure({"-d -t 192.0.2.1:80 -r 10.0.2.11:8080"});
  CHECK(is_endpoint("10.0.2.11", 8080));
  story.configure({"-C"});
  CHECK(is_endpoint("10.0.2.12", 80));
}

TEST_CASE("publisher: what is to be announced and resolved") {
  Story story;
  const auto texts = [](const std::vector<Address>& addresses) {
    std::string text;
    for (const Address& one : addresses) text += (text.empty() ? "" : " ") + one.text();
    return text;
  };
  story.configure({"-A -t 192.0.2.77:80 -s rr"});
  CHECK(texts(story.change().became_active) == "192.0.2.77");
  story.configure({"-a -t 192.0.2.77:80 -r 10.0.2.11 -g"});
  CHECK(texts(story.change().became_active) == "");
  CHECK(texts(story.change().servers_added) == "10.0.2.11");
  story.configure({"-e -t 192.0.2.77:80 -r 10.0.2.11 -g -w 3"});
  CHECK(texts(story.change().servers_added) == "");

  Operation vip;
  vip.kind = Operation::Kind::kSetVip;
  vip.vip.address = Endpoint("192.0.2.77").address;
  vip.vip.state = VipState::kStandby;
  story.publish({vip});
  CHECK(texts(story.change().became_active) == "");
  vip.vip.state = VipState::kActive;
  story.publish({vip});
  CHECK(texts(story.change().became_active) == "192.0.2.77");
  vip.vip.state.reset();
  vip.vip.announce = Announce::kRoute;
  story.publish({vip});
  CHECK(texts(story.change().became_active) == "");
  CHECK_FALSE(story.publisher().current().local->find(vip.vip.address)->answers_arp());
  vip.kind = Operation::Kind::kDeleteVip;
  CHECK(story.publish({vip})[0].reason == Reason::kDone);
  CHECK(texts(story.change().became_active) == "192.0.2.77");  // the service's VIP, with nothing said about it
  CHECK(story.publish({vip})[0].reason == Reason::kVipNotFound);
}

TEST_CASE("publisher: a snapshot of what is changes nothing") {
  Story story(kTwoServers);
  story.configure({"-A -u 192.0.2.1:53 -s wrr", "-a -u 192.0.2.1:53 -r 10.0.2.11 -m -w 0"});
  CHECK(edits(story.publisher().difference(as_wanted(story))) == "");
}

TEST_CASE("publisher: a snapshot by key: what is equal keeps its connections, place and scheduler state") {
  Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11 -g", "-a -t 192.0.2.1:80 -r 10.0.2.12 -g",
               "-a -t 192.0.2.1:80 -r 10.0.2.13 -g"});
  const auto apply = [&](const Publisher::Wanted& wanted) {
    const auto operations = story.publisher().difference(wanted);
    for (const auto& result : story.publish(operations, true)) CHECK(result.reason == Reason::kDone);
    CHECK(story.publisher().difference(wanted).empty());
    return edits(operations);
  };
  CHECK(story.connections(2, "198.51.100.1:1000", "192.0.2.1:80") == "13 12");

  // A weight: one edit, and round robin goes on where it was.
  auto wanted = as_wanted(story);
  wanted.services[0].servers[1].weight = 9;
  CHECK(apply(wanted) == "=12");
  CHECK(story.connections(1, "198.51.100.2:1000", "192.0.2.1:80") == "11");

  // One added at the end of the order of addition: the new head.
  wanted = as_wanted(story);
  RealServer added = wanted.services[0].servers[0];
  added.key.address = Endpoint("10.0.2.14").address;
  wanted.services[0].servers.push_back(added);
  CHECK(apply(wanted) == "+14");

  // The order itself: from the first difference on they are added anew.
  wanted = as_wanted(story);
  std::swap(wanted.services[0].servers[1], wanted.services[0].servers[2]);
  CHECK(apply(wanted) == "-12 -13 -14 +13 +12 +14");
  CHECK(story.services() ==
        "TCP 192.0.2.1:80 rr\n  10.0.2.14:80 Route 1 0 0\n  10.0.2.12:80 Route 9 1 0\n"
        "  10.0.2.13:80 Route 1 1 0\n  10.0.2.11:80 Route 1 1 0");

  // One deleted, one service more, one less, timeouts and VIPs.
  wanted = as_wanted(story);
  wanted.services[0].servers.erase(wanted.services[0].servers.begin());
  Publisher::Wanted::Service more = wanted.services[0];
  more.key.port = 443;
  wanted.services.push_back(more);
  wanted.timeouts.udp = 20;
  wanted.vips.pop_back();
  wanted.vips[0].state = VipState::kStandby;
  CHECK(apply(wanted) == "-11 A +13 +12 +14 V v T");
  wanted.services.erase(wanted.services.begin());
  CHECK(apply(wanted) == "D");
  wanted.services[0].settings.scheduler = "lc";
  CHECK(apply(wanted) == "E");
  CHECK(story.services() ==
        "TCP 192.0.2.1:443 lc\n  10.0.2.14:80 Route 1 0 0\n  10.0.2.12:80 Route 9 0 0\n"
        "  10.0.2.13:80 Route 1 0 0");
}

TEST_CASE("publisher: many edits of one service in one call keep LVS's order") {
  Story story;
  std::vector<std::string> lines = {"-A -t 192.0.2.1:80 -s rr"};
  for (int i = 11; i <= 20; ++i) lines.push_back("-a -t 192.0.2.1:80 -r 10.0.2." + std::to_string(i) + " -g");
  lines.push_back("-d -t 192.0.2.1:80 -r 10.0.2.15");
  lines.push_back("-a -t 192.0.2.1:80 -r 10.0.2.15 -g");
  for (const auto& result : story.publish(parsed(lines), true)) CHECK(result.reason == Reason::kDone);
  CHECK(story.connections(11, "198.51.100.1:1000", "192.0.2.1:80") == "15 20 19 18 17 16 14 13 12 11 15");
}

TEST_CASE("publisher: without any service, packets of known connections meet a host and a router") {
  Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11:8080 -m"});
  CHECK(story.connections(1, "198.51.100.1:1000", "192.0.2.1:80", "est") == "11");
  story.configure({"-D -t 192.0.2.1:80"});
  story.client(tcp("198.51.100.1:1000", "192.0.2.1:80", "A").acknowledgement(7), Verdict::kResetSent,
               {to_client(tcp("192.0.2.1:80", "198.51.100.1:1000", "R").id(0).sequence(7).window(0).packet())});
  story.server(tcp("10.0.2.11:8080", "198.51.100.1:1000", "A"), Verdict::kRouted,
               {to_client(tcp("10.0.2.11:8080", "198.51.100.1:1000", "A").ttl(63).packet())});
  CHECK(story.table() == "TCP 198.51.100.1:1000 192.0.2.1:80 10.0.2.11:8080 ESTABLISHED 900");
  // Another service brings LVS back, and with it the silence about deleted servers.
  story.configure({"-A -t 192.0.2.2:80 -s rr"});
  story.client(tcp("198.51.100.1:1000", "192.0.2.1:80", "A"), Verdict::kServerGone);
}

TEST_CASE("publisher: a flush forgets services, not connections") {
  Story story(kTwoServers);
  CHECK(story.connections(1, "198.51.100.1:1000", "192.0.2.1:80", "est") == "12");
  story.configure({"-C"});
  CHECK(story.services() == "");
  CHECK(story.table() == "TCP 198.51.100.1:1000 192.0.2.1:80 10.0.2.12:80 ESTABLISHED 900");
  story.client(
      tcp("198.51.100.9:1", "192.0.2.1:80", "S"), Verdict::kResetSent,
      {to_client(
          tcp("192.0.2.1:80", "198.51.100.9:1", "RA").id(0).sequence(0).acknowledgement(1001).window(0).packet())});
  story.configure(kTwoServers);
  CHECK(story.services() == "TCP 192.0.2.1:80 rr\n  10.0.2.12:80 Route 1 1 0\n  10.0.2.11:80 Route 1 0 0");
}

namespace {

// So many services of two servers each, TCP 10.128.0.0:1 and on.
std::vector<Operation> many_services(uint32_t count, Operation::Kind kind) {
  std::vector<Operation> operations;
  for (uint32_t number = 0; number < count; ++number) {
    const ServiceKey key{Address::from(be32::from_host(0x0a800000 + number / 100)), IpProtocol::kTcp,
                         static_cast<uint16_t>(1 + number % 100), 0};
    operations.emplace_back();
    operations.back().kind = kind;
    operations.back().service = key;
    if (kind != Operation::Kind::kAddService) continue;
    for (uint16_t server = 1; server <= 2; ++server) {
      Operation add;
      add.kind = Operation::Kind::kAddServer;
      add.service = key;
      add.server.key = {Endpoint("10.0.2.11").address, server};
      add.server.method = ForwardingMethod::kNat;
      operations.push_back(add);
    }
  }
  return operations;
}

}  // namespace

TEST_CASE("publisher: an edit of one of ten thousand services shares all else with the snapshot before") {
  constexpr uint32_t kServices = 10'000;
  Story story;
  story.publish(many_services(kServices, Operation::Kind::kAddService));
  REQUIRE(story.publisher().current().services.size() == kServices);
  const Snapshot before = story.publisher().current();
  const ServiceKey edited = before.services[kServices / 2]->key;

  Operation weight;
  weight.kind = Operation::Kind::kEditServer;
  weight.service = edited;
  weight.server = before.services[kServices / 2]->servers[0];
  weight.server.weight = 7;
  CHECK(story.publish({weight}).at(0).reason == Reason::kDone);
  const Snapshot& after = story.publisher().current();
  CHECK(after.find_exactly(edited)->servers[0].weight == 7);
  CHECK(after.changed.size() == 1);
  CHECK(after.services.chunks() - after.services.chunks_shared_with(before.services) == 1);
  CHECK(after.by_key == before.by_key);
  CHECK(after.local == before.local);
  CHECK(after.nat_endpoints == before.nat_endpoints);
  CHECK(before.services[kServices / 2]->servers[0].weight == 1);
}

TEST_CASE("publisher: services deleted in one call leave the others in order, findable, and their slots to others") {
  constexpr uint32_t kServices = 10'000;
  Story story;
  const std::vector<Operation> additions = many_services(kServices, Operation::Kind::kAddService);
  std::vector<Operation> deletions = many_services(kServices, Operation::Kind::kDeleteService);
  const ServiceKey last = deletions.back().service, first = deletions.front().service;
  deletions.erase(deletions.end() - 1);
  deletions.erase(deletions.begin());
  story.publish(additions);
  for (const auto& result : story.publish(deletions)) REQUIRE(result.reason == Reason::kDone);
  const Snapshot& left = story.publisher().current();
  REQUIRE(left.services.size() == 2);
  CHECK(left.services[0]->key == first);
  CHECK(left.services[1]->key == last);
  CHECK(left.find_exactly(first) == left.services[0].get());
  CHECK(left.find_exactly(last) == left.services[1].get());
  CHECK(left.find_exactly(deletions[0].service) == nullptr);

  // Two minutes later nothing of the deleted ones is left: all the room is there again.
  story.publisher().empty_trash(story.shared().clock.now_ms());
  story.advance_ms(120'000);
  story.publisher().empty_trash(story.shared().clock.now_ms());
  story.publish({additions.begin() + 3, additions.end() - 3});
  ServerSlot greatest_server = 0;
  ServiceSlot greatest_service = 0;
  for (const auto& service : story.publisher().current().services) {
    greatest_service = std::max(greatest_service, service->slot);
    for (const RealServer& server : service->servers) greatest_server = std::max(greatest_server, server.slot);
  }
  CHECK(greatest_service == kServices - 1);
  CHECK(greatest_server == 2 * kServices - 1);
}

TEST_CASE("publisher: a service deleted and added among others in one call goes to the end, and edits follow") {
  Story story({"-A -t 192.0.2.1:80 -s rr", "-A -t 192.0.2.2:80 -s rr", "-A -t 192.0.2.3:80 -s rr"});
  story.configure({"-a -t 192.0.2.1:80 -r 10.0.2.11 -g", "-D -t 192.0.2.1:80", "-A -t 192.0.2.1:80 -s wlc",
                   "-a -t 192.0.2.1:80 -r 10.0.2.12 -g", "-D -t 192.0.2.3:80", "-A -t 192.0.2.4:80 -s lc"});
  CHECK(story.services() ==
        "TCP 192.0.2.2:80 rr\nTCP 192.0.2.1:80 wlc\n  10.0.2.12:80 Route 1 0 0\nTCP 192.0.2.4:80 lc");
  story.refused("-D -t 192.0.2.3:80", Reason::kServiceNotFound);
  story.configure({"-C", "-A -t 192.0.2.3:80 -s rr"});
  CHECK(story.services() == "TCP 192.0.2.3:80 rr");
  story.refused("-E -t 192.0.2.2:80 -s rr", Reason::kServiceNotFound);
}
