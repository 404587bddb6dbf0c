// SPDX-License-Identifier: Apache-2.0
// What would happen to a packet now, without one: asked of the worker that owns its flow, answered from its own tables.
#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include "conn/sctp_state.h"
#include "core/messages.h"
#include "core/verdict.h"
#include "service/scheduler/scheduler.h"

namespace fulcrum {

// A packet as it would come from a client or a server: TCP, UDP or SCTP.
struct ImaginedPacket {
  Address source, destination;
  uint16_t source_port = 0, destination_port = 0;
  IpProtocol protocol{};
  uint8_t tcp_flags = 0;
  SctpChunkType sctp_chunk{};  // that it begins with
  uint16_t length = 0;         // of the datagram
  bool dont_fragment = true;

  bool has_end(const Address& address) const { return source == address || destination == address; }
};

// A real server as the scheduler sees it.
struct Candidate {
  ServerKey key;
  uint32_t weight = 0;
  uint64_t active = 0, inactive = 0;  // over all workers; of who asks to fill in
  bool overloaded = false;
  std::optional<double> cost;  // of Scheduler::cost
};

struct Explanation {
  uint32_t worker = 0;  // who owns the flow
  uint32_t mark = 0;
  std::optional<ServiceKey> service;
  std::string scheduler;
  std::optional<ConnectionInfo> connection;  // that it belongs to
  bool is_reply = false;                     // it comes from the server of that
  bool by_template = false;                  // of persistence
  std::vector<Candidate> candidates;         // filled in by who asks, if not by the worker: see ExplainRequest
  std::optional<ServerKey> server;
  uint16_t server_port = 0;  // as it goes there
  ForwardingMethod method{};
  // Where it goes next.
  InterfaceId interface = kNoInterface;
  Address neighbor;
  std::optional<MacAddress> mac;  // none: not known yet, or the neighbour does not answer
  unsigned mtu = 0;
  Verdict verdict{};
  std::string reason;  // in words, where the verdict needs some
};

// A service's pool, in LVS's order, as its statistics list it.
std::vector<Candidate> candidates_of(const VirtualService& service, const LoadView& loads);

struct ExplainRequest {
  // Candidates of a pool of no more, where its scheduler weighs costs: a worker has no time for long ones.
  static constexpr size_t kMostCandidates = 16;

  ImaginedPacket packet;
  bool wants_candidates = false;
  Explanation answer;
  uint32_t owner = 0;
  bool is_answered = false;  // false: `owner` is to be asked
  std::atomic<uint32_t> done{0};
};

}  // namespace fulcrum
