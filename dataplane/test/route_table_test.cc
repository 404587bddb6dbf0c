// SPDX-License-Identifier: Apache-2.0
// Routes in place of routes, in both families: default routes, halves, room, next hops that are used again.
#include "forward/route_table.h"

#include <doctest/doctest.h>

#include "test/test_engine.h"

using namespace fulcrum;
using namespace fulcrum::test;

namespace {

Prefix prefix(const std::string& text) { return Prefix::parse(text).value(); }
Route by(InterfaceId interface, const char* gateway = nullptr) {
  return {interface, gateway == nullptr ? Address{} : Address::parse(gateway).value()};
}

// One for all tests: it is large. Each leaves it empty.
class Table {
 public:
  Table() {
    static RouteTable* made = [] {
      test_engine();
      auto* table = new RouteTable;
      if (!table->create(0)) throw std::runtime_error("no memory for routes");
      return table;
    }();
    table_ = made;
  }
  ~Table() {
    for (const Prefix& destination : set_) table_->set(destination, std::nullopt);
    CHECK(table_->size() == 0);
    CHECK(way_to("8.8.8.8") == "none");
    CHECK(way_to("2001:db8::1") == "none");
  }
  bool set(const char* destination, const Route& route) {
    set_.push_back(prefix(destination));
    return table_->set(set_.back(), route);
  }
  void remove(const char* destination) { CHECK(table_->set(prefix(destination), std::nullopt)); }
  std::string way_to(const char* text) const {
    const Address to = Address::parse(text).value();
    const Route* route = to.family == Family::kIpv4 ? table_->find(to.v4()) : table_->find(to.v6());
    if (route == nullptr) return "none";
    return std::to_string(route->interface) +
           (route->gateway.family == Family::kNone ? "" : " via " + route->gateway.text());
  }
  RouteTable& table() { return *table_; }

 private:
  RouteTable* table_;
  std::vector<Prefix> set_;
};

}  // namespace

TEST_CASE("route table: the longest prefix, put in and taken out") {
  Table table;
  CHECK(table.set("10.0.0.0/8", by(1)));
  CHECK(table.set("10.1.2.3/16", by(2, "10.0.0.9")));  // host bits do not count
  CHECK(table.set("10.1.2.128/25", by(3)));
  CHECK(table.set("2001:db8::/32", by(4)));
  CHECK(table.set("2001:db8:1::/48", by(5, "fe80::9")));
  CHECK(table.way_to("10.1.2.200") == "3");
  CHECK(table.way_to("10.1.2.1") == "2 via 10.0.0.9");
  CHECK(table.way_to("10.2.0.1") == "1");
  CHECK(table.way_to("2001:db8:1::1") == "5 via fe80::9");
  table.remove("10.1.2.128/25");
  CHECK(table.way_to("10.1.2.200") == "2 via 10.0.0.9");
  table.remove("10.1.0.0/16");
  CHECK(table.way_to("10.1.2.200") == "1");
  table.remove("2001:db8:1::/48");
  CHECK(table.way_to("2001:db8:1::1") == "4");
  // In place of another.
  CHECK(table.set("10.0.0.0/8", by(7)));
  CHECK(table.way_to("10.1.2.200") == "7");
  table.remove("192.0.2.0/24");  // which was never there
}

TEST_CASE("route table: a default route and routes to its halves do not get in each other's way") {
  Table table;
  for (const auto& [whole, low, high, in_low, in_high] :
       {std::tuple("0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "8.8.8.8", "192.0.2.1"),
        std::tuple("::/0", "::/1", "8000::/1", "2001:db8::1", "fd00::1")}) {
    CHECK(table.set(whole, by(1)));
    CHECK(table.way_to(in_low) == "1");
    CHECK(table.way_to(in_high) == "1");
    CHECK(table.set(low, by(2)));
    CHECK(table.way_to(in_low) == "2");
    CHECK(table.way_to(in_high) == "1");
    CHECK(table.set(whole, by(3)));
    CHECK(table.way_to(in_low) == "2");
    CHECK(table.way_to(in_high) == "3");
    table.remove(low);
    CHECK(table.way_to(in_low) == "3");
    CHECK(table.set(high, by(4)));
    table.remove(whole);
    CHECK(table.way_to(in_low) == "none");
    CHECK(table.way_to(in_high) == "4");
  }
}

TEST_CASE("route table: what it has no room for is refused, harms nobody, and finds room later") {
  Table table;
  // Every /24 that has a longer prefix in it takes one of the second level's tables.
  const auto nth = [](uint32_t n) {
    return "10." + std::to_string(n >> 8) + "." + std::to_string(n & 0xff) + ".128/25";
  };
  CHECK(table.set("10.0.0.0/8", by(1)));
  uint32_t count = 0;
  while (count <= RouteTable::kSecondLevelTables && table.set(nth(count).c_str(), by(2))) ++count;
  CHECK(count == RouteTable::kSecondLevelTables);
  CHECK(table.way_to("10.16.0.129") == "1");  // the one that was refused
  CHECK(table.way_to("10.15.255.129") == "2");
  CHECK(table.table().size() == count + 1);
  table.remove("10.3.4.128/25");
  CHECK(table.set(nth(count).c_str(), by(2)));
  CHECK(table.way_to("10.16.0.129") == "2");
  CHECK(table.way_to("10.3.4.129") == "1");
}

TEST_CASE("route table: next hops are used again when no route has them") {
  Table table;
  for (uint32_t round = 0; round < 2 * RouteTable::kNextHops; ++round) {
    const std::string gateway = "10.0." + std::to_string(round >> 8 & 0xff) + "." + std::to_string(round & 0xff);
    if (!table.table().set(prefix("192.0.2.0/24"), by(static_cast<InterfaceId>(round), gateway.c_str()))) {
      CAPTURE(round);
      CHECK(false);
      break;
    }
  }
  table.remove("192.0.2.0/24");
  // As many at once as there are.
  uint32_t count = 0;
  const auto nth = [](uint32_t n) {
    return prefix("172.16." + std::to_string(n >> 8) + "." + std::to_string(n & 0xff) + "/32");
  };
  while (count < RouteTable::kNextHops && table.table().set(nth(count), by(static_cast<InterfaceId>(count)))) ++count;
  CHECK(count == RouteTable::kNextHops);
  CHECK_FALSE(table.table().set(nth(count), by(0xfff0)));
  CHECK(table.way_to("172.16.64.0") == "none");
  table.table().set(nth(0), std::nullopt);
  CHECK(table.table().set(nth(count), by(0xfff0)));
  CHECK(table.way_to("172.16.64.0") == "65520");
  table.table().set(nth(count), std::nullopt);
  for (uint32_t n = 0; n < count; ++n) table.table().set(nth(n), std::nullopt);
}
