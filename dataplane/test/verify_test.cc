// SPDX-License-Identifier: Apache-2.0
// What a worker says of its configuration: the same for the same, whatever came before; something else for every byte
// that is another one.
#include "core/verify.h"

#include "test/topic.h"

using namespace fulcrum;
using namespace fulcrum::test;

namespace {

ConfigurationDigests digests_of(Story& story, uint32_t worker = 0) {
  DigestRequest request;
  request.digests.each.reserve(64);
  Command digest{};
  digest.kind = Command::Kind::kDigest;
  digest.digest = &request;
  REQUIRE(rte_ring_sp_enqueue_elem(story.shared().mailboxes[worker], &digest, sizeof digest) == 0);
  while (request.done.load() == 0) story.run();
  CHECK(request.version == story.publisher().current().version);
  return std::move(request.digests);
}

bool is_equal(const ConfigurationDigests& a, const ConfigurationDigests& b) {
  return a.services == b.services && a.vips == b.vips && a.settings.timeouts == b.settings.timeouts &&
         a.settings.tunables == b.settings.tunables && a.settings.mark_rules == b.settings.mark_rules &&
         a.settings.prefix_lists == b.settings.prefix_lists && a.each == b.each;
}

const std::vector<std::string> kConfig = {"-A -t 192.0.2.1:80 -s wrr -p 300",
                                          "-a -t 192.0.2.1:80 -r 10.0.2.11:8080 -m -w 3 -x 100 -y 50",
                                          "-a -t 192.0.2.1:80 -r 10.0.2.12 -g",
                                          "-A -u 192.0.2.2:53 -s mh",
                                          "-a -u 192.0.2.2:53 -r 10.0.2.13:53 -i",
                                          "-A -f 7 -s rr",
                                          "-a -f 7 -r 10.0.2.14 -g",
                                          "-A -t [2001:db8:1::10]:80 -s sh",
                                          "-a -t [2001:db8:1::10]:80 -r [2001:db8:2::11]:80 -m"};

RealServer& server_of(Story& story, size_t service, size_t server) {
  return const_cast<RealServer&>(story.publisher().current().services[service]->servers[server]);
}

}  // namespace

TEST_CASE("verify: workers agree, and the way to a configuration does not count") {
  Story story(kConfig, {.workers = 2});
  const ConfigurationDigests first = digests_of(story, 0);
  CHECK(first.each.size() == 4);
  CHECK(is_equal(first, digests_of(story, 1)));
  story.configure({"-e -t 192.0.2.1:80 -r 10.0.2.12 -g -w 7"});
  const ConfigurationDigests edited = digests_of(story);
  CHECK(!(edited.services == first.services));
  CHECK(edited.each[1] == first.each[1]);
  CHECK(edited.vips == first.vips);
  story.configure({"-e -t 192.0.2.1:80 -r 10.0.2.12 -g -w 1"});
  CHECK(is_equal(first, digests_of(story, 1)));
  // Order is state.
  story.configure(
      {"-d -t 192.0.2.1:80 -r 10.0.2.11:8080", "-a -t 192.0.2.1:80 -r 10.0.2.11:8080 -m -w 3 -x 100 -y 50"});
  CHECK(!is_equal(first, digests_of(story)));
}

TEST_CASE("verify: every byte of a real server that packets read counts") {
  Story story(kConfig);
  const ConfigurationDigests good = digests_of(story);
  for (const size_t service : {size_t{0}, size_t{1}, size_t{3}}) {
    RealServer& server = server_of(story, service, 0);
    const auto fields = {std::pair{offsetof(RealServer, key.address.bytes), sizeof server.key.address.bytes},
                         std::pair{offsetof(RealServer, key.address.family), sizeof server.key.address.family},
                         std::pair{offsetof(RealServer, key.port), sizeof server.key.port},
                         std::pair{offsetof(RealServer, slot), sizeof server.slot},
                         std::pair{offsetof(RealServer, method), sizeof server.method},
                         std::pair{offsetof(RealServer, weight), sizeof server.weight},
                         std::pair{offsetof(RealServer, upper_threshold), sizeof server.upper_threshold},
                         std::pair{offsetof(RealServer, lower_threshold), sizeof server.lower_threshold},
                         std::pair{offsetof(RealServer, tunnel), sizeof server.tunnel}};
    for (const auto& [offset, size] : fields)
      for (size_t at = offset; at < offset + size; ++at) {
        auto* byte = reinterpret_cast<uint8_t*>(&server) + at;
        for (const uint8_t bit : {uint8_t{1}, uint8_t{0x80}}) {
          *byte ^= bit;
          const ConfigurationDigests bad = digests_of(story);
          *byte ^= bit;
          CHECK_MESSAGE(!(bad.each[service] == good.each[service]), "service ", service, ", byte ", at);
          CHECK(!(bad.services == good.services));
        }
      }
  }
  CHECK(is_equal(good, digests_of(story)));
}

TEST_CASE("verify: what packets read beside the list must be the same") {
  Story story(kConfig);
  const ConfigurationDigests good = digests_of(story);
  const Snapshot& snapshot = story.publisher().current();
  const VirtualService& service = *snapshot.services[0];
  ServerLine& line = story.shared().servers[service.servers[0].slot];
  const auto contradicts = [&] {
    const char* what = contradiction(snapshot, service, service.servers[0], story.shared().servers);
    return !(digests_of(story).each[0] == good.each[0]) && what != nullptr;
  };
  CHECK(!contradicts());
  line.weight.fetch_add(1);
  CHECK(contradicts());
  line.weight.fetch_sub(1);
  line.available.store(false);
  CHECK(contradicts());
  line.available.store(true);
  line.upper.fetch_add(1);
  CHECK(contradicts());
  line.upper.fetch_sub(1);
  ++line.service;
  CHECK(contradicts());
  --line.service;
  ++line.port;
  CHECK(contradicts());
  --line.port;
  line.tunnel.store(TunnelSettings{TunnelType::kGre, TunnelChecksum::kNone, 0});
  CHECK(contradicts());
  line.tunnel.store(TunnelSettings{});
  CHECK(!contradicts());
  CHECK(contradiction(snapshot, service, 0) == nullptr);
  CHECK(contradiction(snapshot, service, 1) != nullptr);
}

TEST_CASE("verify: settings, VIPs, marks and lists") {
  Story story(kConfig);
  const ConfigurationDigests before = digests_of(story);
  story.configure({"--set 901 0 0"});
  ConfigurationDigests after = digests_of(story);
  CHECK(!(after.settings.timeouts == before.settings.timeouts));
  CHECK(after.settings.tunables == before.settings.tunables);
  CHECK(after.services == before.services);

  Operation tunables;
  tunables.kind = Operation::Kind::kSetTunables;
  tunables.tunables.sloppy_tcp = 1;
  Operation vip;
  vip.kind = Operation::Kind::kSetVip;
  vip.vip.address = Endpoint("192.0.2.1").address;
  vip.vip.state = VipState::kStandby;
  Operation marks;
  marks.kind = Operation::Kind::kSetMarkRules;
  marks.marks.resize(1);
  marks.marks[0].mark = 7;
  Operation list;
  list.kind = Operation::Kind::kSetPrefixList;
  list.prefixes = {"bogons", std::make_shared<const PrefixList>(std::vector{Prefix::parse("10.0.0.0/8").value()})};
  story.publish({tunables, vip, marks, list});
  after = digests_of(story);
  CHECK(!(after.settings.tunables == before.settings.tunables));
  CHECK(!(after.vips == before.vips));
  CHECK(!(after.settings.mark_rules == before.settings.mark_rules));
  CHECK(!(after.settings.prefix_lists == before.settings.prefix_lists));
}

TEST_CASE("verify: a service on an address of a range is announced as the range is") {
  Story story({"-A -t 192.0.2.10:80 -s rr", "-a -t 192.0.2.10:80 -r 10.0.2.11 -g"});
  const auto vip = [](const char* address, uint8_t length, VipState state) {
    Operation made;
    made.kind = Operation::Kind::kSetVip;
    made.vip.address = Endpoint(address).address;
    made.vip.prefix_length = length;
    made.vip.state = state;
    return made;
  };
  const Address on = Endpoint("192.0.2.10").address;
  const auto answers = [&] { return story.publisher().current().find_local(on)->answers_arp(); };
  CHECK(answers());
  story.publish({vip("192.0.2.0", 24, VipState::kStandby)});
  CHECK(!answers());
  story.publish({vip("192.0.2.0", 28, VipState::kActive)});
  CHECK(answers());
  story.publish({vip("192.0.2.10", 0, VipState::kStandby)});
  CHECK(!answers());
}
