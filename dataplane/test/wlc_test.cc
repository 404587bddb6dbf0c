// SPDX-License-Identifier: Apache-2.0
// The first sequences are those of the kernel (conformance scenarios wlc-basic).
#include <doctest/doctest.h>

#include <random>

#include "test/schedule_story.h"

using namespace fulcrum;

TEST_CASE("wlc: 3:2:1") {
  ScheduleStory story("wlc");
  CHECK(story.choose(1) == "-");
  story.add(11, 3).add(12, 2).add(13, 1);
  CHECK(story.choose(12) == "13 12 11 11 12 11 13 12 11 11 12 11");
}

TEST_CASE("wlc: the ratio decides, not the cost") {
  ScheduleStory story("wlc");
  story.add(11, 1).add(12, 10);
  story.load(11).active = 1;
  story.load(12).active = 9;
  CHECK(story.choose(1) == "12");  // 10 : 10 now
  CHECK(story.choose(1) == "12");  // a tie: the head
  CHECK(story.choose(1) == "11");
}

TEST_CASE("wlc: inactive connections count one, active ones 256") {
  ScheduleStory story("wlc");
  story.add(11).add(12);
  story.load(11).inactive = 255;
  story.load(12).active = 1;
  CHECK(story.choose(1) == "11");
}

TEST_CASE("wlc: weight 0 and overloaded servers are skipped, at the list's head too") {
  ScheduleStory story("wlc");
  story.add(11, 1).add(12, 4).add(13, 0);
  story.set_overloaded(12, true);
  CHECK(story.choose(1) == "11");
  story.edit(11, 0);
  CHECK(story.choose(1) == "-");
}

TEST_CASE("wlc: large weights and counts do not overflow the comparison") {
  ScheduleStory story("wlc");
  story.add(11, 0x7fffffff).add(12, 1);
  story.load(11).active = 10000000;
  story.load(12).active = 1;
  CHECK(story.choose(1) == "11");
}

TEST_CASE("wlc: random loads against the definition") {
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    ScheduleStory story("wlc");
    story.batch();
    std::string best = "-";
    double best_ratio = 0;
    for (int name = 1; name <= 6; ++name) {
      const auto weight = static_cast<uint32_t>(random() % 4), active = static_cast<uint32_t>(random() % 4);
      story.add(name, weight);
      const auto inactive = static_cast<uint32_t>(random() % 3 * 128);
      const bool overloaded = random() % 5 == 0;
      story.load(name) = {.active = active, .inactive = inactive, .overloaded = overloaded};
      if (weight == 0 || overloaded) continue;
      const double ratio = (active * 256 + inactive) / static_cast<double>(weight);
      if (best != "-" && ratio > best_ratio) continue;  // the later added is nearer to the head
      best = std::to_string(name);
      best_ratio = ratio;
    }
    story.publish();
    REQUIRE(story.choose(1) == best);
  }
}
