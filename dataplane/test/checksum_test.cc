// SPDX-License-Identifier: Apache-2.0
#include "net/checksum.h"

#include <doctest/doctest.h>

#include <random>
#include <vector>

using namespace fulcrum;

namespace {

using Random = std::independent_bits_engine<std::mt19937, 32, uint32_t>;

// RFC 1071's definition, word by word in network order: slow, and not the code under test.
uint16_t reference_sum(const std::vector<uint8_t>& bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i < bytes.size(); i += 2) {
    sum += static_cast<uint32_t>(bytes[i] << 8) + (i + 1 < bytes.size() ? bytes[i + 1] : 0u);
    if (sum > 0xffff) sum -= 0xffff;
  }
  return static_cast<uint16_t>(sum);
}

uint16_t reference_checksum(const std::vector<uint8_t>& bytes) { return static_cast<uint16_t>(~reference_sum(bytes)); }

std::vector<uint8_t> random_bytes(Random& random, size_t size) {
  std::vector<uint8_t> bytes(size);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  return bytes;
}

be16 wire(uint16_t host) { return be16::from_host(host); }
be32 wire32(uint32_t host) { return be32::from_host(host); }

}  // namespace

TEST_CASE("checksum: RFC 1071 section 3's example") {
  const std::vector<uint8_t> bytes = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
  CHECK(internet_checksum(bytes.data(), bytes.size()) == wire(0xffff - 0xddf2));
}

TEST_CASE("checksum: every length from 0 to 130, at even and odd addresses") {
  Random random{std::mt19937(1)};
  for (size_t size = 0; size <= 130; ++size) {
    const auto bytes = random_bytes(random, size);
    for (size_t offset = 0; offset < 8; ++offset) {
      std::vector<uint8_t> shifted(offset + size);
      std::copy(bytes.begin(), bytes.end(), shifted.begin() + static_cast<std::ptrdiff_t>(offset));
      CHECK(internet_checksum(shifted.data() + offset, size) == wire(reference_checksum(bytes)));
    }
  }
}

TEST_CASE("checksum: the largest datagram of ones does not overflow the sum") {
  const std::vector<uint8_t> bytes(65535, 0xff);
  CHECK(internet_checksum(bytes.data(), bytes.size()) == wire(reference_checksum(bytes)));
}

TEST_CASE("checksum: a buffer in pieces sums like the whole") {
  Random random{std::mt19937(2)};
  const auto bytes = random_bytes(random, 101);
  for (size_t cut = 0; cut <= 100; cut += 2)
    CHECK(complement_sum(add_to_sum(add_to_sum(0, bytes.data(), cut), bytes.data() + cut, bytes.size() - cut)) ==
          wire(reference_checksum(bytes)));
}

TEST_CASE("checksum: an IPv4 header holds exactly when its checksum is right") {
  // A datagram of 192.168.0.1 to 192.168.0.199 as captured, its checksum 0xb861 taken out.
  std::vector<uint8_t> header = {0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 64, 17, 0, 0, 192, 168, 0, 1, 192, 168, 0, 199};
  const be16 checksum = internet_checksum(header.data(), header.size());
  store_unaligned(header.data() + 10, checksum.raw);
  CHECK(checksum.host() == 0xb861);
  CHECK(checksum_holds(header.data(), header.size()));
  for (size_t bit = 0; bit < header.size() * 8; ++bit) {
    header[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    CHECK_FALSE(checksum_holds(header.data(), header.size()));
    header[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
  }
}

TEST_CASE("checksum: transport checksums cover the pseudo header") {
  Random random{std::mt19937(3)};
  for (size_t size : {8u, 9u, 20u, 1473u}) {
    const auto datagram = random_bytes(random, size);
    const auto addresses = random_bytes(random, 32);
    for (const IpProtocol protocol : {IpProtocol::kTcp, IpProtocol::kUdp}) {
      std::vector<uint8_t> ipv4(addresses.begin(), addresses.begin() + 8);
      const auto upper = static_cast<uint8_t>(size >> 8), lower = static_cast<uint8_t>(size);
      ipv4.insert(ipv4.end(), {0, static_cast<uint8_t>(protocol), upper, lower});
      ipv4.insert(ipv4.end(), datagram.begin(), datagram.end());
      CHECK(transport_checksum(be32{load_unaligned<uint32_t>(addresses.data())},
                               be32{load_unaligned<uint32_t>(addresses.data() + 4)}, protocol, datagram.data(),
                               size) == wire(reference_checksum(ipv4)));

      std::vector<uint8_t> ipv6 = addresses;
      ipv6.insert(ipv6.end(), {0, 0, upper, lower, 0, 0, 0, static_cast<uint8_t>(protocol)});
      ipv6.insert(ipv6.end(), datagram.begin(), datagram.end());
      CHECK(transport_checksum(load_unaligned<Ipv6Address>(addresses.data()),
                               load_unaligned<Ipv6Address>(addresses.data() + 16), protocol, datagram.data(),
                               size) == wire(reference_checksum(ipv6)));
    }
  }
}

TEST_CASE("checksum: a computed UDP checksum of zero is sent as all ones, others unchanged") {
  CHECK(udp_on_wire(wire(0)) == wire(0xffff));
  CHECK(udp_on_wire(wire(1)) == wire(1));
  CHECK(udp_on_wire(wire(0xfffe)) == wire(0xfffe));
}

TEST_CASE("checksum: TTL decrement equals a new computation, for every TTL and every checksum") {
  for (unsigned ttl = 1; ttl <= 255; ++ttl) {
    // Two more words take every value of the sum in turn: 257 · 255 covers all of 16 bits.
    for (unsigned word = 0; word <= 0xffff; word += 257) {
      std::vector<uint8_t> header = {static_cast<uint8_t>(ttl),        6,    static_cast<uint8_t>(word >> 8),
                                     static_cast<uint8_t>(word + ttl), 0x45, 0};
      const be16 before = internet_checksum(header.data(), header.size());
      --header[0];
      REQUIRE(checksum_after_ttl_decrement(before) == internet_checksum(header.data(), header.size()));
    }
  }
  // RFC 1624 section 5's trap: the result is never the other zero.
  for (unsigned checksum = 0; checksum <= 0xffff; ++checksum) {
    const be16 after = checksum_after_ttl_decrement(wire(static_cast<uint16_t>(checksum)));
    REQUIRE(after.raw != 0xffff);
    REQUIRE(after.host() % 0xffff == (checksum + 0x100) % 0xffff);
  }
}

TEST_CASE("checksum: RFC 1624 section 4's example gives 0x0000, not 0xffff") {
  CHECK(ChecksumDelta().replace(wire(0x5555), wire(0x3285)).apply(wire(0xdd2f)) == wire(0x0000));
}

TEST_CASE("checksum: no change keeps every checksum") {
  for (unsigned checksum = 0; checksum < 0xffff; ++checksum) {
    const be16 before = wire(static_cast<uint16_t>(checksum));
    REQUIRE(ChecksumDelta().apply(before) == before);
    REQUIRE(ChecksumDelta().replace(wire(80), wire(80)).apply(before) == before);
    REQUIRE(ChecksumDelta().replace(wire32(0xc0000201), wire32(0xc0000201)).apply(before) == before);
  }
}

TEST_CASE("checksum: 0x0000 and 0xffff behave as the same value") {
  Random random{std::mt19937(4)};
  for (int round = 0; round < 10000; ++round) {
    const auto delta = ChecksumDelta().replace(be32{random()}, be32{random()});
    REQUIRE(delta.apply(wire(0)) == delta.apply(wire(0xffff)));
  }
  CHECK(ChecksumDelta().apply(wire(0xffff)) == wire(0));
}

TEST_CASE("checksum: a delta is never 0, so no result is 0xffff") {
  const uint16_t corners[] = {0x0000, 0x0001, 0x7fff, 0x8000, 0xfffe, 0xffff};
  for (uint16_t from : corners)
    for (uint16_t to : corners) {
      const auto delta = ChecksumDelta().replace(wire(from), wire(to));
      CHECK(delta.folded() != 0);
      const auto wide = ChecksumDelta().replace(wire32(from * 0x10001u), wire32(to * 0x10001u));
      CHECK(wide.folded() != 0);
      for (uint16_t checksum : corners) {
        CHECK(delta.apply(wire(checksum)).raw != 0xffff);
        CHECK(wide.apply(wire(checksum)).raw != 0xffff);
      }
    }
}

TEST_CASE("checksum: a delta equals a new computation, for every checksum") {
  // The payload word takes each of its values, so the checksum takes each of its own; the port changes.
  std::vector<uint8_t> before = {0x1f, 0x90, 0, 0}, after = {0x00, 0x50, 0, 0};
  const auto delta = ChecksumDelta().replace(wire(0x1f90), wire(0x0050));
  for (unsigned word = 0; word <= 0xffff; ++word) {
    before[2] = after[2] = static_cast<uint8_t>(word >> 8);
    before[3] = after[3] = static_cast<uint8_t>(word);
    REQUIRE(delta.apply(wire(reference_checksum(before))) == wire(reference_checksum(after)));
  }
}

TEST_CASE("checksum: one delta for address and port, both ways, equals a new computation of random packets") {
  Random random{std::mt19937(5)};
  for (int round = 0; round < 20000; ++round) {
    auto packet = random_bytes(random, 4 + 2 + 1 + random() % 40);
    const be16 before = wire(reference_checksum(packet));
    const be32 old_address{load_unaligned<uint32_t>(packet.data())}, new_address{random()};
    const be16 old_port{load_unaligned<uint16_t>(packet.data() + 4)}, new_port{static_cast<uint16_t>(random())};
    const auto there = ChecksumDelta().replace(old_address, new_address).replace(old_port, new_port);
    const auto back = ChecksumDelta().replace(new_address, old_address).replace(new_port, old_port);
    store_unaligned(packet.data(), new_address.raw);
    store_unaligned(packet.data() + 4, new_port.raw);
    const be16 after = wire(reference_checksum(packet));
    REQUIRE(there.apply(before) == after);
    REQUIRE(ChecksumDelta::from_folded(there.folded()).apply(before) == after);
    REQUIRE(back.apply(after) == before);
    REQUIRE(there.apply_udp(before) == (after.raw == 0 ? wire(0xffff) : after));
  }
}

TEST_CASE("checksum: a wrong checksum stays wrong by the same amount") {
  Random random{std::mt19937(6)};
  for (int round = 0; round < 1000; ++round) {
    const auto delta = ChecksumDelta().replace(be32{random()}, be32{random()});
    const auto right = static_cast<uint16_t>(random() % 0xffff);
    const unsigned error = 1 + random() % 0xfffe;
    const auto wrong = static_cast<uint16_t>((right + error) % 0xffff);
    const unsigned right_after = delta.apply(wire(right)).host(), wrong_after = delta.apply(wire(wrong)).host();
    REQUIRE((wrong_after + 0xffff - right_after) % 0xffff == error);
  }
}

TEST_CASE("checksum: an IPv6 address change equals a new computation") {
  Random random{std::mt19937(7)};
  for (int round = 0; round < 5000; ++round) {
    auto packet = random_bytes(random, 24);
    const be16 before = wire(reference_checksum(packet));
    const auto replacement = random_bytes(random, 16);
    const auto delta = ChecksumDelta().replace(load_unaligned<Ipv6Address>(packet.data()),
                                               load_unaligned<Ipv6Address>(replacement.data()));
    std::copy(replacement.begin(), replacement.end(), packet.begin());
    REQUIRE(delta.apply(before) == wire(reference_checksum(packet)));
  }
}
