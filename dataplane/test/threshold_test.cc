// SPDX-License-Identifier: Apache-2.0
#include "service/threshold.h"

#include <doctest/doctest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace fulcrum {
namespace {

TEST_CASE("threshold: exactly u connections fit, and the next finds the server overloaded") {
  LoadView::Line line;
  const Thresholds three{3, 0};
  CHECK(take_place(line, three));
  CHECK(take_place(line, three));
  CHECK(line.overloaded == 0);
  CHECK(take_place(line, three));
  CHECK(line.overloaded == 1);
  CHECK_FALSE(take_place(line, three));
}

TEST_CASE("threshold: without l the flag goes below three quarters of u") {
  LoadView::Line line;
  const Thresholds eight{8, 0};
  for (int i = 0; i < 8; ++i) CHECK(take_place(line, eight));
  leave_place(line, eight);  // 7
  leave_place(line, eight);  // 6: 6 · 4 = 8 · 3 is not below
  CHECK(line.overloaded == 1);
  leave_place(line, eight);
  CHECK(line.overloaded == 0);
  CHECK(take_place(line, eight));
}

TEST_CASE("threshold: with l the flag goes below l") {
  LoadView::Line line;
  const Thresholds thresholds{4, 2};
  for (int i = 0; i < 4; ++i) CHECK(take_place(line, thresholds));
  leave_place(line, thresholds);
  leave_place(line, thresholds);
  CHECK(line.overloaded == 1);
  leave_place(line, thresholds);
  CHECK(line.overloaded == 0);
}

TEST_CASE("threshold: an edit to none or to more ends OVERLOAD, an edit to less waits for the next connection") {
  LoadView::Line line;
  for (int i = 0; i < 5; ++i) CHECK(take_place(line, {5, 0}));
  edit_upper_threshold(line, 5, 3);
  CHECK(line.overloaded == 1);
  edit_upper_threshold(line, 3, 4);
  CHECK(line.overloaded == 0);
  CHECK(take_place(line, {4, 0}));  // LVS: the flag was clear
  CHECK(line.overloaded == 1);
  edit_upper_threshold(line, 4, 0);
  CHECK(line.overloaded == 0);
}

TEST_CASE("threshold: never more than u at once, however many workers take and leave") {
  LoadView::Line line;
  const Thresholds hundred{100, 90};
  std::atomic<int> inside{0}, most{0};
  std::vector<std::thread> workers;
  for (int worker = 0; worker < 4; ++worker) {
    workers.emplace_back([&, worker] {
      int mine = 0;
      for (int step = 0; step < 200'000; ++step) {
        if ((step * 7 + worker) % 3 != 0) {
          if (!take_place(line, hundred)) continue;
          ++mine;
          const int now = ++inside;
          for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
          }
        } else if (mine > 0) {
          --mine;
          --inside;
          leave_place(line, hundred);
        }
      }
      for (; mine > 0; --mine) {
        --inside;
        leave_place(line, hundred);
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  CHECK(most <= 100);
  CHECK(most > 90);
  CHECK(line.occupancy == 0);
}

}  // namespace
}  // namespace fulcrum
