// SPDX-License-Identifier: Apache-2.0
// Ports whose receive side scaling is set, on DPDK's net_null, which keeps what it is told; and who faces whom.
#include "core/port_alignment.h"

#include <doctest/doctest.h>
#include <rte_bus_vdev.h>
#include <rte_ethdev.h>

#include <bit>

#include "net/owner.h"
#include "test/buffers.h"

using namespace fulcrum;

namespace {

struct NullDevice {
  explicit NullDevice(std::string its_name) : name(std::move(its_name)) {
    test::test_buffers();
    REQUIRE(rte_vdev_init(name.c_str(), "") == 0);
  }
  ~NullDevice() { rte_vdev_uninit(name.c_str()); }
  std::string name;
};

StartConfig two_ports() {
  StartConfig config;
  config.worker_cpus = {1, 2};
  for (const char* name : {"wan", "lan"}) {
    PortConfig port;
    port.name = name;
    port.device = std::string("net_null_") + name;
    config.ports.push_back(port);
    InterfaceConfig interface;
    interface.name = interface.port = name;
    config.interfaces.push_back(interface);
  }
  config.interfaces[0].addresses = {Prefix::parse("203.0.113.1/24").value()};
  config.interfaces[1].addresses = {Prefix::parse("10.0.0.1/24").value()};
  return config;
}

RouteConfig route(const char* prefix, const char* via, const char* interface) {
  return {Prefix::parse(prefix).value(), Address::parse(via).value(), interface};
}

std::vector<ClientEnd> ends_of(const StartConfig& config) {
  std::vector<ClientEnd> ends;
  for (const PortConfig& port : config.ports) ends.push_back(client_end(config, port));
  return ends;
}

constexpr ClientEnd kSource = ClientEnd::kSource, kDestination = ClientEnd::kDestination;

}  // namespace

TEST_CASE("port alignment: clients are where the default route leads, or where it says so") {
  StartConfig config = two_ports();
  CHECK(ends_of(config) == std::vector{kDestination, kDestination});
  config.routes = {route("10.9.0.0/16", "10.0.0.9", "lan"), route("0.0.0.0/0", "203.0.113.254", "wan")};
  CHECK(ends_of(config) == std::vector{kSource, kDestination});
  config.routes[1].interface = "";  // the gateway's address says which
  CHECK(ends_of(config) == std::vector{kSource, kDestination});
  config.ports[1].faces = Faces::kClients;
  config.ports[0].faces = Faces::kServers;
  CHECK(ends_of(config) == std::vector{kDestination, kSource});
  config.ports.pop_back();
  config.ports[0].faces = Faces::kAuto;
  config.routes.clear();
  CHECK(ends_of(config) == std::vector{kSource});
}

TEST_CASE("port alignment: keys and redirection tables are what the devices get") {
  NullDevice wan("net_null_wan"), lan("net_null_lan");
  StartConfig config = two_ports();
  config.routes = {route("0.0.0.0/0", "203.0.113.254", "wan")};
  std::vector<std::unique_ptr<Port>> ports;
  for (const PortConfig& port : config.ports) {
    ports.push_back(std::make_unique<Port>(port));
    ports.back()->find();
    ports.back()->negotiate(2);
  }
  const auto steering = align_ports(config, ports);
  REQUIRE(steering != nullptr);
  for (const auto& port : ports) {
    port->configure(test::test_buffers());
    port->start();
    CHECK(port->is_aligned());
    rte_eth_dev_info info{};
    REQUIRE(rte_eth_dev_info_get(port->id(), &info) == 0);
    CHECK(steering->bits() == static_cast<unsigned>(std::bit_width(uint32_t{info.reta_size})) - 1);

    std::vector<uint8_t> key(RssSteering::kKeyBytes);
    rte_eth_rss_conf hash{};
    hash.rss_key = key.data();
    hash.rss_key_len = static_cast<uint8_t>(key.size());
    REQUIRE(rte_eth_dev_rss_hash_conf_get(port->id(), &hash) == 0);
    const auto wanted = steering->key(client_end(config, port->config()));
    CHECK(std::equal(wanted.begin(), wanted.end(), key.begin()));

    rte_eth_rss_reta_entry64 table[RTE_ETH_RSS_RETA_SIZE_512 / RTE_ETH_RETA_GROUP_SIZE] = {};
    for (auto& group : table) group.mask = ~uint64_t{0};
    REQUIRE(rte_eth_dev_rss_reta_query(port->id(), table, info.reta_size) == 0);
    const auto queues = steering->table(info.reta_size, 2);
    for (uint16_t entry = 0; entry < info.reta_size; ++entry)
      REQUIRE(table[entry / RTE_ETH_RETA_GROUP_SIZE].reta[entry % RTE_ETH_RETA_GROUP_SIZE] == queues[entry]);
    port->stop();
  }
}

TEST_CASE("port alignment: nothing is set for one worker, or for a device that has too few queues") {
  NullDevice wan("net_null_wan");
  StartConfig config = two_ports();
  config.ports.pop_back();
  std::vector<std::unique_ptr<Port>> ports;
  ports.push_back(std::make_unique<Port>(config.ports[0]));
  ports[0]->find();
  ports[0]->negotiate(1);
  config.worker_cpus = {1};
  CHECK(align_ports(config, ports) == nullptr);
  config.worker_cpus = {1, 2};
  CHECK(align_ports(config, ports) == nullptr);
  config.ports[0].faces = Faces::kBoth;
  ports[0] = std::make_unique<Port>(config.ports[0]);
  ports[0]->find();
  ports[0]->negotiate(2);
  CHECK(ports[0]->rss_bits(2) != 0);
  CHECK(align_ports(config, ports) == nullptr);
}
