// SPDX-License-Identifier: Apache-2.0
// The first sequences are those of the kernel (conformance scenarios rr-basic, rr-weight0, rr-add-del).
#include <doctest/doctest.h>

#include <list>
#include <random>
#include <set>

#include "test/schedule_story.h"

using namespace fulcrum;

TEST_CASE("rr: the list from its head, the server added last first") {
  ScheduleStory story("rr");
  CHECK(story.choose(1) == "-");
  story.add(11).add(12).add(13);
  CHECK(story.choose(7) == "13 12 11 13 12 11 13");
}

TEST_CASE("rr: weight 0 is skipped, other weights do not matter") {
  ScheduleStory story("rr");
  story.add(11, 1).add(12, 5).add(13, 1);
  CHECK(story.choose(2) == "13 12");
  story.edit(12, 0);
  CHECK(story.choose(4) == "11 13 11 13");
  story.edit(12, 3);
  CHECK(story.choose(4) == "12 11 13 12");
}

TEST_CASE("rr: servers join and leave where the pointer rests") {
  ScheduleStory story("rr");
  story.add(11).add(12).add(13);
  CHECK(story.choose(2) == "13 12");
  story.add(14);
  CHECK(story.choose(5) == "11 14 13 12 11");
  story.remove(12);
  CHECK(story.choose(5) == "14 13 11 14 13");
  story.remove(14);
  CHECK(story.choose(1) == "11");
  story.remove(11);
  CHECK(story.choose(3) == "13 13 13");
}

TEST_CASE("rr: after the pointer's server is deleted its successor is next") {
  ScheduleStory story("rr");
  story.add(11).add(12).add(13);
  CHECK(story.choose(2) == "13 12");
  story.remove(12);
  CHECK(story.choose(2) == "11 13");
  story.remove(13);  // the head: the pointer is before the first again
  CHECK(story.choose(1) == "11");
}

TEST_CASE("rr: a chain of deletes in one generation moves the pointer from one to the next") {
  ScheduleStory story("rr");
  story.add(11).add(12).add(13).add(14).add(15);
  CHECK(story.choose(3) == "15 14 13");
  story.batch().remove(13).remove(14).publish();
  CHECK(story.choose(2) == "12 11");
}

TEST_CASE("rr: delete and add again puts a server at the head and the pointer before it") {
  ScheduleStory story("rr");
  story.add(11).add(12).add(13);
  CHECK(story.choose(2) == "13 12");
  story.batch().remove(12).add(12).publish();
  CHECK(story.choose(4) == "11 12 13 11");
}

TEST_CASE("rr: overloaded servers are skipped, the pointer's own server is tried last") {
  ScheduleStory story("rr");
  story.add(11).add(12).add(13);
  CHECK(story.choose(1) == "13");
  story.set_overloaded(12, true);
  CHECK(story.choose(2) == "11 13");
  story.set_overloaded(11, true);
  CHECK(story.choose(2) == "13 13");
  story.set_overloaded(13, true);
  CHECK(story.choose(2) == "- -");
  story.set_overloaded(11, false);
  CHECK(story.choose(1) == "11");
}

TEST_CASE("rr: OVERLOAD without an upper threshold does not count, nor are counts looked at") {
  ScheduleStory story("rr");
  story.add(11);
  VirtualService service = story.service();
  service.servers[0].upper_threshold = 0;
  SchedulerState state;
  CHECK(schedulers::rr.choose(state, service, LoadView(nullptr), {}) == 0);
}

TEST_CASE("rr: each worker begins elsewhere, worker 0 at the head") {
  for (const uint32_t workers : {1u, 2u, 3u, 4u, 12u}) {
    std::set<std::string> first_round;
    for (uint32_t worker = 0; worker < workers; ++worker) {
      ScheduleStory story("rr", worker, workers);
      for (int name = 1; name <= 12; ++name) story.add(name);
      for (uint32_t i = 0; i < 12 / workers; ++i) {
        const std::string chosen = story.choose(1);
        if (worker == 0) CHECK(chosen == std::to_string(12 - i));
        CHECK_MESSAGE(first_round.insert(chosen).second, chosen);
      }
    }
    CHECK(first_round.size() == 12);
  }
}

namespace {

// The rule, literally: a list, a pointer, one step at a time.
struct Model {
  struct Server {
    int name;
    uint32_t weight;
    bool overloaded;
  };
  std::list<Server> list;
  int pointer = 0;  // 0: the head

  std::list<Server>::iterator find(int name) {
    return std::find_if(list.begin(), list.end(), [&](const Server& server) { return server.name == name; });
  }
  void remove(int name) {
    const auto at = find(name);
    if (pointer == name) pointer = at == list.begin() ? 0 : std::prev(at)->name;
    list.erase(at);
  }
  std::string choose() {
    auto at = pointer == 0 ? list.begin() : std::next(find(pointer));
    for (size_t tried = 0; tried < list.size(); ++tried, ++at) {
      if (at == list.end()) at = list.begin();
      if (at->weight == 0 || at->overloaded) continue;
      pointer = at->name;
      return std::to_string(at->name);
    }
    return "-";
  }
};

}  // namespace

TEST_CASE("rr: follows the rule through random edits, in generations of any size") {
  for (uint32_t seed = 0; seed < 30; ++seed) {
    std::mt19937 random(seed);
    ScheduleStory story("rr");
    Model model;
    std::vector<int> present;
    for (int step = 0; step < 400; ++step) {
      story.batch();
      for (auto edits = random() % 4; edits > 0; --edits) {
        const int name = 1 + static_cast<int>(random() % 9);
        const uint32_t weight = static_cast<uint32_t>(random() % 3);
        const bool overloaded = story.load(name).overloaded != 0;
        if (model.find(name) == model.list.end()) {
          story.add(name, weight);
          model.list.push_front({name, weight, overloaded});
        } else if (random() % 2 == 0) {
          story.edit(name, weight);
          model.find(name)->weight = weight;
        } else {
          story.remove(name);
          model.remove(name);
        }
      }
      story.publish();
      if (!model.list.empty() && random() % 4 == 0) {
        model.list.front().overloaded = !model.list.front().overloaded;
        story.set_overloaded(model.list.front().name, model.list.front().overloaded);
      }
      for (auto choices = random() % 5; choices > 0; --choices) REQUIRE(story.choose(1) == model.choose());
    }
  }
}
