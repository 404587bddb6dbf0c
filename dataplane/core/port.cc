// SPDX-License-Identifier: Apache-2.0
#include "core/port.h"

#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/eal.h"

namespace fulcrum {

namespace {
constexpr unsigned kMemoryRing = 8192;
constexpr uint64_t kWantedRss = RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP;
// Without these the ports have no part in the hash.
constexpr uint64_t kPortRss = RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV4_UDP;

// These make exactly the queues that their arguments ask for, and receive on every one.
bool has_fixed_queues(const std::string& driver) {
  return driver == "net_af_packet" || driver == "net_pcap" || driver == "net_ring";
}
}  // namespace

void Port::fail(const std::string& what, int error) const {
  const std::string lines = LogTap::instance().recent(device_name(config_.device));
  throw StartError("ports." + config_.name + ": device \"" + config_.device + "\": " + what +
                   (error != 0 ? std::string(": ") + rte_strerror(error < 0 ? -error : error) : "") + lines);
}

void Port::find() {
  // A vdev that fails to probe does not fail EAL's start: look for each by name.
  std::string name = device_name(config_.device);
  if (is_pci_address(config_.device) && std::count(name.begin(), name.end(), ':') == 1) name = "0000:" + name;
  if (rte_eth_dev_get_port_by_name(name.c_str(), &id_) != 0) {
    const std::string lines = LogTap::instance().recent("");
    throw StartError("ports." + config_.name + ".device: \"" + config_.device + "\" did not come up" + lines);
  }
}

void Port::create_memory(uint16_t queues, unsigned socket) {
  for (uint16_t queue = 0; queue < queues; ++queue) {
    const std::string name = "fulcrum_memory_" + config_.name + "_" + std::to_string(queue);
    memory_rx_.push_back(rte_ring_create((name + "_rx").c_str(), kMemoryRing, static_cast<int>(socket), 0));
    memory_tx_.push_back(rte_ring_create((name + "_tx").c_str(), kMemoryRing, static_cast<int>(socket), 0));
    if (memory_rx_.back() == nullptr || memory_tx_.back() == nullptr) fail("no memory for its rings", rte_errno);
  }
  const int id = rte_eth_from_rings(("memory_" + config_.name).c_str(), memory_rx_.data(), queues, memory_tx_.data(),
                                    queues, socket);
  if (id < 0) fail("no ring device", rte_errno);
  id_ = static_cast<PortId>(id);
}

void Port::negotiate(uint32_t workers) {
  rte_eth_dev_info info{};
  if (const int error = rte_eth_dev_info_get(id_, &info); error != 0) fail("says nothing about itself", error);
  driver_ = info.driver_name;
  socket_ = std::max(0, rte_eth_dev_socket_id(id_));
  const bool fixed = has_fixed_queues(driver_);
  const auto wanted = static_cast<uint16_t>(workers);
  const bool can_spread = (info.flow_type_rss_offloads & kWantedRss) != 0;
  rx_queues_ =
      fixed ? info.max_rx_queues : static_cast<uint16_t>(can_spread ? std::min(wanted, info.max_rx_queues) : 1);
  tx_queues_ = fixed ? info.max_tx_queues : std::min(wanted, info.max_tx_queues);
  if (config_.rx_queues != 0) {
    if (config_.rx_queues > info.max_rx_queues)
      throw StartError("ports." + config_.name + ".rx_queues: the device has at most " +
                       std::to_string(info.max_rx_queues));
    rx_queues_ = config_.rx_queues;
  }
  if (config_.tx_queues != 0) {
    if (config_.tx_queues > info.max_tx_queues)
      throw StartError("ports." + config_.name + ".tx_queues: the device has at most " +
                       std::to_string(info.max_tx_queues));
    tx_queues_ = config_.tx_queues;
  }
  rss_ = rx_queues_ > 1 ? info.flow_type_rss_offloads & kWantedRss : 0;
  redirection_entries_ = info.reta_size;
  // Drivers that do not say mean the usual length.
  rss_key_.assign(info.hash_key_size != 0 ? info.hash_key_size : RssSteering::kKeyBytes, 0);
  if (config_.rx_descriptors != 0) rx_descriptors_ = config_.rx_descriptors;
  if (config_.tx_descriptors != 0) tx_descriptors_ = config_.tx_descriptors;
  if (const int error = rte_eth_dev_adjust_nb_rx_tx_desc(id_, &rx_descriptors_, &tx_descriptors_); error != 0)
    fail("refuses the number of descriptors", error);
  if (info.max_mtu != 0 && config_.mtu > info.max_mtu)
    throw StartError("ports." + config_.name + ".mtu: the device carries at most " + std::to_string(info.max_mtu));
  rx_offloads_ = info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_VLAN_STRIP;
  for (uint64_t bit = 1; bit != 0; bit <<= 1)
    if ((rx_offloads_ & bit) != 0) offloads_.push_back(rte_eth_dev_rx_offload_name(bit));
}

unsigned Port::rss_bits(uint32_t workers) const {
  const bool can = (rss_ & kPortRss) == kPortRss && rx_queues_ == workers &&
                   std::has_single_bit(redirection_entries_) && rss_key_.size() >= RssSteering::kKeyBytes;
  if (!can) return 0;
  const auto bits = static_cast<unsigned>(std::bit_width(redirection_entries_)) - 1;
  return bits < RssSteering::kLeastBits ? 0 : std::min(bits, RssSteering::kMostBits);
}

void Port::align(const RssSteering& steering, ClientEnd end, uint32_t workers) {
  // What a longer key has beyond is for inputs longer than two endpoints.
  const RssSteering::Key key = steering.key(end);
  std::copy(key.begin(), key.end(), rss_key_.begin());
  rss_queues_ = steering.table(redirection_entries_, workers);
}

void Port::set_redirection() {
  std::vector<rte_eth_rss_reta_entry64> table((redirection_entries_ + RTE_ETH_RETA_GROUP_SIZE - 1) /
                                              RTE_ETH_RETA_GROUP_SIZE);
  for (uint32_t entry = 0; entry < redirection_entries_; ++entry) {
    auto& group = table[entry / RTE_ETH_RETA_GROUP_SIZE];
    group.mask |= uint64_t{1} << entry % RTE_ETH_RETA_GROUP_SIZE;
    group.reta[entry % RTE_ETH_RETA_GROUP_SIZE] = rss_queues_[entry];
  }
  rte_eth_rss_conf hash{};
  hash.rss_key = rss_key_.data();
  hash.rss_key_len = static_cast<uint8_t>(rss_key_.size());
  hash.rss_hf = rss_;
  aligned_ = rte_eth_dev_rss_hash_update(id_, &hash) == 0 &&
             rte_eth_dev_rss_reta_update(id_, table.data(), static_cast<uint16_t>(redirection_entries_)) == 0;
}

void Port::configure(rte_mempool* buffers) {
  rte_eth_dev_info info{};
  rte_eth_dev_info_get(id_, &info);
  rte_eth_conf conf{};
  conf.rxmode.mtu = config_.mtu;
  conf.rxmode.offloads = rx_offloads_;
  if (rss_ != 0) {
    conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf.rx_adv_conf.rss_conf.rss_hf = rss_;
  }
  if (const int error = rte_eth_dev_configure(id_, rx_queues_, tx_queues_, &conf); error != 0)
    fail("cannot be configured", error);
  for (uint16_t queue = 0; queue < rx_queues_; ++queue) {
    rte_eth_rxconf rx = info.default_rxconf;
    rx.offloads = rx_offloads_;
    if (const int error =
            rte_eth_rx_queue_setup(id_, queue, rx_descriptors_, static_cast<unsigned>(socket_), &rx, buffers);
        error != 0)
      fail("receive queue " + std::to_string(queue), error);
  }
  for (uint16_t queue = 0; queue < tx_queues_; ++queue) {
    rte_eth_txconf tx = info.default_txconf;
    tx.offloads = 0;
    if (const int error = rte_eth_tx_queue_setup(id_, queue, tx_descriptors_, static_cast<unsigned>(socket_), &tx);
        error != 0)
      fail("transmit queue " + std::to_string(queue), error);
  }
  if (config_.mac) {
    rte_ether_addr wanted;
    std::memcpy(wanted.addr_bytes, config_.mac->data(), 6);
    // A device without a filter of its own need not know.
    if (const int error = rte_eth_dev_default_mac_addr_set(id_, &wanted); error != 0 && error != -ENOTSUP)
      fail("cannot have the MAC " + mac_text(*config_.mac), error);
  }
  // Devices that cannot change it keep theirs; one that cannot carry the MTU was refused in negotiate().
  if (const int error = rte_eth_dev_set_mtu(id_, config_.mtu); error != 0 && error != -ENOTSUP)
    fail("refuses an MTU of " + std::to_string(config_.mtu), error);
}

void Port::start() {
  if (const int error = rte_eth_dev_start(id_); error != 0) fail("does not start", error);
  started_ = true;
  if (!rss_queues_.empty()) set_redirection();
  // Neighbour discovery asks groups (RFC 4861). A device that cannot be told so gets all of its link anyway.
  rte_eth_allmulticast_enable(id_);
  rte_ether_addr own{};
  rte_eth_macaddr_get(id_, &own);
  std::memcpy(mac_.data(), own.addr_bytes, 6);
  if (config_.mac) mac_ = *config_.mac;
  const bool nothing = std::all_of(mac_.begin(), mac_.end(), [](uint8_t byte) { return byte == 0; });
  // net_null and net_pcap have none of their own.
  if (nothing) mac_ = {0x02, 0x66, 0x75, 0x6c, static_cast<uint8_t>(id_ >> 8), static_cast<uint8_t>(id_)};
}

void Port::stop() {
  if (!started_) return;
  started_ = false;
  rte_eth_dev_stop(id_);
  rte_eth_dev_close(id_);
}

unsigned Port::inject(uint16_t queue, const std::vector<std::string>& frames, rte_mempool* buffers) {
  unsigned taken = 0;
  for (const std::string& frame : frames) {
    rte_mbuf* packet = rte_pktmbuf_alloc(buffers);
    if (packet == nullptr) break;
    char* room = rte_pktmbuf_append(packet, static_cast<uint16_t>(frame.size()));
    if (room != nullptr) std::memcpy(room, frame.data(), frame.size());
    if (room == nullptr || rte_ring_enqueue(memory_rx_[queue % memory_rx_.size()], packet) != 0) {
      rte_pktmbuf_free(packet);
      break;
    }
    ++taken;
  }
  return taken;
}

std::vector<std::string> Port::drain() {
  std::vector<std::string> frames;
  for (rte_ring* ring : memory_tx_) {
    void* taken;
    while (rte_ring_dequeue(ring, &taken) == 0) {
      auto* packet = static_cast<rte_mbuf*>(taken);
      std::string frame(rte_pktmbuf_pkt_len(packet), '\0');
      const void* data = rte_pktmbuf_read(packet, 0, rte_pktmbuf_pkt_len(packet), frame.data());
      if (data != frame.data()) std::memcpy(frame.data(), data, frame.size());
      frames.push_back(std::move(frame));
      rte_pktmbuf_free(packet);
    }
  }
  return frames;
}

bool Port::has_pending() const {
  return std::any_of(memory_rx_.begin(), memory_rx_.end(), [](rte_ring* ring) { return rte_ring_empty(ring) == 0; });
}

}  // namespace fulcrum
