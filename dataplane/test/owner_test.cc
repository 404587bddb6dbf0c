// SPDX-License-Identifier: Apache-2.0
#include "net/owner.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

using namespace fulcrum;

namespace {

// The largest and the smallest share, as parts of an even one.
template <typename Clients>
std::pair<double, double> spread(uint32_t workers, uint32_t flows, Clients&& hash_of) {
  std::vector<uint32_t> shares(workers);
  for (uint32_t flow = 0; flow < flows; ++flow) {
    const uint32_t owner = owner_of(hash_of(flow), workers);
    REQUIRE(owner < workers);
    ++shares[owner];
  }
  double least = 1e9, most = 0;
  for (const uint32_t share : shares) {
    least = std::min(least, share * double(workers) / flows);
    most = std::max(most, share * double(workers) / flows);
  }
  return {least, most};
}

}  // namespace

TEST_CASE("owner: patterns that clients really have are spread evenly") {
  const uint32_t flows = 20'000;
  for (const uint32_t workers : {2u, 3u, 8u, 31u}) {
    // Five standard deviations of a random spread: any structure that shows would exceed it.
    const double slack = 5 * std::sqrt(double(workers) / flows);
    const auto even = [&](auto&& hash_of) {
      const auto [least, most] = spread(workers, flows, hash_of);
      CHECK(least > 1 - slack);
      CHECK(most < 1 + slack);
    };
    CAPTURE(workers);
    // One client (NAT before it), its ports in a row; even ports only; many clients with one port; /24s.
    even([](uint32_t i) {
      return owner_hash(be32::from_host(0xc6336401), be16::from_host(static_cast<uint16_t>(1024 + i)));
    });
    even([](uint32_t i) {
      return owner_hash(be32::from_host(0xc6336401), be16::from_host(static_cast<uint16_t>(2 * i)));
    });
    even([](uint32_t i) { return owner_hash(be32::from_host(0x0a000000 + i), be16::from_host(40'000)); });
    even([](uint32_t i) { return owner_hash(be32::from_host(0x0a000000 + (i << 8)), be16::from_host(40'000)); });
    even([](uint32_t i) {
      return owner_hash(Ipv6Address{0x20010db8, uint64_t{i} << 48}, be16::from_host(static_cast<uint16_t>(i)));
    });
  }
}

TEST_CASE("owner: one worker owns everything, the largest hash belongs to the last") {
  CHECK(owner_of(0xffffffff, 1) == 0);
  CHECK(owner_of(0, 7) == 0);
  CHECK(owner_of(0xffffffff, 7) == 6);
}
