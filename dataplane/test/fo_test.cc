// SPDX-License-Identifier: Apache-2.0
// The first sequence is that of the kernel (conformance scenario fo-basic).
#include <doctest/doctest.h>

#include "test/schedule_story.h"

using namespace fulcrum;

TEST_CASE("fo: all to the greatest weight, ties to the one nearest to the head, the next when it is quiesced") {
  ScheduleStory story("fo");
  story.add(11, 5).add(12, 10).add(13, 10).add(14, 1);
  CHECK(story.choose(3) == "13 13 13");
  story.edit(13, 0);
  CHECK(story.choose(2) == "12 12");
  story.edit(12, 0);
  CHECK(story.choose(2) == "11 11");
  story.edit(14, 0).edit(11, 0);
  CHECK(story.choose(1) == "-");
}

TEST_CASE("fo: an overloaded server's load goes to the next until it is back") {
  ScheduleStory story("fo");
  story.add(11, 5).add(12, 10).add(13, 1);
  story.set_overloaded(12, true);
  CHECK(story.choose(2) == "11 11");
  story.set_overloaded(12, false);
  CHECK(story.choose(1) == "12");
}

TEST_CASE("fo: looks at no counts, and at OVERLOAD only where there is an upper threshold") {
  ScheduleStory story("fo");
  story.add(11, 1).add(12, 2);
  VirtualService service = story.service();
  for (RealServer& server : service.servers) server.upper_threshold = 0;
  SchedulerState state;
  CHECK(schedulers::fo.choose(state, service, LoadView(nullptr), {}) == 1);
}
