// SPDX-License-Identifier: Apache-2.0
// The tuple that names one direction of a flow, laid out as the packet has it: both addresses in one load, both ports
// in another.
#pragma once

#include <cstring>
#include <type_traits>

#include "net/address.h"

namespace fulcrum {

enum class IpProtocol : uint8_t {
  kHopByHop = 0,
  kIcmp = 1,
  kIgmp = 2,
  kIpip = 4,
  kTcp = 6,
  kUdp = 17,
  kIpv6 = 41,
  kRouting = 43,
  kFragment = 44,
  kGre = 47,
  kEsp = 50,
  kAh = 51,
  kIcmpv6 = 58,
  kNoNextHeader = 59,
  kDestinationOptions = 60,
  kSctp = 132
};

template <Family F>
struct Tuple {
  AddressOf<F> source{};
  AddressOf<F> destination{};
  be16 source_port{};
  be16 destination_port{};

  constexpr bool operator==(const Tuple& other) const {
    // Once a packet: two comparisons instead of four.
    if constexpr (F == Family::kIpv4) {
      if (!std::is_constant_evaluated()) return std::memcmp(this, &other, sizeof other) == 0;
    }
    return source == other.source && destination == other.destination && source_port == other.source_port &&
           destination_port == other.destination_port;
  }
  constexpr Tuple reversed() const { return {destination, source, destination_port, source_port}; }
};
static_assert(sizeof(Tuple<Family::kIpv4>) == 12);

template <Family F>
struct FlowKey {
  Tuple<F> tuple;
  IpProtocol protocol{};

  constexpr bool operator==(const FlowKey&) const = default;
};

}  // namespace fulcrum
