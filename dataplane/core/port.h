// SPDX-License-Identifier: Apache-2.0
// A port: a DPDK device, found by name after EAL's start, configured with what the device reports it can do.
#pragma once

#include "core/config.h"
#include "net/rss.h"

struct rte_mempool;

namespace fulcrum {

class Port {
 public:
  explicit Port(PortConfig config) : config_(std::move(config)) {}

  // Throws StartError naming the port, with EAL's own lines about its device.
  void find();
  // For "memory" ports: two sets of rings, one a direction.
  void create_memory(uint16_t queues, unsigned socket);
  // How many low bits of its hash the device can spread by as RssSteering has it; 0: it cannot.
  unsigned rss_bits(uint32_t workers) const;
  // From configure() and start() on; `end`: where its packets carry the client. Call between negotiate() and these.
  void align(const RssSteering& steering, ClientEnd end, uint32_t workers);
  void configure(rte_mempool* buffers);
  void start();
  void stop();

  // Feeds frames into a memory port; how many were taken.
  unsigned inject(uint16_t queue, const std::vector<std::string>& frames, rte_mempool* buffers);
  std::vector<std::string> drain();
  bool has_pending() const;

  const PortConfig& config() const { return config_; }
  PortId id() const { return id_; }
  uint16_t rx_queues() const { return rx_queues_; }
  uint16_t tx_queues() const { return tx_queues_; }
  uint32_t buffers_wanted() const {
    return uint32_t{rx_queues_} * rx_descriptors_ + uint32_t{tx_queues_} * tx_descriptors_;
  }
  MacAddress mac() const { return mac_; }
  const std::string& driver() const { return driver_; }
  const std::vector<std::string>& offloads() const { return offloads_; }
  // Its queues get what their workers own. What it does not do so is handed over, so this is not needed to be right.
  bool is_aligned() const { return aligned_; }
  bool is_memory() const { return config_.device == "memory"; }
  int socket() const { return socket_; }
  // Decides queues and descriptors; configure() uses them.
  void negotiate(uint32_t workers);

 private:
  void set_redirection();
  [[noreturn]] void fail(const std::string& what, int error) const;

  PortConfig config_;
  PortId id_ = 0;
  bool started_ = false;
  uint16_t rx_queues_ = 1, tx_queues_ = 1;
  uint16_t rx_descriptors_ = 1024, tx_descriptors_ = 1024;
  uint64_t rx_offloads_ = 0;
  uint64_t rss_ = 0;
  uint32_t redirection_entries_ = 0;  // 0: the device's table cannot be set
  std::vector<uint8_t> rss_key_;      // as long as the device wants it; empty: the device's own
  std::vector<uint16_t> rss_queues_;
  bool aligned_ = false;
  MacAddress mac_{};
  std::string driver_;
  std::vector<std::string> offloads_;
  int socket_ = 0;
  std::vector<struct rte_ring*> memory_rx_, memory_tx_;
};

}  // namespace fulcrum
