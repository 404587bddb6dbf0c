// SPDX-License-Identifier: Apache-2.0
// The first sequences are those of the kernel (conformance scenarios lc-basic, lc-256).
#include <doctest/doctest.h>

#include <random>

#include "test/schedule_story.h"

using namespace fulcrum;

namespace {

// The client has closed its side: CLOSE_WAIT is inactive.
void half_close(ScheduleStory& story, int name, uint32_t connections = 1) {
  story.load(name).active -= connections;
  story.load(name).inactive += connections;
}

}  // namespace

TEST_CASE("lc: the smallest cost, ties to the one nearest to the head, weights do not matter") {
  ScheduleStory story("lc");
  CHECK(story.choose(1) == "-");
  story.add(11, 1).add(12, 9).add(13, 1);
  CHECK(story.choose(3) == "13 12 11");
  CHECK(story.choose(1) == "13");
  half_close(story, 13);
  CHECK(story.choose(4) == "12 11 13 12");
}

TEST_CASE("lc: 256 inactive connections cost as much as an active one") {
  ScheduleStory story("lc");
  story.add(11, 1).add(12, 0);
  for (int i = 0; i < 256; ++i) {
    REQUIRE(story.choose(1) == "11");
    half_close(story, 11);
  }
  story.edit(11, 0).edit(12, 1);
  CHECK(story.choose(1) == "12");
  story.edit(11, 1);
  CHECK(story.choose(1) == "12");  // 256 = 256: the head wins
  CHECK(story.choose(2) == "11 12");
}

TEST_CASE("lc: weight 0 and overloaded servers are skipped") {
  ScheduleStory story("lc");
  story.add(11, 0).add(12).add(13);
  story.load(12).active = 5;
  story.set_overloaded(13, true);
  CHECK(story.choose(1) == "12");
  story.set_overloaded(12, true);
  CHECK(story.choose(1) == "-");
}

TEST_CASE("lc: counts beyond 2^24 active connections do not wrap") {
  ScheduleStory story("lc");
  story.add(11).add(12);
  story.load(11).active = 3;
  story.load(12).active = 1u << 24;
  CHECK(story.choose(1) == "11");
}

TEST_CASE("lc: random loads against the definition") {
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    ScheduleStory story("lc");
    story.batch();
    std::string best = "-";
    uint32_t best_cost = 0;
    for (int name = 1; name <= 6; ++name) {
      const auto weight = static_cast<uint32_t>(random() % 3), active = static_cast<uint32_t>(random() % 4);
      story.add(name, weight);
      const auto inactive = static_cast<uint32_t>(random() % 3 * 128);
      const bool overloaded = random() % 5 == 0;
      story.load(name) = {.active = active, .inactive = inactive, .overloaded = overloaded};
      if (weight == 0 || overloaded) continue;
      const uint32_t cost = active * 256 + inactive;
      if (best != "-" && cost > best_cost) continue;  // the later added is nearer to the head
      best = std::to_string(name);
      best_cost = cost;
    }
    story.publish();
    REQUIRE(story.choose(1) == best);
  }
}
