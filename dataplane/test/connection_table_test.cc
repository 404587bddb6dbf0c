// SPDX-License-Identifier: Apache-2.0
#include "conn/connection_table.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <random>

using namespace fulcrum;

namespace {

struct V4 {
  static constexpr Family kFamily = Family::kIpv4;
  static be32 address(uint32_t number) { return be32::from_host(0x0a000000 + number); }
};
struct V6 {
  static constexpr Family kFamily = Family::kIpv6;
  static Ipv6Address address(uint32_t number) { return {0x20010db800000000, uint64_t{number} << 32}; }
};

// A table of its own, and connections named by small numbers.
template <typename V>
struct Fixture {
  using Table = ConnectionTable<V::kFamily>;
  using Tuple = fulcrum::Tuple<V::kFamily>;
  using Key = FlowKey<V::kFamily>;

  explicit Fixture(uint32_t capacity, HashSecret secret = {0x9f3a1c55d2e4b687, 0x51c7e09b3d8a2f64}) {
    REQUIRE(arena.map("table-test", Table::bytes_for(capacity), false));
    REQUIRE(table.create(arena, capacity, secret));
  }

  static Tuple tuple(uint32_t source, uint16_t source_port, uint32_t destination, uint16_t destination_port) {
    return {V::address(source), V::address(destination), be16::from_host(source_port),
            be16::from_host(destination_port)};
  }
  static Tuple forward(uint16_t client, uint32_t vip = 1) { return tuple(1000 + client / 16, client, vip, 80); }
  // The server's packets to that client.
  static Tuple reply(uint16_t client, uint32_t server) { return tuple(server, 8080, 1000 + client / 16, client); }
  static Key key(const Tuple& of, IpProtocol protocol = IpProtocol::kTcp) { return {of, protocol}; }

  ConnectionIndex add(const Tuple& forward, const Tuple& reply, IpProtocol protocol = IpProtocol::kTcp) {
    const ConnectionIndex index = table.allocate();
    if (index == kNoConnection) return index;
    auto& entry = table.entry(index);
    entry.forward = forward;
    entry.reply = reply;
    entry.protocol = protocol;
    if (table.insert(index)) return index;
    table.release(index);
    return kNoConnection;
  }
  ConnectionIndex add_direct(uint16_t client, uint32_t vip = 1) {
    return add(forward(client, vip), forward(client, vip).reversed());
  }
  ConnectionIndex add_nat(uint16_t client, uint32_t server, uint32_t vip = 1) {
    return add(forward(client, vip), reply(client, server));
  }
  void remove(ConnectionIndex index) {
    table.remove(index);
    table.release(index);
  }
  // The index, or its complement where it was found by its reply tuple; -1: not found.
  int64_t find(const Tuple& of, IpProtocol protocol = IpProtocol::kTcp) const {
    const auto found = table.find(key(of, protocol));
    if (!found) return -1;
    CHECK(found.entry == &table.entry(found.index));
    return found.is_reply ? -2 - int64_t{found.index} : int64_t{found.index};
  }
  static int64_t as_reply(ConnectionIndex index) { return -2 - int64_t{index}; }

  Arena arena;
  Table table;
};

}  // namespace

TEST_CASE_TEMPLATE("connection table: a connection is found by both of its tuples, until it is removed", V, V4, V6) {
  Fixture<V> on(16);
  const auto direct = on.add_direct(1), nat = on.add_nat(2, 77);
  CHECK(on.find(on.forward(1)) == direct);
  CHECK(on.find(on.forward(1).reversed()) == on.as_reply(direct));
  CHECK(on.find(on.forward(2)) == nat);
  CHECK(on.find(on.reply(2, 77)) == on.as_reply(nat));
  CHECK(on.find(on.forward(2).reversed()) == -1);  // a NAT server does not answer as the VIP
  CHECK(on.find(on.reply(2, 78)) == -1);
  CHECK(on.find(on.forward(1), IpProtocol::kUdp) == -1);
  CHECK(on.table.size() == 2);

  on.remove(nat);
  CHECK(on.find(on.forward(2)) == -1);
  CHECK(on.find(on.reply(2, 77)) == -1);
  CHECK(on.find(on.forward(1)) == direct);
  on.remove(direct);
  CHECK(on.find(on.forward(1).reversed()) == -1);
  CHECK(on.table.size() == 0);
}

TEST_CASE_TEMPLATE("connection table: one client and port by TCP and by UDP", V, V4, V6) {
  Fixture<V> on(16);
  const auto tcp = on.add(on.forward(1), on.forward(1).reversed(), IpProtocol::kTcp);
  const auto udp = on.add(on.forward(1), on.forward(1).reversed(), IpProtocol::kUdp);
  CHECK(on.find(on.forward(1), IpProtocol::kTcp) == tcp);
  CHECK(on.find(on.forward(1), IpProtocol::kUdp) == udp);
  on.remove(tcp);
  CHECK(on.find(on.forward(1), IpProtocol::kTcp) == -1);
  CHECK(on.find(on.forward(1), IpProtocol::kUdp) == udp);
}

TEST_CASE_TEMPLATE("connection table: of equal reply tuples the newest is found, whatever the order of removal", V, V4,
                   V6) {
  // All orders in which three can be removed.
  std::vector<int> order = {0, 1, 2};
  do {
    Fixture<V> on(16);
    std::vector<ConnectionIndex> living;
    for (uint32_t vip = 1; vip <= 3; ++vip) living.push_back(on.add_nat(5, 77, vip));
    const std::vector<ConnectionIndex> all = living;
    for (const int victim : order) {
      CHECK(on.find(on.reply(5, 77)) == on.as_reply(living.back()));
      for (size_t i = 0; i < all.size(); ++i) {
        const bool lives = std::find(living.begin(), living.end(), all[i]) != living.end();
        CHECK(on.find(on.forward(5, static_cast<uint32_t>(i) + 1)) == (lives ? int64_t{all[i]} : -1));
      }
      on.remove(all[static_cast<size_t>(victim)]);
      std::erase(living, all[static_cast<size_t>(victim)]);
    }
    CHECK(on.find(on.reply(5, 77)) == -1);
    CHECK(on.add_nat(5, 77) != kNoConnection);
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_CASE_TEMPLATE("connection table: a full table takes nothing, and takes again what was given back", V, V4, V6) {
  constexpr uint16_t kCapacity = 100;
  Fixture<V> on(kCapacity);
  std::vector<ConnectionIndex> all;
  for (uint16_t client = 0; client < kCapacity; ++client) all.push_back(on.add_nat(client, 77));
  CHECK(std::count(all.begin(), all.end(), kNoConnection) == 0);
  CHECK(on.table.size() == kCapacity);
  CHECK(on.add_nat(kCapacity, 77) == kNoConnection);
  for (uint16_t client = 0; client < kCapacity; ++client) CHECK(on.find(on.forward(client)) == all[client]);
  on.remove(all[42]);
  CHECK(on.add_nat(kCapacity, 77) == all[42]);
  CHECK(on.find(on.reply(kCapacity, 77)) == on.as_reply(all[42]));
  CHECK(on.find(on.forward(42)) == -1);
  CHECK(on.add_nat(42, 77) == kNoConnection);
}

TEST_CASE_TEMPLATE("connection table: chains grow from a full bucket, and its index refuses when they are used up", V,
                   V4, V6) {
  // Equal tuples share a bucket.
  Fixture<V> on(2000);
  std::vector<ConnectionIndex> all;
  for (ConnectionIndex index; (index = on.add_direct(1)) != kNoConnection;) all.push_back(index);
  CHECK(all.size() > 3 * ConnectionBucket::kWays);
  CHECK(on.table.size() == all.size());
  CHECK(on.table.size() < on.table.capacity());
  const auto other = on.add_nat(2, 77);
  CHECK(on.find(on.forward(2)) == other);

  // A connection whose second index entry finds no room leaves nothing of its first.
  auto unlucky = on.add(on.forward(3), on.forward(1).reversed());
  CHECK(unlucky == kNoConnection);
  CHECK(on.find(on.forward(3)) == -1);

  // Emptied in another order, the chain buckets are free again.
  std::shuffle(all.begin(), all.end(), std::mt19937(7));
  for (const ConnectionIndex index : all) {
    CHECK(on.find(on.forward(1)) >= 0);
    on.remove(index);
  }
  CHECK(on.find(on.forward(1)) == -1);
  CHECK(on.find(on.forward(2)) == other);
  for (size_t i = 0; i < all.size(); ++i) CHECK(on.add_direct(9) != kNoConnection);
  CHECK(on.add_direct(9) == kNoConnection);
}

// One in sixty secrets is like these for a hash that is a product alone.
TEST_CASE("connection table: connections of one client, its ports in turn, find room with any secret") {
  constexpr be32 kClient = be32::from_host(0xc6336401), kVip = be32::from_host(0xcb00710a);
  constexpr be16 kPort = be16::from_host(9);
  for (const HashSecret secret :
       {HashSecret{0xcfddcc8b207c0a80, 0x133f745413b90c2d}, HashSecret{0x30fe1cd96de89a47, 0x18f57a04c0784839},
        HashSecret{0x3b62ab354edd8e3d, 0x02e9c4354ec8ea08}}) {
    Fixture<V4> on(65536, secret);
    uint32_t refused = 0;
    for (uint32_t flow = 0; flow < 50'000; ++flow) {
      const be16 port = be16::from_host(static_cast<uint16_t>(10'000 + flow));
      const be32 server = be32::from_host(0x0a00000b + flow % 3);
      refused += on.add({kClient, kVip, port, kPort}, {server, kClient, kPort, port}) == kNoConnection;
    }
    CHECK(refused == 0);
  }
}

TEST_CASE_TEMPLATE("connection table: random churn against a map", V, V4, V6) {
  using On = Fixture<V>;
  On on(300);
  auto random = [engine = std::mt19937(3)]() mutable { return static_cast<uint32_t>(engine()); };
  struct Known {
    ConnectionIndex index;
    bool is_nat;
    uint32_t server;
  };
  std::map<std::pair<uint16_t, uint32_t>, Known> model;  // by client and VIP
  std::map<std::pair<uint16_t, uint32_t>, std::deque<ConnectionIndex>>
      translated;  // by client and server, newest first
  const auto check_all = [&] {
    CHECK(on.table.size() == model.size());
    for (uint16_t client = 0; client < 60; ++client) {
      for (uint32_t vip = 1; vip <= 8; ++vip) {
        const auto known = model.find({client, vip});
        const bool lives = known != model.end();
        CHECK(on.find(On::forward(client, vip)) == (lives ? int64_t{known->second.index} : -1));
        const bool mirrored = lives && !known->second.is_nat;
        CHECK(on.find(On::forward(client, vip).reversed()) == (mirrored ? On::as_reply(known->second.index) : -1));
      }
      for (uint32_t server = 70; server < 73; ++server) {
        const auto& of = translated[{client, server}];
        CHECK(on.find(On::reply(client, server)) == (of.empty() ? -1 : On::as_reply(of.front())));
      }
    }
  };
  for (int step = 0; step < 20000; ++step) {
    const std::pair<uint16_t, uint32_t> name = {static_cast<uint16_t>(random() % 60), random() % 8 + 1};
    const auto known = model.find(name);
    if (known != model.end()) {
      on.remove(known->second.index);
      if (known->second.is_nat) std::erase(translated[{name.first, known->second.server}], known->second.index);
      model.erase(known);
    } else {
      const bool is_nat = random() % 3 != 0;
      const uint32_t server = 70 + random() % 3;
      const auto index = is_nat ? on.add_nat(name.first, server, name.second) : on.add_direct(name.first, name.second);
      if (index == kNoConnection) {
        CHECK(model.size() == 300);
        continue;
      }
      model[name] = {index, is_nat, server};
      if (is_nat) translated[{name.first, server}].push_front(index);
    }
    if (step % 500 == 0) check_all();
  }
  check_all();
}

TEST_CASE_TEMPLATE("connection table: the hash does not know direction, but protocol and secret", V, V4, V6) {
  Fixture<V> on(16);
  const auto key = on.key(on.forward(1));
  CHECK(on.table.hash(key) == on.table.hash(on.key(on.forward(1).reversed())));
  CHECK(on.table.hash(key) != on.table.hash(on.key(on.forward(1), IpProtocol::kUdp)));
  CHECK(on.table.hash(key) != on.table.hash(on.key(on.forward(2))));
  Arena arena;
  typename Fixture<V>::Table other;
  REQUIRE(arena.map("table-test", Fixture<V>::Table::bytes_for(16), false));
  REQUIRE(other.create(arena, 16, HashSecret{1, 2}));
  CHECK(other.hash(key) != on.table.hash(key));
}

TEST_CASE("connection table: an arena that is too small is noticed") {
  Arena arena;
  REQUIRE(arena.map("table-test", 1, false));  // one huge page's worth
  ConnectionTable<Family::kIpv4> table;
  CHECK_FALSE(table.create(arena, 1'000'000, HashSecret{1, 2}));
}
