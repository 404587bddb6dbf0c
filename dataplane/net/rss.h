// SPDX-License-Identifier: Apache-2.0
// An owner function that NICs can compute: the low bits of the Toeplitz hash (receive side scaling) with keys whose
// zeros leave of the two endpoints only the client. A port that faces clients and one that faces servers then put both
// directions of a connection into the same worker's queue.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "net/address.h"

namespace fulcrum {

// What a port's packets have as the client: the source where clients are, the destination where servers are.
enum class ClientEnd : uint8_t { kSource, kDestination };

class RssSteering {
 public:
  static constexpr size_t kKeyBytes = 40;
  using Key = std::array<uint8_t, kKeyBytes>;
  // Of the hash, as many as index a redirection table. Fewer: too coarse; more would leave the client's port no part.
  static constexpr unsigned kLeastBits = 6, kMostBits = 9;

  // kLeastBits <= bits <= kMostBits.
  explicit RssSteering(unsigned bits);

  unsigned bits() const { return bits_; }

  // As owner_hash(): for owner_of().
  uint32_t hash(be32 client, be16 port) const {
    return index(reinterpret_cast<const uint8_t*>(&client.raw), 4, port) << (32 - bits_);
  }
  uint32_t hash(const Ipv6Address& client, be16 port) const {
    return index(reinterpret_cast<const uint8_t*>(&client), 16, port) << (32 - bits_);
  }

  // For kSource it serves IPv4 and IPv6. For kDestination only IPv4: no key serves both there, and IPv6 packets meet
  // their owner by hand-over.
  Key key(ClientEnd end) const;

  // Which queue each entry of a redirection table names; `entries` is a power of two, at least 2^bits().
  std::vector<uint16_t> table(uint32_t entries, uint32_t workers) const;

 private:
  using ByteTable = std::array<uint16_t, 256>;

  uint32_t index(const uint8_t* address, unsigned bytes, be16 port) const {
    const auto* port_bytes = reinterpret_cast<const uint8_t*>(&port.raw);
    uint32_t sum = port_[0][port_bytes[0]] ^ port_[1][port_bytes[1]];
    for (unsigned i = 0; i < bytes; ++i) sum ^= address_[i][address[i]];
    return sum;
  }

  unsigned bits_;
  // The hash is linear: what each byte of the client contributes.
  std::array<ByteTable, 16> address_{};
  std::array<ByteTable, 2> port_{};
};

}  // namespace fulcrum
