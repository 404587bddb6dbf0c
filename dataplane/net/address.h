// SPDX-License-Identifier: Apache-2.0
// Family-tagged addresses. Address holds either family (configuration, control); AddressOf<Family> is the plain
// wire value that per-family code of the packet path is instantiated with.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "net/byte_order.h"

namespace fulcrum {

enum class Family : uint8_t { kNone = 0, kIpv4 = 4, kIpv6 = 6 };

// Packed, as be32 is: it is read where it lies in a packet.
struct [[gnu::packed]] Ipv6Address {
  uint64_t high = 0;  // wire order
  uint64_t low = 0;
  constexpr bool operator==(const Ipv6Address&) const = default;
};

// ff00::/8
constexpr bool is_multicast(const Ipv6Address& address) { return (address.high & 0xff) == 0xff; }
// fe80::/10
constexpr bool is_link_local(const Ipv6Address& address) {
  return (address.high & 0xc0ff) == be16::from_host(0xfe80).raw;
}

template <Family F>
struct AddressTraits;
template <>
struct AddressTraits<Family::kIpv4> {
  using Type = be32;
};
template <>
struct AddressTraits<Family::kIpv6> {
  using Type = Ipv6Address;
};
template <Family F>
using AddressOf = typename AddressTraits<F>::Type;

struct Address {
  // Wire order. IPv4 uses the first four bytes, the others stay zero.
  std::array<uint8_t, 16> bytes{};
  Family family = Family::kNone;

  static Address from(be32 v4);
  static Address from(Ipv6Address v6);
  // nullopt unless the whole text is one address.
  static std::optional<Address> parse(std::string_view text);

  be32 v4() const { return be32{load_unaligned<uint32_t>(bytes.data())}; }
  Ipv6Address v6() const {
    return {load_unaligned<uint64_t>(bytes.data()), load_unaligned<uint64_t>(bytes.data() + 8)};
  }
  template <Family F>
  AddressOf<F> as() const {
    if constexpr (F == Family::kIpv4) return v4();
    if constexpr (F == Family::kIpv6) return v6();
  }
  std::string text() const;
  // Neither unspecified, multicast, nor the limited broadcast address: may name a host.
  bool is_unicast() const;
  bool is_unspecified() const;
  // LVS's fold(): IPv4 as a number read big-endian; IPv6 the XOR of its four words read so (semantics of dh, sh, mh).
  uint32_t fold() const { return fold(family); }
  // As an address of that family: of an IPv6 address IPv4 sees the first word.
  uint32_t fold(Family as) const;
  constexpr bool operator==(const Address&) const = default;
};

struct AddressHash {
  size_t operator()(const Address& address) const;
};

// An address with a prefix length, "10.0.1.1/24".
struct Prefix {
  Address address;  // as written, host bits kept
  uint8_t length = 0;

  static std::optional<Prefix> parse(std::string_view text);
  bool contains(const Address& other) const;
  std::string text() const;
  bool operator==(const Prefix&) const = default;
};

using MacAddress = std::array<uint8_t, 6>;
std::optional<MacAddress> parse_mac(std::string_view text);
std::string mac_text(const MacAddress& mac);

}  // namespace fulcrum
