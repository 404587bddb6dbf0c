// SPDX-License-Identifier: Apache-2.0
#include "net/address.h"

#include <arpa/inet.h>

#include <charconv>
#include <cstdio>

namespace fulcrum {

Address Address::from(be32 v4) {
  Address address;
  address.family = Family::kIpv4;
  store_unaligned(address.bytes.data(), v4.raw);
  return address;
}

Address Address::from(Ipv6Address v6) {
  Address address;
  address.family = Family::kIpv6;
  store_unaligned(address.bytes.data(), v6.high);
  store_unaligned(address.bytes.data() + 8, v6.low);
  return address;
}

std::optional<Address> Address::parse(std::string_view text) {
  char buffer[INET6_ADDRSTRLEN];
  if (text.size() >= sizeof buffer || text.find('\0') != text.npos) return std::nullopt;
  text.copy(buffer, text.size());
  buffer[text.size()] = '\0';
  Address address;
  if (inet_pton(AF_INET, buffer, address.bytes.data()) == 1) {
    address.family = Family::kIpv4;
    return address;
  }
  if (inet_pton(AF_INET6, buffer, address.bytes.data()) == 1) {
    address.family = Family::kIpv6;
    return address;
  }
  return std::nullopt;
}

std::string Address::text() const {
  if (family == Family::kNone) return "";
  char buffer[INET6_ADDRSTRLEN];
  inet_ntop(family == Family::kIpv4 ? AF_INET : AF_INET6, bytes.data(), buffer, sizeof buffer);
  return buffer;
}

bool Address::is_unspecified() const { return bytes == std::array<uint8_t, 16>{}; }

bool Address::is_unicast() const {
  if (family == Family::kNone || is_unspecified()) return false;
  if (family == Family::kIpv6) return bytes[0] != 0xff;
  // 224/4 is multicast (RFC 5771); 240/4 is reserved (RFC 1112) and its last address is the limited broadcast.
  return bytes[0] != 0 && bytes[0] < 224;
}

uint32_t Address::fold(Family as) const {
  if (as == Family::kIpv4) return v4().host();
  uint32_t folded = 0;
  for (int word = 0; word < 4; ++word) folded ^= load_unaligned<uint32_t>(bytes.data() + 4 * word);
  return swap_bytes(folded);
}

size_t AddressHash::operator()(const Address& address) const {
  const Ipv6Address value = address.v6();
  return (value.high ^ (value.low * 0x9E3779B97F4A7C15u) ^ static_cast<uint64_t>(address.family)) * 0xD6E8FEB86659FD93u;
}

std::optional<Prefix> Prefix::parse(std::string_view text) {
  const size_t slash = text.find('/');
  const auto address = Address::parse(text.substr(0, slash));
  if (!address) return std::nullopt;
  const unsigned most = address->family == Family::kIpv4 ? 32 : 128;
  unsigned length = most;
  if (slash != std::string_view::npos) {
    const std::string_view digits = text.substr(slash + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
    if (error != std::errc{} || end != digits.data() + digits.size() || length > most) return std::nullopt;
  }
  return Prefix{*address, static_cast<uint8_t>(length)};
}

bool Prefix::contains(const Address& other) const {
  if (other.family != address.family) return false;
  const unsigned whole = length / 8, rest = length % 8;
  for (unsigned i = 0; i < whole; ++i)
    if (address.bytes[i] != other.bytes[i]) return false;
  return rest == 0 || ((address.bytes[whole] ^ other.bytes[whole]) & (0xff00 >> rest) & 0xff) == 0;
}

std::string Prefix::text() const { return address.text() + "/" + std::to_string(length); }

std::optional<MacAddress> parse_mac(std::string_view text) {
  MacAddress mac{};
  if (text.size() != 17) return std::nullopt;
  for (unsigned i = 0; i < 6; ++i) {
    const char* digits = text.data() + 3 * i;
    const auto [end, error] = std::from_chars(digits, digits + 2, mac[i], 16);
    if (error != std::errc{} || end != digits + 2 || (i < 5 && digits[2] != ':')) return std::nullopt;
  }
  return mac;
}

std::string mac_text(const MacAddress& mac) {
  char buffer[18];
  std::snprintf(buffer, sizeof buffer, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
  return buffer;
}

}  // namespace fulcrum
