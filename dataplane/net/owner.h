// SPDX-License-Identifier: Apache-2.0
// Which worker owns a flow: one hash per director over the client's address and port, a pure function of the packet.
// It is not secret and is stored nowhere, so it may change with the number of workers.
#pragma once

#include "net/address.h"

namespace fulcrum {

// Finaliser of MurmurHash3 (public domain): every input bit reaches every output bit.
constexpr uint64_t mix64(uint64_t value) {
  value ^= value >> 33;
  value *= 0xff51afd7ed558ccdu;
  value ^= value >> 33;
  value *= 0xc4ceb9fe1a85ec53u;
  return value ^ (value >> 33);
}

constexpr uint32_t owner_hash(be32 client, be16 port) {
  return static_cast<uint32_t>(mix64(uint64_t{client.raw} << 16 | port.raw) >> 32);
}
constexpr uint32_t owner_hash(Ipv6Address client, be16 port) {
  return static_cast<uint32_t>(mix64(mix64(mix64(client.high) ^ client.low) ^ port.raw) >> 32);
}

constexpr uint32_t owner_of(uint32_t hash, uint32_t workers) {
  return static_cast<uint32_t>((uint64_t{hash} * workers) >> 32);
}

}  // namespace fulcrum
