// SPDX-License-Identifier: Apache-2.0
// NAT: client packets get the real server's address and port as destination, replies get the VIP's as source. Checksums
// follow by difference, so that what was wrong stays wrong by the same amount and the receiver finds out.
#pragma once

#include <rte_mbuf.h>

#include <algorithm>

#include "net/checksum.h"
#include "net/headers.h"
#include "net/packet.h"

namespace fulcrum {

// TTL - 1 and the header checksum with it. The caller has seen to TTL > 1.
inline void decrement_ttl(Ipv4Header& ip) {
  --ip.ttl;
  ip.checksum = checksum_after_ttl_decrement(ip.checksum);
}

// The sum of `size` bytes that begin `offset` bytes into the packet's first buffer. What begins at an odd place has its
// bytes in the other halves of the words (RFC 1071 section 2(B)); rte_raw_cksum_mbuf of DPDK 22.11 loses carries there.
inline uint64_t sum_of_data(const rte_mbuf* packet, uint32_t offset, uint32_t size) {
  uint64_t sum = 0;
  for (bool odd = false; packet != nullptr && size != 0; packet = packet->next, offset = 0) {
    const uint32_t part = std::min(packet->data_len - offset, size);
    const uint16_t folded = fold_sum(add_to_sum(0, rte_pktmbuf_mtod_offset(packet, const uint8_t*, offset), part));
    sum += odd ? swap_bytes(folded) : folded;
    odd ^= (part & 1) != 0;
    size -= part;
  }
  return sum;
}

// One text for both ways: kReply translates the source, otherwise the destination is translated.
template <bool kReply>
void translate(rte_mbuf* packet, const PacketView& view, be32 address, be16 port) {
  Ipv4Header& ip = view.ipv4();
  uint8_t* transport = view.transport();
  be32& old_address = kReply ? ip.source : ip.destination;
  auto* old_port = reinterpret_cast<be16*>(transport + (kReply ? 0 : 2));

  ChecksumDelta of_address;
  of_address.replace(be32{old_address.raw}, address);
  ChecksumDelta of_both = of_address;
  of_both.replace(be16{old_port->raw}, port);

  old_address = address;
  *old_port = port;
  ip.checksum = of_address.apply(ip.checksum);
  if (view.key.protocol == IpProtocol::kTcp) {
    auto& tcp = *reinterpret_cast<TcpHeader*>(transport);
    tcp.checksum = of_both.apply(tcp.checksum);
    return;
  }
  auto& udp = *reinterpret_cast<UdpHeader*>(transport);
  if (udp.checksum.raw != 0) {
    udp.checksum = of_both.apply_udp(udp.checksum);
    return;
  }
  // LVS: "no checksum" is replaced by a computed one, in both directions.
  const auto offset = static_cast<uint16_t>(transport - rte_pktmbuf_mtod(packet, uint8_t*));
  const uint32_t size = view.total_length - view.transport_offset;
  const uint64_t sum = pseudo_header_sum(ip.source, ip.destination, IpProtocol::kUdp, size);
  udp.checksum = udp_on_wire(complement_sum(sum + sum_of_data(packet, offset, size)));
}

}  // namespace fulcrum
