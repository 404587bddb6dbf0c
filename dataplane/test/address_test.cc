// SPDX-License-Identifier: Apache-2.0
#include "net/address.h"

#include <doctest/doctest.h>

#include <unordered_set>

#include "net/flow_key.h"

using namespace fulcrum;

namespace {

Address address(std::string_view text) {
  const auto parsed = Address::parse(text);
  REQUIRE_MESSAGE(parsed.has_value(), text);
  return *parsed;
}

}  // namespace

TEST_CASE("byte order: wire and host values") {
  const be16 port = be16::from_host(0x1234);
  CHECK(reinterpret_cast<const uint8_t*>(&port)[0] == 0x12);
  CHECK(port.host() == 0x1234);
  CHECK(be32::from_host(0x01020304).raw == 0x04030201);
  CHECK(be64::from_host(0x0102030405060708).host() == 0x0102030405060708);
}

TEST_CASE("address: text there and back") {
  for (const char* text : {"0.0.0.0", "192.0.2.1", "255.255.255.255", "::", "::1", "2001:db8::1", "fe80::1:2:3:4"})
    CHECK(address(text).text() == text);
  CHECK(address("2001:DB8:0:0:0:0:0:1").text() == "2001:db8::1");
  CHECK(Address{}.text() == "");
}

TEST_CASE("address: what is not exactly one address is refused") {
  for (const std::string_view text :
       {std::string_view(""), std::string_view("1.2.3"), std::string_view("1.2.3.4.5"), std::string_view("1.2.3.256"),
        std::string_view("1.2.3.4 "), std::string_view(" 1.2.3.4"), std::string_view("1.2.3.4/32"),
        std::string_view("2001:db8::1::2"), std::string_view("fe80::1%eth0"), std::string_view("localhost"),
        std::string_view("1.2.3.4\0", 8), std::string_view("1.2.3.4\0x", 9),
        std::string_view("0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000")})
    CHECK_FALSE_MESSAGE(Address::parse(text).has_value(), text);
}

TEST_CASE("address: family and wire value") {
  const Address v4 = address("192.0.2.1");
  CHECK(v4.family == Family::kIpv4);
  CHECK(v4.v4().host() == 0xc0000201);
  CHECK(v4.as<Family::kIpv4>() == v4.v4());
  CHECK(Address::from(v4.v4()) == v4);
  const Address v6 = address("2001:db8::1");
  CHECK(v6.family == Family::kIpv6);
  CHECK(swap_bytes(v6.v6().high) == 0x20010db800000000);
  CHECK(swap_bytes(v6.v6().low) == 1);
  CHECK(Address::from(v6.v6()) == v6);
  CHECK(address("0.0.0.0") != address("::"));
}

TEST_CASE("address: which may name a host") {
  for (const char* text : {"192.0.2.1", "10.0.2.11", "127.0.0.1", "223.255.255.255", "2001:db8::1", "fe80::1"})
    CHECK_MESSAGE(address(text).is_unicast(), text);
  for (const char* text : {"0.0.0.0", "224.0.0.1", "239.255.255.255", "255.255.255.255", "::", "ff02::1"})
    CHECK_FALSE_MESSAGE(address(text).is_unicast(), text);
  CHECK_FALSE(Address{}.is_unicast());
  CHECK(address("0.0.0.0").is_unspecified());
  CHECK(address("::").is_unspecified());
  CHECK_FALSE(address("::1").is_unspecified());
}

TEST_CASE("address: fold is the number of an IPv4 address, the XOR of an IPv6 address's words") {
  CHECK(address("192.0.2.1").fold() == 0xc0000201);
  CHECK(address("2001:db8:1:2:3:4:5:6").fold() == (0x20010db8u ^ 0x00010002u ^ 0x00030004u ^ 0x00050006u));
}

TEST_CASE("address: hashes differ between neighbours") {
  std::unordered_set<size_t> hashes;
  for (uint32_t host = 0; host < 4096; ++host)
    hashes.insert(AddressHash{}(Address::from(be32::from_host(0x0a000000 + host))));
  CHECK(hashes.size() == 4096);
}

TEST_CASE("prefix: text there and back, host bits kept") {
  CHECK(Prefix::parse("10.0.1.1/24")->text() == "10.0.1.1/24");
  CHECK(Prefix::parse("10.0.1.1")->text() == "10.0.1.1/32");
  CHECK(Prefix::parse("2001:db8::1")->length == 128);
  CHECK(Prefix::parse("0.0.0.0/0")->length == 0);
  for (const char* text : {"10.0.1.1/33", "::/129", "10.0.1.1/", "10.0.1.1/-1", "10.0.1.1/8x", "10.0.1.1/ 8", "/8",
                           "10.0.1/8", "10.0.1.1/4294967304"})
    CHECK_FALSE_MESSAGE(Prefix::parse(text).has_value(), text);
}

TEST_CASE("prefix: contains") {
  const struct {
    const char* prefix;
    const char* inside;
    const char* outside;
  } rows[] = {
      {"10.0.1.1/24", "10.0.1.255", "10.0.2.0"},
      {"10.0.0.0/9", "10.127.255.255", "10.128.0.0"},
      {"192.0.2.8/31", "192.0.2.9", "192.0.2.10"},
      {"192.0.2.8/32", "192.0.2.8", "192.0.2.9"},
      {"0.0.0.0/0", "255.1.2.3", "::1"},
      {"2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::"},
      {"2001:db8::5/128", "2001:db8::5", "2001:db8::4"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.prefix);
    CHECK(Prefix::parse(row.prefix)->contains(address(row.inside)));
    CHECK_FALSE(Prefix::parse(row.prefix)->contains(address(row.outside)));
  }
}

TEST_CASE("mac: text there and back") {
  CHECK(mac_text(*parse_mac("02:00:00:00:01:fe")) == "02:00:00:00:01:fe");
  CHECK(mac_text(*parse_mac("AA:bb:CC:dd:EE:ff")) == "aa:bb:cc:dd:ee:ff");
  for (const char* text : {"", "02:00:00:00:01", "02:00:00:00:01:fe:00", "02-00-00-00-01-fe", "02:00:00:00:01:fg",
                           "2:00:00:00:001:fe", "02:00:00:00:01:f ", "02:00:00:00:01:f:"})
    CHECK_FALSE_MESSAGE(parse_mac(text).has_value(), text);
}

TEST_CASE("flow key: reversed twice is itself") {
  const Tuple<Family::kIpv4> there = {be32{1}, be32{2}, be16{3}, be16{4}};
  CHECK(there.reversed() == Tuple<Family::kIpv4>{be32{2}, be32{1}, be16{4}, be16{3}});
  CHECK(there.reversed().reversed() == there);
}
