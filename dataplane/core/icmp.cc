// SPDX-License-Identifier: Apache-2.0
// ICMP errors about balanced connections: from routers and clients towards the VIP, from servers or what lies behind
// them towards a client, and about the director's own tunnel packets. The connection is found by the packet that the
// error quotes.
#include <rte_mbuf.h>

#include <algorithm>

#include "core/forward.h"
#include "net/owner.h"

namespace fulcrum {

namespace {

constexpr unsigned kPartBytes = 4;  // of the quoted transport header: LVS needs the ports only, not RFC 792's eight
constexpr uint32_t kPathMtuSeconds = 600;  // RFC 1191 section 6.3

// LVS follows these types and no others.
template <Family F>
bool is_followed(uint8_t type) {
  if constexpr (F == Family::kIpv6) return type < kIcmpv6FirstInformational;
  return type == kIcmpUnreachable || type == kIcmpSourceQuench || type == kIcmpTimeExceeded;
}

// The checksum over the message as it lies there, quote included.
template <Family F>
void sum_again(const PacketView<F>& view) {
  auto& icmp = *reinterpret_cast<IcmpHeader*>(view.transport());
  const unsigned size = view.total_length - view.transport_offset;
  icmp.checksum = be16{};
  if constexpr (F == Family::kIpv4) icmp.checksum = internet_checksum(&icmp, size);
  if constexpr (F == Family::kIpv6)
    icmp.checksum =
        transport_checksum(view.header().source, view.header().destination, IpProtocol::kIcmpv6, &icmp, size);
}

// What is rewritten must lie in one piece, and be what was sent.
template <Family F>
bool is_sound(const rte_mbuf* packet, const PacketView<F>& view) {
  if (bytes_from(packet, view, 0).size() != view.total_length) return false;
  const unsigned size = view.total_length - view.transport_offset;
  if constexpr (F == Family::kIpv4) return checksum_holds(view.transport(), size);
  if constexpr (F == Family::kIpv6) {
    const auto& ip = view.header();
    const uint64_t pseudo = pseudo_header_sum(ip.source, ip.destination, IpProtocol::kIcmpv6, size);
    return fold_sum(add_to_sum(pseudo, view.transport(), size)) == 0xffff;
  }
}

// IPv4 headers have a checksum of their own.
void sum_header(Ipv4Header& ip) {
  ip.checksum = be16{};
  ip.checksum = internet_checksum(&ip, ip.header_bytes());
}
void sum_header(Ipv6Header&) {}

// Of a quoted packet of which `have` bytes are there: where its ports are. 0: it has none, or too little of it is
// there.
unsigned quoted_transport(const Ipv4Header& ip, unsigned have, IpProtocol& protocol) {
  if (have < kIpv4Bytes || ip.version_ihl >> 4 != 4 || ip.header_bytes() < kIpv4Bytes ||
      have < ip.header_bytes() + kPartBytes || (ip.fragment.host() & kIpv4OffsetMask) != 0)
    return 0;
  protocol = static_cast<IpProtocol>(ip.protocol);
  return ip.header_bytes();
}
unsigned quoted_transport(const Ipv6Header& ip, unsigned have, IpProtocol& protocol) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(&ip);
  Ipv6Chain chain;
  if (have < kIpv6Bytes || ip.version() != 6 || !walk_extension_headers(bytes, have, chain)) return 0;
  unsigned offset = chain.offset;
  protocol = static_cast<IpProtocol>(chain.protocol);
  if (protocol == IpProtocol::kFragment) {
    if (have < offset + kIpv6FragmentBytes) return 0;
    const auto& fragment = *reinterpret_cast<const Ipv6FragmentHeader*>(bytes + offset);
    if ((fragment.offset_more.host() & kIpv6OffsetMask) != 0) return 0;
    protocol = static_cast<IpProtocol>(fragment.next_header);
    offset += kIpv6FragmentBytes;
  }
  return have < offset + kPartBytes ? 0 : offset;
}

bool has_ports(IpProtocol protocol) {
  return protocol == IpProtocol::kTcp || protocol == IpProtocol::kUdp || protocol == IpProtocol::kSctp;
}

// The flow of the packet at `ip`, and where its ports are.
template <Family F>
uint8_t* read_flow(uint8_t* ip, unsigned have, FlowKey<F>& key) {
  const auto& header = *reinterpret_cast<const IpHeaderOf<F>*>(ip);
  const unsigned offset = quoted_transport(header, have, key.protocol);
  if (offset == 0 || !has_ports(key.protocol)) return nullptr;
  uint8_t* ports = ip + offset;
  key.tuple = {header.source, header.destination, load_unaligned<be16>(ports), load_unaligned<be16>(ports + 2)};
  return ports;
}

// Of an echo message that lies there: its flow, and where the identifier would be if it were a port.
template <Family F>
uint8_t* read_echo_flow(uint8_t* ip, unsigned have, FlowKey<F>& key) {
  constexpr IpProtocol kOwnIcmp = F == Family::kIpv4 ? IpProtocol::kIcmp : IpProtocol::kIcmpv6;
  constexpr uint8_t kRequest = F == Family::kIpv4 ? kIcmpEchoRequest : kIcmpv6EchoRequest;
  constexpr uint8_t kReply = F == Family::kIpv4 ? kIcmpEchoReply : kIcmpv6EchoReply;
  constexpr unsigned kIdentifier = 4;
  const auto& header = *reinterpret_cast<const IpHeaderOf<F>*>(ip);
  const unsigned offset = quoted_transport(header, have, key.protocol);
  if (offset == 0 || key.protocol != kOwnIcmp || have < offset + kIcmpBytes) return nullptr;
  uint8_t* icmp = ip + offset;
  if (icmp[0] != kRequest && icmp[0] != kReply) return nullptr;
  const auto identifier = load_unaligned<be16>(icmp + kIdentifier);
  const bool asks = icmp[0] == kRequest;
  key.tuple = {header.source, header.destination, asks ? identifier : be16{}, asks ? be16{} : identifier};
  return icmp + (asks ? kIdentifier : kIdentifier - 2);
}

// An error about a packet to a NAT server, which is quoted at `quoted_ip`.
template <Family F>
void write_as_from_vip(PacketView<F>& view, uint8_t* quoted_ip, uint8_t* quoted_ports, const AddressOf<F>& vip,
                       be16 port) {
  auto& quoted = *reinterpret_cast<IpHeaderOf<F>*>(quoted_ip);
  view.header().source = vip;
  quoted.destination = vip;
  store_unaligned(quoted_ports + 2, port);
  sum_header(quoted);
  sum_again(view);
  sum_header(view.header());
}

template <Family F>
bool may_leave_larger(const IpHeaderOf<F>& ip) {
  if constexpr (F == Family::kIpv4) return (ip.fragment.host() & kIpv4DontFragment) == 0;
  return false;
}

// The type of an error about an outer packet, in terms of the inner one's family.
struct ErrorKind {
  bool known = false;
  bool too_big = false;
  Refusal refusal{};
  uint8_t type = 0, code = 0;  // as they came
};

template <Family F>
ErrorKind kind_of(const uint8_t* icmp) {
  ErrorKind kind;
  kind.type = icmp[0];
  kind.code = icmp[1];
  if constexpr (F == Family::kIpv4) {
    kind.known = is_followed<F>(kind.type);
    kind.too_big = kind.type == kIcmpUnreachable && kind.code == kUnreachableFragmentation;
    kind.refusal = kind.type == kIcmpTimeExceeded ? Refusal::kTimeExceeded : Refusal::kNoHost;
  } else {
    kind.known = kind.type >= kIcmpv6Unreachable && kind.type <= kIcmpv6ParameterProblem;
    kind.too_big = kind.type == kIcmpv6PacketTooBig;
    kind.refusal = kind.type == kIcmpv6TimeExceeded ? Refusal::kTimeExceeded : Refusal::kNoHost;
  }
  if (kind.too_big) kind.refusal = Refusal::kTooBig;
  return kind;
}

template <Family F>
unsigned told_mtu(const uint8_t* icmp) {
  if constexpr (F == Family::kIpv4) return load_unaligned<be16>(icmp + 6).host();
  return std::min<uint32_t>(load_unaligned<be32>(icmp + 4).host(), 0xffff);
}

}  // namespace

// False if the error quotes no packet that could be balanced, or too little of it.
template <Family F>
bool Worker::read_quote(const rte_mbuf* packet, const PacketView<F>& view, Quote<F>& quote) const {
  const auto message = bytes_from(packet, view, view.transport_offset);
  if (!is_followed<F>(message[0]) || message.size() < kIcmpBytes + sizeof(IpHeaderOf<F>)) return false;
  quote.ip = view.transport() + kIcmpBytes;
  const unsigned have = static_cast<unsigned>(message.size()) - kIcmpBytes;
  quote.ports = read_flow<F>(quote.ip, have, quote.key);
  if (quote.ports == nullptr && shared_.masquerade != nullptr)
    quote.ports = read_echo_flow<F>(quote.ip, have, quote.key);
  quote.key.tuple = quote.key.tuple.reversed();
  return quote.ports != nullptr;
}

// True if it belonged to a connection and has been dealt with.
template <Family F>
bool Worker::handle_icmp_error(rte_mbuf* packet, PacketView<F>& view, const Quote<F>& quote) {
  const Found<F> found = lane<F>().table.find(quote.key);
  if (found && found.entry->method() == ForwardingMethod::kMasquerade)
    return pass_on_masqueraded_error(packet, view, quote, found);
  if (!snapshot_->balances<F>() || !has_ports(quote.key.protocol)) return false;
  // LVS: a client with source port 0 never meets its own connection, nor does what is said about it.
  if (!found || is_due(found.entry->deadline, now_) || (!found.is_reply && quote.key.tuple.source_port.raw == 0) ||
      found.entry->server == Shared::kCondemnedSlot)
    return schedule_error(packet, view, quote);
  pass_on_error(packet, view, quote, found);
  return true;
}

// LVS passes on unseen what it need not translate: for the client, and to an IPv6 server.
template <Family F>
void Worker::pass_on_error(rte_mbuf* packet, PacketView<F>& view, const Quote<F>& quote, const Found<F>& found) {
  const bool may_be_damaged = found.is_reply || F == Family::kIpv6;
  const bool must_hold = !may_be_damaged || found.entry->method() == ForwardingMethod::kNat;
  if (must_hold && !is_sound(packet, view)) return drop(packet, Verdict::kBadTransport);
  found.is_reply ? error_to_client(packet, view, quote, *found.entry)
                 : error_to_server(packet, view, quote, *found.entry);
}

// Whoever sent it, it comes from the VIP, and quotes a packet to the VIP. The quoted transport checksum is left alone:
// nobody can check it against a part.
template <Family F>
void Worker::error_to_client(rte_mbuf* packet, PacketView<F>& view, const Quote<F>& quote, Connection<F>& entry) {
  const NextHop hop = next_hop_of(entry, true);
  if (view.ttl() <= 1 || !hop) return drop(packet, Verdict::kErrorWithheld);  // no error about an error
  if (shared_.servers[entry.server].available.load(std::memory_order_relaxed)) {
    ServerCounters& counters = server_counters_[entry.server];
    ++counters.out_packets;
    counters.out_bytes += view.total_length;
  }
  decrement_ttl(view.header());
  Verdict verdict = Verdict::kForwardedReply;
  if (entry.method() == ForwardingMethod::kNat) {
    write_as_from_vip(view, quote.ip, quote.ports, entry.forward.destination, entry.forward.destination_port);
    verdict = Verdict::kForwardedNatReply;
  }
  send(packet, view.ip, view.total_length, hop, static_cast<uint8_t>(verdict));
}

template <Family F>
bool Worker::translate_error(rte_mbuf* packet, PacketView<F>& view, const Quote<F>& quote, const AddressOf<F>& vip,
                             be16 port) {
  if (!is_sound(packet, view)) return false;
  write_as_from_vip(view, quote.ip, quote.ports, vip, port);
  return true;
}

// What the VIP was, outside and in the quote, becomes the server. LVS passes errors on to deleted servers too.
template <Family F>
void Worker::error_to_server(rte_mbuf* packet, PacketView<F>& view, const Quote<F>& quote, Connection<F>& entry) {
  if (shared_.servers[entry.server].available.load(std::memory_order_relaxed)) {
    ServerCounters& counters = server_counters_[entry.server];
    ++counters.in_packets;
    counters.in_bytes += view.total_length;
  }
  if (entry.method() != ForwardingMethod::kNat) return forward_to_server(packet, view, entry);
  const NextHop hop = next_hop_of(entry, false);
  if (view.ttl() <= 1 || !hop) return drop(packet, Verdict::kErrorWithheld);
  decrement_ttl(view.header());
  auto& quoted = *reinterpret_cast<IpHeaderOf<F>*>(quote.ip);
  view.header().destination = entry.reply.source;
  quoted.source = entry.reply.source;
  store_unaligned(quote.ports, entry.reply.source_port);
  sum_header(quoted);
  sum_again(view);
  sum_header(view.header());
  send(packet, view.ip, view.total_length, hop, static_cast<uint8_t>(Verdict::kForwardedNat));
}

// RFC 5508 section 4: an error goes where what it quotes came from, and quotes that as it was there. From inside it
// comes from the director's address, whoever sent it.
template <Family F>
bool Worker::pass_on_masqueraded_error(rte_mbuf* packet, PacketView<F>& view, const Quote<F>& quote,
                                       const Found<F>& found) {
  Connection<F>& entry = *found.entry;
  const bool comes_in = found.is_reply;
  auto& ip = view.header();
  const AddressOf<F> sender = comes_in ? entry.reply.destination : entry.forward.destination;  // of what is quoted
  if (is_due(entry.deadline, now_) || !(ip.destination == sender)) return false;
  if (!is_sound(packet, view)) return drop(packet, Verdict::kBadTransport), true;
  const NextHop hop = next_hop_of(entry, comes_in);
  if (view.ttl() <= 1 || !hop) return drop(packet, Verdict::kErrorWithheld), true;
  decrement_ttl(ip);
  auto& quoted = *reinterpret_cast<IpHeaderOf<F>*>(quote.ip);
  if (comes_in) {
    ip.destination = quoted.source = entry.forward.source;
    store_unaligned(quote.ports, entry.forward.source_port);
  } else {
    ip.source = quoted.destination = entry.reply.destination;
    store_unaligned(quote.ports + 2, entry.reply.destination_port);
  }
  sum_header(quoted);
  sum_again(view);
  sum_header(ip);
  send(packet, view.ip, view.total_length, hop,
       static_cast<uint8_t>(comes_in ? Verdict::kMasqueradedReply : Verdict::kMasqueraded));
  return true;
}

// LVS, schedule_icmp: as if the quoted connection began here, in state NONE, even if the error turns out damaged. A TCP
// segment's flags are not quoted.
template <Family F>
bool Worker::schedule_error(rte_mbuf* packet, PacketView<F>& view, const Quote<F>& quote) {
  const bool schedules = snapshot_->tunables.schedule_icmp != 0;
  const bool follows = quote.key.protocol == IpProtocol::kUdp ? spreads<F>() : follows_spread<F>();
  if (!schedules && !follows) return false;
  const auto& tuple = quote.key.tuple;
  const Mark mark = mark_of(*snapshot_->marks, view.key);
  if (!mark.local && local(view.key.tuple.destination) == nullptr) return false;
  const VirtualService* service = snapshot_->find_service(Address::from(tuple.destination), quote.key.protocol,
                                                          tuple.destination_port.host(), mark.value);
  if (service == nullptr) return false;
  if (service->traffic != nullptr && denies(*service, tuple.source)) {
    drop(packet, Verdict::kClientDenied);
    return true;
  }
  // What it is about may be a flow that has no entry.
  const RealServer* server = follows ? spread_target(*service, quote.key) : nullptr;
  if (server != nullptr && is_sound(packet, view)) {
    ++counters_.stateless;
    Connection<F> entry = passing_entry(Choice{.server = server}, quote.key);
    error_to_server(packet, view, quote, entry);
    return true;
  }
  if (!schedules) return false;
  if (must_drop_packet()) {
    drop(packet, Verdict::kDropPacket);
    return true;
  }
  if (tuple.source_port.host() == kFtpDataPort) return false;
  if (const auto lacking = shortage<F>()) {
    drop(packet, deny(*lacking));
    return true;
  }
  if (service->traffic != nullptr) {
    if (const auto refused = take_service_place(*service, false)) {
      drop(packet, *refused);
      return true;
    }
  }
  const Choice choice = choose_server(*service, quote.key, mark.value);
  if (choice.server == nullptr) {
    give_back_service_place(*service);
    drop(packet, choice.full ? Verdict::kTableFull : Verdict::kErrorWithheld);
    return true;
  }
  if (const Found<F> made = create_connection(*service, choice, quote.key, mark.value)) {
    new_connections_.take(connection_budget());
    pass_on_error(packet, view, quote, made);
    if (service->one_packet && quote.key.protocol == IpProtocol::kUdp) end_connection<F>(made.index);
  } else {
    drop(packet, Verdict::kTableFull);
  }
  give_back_service_place(*service);
  return true;
}

// An error about a tunnel packet of ours. The client is told of what happened to its own packet; what concerns the
// size is remembered for the server. True if it was one.
template <Family F>
bool Worker::handle_tunnel_error(rte_mbuf* packet, PacketView<F>& view, bool must_steer) {
  const auto message = bytes_from(packet, view, view.transport_offset);
  TunnelQuote tunnel;
  if (message.size() < kIcmpBytes || !kind_of<F>(message.data()).known ||
      !parse_tunnel_quote(message.data() + kIcmpBytes, message.size() - kIcmpBytes, tunnel))
    return false;
  const LocalAddress* own = snapshot_->find_local(tunnel.source);
  if (own == nullptr || !own->is_own) return false;
  return tunnel.inner_family == Family::kIpv4
             ? pass_on_tunnel_error<F, Family::kIpv4>(packet, view, tunnel, must_steer)
             : pass_on_tunnel_error<F, Family::kIpv6>(packet, view, tunnel, must_steer);
}

template <Family F, Family kInner>
bool Worker::pass_on_tunnel_error(rte_mbuf* packet, PacketView<F>& view, const TunnelQuote& tunnel, bool must_steer) {
  const auto message = bytes_from(packet, view, view.transport_offset);
  uint8_t* inner = view.transport() + kIcmpBytes + tunnel.inner_offset;
  const unsigned have = static_cast<unsigned>(message.size()) - kIcmpBytes - tunnel.inner_offset;
  FlowKey<kInner> key;
  if (have < sizeof(IpHeaderOf<kInner>) || read_flow<kInner>(inner, have, key) == nullptr) return false;
  if (must_steer && hand_over(packet, shared_.client_hash(key.tuple.source, key.tuple.source_port))) return true;
  const Found<kInner> found = lane<kInner>().table.find(key);
  if (!found || found.is_reply || key.tuple.source_port.raw == 0 || found.entry->method() != ForwardingMethod::kTun)
    return false;
  ServerLine& server = shared_.servers[found.entry->server];
  if (!(server.address == tunnel.destination) ||
      (tunnel.type == TunnelType::kGue && tunnel.port != server.tunnel.load(std::memory_order_relaxed).port))
    return false;
  if (!is_sound(packet, view)) {
    drop(packet, Verdict::kBadTransport);
    return true;
  }
  const ErrorKind kind = kind_of<F>(message.data());
  // Nothing in ICMPv6 says that.
  if (F == Family::kIpv4 && F != kInner && message[0] == kIcmpSourceQuench) return false;
  unsigned limit = 0;
  if (kind.too_big) {
    const unsigned mtu = told_mtu<F>(message.data());
    const unsigned least = (kInner == Family::kIpv4 ? kIpv4LeastMtu : kIpv6LeastMtu) + tunnel.inner_offset;
    // A path is as narrow as its narrowest link: only less is news.
    if (mtu >= kIpv4LeastMtu && std::max(mtu, least) <= path_mtu(server, 0xffff)) {
      server.path_mtu_until_s.store(now_s_ + kPathMtuSeconds, std::memory_order_relaxed);
      server.path_mtu.store(static_cast<uint16_t>(std::max(mtu, least)), std::memory_order_relaxed);
    }
    limit = std::max(mtu, least) - tunnel.inner_offset;
    // The outer packet will be cut: nothing for the client to do.
    if (mtu < kIpv4LeastMtu || may_leave_larger<kInner>(*reinterpret_cast<const IpHeaderOf<kInner>*>(inner))) {
      drop(packet, Verdict::kTunnelErrorTaken);
      return true;
    }
  }
  // As if the inner packet had met the trouble here.
  PacketView<kInner> quoted;
  quoted.ip = inner;
  quoted.total_length = static_cast<uint16_t>(have);
  quoted.transport_offset = static_cast<uint16_t>(have - kPartBytes);
  quoted.kind = PacketKind::kFlow;
  quoted.key = key;
  Complaint complaint = complaint_of<kInner>(kind.refusal);
  // Type and code as they came, where both families speak the same language.
  if constexpr (F == kInner) complaint = {kind.type, kind.code};
  complain(packet, quoted, complaint, static_cast<uint16_t>(limit), Verdict::kTunnelErrorTaken);
  // LVS counts what it was told about, too, as far as it was quoted.
  if (server.available.load(std::memory_order_relaxed)) {
    ServerCounters& counters = server_counters_[found.entry->server];
    ++counters.out_packets;
    counters.out_bytes += have;
  }
  return true;
}

// AH and ESP follow an existing connection of UDP port 500 (ISAKMP) between the same hosts, as LVS has it.
template <Family F>
bool Worker::follow_security(rte_mbuf* packet, PacketView<F>& view, bool must_steer) {
  if (view.key.protocol != IpProtocol::kAh && view.key.protocol != IpProtocol::kEsp) return false;
  constexpr be16 kIsakmp = be16::from_host(500);
  FlowKey<F> key{view.key.tuple, IpProtocol::kUdp};
  key.tuple.source_port = key.tuple.destination_port = kIsakmp;
  if (must_steer && steer(packet, key)) return true;
  const Found<F> found = lane<F>().table.find(key);
  if (!found || is_due(found.entry->deadline, now_) || found.entry->server == Shared::kMasqueradeSlot) return false;
  Connection<F>& entry = *found.entry;
  ServerCounters& counters = server_counters_[entry.server];
  if (!shared_.servers[entry.server].available.load(std::memory_order_relaxed)) {
    drop(packet, Verdict::kServerGone);
    return true;
  }
  if (found.is_reply && view.ttl() <= 1) {
    refuse(packet, view, Refusal::kTimeExceeded, Verdict::kTimeExceededSent);
    return true;
  }
  ++(found.is_reply ? counters.out_packets : counters.in_packets);
  (found.is_reply ? counters.out_bytes : counters.in_bytes) += view.total_length;
  if (!found.is_reply) ++entry.in_packets;
  entry.deadline = now_ + snapshot_->timeouts.of(TimeoutTable::kUdp, entry.state);
  if (found.is_reply) {
    forward_to_client(packet, view, entry);
  } else {
    forward_to_server(packet, view, entry);
  }
  return true;
}

#define INSTANTIATE(F)                                                                                          \
  template bool Worker::read_quote(const rte_mbuf*, const PacketView<F>&, Quote<F>&) const;                     \
  template bool Worker::translate_error(rte_mbuf*, PacketView<F>&, const Quote<F>&, const AddressOf<F>&, be16); \
  template bool Worker::handle_icmp_error(rte_mbuf*, PacketView<F>&, const Quote<F>&);                          \
  template bool Worker::handle_tunnel_error(rte_mbuf*, PacketView<F>&, bool);                                   \
  template bool Worker::follow_security(rte_mbuf*, PacketView<F>&, bool)
INSTANTIATE(Family::kIpv4);
INSTANTIATE(Family::kIpv6);

}  // namespace fulcrum
