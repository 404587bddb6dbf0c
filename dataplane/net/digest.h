// SPDX-License-Identifier: Apache-2.0
// Values in 64 bits, so that two sides can tell whether they have the same (src/manager/verify/digest.ts is the other
// one: whatever is changed here is changed there). It finds accidents, not attacks.
#pragma once

#include <bit>
#include <cstdint>
#include <string_view>

#include "net/address.h"

namespace fulcrum {

// Order counts in what is add()ed, and not between digests that are joined.
class Digest {
 public:
  void add(uint32_t word) {
    first_ = (first_ ^ word) * 0x9E3779B1u;
    first_ ^= first_ >> 15;
    second_ = (second_ ^ std::rotl(word, 16)) * 0x85EBCA6Bu;
    second_ ^= second_ >> 13;
  }
  void add(const Address& address);
  void add(const Prefix& prefix);  // its host bits count
  void add(std::string_view text);
  void add(const Digest& other) {
    add(other.first_);
    add(other.second_);
  }
  void join(const Digest& other) {
    first_ += other.first_;
    second_ += other.second_;
  }
  uint64_t value() const { return uint64_t{first_} << 32 | second_; }
  bool operator==(const Digest&) const = default;

 private:
  uint32_t first_ = 0x243F6A88;
  uint32_t second_ = 0x13198A2E;
};

}  // namespace fulcrum
