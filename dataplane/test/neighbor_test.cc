// SPDX-License-Identifier: Apache-2.0
#include "forward/neighbor.h"

#include <rte_mempool.h>

#include "test/story.h"

using namespace fulcrum;
using namespace fulcrum::test;

namespace {

using Park = NeighborCache::Park;

NeighborKey key(unsigned last_byte, InterfaceId interface = 1) {
  return {Endpoint("10.0.2." + std::to_string(last_byte)).address, 0, interface};
}

struct Fixture {
  explicit Fixture(uint32_t capacity = 64) { REQUIRE(cache.create("neighbor_test", capacity, 0)); }
  rte_mbuf* packet() { return story.make_packet({1, 2, 3}); }
  std::vector<rte_mbuf*> release(const NeighborKey& of) {
    std::vector<rte_mbuf*> packets;
    cache.release(of, [&](rte_mbuf* one, uint8_t verdict) {
      CHECK(verdict == 7);
      packets.push_back(one);
      rte_pktmbuf_free(one);
    });
    return packets;
  }
  Story story;
  NeighborCache cache;
};

}  // namespace

TEST_CASE("neighbour cache: bound, found, bound anew, unbound") {
  Fixture on;
  CHECK(on.cache.find(key(11)) == kNoAdjacency);
  CHECK_FALSE(on.cache.knows(key(11)));
  on.cache.bind(key(11), 5);
  CHECK(on.cache.find(key(11)) == 5);
  CHECK(on.cache.knows(key(11)));
  CHECK(on.cache.find(key(11, 2)) == kNoAdjacency);  // the same address on another link is another neighbour
  on.cache.bind(key(11), 6);
  CHECK(on.cache.find(key(11)) == 6);
  on.cache.unbind(key(11));
  CHECK_FALSE(on.cache.knows(key(11)));
  on.cache.unbind(key(11));
}

TEST_CASE("neighbour cache: parked packets leave in order of arrival, each neighbour's alone") {
  Fixture on;
  std::vector<rte_mbuf*> first, second;
  for (int i = 0; i < 5; ++i) {
    first.push_back(on.packet());
    second.push_back(on.packet());
    CHECK(on.cache.park(key(11), first.back(), 7) == (i == 0 ? Park::kParkedAndAsk : Park::kParked));
    CHECK(on.cache.park(key(12), second.back(), 7) == (i == 0 ? Park::kParkedAndAsk : Park::kParked));
  }
  CHECK(on.cache.parked() == 10);
  CHECK(on.cache.knows(key(11)));
  CHECK(on.release(key(12)) == second);
  CHECK(on.cache.parked() == 5);
  CHECK_FALSE(on.cache.knows(key(12)));
  CHECK(on.release(key(11)) == first);
  CHECK(on.release(key(11)).empty());
  CHECK(on.cache.parked() == 0);
}

TEST_CASE("neighbour cache: a released neighbour is asked for again, one that could not be asked for too") {
  Fixture on;
  CHECK(on.cache.park(key(11), on.packet(), 7) == Park::kParkedAndAsk);
  CHECK(on.cache.park(key(11), on.packet(), 7) == Park::kParked);
  on.cache.unask(key(11));
  CHECK(on.cache.park(key(11), on.packet(), 7) == Park::kParkedAndAsk);
  CHECK(on.release(key(11)).size() == 3);
  CHECK(on.cache.park(key(11), on.packet(), 7) == Park::kParkedAndAsk);
  on.cache.drop_all();
}

TEST_CASE("neighbour cache: at most eight wait for a neighbour, at most so many in all") {
  Fixture on(1000);
  unsigned parked = 0;
  for (unsigned neighbor = 0; parked < NeighborCache::kParkedPerWorker; ++neighbor) {
    const NeighborKey of = key(neighbor % 250, static_cast<InterfaceId>(neighbor / 250));
    for (unsigned i = 0; i < NeighborCache::kParkedPerNeighbor; ++i, ++parked) on.cache.park(of, on.packet(), 7);
    if (parked == NeighborCache::kParkedPerWorker) break;
    rte_mbuf* ninth = on.packet();
    CHECK(on.cache.park(of, ninth, 7) == Park::kNeighborFull);
    rte_pktmbuf_free(ninth);
  }
  CHECK(on.cache.parked() == NeighborCache::kParkedPerWorker);
  rte_mbuf* one_more = on.packet();
  CHECK(on.cache.park(key(3, 99), one_more, 7) == Park::kWorkerFull);
  CHECK(on.release(key(0, 0)).size() == NeighborCache::kParkedPerNeighbor);
  CHECK(on.cache.park(key(3, 99), one_more, 7) == Park::kParkedAndAsk);
  on.cache.drop_all();
  CHECK(on.cache.parked() == 0);
  CHECK(rte_mempool_in_use_count(World::buffers()) == 0);
}

TEST_CASE("neighbour cache: a full table") {
  Fixture on(8);
  unsigned bound = 0;
  for (unsigned i = 0; i < 200; ++i) {
    on.cache.bind(key(i), i);
    bound += on.cache.knows(key(i)) ? 1 : 0;
  }
  CHECK(bound >= 8);
  CHECK(bound < 200);
  rte_mbuf* packet = on.packet();
  unsigned stranger = 0;
  while (on.cache.knows(key(stranger))) ++stranger;
  CHECK(on.cache.park(key(stranger, 9), packet, 7) == Park::kTableFull);
  CHECK(on.cache.parked() == 0);
  rte_pktmbuf_free(packet);
}

TEST_CASE("adjacency: the bytes of its Ethernet header, tagged and untagged") {
  Interface interface;
  interface.mac = {0x02, 0x11, 0x22, 0x33, 0x44, 0x55};
  interface.port = 3;
  interface.mtu = 9000;
  for (const uint16_t vlan : {uint16_t{0}, uint16_t{100}, uint16_t{4094}}) {
    interface.vlan = vlan;
    Adjacency adjacency;
    CHECK_FALSE(adjacency.usable.load());
    adjacency.set_link(interface, key(1).address);
    adjacency.set_mac(mac_of("02:aa:bb:cc:dd:ee"), interface.mac);
    CHECK(adjacency.usable.load());
    CHECK(adjacency.mac() == mac_of("02:aa:bb:cc:dd:ee"));
    CHECK(adjacency.mtu == 9000);
    uint8_t bytes[18];
    store_unaligned(bytes, adjacency.head.load());
    store_unaligned(bytes + 8, adjacency.tail);
    store_unaligned(bytes + 16, adjacency.tail_more);
    Bytes expected = from_hex("02aabbccddee 021122334455");
    if (vlan != 0) put32(expected, 0x81000000u | vlan);
    put16(expected, 0x0800);
    REQUIRE(adjacency.header_bytes == expected.size());
    CHECK(to_hex(Bytes(bytes, bytes + expected.size())) == to_hex(expected));
  }
}
