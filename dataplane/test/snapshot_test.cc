// SPDX-License-Identifier: Apache-2.0
#include "service/snapshot.h"

#include <doctest/doctest.h>

#include <map>
#include <random>

#include "test/packet_builder.h"

using namespace fulcrum;
using fulcrum::test::Endpoint;

TEST_CASE("frozen map: empty, reserved and not, finds nothing") {
  FrozenMap<Address, int, AddressHash> map;
  CHECK(map.find(Endpoint("192.0.2.1").address) == nullptr);
  map.reserve(0);
  CHECK(map.find(Endpoint("192.0.2.1").address) == nullptr);
  CHECK(map.size() == 0);
}

TEST_CASE("frozen map: what was put in is found, nothing else, however full") {
  auto random = [engine = std::mt19937(5)]() mutable { return static_cast<uint32_t>(engine()); };
  for (const size_t entries : {1u, 4u, 5u, 8u, 100u, 5000u}) {
    FrozenMap<ServerKey, uint32_t, ServerKeyHash> map;
    std::map<std::pair<uint32_t, uint16_t>, uint32_t> model;
    map.reserve(entries);
    const auto key = [](uint32_t address, uint16_t port) {
      return ServerKey{Address::from(be32::from_host(address)), port};
    };
    // Addresses and ports in rows, as configurations have them.
    while (model.size() < entries) {
      const uint32_t address = 0x0a000000 + random() % 4096;
      const auto port = static_cast<uint16_t>(80 + random() % 16);
      const uint32_t value = random();
      model[{address, port}] = value;
      map.at(key(address, port)) = value;
    }
    CHECK(map.size() == entries);
    for (const auto& [name, value] : model) {
      const uint32_t* found = map.find(key(name.first, name.second));
      REQUIRE(found != nullptr);
      CHECK(*found == value);
    }
    for (int i = 0; i < 2000; ++i) {
      const uint32_t address = 0x0a000000 + random() % 8192;
      const auto port = static_cast<uint16_t>(80 + random() % 16);
      CHECK((map.find(key(address, port)) != nullptr) == (model.count({address, port}) == 1));
    }
  }
}

TEST_CASE("frozen map: keys that differ in one part only") {
  const ServiceKey base{Endpoint("192.0.2.1").address, IpProtocol::kTcp, 80, 0};
  std::vector<ServiceKey> keys(6, base);
  keys[1].address = Endpoint("192.0.2.2").address;
  keys[2].protocol = IpProtocol::kUdp;
  keys[3].port = 81;
  keys[4].fwmark = 7;
  keys[5].address = Endpoint("2001:db8::1").address;
  FrozenMap<ServiceKey, size_t, ServiceKeyHash> map;
  map.reserve(keys.size());
  for (size_t i = 0; i < keys.size(); ++i) map.at(keys[i]) = i;
  for (size_t i = 0; i < keys.size(); ++i) CHECK(*map.find(keys[i]) == i);
}

TEST_CASE("frozen map: collisions of the hash itself are told apart") {
  struct Worst {
    size_t operator()(int) const { return 42; }
  };
  FrozenMap<int, int, Worst> map;
  map.reserve(50);
  for (int i = 0; i < 50; ++i) map.at(i) = i * i;
  for (int i = 0; i < 50; ++i) CHECK(*map.find(i) == i * i);
  CHECK(map.find(50) == nullptr);
}

TEST_CASE("timeout table: TCP and SCTP by state, UDP whatever the state") {
  Timeouts seconds;
  seconds.of(TcpState::kEstablished) = 100;
  seconds.of(SctpState::kInit) = 7;
  seconds.udp = 30;
  const TimeoutTable ticks(seconds);
  CHECK(ticks.of(TimeoutTable::kTcp, static_cast<uint8_t>(TcpState::kEstablished)) == 10'000);
  CHECK(ticks.of(TimeoutTable::kTcp, static_cast<uint8_t>(TcpState::kFinWait)) == 12'000);
  CHECK(ticks.of(TimeoutTable::kSctp, static_cast<uint8_t>(SctpState::kInit)) == 700);
  CHECK(ticks.of(TimeoutTable::kUdp, 0) == 3'000);
  CHECK(ticks.of(TimeoutTable::kUdp, static_cast<uint8_t>(TcpState::kEstablished)) == 3'000);
}

TEST_CASE("local address: who answers ARP") {
  struct Row {
    bool is_vip, is_own, active;
    Announce announce;
    bool answers;
  };
  const Row rows[] = {{true, false, true, Announce::kArp, true},    {true, false, false, Announce::kArp, false},
                      {true, false, true, Announce::kRoute, false}, {true, false, true, Announce::kNone, false},
                      {false, true, true, Announce::kArp, true},    {true, true, false, Announce::kNone, true},
                      {false, false, true, Announce::kArp, false}};
  for (const Row& row : rows) {
    const LocalAddress address{row.is_vip, row.is_own, row.active, row.announce, kNoInterface};
    CHECK(address.answers_arp() == row.answers);
  }
}
