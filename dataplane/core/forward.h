// SPDX-License-Identifier: Apache-2.0
// From a decided packet to the wire, the part that every balanced packet goes through: next hop, TTL and MTU rules, the
// forwarding methods, the Ethernet header. Inline in the director's loop.
#pragma once

#include <rte_cycles.h>
#include <rte_mbuf.h>

#include "core/worker.h"
#include "forward/nat.h"
#include "forward/tunnel.h"

namespace fulcrum {

// RFC 791: every link carries 68 bytes; LVS drops what a tunnel would leave less for.
inline constexpr unsigned kLeastMtu = 68;

// Of a connection: remembered until a route or a neighbour goes.
inline Worker::NextHop Worker::next_hop_of(Table::Entry& entry, bool to_client) {
  const AdjacencyIndex remembered = to_client ? entry.client_adjacency : entry.server_adjacency;
  if (entry.route_epoch != route_epoch_ || remembered == kNoAdjacency) [[unlikely]]
    return resolve_for(entry, to_client);
  NextHop hop;
  hop.adjacency = &(*shared_.adjacencies)[remembered];
  hop.mtu = hop.adjacency->mtu;
  return hop;
}

// LVS: what has DF set and is longer than the limit is refused, what has not is cut.
inline bool Worker::fits(const PacketView& view, unsigned limit) const {
  return view.total_length <= limit || (view.ipv4().fragment.host() & kIpv4DontFragment) == 0;
}

inline void Worker::forward_to_server(rte_mbuf* packet, PacketView& view, Table::Entry& entry) {
  Ipv4Header& ip = view.ipv4();
  const NextHop hop = next_hop_of(entry, false);
  if (!hop) [[unlikely]]
    return refuse(packet, view, kIcmpUnreachable, kUnreachableHost, 0, Verdict::kHostUnreachableSent);
  if (ip.ttl <= 1) [[unlikely]]
    return refuse(packet, view, kIcmpTimeExceeded, 0, 0, Verdict::kTimeExceededSent);
  decrement_ttl(ip);

  const ForwardingMethod method = entry.method();
  const unsigned limit = hop.mtu - (method == ForwardingMethod::kTun ? kIpipBytes : 0);
  if (!fits(view, limit)) [[unlikely]]
    return refuse(packet, view, kIcmpUnreachable, kUnreachableFragmentation, static_cast<uint16_t>(limit),
                  Verdict::kFragmentationNeededSent);
  switch (method) {
    case ForwardingMethod::kDr:
      return send(packet, view.ip, view.total_length, hop, static_cast<uint8_t>(Verdict::kForwardedDr));
    case ForwardingMethod::kNat:
      translate<false>(packet, view, entry.reply.source, entry.reply.source_port);
      return send(packet, view.ip, view.total_length, hop, static_cast<uint8_t>(Verdict::kForwardedNat));
    case ForwardingMethod::kTun:
      if (limit < kLeastMtu || !encapsulate(packet, view, entry, hop)) [[unlikely]]
        return drop(packet, Verdict::kNoHeadroom);
      return send(packet, view.ip - kIpipBytes, view.total_length + kIpipBytes, hop,
                  static_cast<uint8_t>(Verdict::kForwardedTun));
  }
}

// False: there is no room for another header.
inline bool Worker::encapsulate(rte_mbuf* packet, const PacketView& view, const Table::Entry& entry,
                                const NextHop& hop) {
  const auto before = static_cast<uint32_t>(view.ip - rte_pktmbuf_mtod(packet, const uint8_t*));
  if (before + rte_pktmbuf_headroom(packet) < kIpipBytes + kEthernetBytes + kVlanBytes) [[unlikely]]
    return false;
  // Padding of a short frame must not end up behind the tunnelled packet.
  const uint32_t wanted = before + view.total_length;
  if (rte_pktmbuf_pkt_len(packet) > wanted)
    rte_pktmbuf_trim(packet, static_cast<uint16_t>(rte_pktmbuf_pkt_len(packet) - wanted));
  be32 source;
  if (hop.adjacency != nullptr) [[likely]] {
    source = hop.adjacency->own_v4;
  } else if (const auto own = snapshot_->network->interface(sought_.interface).address_for(sought_.address)) {
    source = own->v4();
  }
  const Ipv4Header& inner = view.ipv4();
  const bool whole = (inner.fragment.host() & kIpv4DontFragment) != 0;
  write_ipip(*reinterpret_cast<Ipv4Header*>(view.ip - kIpipBytes), inner, source,
             shared_.servers[entry.server].address.v4(), whole ? be16{} : be16{static_cast<uint16_t>(rte_rdtsc())});
  return true;
}

inline void Worker::forward_to_client(rte_mbuf* packet, PacketView& view, Table::Entry& entry) {
  const NextHop hop = next_hop_of(entry, true);
  if (!hop) [[unlikely]]
    return refuse(packet, view, kIcmpUnreachable, kUnreachableNet, 0, Verdict::kNetUnreachableSent);
  if (!fits(view, hop.mtu)) [[unlikely]]
    return refuse(packet, view, kIcmpUnreachable, kUnreachableFragmentation, static_cast<uint16_t>(hop.mtu),
                  Verdict::kFragmentationNeededSent);
  decrement_ttl(view.ipv4());
  Verdict verdict = Verdict::kForwardedReply;
  if (entry.method() == ForwardingMethod::kNat) {
    translate<true>(packet, view, entry.forward.destination, entry.forward.destination_port);
    verdict = Verdict::kForwardedNatReply;
  }
  send(packet, view.ip, view.total_length, hop, static_cast<uint8_t>(verdict));
}

inline void Worker::send(rte_mbuf* packet, uint8_t* ip, unsigned length, const NextHop& hop, uint8_t verdict) {
  if (length > hop.mtu) [[unlikely]]
    return send_fragments(packet, ip, hop, verdict);
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
