// SPDX-License-Identifier: Apache-2.0
#include "bench/scenario.h"

#include <charconv>

#include "net/owner.h"

namespace fulcrum::bench {

namespace {

// Addresses for benchmarks: 198.18.0.0/15 (RFC 2544) and 2001:2::/48 (RFC 5180), a network of them for each worker.
constexpr uint32_t kClientNetwork4 = 0xc6120000;
constexpr uint64_t kClientNetwork = 0x2001'0002'0000'0000;
// Addresses for documentation: 198.51.100.0/24 (RFC 5737), another network of 198.51 for the second worker, and
// 2001:db8::/32 (RFC 3849).
constexpr uint32_t kOutsideNetwork = 0xc6336400, kInsideNetwork = 0x0a010000;
constexpr uint64_t kOutsideNetwork6 = 0x2001'0db8'0000'0000, kInsideNetwork6 = 0x2001'0db8'0001'0000;
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

void take_kind(std::string_view& text, Scenario& scenario) {
  if (take_prefix(text, "new-"))
    scenario.traffic = Traffic::kNew;
  else if (take_prefix(text, "life-"))
    scenario.traffic = Traffic::kLife;
  else if (take_prefix(text, "flood-"))
    scenario.traffic = Traffic::kFlood;
  else if (take_prefix(text, "pairs-"))
    scenario.layout = Layout::kPairs;
  else if (take_prefix(text, "handover-"))
    scenario.layout = Layout::kHandOver;
}

bool take_method(std::string_view& text, Scenario& scenario) {
  if (take_prefix(text, "dr"))
    scenario.method = ForwardingMethod::kDr;
  else if (take_prefix(text, "tun"))
    scenario.method = ForwardingMethod::kTun;
  else if (take_prefix(text, "nat"))
    scenario.method = ForwardingMethod::kNat;
  else
    return false;
  if (take_prefix(text, "6")) scenario.family = Family::kIpv6;
  if (!take_prefix(text, "-")) return false;
  if (scenario.method != ForwardingMethod::kNat || take_prefix(text, "client-")) return true;
  scenario.from_servers = true;
  // Nothing begins with a server's packet.
  return scenario.traffic == Traffic::kHit && take_prefix(text, "server-");
}

Address address_of(Family family, uint32_t network, uint64_t network6, uint32_t host) {
  if (family == Family::kIpv4) return Address::from(be32::from_host(network + host));
  return Address::from(Ipv6Address{be64::from_host(network6).raw, be64::from_host(host).raw});
}

}  // namespace

std::optional<Scenario> Scenario::parse(std::string_view name) {
  Scenario scenario;
  scenario.name = name;
  if (take_suffix(name, "-tcp")) scenario.protocol = IpProtocol::kTcp;
  take_kind(name, scenario);
  if (!take_method(name, scenario)) return std::nullopt;
  const auto flows = parse_flows(name);
  if (!flows) return std::nullopt;
  scenario.flows = *flows;
  return scenario;
}

Address Scenario::outside(unsigned worker) const {
  return address_of(family, kOutsideNetwork + (worker << 8), kOutsideNetwork6 + worker, 1);
}

Address Scenario::vip(unsigned worker) const {
  return address_of(family, kOutsideNetwork + (worker << 8), kOutsideNetwork6 + worker, 10);
}

Address Scenario::inside(unsigned worker) const {
  return address_of(family, kInsideNetwork + (worker << 16), kInsideNetwork6 + worker, 1);
}

Address Scenario::gateway(unsigned worker) const {
  return address_of(family, kInsideNetwork + (worker << 16), kInsideNetwork6 + worker, 0xfe);
}

Address Scenario::server(unsigned worker, uint32_t number) const {
  return address_of(family, kInsideNetwork + (worker << 16), kInsideNetwork6 + worker, 0x101 + number);
}

Prefix Scenario::clients(unsigned worker) const {
  const uint8_t length = family == Family::kIpv4 ? 16 : 64;
  return {address_of(family, kClientNetwork4 + (worker << 16), kClientNetwork + worker, 0), length};
}

std::vector<uint32_t> Scenario::flows_of_pair(unsigned pair) const {
  const unsigned owner = owner_of_pair(pair);
  const auto is_owned = [&](uint32_t flow) {
    const auto owner_by = [&](const auto& tuple) {
      return owner_of(owner_hash(tuple.source, tuple.source_port), workers());
    };
    return owner == (family == Family::kIpv4 ? owner_by(client_tuple<Family::kIpv4>(owner, flow))
                                             : owner_by(client_tuple<Family::kIpv6>(owner, flow)));
  };
  std::vector<uint32_t> numbers;
  numbers.reserve(flows);
  for (uint32_t flow = 0; numbers.size() < flows; ++flow)
    if (is_owned(flow)) numbers.push_back(flow);
  return numbers;
}

template <Family F>
Tuple<F> Scenario::client_tuple(unsigned worker, uint32_t flow) const {
  const auto client =
      address_of(F, kClientNetwork4 + (worker << 16), kClientNetwork + worker, 1 + flow % kClients).as<F>();
  return {client, vip(worker).as<F>(), be16::from_host(static_cast<uint16_t>(kFirstClientPort + flow / kClients)),
          be16::from_host(kPort)};
}

template <Family F>
Tuple<F> Scenario::arriving(unsigned worker, uint32_t flow) const {
  const Tuple<F> of_client = client_tuple<F>(worker, flow);
  if (!from_servers) return of_client;
  Tuple<F> of_server = of_client.reversed();
  of_server.source = server(worker, server_of(flow)).as<F>();
  return of_server;
}

template Tuple<Family::kIpv4> Scenario::client_tuple(unsigned, uint32_t) const;
template Tuple<Family::kIpv6> Scenario::client_tuple(unsigned, uint32_t) const;
template Tuple<Family::kIpv4> Scenario::arriving(unsigned, uint32_t) const;
template Tuple<Family::kIpv6> Scenario::arriving(unsigned, uint32_t) const;

Verdict Scenario::expected_verdict() const {
  switch (method) {
    case ForwardingMethod::kDr:
      return Verdict::kForwardedDr;
    case ForwardingMethod::kTun:
      return Verdict::kForwardedTun;
    case ForwardingMethod::kNat:
    case ForwardingMethod::kBypass:  // not measured
    case ForwardingMethod::kMasquerade:
      break;
  }
  return from_servers ? Verdict::kForwardedNatReply : Verdict::kForwardedNat;
}

}  // namespace fulcrum::bench
