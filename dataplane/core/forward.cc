// SPDX-License-Identifier: Apache-2.0
// From a decided packet to the wire, what not every packet needs (forward.h has the rest): routes, fragments, parking,
// and transmit buffers a burst at a time.
#include "core/forward.h"

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>

#include "core/fragment.h"
#include "net/owner.h"
#include "net/tcp_mss.h"

namespace fulcrum {

// The route, and the neighbour's adjacency if one is bound. False when there is no route.
Worker::NextHop Worker::resolve(const Address& destination) {
  const Route* route = snapshot_->network->find_route(destination);
  if (route == nullptr) return {};
  return resolve_on(route->interface, route->gateway.family == Family::kNone ? destination : route->gateway);
}

Worker::NextHop Worker::resolve_on(InterfaceId interface, const Address& neighbor) {
  NextHop hop;
  sought_.address = neighbor;
  sought_.interface = interface;
  hop.mtu = snapshot_->network->interface(interface).mtu;
  const AdjacencyIndex bound = neighbors_.find(sought_);
  if (bound != kNoAdjacency) hop.adjacency = &(*shared_.adjacencies)[bound];
  return hop;
}

// Remembered as a connection remembers it, for those that begin, and for flows that have no entry.
Worker::NextHop Worker::resolve_server(ServerSlot slot) {
  const Address& address = shared_.servers[slot].address;
  ServerHop& known = server_hops_[slot];
  if (known.epoch == route_epoch_ && known.address == address) [[likely]] {
    Adjacency& adjacency = (*shared_.adjacencies)[known.adjacency];
    return {.adjacency = &adjacency, .mtu = adjacency.mtu};
  }
  const NextHop hop = resolve(address);
  if (hop.adjacency != nullptr) known = {address, route_epoch_, shared_.adjacencies->index_of(*hop.adjacency)};
  return hop;
}

template <Family F>
Worker::NextHop Worker::resolve_for(Connection<F>& entry, bool to_client) {
  if (entry.route_epoch != route_epoch_) {
    entry.server_adjacency = entry.client_adjacency = kNoAdjacency;
    entry.route_epoch = route_epoch_;
  }
  if (!to_client && entry.method() != ForwardingMethod::kBypass) {
    const NextHop hop = resolve_server(entry.server);
    if (hop.adjacency != nullptr) entry.server_adjacency = shared_.adjacencies->index_of(*hop.adjacency);
    return hop;
  }
  const NextHop hop = resolve(Address::from(to_client ? entry.reply.destination : entry.forward.destination));
  if (hop.adjacency != nullptr)
    (to_client ? entry.client_adjacency : entry.server_adjacency) = shared_.adjacencies->index_of(*hop.adjacency);
  return hop;
}
template Worker::NextHop Worker::resolve_for(Connection<Family::kIpv4>&, bool);
template Worker::NextHop Worker::resolve_for(Connection<Family::kIpv6>&, bool);

// The director's own address on the way to the hop.
Address Worker::tunnel_source(const NextHop& hop, Family family) const {
  const InterfaceId interface = hop.adjacency != nullptr ? hop.adjacency->interface : sought_.interface;
  const Address& neighbor = hop.adjacency != nullptr ? hop.adjacency->address : sought_.address;
  Address none;
  none.family = family;
  return snapshot_->network->interface(interface).address_for(neighbor).value_or(none);
}

template <Family F>
void Worker::write_other_tunnel(rte_mbuf* packet, const PacketView<F>& view, const ServerLine& server,
                                const TunnelSettings& tunnel, const NextHop& hop) {
  TunnelPacket brings;
  brings.id = next_ip_id();
  brings.path_mtu_discovery = snapshot_->tunables.pmtu_disc != 0;
  // Of the inner packet's flow, so that what spreads by ports keeps it together.
  const uint32_t flow = owner_hash(view.key.tuple.source, view.key.tuple.source_port) ^
                        owner_hash(view.key.tuple.destination, view.key.tuple.destination_port);
  brings.flow_hash = flow * 0x9E3779B1u;
  const Address source = tunnel_source(hop, server.address.family);
  if (server.address.family == Family::kIpv4) {
    write_tunnel<Family::kIpv4, F>(packet, view.ip, tunnel, source.v4(), server.address.v4(), brings);
  } else {
    write_tunnel<Family::kIpv6, F>(packet, view.ip, tunnel, source.v6(), server.address.v6(), brings);
  }
}
template void Worker::write_other_tunnel(rte_mbuf*, const PacketView<Family::kIpv4>&, const ServerLine&,
                                         const TunnelSettings&, const NextHop&);
template void Worker::write_other_tunnel(rte_mbuf*, const PacketView<Family::kIpv6>&, const ServerLine&,
                                         const TunnelSettings&, const NextHop&);

// Of a SYN, or of the answer to one where that passes through here. "auto": what goes whole to the server by its
// forwarding method (RFC 6691: the MTU less the headers without options).
template <Family F>
void Worker::limit_segments(const rte_mbuf* packet, const PacketView<F>& view, Connection<F>& entry) {
  const ServerLine& server = shared_.servers[entry.server];
  unsigned limit = server.segment_limit.load(std::memory_order_relaxed);
  if (limit == kNoSegmentLimit) return;
  if (limit == kAutoSegmentLimit) {
    unsigned carried = next_hop_of(entry, false).mtu;
    unsigned headers = sizeof(IpHeaderOf<F>) + kTcpBytes;
    if (entry.method() == ForwardingMethod::kTun) {
      carried = path_mtu(server, carried);
      headers += tunnel_overhead(server.tunnel.load(std::memory_order_relaxed), server.address.family);
    }
    if (carried < headers + kLeastSegmentLimit) return;  // there is no way, or none for TCP
    limit = carried - headers;
  }
  const size_t segment = bytes_from(packet, view, view.transport_offset).size();
  clamp_mss({view.transport(), segment}, static_cast<uint16_t>(std::min(limit, 0xffffu)));
}
template void Worker::limit_segments(const rte_mbuf*, const PacketView<Family::kIpv4>&, Connection<Family::kIpv4>&);
template void Worker::limit_segments(const rte_mbuf*, const PacketView<Family::kIpv6>&, Connection<Family::kIpv6>&);

// LVS, nat_icmp_send: a NAT server's packet that belongs to no connection.
template <Family F>
bool Worker::is_stray_reply(const rte_mbuf* packet, const PacketView<F>& view) const {
  if (snapshot_->tunables.nat_icmp_send == 0 || view.kind != PacketKind::kFlow) return false;
  if (view.key.protocol == IpProtocol::kTcp && (view.tcp_flags & kTcpRst) != 0) return false;
  if (view.key.protocol == IpProtocol::kSctp && begins_with(chunks_of(packet, view), SctpChunkType::kAbort))
    return false;
  return snapshot_->is_nat_server(Address::from(view.key.tuple.source), view.key.tuple.source_port.host(),
                                  view.key.protocol);
}

// What is neither balanced nor ours goes from interface to interface: NAT servers' own traffic must pass.
template <Family F>
void Worker::route(rte_mbuf* packet, PacketView<F>& view) {
  if (!shared_.forwarding) return drop(packet, Verdict::kForwardingOff);
  auto& ip = view.header();
  if (view.ttl() <= 1) return refuse(packet, view, Refusal::kTimeExceeded, Verdict::kTimeExceededSent);
  if constexpr (F == Family::kIpv6) {
    // RFC 4291 section 2.5.6: that address means nothing beyond its link.
    constexpr Complaint kBeyondScope = {kIcmpv6Unreachable, 2};
    if (is_link_local(AddressOf<F>{ip.source}))
      return complain(packet, view, kBeyondScope, 0, Verdict::kNetUnreachableSent);
  }
  if (is_stray_reply(packet, view)) {
    decrement_ttl(ip);  // it is on its way out already, and quoted so
    return refuse(packet, view, Refusal::kNoPort, Verdict::kPortUnreachableSent);
  }
  const NextHop hop = resolve(Address::from(AddressOf<F>{ip.destination}));
  if (!hop) return refuse(packet, view, Refusal::kNoRoute, Verdict::kNetUnreachableSent);
  if (!fits(packet, view, hop.mtu))
    return refuse(packet, view, Refusal::kTooBig, Verdict::kFragmentationNeededSent, static_cast<uint16_t>(hop.mtu));
  decrement_ttl(ip);
  send(packet, view.ip, view.total_length, hop, static_cast<uint8_t>(Verdict::kRouted));
}
template void Worker::route(rte_mbuf*, PacketView<Family::kIpv4>&);
template void Worker::route(rte_mbuf*, PacketView<Family::kIpv6>&);

// What is longer than its link carries, and what came in pieces: those that it came in were small enough for the path
// before us, so that the path behind us gets no larger ones.
void Worker::send_fragments(rte_mbuf* packet, uint8_t* ip, const NextHop& hop, uint8_t verdict) {
  strip_to(packet, ip);
  const bool is_ipv4 = ip[0] >> 4 == 4;
  unsigned limit = hop.mtu, longest = limit;
  const FragmentsSeen seen = fragments_seen(packet);
  // A tunnel over the other family has lengths of its own.
  const bool came_so = seen.family == (is_ipv4 ? Family::kIpv4 : Family::kIpv6);
  if (const unsigned came_in = seen.longest; came_in != 0 && came_so) {
    longest = std::min(limit, came_in);
    // Every IPv6 link carries 1,280 bytes: between these two it is one piece that has a Fragment header (as LVS does,
    // though RFC 8021 would have none).
    limit = std::min(limit, is_ipv4 ? came_in : std::max(came_in, kIpv6LeastMtu));
  }
  if (rte_pktmbuf_pkt_len(packet) <= longest) return send_whole(packet, ip, hop, verdict);
  rte_mbuf* pieces[kMaxFragments];
  const unsigned count =
      is_ipv4 ? cut_ipv4(packet, limit, *shared_.buffers, pieces)
              : cut_ipv6(packet, limit, seen, be32{static_cast<uint32_t>(rte_rdtsc())}, *shared_.buffers, pieces);
  if (count == 0) return lose(packet, verdict, Verdict::kNoBuffer);
  rte_pktmbuf_free(packet);
  for (unsigned i = 0; i < count; ++i) {
    // One datagram, one verdict.
    send_whole(pieces[i], rte_pktmbuf_mtod(pieces[i], uint8_t*), hop, i == 0 ? verdict : kNoVerdict);
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
