// SPDX-License-Identifier: Apache-2.0
// The first sequences are those of the kernel (conformance scenarios sh-basic, sh-port).
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>

#include "service/scheduler/hashing.h"
#include "test/schedule_story.h"

using namespace fulcrum;

namespace {

// By bucket, who has it.
std::vector<int> dealt(const ScheduleStory& story) {
  std::vector<int> names;
  for (const uint32_t index : *story.service().table) names.push_back(story.name_of(static_cast<int>(index)));
  return names;
}

// An address of each bucket.
const std::map<uint32_t, uint32_t>& addresses() {
  static const auto found = [] {
    std::map<uint32_t, uint32_t> by_bucket;
    for (uint32_t address = 1; by_bucket.size() < kHashBuckets; ++address)
      by_bucket.emplace(hash_bucket(address), address);
    return by_bucket;
  }();
  return found;
}

ScheduleRequest from_bucket(uint32_t bucket) {
  return {.source = Address::from(be32::from_host(addresses().at(bucket))), .destination = {}, .source_port = 0};
}

}  // namespace

TEST_CASE("sh: 3:1:2") {
  ScheduleStory story("sh");
  story.add(11, 3).add(12, 1).add(13, 2);
  CHECK(story.choose(40, Clients{"198.51.100.1", 20000, 1}) ==
        "13 12 11 13 11 13 11 13 12 11 12 11 11 11 11 11 11 13 11 13 11 11 13 11 13 12 13 12 13 12 "
        "11 13 11 11 11 11 12 11 13 11");
  CHECK(story.choose(8, Clients{"198.51.100.7", 1, 0, 1}) == "11 11 11 11 11 11 11 11");
  CHECK(story.choose(24, Clients{"10.77.1.0", 5, 7}) ==
        "13 12 12 13 13 12 13 13 13 12 13 13 13 13 13 13 11 13 13 11 11 13 11 11");
}

TEST_CASE("sh: flag sh-port adds the port") {
  ScheduleStory story("sh");
  story.add(11).add(12).add(13).flags(kPortFlag);
  CHECK(story.choose(40, Clients{"198.51.100.1", 20000, 0, 1}) ==
        "12 11 13 11 13 11 12 12 13 12 13 12 11 12 11 12 11 13 11 12 11 13 12 13 11 11 12 11 12 13 "
        "13 11 12 11 13 12 13 11 13 12");
  CHECK(story.choose(10, Clients{"198.51.100.1", 20000, 1}) == "12 11 13 11 13 11 12 12 13 12");
}

TEST_CASE("sh: without ports in the packet sh-port changes nothing") {
  ScheduleStory story("sh");
  story.add(11).add(12).add(13);
  const std::string chosen = story.choose(100, Clients{"198.51.100.1", 0, 1});
  story.flags(kPortFlag);
  CHECK(story.choose(100, Clients{"198.51.100.1", 0, 1}) == chosen);
}

TEST_CASE("sh: address and port are added as 32-bit numbers, which wrap") {
  ScheduleStory story("sh");
  story.add(11).add(12).add(13).flags(kPortFlag);
  for (const uint32_t sum : {0u, 1u, 5u, 77u, 64000u}) {
    const Clients wrapping{"255.255.255.255", static_cast<uint16_t>(sum + 1)};
    const Clients plain{"0.0.0.0", static_cast<uint16_t>(sum)};
    CHECK(story.choose(1, wrapping) == story.choose(1, plain));
  }
}

TEST_CASE("sh: buckets are dealt from the head, weight by weight, and the last round is cut") {
  ScheduleStory story("sh");
  story.add(11, 3).add(12, 1).add(13, 2);
  const std::vector<int> names = dealt(story);
  REQUIRE(names.size() == 256);
  const std::vector<int> round = {13, 13, 12, 11, 11, 11};
  for (size_t bucket = 0; bucket < 256; ++bucket) REQUIRE(names[bucket] == round[bucket % 6]);
  CHECK(std::count(names.begin(), names.end(), 13) == 86);  // 42 rounds and 4 buckets
  CHECK(std::count(names.begin(), names.end(), 12) == 43);
  CHECK(std::count(names.begin(), names.end(), 11) == 127);
}

TEST_CASE("sh: weight 0 still has one bucket a round, whose clients are refused") {
  ScheduleStory story("sh");
  story.add(11, 0).add(12, 2);
  const std::vector<int> names = dealt(story);
  CHECK(std::count(names.begin(), names.end(), 11) == 85);
  for (uint32_t bucket = 0; bucket < 256; ++bucket)
    REQUIRE(story.name_of(story.choose_index(from_bucket(bucket))) == (bucket % 3 == 2 ? 0 : 12));
}

TEST_CASE("sh: one that takes all buckets leaves none to those after it") {
  ScheduleStory story("sh");
  story.add(11, 5).add(12, 256);
  CHECK(dealt(story) == std::vector<int>(256, 12));
  story.edit(12, 0x7fffffff);
  CHECK(dealt(story) == std::vector<int>(256, 12));
  story.edit(12, 255);
  CHECK(dealt(story).back() == 11);
  story.remove(12);
  CHECK(dealt(story) == std::vector<int>(256, 11));
}

TEST_CASE("sh: of more than 256 servers the first 256 in the list have a bucket") {
  ScheduleStory story("sh");
  story.batch();
  for (int name = 1; name <= 300; ++name) story.add(name);
  story.publish();
  for (int bucket = 0; bucket < 256; ++bucket)
    REQUIRE(story.name_of(story.choose_index(from_bucket(static_cast<uint32_t>(bucket)))) == 300 - bucket);
}

TEST_CASE("sh: without sh-fallback clients of an unusable server are refused, the others stay") {
  ScheduleStory story("sh");
  story.add(11).add(12).add(13);
  story.set_overloaded(12, true);
  for (uint32_t bucket = 0; bucket < 256; ++bucket)
    REQUIRE(story.name_of(story.choose_index(from_bucket(bucket))) == std::vector<int>{13, 0, 11}[bucket % 3]);
}

TEST_CASE("sh: sh-fallback begins its search at twice the bucket") {
  ScheduleStory story("sh");
  story.add(11).add(12).add(13).flags(kFallbackFlag);  // buckets 13 12 11 13 12 11 and so on; 255 is 13's
  story.set_overloaded(12, true);
  CHECK(story.name_of(story.choose_index(from_bucket(0))) == 13);    // its own
  CHECK(story.name_of(story.choose_index(from_bucket(1))) == 11);    // bucket 2
  CHECK(story.name_of(story.choose_index(from_bucket(4))) == 11);    // bucket 8
  CHECK(story.name_of(story.choose_index(from_bucket(130))) == 11);  // bucket 4 is 12's too, then 5
  story.set_overloaded(11, true);
  CHECK(story.name_of(story.choose_index(from_bucket(1))) == 13);  // buckets 2, 3
  story.set_overloaded(13, true);
  for (uint32_t bucket = 0; bucket < 256; ++bucket) REQUIRE(story.choose_index(from_bucket(bucket)) == -1);
}

TEST_CASE("sh: random lists and loads against the definition") {
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    ScheduleStory story("sh");
    story.batch();
    struct Server {
      int name;
      uint32_t weight;
      bool usable;
    };
    std::vector<Server> list;
    for (int name = 1, count = static_cast<int>(random() % 6); name <= count; ++name) {
      const auto weight = static_cast<uint32_t>(random() % 4);
      const bool overloaded = random() % 3 == 0;
      story.add(name, weight);
      story.set_overloaded(name, overloaded);
      list.insert(list.begin(), {name, weight, weight > 0 && !overloaded});
    }
    const bool fallback = random() % 2 == 0;
    story.flags(fallback ? kFallbackFlag : 0).publish();

    std::vector<const Server*> buckets;
    while (!list.empty() && buckets.size() < 256)
      for (const Server& server : list) buckets.insert(buckets.end(), std::max(server.weight, 1u), &server);
    for (uint32_t bucket = 0; bucket < 256; bucket += 5) {
      int expected = 0;
      if (!list.empty() && buckets[bucket]->usable) expected = buckets[bucket]->name;
      for (uint32_t offset = 0; !list.empty() && fallback && expected == 0 && offset < 256; ++offset) {
        const uint32_t r = (offset + bucket) % 256;
        if (buckets[(r + bucket) & 255]->usable) expected = buckets[(r + bucket) & 255]->name;
      }
      REQUIRE(story.name_of(story.choose_index(from_bucket(bucket))) == expected);
    }
  }
}
