// SPDX-License-Identifier: Apache-2.0
// ICMP errors about balanced connections: from routers and clients towards the VIP, and from servers or what lies
// behind them towards a client. The connection is found by the packet that the error quotes.
#include <rte_mbuf.h>

#include <algorithm>

#include "core/forward.h"
#include "forward/nat.h"

namespace fulcrum {

namespace {

// LVS follows these types and no others.
bool is_followed(uint8_t type) {
  return type == kIcmpUnreachable || type == kIcmpSourceQuench || type == kIcmpTimeExceeded;
}

uint8_t* quoted_ip(const PacketView& view) { return view.transport() + kIcmpBytes; }

// The checksum over the message as it lies there, quote included.
void sum_again(const PacketView& view) {
  auto& icmp = *reinterpret_cast<IcmpHeader*>(view.transport());
  icmp.checksum = be16{};
  icmp.checksum = internet_checksum(&icmp, view.total_length - view.transport_offset);
}

void sum_header(Ipv4Header& ip) {
  ip.checksum = be16{};
  ip.checksum = internet_checksum(&ip, ip.header_bytes());
}

// Towards the server: what the VIP was, outside and in the quote, becomes the server. The quoted transport checksum is
// left alone: nobody can check it against a part.
void translate_to_server(const PacketView& view, const Tuple<Family::kIpv4>& reply) {
  auto& quoted = *reinterpret_cast<Ipv4Header*>(quoted_ip(view));
  view.ipv4().destination = reply.source;
  quoted.source = reply.source;
  store_unaligned(quoted_ip(view) + quoted.header_bytes(), reply.source_port);
  sum_header(quoted);
  sum_again(view);
  sum_header(view.ipv4());
}

// Towards the client: whoever sent it, it comes from the VIP, and quotes a packet to the VIP.
void translate_to_client(const PacketView& view, const Tuple<Family::kIpv4>& forward) {
  auto& quoted = *reinterpret_cast<Ipv4Header*>(quoted_ip(view));
  view.ipv4().source = forward.destination;
  quoted.destination = forward.destination;
  store_unaligned(quoted_ip(view) + quoted.header_bytes() + 2, forward.destination_port);
  sum_header(quoted);
  sum_again(view);
  sum_header(view.ipv4());
}

}  // namespace

// The key of a packet in the opposite direction of the quoted one; false if the error quotes no TCP or UDP, or too
// little.
bool Worker::read_quote(const rte_mbuf* packet, const PacketView& view, FlowKey<Family::kIpv4>& key) const {
  const unsigned have =
      rte_pktmbuf_data_len(packet) - static_cast<unsigned>(view.ip - rte_pktmbuf_mtod(packet, const uint8_t*));
  const unsigned end = std::min<unsigned>(have, view.total_length);
  const unsigned start = view.transport_offset + kIcmpBytes;
  if (!is_followed(view.transport()[0]) || end < start + kIpv4Bytes) return false;
  const auto& quoted = *reinterpret_cast<const Ipv4Header*>(quoted_ip(view));
  const unsigned header_bytes = quoted.header_bytes();
  constexpr unsigned kPartBytes = 8;  // of the quoted transport header (RFC 792)
  if (quoted.version_ihl >> 4 != 4 || header_bytes < kIpv4Bytes || end < start + header_bytes + kPartBytes ||
      (quoted.fragment.host() & kIpv4OffsetMask) != 0)
    return false;
  key.protocol = static_cast<IpProtocol>(quoted.protocol);
  if (key.protocol != IpProtocol::kTcp && key.protocol != IpProtocol::kUdp) return false;
  const uint8_t* ports = quoted_ip(view) + header_bytes;
  key.tuple = {quoted.destination, quoted.source, load_unaligned<be16>(ports + 2), load_unaligned<be16>(ports)};
  return true;
}

// True if it belonged to a connection and has been dealt with.
bool Worker::handle_icmp_error(rte_mbuf* packet, PacketView& view, const FlowKey<Family::kIpv4>& key) {
  const Table::Found found = table_.find(key);
  if (!found || is_due(found.entry->deadline, now_)) return false;
  Table::Entry& entry = *found.entry;
  if (rte_pktmbuf_data_len(packet) < view.total_length ||
      !checksum_holds(view.transport(), view.total_length - view.transport_offset)) {
    drop(packet, Verdict::kBadTransport);
    return true;
  }
  ServerCounters& counters = server_counters_[entry.server];
  const bool available = shared_.servers[entry.server].available.load(std::memory_order_relaxed);
  const bool is_nat = entry.method() == ForwardingMethod::kNat;
  if (found.is_reply) {
    const NextHop hop = next_hop_of(entry, true);
    if (view.ipv4().ttl <= 1 || !hop) {
      drop(packet, Verdict::kErrorWithheld);  // no error about an error
      return true;
    }
    if (available) {
      ++counters.out_packets;
      counters.out_bytes += view.total_length;
    }
    decrement_ttl(view.ipv4());
    if (is_nat) translate_to_client(view, entry.forward);
    send(packet, view.ip, hop, static_cast<uint8_t>(is_nat ? Verdict::kForwardedNatReply : Verdict::kForwardedReply));
    return true;
  }
  if (!available) {
    drop(packet, Verdict::kServerGone);
    return true;
  }
  ++counters.in_packets;
  counters.in_bytes += view.total_length;
  if (!is_nat) {
    forward_to_server(packet, view, entry);
    return true;
  }
  const NextHop hop = next_hop_of(entry, false);
  if (view.ipv4().ttl <= 1 || !hop) {
    drop(packet, Verdict::kErrorWithheld);
    return true;
  }
  decrement_ttl(view.ipv4());
  translate_to_server(view, entry.reply);
  send(packet, view.ip, hop, static_cast<uint8_t>(Verdict::kForwardedNat));
  return true;
}

}  // namespace fulcrum
