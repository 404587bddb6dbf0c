// SPDX-License-Identifier: Apache-2.0
// A case of the bench by its name ("nat-server-10k", "dr-1m-tcp"): what is forwarded how, and the flows it consists of.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/verdict.h"
#include "net/flow_key.h"
#include "service/service.h"

namespace fulcrum::bench {

struct Scenario {
  // The director's links: the capture file's port is the outside, the port that frees what it gets is the inside.
  static constexpr uint32_t kOutside = 0xc6336401;  // 198.51.100.1/24
  static constexpr uint32_t kVip = 0xc633640a;      // 198.51.100.10
  static constexpr uint32_t kInside = 0x0a010001;   // 10.1.0.1/16
  static constexpr uint32_t kGateway = 0x0a0100fe;  // 10.1.0.254, towards the clients of nat-server cases
  static constexpr uint32_t kFirstServer = 0x0a010101;
  static constexpr uint32_t kServers = 16;
  static constexpr uint16_t kPort = 80;
  static constexpr uint32_t kMostFlows = 10'000'000;

  std::string name;
  ForwardingMethod method = ForwardingMethod::kDr;
  bool from_servers = false;  // the capture file holds the servers' replies
  IpProtocol protocol = IpProtocol::kUdp;
  uint32_t flows = 0;

  static std::optional<Scenario> parse(std::string_view name);

  // The client's packets of a flow, and the server's as they reach a NAT director.
  Tuple<Family::kIpv4> client_tuple(uint32_t flow) const;
  Tuple<Family::kIpv4> server_tuple(uint32_t flow) const;
  Tuple<Family::kIpv4> arriving(uint32_t flow) const { return from_servers ? server_tuple(flow) : client_tuple(flow); }
  static uint32_t server_of(uint32_t flow) { return flow % kServers; }
  static be32 server_address(uint32_t server) { return be32::from_host(kFirstServer + server); }
  // By which every packet must leave.
  Verdict expected_verdict() const;
};

}  // namespace fulcrum::bench
