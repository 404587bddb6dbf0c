// SPDX-License-Identifier: Apache-2.0
// What tests of the whole director share: where packets must go that belong to a given worker, and whether each packet
// was accounted for.
#pragma once

#include <rte_mempool.h>

#include "net/owner.h"
#include "test/inspector.h"
#include "test/story.h"

namespace fulcrum::test {

// Every received packet left by one verdict, every hand-over arrived, tables and counters agree, no buffer is kept.
inline void check_accounts(Story& story) {
  uint64_t received = 0, given = 0, handed = 0, taken = 0;
  std::vector<const Worker*> workers;
  for (uint32_t id = 0; id < story.workers(); ++id) {
    workers.push_back(&story.worker(id));
    received += workers.back()->counters().rx_packets;
    handed += workers.back()->counters().handed_over;
    taken += workers.back()->counters().taken_over;
    CHECK(WorkerInspector::contradiction(*workers.back()) == "");
    CHECK(WorkerInspector::held_datagrams(*workers.back()) == 0);
  }
  CHECK(WorkerInspector::contradiction(story.shared(), workers) == "");
  for (const uint64_t count : story.verdicts()) given += count;
  CHECK(received == given);
  CHECK(handed == taken);
  story.collect();
  CHECK(rte_mempool_in_use_count(World::buffers()) == 0);
}

// Ports of 198.51.100.1 that belong to one of two workers.
inline std::vector<unsigned> ports_of_worker(uint32_t worker, size_t count) {
  std::vector<unsigned> ports;
  for (unsigned port = 1024; ports.size() < count; ++port) {
    const auto at = be16::from_host(static_cast<uint16_t>(port));
    if (owner_of(owner_hash(Endpoint("198.51.100.1").address.v4(), at), 2) == worker) ports.push_back(port);
  }
  return ports;
}

// `bytes` with those of `other` from `at` on.
inline Bytes patched(Bytes bytes, size_t at, const Bytes& other) {
  std::copy(other.begin(), other.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at));
  return bytes;
}

// A packet that an ICMP error quotes, its source or destination another one; nothing else of it changes but the IPv4
// header's checksum.
inline Bytes readdressed(Bytes packet, const Endpoint& endpoint, bool source) {
  const bool is_ipv4 = packet.at(0) >> 4 == 4;
  packet = patched(packet, is_ipv4 ? (source ? 12 : 16) : (source ? 8 : 24), address_bytes(endpoint.address));
  set16(packet, (is_ipv4 ? 20 : 40) + (source ? 0 : 2), endpoint.port);
  if (!is_ipv4) return packet;
  set16(packet, 10, 0);
  set16(packet, 10, slow_checksum(Bytes(packet.begin(), packet.begin() + 20)));
  return packet;
}

}  // namespace fulcrum::test
