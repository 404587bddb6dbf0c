// SPDX-License-Identifier: Apache-2.0
// NAT: client packets get the real server's address and port as destination, replies get the VIP's as source. Checksums
// follow by difference, so that what was wrong stays wrong by the same amount and the receiver finds out.
#pragma once

#include "net/chain.h"
#include "net/crc32c.h"
#include "net/headers.h"
#include "net/packet.h"

namespace fulcrum {

// TTL - 1 and the header checksum with it. The caller has seen to TTL > 1.
inline void decrement_ttl(Ipv4Header& ip) {
  --ip.ttl;
  ip.checksum = checksum_after_ttl_decrement(ip.checksum);
}

inline void decrement_ttl(Ipv6Header& ip) { --ip.hop_limit; }

namespace nat {

template <bool kReply>
be32& translated(Ipv4Header& ip) {
  return kReply ? ip.source : ip.destination;
}
template <bool kReply>
Ipv6Address& translated(Ipv6Header& ip) {
  return kReply ? ip.source : ip.destination;
}

// LVS: "no checksum" is replaced by a computed one, in both directions.
template <Family F>
[[gnu::noinline]] void compute_udp_checksum(const rte_mbuf* packet, const PacketView<F>& view) {
  auto& udp = *reinterpret_cast<UdpHeader*>(view.transport());
  const auto& ip = view.header();
  const auto offset = static_cast<uint16_t>(view.transport() - rte_pktmbuf_mtod(packet, const uint8_t*));
  const uint32_t size = view.total_length - view.transport_offset;
  const uint64_t sum = pseudo_header_sum(ip.source, ip.destination, IpProtocol::kUdp, size);
  udp.checksum = udp_on_wire(complement_sum(sum + sum_of_data(packet, offset, size)));
}

// A CRC does not follow by difference: computed anew if the port has changed; no address is part of it.
template <Family F>
[[gnu::noinline]] void compute_sctp_checksum(const rte_mbuf* packet, const PacketView<F>& view) {
  const auto offset = static_cast<uint16_t>(view.transport() - rte_pktmbuf_mtod(packet, const uint8_t*));
  const uint32_t sum = sctp_checksum(packet, offset, view.total_length - view.transport_offset);
  store_unaligned(view.transport() + kSctpChecksumOffset, sum);
}

}  // namespace nat

// One text for both ways: kReply translates the source, otherwise the destination is translated. Of a protocol without
// ports (those of IPsec) the address only.
template <bool kReply, Family F>
inline void translate(rte_mbuf* packet, const PacketView<F>& view, const AddressOf<F>& address, be16 port) {
  auto& ip = view.header();
  uint8_t* transport = view.transport();
  auto& old_address = nat::translated<kReply>(ip);
  auto* old_port = reinterpret_cast<be16*>(transport + (kReply ? 0 : 2));

  ChecksumDelta of_address;
  of_address.replace(AddressOf<F>{old_address}, address);
  ChecksumDelta of_both = of_address;
  of_both.replace(be16{old_port->raw}, port);

  old_address = address;
  if constexpr (F == Family::kIpv4) ip.checksum = of_address.apply(ip.checksum);
  switch (view.key.protocol) {
    case IpProtocol::kTcp: {
      *old_port = port;
      auto& tcp = *reinterpret_cast<TcpHeader*>(transport);
      tcp.checksum = of_both.apply(tcp.checksum);
      return;
    }
    case IpProtocol::kUdp: {
      *old_port = port;
      auto& udp = *reinterpret_cast<UdpHeader*>(transport);
      if (udp.checksum.raw == 0) [[unlikely]]
        return nat::compute_udp_checksum(packet, view);
      udp.checksum = of_both.apply_udp(udp.checksum);
      return;
    }
    case IpProtocol::kSctp:
      if (*old_port == port) return;
      *old_port = port;
      return nat::compute_sctp_checksum(packet, view);
    default:
      return;
  }
}

}  // namespace fulcrum
