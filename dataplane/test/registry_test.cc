// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "test/schedule_story.h"

using namespace fulcrum;

namespace {

RealServer server(uint16_t port, uint32_t weight) {
  RealServer server;
  server.key.port = port;
  server.slot = port;
  server.weight = weight;
  return server;
}

}  // namespace

TEST_CASE("registry: by LVS's names") {
  for (const char* name : {"rr", "wrr", "fo", "dh", "sh", "mh", "none"}) {
    REQUIRE_MESSAGE(find_scheduler(name) != nullptr, name);
    CHECK(find_scheduler(name)->name == name);
    CHECK_FALSE(find_scheduler(name)->counts_connections);
  }
  for (const char* name : {"lc", "wlc", "sed", "nq", "ovf", "twos", "lblc", "lblcr"}) {
    REQUIRE_MESSAGE(find_scheduler(name) != nullptr, name);
    CHECK(find_scheduler(name)->name == name);
    CHECK(find_scheduler(name)->counts_connections);
  }
  for (const char* name : {"", "r", "rrr", "RR", "None"}) CHECK(find_scheduler(name) == nullptr);
  CHECK(all_schedulers().size() == 15);
}

TEST_CASE("registry: every scheduler refuses an empty list") {
  for (const Scheduler* scheduler : all_schedulers()) {
    ScheduleStory story(scheduler->name);
    CHECK(story.choose(1) == "-");
    story.add(11);
    CHECK(story.choose(1) == (scheduler->name == "none" ? "-" : "11"));
    story.remove(11);
    CHECK(story.choose(1) == "-");
  }
}

TEST_CASE("catch up: an unchanged service changes no state, another epoch starts afresh") {
  VirtualService service;
  start_scheduler(service, 7);
  SchedulerState state;
  CHECK(is_behind(state, service));
  CHECK(catch_up(state, schedulers::wrr, service, 0, 1));
  CHECK_FALSE(is_behind(state, service));

  EditList edits(service);
  for (uint16_t port = 1; port <= 3; ++port) edits.add(server(port, port));
  edits.close();
  CHECK(is_behind(state, service));
  CHECK(catch_up(state, schedulers::wrr, service, 0, 1));
  schedulers::wrr.choose(state, service, {}, {});
  const SchedulerState chosen = state;
  CHECK(catch_up(state, schedulers::wrr, service, 0, 1));
  CHECK(state.position == chosen.position);
  CHECK(state.current_weight == chosen.current_weight);

  start_scheduler(service, 8);
  CHECK(is_behind(state, service));
  CHECK(catch_up(state, schedulers::wrr, service, 0, 1));
  CHECK(state.position == kNoSlot);
  CHECK(state.current_weight == 3);
}

TEST_CASE("catch up: a worker that has seen some of a generation's edits follows the others only") {
  VirtualService service;
  start_scheduler(service, 1);
  SchedulerState state, behind;
  EditList edits(service);
  edits.add(server(1, 4));
  CHECK(catch_up(state, schedulers::wrr, service, 0, 1));
  edits.add(server(2, 2));
  CHECK(catch_up(state, schedulers::wrr, service, 0, 1));
  CHECK(catch_up(behind, schedulers::wrr, service, 0, 1));
  CHECK(state.current_weight == behind.current_weight);
  CHECK(state.sequence == 2);
}

TEST_CASE("catch up: a worker that missed edits starts from today's list and says so") {
  VirtualService service;
  start_scheduler(service, 1);
  SchedulerState state;
  CHECK(catch_up(state, schedulers::wrr, service, 0, 1));
  EditList(service).add(server(1, 4));
  service = next_generation(service);
  EditList(service).add(server(2, 6));
  CHECK_FALSE(catch_up(state, schedulers::wrr, service, 0, 1));
  CHECK(state.current_weight == 5);
  CHECK_FALSE(is_behind(state, service));
}

TEST_CASE("prepare: generations share a table until an edit moves a bucket") {
  ScheduleStory sh("sh"), mh("mh");
  for (ScheduleStory* story : {&sh, &mh}) {
    story->add(11, 2).add(12, 3);
    const auto table = story->service().table;
    REQUIRE(table != nullptr);
    story->edit(11, 2).flags(3);
    CHECK(story->service().table == table);
    story->edit(11, 5);
    CHECK(story->service().table != table);
    const auto edited = story->service().table;
    story->add(13);
    CHECK(story->service().table != edited);
    const auto added = story->service().table;
    story->remove(13);
    CHECK(story->service().table != added);
    CHECK(*story->service().table == *edited);
  }
  // Weight 0 is the figure that sh looks at, and mh does not.
  const auto of_sh = sh.service().table, of_mh = mh.service().table;
  CHECK(sh.edit(11, 0).service().table != of_sh);
  CHECK(mh.edit(11, 0).service().table == of_mh);
  CHECK(mh.edit(11, 5).service().table == of_mh);
}

TEST_CASE("prepare: another scheduler never sees the old one's table, and most have none") {
  ScheduleStory story("sh");
  story.add(11).add(12);
  CHECK(story.service().table->size() == 256);
  story.use("mh");
  CHECK(story.service().table->size() == 4093);
  story.batch().add(13).use("sh").remove(13).publish();
  CHECK(story.service().table->size() == 256);
  for (const Scheduler* scheduler : all_schedulers()) {
    story.use(scheduler->name);
    CHECK((story.service().table != nullptr) == (scheduler->build != nullptr));
  }
}

TEST_CASE("hash schedulers choose the same on every worker, whatever each has scheduled before") {
  for (const char* name : {"dh", "sh", "mh"}) {
    ScheduleStory first(name, 0, 3), last(name, 2, 3);
    for (ScheduleStory* story : {&first, &last}) story->flags(2).add(11, 1).add(12, 2).add(13, 3);
    const Clients clients{"198.51.100.1", 9, 7919, 3};
    first.choose(5, Clients{"10.0.0.1", 1, 1, 1});
    CHECK(first.choose(300, clients) == last.choose(300, clients));
  }
}

// The director refuses the place and asks again: whoever kept choosing that server would never end.
TEST_CASE("schedulers that count heed OVERLOAD of a server whose threshold the service does not show yet") {
  for (const Scheduler* scheduler : all_schedulers()) {
    if (!scheduler->counts_connections) continue;
    ScheduleStory story(scheduler->name);
    story.add(11).add(12);
    VirtualService service = story.service();
    for (RealServer& each : service.servers) each.upper_threshold = 0;
    story.set_overloaded(12, true);
    SchedulerState state = story.state();
    CHECK_MESSAGE(scheduler->choose(state, service, story.loads(), {}) == 0, scheduler->name);
    story.set_overloaded(11, true);
    // Another destination, of which nothing is remembered.
    const Clients clients{"198.51.100.1"};
    CHECK_MESSAGE(scheduler->choose(state, service, story.loads(), clients(0)) == -1, scheduler->name);
  }
}
