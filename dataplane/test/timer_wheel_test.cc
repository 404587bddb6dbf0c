// SPDX-License-Identifier: Apache-2.0
#include "conn/timer_wheel.h"

#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <random>
#include <set>

using namespace fulcrum;

namespace {

using Table = ConnectionTable<Family::kIpv4>;
using Wheel = TimerWheel<Family::kIpv4>;

// Entries that expire into a set; entries whose deadline is late by no more than a slot are in time.
struct Fixture {
  explicit Fixture(Ticks start = 5000, uint32_t capacity = 5000) : now(start) {
    REQUIRE(arena.map("wheel-test", Table::bytes_for(capacity), false));
    REQUIRE(table.create(arena, capacity, HashSecret{1, 3}));
    wheel = std::make_unique<Wheel>(table, now);
  }
  ConnectionIndex arm(Ticks ahead) {
    const ConnectionIndex index = table.allocate();
    table.entry(index).deadline = now + ahead;
    wheel->arm(index, now + ahead);
    return index;
  }
  // What a packet does: later is only written, closer is armed at once.
  void set_deadline(ConnectionIndex index, Ticks ahead) {
    const bool closer = static_cast<int32_t>(now + ahead - table.entry(index).deadline) < 0;
    table.entry(index).deadline = now + ahead;
    if (closer) wheel->rearm(index, now + ahead);
  }
  // Ticks pass; which have expired.
  std::set<ConnectionIndex> pass(Ticks ticks) {
    now += ticks;
    std::set<ConnectionIndex> expired;
    bool done = false;
    for (int tries = 0; tries < 10'000 && !done; ++tries)
      done = wheel->advance(now, 128, [&](ConnectionIndex index) {
        CHECK(is_due(table.entry(index).deadline, now));
        wheel->disarm(index);
        table.release(index);
        expired.insert(index);
      });
    CHECK(done);
    return expired;
  }

  Arena arena;
  Table table;
  Ticks now;
  std::unique_ptr<Wheel> wheel;
};

using Set = std::set<ConnectionIndex>;
constexpr Ticks kSlot = Wheel::kTicksPerSlot;
constexpr Ticks kHorizon = Wheel::kSlots * Wheel::kTicksPerSlot;

}  // namespace

TEST_CASE("timer wheel: nothing expires before its deadline, everything soon after") {
  Fixture on;
  const auto index = on.arm(300);
  CHECK(on.pass(299) == Set{});
  CHECK(on.pass(1) == Set{index});
  CHECK(on.pass(kHorizon) == Set{});
}

TEST_CASE("timer wheel: a deadline written later is met on the way") {
  Fixture on;
  const auto index = on.arm(300);
  on.pass(200);
  on.set_deadline(index, 300);  // 500
  CHECK(on.pass(100) == Set{});
  CHECK(on.pass(199) == Set{});
  CHECK(on.pass(1) == Set{index});
}

TEST_CASE("timer wheel: a deadline that moves closer") {
  Fixture on;
  const auto index = on.arm(90'000);
  on.pass(10);
  on.set_deadline(index, 50);
  CHECK(on.pass(49) == Set{});
  CHECK(on.pass(1) == Set{index});
}

TEST_CASE("timer wheel: deadlines in the past expire at once, also within the slot in hand") {
  Fixture on;
  const auto due = on.arm(0), late = on.arm(static_cast<Ticks>(-40));
  CHECK(on.pass(0) == Set{due, late});
}

TEST_CASE("timer wheel: beyond the horizon") {
  Fixture on;
  const auto far = on.arm(3 * kHorizon + 5), near = on.arm(kHorizon - 1);
  CHECK(on.pass(kHorizon - 2) == Set{});
  CHECK(on.pass(1) == Set{near});
  CHECK(on.pass(kHorizon) == Set{});
  CHECK(on.pass(kHorizon + 5) == Set{});
  CHECK(on.pass(1) == Set{far});
}

TEST_CASE("timer wheel: the clock jumps") {
  Fixture on;
  const auto a = on.arm(100), b = on.arm(20'000), c = on.arm(2 * kHorizon), d = on.arm(9 * kHorizon);
  CHECK(on.pass(5 * kHorizon) == Set{a, b, c});
  CHECK(on.pass(4 * kHorizon) == Set{d});
}

TEST_CASE("timer wheel: ticks wrap around") {
  Fixture on(0xffffffff - 150);
  const auto before = on.arm(100), across = on.arm(400), far = on.arm(2 * kHorizon);
  CHECK(on.pass(99) == Set{});
  CHECK(on.pass(1) == Set{before});
  CHECK(on.pass(100) == Set{});
  on.set_deadline(across, 300);  // 500 from the start, written on the other side
  CHECK(on.pass(200) == Set{});
  CHECK(on.pass(100) == Set{across});
  CHECK(on.pass(2 * kHorizon - 500) == Set{far});
}

TEST_CASE("timer wheel: work is bounded, and goes on where it was") {
  Fixture on;
  for (int i = 0; i < 1000; ++i) on.arm(50);
  on.now += 50;
  int expired = 0;
  const auto expire = [&](ConnectionIndex index) {
    on.wheel->disarm(index);
    on.table.release(index);
    ++expired;
  };
  CHECK_FALSE(on.wheel->advance(on.now, 100, expire));
  CHECK(expired <= 100);
  int rounds = 1;
  while (!on.wheel->advance(on.now, 100, expire)) ++rounds;
  CHECK(expired == 1000);
  CHECK(rounds >= 10);
}

TEST_CASE("timer wheel: disarmed entries never expire, wherever they stand in their list") {
  Fixture on;
  std::vector<ConnectionIndex> all;
  for (int i = 0; i < 5; ++i) all.push_back(on.arm(100));
  for (const size_t gone : {0u, 2u, 4u}) on.wheel->disarm(all[gone]);
  CHECK(on.pass(200) == Set{all[1], all[3]});
}

TEST_CASE("timer wheel: random deadlines are met within a slot") {
  auto random = [engine = std::mt19937(11)]() mutable { return static_cast<uint32_t>(engine()); };
  Fixture on(0xfffffff0, 400);
  std::map<ConnectionIndex, Ticks> deadlines;
  for (int step = 0; step < 20'000; ++step) {
    if (deadlines.size() < 300) {
      const Ticks ahead = random() % (random() % 10 == 0 ? 100'000 : 2'000);
      const auto index = on.arm(ahead);
      deadlines[index] = on.now + ahead;
    }
    if (!deadlines.empty()) {
      const auto at = std::next(deadlines.begin(), static_cast<std::ptrdiff_t>(random() % deadlines.size()));
      const Ticks ahead = random() % 3'000;
      on.set_deadline(at->first, ahead);
      at->second = on.now + ahead;
    }
    for (const ConnectionIndex index : on.pass(random() % 40)) {
      CHECK(is_due(deadlines.at(index), on.now));
      deadlines.erase(index);
    }
    if (step % 100 != 0) continue;
    for (const auto& [index, deadline] : deadlines) CHECK_FALSE(is_due(deadline + kSlot, on.now));
  }
}
