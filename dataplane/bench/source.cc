// SPDX-License-Identifier: Apache-2.0
#include "bench/source.h"

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "bench/capture.h"
#include "conn/tcp_state.h"
#include "net/checksum.h"
#include "net/headers.h"
#include "net/owner.h"

namespace fulcrum::bench {

namespace {
// 20.0.0.0 and above; no two numbers give the same address and port.
constexpr uint32_t kFirstFreshClient = 0x14000000;
constexpr unsigned kPortBits = 15;
constexpr uint16_t kFirstFreshPort = 1u << kPortBits;
}  // namespace

void Source::attach(uint16_t port) {
  const auto callback = scenario_.family == Family::kIpv4 ? receive<Family::kIpv4> : receive<Family::kIpv6>;
  if (rte_eth_add_rx_callback(port, 0, callback, this) == nullptr)
    throw BenchError("DPDK was built without receive callbacks, which stamp the packets");
}

template <Family F>
uint16_t Source::receive(uint16_t, uint16_t, rte_mbuf** packets, uint16_t count, uint16_t, void* source) {
  return static_cast<Source*>(source)->pass<F>(packets, count);
}

template <Family F>
uint16_t Source::pass(rte_mbuf** packets, uint16_t count) {
  const Gate gate = gate_.load(std::memory_order_acquire);
  if (gate == Gate::kShut) {
    rte_pktmbuf_free_bulk(packets, count);
    return 0;
  }
  if (gate == Gate::kPlain) {
    plain_.store(plain() + count, std::memory_order_relaxed);
    return count;
  }
  if (gate == Gate::kRevisit) {
    for (uint16_t i = 0; i < count; ++i) stamp<F>(packets[i], (mix64(++revisited_) >> 32) * scenario_.flows >> 32);
    return count;
  }
  const bool is_life = scenario_.traffic == Traffic::kLife && scenario_.protocol == IpProtocol::kTcp;
  uint16_t passed = 0;
  for (uint16_t i = 0; i < count; ++i) {
    if (scenario_.traffic == Traffic::kFlood) {
      stamp_flood<F>(packets[i]);
    } else if (!is_life) {
      stamp<F>(packets[i], next_flow_++);
    } else if (!stamp_life<F>(packets[i])) {
      rte_pktmbuf_free(packets[i]);
      continue;
    }
    packets[passed++] = packets[i];
  }
  if (scenario_.traffic != Traffic::kFlood && !is_life) fresh_.store(next_flow_, std::memory_order_relaxed);
  return passed;
}

// The file holds the frames of one life, over and over; they belong to connections that are so far apart.
template <Family F>
bool Source::stamp_life(rte_mbuf* packet) {
  const uint64_t phase = life_packets_ % Scenario::kTcpLife, begun = life_packets_ / Scenario::kTcpLife;
  ++life_packets_;
  if (begun < phase * kLifeLag) return false;
  stamp<F>(packet, begun - phase * kLifeLag);
  count(phase == 0 ? fresh_ : plain_);
  return true;
}

// Every second packet, the others in the next lap, so that every flow of the file goes on.
template <Family F>
void Source::stamp_flood(rte_mbuf* packet) {
  const bool is_fresh = ((flood_at_ & 1) != 0) != flood_odd_lap_;
  if (++flood_at_ == scenario_.flows) {
    flood_at_ = 0;
    // With an odd number of frames the next lap is another anyway.
    flood_odd_lap_ = (scenario_.flows & 1) != 0 ? flood_odd_lap_ : !flood_odd_lap_;
  }
  if (!is_fresh) return count(plain_);
  stamp<F>(packet, next_flow_++);
  if (scenario_.protocol == IpProtocol::kTcp) make_syn<F>(packet);
  count(fresh_);
}

template <Family F>
void Source::make_syn(rte_mbuf* packet) {
  constexpr unsigned kIpBytes = F == Family::kIpv4 ? kIpv4Bytes : kIpv6Bytes;
  auto& header = *rte_pktmbuf_mtod_offset(packet, TcpHeader*, kEthernetBytes + kIpBytes);
  const auto word = [&header] {
    return be16::from_host(static_cast<uint16_t>(header.data_offset << 8 | header.flags));
  };
  const be16 before = word();
  header.flags = kTcpSyn;
  header.checksum = ChecksumDelta().replace(before, word()).apply(header.checksum);
}

template <Family F>
void Source::stamp(rte_mbuf* packet, uint64_t flow) const {
  uint8_t* ip = rte_pktmbuf_mtod(packet, uint8_t*) + kEthernetBytes;
  uint8_t* transport = ip + (F == Family::kIpv4 ? kIpv4Bytes : kIpv6Bytes);
  const auto address = be32::from_host(kFirstFreshClient + static_cast<uint32_t>(flow >> kPortBits));
  const auto port = be16::from_host(static_cast<uint16_t>(kFirstFreshPort | (flow & (kFirstFreshPort - 1))));
  // Of an IPv6 address the last four bytes.
  uint8_t* client = F == Family::kIpv4 ? ip + 12 : ip + 8 + 12;

  ChecksumDelta delta;
  delta.replace(load_unaligned<be32>(client), address);
  if constexpr (F == Family::kIpv4) {
    auto& header = *reinterpret_cast<Ipv4Header*>(ip);
    header.checksum = delta.apply(header.checksum);
  }
  delta.replace(load_unaligned<be16>(transport), port);
  store_unaligned(client, address);
  store_unaligned(transport, port);
  if (scenario_.protocol == IpProtocol::kTcp) {
    auto& header = *reinterpret_cast<TcpHeader*>(transport);
    header.checksum = delta.apply(header.checksum);
  } else {
    auto& header = *reinterpret_cast<UdpHeader*>(transport);
    header.checksum = delta.apply_udp(header.checksum);
  }
}

}  // namespace fulcrum::bench
