// SPDX-License-Identifier: Apache-2.0
// From a decided packet to the wire, the part that every balanced packet goes through: next hop, TTL and MTU rules, the
// forwarding methods, the Ethernet header. Inline in the director's loop.
#pragma once

#include <rte_cycles.h>
#include <rte_mbuf.h>

#include "core/worker.h"
#include "forward/nat.h"
#include "forward/tunnel.h"
#include "net/fragment_limit.h"

namespace fulcrum {

// Of a connection: remembered until a route or a neighbour goes.
template <Family F>
inline Worker::NextHop Worker::next_hop_of(Connection<F>& entry, bool to_client) {
  const AdjacencyIndex remembered = to_client ? entry.client_adjacency : entry.server_adjacency;
  if (entry.route_epoch != route_epoch_ || remembered == kNoAdjacency) [[unlikely]]
    return resolve_for(entry, to_client);
  NextHop hop;
  hop.adjacency = &(*shared_.adjacencies)[remembered];
  hop.mtu = hop.adjacency->mtu;
  return hop;
}

// LVS: what has DF set and is longer than the limit is refused, what has not is cut. IPv6 is never
// cut, but what came in pieces may leave in pieces (RFC 8200 section 5).
template <Family F>
inline bool Worker::fits(const rte_mbuf* packet, const PacketView<F>& view, unsigned limit) const {
  if (view.total_length <= limit) [[likely]]
    return true;
  if constexpr (F == Family::kIpv4) return (view.header().fragment.host() & kIpv4DontFragment) == 0;
  if constexpr (F == Family::kIpv6) return fragment_limit(packet) != 0 && fragment_limit(packet) <= limit;
}

// Towards servers LVS cuts ICMP whatever its DF says: nobody may complain about an error.
template <Family F>
inline bool Worker::fits_server(const rte_mbuf* packet, const PacketView<F>& view, unsigned limit) const {
  if (fits(packet, view, limit)) [[likely]]
    return true;
  return F == Family::kIpv4 && view.key.protocol == IpProtocol::kIcmp;
}

template <Family F>
[[gnu::always_inline]] inline void Worker::forward_to_server(rte_mbuf* packet, PacketView<F>& view,
                                                             Connection<F>& entry) {
  if ((view.tcp_flags & kTcpSyn) != 0) [[unlikely]]
    limit_segments(packet, view, entry);
  const NextHop hop = next_hop_of(entry, false);
  if (!hop) [[unlikely]]
    return refuse(packet, view, Refusal::kNoHost, Verdict::kHostUnreachableSent);
  if (view.ttl() <= 1) [[unlikely]]
    return refuse(packet, view, Refusal::kTimeExceeded, Verdict::kTimeExceededSent);
  decrement_ttl(view.header());

  const ForwardingMethod method = entry.method();
  if (method == ForwardingMethod::kTun) return forward_by_tunnel(packet, view, entry, hop);
  if (!fits_server(packet, view, hop.mtu)) [[unlikely]]
    return refuse(packet, view, Refusal::kTooBig, Verdict::kFragmentationNeededSent, static_cast<uint16_t>(hop.mtu));
  auto verdict = Verdict::kForwardedDr;
  if (method == ForwardingMethod::kNat) {
    translate<false>(packet, view, entry.reply.source, entry.reply.source_port);
    verdict = Verdict::kForwardedNat;
  } else if (method == ForwardingMethod::kBypass) [[unlikely]] {
    verdict = Verdict::kForwardedBypass;
  }
  send(packet, view.ip, view.total_length, hop, static_cast<uint8_t>(verdict));
}

template <Family F>
inline void Worker::forward_by_tunnel(rte_mbuf* packet, PacketView<F>& view, Connection<F>& entry, NextHop hop) {
  const ServerLine& server = shared_.servers[entry.server];
  const TunnelSettings tunnel = server.tunnel.load(std::memory_order_relaxed);
  const unsigned overhead = tunnel_overhead(tunnel, server.address.family);
  hop.mtu = path_mtu(server, hop.mtu);
  const unsigned limit = hop.mtu - overhead;
  // LVS drops what a tunnel would leave less for than every link carries (RFC 791, RFC 8200 section 5).
  const unsigned least = server.address.family == Family::kIpv4 ? kIpv4LeastMtu : kIpv6LeastMtu;
  if (hop.mtu < overhead + least) [[unlikely]]
    return drop(packet, Verdict::kTunnelMtu);
  if (snapshot_->tunables.pmtu_disc != 0 && !fits_server(packet, view, limit)) [[unlikely]]
    return refuse(packet, view, Refusal::kTooBig, Verdict::kFragmentationNeededSent, static_cast<uint16_t>(limit));
  if (!tunnel_holds(tunnel, server.address.family, view.total_length) ||
      !encapsulate(packet, view, server, tunnel, hop)) [[unlikely]]
    return drop(packet, Verdict::kNoHeadroom);
  send(packet, view.ip - overhead, view.total_length + overhead, hop, static_cast<uint8_t>(Verdict::kForwardedTun));
}

// What a router on the way to the server said of the path, for a while (RFC 1191 section 6.3).
inline unsigned Worker::path_mtu(const ServerLine& server, unsigned link_mtu) const {
  const unsigned learnt = server.path_mtu.load(std::memory_order_relaxed);
  if (learnt == 0 || learnt >= link_mtu) [[likely]]
    return link_mtu;
  return now_s_ < server.path_mtu_until_s.load(std::memory_order_relaxed) ? learnt : link_mtu;
}

// False: there is no room for another header.
template <Family F>
inline bool Worker::encapsulate(rte_mbuf* packet, const PacketView<F>& view, const ServerLine& server,
                                const TunnelSettings& tunnel, const NextHop& hop) {
  const unsigned overhead = tunnel_overhead(tunnel, server.address.family);
  const auto before = static_cast<uint32_t>(view.ip - rte_pktmbuf_mtod(packet, const uint8_t*));
  if (before + rte_pktmbuf_headroom(packet) < overhead + kEthernetBytes + kVlanBytes) [[unlikely]]
    return false;
  // Padding of a short frame must not end up behind the tunnelled packet.
  const uint32_t wanted = before + view.total_length;
  if (rte_pktmbuf_pkt_len(packet) > wanted) shorten(packet, wanted);
  if constexpr (F == Family::kIpv4) {
    if (tunnel.type == TunnelType::kIpip && server.address.family == Family::kIpv4) [[likely]] {
      const be32 source = hop.adjacency != nullptr ? hop.adjacency->own_v4 : tunnel_source(hop, Family::kIpv4).v4();
      write_ipip(*reinterpret_cast<Ipv4Header*>(view.ip - kIpipBytes), view.header(), source, server.address.v4(),
                 next_ip_id(), snapshot_->tunables.pmtu_disc != 0);
      return true;
    }
  }
  write_other_tunnel(packet, view, server, tunnel, hop);
  return true;
}

template <Family F>
[[gnu::always_inline]] inline void Worker::forward_to_client(rte_mbuf* packet, PacketView<F>& view,
                                                             Connection<F>& entry) {
  if ((view.tcp_flags & kTcpSyn) != 0) [[unlikely]]
    limit_segments(packet, view, entry);
  const NextHop hop = next_hop_of(entry, true);
  if (!hop) [[unlikely]]
    return refuse(packet, view, Refusal::kNoRoute, Verdict::kNetUnreachableSent);
  if (!fits(packet, view, hop.mtu)) [[unlikely]]
    return refuse(packet, view, Refusal::kTooBig, Verdict::kFragmentationNeededSent, static_cast<uint16_t>(hop.mtu));
  decrement_ttl(view.header());
  Verdict verdict = Verdict::kForwardedReply;
  if (entry.method() == ForwardingMethod::kNat) {
    translate<true>(packet, view, entry.forward.destination, entry.forward.destination_port);
    verdict = Verdict::kForwardedNatReply;
  }
  send(packet, view.ip, view.total_length, hop, static_cast<uint8_t>(verdict));
}

inline void Worker::send(rte_mbuf* packet, uint8_t* ip, unsigned length, const NextHop& hop, uint8_t verdict) {
  if (length > hop.mtu || fragment_limit(packet) != 0) [[unlikely]]
    return send_fragments(packet, ip, hop, verdict);
  send_whole(packet, ip, hop, verdict);
}

inline void Worker::send_whole(rte_mbuf* packet, uint8_t* ip, const NextHop& hop, uint8_t verdict) {
  if (hop.adjacency == nullptr) [[unlikely]]
    return park(packet, ip, sought_, verdict);
  Adjacency& adjacency = *hop.adjacency;
  if (!adjacency.usable.load(std::memory_order_relaxed)) [[unlikely]]
    return park(packet, ip, NeighborKey{adjacency.address, 0, adjacency.interface}, verdict);
  send_by(packet, ip, adjacency, verdict);
}

// Puts the Ethernet header before the datagram and queues the frame.
inline void Worker::send_by(rte_mbuf* packet, uint8_t* ip, Adjacency& adjacency, uint8_t verdict) {
  uint8_t* frame = ip - adjacency.header_bytes;
  if (const auto grown = static_cast<int>(rte_pktmbuf_mtod(packet, uint8_t*) - frame); grown != 0) {
    if (grown > packet->data_off) [[unlikely]]
      return lose(packet, verdict, Verdict::kNoHeadroom);
    packet->data_off = static_cast<uint16_t>(packet->data_off - grown);
    packet->data_len = static_cast<uint16_t>(packet->data_len + grown);
    packet->pkt_len = static_cast<uint32_t>(static_cast<int>(packet->pkt_len) + grown);
  }
  packet->ol_flags &= RTE_MBUF_F_EXTERNAL | RTE_MBUF_F_INDIRECT;

  store_unaligned(frame, adjacency.head.load(std::memory_order_relaxed));
  if (adjacency.header_bytes == kEthernetBytes) [[likely]] {
    store_unaligned(frame + 8, static_cast<uint32_t>(adjacency.tail));
    store_unaligned(frame + 12, static_cast<uint16_t>(adjacency.tail >> 32));
  } else {
    store_unaligned(frame + 8, adjacency.tail);
    store_unaligned(frame + 16, adjacency.tail_more);
  }
  if (adjacency.last_used_s.load(std::memory_order_relaxed) != now_s_) [[unlikely]]
    adjacency.last_used_s.store(now_s_, std::memory_order_relaxed);
  push(packet, adjacency.port, verdict);
}

inline void Worker::push(rte_mbuf* packet, PortId port, uint8_t verdict) {
  TransmitBuffer& buffer = transmit_[port];
  if (buffer.count == TransmitBuffer::kSize) [[unlikely]]
    flush(port);
  buffer.packets[buffer.count] = packet;
  buffer.verdicts[buffer.count] = verdict;
  ++buffer.count;
}

}  // namespace fulcrum
