// SPDX-License-Identifier: Apache-2.0
// The first sequences are those of the kernel (conformance scenario dh-basic).
#include <doctest/doctest.h>

#include "service/scheduler/hashing.h"
#include "test/schedule_story.h"

using namespace fulcrum;

namespace {

// Packets to 203.0.113.1, .2, and so on.
ScheduleRequest to(uint32_t last_byte) {
  return {.source = Address::parse("198.51.100.1").value(),
          .destination = Address::from(be32::from_host(0xcb007100 + last_byte)),
          .source_port = 20000};
}
ScheduleRequest to_successive(uint32_t i) { return to(i + 1); }

}  // namespace

TEST_CASE("dh: the destination's bucket, filled round robin from the list's head") {
  ScheduleStory story("dh");
  story.add(11).add(12).add(13);
  CHECK(story.choose(24, to_successive) == "11 13 11 13 11 11 12 13 12 13 13 11 12 11 12 11 13 11 13 12 13 12 13 11");
}

TEST_CASE("dh: neither the client nor weights matter") {
  ScheduleStory story("dh");
  story.add(11, 100).add(12, 1).add(13, 7);
  const std::string chosen = story.choose(200, to_successive);
  story.edit(11, 1).edit(13, 50);
  CHECK(story.choose(200, [](uint32_t i) {
    ScheduleRequest request = to_successive(i);
    request.source = Address::from(be32::from_host(i * 7919));
    request.source_port = static_cast<uint16_t>(i);
    return request;
  }) == chosen);
}

TEST_CASE("dh: refuses when the bucket's server is quiesced or overloaded, the other buckets stay") {
  ScheduleStory story("dh");
  story.add(11).add(12).add(13);
  story.edit(11, 0);
  CHECK(story.choose(8, to_successive) == "- 13 - 13 - - 12 13");
  story.edit(11, 1).set_overloaded(13, true);
  CHECK(story.choose(8, to_successive) == "11 - 11 - 11 11 12 -");
}

TEST_CASE("dh: an add or a delete deals the buckets out again, a hole in the list does not") {
  ScheduleStory story("dh");
  story.add(11).add(12).add(13).add(14).remove(14);
  CHECK(story.choose(8, to_successive) == "11 13 11 13 11 11 12 13");
  story.remove(12);
  // Bucket i is the list's server i modulo 2.
  for (uint32_t last_byte = 1; last_byte < 100; ++last_byte) {
    const int expected = hash_bucket(0xcb007100 + last_byte) % 2 == 0 ? 13 : 11;
    REQUIRE(story.name_of(story.choose_index(to(last_byte))) == expected);
  }
}

TEST_CASE("dh: of more than 256 servers the first 256 in the list have a bucket") {
  ScheduleStory story("dh");
  story.batch();
  for (int name = 1; name <= 300; ++name) story.add(name);
  story.publish();
  for (uint32_t i = 0; i < 5000; ++i)
    REQUIRE(story.name_of(story.choose_index(to(i))) == 300 - static_cast<int>(hash_bucket(0xcb007100 + i)));
}

TEST_CASE("dh: IPv6 by the XOR of the address's words") {
  ScheduleStory story("dh");
  story.add(11).add(12).add(13);
  ScheduleRequest request;
  // 20010db8 ^ ff000000 ^ 14017cb8 ^ 00000001 is 203.0.113.1.
  request.destination = Address::parse("2001:db8:ff00:0:1401:7cb8:0:1").value();
  REQUIRE(request.destination.fold() == 0xcb007101);
  CHECK(story.name_of(story.choose_index(request)) == 11);
}

TEST_CASE("hash bucket: the top eight bits of the product") {
  CHECK(hash_bucket(0) == 0);
  CHECK(hash_bucket(1) == 0x61);
  CHECK(hash_bucket(2) == 0xc3);           // c3910c8e
  CHECK(hash_bucket(0xffffffff) == 0x9e);  // 9e3779b9
}
