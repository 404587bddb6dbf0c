// SPDX-License-Identifier: Apache-2.0
// Big-endian integers as types of their own: wire values and host values cannot be mixed by accident.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace fulcrum {

static_assert(std::endian::native == std::endian::little, "the dataplane is written for little-endian CPUs");

template <typename T>
constexpr T swap_bytes(T value) {
  if constexpr (sizeof(T) == 2) return __builtin_bswap16(value);
  if constexpr (sizeof(T) == 4) return __builtin_bswap32(value);
  if constexpr (sizeof(T) == 8) return __builtin_bswap64(value);
}

// An unsigned integer in network byte order, at any address: headers on the wire are not aligned. Equality works on the
// wire value; everything else asks for host().
template <typename T>
struct [[gnu::packed]] BigEndian {
  T raw = 0;

  static constexpr BigEndian from_host(T value) { return BigEndian{swap_bytes(value)}; }
  constexpr T host() const { return swap_bytes(raw); }
  constexpr bool operator==(const BigEndian&) const = default;
};

using be16 = BigEndian<uint16_t>;
using be32 = BigEndian<uint32_t>;
using be64 = BigEndian<uint64_t>;

template <typename T>
inline T load_unaligned(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <typename T>
inline void store_unaligned(void* to, T value) {
  std::memcpy(to, &value, sizeof value);
}

}  // namespace fulcrum
