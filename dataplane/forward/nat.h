// SPDX-License-Identifier: Apache-2.0
// NAT: client packets get the real server's address and port as destination, replies get the VIP's as source. Checksums
// follow by difference, so that what was wrong stays wrong by the same amount and the receiver finds out.
#pragma once

#include "net/chain.h"
#include "net/headers.h"
#include "net/packet.h"

namespace fulcrum {

// TTL - 1 and the header checksum with it. The caller has seen to TTL > 1.
inline void decrement_ttl(Ipv4Header& ip) {
  --ip.ttl;
  ip.checksum = checksum_after_ttl_decrement(ip.checksum);
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
