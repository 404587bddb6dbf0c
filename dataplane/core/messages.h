// SPDX-License-Identifier: Apache-2.0
// What workers and the control thread say to each other: fixed-size messages through rte_rings.
#pragma once

#include <atomic>
#include <vector>

#include "core/connection_filter.h"
#include "forward/neighbor.h"

struct rte_mbuf;

namespace fulcrum {

// Worker → control thread. A full ring loses it; whoever needs an answer asks again.
struct ControlMessage {
  enum class Kind : uint8_t {
    kNeighborWanted,     // somebody waits for this address
    kNeighborSeen,       // an ARP packet told `mac` of it
    kNeighborConfirmed,  // likewise, as the answer to a question of ours
    kAddressConflict,    // somebody else uses one of our addresses
  };
  Kind kind{};
  uint8_t worker = 0;
  MacAddress mac{};
  NeighborKey key;
  uint32_t pad = 0;
};
static_assert(sizeof(ControlMessage) == 32);

struct ConnectionInfo {
  IpProtocol protocol{};
  uint8_t state = 0;
  ForwardingMethod method{};
  bool active = false;
  bool is_template = false;  // of persistence; state: 1 if assured
  uint16_t client_port = 0, virtual_port = 0, server_port = 0;
  uint32_t worker = 0;
  uint32_t expires_ms = 0;
  uint32_t in_packets = 0;
  uint32_t fwmark = 0;
  Address client, vip, server;
};

inline constexpr uint32_t kIpv6Cursor = 0x80000000;

// Filled by a worker, a slice at a time, between bursts.
struct ListRequest {
  ConnectionFilter filter;
  uint32_t limit = 0;
  uint32_t cursor = 0;  // index to begin at, IPv6 from kIpv6Cursor on; afterwards where to go on
  bool exhausted = false;
  std::vector<ConnectionInfo> connections;
  std::atomic<uint32_t> done{0};
};

// A worker goes through all its connections likewise, and counts those that match. One at a time a worker.
struct PurgeRequest {
  enum class Action : uint8_t {
    kCount,   // no more than that
    kDelete,  // forget them
    kReset,   // likewise, and reset those of TCP as soon as a packet tells how
  };
  ConnectionFilter filter;
  Action action = Action::kCount;
  uint32_t cursor = 0;
  uint64_t connections = 0, active = 0;
  Ticks oldest = 0;  // age
  std::atomic<uint32_t> done{0};
};

struct DigestRequest;
struct ExplainRequest;
class TraceSession;

// Control thread → worker.
struct Command {
  enum class Kind : uint8_t {
    kBindNeighbor,    // key is behind `adjacency` from now on; parked packets leave if it is usable
    kNeighborFailed,  // nobody answers: parked packets are dropped
    kUnbindNeighbor,  // forget the adjacency, raise the route epoch; then `done`
    kTransmit,        // send `packet`, complete with its Ethernet header, by `port`
    kList,
    kSweep,        // end the connections of deleted servers
    kDropEntries,  // drop_entry's round
    kBarrier,      // just `done`
    kPurge,
    kExplain,
    kDigest,
    kTrace,  // packets are looked at for `trace` from now on; null: no more
  };
  Kind kind{};
  PortId port = 0;
  AdjacencyIndex adjacency = kNoAdjacency;
  NeighborKey key;
  uint32_t pad = 0;
  union {
    ServerSlot slot;
    rte_mbuf* packet;
    ListRequest* list;
    PurgeRequest* purge;
    DigestRequest* digest;
    ExplainRequest* explain;
    TraceSession* trace;
    std::atomic<uint32_t>* done;
  };
};
static_assert(sizeof(Command) == 40);

}  // namespace fulcrum
