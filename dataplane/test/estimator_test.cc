// SPDX-License-Identifier: Apache-2.0
// The first readings are the kernel's (conformance scenario rate).
#include "service/estimator.h"

#include <doctest/doctest.h>

#include <vector>

using namespace fulcrum;

namespace {

struct Counters {
  uint64_t connections = 0, in_packets = 0, in_bytes = 0, out_packets = 0, out_bytes = 0;
};

}  // namespace

TEST_CASE("kernel rate: 100 connections of one packet of 40 bytes, all at once") {
  Estimator<Counters> estimator;
  CHECK(estimator.rates() == Rates{});
  const Counters counters{.connections = 100, .in_packets = 100, .in_bytes = 4000};
  const std::vector<std::pair<uint64_t, uint64_t>> readings = {{12, 500}, {9, 375}, {7, 281}, {5, 211}};
  for (const auto& [packets, bytes] : readings) {
    estimator.update(counters);
    CHECK(estimator.rates() == Rates{.connections = packets, .in_packets = packets, .in_bytes = bytes});
  }
}

TEST_CASE("rates: each counter has its own") {
  Estimator<Counters> estimator;
  estimator.update({.connections = 8, .in_packets = 80, .in_bytes = 8000, .out_packets = 16, .out_bytes = 80});
  CHECK(estimator.rates() ==
        Rates{.connections = 1, .in_packets = 10, .out_packets = 2, .in_bytes = 1000, .out_bytes = 10});
}

TEST_CASE("rates: a steady load is shown as it is, and idleness as zero in the end") {
  Estimator<Counters> estimator;
  Counters counters;
  for (int i = 0; i < 150; ++i) {
    counters.connections += 2 * 1000;
    counters.in_packets += 2 * 14'000'000;
    counters.in_bytes += 2 * 12'500'000'000;
    counters.out_bytes += 1;
    estimator.update(counters);
  }
  CHECK(estimator.rates() == Rates{.connections = 1000, .in_packets = 14'000'000, .in_bytes = 12'500'000'000});
  for (int i = 0; i < 200; ++i) estimator.update(counters);
  CHECK(estimator.rates() == Rates{});
}

TEST_CASE("rates: counters that pass 2^32, or 2^64, make no jump") {
  Counters counters{.connections = UINT64_MAX - 3, .in_bytes = (uint64_t{1} << 32) - 10};
  Estimator<Counters> estimator(counters);
  counters.connections += 8;
  counters.in_bytes += 80;
  estimator.update(counters);
  CHECK(estimator.rates() == Rates{.connections = 1, .in_bytes = 10});
}

TEST_CASE("rates: what has a past does not start with it") {
  Estimator<Counters> estimator(Counters{.connections = 1'000'000});
  estimator.update({.connections = 1'000'000});
  CHECK(estimator.rates() == Rates{});
}

TEST_CASE("rates: zeroed, but not what was counted since the last update") {
  Estimator<Counters> estimator;
  estimator.update({.connections = 100});
  CHECK(estimator.counters().connections == 100);
  estimator.zero();
  CHECK(estimator.rates() == Rates{});
  CHECK(estimator.counters().connections == 100);
  estimator.update({.connections = 200});
  CHECK(estimator.rates().connections == 12);
}
