// SPDX-License-Identifier: Apache-2.0
#include "test/test_engine.h"

#include <sched.h>

#include "test/packet_builder.h"

namespace fulcrum::test {

namespace {

std::vector<uint32_t> allowed_cpus() {
  cpu_set_t set;
  std::vector<uint32_t> cpus;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return {0};
  for (uint32_t cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  return cpus;
}

StartConfig config() {
  StartConfig config;
  config.housekeeping_cpus = allowed_cpus();
  config.worker_cpus = {config.housekeeping_cpus.front(), config.housekeeping_cpus.back()};
  config.hugepages = Hugepages::kOff;
  config.memory_mb = 1536;
  config.connections = 20'000;
  config.packet_buffers = 16'383;
  config.testing = true;
  config.eal_arguments = {"--log-level=3"};
  const auto port = [&](const char* name, const char* mac) {
    PortConfig made;
    made.name = name;
    made.device = "memory";
    made.mac = parse_mac(mac);
    config.ports.push_back(made);
  };
  port("cl", "02:00:00:00:01:01");
  port("rs", "02:00:00:00:02:01");
  const auto interface = [&](const char* name, const char* on, uint16_t vlan, const char* address) {
    config.interfaces.push_back({name, on, vlan, 0, {Prefix::parse(address).value()}});
  };
  interface("cl", "cl", 0, "10.0.1.1/24");
  interface("rs", "rs", 0, "10.0.2.1/24");
  interface("rs.100", "rs", 100, "10.0.100.1/24");
  config.routes.push_back({Prefix::parse("0.0.0.0/0").value(), Endpoint("10.0.1.254").address, "cl"});
  config.neighbors.push_back({Endpoint("10.0.1.254").address, "cl", parse_mac("02:00:00:00:01:fe").value()});
  for (unsigned last = 11; last <= 20; ++last)
    config.neighbors.push_back({Endpoint("10.0.2." + std::to_string(last)).address, "rs",
                                MacAddress{0x02, 0, 0, 0, 0x02, static_cast<uint8_t>(last)}});
  return config;
}

}  // namespace

Engine& test_engine() {
  static Engine engine(config());
  return engine;
}

Engine& running_engine() {
  static const bool launched = [] {
    test_engine().launch();
    return true;
  }();
  static_cast<void>(launched);
  return test_engine();
}

}  // namespace fulcrum::test
