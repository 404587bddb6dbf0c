// SPDX-License-Identifier: Apache-2.0
// From a decided packet to the wire, what not every packet needs (forward.h has the rest): routes, fragments, parking,
// and transmit buffers a burst at a time.
#include "core/forward.h"

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>

#include "core/fragment.h"

namespace fulcrum {

// The route, and the neighbour's adjacency if one is bound. False when there is no route.
Worker::NextHop Worker::resolve(be32 destination) {
  const Route* route = snapshot_->network->find_route(destination);
  if (route == nullptr) return {};
  NextHop hop;
  sought_.address = route->gateway.family == Family::kNone ? Address::from(destination) : route->gateway;
  sought_.interface = route->interface;
  hop.mtu = snapshot_->network->interface(route->interface).mtu;
  const AdjacencyIndex bound = neighbors_.find(sought_);
  if (bound != kNoAdjacency) hop.adjacency = &(*shared_.adjacencies)[bound];
  return hop;
}

Worker::NextHop Worker::resolve_for(Table::Entry& entry, bool to_client) {
  if (entry.route_epoch != route_epoch_) {
    entry.server_adjacency = entry.client_adjacency = kNoAdjacency;
    entry.route_epoch = route_epoch_;
  }
  const NextHop hop = resolve(to_client ? entry.reply.destination : shared_.servers[entry.server].address.v4());
  if (hop.adjacency != nullptr)
    (to_client ? entry.client_adjacency : entry.server_adjacency) = shared_.adjacencies->index_of(*hop.adjacency);
  return hop;
}

// What is neither balanced nor ours goes from interface to interface: NAT servers' own traffic must pass.
void Worker::route(rte_mbuf* packet, PacketView& view) {
  if (!shared_.forwarding) return drop(packet, Verdict::kForwardingOff);
  Ipv4Header& ip = view.ipv4();
  if (ip.ttl <= 1) return refuse(packet, view, kIcmpTimeExceeded, 0, 0, Verdict::kTimeExceededSent);
  const NextHop hop = resolve(ip.destination);
  if (!hop) return refuse(packet, view, kIcmpUnreachable, kUnreachableNet, 0, Verdict::kNetUnreachableSent);
  if (!fits(view, hop.mtu))
    return refuse(packet, view, kIcmpUnreachable, kUnreachableFragmentation, static_cast<uint16_t>(hop.mtu),
                  Verdict::kFragmentationNeededSent);
  decrement_ttl(ip);
  send(packet, view.ip, hop, static_cast<uint8_t>(Verdict::kRouted));
}

void Worker::send(rte_mbuf* packet, uint8_t* ip, const NextHop& hop, uint8_t verdict) {
  send(packet, ip, reinterpret_cast<const Ipv4Header*>(ip)->total_length.host(), hop, verdict);
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
