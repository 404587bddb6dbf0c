// SPDX-License-Identifier: Apache-2.0
#include "bench/scenario.h"

#include <charconv>

namespace fulcrum::bench {

namespace {

// RFC 2544's addresses for benchmarks: 198.18.0.0/15.
constexpr uint32_t kFirstClient = 0xc6120001;
constexpr uint32_t kClients = 60'000;
constexpr uint16_t kFirstClientPort = 1024;

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

bool take_suffix(std::string_view& text, std::string_view suffix) {
  if (!text.ends_with(suffix)) return false;
  text.remove_suffix(suffix.size());
  return true;
}

// "1", "10k", "1m".
std::optional<uint32_t> parse_flows(std::string_view text) {
  uint64_t unit = 1;
  if (take_suffix(text, "k")) unit = 1'000;
  if (unit == 1 && take_suffix(text, "m")) unit = 1'000'000;
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number == 0) return std::nullopt;
  const uint64_t flows = number * unit;
  if (flows > Scenario::kMostFlows) return std::nullopt;
  return static_cast<uint32_t>(flows);
}

}  // namespace

std::optional<Scenario> Scenario::parse(std::string_view name) {
  Scenario scenario;
  scenario.name = name;
  if (take_suffix(name, "-tcp")) scenario.protocol = IpProtocol::kTcp;
  if (take_prefix(name, "dr-")) {
    scenario.method = ForwardingMethod::kDr;
  } else if (take_prefix(name, "tun-")) {
    scenario.method = ForwardingMethod::kTun;
  } else if (take_prefix(name, "nat-client-")) {
    scenario.method = ForwardingMethod::kNat;
  } else if (take_prefix(name, "nat-server-")) {
    scenario.method = ForwardingMethod::kNat;
    scenario.from_servers = true;
  } else {
    return std::nullopt;
  }
  const auto flows = parse_flows(name);
  if (!flows) return std::nullopt;
  scenario.flows = *flows;
  return scenario;
}

Tuple<Family::kIpv4> Scenario::client_tuple(uint32_t flow) const {
  return {be32::from_host(kFirstClient + flow % kClients), be32::from_host(kVip),
          be16::from_host(static_cast<uint16_t>(kFirstClientPort + flow / kClients)), be16::from_host(kPort)};
}

Tuple<Family::kIpv4> Scenario::server_tuple(uint32_t flow) const {
  Tuple<Family::kIpv4> tuple = client_tuple(flow).reversed();
  tuple.source = server_address(server_of(flow));
  return tuple;
}

Verdict Scenario::expected_verdict() const {
  switch (method) {
    case ForwardingMethod::kDr:
      return Verdict::kForwardedDr;
    case ForwardingMethod::kTun:
      return Verdict::kForwardedTun;
    case ForwardingMethod::kNat:
    case ForwardingMethod::kBypass:  // not measured
      break;
  }
  return from_servers ? Verdict::kForwardedNatReply : Verdict::kForwardedNat;
}

}  // namespace fulcrum::bench
