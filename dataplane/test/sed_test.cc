// SPDX-License-Identifier: Apache-2.0
// The first sequences are those of the kernel (conformance scenario sed-basic).
#include <doctest/doctest.h>

#include <random>

#include "test/schedule_story.h"

using namespace fulcrum;

TEST_CASE("sed: 1:2:5") {
  ScheduleStory story("sed");
  story.add(11, 1).add(12, 2).add(13, 5);
  CHECK(story.choose(10) == "13 13 12 13 13 13 12 11 13 13");
  // Clients that half-close are inactive, and do not matter.
  for (int i = 0; i < 8; ++i) {
    REQUIRE(story.choose(1) == "12");
    --story.load(12).active;
    ++story.load(12).inactive;
  }
}

TEST_CASE("sed: the connection to come counts, so an idle light server may have to wait") {
  ScheduleStory story("sed");
  story.add(11, 1).add(12, 10);
  CHECK(story.choose(9) == "12 12 12 12 12 12 12 12 12");
  CHECK(story.choose(1) == "12");  // 10 / 10 = 1 / 1: a tie, the head
  CHECK(story.choose(2) == "11 12");
}

TEST_CASE("sed: weight 0 and overloaded servers are skipped, at the list's head too") {
  ScheduleStory story("sed");
  story.add(11, 1).add(12, 4).add(13, 0);
  story.set_overloaded(12, true);
  CHECK(story.choose(2) == "11 11");
  story.edit(11, 0);
  CHECK(story.choose(1) == "-");
}

TEST_CASE("sed: large weights and counts do not overflow the comparison") {
  ScheduleStory story("sed");
  story.add(11, 0x7fffffff).add(12, 1);
  story.load(11).active = 0xffffffff;  // + 1 is 2^32: a delay of 2.0000000009
  story.load(12).active = 1;           // of 2
  CHECK(story.choose(1) == "12");
  CHECK(story.choose(1) == "11");
}

TEST_CASE("sed: random loads against the definition") {
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    ScheduleStory story("sed");
    story.batch();
    std::string best = "-";
    double best_delay = 0;
    for (int name = 1; name <= 6; ++name) {
      const auto weight = static_cast<uint32_t>(random() % 4), active = static_cast<uint32_t>(random() % 5);
      story.add(name, weight);
      const bool overloaded = random() % 5 == 0;
      story.load(name) = {
          .active = active, .inactive = static_cast<uint32_t>(random() % 999), .overloaded = overloaded};
      if (weight == 0 || overloaded) continue;
      const double delay = (active + 1) / static_cast<double>(weight);
      if (best != "-" && delay > best_delay) continue;  // the later added is nearer to the head
      best = std::to_string(name);
      best_delay = delay;
    }
    story.publish();
    REQUIRE(story.choose(1) == best);
  }
}
