// SPDX-License-Identifier: Apache-2.0
// The first sequence is the kernel's (conformance scenario lblcr-basic).
#include <doctest/doctest.h>

#include "service/destination_cache.h"
#include "test/schedule_story.h"

using namespace fulcrum;

namespace {

constexpr uint64_t kDayMs = 86'400'000;

ScheduleRequest to(std::string_view destination, uint64_t now_ms) {
  return {.destination = Address::parse(destination).value(), .now_ms = now_ms};
}

std::string choose(ScheduleStory& story, int connections, std::string_view destination, uint64_t now_ms = 1000) {
  return story.choose(connections, [&](uint32_t) { return to(destination, now_ms); });
}

// Who is in the set of the only destination that there is.
std::string members(ScheduleStory& story, std::initializer_list<int> names) {
  std::string text;
  for (const int name : names)
    if (story.service().destinations->references(story.slot_of(name)) != 0)
      text += (text.empty() ? "" : " ") + std::to_string(name);
  return text;
}

void set_active(ScheduleStory& story, int name, uint32_t active) { story.load(name).active = active; }

// A destination whose set is 11, 12, 13, in that order, since 3000 ms.
void grow(ScheduleStory& story) {
  story.add(11, 4).add(12, 4).add(13, 4);
  uint64_t now_ms = 1000;
  for (const int next : {13, 12, 11}) {
    CHECK(choose(story, 1, "203.0.113.1", now_ms) == std::to_string(next));
    set_active(story, next, 5);
    now_ms += 1000;
  }
  CHECK(members(story, {11, 12, 13}) == "11 12 13");
}

}  // namespace

TEST_CASE("kernel lblcr-basic") {
  ScheduleStory story("lblcr");
  story.add(11, 1).add(12, 4).add(13, 4);
  CHECK(choose(story, 14, "203.0.113.1") == "13 13 13 13 13 12 12 12 12 12 11 11 12 13");
  CHECK(choose(story, 4, "203.0.113.2") == "13 13 13 13");
  CHECK(story.service().destinations->size() == 2);
}

TEST_CASE("lblcr: of the set the cheapest usable server, ties to the one that joined last") {
  ScheduleStory story("lblcr");
  grow(story);
  for (const int name : {11, 12, 13}) set_active(story, name, 2);
  CHECK(choose(story, 4, "203.0.113.1") == "11 12 13 11");
  story.set_overloaded(12, true);
  CHECK(choose(story, 2, "203.0.113.1") == "13 11");
  story.edit(13, 0);
  CHECK(choose(story, 1, "203.0.113.1") == "11");
  // Nobody of the set: the whole service is asked, and it has nobody else.
  story.edit(11, 0);
  CHECK(choose(story, 1, "203.0.113.1") == "-");
}

TEST_CASE("lblcr: a deleted member is not chosen, and is back with its return") {
  ScheduleStory story("lblcr");
  grow(story);
  for (const int name : {11, 12, 13}) set_active(story, name, 2);
  set_active(story, 12, 0);
  story.remove(12);
  CHECK(choose(story, 1, "203.0.113.1") == "11");
  CHECK(members(story, {11, 12, 13}) == "11 12 13");
  story.add(12, 4);
  CHECK(choose(story, 1, "203.0.113.1") == "12");
}

TEST_CASE("lblcr: who is in the set already does not join again") {
  ScheduleStory story("lblcr");
  story.add(11, 1).add(12, 9);
  // Crowded, since 12 is idle by half, which cannot be chosen: 11 is the choice again.
  story.set_overloaded(12, true);
  CHECK(choose(story, 5, "203.0.113.1") == "11 11 11 11 11");
  CHECK(story.service().destinations->references(story.slot_of(11)) == 1);
}

TEST_CASE(
    "lblcr: more than lblcr_expiration after the last change the worst leaves the set, for this connection still") {
  ScheduleStory story("lblcr");
  grow(story);
  for (const int name : {11, 12, 13}) set_active(story, name, 2);
  set_active(story, 13, 3);
  // The set changed last at 3000 ms.
  CHECK(choose(story, 1, "203.0.113.1", 3000 + kDayMs) == "11");
  CHECK(members(story, {11, 12, 13}) == "11 12 13");
  set_active(story, 11, 2);
  CHECK(choose(story, 1, "203.0.113.1", 3001 + kDayMs) == "11");
  CHECK(members(story, {11, 12, 13}) == "11 12");
  // Which was a change: the next one goes a day later. Both are equal then, and the first goes, though it is chosen.
  set_active(story, 11, 2);
  CHECK(choose(story, 1, "203.0.113.1", 3001 + 2 * kDayMs) == "11");
  CHECK(members(story, {11, 12, 13}) == "11 12");
  set_active(story, 11, 2);
  CHECK(choose(story, 1, "203.0.113.1", 3002 + 2 * kDayMs) == "11");
  CHECK(members(story, {11, 12, 13}) == "12");
  // The last one stays.
  CHECK(choose(story, 1, "203.0.113.1", 9000 + 9 * kDayMs) == "12");
  CHECK(members(story, {11, 12, 13}) == "12");
}

TEST_CASE("lblcr: a quiesced member never leaves as the worst, a deleted one does by the weight it had") {
  ScheduleStory story("lblcr");
  grow(story);
  set_active(story, 11, 2);
  set_active(story, 12, 4);
  set_active(story, 13, 9);
  story.edit(13, 0).remove(12);
  CHECK(choose(story, 1, "203.0.113.1", 3001 + kDayMs) == "11");
  CHECK(members(story, {11, 12, 13}) == "11 13");
}

TEST_CASE("lblcr: lblcr_expiration is what the request says") {
  ScheduleStory story("lblcr");
  grow(story);
  ScheduleRequest request = to("203.0.113.1", 3000 + 10'001);
  request.expirations = {.lblc_s = 1, .lblcr_s = 10};
  story.choose(1, [&](uint32_t) { return request; });
  CHECK(members(story, {11, 12, 13}) != "11 12 13");
}

TEST_CASE("lblcr: unused destinations are forgotten after lblcr_expiration") {
  ScheduleStory story("lblcr");
  grow(story);
  const CacheExpirations expirations{.lblc_s = 1, .lblcr_s = 7200};
  tend_destinations(story.service(), 3000, expirations);
  tend_destinations(story.service(), 3000 + 7'199'999, expirations);
  CHECK(story.service().destinations->size() == 1);
  tend_destinations(story.service(), 3000 + 7'200'000, expirations);
  CHECK(story.service().destinations->size() == 0);
  CHECK(members(story, {11, 12, 13}).empty());
}
