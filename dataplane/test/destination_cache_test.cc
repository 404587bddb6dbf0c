// SPDX-License-Identifier: Apache-2.0
#include "service/destination_cache.h"

#include <doctest/doctest.h>

#include <thread>

using namespace fulcrum;

namespace {

using Cache = DestinationCache;

Address destination(uint32_t number) { return Address::from(be32::from_host(0xcb000000 + number)); }

// `count` destinations from `first` on, each at server `slot`, all used at `now_ms`.
void fill(Cache& cache, uint32_t first, uint32_t count, ServerSlot slot, uint64_t now_ms) {
  for (uint32_t i = first; i < first + count; ++i) Cache::Visit(cache, destination(i), now_ms).replace({.slot = slot});
}

bool knows(Cache& cache, uint32_t number, uint64_t now_ms) {
  return !Cache::Visit(cache, destination(number), now_ms).servers().empty();
}

constexpr uint64_t kNever = uint64_t{1} << 60;
constexpr uint64_t kDay = 86'400'000;

}  // namespace

TEST_CASE("destination cache: what joined last comes first, what left is gone, references follow") {
  Cache cache;
  Cache::Visit(cache, destination(1), 5).join({.slot = 7, .index = 1, .weight = 2});
  {
    Cache::Visit visit(cache, destination(1), 8);
    CHECK(visit.changed_ms() == 5);
    visit.join({.slot = 9});
    CHECK(visit.changed_ms() == 8);
    REQUIRE(visit.servers().size() == 2);
    CHECK(visit.servers()[0].slot == 9);
    CHECK(visit.servers()[1].slot == 7);
    CHECK(visit.servers()[1].weight == 2);
  }
  CHECK(cache.size() == 1);
  CHECK(cache.references(7) == 1);
  CHECK(cache.references(9) == 1);
  CHECK(cache.references(8) == 0);
  {
    Cache::Visit visit(cache, destination(1), 11);
    visit.leave(1);
    CHECK(visit.changed_ms() == 11);
    REQUIRE(visit.servers().size() == 1);
    CHECK(visit.servers()[0].slot == 9);
    visit.replace({.slot = 3});
    REQUIRE(visit.servers().size() == 1);
    CHECK(visit.servers()[0].slot == 3);
  }
  CHECK(cache.size() == 1);
  CHECK(cache.references(7) == 0);
  CHECK(cache.references(9) == 0);
  CHECK(cache.references(3) == 1);
}

TEST_CASE("destination cache: addresses of one bucket, and of both families, are told apart") {
  Cache cache;
  const auto v6 = Address::parse("::203.0.0.1").value();  // folds to the same number as 203.0.0.1
  REQUIRE(v6.fold() == destination(1).fold());
  Cache::Visit(cache, v6, 1).replace({.slot = 6});
  CHECK_FALSE(knows(cache, 1, 1));
  Cache::Visit(cache, destination(1), 1).replace({.slot = 4});
  CHECK(Cache::Visit(cache, v6, 1).servers()[0].slot == 6);
  CHECK(cache.size() == 2);
}

TEST_CASE("destination cache: every half hour, what was unused for the expiration goes") {
  Cache cache;
  const uint64_t start = 1'000'000;
  cache.tend(start, kDay);
  fill(cache, 0, 100, 1, start);
  fill(cache, 100, 50, 2, start + 1);
  const uint64_t half_hour = Cache::kTicksPerCleaning * Cache::kTickMs;
  cache.tend(start + half_hour - 1, half_hour);
  CHECK(cache.size() == 150);
  cache.tend(start + half_hour, half_hour);
  CHECK(cache.size() == 50);
  CHECK(cache.references(1) == 0);
  CHECK(cache.references(2) == 50);
  // Unused for long enough a moment later, which nobody looks at before the next cleaning.
  cache.tend(start + 2 * half_hour - 1, half_hour);
  CHECK(cache.size() == 50);
  CHECK_FALSE(knows(cache, 7, start + 2 * half_hour));
  CHECK(knows(cache, 120, start + 2 * half_hour));  // which is use
  cache.tend(start + 2 * half_hour, half_hour);
  CHECK(cache.size() == 1);
}

TEST_CASE("destination cache: within the limit nothing goes before it expires, beyond it what is idle does") {
  Cache cache;
  cache.tend(1, kNever);
  fill(cache, 0, Cache::kLimit, 1, 1);
  cache.tend(1 + 29 * Cache::kTickMs, kNever);
  CHECK(cache.size() == Cache::kLimit);
  // 300 too many: 400 are to go, and are taken whole buckets at a time.
  const uint64_t now = 1 + 30 * Cache::kTickMs;
  fill(cache, Cache::kLimit, 300, 2, now);
  cache.tend(now, kNever);  // a cleaning, where nothing has expired
  CHECK(cache.size() == Cache::kLimit + 300);
  cache.tend(now + Cache::kTickMs, kNever);
  const uint32_t gone = Cache::kLimit + 300 - cache.size();
  CHECK(gone >= 400);
  CHECK(gone < 400 + 64);
  CHECK(cache.references(2) == 300);  // none of which was idle for 360 s
  cache.tend(now + 2 * Cache::kTickMs, kNever);
  CHECK(cache.size() == Cache::kLimit + 300 - gone);
}

TEST_CASE("destination cache: idle is 360 s") {
  Cache cache;
  cache.tend(1, kNever);
  fill(cache, 0, Cache::kLimit + 1000, 1, 1);
  cache.tend(1 + Cache::kIdleMs - 1, kNever);
  CHECK(cache.size() == Cache::kLimit + 1000);
  cache.tend(1 + Cache::kIdleMs, kNever);
  CHECK(cache.size() < Cache::kLimit);
}

TEST_CASE("destination cache: at most half the limit goes at a tick, and the next one goes on where that stopped") {
  Cache cache;
  cache.tend(1, kNever);
  fill(cache, 0, 2 * Cache::kLimit, 1, 1);
  CHECK(cache.size() == Cache::kLimit * 3 / 2);
  cache.tend(1 + 6 * Cache::kTickMs, kNever);
  const uint32_t first = Cache::kLimit * 3 / 2 - cache.size();
  CHECK(first >= Cache::kLimit / 2);
  CHECK(first < Cache::kLimit / 2 + 64);
  // What is new fills all buckets alike: those visited have nothing else, the others three times as much of the old.
  fill(cache, 4 * Cache::kLimit, Cache::kLimit, 2, 1 + 7 * Cache::kTickMs);
  const uint32_t old = cache.references(1), fresh = cache.references(2);
  cache.tend(1 + 13 * Cache::kTickMs, kNever);
  const uint32_t old_gone = old - cache.references(1), fresh_gone = fresh - cache.references(2);
  CHECK(old_gone + fresh_gone >= Cache::kLimit / 2);
  CHECK(3 * old_gone > 2 * (old_gone + fresh_gone));
}

TEST_CASE("destination cache: at one and a half of the limit nothing is added, and all else goes on") {
  Cache cache;
  fill(cache, 0, Cache::kLimit * 3 / 2, 1, 1);
  CHECK(cache.size() == Cache::kLimit * 3 / 2);
  fill(cache, Cache::kLimit * 3 / 2, 10, 2, 1);
  CHECK(cache.size() == Cache::kLimit * 3 / 2);
  CHECK(cache.references(2) == 0);
  CHECK_FALSE(knows(cache, Cache::kLimit * 3 / 2, 1));
  fill(cache, 5, 1, 3, 1);
  CHECK(cache.references(3) == 1);
  CHECK(cache.references(1) == Cache::kLimit * 3 / 2 - 1);
}

TEST_CASE("destination cache: a worker's clock ahead of the timer's forgets nothing early") {
  Cache cache;
  cache.tend(1, 1000);
  fill(cache, 0, 1, 1, 1 + 31 * Cache::kTickMs);
  cache.tend(1 + 30 * Cache::kTickMs, 1000);
  CHECK(cache.size() == 1);
}

TEST_CASE("destination cache: two workers and the timer at once lose no reference") {
  Cache cache;
  cache.tend(1, kNever);
  const auto work = [&](ServerSlot slot) {
    for (uint64_t round = 0; round < 40; ++round)
      for (uint32_t i = 0; i < 1000; ++i)
        Cache::Visit(cache, destination(i), round * Cache::kTickMs).replace({.slot = slot + i % 2});
  };
  std::thread one(work, 10), other(work, 20);
  for (uint64_t minute = 0; minute < 2000; ++minute) cache.tend(1 + minute * Cache::kTickMs, 60'000);
  one.join();
  other.join();
  const uint32_t all = cache.references(10) + cache.references(11) + cache.references(20) + cache.references(21);
  CHECK(all == cache.size());
  cache.tend(kDay * 30, 1);
  CHECK(cache.size() == 0);
  for (const ServerSlot slot : {10u, 11u, 20u, 21u}) CHECK(cache.references(slot) == 0);
}
