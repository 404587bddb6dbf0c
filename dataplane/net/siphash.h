// SPDX-License-Identifier: Apache-2.0
// SipHash-c-d (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012) of one 32-bit number.
#pragma once

#include <bit>
#include <cstdint>

namespace fulcrum {

class SipState {
 public:
  // Section 2.1: the key XOR the words of "somepseudorandomlygeneratedbytes".
  constexpr SipState(uint64_t key_low, uint64_t key_high)
      : v0_(key_low ^ 0x736f6d6570736575),
        v1_(key_high ^ 0x646f72616e646f6d),
        v2_(key_low ^ 0x6c7967656e657261),
        v3_(key_high ^ 0x7465646279746573) {}

  // Section 2.2.
  constexpr void compress(uint64_t word, int rounds) {
    v3_ ^= word;
    mix(rounds);
    v0_ ^= word;
  }

  // Section 2.3.
  constexpr uint64_t finish(int rounds) {
    v2_ ^= 0xff;
    mix(rounds);
    return v0_ ^ v1_ ^ v2_ ^ v3_;
  }

 private:
  constexpr void mix(int rounds) {
    for (; rounds > 0; --rounds) {
      v0_ += v1_;
      v2_ += v3_;
      v1_ = std::rotl(v1_, 13) ^ v0_;
      v3_ = std::rotl(v3_, 16) ^ v2_;
      v0_ = std::rotl(v0_, 32) + v3_;
      v2_ += v1_;
      v1_ = std::rotl(v1_, 17) ^ v2_;
      v3_ = std::rotl(v3_, 21) ^ v0_;
      v2_ = std::rotl(v2_, 32);
    }
  }

  uint64_t v0_, v1_, v2_, v3_;
};

// The message is the four bytes of `value`, the least significant first: one word, with the length in its top byte.
template <int kCompressionRounds, int kFinalRounds>
constexpr uint64_t siphash(uint32_t value, uint64_t key_low, uint64_t key_high) {
  SipState state(key_low, key_high);
  state.compress(uint64_t{sizeof value} << 56 | value, kCompressionRounds);
  return state.finish(kFinalRounds);
}

}  // namespace fulcrum
