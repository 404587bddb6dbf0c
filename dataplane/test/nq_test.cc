// SPDX-License-Identifier: Apache-2.0
// The first sequence is that of the kernel (conformance scenario nq-basic).
#include <doctest/doctest.h>

#include <random>

#include "test/schedule_story.h"

using namespace fulcrum;

TEST_CASE("nq: every idle server first, from the list's head, then as sed") {
  ScheduleStory story("nq");
  story.add(11, 1).add(12, 2).add(13, 5);
  CHECK(story.choose(10) == "13 12 11 13 13 13 13 12 13 13");
}

TEST_CASE("nq: idle means no active connection, however many are inactive") {
  ScheduleStory story("nq");
  story.add(11, 1).add(12, 100);
  CHECK(story.choose(2) == "12 11");
  story.load(11) = {.active = 0, .inactive = 5000};
  CHECK(story.choose(2) == "11 12");
}

TEST_CASE("nq: weight 0 and overloaded servers are skipped though idle") {
  ScheduleStory story("nq");
  story.add(11, 1).add(12, 4).add(13, 0);
  story.set_overloaded(12, true);
  CHECK(story.choose(2) == "11 11");
  story.edit(11, 0);
  CHECK(story.choose(1) == "-");
}

TEST_CASE("nq: random loads against the definition") {
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    ScheduleStory story("nq");
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
      const double delay = active == 0 ? 0 : (active + 1) / static_cast<double>(weight);
      if (best != "-" && delay > best_delay) continue;  // the later added is nearer to the head
      best = std::to_string(name);
      best_delay = delay;
    }
    story.publish();
    REQUIRE(story.choose(1) == best);
  }
}
