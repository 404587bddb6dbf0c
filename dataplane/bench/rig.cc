// SPDX-License-Identifier: Apache-2.0
#include "bench/rig.h"

#include <rte_launch.h>

#include <algorithm>
#include <numeric>
#include <random>

namespace fulcrum::bench {

namespace {

// Both DPDK devices of a rig, as a user would write them.
constexpr const char* kSinkDevice = "net_null0,no-rx=1";

Address address_of(uint32_t host) { return Address::from(be32::from_host(host)); }

StartConfig start_config(const Scenario& scenario, const RigOptions& options) {
  StartConfig config;
  config.housekeeping_cpus = {options.housekeeping_cpu};
  config.worker_cpus = {options.worker_cpu};
  config.hugepages = options.hugepages;
  config.idle = IdlePolicy::kPoll;
  config.connections = std::max<uint64_t>(scenario.flows, 1024);
  // net_pcap keeps the whole file in buffers; the rest is for packets on their way.
  config.packet_buffers = scenario.flows + 16383;

  PortConfig source, sink;
  source.name = "source";
  source.device = "net_pcap0,rx_pcap=" + options.capture + ",infinite_rx=1";
  sink.name = "sink";
  sink.device = kSinkDevice;
  config.ports = {source, sink};
  InterfaceConfig outside, inside;
  outside.name = "outside";
  outside.port = source.name;
  outside.addresses = {{address_of(Scenario::kOutside), 24}};
  inside.name = "inside";
  inside.port = sink.name;
  inside.addresses = {{address_of(Scenario::kInside), 16}};
  config.interfaces = {outside, inside};
  config.routes = {{{address_of(0), 0}, address_of(Scenario::kGateway), inside.name}};

  const auto add_neighbor = [&](const Address& address, uint8_t number) {
    config.neighbors.push_back({address, inside.name, {0x02, 0, 0, 0, 1, number}});
  };
  add_neighbor(address_of(Scenario::kGateway), 0xfe);
  for (uint32_t server = 0; server < Scenario::kServers; ++server)
    add_neighbor(Address::from(Scenario::server_address(server)), static_cast<uint8_t>(server));
  return config;
}

}  // namespace

Rig::Rig(const Scenario& scenario, const RigOptions& options)
    : scenario_(scenario), engine_(start_config(scenario, options)) {
  const MacAddress mac = engine_.network().interface(0).mac;
  if (mac != kCapturePortMac)
    throw BenchError("the frames are addressed to " + mac_text(kCapturePortMac) + ", but net_pcap0 has " +
                     mac_text(mac));
  configure();
  if (options.preload) preload();
}

void Rig::take_over() {
  engine_.shared().running.store(false);
  rte_eal_mp_wait_lcore();
  engine_.shared().clock.set_ms(engine_.now_ms());
}

void Rig::configure() {
  const ServiceKey key{address_of(Scenario::kVip), scenario_.protocol, Scenario::kPort, 0};
  std::vector<Operation> operations(1);
  operations[0].kind = Operation::Kind::kAddService;
  operations[0].service = key;
  operations[0].settings.scheduler = "rr";
  for (uint32_t server = 0; server < Scenario::kServers; ++server) {
    Operation add;
    add.kind = Operation::Kind::kAddServer;
    add.service = key;
    add.server.key = {Address::from(Scenario::server_address(server)), Scenario::kPort};
    add.server.method = scenario_.method;
    operations.push_back(add);
  }
  const Engine::ApplyOutcome outcome = engine_.apply_operations("", "bench", 0, 1, operations, true);
  for (const OperationResult& result : outcome.results)
    if (result.reason != Reason::kDone)
      throw BenchError("the service is refused: " + result.field + ": " + result.message);
}

void Rig::preload() {
  const Snapshot& snapshot = *engine_.shared().snapshot.load();
  const VirtualService& service = *snapshot.services[0];
  const auto server_named = [&](uint32_t server) -> const RealServer& {
    const Address address = Address::from(Scenario::server_address(server));
    return *std::find_if(service.servers.begin(), service.servers.end(),
                         [&](const RealServer& at) { return at.key.address == address; });
  };
  // Connections come in any order: neighbours in the file are not to be neighbours in memory.
  std::vector<uint32_t> order(scenario_.flows);
  std::iota(order.begin(), order.end(), 0u);
  std::shuffle(order.begin(), order.end(), std::mt19937(1));
  for (const uint32_t flow : order) {
    const FlowKey<Family::kIpv4> key{scenario_.client_tuple(flow), scenario_.protocol};
    if (!engine_.worker(0).preload(service, server_named(Scenario::server_of(flow)), key))
      throw BenchError("the connection table is full after fewer than " + std::to_string(scenario_.flows) +
                       " connections");
  }
}

}  // namespace fulcrum::bench
