// SPDX-License-Identifier: Apache-2.0
#include "bench/rig.h"

#include <rte_launch.h>

#include <algorithm>
#include <random>

#include "bench/clients.h"

namespace fulcrum::bench {

namespace {

constexpr uint32_t kSpareBuffers = 16383;
// How long a connection lives in kLife after its last packet: the least there is.
constexpr uint32_t kLifeSeconds = 1;

Address any_of(Family family) {
  Address any;
  any.family = family;
  return any;
}

InterfaceConfig interface_on(const PortConfig& port, const Address& address, uint8_t prefix) {
  InterfaceConfig interface;
  interface.name = port.name;
  interface.port = port.name;
  interface.addresses = {{address, prefix}};
  return interface;
}

// Both DPDK devices of a pair, as a user would write them.
void add_pair(StartConfig& config, const Scenario& scenario, const RigOptions& options, unsigned pair) {
  const std::string number = std::to_string(pair);
  PortConfig source, sink;
  source.name = "source" + number;
  source.device = "net_pcap" + number + ",rx_pcap=" + capture_of_pair(options.capture, pair) + ",infinite_rx=1";
  sink.name = "sink" + number;
  sink.device = "net_null" + number + ",no-rx=1";
  if (options.memory_ports) source.device = sink.device = "memory";
  source.faces = sink.faces = Faces::kBoth;  // owners are as scenarios reckon them
  // Sources first: each worker polls one.
  config.ports.insert(config.ports.begin() + pair, source);
  config.ports.push_back(sink);
  config.interfaces.push_back(interface_on(source, scenario.outside(pair), scenario.outside_prefix()));
  config.interfaces.push_back(interface_on(sink, scenario.inside(pair), scenario.inside_prefix()));
  const auto add_neighbor = [&](const Address& address, uint32_t last) {
    config.neighbors.push_back({address, sink.name, {0x02, 0, 0, 0, 1, static_cast<uint8_t>(last)}});
  };
  add_neighbor(scenario.gateway(pair), 0xfe);
  for (uint32_t server = 0; server < Scenario::kServers; ++server) add_neighbor(scenario.server(pair, server), server);
}

StartConfig start_config(const Scenario& scenario, const RigOptions& options) {
  StartConfig config;
  config.housekeeping_cpus = {options.housekeeping_cpu};
  config.worker_cpus = {options.worker_cpu};
  if (scenario.workers() == 2) config.worker_cpus.push_back(options.second_cpu);
  config.hugepages = options.hugepages;
  config.idle = IdlePolicy::kPoll;
  // A flood meets a table that the established connections fill.
  config.connections =
      scenario.traffic == Traffic::kFlood ? scenario.flows : std::max<uint64_t>(scenario.connections(), 1024);
  // net_pcap keeps whole files in buffers; the rest is for packets on their way.
  config.packet_buffers = scenario.pairs() * (scenario.frames() + kSpareBuffers);
  for (unsigned pair = 0; pair < scenario.pairs(); ++pair) add_pair(config, scenario, options, pair);
  // Replies leave by their worker's own sink.
  for (unsigned pair = 0; pair < scenario.pairs(); ++pair)
    config.routes.push_back({scenario.clients(pair), scenario.gateway(pair), "sink" + std::to_string(pair)});
  config.routes.push_back({{any_of(scenario.family), 0}, scenario.gateway(0), "sink0"});
  return config;
}

}  // namespace

Rig::Rig(const Scenario& scenario, const RigOptions& options)
    : scenario_(scenario), engine_(start_config(scenario, options)) {
  for (unsigned pair = 0; pair < scenario.pairs(); ++pair) {
    const Interface outside = engine_.network()->interface(static_cast<InterfaceId>(2 * pair));
    if (!options.memory_ports && outside.mac != capture_port_mac(pair))
      throw BenchError("the frames are addressed to " + mac_text(capture_port_mac(pair)) + ", but the port has " +
                       mac_text(outside.mac));
    if (scenario.traffic == Traffic::kHit) continue;
    sources_.push_back(std::make_unique<Source>(scenario));
    sources_.back()->attach(outside.port);
  }
  configure(options.prefixes);
  if (scenario.preloads()) preload();
}

void Rig::stop_workers() {
  engine_.shared().running.store(false);
  rte_eal_mp_wait_lcore();
}

void Rig::take_over() {
  stop_workers();
  engine_.shared().clock.set_ms(engine_.now_ms());
}

WorkerCounters Rig::counters() {
  WorkerCounters all;
  for (unsigned id = 0; id < scenario_.workers(); ++id) {
    const WorkerCounters& own = engine_.worker(id).counters();
    for (size_t verdict = 0; verdict < kVerdicts; ++verdict) all.verdicts[verdict] += own.verdicts[verdict];
    all.rx_packets += own.rx_packets;
    all.tx_packets += own.tx_packets;
    all.handed_over += own.handed_over;
    all.taken_over += own.taken_over;
  }
  return all;
}

uint64_t Rig::connections() {
  uint64_t all = 0;
  for (unsigned id = 0; id < scenario_.workers(); ++id) all += engine_.worker(id).connections();
  return all;
}

void Rig::open(Source::Gate gate) {
  for (const auto& source : sources_) source->open(gate);
}

uint64_t Rig::listed_packets() {
  constexpr uint32_t kPage = 4096;
  std::vector<ConnectionInfo> page;
  uint64_t packets = 0, cursor = 0;
  do {
    page.clear();
    cursor = engine_.list_connections({}, cursor, kPage, page);
    for (const ConnectionInfo& connection : page) packets += connection.in_packets;
  } while (cursor != 0);
  return packets;
}

void Rig::configure(uint32_t prefixes) {
  std::vector<Operation> operations;
  for (unsigned worker = 0; worker < scenario_.workers(); ++worker) add_service(worker, operations);
  if (prefixes != 0) deny(prefixes, operations);
  if (scenario_.traffic == Traffic::kLife) {
    Operation& edit = operations.emplace_back();
    edit.kind = Operation::Kind::kSetTimeouts;
    edit.timeouts.tcp.fill(kLifeSeconds);
    edit.timeouts.udp = kLifeSeconds;
  }
  const Engine::ApplyOutcome outcome = engine_.apply_operations("", "bench", 0, 1, operations, true);
  for (const OperationResult& result : outcome.results)
    if (result.reason != Reason::kDone) throw BenchError("an edit is refused: " + result.field + ": " + result.message);
}

void Rig::deny(uint32_t prefixes, std::vector<Operation>& operations) const {
  Operation set;
  set.kind = Operation::Kind::kSetPrefixList;
  set.prefixes = {"bench", std::make_shared<const PrefixList>(random_prefixes(scenario_.family, prefixes))};
  operations.push_back(set);
  TrafficPolicy policy;
  policy.deny.lists = {"bench"};
  set.kind = Operation::Kind::kSetTraffic;
  set.traffic = std::make_shared<const TrafficPolicy>(policy);
  for (unsigned worker = 0; worker < scenario_.workers(); ++worker) {
    set.service = {scenario_.vip(worker), scenario_.protocol, Scenario::kPort, 0};
    operations.push_back(set);
  }
}

void Rig::add_service(unsigned worker, std::vector<Operation>& operations) const {
  Operation add;
  add.kind = Operation::Kind::kAddService;
  add.service = {scenario_.vip(worker), scenario_.protocol, Scenario::kPort, 0};
  add.settings.scheduler = "rr";
  operations.push_back(add);
  add.kind = Operation::Kind::kAddServer;
  add.server.method = scenario_.method;
  for (uint32_t server = 0; server < Scenario::kServers; ++server) {
    add.server.key = {scenario_.server(worker, server), Scenario::kPort};
    operations.push_back(add);
  }
}

void Rig::preload() {
  for (unsigned pair = 0; pair < scenario_.pairs(); ++pair) {
    if (scenario_.family == Family::kIpv4) preload_pair<Family::kIpv4>(pair);
    if (scenario_.family == Family::kIpv6) preload_pair<Family::kIpv6>(pair);
  }
}

template <Family F>
void Rig::preload_pair(unsigned pair) {
  const unsigned owner = scenario_.owner_of_pair(pair);
  const Snapshot& snapshot = *engine_.shared().snapshot.load();
  const auto service = std::find_if(snapshot.services.begin(), snapshot.services.end(),
                                    [&](const auto& at) { return at->key.address == scenario_.vip(owner); });
  const auto server_named = [&](uint32_t number) -> const RealServer& {
    const Address address = scenario_.server(owner, number);
    return *std::find_if((*service)->servers.begin(), (*service)->servers.end(),
                         [&](const RealServer& at) { return at.key.address == address; });
  };
  // Connections come in any order: neighbours in the file are not to be neighbours in memory.
  std::vector<uint32_t> order = scenario_.flows_of_pair(pair);
  std::shuffle(order.begin(), order.end(), std::mt19937(1));
  for (const uint32_t flow : order) {
    const FlowKey<F> key{scenario_.client_tuple<F>(owner, flow), scenario_.protocol};
    if (!engine_.worker(owner).preload(**service, server_named(Scenario::server_of(flow)), key))
      throw BenchError("the connection table is full after fewer than " + std::to_string(scenario_.flows) +
                       " connections");
  }
}

}  // namespace fulcrum::bench
