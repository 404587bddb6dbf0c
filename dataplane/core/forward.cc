// SPDX-License-Identifier: Apache-2.0
// From a decided packet to the wire: next hop, TTL and MTU rules, the forwarding methods, parking, transmit buffers.
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>

#include "core/fragment.h"
#include "core/worker.h"
#include "forward/nat.h"
#include "forward/tunnel.h"

namespace fulcrum {

namespace {
// RFC 791: every link carries 68 bytes; LVS drops what a tunnel would leave less for.
constexpr unsigned kLeastMtu = 68;
}  // namespace

// The route, and the neighbour's adjacency if one is bound. False: no route.
bool Worker::resolve(be32 destination, NextHop& hop) {
  const Route* route = snapshot_->network->find_route(destination);
  if (route == nullptr) return false;
  NeighborKey& key = hop.key.emplace();
  key.address = route->gateway.family == Family::kNone ? Address::from(destination) : route->gateway;
  key.interface = route->interface;
  hop.mtu = snapshot_->network->interface(route->interface).mtu;
  const AdjacencyIndex bound = neighbors_.find(key);
  hop.adjacency = bound == kNoAdjacency ? nullptr : &(*shared_.adjacencies)[bound];
  return true;
}

// Of a connection: remembered until a route or a neighbour goes.
bool Worker::next_hop_of(Table::Entry& entry, bool to_client, NextHop& hop) {
  const AdjacencyIndex remembered = to_client ? entry.client_adjacency : entry.server_adjacency;
  if (entry.route_epoch != route_epoch_ || remembered == kNoAdjacency) [[unlikely]]
    return resolve_for(entry, to_client, hop);
  hop.adjacency = &(*shared_.adjacencies)[remembered];
  hop.mtu = hop.adjacency->mtu;
  return true;
}

bool Worker::resolve_for(Table::Entry& entry, bool to_client, NextHop& hop) {
  if (entry.route_epoch != route_epoch_) {
    entry.server_adjacency = entry.client_adjacency = kNoAdjacency;
    entry.route_epoch = route_epoch_;
  }
  const be32 destination = to_client ? entry.reply.destination : shared_.servers[entry.server].address.v4();
  if (!resolve(destination, hop)) return false;
  if (hop.adjacency != nullptr)
    (to_client ? entry.client_adjacency : entry.server_adjacency) = shared_.adjacencies->index_of(*hop.adjacency);
  return true;
}

// LVS: what has DF set and is longer than the limit is refused, what has not is cut.
bool Worker::fits(const PacketView& view, unsigned limit) const {
  return view.total_length <= limit || (view.ipv4().fragment.host() & kIpv4DontFragment) == 0;
}

[[gnu::flatten]] void Worker::forward_to_server(rte_mbuf* packet, PacketView& view, Table::Entry& entry) {
  Ipv4Header& ip = view.ipv4();
  NextHop hop;
  if (!next_hop_of(entry, false, hop)) [[unlikely]]
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
      return send(packet, view.ip, hop, static_cast<uint8_t>(Verdict::kForwardedDr));
    case ForwardingMethod::kNat:
      translate<false>(packet, view, entry.reply.source, entry.reply.source_port);
      return send(packet, view.ip, hop, static_cast<uint8_t>(Verdict::kForwardedNat));
    case ForwardingMethod::kTun:
      break;
  }
  const uint8_t* start = rte_pktmbuf_mtod(packet, uint8_t*);
  if (limit < kLeastMtu || static_cast<size_t>(view.ip - start) + rte_pktmbuf_headroom(packet) <
                               kIpipBytes + kEthernetBytes + kVlanBytes) [[unlikely]]
    return drop(packet, Verdict::kNoHeadroom);
  // Padding of a short frame must not end up behind the tunnelled packet.
  const uint32_t wanted = static_cast<uint32_t>(view.ip - start) + view.total_length;
  if (rte_pktmbuf_pkt_len(packet) > wanted)
    rte_pktmbuf_trim(packet, static_cast<uint16_t>(rte_pktmbuf_pkt_len(packet) - wanted));
  const be32 server = shared_.servers[entry.server].address.v4();
  be32 source;
  if (hop.adjacency != nullptr) [[likely]] {
    source = hop.adjacency->own_v4;
  } else {
    const auto own = snapshot_->network->interface(hop.key->interface).address_for(hop.key->address);
    if (own) source = own->v4();
  }
  uint8_t* outer = view.ip - kIpipBytes;
  write_ipip(*reinterpret_cast<Ipv4Header*>(outer), ip, source, server, be16{static_cast<uint16_t>(rte_rdtsc())});
  send(packet, outer, hop, static_cast<uint8_t>(Verdict::kForwardedTun));
}

[[gnu::flatten]] void Worker::forward_to_client(rte_mbuf* packet, PacketView& view, Table::Entry& entry) {
  NextHop hop;
  if (!next_hop_of(entry, true, hop)) [[unlikely]]
    return refuse(packet, view, kIcmpUnreachable, kUnreachableNet, 0, Verdict::kNetUnreachableSent);
  if (!fits(view, hop.mtu)) [[unlikely]]
    return refuse(packet, view, kIcmpUnreachable, kUnreachableFragmentation, hop.mtu,
                  Verdict::kFragmentationNeededSent);
  decrement_ttl(view.ipv4());
  if (entry.method() != ForwardingMethod::kNat)
    return send(packet, view.ip, hop, static_cast<uint8_t>(Verdict::kForwardedReply));
  translate<true>(packet, view, entry.forward.destination, entry.forward.destination_port);
  send(packet, view.ip, hop, static_cast<uint8_t>(Verdict::kForwardedNatReply));
}

// What is neither balanced nor ours goes from interface to interface: NAT servers' own traffic must pass.
void Worker::route(rte_mbuf* packet, PacketView& view) {
  if (!shared_.forwarding) return drop(packet, Verdict::kForwardingOff);
  Ipv4Header& ip = view.ipv4();
  if (ip.ttl <= 1) return refuse(packet, view, kIcmpTimeExceeded, 0, 0, Verdict::kTimeExceededSent);
  NextHop hop;
  if (!resolve(ip.destination, hop))
    return refuse(packet, view, kIcmpUnreachable, kUnreachableNet, 0, Verdict::kNetUnreachableSent);
  if (!fits(view, hop.mtu))
    return refuse(packet, view, kIcmpUnreachable, kUnreachableFragmentation, hop.mtu,
                  Verdict::kFragmentationNeededSent);
  decrement_ttl(ip);
  send(packet, view.ip, hop, static_cast<uint8_t>(Verdict::kRouted));
}

void Worker::send(rte_mbuf* packet, uint8_t* ip, const NextHop& hop, uint8_t verdict) {
  if (reinterpret_cast<const Ipv4Header*>(ip)->total_length.host() > hop.mtu) [[unlikely]]
    return send_fragments(packet, ip, hop, verdict);
  if (hop.adjacency == nullptr) [[unlikely]]
    return park(packet, ip, *hop.key, verdict);
  Adjacency& adjacency = *hop.adjacency;
  if (!adjacency.usable.load(std::memory_order_relaxed)) [[unlikely]]
    return park(packet, ip, NeighborKey{adjacency.address, 0, adjacency.interface}, verdict);
  send_by(packet, ip, adjacency, verdict);
}

void Worker::send_fragments(rte_mbuf* packet, uint8_t* ip, const NextHop& hop, uint8_t verdict) {
  strip_to(packet, ip);
  rte_mbuf* pieces[kMaxFragments];
  const unsigned count = cut_ipv4(packet, hop.mtu, *shared_.buffers, pieces);
  if (count == 0) return lose(packet, verdict, Verdict::kNoBuffer);
  rte_pktmbuf_free(packet);
  for (unsigned i = 0; i < count; ++i) {
    // One datagram, one verdict.
    send(pieces[i], rte_pktmbuf_mtod(pieces[i], uint8_t*), hop, i == 0 ? verdict : kNoVerdict);
  }
}

// Puts the Ethernet header before the datagram and queues the frame.
void Worker::send_by(rte_mbuf* packet, uint8_t* ip, Adjacency& adjacency, uint8_t verdict) {
  uint8_t* frame = ip - adjacency.header_bytes;
  uint8_t* old = rte_pktmbuf_mtod(packet, uint8_t*);
  const auto grown = static_cast<int>(old - frame);
  if (grown > packet->data_off) [[unlikely]]
    return lose(packet, verdict, Verdict::kNoHeadroom);
  packet->data_off = static_cast<uint16_t>(packet->data_off - grown);
  packet->data_len = static_cast<uint16_t>(packet->data_len + grown);
  packet->pkt_len = static_cast<uint32_t>(static_cast<int>(packet->pkt_len) + grown);
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

// Waits, as a bare datagram, for the neighbour's address. Its verdict is counted when it leaves at last.
void Worker::park(rte_mbuf* packet, uint8_t* ip, const NeighborKey& key, uint8_t verdict) {
  strip_to(packet, ip);
  switch (neighbors_.park(key, packet, verdict)) {
    case NeighborCache::Park::kParked:
      return;
    case NeighborCache::Park::kParkedAndAsk: {
      ControlMessage wanted;
      wanted.kind = ControlMessage::Kind::kNeighborWanted;
      wanted.key = key;
      if (!tell_control(wanted)) neighbors_.unask(key);
      return;
    }
    case NeighborCache::Park::kNeighborFull:
    case NeighborCache::Park::kWorkerFull:
      return lose(packet, verdict, Verdict::kNeighborQueueFull);
    case NeighborCache::Park::kTableFull:
      return lose(packet, verdict, Verdict::kNeighborTableFull);
  }
}

void Worker::push(rte_mbuf* packet, PortId port, uint8_t verdict) {
  TransmitBuffer& buffer = transmit_[port];
  if (buffer.count == TransmitBuffer::kSize) [[unlikely]]
    flush(port);
  buffer.packets[buffer.count] = packet;
  buffer.verdicts[buffer.count] = verdict;
  ++buffer.count;
}

void Worker::flush(PortId port) {
  TransmitBuffer& buffer = transmit_[port];
  const unsigned count = buffer.count;
  buffer.count = 0;
  unsigned sent;
  const uint16_t queues = shared_.ports[port].tx_queues;
  if (id_ < queues) {
    sent = rte_eth_tx_burst(port, static_cast<uint16_t>(id_), buffer.packets, static_cast<uint16_t>(count));
    // A device whose ring is full drains it within the call on most drivers: once more, then give up.
    if (sent < count) [[unlikely]]
      sent += rte_eth_tx_burst(port, static_cast<uint16_t>(id_), buffer.packets + sent,
                               static_cast<uint16_t>(count - sent));
  } else {
    // The device has fewer queues than there are workers: the one that has a queue sends for us.
    for (unsigned i = 0; i < count; ++i) buffer.packets[i]->port = port;
    sent = rte_ring_sp_enqueue_burst(shared_.transmit_ring(id_, id_ % queues), reinterpret_cast<void**>(buffer.packets),
                                     count, nullptr);
  }
  counters_.tx_packets += sent;
  count_sent(buffer.verdicts, sent);
  for (unsigned i = sent; i < count; ++i) lose(buffer.packets[i], buffer.verdicts[i], Verdict::kTransmitFull);
}

// A burst mostly leaves by one verdict.
void Worker::count_sent(const uint8_t* verdicts, unsigned count) {
  if (count == 0) return;
  if (verdicts[0] != kNoVerdict && std::memcmp(verdicts, verdicts + 1, count - 1) == 0) {
    counters_.verdicts[verdicts[0]] += count;
    return;
  }
  for (unsigned i = 0; i < count; ++i)
    if (verdicts[i] != kNoVerdict) ++counters_.verdicts[verdicts[i]];
}

void Worker::flush_all() {
  for (PortId port = 0; port < transmit_.size(); ++port)
    if (transmit_[port].count != 0) flush(port);
}

void Worker::drop(rte_mbuf* packet, Verdict verdict) {
  count(verdict);
  rte_pktmbuf_free(packet);
}

// What has no verdict of its own, but one of its origin, must not be counted twice.
void Worker::lose(rte_mbuf* packet, uint8_t verdict, Verdict reason) {
  if (verdict != kNoVerdict) return drop(packet, reason);
  ++counters_.unnamed_lost;
  rte_pktmbuf_free(packet);
}

}  // namespace fulcrum
