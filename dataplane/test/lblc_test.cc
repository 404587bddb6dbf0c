// SPDX-License-Identifier: Apache-2.0
// The first sequence is the kernel's (conformance scenario lblc-basic).
#include <doctest/doctest.h>

#include "service/destination_cache.h"
#include "test/schedule_story.h"

using namespace fulcrum;

namespace {

ScheduleRequest to(std::string_view destination, uint64_t now_ms = 1000) {
  return {.source = Address::parse("198.51.100.1").value(),
          .destination = Address::parse(destination).value(),
          .source_port = 20000,
          .now_ms = now_ms};
}

std::string choose(ScheduleStory& story, int connections, std::string_view destination) {
  return story.choose(connections, [&](uint32_t) { return to(destination); });
}

uint32_t references(ScheduleStory& story, int name) {
  return story.service().destinations->references(story.slot_of(name));
}

}  // namespace

TEST_CASE("kernel lblc-basic") {
  ScheduleStory story("lblc");
  story.add(11, 1).add(12, 1).add(13, 1);
  const char* destinations[] = {"203.0.113.1", "203.0.113.2", "203.0.113.3"};
  CHECK(story.choose(9, [&](uint32_t i) { return to(destinations[i % 3]); }) == "13 12 11 13 12 11 13 12 11");
  CHECK(story.service().destinations->size() == 3);
}

TEST_CASE("lblc: a destination leaves its server when that is crowded and another idle by half, and not before") {
  ScheduleStory story("lblc");
  story.add(11, 4).add(12, 4);
  CHECK(choose(story, 5, "203.0.113.1") == "12 12 12 12 12");
  // Five are more than its weight of four, and nobody is on the other.
  CHECK(choose(story, 1, "203.0.113.1") == "11");
  // Which it stays with: 12 has five connections, so does 11 soon, and neither is idle by half.
  CHECK(choose(story, 6, "203.0.113.1") == "11 11 11 11 11 11");
  story.load(12).active = 2;  // 2 · 2 is not less than 4
  CHECK(choose(story, 1, "203.0.113.1") == "11");
  story.load(12).active = 1;
  CHECK(choose(story, 1, "203.0.113.1") == "12");
  CHECK(references(story, 11) == 0);
  CHECK(references(story, 12) == 1);
}

TEST_CASE("lblc: a server that is idle by half counts though nothing can be scheduled to it") {
  ScheduleStory story("lblc");
  story.add(11, 4).add(12, 1);
  story.set_overloaded(11, true);
  CHECK(choose(story, 2, "203.0.113.1") == "12 12");
  // Crowded, since 11 is idle; the choice among the usable is 12 again.
  CHECK(choose(story, 2, "203.0.113.1") == "12 12");
  CHECK(story.load(12).active == 4);
}

TEST_CASE("lblc: the cached server's OVERLOAD does not count, its weight 0 does") {
  ScheduleStory story("lblc");
  story.add(11).add(12);
  CHECK(choose(story, 1, "203.0.113.1") == "12");
  story.load(11).active = 1;
  story.set_overloaded(12, true);
  CHECK(choose(story, 1, "203.0.113.1") == "12");
  CHECK(choose(story, 1, "203.0.113.2") == "11");
  story.edit(12, 0);
  CHECK(choose(story, 1, "203.0.113.1") == "11");
  story.edit(11, 0);
  CHECK(choose(story, 1, "203.0.113.1") == "-");
  // Nobody took its place.
  story.edit(11, 1);
  CHECK(references(story, 11) == 2);
  CHECK(find_scheduler("lblc")->may_choose_overloaded);
}

TEST_CASE("lblc: a deleted server stays remembered, and is the one again when it comes back") {
  ScheduleStory story("lblc");
  story.add(11).add(12).add(13);
  CHECK(choose(story, 1, "203.0.113.1") == "13");
  story.remove(13);
  CHECK(references(story, 13) == 1);
  story.add(14).add(13);
  CHECK(choose(story, 1, "203.0.113.1") == "13");
  story.remove(13);
  CHECK(choose(story, 1, "203.0.113.1") == "14");
  CHECK(references(story, 13) == 0);
}

TEST_CASE("lblc: edits keep what is remembered, another scheduler forgets it") {
  ScheduleStory story("lblc");
  story.add(11).add(12);
  CHECK(choose(story, 1, "203.0.113.1") == "12");
  const auto before = story.service().destinations;
  story.edit(11, 3).add(13).flags(1);
  CHECK(story.service().destinations == before);
  story.use("wlc");
  CHECK(story.service().destinations == nullptr);
  story.use("lblc");
  CHECK(story.service().destinations->size() == 0);
  story.load(12).active = 0;
  CHECK(choose(story, 1, "203.0.113.1") == "13");
}

TEST_CASE("lblc: workers share what is remembered") {
  ScheduleStory story("lblc");
  story.add(11).add(12).add(13);
  CHECK(choose(story, 1, "203.0.113.1") == "13");
  SchedulerState other;
  CHECK(story.name_of(schedulers::lblc.choose(other, story.service(), story.loads(), to("203.0.113.1"))) == 13);
  CHECK(story.name_of(schedulers::lblc.choose(other, story.service(), story.loads(), to("2001:db8::1"))) == 12);
  CHECK(choose(story, 1, "2001:db8::1") == "12");
}

TEST_CASE("lblc: use keeps a destination, and it is forgotten once unused for lblc_expiration") {
  ScheduleStory story("lblc");
  story.add(11).add(12);
  const CacheExpirations expirations{.lblc_s = 3600, .lblcr_s = 1};
  const uint64_t minute = 60'000;
  tend_destinations(story.service(), 1000, expirations);
  const auto at = [&](uint64_t now_ms, std::string_view destination) {
    return story.choose(1, [&](uint32_t) { return to(destination, now_ms); });
  };
  CHECK(at(1000, "203.0.113.1") == "12");
  CHECK(at(1000, "203.0.113.2") == "11");
  CHECK(at(31 * minute, "203.0.113.1") == "12");
  tend_destinations(story.service(), 1000 + 60 * minute - 1, expirations);
  CHECK(story.service().destinations->size() == 2);
  tend_destinations(story.service(), 1000 + 60 * minute, expirations);
  CHECK(story.service().destinations->size() == 1);
  tend_destinations(story.service(), 1000 + 119 * minute, expirations);
  CHECK(story.service().destinations->size() == 1);
  tend_destinations(story.service(), 1000 + 120 * minute, expirations);
  CHECK(story.service().destinations->size() == 0);
  CHECK(references(story, 12) == 0);
}
