// SPDX-License-Identifier: Apache-2.0
// The first sequences are those of the kernel (conformance scenarios wrr-321, wrr-change).
#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <set>

#include "test/schedule_story.h"

using namespace fulcrum;

TEST_CASE("wrr: 4:3:2 added in this order begins with current weight 1, so the first round serves everyone once") {
  ScheduleStory story("wrr");
  CHECK(story.choose(1) == "-");
  story.add(11, 4);
  CHECK(story.state().current_weight == 1);
  story.add(12, 3).add(13, 2);
  CHECK(story.choose(18) == "13 12 11 11 12 11 13 12 11 13 12 11 11 12 11 13 12 11");
}

TEST_CASE("wrr: edits send the walk to the head and fit the current weight") {
  ScheduleStory story("wrr");
  story.add(11, 3).add(12, 2).add(13, 1);
  CHECK(story.choose(4) == "13 12 11 11");
  story.edit(11, 1);
  CHECK(story.choose(8) == "12 13 12 11 12 13 12 11");
  story.edit(13, 6);
  CHECK(story.choose(10) == "13 12 11 13 13 13 13 13 12 13");
  story.edit(11, 0);
  CHECK(story.choose(9) == "13 12 13 13 13 12 13 13 13");
}

TEST_CASE("wrr: an edit that changes nothing resets the walk") {
  ScheduleStory story("wrr");
  story.add(11).add(12).add(13);
  CHECK(story.choose(2) == "13 12");
  story.edit(11, 1);
  CHECK(story.choose(3) == "13 12 11");
}

TEST_CASE("wrr: the current weight of servers added one by one") {
  ScheduleStory story("wrr");
  story.add(11, 2);  // divisor 2, greatest 2 - 1
  CHECK(story.state().divisor == 2);
  CHECK(story.state().greatest_weight == 1);
  CHECK(story.state().current_weight == 1);
  story.add(12, 8);  // divisor 2, greatest 8 - 1; 1 / 2 * 2 + 1 = 1
  CHECK(story.state().greatest_weight == 7);
  CHECK(story.state().current_weight == 1);
  story.add(13, 5);  // divisor 1
  CHECK(story.state().greatest_weight == 8);
  CHECK(story.state().current_weight == 1);
  story.remove(12).remove(13).remove(11);
  CHECK(story.state().greatest_weight == 0);
  CHECK(story.state().current_weight == 0);
}

TEST_CASE("wrr: another scheduler's list is taken over with the greatest weight first") {
  ScheduleStory story("rr");
  story.add(11, 4).add(12, 3).add(13, 2);
  CHECK(story.choose(1) == "13");
  story.use("wrr");
  CHECK(story.choose(9) == "11 12 11 13 12 11 13 12 11");
}

TEST_CASE("wrr: edits before and after a change of scheduler, in one generation") {
  ScheduleStory one_by_one("rr"), at_once("rr");
  one_by_one.add(11, 4).use("wrr").add(12, 3).add(13, 2);
  at_once.batch().add(11, 4).use("wrr").add(12, 3).add(13, 2).publish();
  CHECK(one_by_one.choose(9) == "13 12 11 11 12 11 13 12 11");
  CHECK(at_once.choose(9) == "13 12 11 11 12 11 13 12 11");
}

TEST_CASE("wrr: nobody of weight 0, and none at all when all are") {
  ScheduleStory story("wrr");
  story.add(11, 0);
  CHECK(story.choose(2) == "- -");
  story.add(12, 2);
  CHECK(story.choose(2) == "12 12");
  story.edit(12, 0);
  CHECK(story.choose(1) == "-");
}

TEST_CASE("wrr: overloaded servers are skipped, also the heaviest") {
  ScheduleStory story("wrr");
  story.add(11, 65535).add(12, 2).add(13, 1);
  story.set_overloaded(11, true);
  CHECK(story.choose(6) == "13 12 12 13 12 12");
  story.set_overloaded(12, true);
  CHECK(story.choose(2) == "13 13");
  story.set_overloaded(13, true);
  CHECK(story.choose(2) == "- -");
  story.set_overloaded(11, false);
  CHECK(story.choose(2) == "11 11");
}

TEST_CASE("wrr: each worker begins elsewhere in the cycle and keeps the proportions") {
  const std::vector<uint32_t> weights = {6, 2, 8, 4, 2, 10, 6, 6};
  const uint32_t cycle = std::accumulate(weights.begin(), weights.end(), 0u) / 2;
  std::set<std::string> beginnings;
  for (uint32_t worker = 0; worker < 4; ++worker) {
    ScheduleStory story("wrr", worker, 4);
    for (size_t i = 0; i < weights.size(); ++i) story.add(static_cast<int>(i), weights[i]);
    beginnings.insert(story.choose(4));
    for (uint32_t i = 4; i < 3 * cycle; ++i) story.choose_index();
    for (size_t i = 0; i < weights.size(); ++i) CHECK(story.load(static_cast<int>(i)).active == 3 * weights[i] / 2);
  }
  CHECK(beginnings.size() == 4);
}

TEST_CASE("wrr: with equal weights the workers' first turns share out the list") {
  std::set<std::string> first_round;
  for (uint32_t worker = 0; worker < 4; ++worker) {
    ScheduleStory story("wrr", worker, 4);
    for (int name = 1; name <= 12; ++name) story.add(name, 5);
    for (int i = 0; i < 3; ++i) first_round.insert(story.choose(1));
  }
  CHECK(first_round.size() == 12);
}

namespace {

// The rule, literally: passes over a list, one fruitless pass after the other.
struct Model {
  struct Server {
    int name;
    int weight;
    bool overloaded;
  };
  std::vector<Server> list;  // the head first
  int position = -1;         // index, -1: the head
  int current = 0, greatest = 0, divisor = 1;

  auto find(int name) {
    return std::find_if(list.begin(), list.end(), [&](const Server& server) { return server.name == name; });
  }
  void edited() {
    int most = 0, common = 0;
    for (const Server& server : list) {
      most = std::max(most, server.weight);
      common = std::gcd(common, server.weight);
    }
    divisor = common == 0 ? 1 : common;
    greatest = most - (divisor - 1);
    position = -1;
    if (current > greatest || current == 0)
      current = greatest;
    else if (divisor > 1)
      current = current / divisor * divisor + 1;
  }
  bool nobody_usable() const {
    return std::none_of(list.begin(), list.end(),
                        [](const Server& server) { return server.weight > 0 && !server.overloaded; });
  }
  std::string choose() {
    if (greatest == 0) return "-";
    if (nobody_usable()) {
      if (position >= 0 && current <= divisor) return "-";
      position = -1;
      current = greatest;
      return "-";
    }
    for (;;) {
      while (++position < static_cast<int>(list.size())) {
        const Server& server = list[static_cast<size_t>(position)];
        if (!server.overloaded && server.weight >= current) return std::to_string(server.name);
      }
      position = -1;
      current -= divisor;
      if (current <= 0) current = greatest;
    }
  }
};

}  // namespace

TEST_CASE("wrr: follows the rule through random edits, in generations of any size") {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    std::mt19937 random(seed);
    const uint32_t unit = 1 + static_cast<uint32_t>(random() % 4), greatest = 2 + static_cast<uint32_t>(random() % 40);
    ScheduleStory story("wrr");
    Model model;
    for (int step = 0; step < 300; ++step) {
      story.batch();
      for (auto edits = random() % 3; edits > 0; --edits) {
        const int name = 1 + static_cast<int>(random() % 7);
        const uint32_t weight = unit * static_cast<uint32_t>(random() % greatest);
        const auto at = model.find(name);
        if (at == model.list.end()) {
          story.add(name, weight);
          model.list.insert(model.list.begin(), {name, static_cast<int>(weight), story.load(name).overloaded != 0});
        } else if (random() % 2 == 0) {
          story.edit(name, weight);
          at->weight = static_cast<int>(weight);
        } else {
          story.remove(name);
          model.list.erase(at);
        }
        model.edited();
      }
      story.publish();
      for (Model::Server& server : model.list) {
        if (random() % 4 != 0) continue;
        server.overloaded = !server.overloaded;
        story.set_overloaded(server.name, server.overloaded);
      }
      for (auto choices = random() % 12; choices > 0; --choices) REQUIRE(story.choose(1) == model.choose());
      REQUIRE(story.state().current_weight == model.current);
    }
  }
}
