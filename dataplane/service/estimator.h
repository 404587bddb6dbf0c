// SPDX-License-Identifier: Apache-2.0
// LVS's rates (ipvsadm --rate): an average of what was counted in each two seconds, where a new value weighs a quarter.
// Kept in binary fractions and shown rounded, so that the figures are LVS's to the last digit.
#pragma once

#include <cstdint>

namespace fulcrum {

// A counter's rate with `kFractionBits` + 1 bits behind the point.
template <unsigned kFractionBits>
class Rate {
 public:
  // `counted` in the last two seconds. Half of it is the rate per second, hence the bit more.
  void update(uint64_t counted) {
    const auto difference = static_cast<int64_t>((counted << kFractionBits) - value_);
    value_ += static_cast<uint64_t>(difference >> 2);
  }
  uint64_t per_second() const { return (value_ + (uint64_t{1} << kFractionBits) - 1) >> (kFractionBits + 1); }

 private:
  uint64_t value_ = 0;
};

// Per second.
struct Rates {
  uint64_t connections = 0, in_packets = 0, out_packets = 0, in_bytes = 0, out_bytes = 0;
  bool operator==(const Rates&) const = default;
};

// `Counters` has the members of Rates, counted from some beginning and never set back: -Z has a zero point of its own.
template <typename Counters>
class Estimator {
 public:
  static constexpr uint64_t kPeriodMs = 2000;

  Estimator() = default;
  // Of something that has a past: a server back from the trash.
  explicit Estimator(const Counters& counters) : seen_(counters) {}

  // To be called every kPeriodMs.
  void update(const Counters& counters) {
    connections_.update(counters.connections - seen_.connections);
    in_packets_.update(counters.in_packets - seen_.in_packets);
    out_packets_.update(counters.out_packets - seen_.out_packets);
    in_bytes_.update(counters.in_bytes - seen_.in_bytes);
    out_bytes_.update(counters.out_bytes - seen_.out_bytes);
    seen_ = counters;
  }

  Rates rates() const {
    return {.connections = connections_.per_second(),
            .in_packets = in_packets_.per_second(),
            .out_packets = out_packets_.per_second(),
            .in_bytes = in_bytes_.per_second(),
            .out_bytes = out_bytes_.per_second()};
  }

  // As of the last update: what ipvsadm --stats of LVS shows until the next.
  const Counters& counters() const { return seen_; }

  // -Z. What was counted since the last update still counts in the next.
  void zero() { *this = Estimator(seen_); }

 private:
  Counters seen_{};
  Rate<9> connections_, in_packets_, out_packets_;
  Rate<4> in_bytes_, out_bytes_;
};

}  // namespace fulcrum
