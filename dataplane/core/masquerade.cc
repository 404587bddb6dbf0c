// SPDX-License-Identifier: Apache-2.0
// Masqueraded flows on their way through a worker: begun by what would be routed, found like balanced ones, by either
// direction's tuple. TCP, UDP, SCTP by their ports; ICMP echo by its identifier, which stands for the asker's port.
#include "core/masquerade.h"

#include <rte_mbuf.h>

#include "core/forward.h"

namespace fulcrum {

namespace {

// How many ports are tried: of a range of which nine of ten are taken, one free port is found but once in a million.
constexpr uint32_t kMostTries = 128;
constexpr uint32_t kEchoSeconds = 60;  // RFC 5508 section 3.2
constexpr unsigned kEchoIdentifier = 4;

template <Family F>
constexpr uint8_t kEchoRequestOf = F == Family::kIpv4 ? kIcmpEchoRequest : kIcmpv6EchoRequest;
template <Family F>
constexpr uint8_t kEchoReplyOf = F == Family::kIpv4 ? kIcmpEchoReply : kIcmpv6EchoReply;

// As translate() does it with a port.
template <bool kReply, Family F>
void translate_echo(const PacketView<F>& view, const AddressOf<F>& address, be16 identifier) {
  auto& ip = view.header();
  auto& icmp = *reinterpret_cast<IcmpHeader*>(view.transport());
  auto& old_identifier = *reinterpret_cast<be16*>(view.transport() + kEchoIdentifier);
  auto& old_address = nat::translated<kReply>(ip);

  ChecksumDelta of_address;
  of_address.replace(AddressOf<F>{old_address}, address);
  ChecksumDelta of_message;
  if constexpr (F == Family::kIpv6) of_message = of_address;  // RFC 4443 section 2.3
  of_message.replace(be16{old_identifier.raw}, identifier);

  old_address = address;
  if constexpr (F == Family::kIpv4) ip.checksum = of_address.apply(ip.checksum);
  old_identifier = identifier;
  icmp.checksum = of_message.apply(icmp.checksum);
}

// The first one of the family that is known beyond the link; one whose prefix holds the neighbour goes before others.
std::optional<Address> own_address(const Interface& interface, const Address& neighbor, Family family) {
  std::optional<Address> first;
  for (const Prefix& own : interface.addresses) {
    if (own.address.family != family) continue;
    if (family == Family::kIpv6 && is_link_local(own.address.v6())) continue;
    if (own.contains(neighbor)) return own.address;
    if (!first) first = own.address;
  }
  return first;
}

}  // namespace

// Of what such a host sends, some or all leaves masqueraded.
template <Family F>
bool Worker::is_masqueraded(const AddressOf<F>& source) const {
  return shared_.masquerade != nullptr && shared_.masquerade->covers(Address::from(source));
}

// The identifier becomes the port of who asks. False: no echo message.
template <Family F>
bool Worker::read_echo(PacketView<F>& view) const {
  const uint8_t type = view.transport()[0];
  if (view.kind != PacketKind::kIcmp || (type != kEchoRequestOf<F> && type != kEchoReplyOf<F>)) return false;
  const auto identifier = load_unaligned<be16>(view.transport() + kEchoIdentifier);
  const bool asks = type == kEchoRequestOf<F>;
  view.key.tuple.source_port = asks ? identifier : be16{};
  view.key.tuple.destination_port = asks ? be16{} : identifier;
  return true;
}

// True if it was an echo message of a masqueraded flow, or is another worker's.
template <Family F>
bool Worker::handle_echo(rte_mbuf* packet, PacketView<F>& view, bool must_steer) {
  if (!read_echo(view)) return false;
  const auto& tuple = view.key.tuple;
  const bool asks = view.transport()[0] == kEchoRequestOf<F>;
  if (asks ? !shared_.masquerade->covers(Address::from(tuple.source)) : local(tuple.destination) == nullptr)
    return false;
  if (must_steer && steer(packet, view.key)) return true;
  const Found<F> found = lane<F>().table.find(view.key);
  if (!found) return false;
  if (is_due(found.entry->deadline, now_)) {
    end_connection<F>(found.index);
    return false;
  }
  found.is_reply ? pass_masqueraded<F, true>(packet, view, found) : pass_masqueraded<F, false>(packet, view, found);
  return true;
}

// A packet that is routed and has no entry. RFC 4787 section 4: whatever cannot be translated goes no further.
template <Family F>
void Worker::masquerade(rte_mbuf* packet, PacketView<F>& view, const MasqueradeRule& rule) {
  if (view.kind != PacketKind::kFlow && view.kind != PacketKind::kIcmp)
    return drop(packet, Verdict::kMasqueradeProtocol);
  if (!begins_masqueraded(packet, view)) return drop(packet, Verdict::kMasqueradeNoFlow);
  if (must_drop_packet()) return drop(packet, Verdict::kDropPacket);
  if (const auto lacking = shortage<F>()) return drop(packet, deny(*lacking));
  // What is left of balanced connections while the family has no service.
  if (const Found<F> old = lane<F>().table.find(view.key)) end_connection<F>(old.index);
  Tuple<F> reply = view.key.tuple.reversed();
  if (!choose_port(rule, view.key, reply)) return drop(packet, Verdict::kMasqueradePortsFull);
  const Found<F> made = create_masqueraded(view.key, reply);
  if (!made) return drop(packet, Verdict::kTableFull);
  new_connections_.take(connection_budget());
  pass_masqueraded<F, false>(packet, view, made);
}

// A TCP connection may have begun before the director did, or been silent for too long: it gets its port again if that
// is free. But what a NAT server sends from its service's port, and is no beginning, is late for a balanced connection.
template <Family F>
bool Worker::begins_masqueraded(const rte_mbuf* packet, PacketView<F>& view) const {
  if (view.kind == PacketKind::kIcmp) return read_echo(view) && view.transport()[0] == kEchoRequestOf<F>;
  constexpr uint8_t kSynAck = kTcpSyn | kTcpAck;
  if (view.key.protocol == IpProtocol::kTcp && (view.tcp_flags & kSynAck) == kSynAck) return false;
  const auto& tuple = view.key.tuple;
  const bool may_go_on =
      !snapshot_->is_nat_server(Address::from(tuple.source), tuple.source_port.host(), view.key.protocol);
  return may_start(packet, view, may_go_on);
}

// Completes the reply's tuple by the director's address and a port of it at which nothing else comes from that far end.
// False: all that were tried are taken, or there is no such address.
template <Family F>
bool Worker::choose_port(const MasqueradeRule& rule, const FlowKey<F>& flow, Tuple<F>& reply) {
  std::optional<Address> address = rule.address;
  if (rule.address.family == Family::kNone)
    address = own_address(snapshot_->network->interface(rule.interface), sought_.address, F);
  if (!address) return false;
  reply.destination = address->template as<F>();
  PortWalk ports(rule.ports, flow.tuple.source, flow.tuple.source_port);
  for (uint32_t tries = std::min(ports.size(), kMostTries); tries != 0; --tries) {
    reply.destination_port = ports.next();
    if (snapshot_->find_exactly({*address, flow.protocol, reply.destination_port.host(), 0}) != nullptr) continue;
    const Found<F> taken = lane<F>().table.find(FlowKey<F>{reply, flow.protocol});
    if (!taken) return true;
    if (!is_due(taken.entry->deadline, now_)) continue;
    end_connection<F>(taken.index);
    return true;
  }
  return false;
}

template <Family F>
Worker::Found<F> Worker::create_masqueraded(const FlowKey<F>& flow, const Tuple<F>& reply) {
  Lane<F>& lane = this->lane<F>();
  const ConnectionIndex index = lane.table.allocate();
  if (index == kNoConnection) return {};
  Connection<F>& entry = lane.table.entry(index);
  entry.forward = flow.tuple;
  entry.reply = reply;
  entry.protocol = flow.protocol;
  entry.server = Shared::kMasqueradeSlot;
  entry.flags |= static_cast<uint32_t>(ForwardingMethod::kMasquerade) | kFlagInactive;
  entry.route_epoch = route_epoch_ - 1;
  entry.deadline = now_ + seconds_to_ticks(kFreshTimeoutSeconds);
  if (!lane.table.insert(index)) {
    lane.table.release(index);
    return {};
  }
  lane.table.record(index).created = now_;
  lane.wheel->arm(index, entry.deadline);
  ++server_counters_[entry.server].connections;
  ++server_counters_[entry.server].inactive;
  count_connections();
  return {&entry, index, false};
}

// A masqueraded flow whose tuple the replies of a new balanced connection have: these are what that server sends now.
template <Family F>
void Worker::give_way(const FlowKey<F>& replies) {
  const Found<F> found = lane<F>().table.find(replies);
  if (found && found.entry->method() == ForwardingMethod::kMasquerade) end_connection<F>(found.index);
}

// As handle_hit(), which it comes from.
template <Family F, bool kIsReply>
void Worker::handle_masqueraded(rte_mbuf* packet, PacketView<F>& view, Found<F> found) {
  if (!is_due(found.entry->deadline, now_)) return pass_masqueraded<F, kIsReply>(packet, view, found);
  end_connection<F>(found.index);
  handle_miss(packet, view);
}

template <Family F, bool kIsReply>
void Worker::pass_masqueraded(rte_mbuf* packet, PacketView<F>& view, Found<F> found) {
  Connection<F>& entry = *found.entry;
  if (view.ttl() <= 1) return refuse(packet, view, Refusal::kTimeExceeded, Verdict::kTimeExceededSent);
  const NextHop hop = next_hop_of(entry, kIsReply);
  if (!hop) return refuse(packet, view, Refusal::kNoRoute, Verdict::kNetUnreachableSent);
  if (!fits(packet, view, hop.mtu))
    return refuse(packet, view, Refusal::kTooBig, Verdict::kFragmentationNeededSent, static_cast<uint16_t>(hop.mtu));
  if constexpr (!kIsReply) ++entry.in_packets;
  const bool is_echo = view.kind == PacketKind::kIcmp;
  if (is_echo) {
    entry.deadline = now_ + seconds_to_ticks(kEchoSeconds);
  } else {
    advance<F, kIsReply>(entry, found.index, packet, view);
  }
  decrement_ttl(view.header());
  const AddressOf<F>& address = kIsReply ? entry.forward.source : entry.reply.destination;
  const be16 port = kIsReply ? entry.forward.source_port : entry.reply.destination_port;
  if (is_echo) {
    translate_echo<!kIsReply>(view, address, port);
  } else {
    translate<!kIsReply>(packet, view, address, port);
  }
  const Verdict verdict = kIsReply ? Verdict::kMasqueradedReply : Verdict::kMasqueraded;
  send(packet, view.ip, view.total_length, hop, static_cast<uint8_t>(verdict));
}

#define INSTANTIATE(F)                                                                     \
  template bool Worker::is_masqueraded<F>(const AddressOf<F>&) const;                      \
  template bool Worker::handle_echo(rte_mbuf*, PacketView<F>&, bool);                      \
  template void Worker::masquerade(rte_mbuf*, PacketView<F>&, const MasqueradeRule&);      \
  template void Worker::give_way(const FlowKey<F>&);                                       \
  template void Worker::handle_masqueraded<F, false>(rte_mbuf*, PacketView<F>&, Found<F>); \
  template void Worker::handle_masqueraded<F, true>(rte_mbuf*, PacketView<F>&, Found<F>)
INSTANTIATE(Family::kIpv4);
INSTANTIATE(Family::kIpv6);

}  // namespace fulcrum
