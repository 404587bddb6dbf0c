// SPDX-License-Identifier: Apache-2.0
// How often something may happen: a token bucket, filled by a clock of milliseconds. Several that share a rate have
// equal parts of it.
#pragma once

#include <algorithm>
#include <cstdint>

namespace fulcrum {

struct TokenRate {
  uint64_t per_second = 0;  // of all sharers; 0: no limit
  uint64_t burst = 1;       // of each
  uint32_t sharers = 1;

  // In thousandths of a token. Not the rate is divided: the share of a low one would be lost in rounding.
  constexpr uint64_t price() const { return uint64_t{1000} * sharers; }
  constexpr uint64_t full() const { return std::max<uint64_t>(burst, 1) * price(); }
};

class TokenBucket {
 public:
  // Is there a token at this time?
  bool has(const TokenRate& rate, uint64_t now_ms) {
    if (rate.per_second == 0) return true;
    const uint64_t passed_ms = std::min<uint64_t>(now_ms - filled_at_ms_, kLongestMs);
    filled_at_ms_ = now_ms;
    tokens_ = std::min(rate.full(), tokens_ + passed_ms * rate.per_second);
    return tokens_ >= rate.price();
  }
  // After has().
  void take(const TokenRate& rate) {
    if (rate.per_second != 0) tokens_ -= std::min(tokens_, rate.price());
  }

 private:
  static constexpr uint64_t kLongestMs = 1'000'000;  // fills every bucket
  uint64_t tokens_ = 0;
  uint64_t filled_at_ms_ = 0;
};

}  // namespace fulcrum
