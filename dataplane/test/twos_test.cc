// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <cmath>
#include <map>

#include "test/schedule_story.h"

using namespace fulcrum;

namespace {

constexpr int kDraws = 100000;

// How often each is chosen while no connection is counted.
std::map<int, int> tally(ScheduleStory& story) {
  std::map<int, int> chosen;
  for (int i = 0; i < kDraws; ++i) {
    const int name = story.name_of(story.choose_index());
    if (name != 0) --story.load(name).active;
    ++chosen[name];
  }
  return chosen;
}

// Within five standard deviations; the sequence is the same in every run.
bool is_about(int times, double probability) {
  return std::abs(times - kDraws * probability) <= 5 * std::sqrt(kDraws * probability * (1 - probability));
}

}  // namespace

TEST_CASE("twos: equal loads: in proportion to the weights, with the head's one chance more") {
  ScheduleStory story("twos");
  CHECK(story.choose(1) == "-");
  story.add(11, 1).add(12, 2).add(13, 5);
  auto chosen = tally(story);  // of 0 to 8: 0 to 5 are 13's, 6 and 7 are 12's, 8 is 11's
  CHECK(is_about(chosen[13], 6.0 / 9));
  CHECK(is_about(chosen[12], 2.0 / 9));
  CHECK(is_about(chosen[11], 1.0 / 9));
}

TEST_CASE("twos: of two the cheaper for its weight, so a loaded one is chosen only when it is drawn twice") {
  ScheduleStory story("twos");
  story.add(11, 10).add(12, 20).add(13, 30);
  story.load(11).active = 10;  // 256 per weight
  story.load(12).active = 21;  // more
  story.load(13).active = 29;  // less
  auto chosen = tally(story);
  const double chance12 = 20.0 / 61, chance13 = 31.0 / 61;
  CHECK(is_about(chosen[12], chance12 * chance12));
  CHECK(is_about(chosen[13], 1 - (1 - chance13) * (1 - chance13)));
}

TEST_CASE("twos: inactive connections count one, active ones 256") {
  ScheduleStory story("twos");
  story.add(11, 50).add(12, 50);
  story.load(11).inactive = 255;
  story.load(12).active = 1;
  const double chance12 = 51.0 / 101;
  CHECK(is_about(tally(story)[12], chance12 * chance12));
}

TEST_CASE("twos: weight 0 and overloaded servers are never drawn") {
  ScheduleStory story("twos");
  story.add(11, 3).add(12, 5).add(13, 0).add(14, 7);
  story.set_overloaded(14, true);
  auto chosen = tally(story);
  CHECK(chosen.size() == 2);
  CHECK(is_about(chosen[11], 3.0 / 9));
  story.edit(11, 0);
  CHECK(tally(story) == std::map<int, int>{{12, kDraws}});
  story.edit(12, 0);
  CHECK(tally(story) == std::map<int, int>{{0, kDraws}});
}

TEST_CASE("twos: great weights and the comparison that wraps at 32 bits, as LVS's does") {
  ScheduleStory story("twos");
  story.add(11, 65536).add(12, 65536);
  story.load(12).active = 127;
  CHECK(is_about(tally(story)[12], 0.25));
  story.load(12).active = 128;  // the product is 2^31, that is negative
  CHECK(is_about(tally(story)[12], 0.75));
  story.load(12).active = 256;  // the product is 0: equal
  CHECK(is_about(tally(story)[12], 0.5));
  story.load(12).active = 0;
  story.edit(11, 0x7fffffff).edit(12, 0x7fffffff).add(13, 0x7fffffff);
  CHECK(is_about(tally(story)[12], 1.0 / 3));
}

TEST_CASE("twos: every worker and every service draws its own sequence") {
  ScheduleStory one("twos", 0, 2), other("twos", 1, 2);
  for (ScheduleStory* story : {&one, &other}) story->add(11).add(12).add(13);
  const std::string sequence = one.choose(60);
  CHECK(other.choose(60) != sequence);
  ScheduleStory third("twos", 0, 2);
  third.use("twos").add(11).add(12).add(13);
  CHECK(third.choose(60) != sequence);
}
