// SPDX-License-Identifier: Apache-2.0
#include "net/crc32c.h"

#include <doctest/doctest.h>

#include <deque>
#include <random>
#include <string_view>
#include <vector>

using namespace fulcrum;

namespace {

using Bytes = std::vector<uint8_t>;

Bytes from_hex(std::string_view hex) {
  Bytes bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes.push_back(static_cast<uint8_t>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  return bytes;
}

// Bit by bit from the polynomial 0x1EDC6F41, reflected: slow, and not the code under test.
uint32_t reference_crc32c(const Bytes& bytes) {
  uint32_t crc = 0xffffffff;
  for (const uint8_t byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc;
}

uint32_t crc32c(const Bytes& bytes) { return crc32c_of(add_to_crc32c(kCrc32cStart, bytes.data(), bytes.size())); }

// A packet in pieces of at most `piece` bytes, each in a buffer of its own.
class Chain {
 public:
  Chain(const Bytes& bytes, size_t piece) {
    for (size_t at = 0; at < bytes.size(); at += piece) {
      const size_t size = std::min(piece, bytes.size() - at);
      const auto from = bytes.begin() + static_cast<std::ptrdiff_t>(at);
      Bytes& data = data_.emplace_back(from, from + static_cast<std::ptrdiff_t>(size));
      rte_mbuf& buffer = buffers_.emplace_back();
      buffer.buf_addr = data.data();
      buffer.data_len = static_cast<uint16_t>(size);
      if (buffers_.size() > 1) buffers_[buffers_.size() - 2].next = &buffer;
    }
  }
  const rte_mbuf* first() const { return &buffers_.front(); }

 private:
  std::deque<Bytes> data_;
  std::deque<rte_mbuf> buffers_;
};

constexpr size_t kIpv4Header = 20;

}  // namespace

TEST_CASE("crc32c: RFC 3720 appendix B.4's examples") {
  Bytes rising(32), falling(32);
  for (uint8_t i = 0; i < 32; ++i) rising[i] = i, falling[i] = static_cast<uint8_t>(31 - i);
  CHECK(crc32c(Bytes(32, 0x00)) == 0x8a9136aa);
  CHECK(crc32c(Bytes(32, 0xff)) == 0x62a8ab43);
  CHECK(crc32c(rising) == 0x46dd794e);
  CHECK(crc32c(falling) == 0x113fdb5c);
  CHECK(crc32c(from_hex("01c00000000000000000000000000000140000000000040000000014000000182800000000000000"
                        "0200000000000000")) == 0xd9963a56);
  CHECK(crc32c({'1', '2', '3', '4', '5', '6', '7', '8', '9'}) == 0xe3069283);
  CHECK(crc32c({}) == 0);
}

TEST_CASE("crc32c: every length from 0 to 70, at even and odd addresses") {
  std::mt19937 random(1);
  for (size_t size = 0; size <= 70; ++size) {
    Bytes bytes(size);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
    for (size_t offset = 0; offset < 8; ++offset) {
      Bytes shifted(offset + size);
      std::copy(bytes.begin(), bytes.end(), shifted.begin() + static_cast<std::ptrdiff_t>(offset));
      CHECK(crc32c_of(add_to_crc32c(kCrc32cStart, shifted.data() + offset, size)) == reference_crc32c(bytes));
    }
  }
}

// The kernel's, before and after it translated address and port (conformance scenario sctp-nat): INIT from the client,
// INIT ACK from the server.
TEST_CASE("sctp checksum: as captured, in one piece and in many, whatever the field holds and whatever follows") {
  for (const char* hex : {
           "450000341234400040843bdcc6336401c000020103e88e3c00000000bace03cf0100001400000001000100000001000100000001",
           "45000034123440003f84f2d2c63364010a00020b03e82328000000007f6325fe0100001400000001000100000001000100000001",
           "45000034123440004084f1d20a00020bc6336401232803e800000001aa9cfd7c0200001400000002000100000001000100000001",
           "45000034123440003f843cdcc0000201c63364018e3c03e800000001af9162380200001400000002000100000001000100000001",
           "450000241234400040843becc6336401c000020103e88e3c0000000700b347ac0e000004",
       }) {
    Bytes packet = from_hex(hex);
    const size_t size = packet.size() - kIpv4Header;
    uint8_t* const field = packet.data() + kIpv4Header + kSctpChecksumOffset;
    const auto expected = load_unaligned<uint32_t>(field);
    CHECK(sctp_checksum(Chain(packet, packet.size()).first(), kIpv4Header, size) == expected);
    store_unaligned(field, uint32_t{0x12345678});
    packet.insert(packet.end(), {0, 0, 7});  // Ethernet's padding
    for (size_t piece = 1; piece <= packet.size(); ++piece)
      CHECK(sctp_checksum(Chain(packet, piece).first(), kIpv4Header, size) == expected);
  }
}

TEST_CASE("sctp checksum: every other bit of the packet counts") {
  Bytes packet(12 + 21);
  const uint32_t before = sctp_checksum(Chain(packet, 10).first(), 0, packet.size());
  for (size_t bit = 0; bit < packet.size() * 8; ++bit) {
    packet[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    const bool in_field = bit / 8 >= 8 && bit / 8 < 12;
    CHECK((sctp_checksum(Chain(packet, 10).first(), 0, packet.size()) == before) == in_field);
    packet[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
  }
}

TEST_CASE("sctp checksum: a chain shorter than it claims is read to its end only") {
  const Bytes packet(20, 0x55);
  CHECK(sctp_checksum(Chain(packet, 7).first(), 0, 500) == sctp_checksum(Chain(packet, 7).first(), 0, packet.size()));
}
