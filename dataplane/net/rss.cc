// SPDX-License-Identifier: Apache-2.0
// The Toeplitz hash is the XOR of the 32 bits of key that begin at each set bit of source, destination, source port,
// destination port. A field whose bits all see zeros in the low bits of those windows has no say in the queue.
#include "net/rss.h"

#include "net/owner.h"

namespace fulcrum {

namespace {

// Where fields begin in the input, in bits.
constexpr unsigned kIpv4Ports = 64, kIpv6Ports = 256;
constexpr unsigned kAddressToDestination = 32, kPortToDestination = 16;

// Where keys may have ones, in bits from the front; each ends where another field's windows begin. The second address
// pattern is for the last 32 bits of an IPv6 address.
constexpr unsigned kAddressPattern = 31, kLastAddressPattern = 127, kIpv4PortPattern = 95, kIpv6PortPattern = 287;
static_assert(kIpv6PortPattern - kIpv4PortPattern == kIpv6Ports - kIpv4Ports);

// Their bits, the first one first; both ends of the part in use are 1, so that of neighbouring clients, and of a
// client's neighbouring ports, no two share all of an index.
constexpr uint32_t kAddressBits = 0xb5e3a9d7, kLastAddressBits = 0x9d2c5681, kPortBits = 0xad3;

unsigned address_pattern_bits(unsigned bits) { return 33 - bits; }
unsigned port_pattern_bits(unsigned bits) { return 17 - bits; }

void set_bit(RssSteering::Key& key, unsigned at) { key[at / 8] = static_cast<uint8_t>(key[at / 8] | 0x80 >> at % 8); }
bool bit(const RssSteering::Key& key, unsigned at) { return (key[at / 8] & 0x80 >> at % 8) != 0; }

void put(RssSteering::Key& key, unsigned at, unsigned length, uint32_t pattern) {
  for (unsigned i = 0; i < length; ++i)
    if (i == 0 || i + 1 == length || (pattern >> i & 1) != 0) set_bit(key, at + i);
}

// The low `bits` of the 32 bits of key that begin at `at`.
uint16_t window(const RssSteering::Key& key, unsigned at, unsigned bits) {
  unsigned value = 0;
  for (unsigned i = 32 - bits; i < 32; ++i) value = value << 1 | (bit(key, at + i) ? 1 : 0);
  return static_cast<uint16_t>(value);
}

template <typename Table>
void fill(Table& table, const RssSteering::Key& key, unsigned at, unsigned bits) {
  for (unsigned value = 0; value < table.size(); ++value)
    for (unsigned i = 0; i < 8; ++i)
      if ((value & 0x80 >> i) != 0) table[value] = static_cast<uint16_t>(table[value] ^ window(key, at + i, bits));
}

}  // namespace

RssSteering::RssSteering(unsigned bits) : bits_(bits) {
  const Key source = key(ClientEnd::kSource);
  for (unsigned byte = 0; byte < address_.size(); ++byte) fill(address_[byte], source, 8 * byte, bits_);
  for (unsigned byte = 0; byte < port_.size(); ++byte) fill(port_[byte], source, kIpv4Ports + 8 * byte, bits_);
}

RssSteering::Key RssSteering::key(ClientEnd end) const {
  Key key{};
  const unsigned address = address_pattern_bits(bits_), port = port_pattern_bits(bits_);
  if (end == ClientEnd::kDestination) {
    put(key, kAddressPattern + kAddressToDestination, address, kAddressBits);
    put(key, kIpv4PortPattern + kPortToDestination, port, kPortBits);
    return key;
  }
  put(key, kAddressPattern, address, kAddressBits);
  put(key, kLastAddressPattern, address, kLastAddressBits);
  put(key, kIpv4PortPattern, port, kPortBits);
  put(key, kIpv6PortPattern, port, kPortBits);
  return key;
}

std::vector<uint16_t> RssSteering::table(uint32_t entries, uint32_t workers) const {
  std::vector<uint16_t> queues(entries);
  const uint32_t mask = (1u << bits_) - 1;
  for (uint32_t entry = 0; entry < entries; ++entry)
    queues[entry] = static_cast<uint16_t>(owner_of((entry & mask) << (32 - bits_), workers));
  return queues;
}

}  // namespace fulcrum
