// SPDX-License-Identifier: Apache-2.0
// The first sequence is that of the kernel (conformance scenario ovf-basic).
#include <doctest/doctest.h>

#include "test/schedule_story.h"

using namespace fulcrum;

TEST_CASE("ovf: weight + 1 active connections each, by falling weight, then none") {
  ScheduleStory story("ovf");
  story.add(11, 2).add(12, 4).add(13, 3);
  CHECK(story.choose(14) == "12 12 12 12 12 13 13 13 13 11 11 11 - -");
  CHECK(story.load(12).active == 5);
}

TEST_CASE("ovf: a place is free again when an active connection ends or becomes inactive") {
  ScheduleStory story("ovf");
  story.add(11, 1).add(12, 2);
  CHECK(story.choose(4) == "12 12 12 11");
  --story.load(12).active;
  ++story.load(12).inactive;
  CHECK(story.choose(3) == "12 11 -");
}

TEST_CASE("ovf: ties go to the one nearest to the head") {
  ScheduleStory story("ovf");
  story.add(11, 1).add(12, 1);
  CHECK(story.choose(5) == "12 12 11 11 -");
}

TEST_CASE("ovf: weight 0 and overloaded servers take nothing") {
  ScheduleStory story("ovf");
  story.add(11, 0).add(12, 3).add(13, 1);
  story.set_overloaded(12, true);
  CHECK(story.choose(3) == "13 13 -");
  story.set_overloaded(12, false);
  CHECK(story.choose(1) == "12");
}

TEST_CASE("ovf: a smaller weight closes a server that has more, a greater one opens it") {
  ScheduleStory story("ovf");
  story.add(11, 1).add(12, 4);
  CHECK(story.choose(4) == "12 12 12 12");
  story.edit(12, 3);
  CHECK(story.choose(1) == "11");
  story.edit(12, 5);
  CHECK(story.choose(3) == "12 12 11");
}
