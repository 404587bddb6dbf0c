// SPDX-License-Identifier: Apache-2.0
// A case of the bench by its name ("nat-server-10k", "new-dr6-2m", "pairs-tun-10k-tcp"): what traffic meets the
// director, over how many devices and workers, what is forwarded how, and the flows it consists of.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/verdict.h"
#include "net/flow_key.h"
#include "service/service.h"

namespace fulcrum::bench {

enum class Traffic : uint8_t {
  kHit,    // every packet belongs to an established connection
  kNew,    // every packet begins a connection: UDP's first datagram, or a SYN; none ends meanwhile
  kLife,   // connections begin, live, expire, as many of one as of the other
  kFlood,  // the table is full of established connections; every second packet would begin another
};

enum class Layout : uint8_t {
  kOneWorker,
  kPairs,     // two workers, each with a pair of devices of its own, on which its own flows arrive
  kHandOver,  // the same, but each worker receives the flows of the other
};

struct Scenario {
  static constexpr uint32_t kServers = 16;
  static constexpr uint16_t kPort = 80;
  static constexpr uint32_t kMostFlows = 10'000'000;
  // Of a connection's life over TCP: SYN, ACK, FIN, ACK. Over UDP it is one datagram.
  static constexpr unsigned kTcpLife = 4;

  std::string name;
  Traffic traffic = Traffic::kHit;
  Layout layout = Layout::kOneWorker;
  Family family = Family::kIpv4;
  ForwardingMethod method = ForwardingMethod::kDr;
  bool from_servers = false;  // the capture file holds the servers' replies
  IpProtocol protocol = IpProtocol::kUdp;
  uint32_t flows = 0;  // of each pair of devices; of kNew and kLife: the connections that the table holds

  static std::optional<Scenario> parse(std::string_view name);

  unsigned pairs() const { return layout == Layout::kOneWorker ? 1 : 2; }
  unsigned workers() const { return pairs(); }
  bool preloads() const { return traffic == Traffic::kHit || traffic == Traffic::kFlood; }
  // The worker whose flows arrive on a pair of devices.
  unsigned owner_of_pair(unsigned pair) const { return layout == Layout::kHandOver ? 1 - pair : pair; }
  // The numbers of the flows that arrive there.
  std::vector<uint32_t> flows_of_pair(unsigned pair) const;
  // Frames in the capture file of a pair: one a flow, or a few that the source stamps.
  uint32_t frames() const { return preloads() ? flows : 64; }
  uint64_t connections() const { return uint64_t{flows} * pairs(); }

  // Of the service and the links of one worker: it has its own, so that its packets leave by its own device.
  Address outside(unsigned worker) const;  // on the link that the capture file comes from
  Address vip(unsigned worker) const;
  Address inside(unsigned worker) const;   // on the link whose port frees what it gets
  Address gateway(unsigned worker) const;  // towards the clients of nat-server cases
  Address server(unsigned worker, uint32_t number) const;
  Prefix clients(unsigned worker) const;  // all whose flows it has
  uint8_t outside_prefix() const { return family == Family::kIpv4 ? 24 : 64; }
  uint8_t inside_prefix() const { return family == Family::kIpv4 ? 16 : 64; }
  static uint32_t server_of(uint32_t flow) { return flow % kServers; }

  // The client's packets of a flow, and the server's as they reach a NAT director.
  template <Family F>
  Tuple<F> client_tuple(unsigned worker, uint32_t flow) const;
  template <Family F>
  Tuple<F> arriving(unsigned worker, uint32_t flow) const;
  // By which every packet must leave.
  Verdict expected_verdict() const;
};

}  // namespace fulcrum::bench
