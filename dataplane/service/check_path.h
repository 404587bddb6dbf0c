// SPDX-License-Identifier: Apache-2.0
// Health checks that go the client's way: the host sends them to the VIP, and which real server gets them its port
// says. There are no connections of theirs, so that nothing is counted, scheduled or remembered for them: a packet's
// way follows from its addresses and ports alone, in both directions.
#pragma once

#include "service/snapshot.h"

namespace fulcrum {

// The way to one real server.
struct CheckPath {
  ServiceKey service;
  uint16_t port = 0;        // of the VIP; the service's, if it has one
  RealServer server;        // whether or not it is in the service now; its slot is of its own
  uint16_t first_port = 0;  // of the host: a run of ports that are this server's
  uint16_t ports = 0;
  Address source;  // of the host
  InterfaceId interface = kNoInterface;

  uint16_t server_port() const { return server.key.port != 0 ? server.key.port : port; }
  bool operator==(const CheckPath&) const = default;
};

// What a packet of a check shows of itself.
struct CheckFlow {
  Address peer;  // the VIP; in what a NAT server sends: the server
  uint16_t peer_port = 0;
  uint16_t own_port = 0;
  IpProtocol protocol{};
  bool operator==(const CheckFlow&) const = default;
};

struct CheckFlowHash {
  size_t operator()(const CheckFlow& flow) const {
    const uint64_t rest =
        uint64_t{flow.peer_port} << 32 | uint64_t{flow.own_port} << 8 | static_cast<uint8_t>(flow.protocol);
    return AddressHash{}(flow.peer) ^ rest;
  }
};

class CheckPaths {
 public:
  explicit CheckPaths(std::vector<CheckPath> paths);

  const std::vector<CheckPath>& all() const { return paths_; }
  // By what the host sends, and by what comes back to it. Null: not a check's.
  template <Family F>
  const CheckPath* find_question(const FlowKey<F>& flow) const {
    const auto& tuple = flow.tuple;
    return find(
        questions_,
        {Address::from(tuple.destination), tuple.destination_port.host(), tuple.source_port.host(), flow.protocol},
        Address::from(tuple.source));
  }
  template <Family F>
  const CheckPath* find_answer(const FlowKey<F>& flow) const {
    const auto& tuple = flow.tuple;
    return find(answers_,
                {Address::from(tuple.source), tuple.source_port.host(), tuple.destination_port.host(), flow.protocol},
                Address::from(tuple.destination));
  }

 private:
  using Index = FrozenMap<CheckFlow, uint32_t, CheckFlowHash>;
  const CheckPath* find(const Index& index, const CheckFlow& flow, const Address& own) const {
    const uint32_t* found = index.find(flow);
    return found == nullptr || !(paths_[*found].source == own) ? nullptr : &paths_[*found];
  }

  std::vector<CheckPath> paths_;
  Index questions_, answers_;
};

// The first path that shares a packet with one before it, by its position: nobody could tell them apart.
std::optional<size_t> ambiguous_path(const std::vector<CheckPath>& paths);

}  // namespace fulcrum
