// SPDX-License-Identifier: Apache-2.0
// What kind of packet the kernel gets, for the limits of the kernel port (core/kernel_queue.h).
#pragma once

#include "conn/tcp_state.h"
#include "core/kernel_queue.h"
#include "net/packet.h"

namespace fulcrum {

// Broadcast or multicast, on the link.
inline bool is_group_frame(const rte_mbuf* packet) { return (*rte_pktmbuf_mtod(packet, const uint8_t*) & 1) != 0; }

// Whose ports are these? BGP (RFC 4271), BFD (RFC 5881 section 4, RFC 5883 section 5).
constexpr bool is_control_port(IpProtocol protocol, uint16_t port) {
  constexpr uint16_t kBgp = 179, kBfd = 3784, kBfdMultihop = 4784;
  return protocol == IpProtocol::kTcp ? port == kBgp : port == kBfd || port == kBfdMultihop;
}

// Routing and redundancy protocols that are their own: IGMP, OSPF, PIM, VRRP.
constexpr bool is_control_protocol(IpProtocol protocol) {
  constexpr auto kOspf = IpProtocol{89}, kPim = IpProtocol{103}, kVrrp = IpProtocol{112};
  return protocol == IpProtocol::kIgmp || protocol == kOspf || protocol == kPim || protocol == kVrrp;
}

// Multicast Listener Discovery (RFC 3810 section 5, RFC 2710 section 3).
constexpr bool is_listener_discovery(uint8_t icmpv6_type) {
  return (icmpv6_type >= 130 && icmpv6_type <= 132) || icmpv6_type == 143;
}

template <Family F>
KernelClass kernel_class(const PacketView<F>& view) {
  const IpProtocol protocol = view.key.protocol;
  if (is_control_protocol(protocol)) return KernelClass::kControl;
  if (view.kind == PacketKind::kIcmp)
    return F == Family::kIpv6 && is_listener_discovery(view.transport()[0]) ? KernelClass::kControl
                                                                            : KernelClass::kIcmp;
  if (view.kind != PacketKind::kFlow) return KernelClass::kRest;
  const bool is_tcp = protocol == IpProtocol::kTcp;
  if (is_tcp && (view.tcp_flags & (kTcpSyn | kTcpAck)) == kTcpSyn) return KernelClass::kConnect;
  const auto& tuple = view.key.tuple;
  if ((is_tcp || protocol == IpProtocol::kUdp) && (is_control_port(protocol, tuple.destination_port.host()) ||
                                                   (is_tcp && is_control_port(protocol, tuple.source_port.host()))))
    return KernelClass::kControl;
  return is_tcp ? KernelClass::kTcp : KernelClass::kRest;
}

// Of a frame to a group of which only the link header has been read.
KernelClass kernel_class_of_group(const rte_mbuf* packet, const PacketFacts& facts);

}  // namespace fulcrum
