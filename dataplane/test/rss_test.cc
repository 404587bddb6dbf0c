// SPDX-License-Identifier: Apache-2.0
// The keys against DPDK's own Toeplitz hash, both directions of connections; how evenly clients spread over workers.
#include "net/rss.h"

#include <doctest/doctest.h>
#include <rte_thash.h>

#include <algorithm>
#include <bit>
#include <functional>
#include <random>

#include "net/owner.h"

using namespace fulcrum;

namespace {

std::vector<uint32_t> words_of(const void* bytes, size_t count) {
  std::vector<uint32_t> words;
  for (size_t i = 0; i < count; ++i)
    words.push_back(be32{load_unaligned<uint32_t>(static_cast<const uint8_t*>(bytes) + 4 * i)}.host());
  return words;
}

// What a NIC computes: the words of source, destination and ports, as rte_softrss() takes them.
template <typename AnyAddress>
uint32_t nic_hash(const RssSteering::Key& key, AnyAddress from, be16 from_port, AnyAddress to, be16 to_port) {
  std::vector<uint32_t> tuple = words_of(&from, sizeof from / 4);
  for (const uint32_t word : words_of(&to, sizeof to / 4)) tuple.push_back(word);
  tuple.push_back(uint32_t{from_port.host()} << 16 | to_port.host());
  return rte_softrss(tuple.data(), static_cast<uint32_t>(tuple.size()), key.data());
}

uint32_t nic_queue(const RssSteering& steering, uint32_t hash, uint32_t entries, uint32_t workers) {
  return steering.table(entries, workers)[hash & (entries - 1)];
}

std::mt19937_64 random_source{7};
be32 any4() { return be32{static_cast<uint32_t>(random_source())}; }
Ipv6Address any6() { return {random_source(), random_source()}; }
be16 any_port() { return be16{static_cast<uint16_t>(random_source())}; }

struct Evenness {
  double most = 0;   // of the busiest worker, over the mean
  double least = 0;  // of the least busy
};

using Client = std::function<std::pair<be32, be16>(uint32_t)>;

template <typename Hash>
Evenness evenness(const Hash& hash, uint32_t workers, uint32_t connections, const Client& client) {
  std::vector<uint32_t> counts(workers);
  for (uint32_t i = 0; i < connections; ++i) {
    const auto [address, port] = client(i);
    ++counts[owner_of(hash(address, port), workers)];
  }
  const double mean = static_cast<double>(connections) / workers;
  const auto [least, most] = std::minmax_element(counts.begin(), counts.end());
  return {*most / mean, *least / mean};
}

be32 address4(uint32_t number) { return be32::from_host(number); }
be16 port16(uint32_t number) { return be16::from_host(static_cast<uint16_t>(number)); }

}  // namespace

TEST_CASE("rss: both directions of an IPv4 connection meet their owner, whatever VIP and server") {
  for (unsigned bits = RssSteering::kLeastBits; bits <= RssSteering::kMostBits; ++bits) {
    const RssSteering steering(bits);
    for (const uint32_t workers : {2u, 3u, 16u, 64u}) {
      for (int round = 0; round < 500; ++round) {
        const be32 client = any4(), vip = any4(), server = any4();
        const be16 port = any_port(), vport = any_port(), rport = any_port();
        const uint32_t owner = owner_of(steering.hash(client, port), workers);
        for (const uint32_t entries : {1u << bits, 512u, 2048u}) {
          REQUIRE(nic_queue(steering, nic_hash(steering.key(ClientEnd::kSource), client, port, vip, vport), entries,
                            workers) == owner);
          REQUIRE(nic_queue(steering, nic_hash(steering.key(ClientEnd::kDestination), server, rport, client, port),
                            entries, workers) == owner);
        }
      }
    }
  }
}

TEST_CASE("rss: IPv6 clients meet their owner") {
  for (unsigned bits = RssSteering::kLeastBits; bits <= RssSteering::kMostBits; ++bits) {
    const RssSteering steering(bits);
    for (int round = 0; round < 1000; ++round) {
      const Ipv6Address client = any6();
      const be16 port = any_port();
      const uint32_t hash = nic_hash(steering.key(ClientEnd::kSource), client, port, any6(), any_port());
      REQUIRE(nic_queue(steering, hash, 512, 7) == owner_of(steering.hash(client, port), 7));
    }
  }
}

// As many different indexes as there are: no bit of the client's port, nor of the last byte of its address, is lost.
TEST_CASE("rss: neighbouring ports and addresses have different indexes") {
  for (unsigned bits = RssSteering::kLeastBits; bits <= RssSteering::kMostBits; ++bits) {
    const RssSteering steering(bits);
    const auto distinct = [&](uint32_t count, const auto& hash) {
      std::vector<uint32_t> seen;
      for (uint32_t i = 0; i < count; ++i) seen.push_back(hash(i));
      std::sort(seen.begin(), seen.end());
      return static_cast<uint32_t>(std::unique(seen.begin(), seen.end()) - seen.begin());
    };
    const uint32_t all = std::min(256u, 1u << bits);
    CHECK(distinct(all, [&](uint32_t i) { return steering.hash(address4(0xc6336400 + i), port16(40000)); }) == all);
    CHECK(distinct(all, [&](uint32_t i) { return steering.hash(address4(0xc6336401), port16(1024 + i)); }) >= all / 2);
    CHECK(distinct(1u << 16, [&](uint32_t i) { return steering.hash(address4(0xc6336401), port16(i)); }) == 1u << bits);
  }
}

// By the function for devices that cannot be set, and by the NICs' one for the usual sizes of redirection tables.
TEST_CASE("rss: workers get even shares of clients as they are") {
  constexpr uint32_t kConnections = 1u << 19;
  const auto skewed = [](uint32_t i) {
    // Few networks have most of the clients; ephemeral ports of Linux.
    const uint32_t network = static_cast<uint32_t>(mix64(i) % 1000), rank = network * network / 5000;
    const uint64_t host = mix64(i * 31ull + 7);
    return std::pair{address4(static_cast<uint32_t>(mix64(rank + 99) << 8) | (host & 0xff)),
                     port16(32768 + static_cast<uint32_t>(host >> 8) % 28232)};
  };
  const std::pair<const char*, Client> distributions[] = {
      {"the whole Internet",
       [](uint32_t i) {
         return std::pair{address4(static_cast<uint32_t>(mix64(i))), port16(static_cast<uint32_t>(mix64(i) >> 40))};
       }},
      {"a thousand networks, some with most of the clients", skewed},
      {"one address, every port",
       [](uint32_t i) {
         return std::pair{address4(0xc6336407), port16(i)};
       }},
      {"one address, ports in steps of two",
       [](uint32_t i) {
         return std::pair{address4(0xc6336407), port16(2 * i)};
       }},
      {"a /24, each with a few ports",
       [](uint32_t i) {
         return std::pair{address4(0xc6336400 + i % 256), port16(50000 + i / 256 % 64)};
       }},
      {"carrier-grade NAT: 16 addresses, every port",
       [](uint32_t i) {
         return std::pair{address4(0x64400010 + i % 16), port16(1024 + i / 16)};
       }},
  };
  const RssSteering of128(7), of512(9);
  for (const auto& [name, client] : distributions) {
    for (const uint32_t workers : {2u, 4u, 6u, 16u, 64u}) {
      const Evenness mixed = evenness([](be32 a, be16 p) { return owner_hash(a, p); }, workers, kConnections, client);
      const Evenness large = evenness([&](be32 a, be16 p) { return of512.hash(a, p); }, workers, kConnections, client);
      const Evenness small = evenness([&](be32 a, be16 p) { return of128.hash(a, p); }, workers, kConnections, client);
      CAPTURE(std::string(name));
      CAPTURE(workers);
      CHECK(mixed.most < 1.15);
      CHECK(mixed.least > 0.85);
      CHECK(large.most < 1.05);
      CHECK(small.most < 1.05);
    }
  }
}
