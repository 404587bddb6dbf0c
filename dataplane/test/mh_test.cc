// SPDX-License-Identifier: Apache-2.0
// The first sequences are those of the kernel (conformance scenarios mh-basic, mh-weights, mh-fallback).
#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "net/siphash.h"
#include "service/scheduler/hashing.h"
#include "test/schedule_story.h"

using namespace fulcrum;

namespace {

// By slot, who has it.
std::vector<int> owners(const ScheduleStory& story) {
  std::vector<int> names;
  for (const uint32_t index : *story.service().table) names.push_back(story.name_of(static_cast<int>(index)));
  return names;
}

std::ptrdiff_t share(const ScheduleStory& story, int name) {
  const std::vector<int> names = owners(story);
  return std::count(names.begin(), names.end(), name);
}

uint32_t hash(uint32_t value, uint32_t key) { return static_cast<uint32_t>(siphash<1, 3>(value, key, key)); }
constexpr uint32_t kKey1 = 2654435761, kKey2 = 2654446892;

// The rule, literally: every server's whole permutation, and marks on what is taken.
struct Model {
  struct Server {
    int name;
    uint32_t last_weight;
  };
  std::vector<Server> list;
  std::vector<int> table;

  uint32_t turns(const Server& server) const {
    uint32_t divisor = 0, greatest = 0;
    for (const Server& each : list) {
      divisor = std::gcd(divisor, each.last_weight);
      greatest = std::max(greatest, each.last_weight);
    }
    if (server.last_weight == 0) return 0;
    uint32_t bits = 0;
    while (greatest / divisor >> bits != 0) ++bits;
    const uint32_t shift = bits > 6 ? bits - 6 : 0;
    return std::max((server.last_weight / divisor) >> shift, 1u);
  }

  void populate() {
    std::vector<std::vector<uint32_t>> permutations;
    for (const Server& server : list) {
      const uint32_t number = 0x0a000200 + static_cast<uint32_t>(server.name) + 80;
      const uint32_t offset = hash(number, kKey1) % 4093, skip = hash(number, kKey2) % 4092 + 1;
      auto& permutation = permutations.emplace_back();
      for (uint32_t i = 0; i < 4093; ++i) permutation.push_back((offset + i * skip) % 4093);
    }
    std::vector<size_t> next(list.size());
    std::vector<uint32_t> turn(list.size());
    for (size_t i = 0; i < list.size(); ++i) turn[i] = turns(list[i]);
    table.clear();
    if (std::accumulate(turn.begin(), turn.end(), 0u) == 0) return;
    table.assign(4093, 0);
    size_t taken = 0;
    while (true) {
      for (size_t i = 0; i < list.size(); ++i) {
        for (uint32_t step = 0; step < turn[i]; ++step) {
          while (table[permutations[i][next[i]]] != 0) ++next[i];
          table[permutations[i][next[i]]] = list[i].name;
          if (++taken == 4093) return;
        }
      }
    }
  }
};

}  // namespace

TEST_CASE("mh: equal weights") {
  ScheduleStory story("mh");
  story.add(11).add(12).add(13);
  CHECK(story.choose(64, Clients{"198.51.100.1", 20000, 1}) ==
        "13 12 11 11 13 12 12 13 11 11 12 13 11 11 12 13 13 13 12 12 13 12 11 13 12 11 12 13 12 12 "
        "12 13 13 11 11 11 11 11 13 11 13 13 13 11 12 13 11 12 12 13 13 13 12 11 12 11 11 13 12 13 "
        "11 11 13 12");
  CHECK(story.choose(4, Clients{"198.51.100.7", 1, 0, 1}) == "12 12 12 12");
}

TEST_CASE("mh: 1:2:5") {
  ScheduleStory story("mh");
  story.add(11, 1).add(12, 2).add(13, 5);
  CHECK(story.choose(64, Clients{"198.51.100.1", 20000, 1}) ==
        "13 12 13 13 13 12 12 13 13 11 13 13 13 12 12 13 13 13 12 13 13 12 11 13 12 13 12 13 13 12 "
        "12 13 13 11 11 11 13 13 13 13 13 13 13 11 13 13 13 12 12 13 13 13 12 11 13 13 12 13 12 13 "
        "11 13 13 12");
  CHECK(story.choose(64, Clients{"10.77.0.1", 5, 257}) ==
        "12 11 12 13 12 13 13 13 13 13 12 13 12 12 12 13 13 13 13 13 13 12 12 12 11 13 13 13 13 13 "
        "13 13 13 12 13 12 13 12 12 12 13 11 13 12 13 12 12 12 13 13 13 12 13 13 13 13 12 12 12 12 "
        "12 13 12 13");
}

TEST_CASE("mh: flag mh-fallback hashes clients of a quiesced server again") {
  ScheduleStory story("mh");
  story.add(11).add(12).add(13).flags(kFallbackFlag).edit(12, 0);
  CHECK(story.choose(32, Clients{"198.51.100.1", 20000, 1}) ==
        "13 11 11 11 13 13 13 13 11 11 13 13 11 11 11 13 13 13 13 13 13 13 11 13 11 11 13 13 11 11 13 13");
  story.edit(11, 0);
  CHECK(story.choose(8, Clients{"198.51.100.1", 2, 1}) == "13 13 13 13 13 13 13 13");
  story.edit(13, 0);
  CHECK(story.choose(2, Clients{"198.51.100.1", 3, 1}) == "- -");
}

TEST_CASE("mh: without mh-fallback clients of an unusable server are refused, the others stay") {
  ScheduleStory story("mh");
  story.add(11).add(12).add(13).edit(12, 0);
  CHECK(story.choose(12, Clients{"198.51.100.1", 20000, 1}) == "13 - 11 11 13 - - 13 11 11 - 13");
  story.edit(12, 1).set_overloaded(13, true);
  CHECK(story.choose(12, Clients{"198.51.100.1", 20000, 1}) == "- 12 11 11 - 12 12 - 11 11 12 -");
}

TEST_CASE("mh: flag mh-port adds the port to the address, modulo 2^32") {
  ScheduleStory story("mh");
  story.add(11).add(12).add(13);
  const std::string by_address = story.choose(500, Clients{"198.51.100.0", 0, 1});
  story.flags(kPortFlag);
  CHECK(story.choose(500, Clients{"198.51.100.0", 0, 0, 1}) == by_address);
  CHECK(story.choose(1, Clients{"255.255.255.255", 300}) == story.choose(1, Clients{"0.0.1.43", 0}));
}

TEST_CASE("mh: IPv6 clients and servers by the XOR of the address's words") {
  ScheduleStory story("mh");
  story.add(11).add(12).add(13);
  const std::string by_ipv4 = story.choose(100, Clients{"198.51.100.1", 0, 1});
  VirtualService service = story.service();
  service.key.address = Address::parse("2001:db8::1").value();
  for (RealServer& server : service.servers) {
    const uint32_t fold = server.key.address.v4().host();
    server.key.address = Address::parse("2001:db8::").value();
    store_unaligned(server.key.address.bytes.data() + 12, be32::from_host(fold ^ 0x20010db8).raw);
    REQUIRE(server.key.address.fold() == fold);
  }
  service.table.reset();
  prepare_scheduler(service);
  CHECK(*service.table == *story.service().table);
  for (uint32_t i = 0; i < 100; ++i) {
    ScheduleRequest request = Clients{"198.51.100.1", 0, 1}(i);
    const uint32_t fold = request.source.v4().host();
    SchedulerState state;
    const int expected = schedulers::mh.choose(state, service, story.loads(), request);
    request.source = Address::parse("2001:db8::").value();
    store_unaligned(request.source.bytes.data() + 4, be32::from_host(fold ^ 0x20010db8).raw);
    REQUIRE(schedulers::mh.choose(state, service, story.loads(), request) == expected);
  }
}

TEST_CASE("mh: an IPv4 service reads the first word of a server's IPv6 address") {
  ScheduleStory story("mh");
  story.add(11).add(12);
  VirtualService service = story.service();
  service.key.address = Address::parse("192.0.2.1").value();
  RealServer& tunnel_end = service.servers.back();
  const be32 word = tunnel_end.key.address.v4();
  tunnel_end.key.address = Address::parse("::5").value();
  store_unaligned(tunnel_end.key.address.bytes.data(), word.raw);
  service.table.reset();
  prepare_scheduler(service);
  CHECK(*service.table == *story.service().table);
}

TEST_CASE("mh: every slot is taken, in shares as exact as whole turns can be") {
  ScheduleStory story("mh");
  story.add(11, 1).add(12, 2).add(13, 5);
  // 511 rounds of 8 turns are 4088 slots; the head takes the remaining 5.
  CHECK(share(story, 13) == 2560);
  CHECK(share(story, 12) == 1022);
  CHECK(share(story, 11) == 511);
  story.edit(11, 10).edit(12, 20).edit(13, 50);  // the divisor is 10
  CHECK(share(story, 13) == 2560);

  ScheduleStory equal("mh");
  equal.batch();
  for (int name = 1; name <= 100; ++name) equal.add(name, 7);
  equal.publish();
  for (int name = 1; name <= 100; ++name) REQUIRE(share(equal, name) == (name > 7 ? 41 : 40));
}

TEST_CASE("mh: weights above 63 times the divisor are halved until they are not, the lightest has one turn") {
  ScheduleStory story("mh");
  story.add(11, 1).add(12, 63);
  CHECK(share(story, 11) == 4093 / 64);
  story.edit(12, 64);  // 32 turns to 1
  CHECK(share(story, 11) == 4093 / 33);
  story.edit(12, 1000);  // 62 turns to 1
  CHECK(share(story, 11) == 4093 / 63);
  story.edit(11, 16).edit(12, 0x7fffffff);  // 63 turns to 1
  CHECK(share(story, 11) == 4093 / 64);
}

TEST_CASE("mh: a hundredth server that goes moves its own slots and few others, and none when it is quiesced") {
  ScheduleStory story("mh");
  story.batch();
  for (int name = 1; name <= 100; ++name) story.add(name);
  story.publish();
  const std::vector<int> before = owners(story);
  for (const int gone : {1, 37, 50, 100}) {
    ScheduleStory without("mh");
    without.batch();
    for (int name = 1; name <= 100; ++name) without.add(name);
    without.remove(gone).publish();
    const std::vector<int> after = owners(without);
    int freed = 0, moved = 0;
    for (size_t slot = 0; slot < before.size(); ++slot) {
      REQUIRE(after[slot] != gone);
      if (before[slot] == gone) {
        ++freed;
      } else if (before[slot] != after[slot]) {
        ++moved;
      }
    }
    CHECK(freed <= 41);
    CHECK(moved < 4093 * 4 / 100);
  }
  const auto table = story.service().table;
  story.edit(50, 0);
  CHECK(story.service().table == table);
}

TEST_CASE("mh: of two tables with one server's weight doubled, slots only move towards it, but for few") {
  ScheduleStory story("mh");
  story.batch();
  for (int name = 1; name <= 20; ++name) story.add(name, 2);
  story.publish();
  const std::vector<int> before = owners(story);
  story.edit(7, 4);
  const std::vector<int> after = owners(story);
  int gained = 0, lost = 0, others = 0;
  for (size_t slot = 0; slot < before.size(); ++slot) {
    if (before[slot] == after[slot]) continue;
    ++(after[slot] == 7 ? gained : before[slot] == 7 ? lost : others);
  }
  CHECK(gained - lost == share(story, 7) - std::count(before.begin(), before.end(), 7));
  CHECK(others + lost < 4093 / 20);
}

TEST_CASE("mh: last weights count; a server added with weight 0 has no slot until it gets a weight") {
  ScheduleStory story("mh");
  story.add(11, 0);
  CHECK(story.service().table->empty());
  CHECK(story.choose(1) == "-");
  story.add(12).add(13);
  CHECK(share(story, 11) == 0);
  story.edit(11, 1);
  CHECK(share(story, 11) == 1364);
  story.edit(11, 0);
  CHECK(share(story, 11) == 1364);
  story.remove(11).add(11, 0);
  CHECK(share(story, 11) == 0);
}

TEST_CASE("mh: mh-fallback finds the one server that is usable, however small its share") {
  ScheduleStory story("mh");
  story.batch().add(11, 1);
  for (int name = 12; name < 40; ++name) story.add(name, 63);
  story.flags(kFallbackFlag).publish();
  for (int name = 12; name < 40; ++name) story.set_overloaded(name, true);
  CHECK(story.choose(20, Clients{"198.51.100.1", 0, 1}) == [] {
    std::string all = "11";
    for (int i = 1; i < 20; ++i) all += " 11";
    return all;
  }());
}

TEST_CASE("mh: more servers than slots: the first in the list have one each") {
  ScheduleStory story("mh");
  story.batch();
  for (int name = 1; name <= 5000; ++name) story.add(name);
  story.publish();
  const std::vector<int> names = owners(story);
  CHECK(*std::min_element(names.begin(), names.end()) == 5000 - 4092);
  CHECK(std::accumulate(names.begin(), names.end(), 0) == (5000 + 908) * 4093 / 2);
}

TEST_CASE("mh: random lists, edits and loads against the definition") {
  for (uint32_t seed = 0; seed < 25; ++seed) {
    std::mt19937 random(seed);
    ScheduleStory story("mh");
    Model model;
    std::vector<uint32_t> weights(40);
    const bool fallback = seed % 2 == 0, port = seed % 3 == 0;
    story.flags((fallback ? kFallbackFlag : 0) | (port ? kPortFlag : 0));
    for (int step = 0; step < 8; ++step) {
      story.batch();
      for (auto edits = random() % 8; edits > 0; --edits) {
        const int name = 1 + static_cast<int>(random() % 12);
        const uint32_t weight = random() % 4 == 0 ? 0 : static_cast<uint32_t>(random() % (step % 2 == 0 ? 4 : 400));
        const auto at = std::find_if(model.list.begin(), model.list.end(),
                                     [&](const Model::Server& server) { return server.name == name; });
        if (at == model.list.end()) {
          story.add(name, weight);
          model.list.insert(model.list.begin(), {name, weight});
        } else if (random() % 3 != 0) {
          story.edit(name, weight);
          if (weight != 0) at->last_weight = weight;
        } else {
          story.remove(name);
          model.list.erase(at);
        }
        weights[static_cast<size_t>(name)] = weight;
        story.set_overloaded(name, random() % 6 == 0);
      }
      story.publish();
      model.populate();
      REQUIRE(owners(story) == model.table);

      const auto name_at = [&](uint32_t number) {
        const int name = model.table[hash(number, kKey1) % 4093];
        return weights[static_cast<size_t>(name)] != 0 && story.load(name).overloaded == 0 ? name : 0;
      };
      for (uint32_t i = 0; i < 40; ++i) {
        const Clients clients{"203.0.113.77", 1234, 99991, 7};
        const uint32_t number = clients(i).source.v4().host() + (port ? clients(i).source_port : 0);
        int expected = 0;
        if (!model.table.empty()) {
          expected = name_at(number);
          const uint32_t slot = hash(number, kKey1) % 4093;
          for (uint32_t offset = 0; fallback && expected == 0 && offset < 4093; ++offset)
            expected = name_at((offset + slot) % 4093 + number);
        }
        REQUIRE(story.name_of(story.choose_index(clients(i))) == expected);
      }
    }
  }
}
