// SPDX-License-Identifier: Apache-2.0
#include "service/prefix_list.h"

#include <doctest/doctest.h>

#include <random>

#include "service/traffic.h"
#include "test/packet_builder.h"

using namespace fulcrum;
using namespace fulcrum::test;

namespace {

Address at(const char* text) { return Address::parse(text).value(); }

std::vector<Prefix> prefixes(const std::vector<std::string>& texts) {
  std::vector<Prefix> made;
  for (const std::string& text : texts) made.push_back(Prefix::parse(text).value());
  return made;
}
PrefixList list(const std::vector<std::string>& texts) { return PrefixList(prefixes(texts)); }

// By its words: the longest of all that the address is in.
unsigned slow_match(const std::vector<Prefix>& all, const Address& address) {
  unsigned longest = 0;
  for (const Prefix& prefix : all)
    if (prefix.contains(address)) longest = std::max<unsigned>(longest, prefix.length + 1u);
  return longest;
}

Address moved(Address address, unsigned bytes, int by) {
  for (unsigned i = bytes; i-- > 0;) {
    const int sum = address.bytes[i] + by;
    address.bytes[i] = static_cast<uint8_t>(sum);
    if (sum >= 0 && sum <= 255) break;
  }
  return address;
}

// Prefixes in prefixes, as chance has them: few distinct beginnings, so that they nest and touch.
std::vector<Prefix> random_prefixes(std::mt19937& random, Family family, size_t count) {
  const unsigned bytes = family == Family::kIpv4 ? 4 : 16;
  std::vector<Prefix> made(count);
  for (Prefix& prefix : made) {
    prefix.address.family = family;
    for (unsigned i = 0; i < bytes; ++i)
      prefix.address.bytes[i] = static_cast<uint8_t>(random() % 4 == 0 ? random() % 256 : random() % 2 * 255);
    prefix.length = static_cast<uint8_t>(random() % (bytes * 8 + 1));
  }
  return made;
}

}  // namespace

TEST_CASE("prefix list: the longest match, at the edges of each prefix") {
  const PrefixList some = list({"10.0.0.0/8", "10.1.0.0/16", "10.1.255.0/24", "10.1.255.255/32", "2001:db8::/32",
                                "2001:db8:ffff::/48", "255.255.255.255/32", "0.0.0.0/32"});
  CHECK(some.match(at("9.255.255.255")) == 0);
  CHECK(some.match(at("10.0.0.0")) == 9);
  CHECK(some.match(at("10.0.255.255")) == 9);
  CHECK(some.match(at("10.1.0.0")) == 17);
  CHECK(some.match(at("10.1.254.255")) == 17);
  CHECK(some.match(at("10.1.255.0")) == 25);
  CHECK(some.match(at("10.1.255.254")) == 25);
  CHECK(some.match(at("10.1.255.255")) == 33);
  CHECK(some.match(at("10.2.0.0")) == 9);
  CHECK(some.match(at("10.255.255.255")) == 9);
  CHECK(some.match(at("11.0.0.0")) == 0);
  CHECK(some.match(at("0.0.0.0")) == 33);
  CHECK(some.match(at("0.0.0.1")) == 0);
  CHECK(some.match(at("255.255.255.254")) == 0);
  CHECK(some.match(at("255.255.255.255")) == 33);
  CHECK(some.match(at("2001:db7:ffff:ffff:ffff:ffff:ffff:ffff")) == 0);
  CHECK(some.match(at("2001:db8::")) == 33);
  CHECK(some.match(at("2001:db8:ffff::1")) == 49);
  CHECK(some.match(at("2001:db9::")) == 0);
}

TEST_CASE("prefix list: everything, and nothing") {
  const PrefixList all = list({"0.0.0.0/0", "::/0"});
  CHECK(all.match(at("0.0.0.0")) == 1);
  CHECK(all.match(at("255.255.255.255")) == 1);
  CHECK(all.match(at("::")) == 1);
  CHECK(all.match(at("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")) == 1);
  const PrefixList nothing = list({});
  CHECK(nothing.match(at("10.0.0.1")) == 0);
  CHECK(nothing.match(at("255.255.255.255")) == 0);
  CHECK(nothing.match(at("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")) == 0);
}

TEST_CASE("prefix list: as a search through all prefixes finds it") {
  std::mt19937 random(1);
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    const unsigned bytes = family == Family::kIpv4 ? 4 : 16;
    for (const size_t count : {1, 2, 7, 16, 17, 100, 700}) {
      const std::vector<Prefix> all = random_prefixes(random, family, count);
      const PrefixList compiled(all);
      std::vector<Address> asked;
      for (const Prefix& prefix : all)
        for (const int by : {-1, 0, 1}) asked.push_back(moved(prefix.address, bytes, by));
      for (const Prefix& any : random_prefixes(random, family, 200)) asked.push_back(any.address);
      for (const Address& address : asked) {
        INFO(address.text());
        CHECK(compiled.match(address) == slow_match(all, address));
      }
    }
  }
}

TEST_CASE("prefix list: equal are those with the same prefixes, in whatever order and however often") {
  CHECK(list({"10.0.0.0/8", "10.1.0.0/16"}) == list({"10.1.0.0/16", "10.0.0.0/8", "10.1.2.3/16"}));
  CHECK_FALSE(list({"10.0.0.0/8"}) == list({"10.0.0.0/9"}));
  CHECK_FALSE(list({"::/0"}) == list({"0.0.0.0/0"}));
}

TEST_CASE("prefix list: ten prefixes are a few hundred bytes, a hundred thousand a few megabytes") {
  std::mt19937 random(1);
  std::vector<Prefix> v4(100'000), v6(100'000);
  for (size_t i = 0; i < v4.size(); ++i) {
    for (unsigned byte = 0; byte < 4; ++byte) v4[i].address.bytes[byte] = static_cast<uint8_t>(random());
    for (unsigned byte = 0; byte < 6; ++byte) v6[i].address.bytes[byte] = static_cast<uint8_t>(random());
    v4[i].address.family = Family::kIpv4;
    v6[i].address.family = Family::kIpv6;
    v4[i].length = 24;
    v6[i].length = 48;
  }
  CHECK(PrefixList(std::vector<Prefix>(v4.begin(), v4.begin() + 10)).bytes() < 512);
  CHECK(PrefixList(v4).bytes() < 1'200'000);
  CHECK(PrefixList(v6).bytes() < 4'800'000);
}

TEST_CASE("prefix lists: a slot keeps its name, and is used again when that is gone") {
  PrefixLists lists;
  const auto some = std::make_shared<const PrefixList>(prefixes({"10.0.0.0/8"}));
  lists.set("a", some);
  lists.set("b", some);
  const PrefixListSlot of_b = lists.slots.at("b");
  CHECK(lists.erase("a"));
  CHECK_FALSE(lists.erase("a"));
  lists.set("c", some);
  CHECK(lists.by_slot.size() == 2);
  lists.set("b", std::make_shared<const PrefixList>(prefixes({"11.0.0.0/8"})));
  CHECK(lists.slots.at("b") == of_b);
  CHECK(lists.find("b")->match(at("11.0.0.1")) == 9);
  CHECK(lists.find("a") == nullptr);
}

TEST_CASE("client filter: the longest prefix of both sides decides; of equal ones the denial") {
  PrefixLists named;
  named.set("office", std::make_shared<const PrefixList>(prefixes({"198.51.100.0/24", "2001:db8:aa::/48"})));
  named.set("bad", std::make_shared<const PrefixList>(prefixes({"198.51.100.128/25", "203.0.113.0/24"})));
  const auto own = [](const std::vector<std::string>& texts) {
    return std::make_shared<const PrefixList>(prefixes(texts));
  };
  const ClientFilter filter({{named.slots.at("office")}, own({"198.51.100.200/32", "203.0.113.0/24"})},
                            {{named.slots.at("bad")}, nullptr});
  const auto takes = [&](const char* client) { return filter.takes(named, at(client)); };
  CHECK(takes("198.51.100.1"));
  CHECK_FALSE(takes("198.51.100.129"));
  CHECK(takes("198.51.100.200"));
  CHECK_FALSE(takes("203.0.113.9"));
  CHECK_FALSE(takes("192.0.2.9"));
  CHECK(takes("2001:db8:aa::1"));
  CHECK_FALSE(takes("2001:db8:ab::1"));

  const ClientFilter denies_only({}, {{named.slots.at("bad")}, nullptr});
  CHECK(denies_only.takes(named, at("192.0.2.9")));
  CHECK_FALSE(denies_only.takes(named, at("203.0.113.9")));
  CHECK(ClientFilter().takes(named, at("192.0.2.9")));
}

TEST_CASE("connection rate: a burst, then so many a second") {
  const ConnectionRate rate(10, 3);
  uint64_t now = 1'000'000;
  for (int i = 0; i < 3; ++i) CHECK(rate.take(now));
  CHECK_FALSE(rate.take(now));
  CHECK_FALSE(rate.take(now + 99));
  CHECK(rate.take(now + 100));
  CHECK_FALSE(rate.take(now + 100));
  // A worker whose clock is behind finds no more than there is.
  CHECK_FALSE(rate.take(now + 50));
  // However long it was quiet, it is a burst and no more.
  now += 3'600'000;
  for (int i = 0; i < 3; ++i) CHECK(rate.take(now));
  CHECK_FALSE(rate.take(now));

  int taken = 0;
  const ConnectionRate steady(1000, 0);
  for (uint64_t ms = 0; ms < 10'000; ++ms)
    for (int i = 0; i < 5; ++i) taken += steady.take(ms) ? 1 : 0;
  CHECK(taken >= 10'000);
  CHECK(taken <= 11'000);
  const ConnectionRate fast(ConnectionRate::kMostPerSecond, 1);
  constexpr uint64_t kYears = uint64_t{25} * 365 * 86'400'000;
  CHECK(fast.take(kYears));
  CHECK_FALSE(fast.take(kYears));
  CHECK(fast.take(kYears + 1));
}
