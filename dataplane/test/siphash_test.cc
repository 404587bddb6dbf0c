// SPDX-License-Identifier: Apache-2.0
#include "net/siphash.h"

#include <doctest/doctest.h>

using namespace fulcrum;

namespace {
constexpr uint64_t kLow = 0x0706050403020100, kHigh = 0x0f0e0d0c0b0a0908;  // bytes 00 to 0f
constexpr uint32_t kMessage = 0x03020100;                                  // bytes 00 to 03
}  // namespace

TEST_CASE("siphash: the published vector of four bytes, SipHash-2-4") {
  CHECK(siphash<2, 4>(kMessage, kLow, kHigh) == 0xcf2794e0277187b7);
}

TEST_CASE("siphash: the published vector of four bytes, SipHash-1-3") {
  CHECK(siphash<1, 3>(kMessage, kLow, kHigh) == 0xcf75576088d38328);
}
