// SPDX-License-Identifier: Apache-2.0
// Times counted in classes an eighth of an octave wide, so that a percentile is right within a tenth whatever its size.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

#include "bench/json.h"

namespace fulcrum::bench {

class Histogram {
 public:
  void add(uint64_t nanoseconds) {
    ++counts_[class_of(nanoseconds)];
    ++total_;
    greatest_ = std::max(greatest_, nanoseconds);
  }
  uint64_t total() const { return total_; }
  uint64_t greatest() const { return greatest_; }
  // The upper edge of the class in which the share of all values is reached.
  uint64_t percentile(double share) const {
    const auto wanted = static_cast<uint64_t>(share * static_cast<double>(total_));
    uint64_t seen = 0;
    for (unsigned number = 0; number < kClasses; ++number)
      if ((seen += counts_[number]) > wanted) return std::min(upper_edge(number), greatest_);
    return greatest_;
  }
  // In microseconds.
  JsonObject json() const {
    const auto microseconds = [](uint64_t nanoseconds) { return static_cast<double>(nanoseconds) / 1000; };
    return JsonObject()
        .add("count", total_)
        .add("p50", microseconds(percentile(0.5)))
        .add("p99", microseconds(percentile(0.99)))
        .add("p999", microseconds(percentile(0.999)))
        .add("p9999", microseconds(percentile(0.9999)))
        .add("max", microseconds(greatest_));
  }

 private:
  static constexpr unsigned kFractionBits = 3, kFractions = 1u << kFractionBits, kClasses = 64 * kFractions;
  // Values below 2 * kFractions have a class each.
  static unsigned class_of(uint64_t value) {
    if (value < 2 * kFractions) return static_cast<unsigned>(value);
    const auto octave = static_cast<unsigned>(std::bit_width(value)) - 1 - kFractionBits;
    return octave * kFractions + static_cast<unsigned>(value >> octave);
  }
  static uint64_t upper_edge(unsigned number) {
    if (number < 2 * kFractions) return number;
    const unsigned octave = number / kFractions - 1;
    return ((uint64_t{number % kFractions} + kFractions + 1) << octave) - 1;
  }

  std::array<uint64_t, kClasses> counts_{};
  uint64_t total_ = 0;
  uint64_t greatest_ = 0;
};

}  // namespace fulcrum::bench
