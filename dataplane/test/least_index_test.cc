// SPDX-License-Identifier: Apache-2.0
// The index against the plain walk, which the schedulers' own tests compare with the kernel.
#include "service/least_index.h"

#include <doctest/doctest.h>

#include <random>
#include <thread>

#include "service/destination_cache.h"
#include "service/edit_list.h"

using namespace fulcrum;

namespace {

// A service of many servers, each by a number, and the counts of all slots.
class Crowd {
 public:
  Crowd(std::string_view scheduler, uint32_t spread) : spread_(spread), lines_(kSlots), changes_(kSlots) {
    service_.rules = find_scheduler(scheduler);
    start_scheduler(service_, 1);
  }

  template <typename Edit>
  void edit(Edit edit) {
    {
      EditList list(service_);
      edit(list);
    }
    prepare_scheduler(service_);
    service_ = next_generation(service_);
  }
  void add(uint32_t first, uint32_t count, uint32_t weight) {
    edit([&](EditList& list) {
      for (uint32_t number = first; number < first + count; ++number) list.add(server(number, weight));
    });
  }
  RealServer server(uint32_t number, uint32_t weight) const {
    RealServer server;
    server.key.port = static_cast<uint16_t>(number);
    // Neither in the list's order nor side by side.
    server.slot = (number * 7919 % 1009) * spread_;
    server.weight = weight;
    return server;
  }
  uint32_t number(int index) const { return index < 0 ? 0 : service_.servers[static_cast<size_t>(index)].key.port; }

  LoadView::Line& line(uint32_t number) { return lines_[server(number, 0).slot]; }
  void note(uint32_t number) { note_change(changes_.data(), server(number, 0).slot); }
  void set_active(uint32_t number, uint32_t active) {
    __atomic_store_n(&line(number).active, active, __ATOMIC_RELAXED);
    note(number);
  }

  int choose(const LoadView& loads) {
    // The same destination for lblc would only ask what it remembers.
    service_.destinations = std::make_shared<DestinationCache>();
    return service_.rules->choose(state_, service_, loads, {});
  }
  uint32_t by_walk() { return number(choose(LoadView(lines_.data()))); }
  uint32_t by_index() { return number(choose(LoadView(lines_.data(), changes_.data()))); }
  const VirtualService& service() const { return service_; }
  LoadView loads() const { return LoadView(lines_.data(), changes_.data()); }

 private:
  static constexpr size_t kSlots = 65536;
  uint32_t spread_;
  VirtualService service_;
  SchedulerState state_;
  std::vector<LoadView::Line> lines_;
  std::vector<LoadView::Changes> changes_;
};

constexpr const char* kSeekers[] = {"lc", "wlc", "sed", "nq", "lblc", "lblcr"};

}  // namespace

TEST_CASE("least index: made for long lists of schedulers that seek the least, until an edit matters") {
  for (const Scheduler* scheduler : all_schedulers()) {
    Crowd crowd(scheduler->name, 1);
    crowd.add(1, LeastIndex::kWorthwhile - 1, 1);
    CHECK(crowd.service().least == nullptr);
    crowd.add(500, 1, 1);
    const auto made = crowd.service().least;
    const bool seeks = std::find(std::begin(kSeekers), std::end(kSeekers), scheduler->name) != std::end(kSeekers);
    CHECK(scheduler->seeks_least == seeks);
    CHECK((made != nullptr) == seeks);
    if (!seeks) continue;
    crowd.edit([&](EditList& list) { list.edit(crowd.server(500, 1)); });
    CHECK(crowd.service().least == made);
    crowd.edit([&](EditList& list) { list.edit(crowd.server(500, 0)); });
    CHECK(crowd.service().least != made);
    crowd.edit([&](EditList& list) { list.remove(crowd.server(500, 0).key); });
    CHECK(crowd.service().least == nullptr);
  }
}

TEST_CASE("least index: the walk's choices, while connections come and go, servers are edited and overloaded") {
  std::mt19937 random(7);
  const auto below = [&](uint32_t limit) { return static_cast<uint32_t>(random() % limit); };
  for (const char* scheduler : kSeekers)
    // All slots of a block, some, and one.
    for (const uint32_t spread : {1u, 5u, 64u}) {
      Crowd crowd(scheduler, spread);
      constexpr uint32_t kServers = 200;
      crowd.edit([&](EditList& list) {
        for (uint32_t number = 1; number <= kServers; ++number) list.add(crowd.server(number, below(4)));
      });
      for (int round = 0; round < 3000; ++round) {
        const uint32_t chosen = crowd.by_index();
        REQUIRE(chosen == crowd.by_walk());
        if (chosen != 0) crowd.set_active(chosen, crowd.line(chosen).active + 1);
        const uint32_t other = 1 + below(kServers);
        switch (below(8)) {
          case 0:
          case 1:
            crowd.set_active(other, crowd.line(other).active / 2);
            break;
          case 2:
            crowd.line(other).inactive = below(600);
            crowd.note(other);
            break;
          case 3:
            crowd.line(other).overloaded = below(2);
            crowd.note(other);
            break;
          case 4:
            if (round % 16 == 0) crowd.edit([&](EditList& list) { list.edit(crowd.server(other, below(4))); });
            break;
          case 5:
            if (round % 16 == 0)
              crowd.edit([&](EditList& list) {
                list.remove(crowd.server(other, 0).key);
                list.add(crowd.server(other, below(4)));
              });
            break;
          default:
            break;
        }
      }
    }
}

TEST_CASE("least index: ties go to the server added last, also across blocks") {
  for (const char* scheduler : kSeekers) {
    Crowd crowd(scheduler, 1);
    crowd.add(1, 300, 1);
    for (uint32_t number = 300; number > 0; --number) {
      REQUIRE(crowd.by_index() == number);
      crowd.set_active(number, 1);
    }
    CHECK(crowd.by_index() == 300);
  }
}

TEST_CASE("least index: nobody is usable, then one is") {
  Crowd crowd("wlc", 3);
  crowd.add(1, 100, 2);
  for (uint32_t number = 1; number <= 100; ++number) {
    crowd.line(number).overloaded = 1;
    crowd.note(number);
  }
  CHECK(crowd.by_index() == 0);
  crowd.line(41).overloaded = 0;
  crowd.note(41);
  CHECK(crowd.by_index() == 41);
}

TEST_CASE("least index: who is not its group's best is asked only after a change, but OVERLOAD is heeded at once") {
  Crowd crowd("lc", 1);
  crowd.add(1, 100, 1);
  for (uint32_t number = 1; number <= 100; ++number) crowd.set_active(number, 2);
  CHECK(crowd.by_index() == 100);
  crowd.line(50).active = 1;
  CHECK(crowd.by_index() == 100);
  crowd.note(50);
  CHECK(crowd.by_index() == 50);
  crowd.line(50).overloaded = 1;
  CHECK(crowd.by_index() == 100);
}

TEST_CASE("least index: two workers count and choose at once, and agree with the walk when they are done") {
  Crowd crowd("wlc", 1);
  crowd.add(1, 200, 3);
  const auto work = [&](uint32_t seed) {
    std::mt19937 random(seed);
    SchedulerState state;
    for (int round = 0; round < 20000; ++round) {
      const int chosen = crowd.service().rules->choose(state, crowd.service(), crowd.loads(), {});
      __atomic_fetch_add(&crowd.line(crowd.number(chosen)).active, 1, __ATOMIC_RELAXED);
      crowd.note(crowd.number(chosen));
      const uint32_t other = 1 + static_cast<uint32_t>(random() % 200);
      __atomic_fetch_add(&crowd.line(other).inactive, 1, __ATOMIC_RELAXED);
      crowd.note(other);
    }
  };
  std::thread one(work, 1), other(work, 2);
  one.join();
  other.join();
  for (int round = 0; round < 500; ++round) {
    const uint32_t chosen = crowd.by_index();
    REQUIRE(chosen == crowd.by_walk());
    crowd.set_active(chosen, crowd.line(chosen).active + 1);
  }
}
