// SPDX-License-Identifier: Apache-2.0
// The director's own small stack: echo, and what a host says about packets that nobody wants. LVS calls it the local
// stack; for an appliance that owns the VIP it is all there is, unless a kernel port takes what is for its own
// addresses. ARP and neighbour discovery: neighbor_answers.cc.
#include <rte_mbuf.h>

#include <algorithm>

#include "core/forward.h"
#include "net/chain.h"
#include "net/checksum.h"

namespace fulcrum {

namespace {

constexpr uint8_t kOwnTtl = 64;
constexpr uint8_t kInternetworkControl = 0xc0;  // TOS of ICMP errors (RFC 1812 section 4.3.2.5)
constexpr unsigned kLongestError = 576;         // RFC 1812 section 4.3.2.3

struct Origin {
  uint8_t traffic_class = 0;
  bool dont_fragment = false;
};

void write_ip(Ipv4Header& ip, unsigned payload, Origin origin, IpProtocol protocol, be32 source, be32 destination) {
  ip.version_ihl = 0x45;
  ip.tos = origin.traffic_class;
  ip.total_length = be16::from_host(static_cast<uint16_t>(kIpv4Bytes + payload));
  ip.id = be16{};
  ip.fragment = be16::from_host(origin.dont_fragment ? kIpv4DontFragment : 0);
  ip.ttl = kOwnTtl;
  ip.protocol = static_cast<uint8_t>(protocol);
  ip.checksum = be16{};
  ip.source = source;
  ip.destination = destination;
  ip.checksum = internet_checksum(&ip, sizeof ip);
}

void write_ip(Ipv6Header& ip, unsigned payload, Origin origin, IpProtocol protocol, const Ipv6Address& source,
              const Ipv6Address& destination) {
  ip.version_class_flow = be32::from_host(6u << 28 | uint32_t{origin.traffic_class} << 20);
  ip.payload_length = be16::from_host(static_cast<uint16_t>(payload));
  ip.next_header = static_cast<uint8_t>(protocol);
  ip.hop_limit = kOwnTtl;
  ip.source = source;
  ip.destination = destination;
}

// RFC 1122 section 3.2.2: no error about an ICMP error, nor about anything but the first fragment.
bool may_be_answered(const PacketView<Family::kIpv4>& view) {
  if (is_martian(view.key.tuple.source)) return false;
  if ((view.header().fragment.host() & kIpv4OffsetMask) != 0) return false;
  if (view.key.protocol != IpProtocol::kIcmp) return true;
  if (view.kind != PacketKind::kIcmp) return false;  // first fragment of an ICMP message: not worth a look
  const uint8_t type = view.transport()[0];
  return type == kIcmpEchoRequest || type == kIcmpEchoReply || (type >= 13 && type <= 18);
}
// RFC 4443 section 2.4 (e).
bool may_be_answered(const PacketView<Family::kIpv6>& view) {
  if (is_martian(view.key.tuple.source) || is_multicast(view.key.tuple.destination)) return false;
  if (view.key.protocol != IpProtocol::kIcmpv6) return true;
  return view.kind == PacketKind::kIcmp && view.transport()[0] >= kIcmpv6FirstInformational;
}

// The most that an error may quote: RFC 1812 section 4.3.2.3, RFC 4443 section 2.4 (c).
template <Family F>
constexpr unsigned longest_quote() {
  return F == Family::kIpv4 ? kLongestError - kIpv4Bytes - kIcmpBytes : kIpv6LeastMtu - kIpv6Bytes - kIcmpv6Bytes;
}

template <Family F>
be16 icmp_checksum(const IpHeaderOf<F>& ip, const void* message, unsigned size) {
  if constexpr (F == Family::kIpv4) return internet_checksum(message, size);
  if constexpr (F == Family::kIpv6)
    return transport_checksum(ip.source, ip.destination, IpProtocol::kIcmpv6, message, size);
}

// A host answers nothing that arrived damaged (RFC 1122 sections 3.2.2, 4.1.3.4 and 4.2.2.7, RFC 8200 section 8.1).
template <Family F>
bool arrived_whole(const rte_mbuf* packet, const PacketView<F>& view) {
  const IpProtocol protocol = view.key.protocol;
  uint32_t size = view.total_length - view.transport_offset;
  const bool is_icmp = protocol == IpProtocol::kIcmp || protocol == IpProtocol::kIcmpv6;
  if (!is_icmp && protocol != IpProtocol::kTcp && protocol != IpProtocol::kUdp) return true;
  if (protocol == IpProtocol::kUdp) {
    const auto& udp = *reinterpret_cast<const UdpHeader*>(view.transport());
    if (udp.length.host() < kUdpBytes || udp.length.host() > size) return false;
    size = udp.length.host();
    if (udp.checksum.raw == 0) return F == Family::kIpv4;  // "none", which IPv6 has not
  }
  const auto& ip = view.header();
  const auto offset = static_cast<uint32_t>(view.transport() - rte_pktmbuf_mtod(packet, const uint8_t*));
  const bool has_pseudo_header = F == Family::kIpv6 || !is_icmp;
  const uint64_t pseudo = has_pseudo_header ? pseudo_header_sum(ip.source, ip.destination, protocol, size) : 0;
  return fold_sum(pseudo + sum_of_data(packet, offset, size)) == 0xffff;
}

// The options of a question are not those of its answer.
void leave_out_options(PacketView<Family::kIpv4>& view) {
  const unsigned options = view.transport_offset - kIpv4Bytes;
  if (options == 0) return;
  std::memmove(view.ip + options, view.ip, kIpv4Bytes);
  view.ip += options;
  view.transport_offset = kIpv4Bytes;
  view.total_length = static_cast<uint16_t>(view.total_length - options);
  Ipv4Header& ip = view.header();
  ip.version_ihl = 0x45;
  ip.total_length = be16::from_host(view.total_length);
}

template <Family F>
constexpr IpProtocol own_icmp() {
  return F == Family::kIpv4 ? IpProtocol::kIcmp : IpProtocol::kIcmpv6;
}

}  // namespace

template <>
Complaint complaint_of<Family::kIpv4>(Refusal refusal) {
  switch (refusal) {
    case Refusal::kNoRoute:
      return {kIcmpUnreachable, kUnreachableNet};
    case Refusal::kNoHost:
      return {kIcmpUnreachable, kUnreachableHost};
    case Refusal::kNoProtocol:
      return {kIcmpUnreachable, kUnreachableProtocol};
    case Refusal::kNoPort:
      return {kIcmpUnreachable, kUnreachablePort};
    case Refusal::kTooBig:
      return {kIcmpUnreachable, kUnreachableFragmentation};
    case Refusal::kTimeExceeded:
      return {kIcmpTimeExceeded, kExceededInTransit};
    case Refusal::kNotReassembled:
      break;
  }
  return {kIcmpTimeExceeded, kExceededInReassembly};
}

template <>
Complaint complaint_of<Family::kIpv6>(Refusal refusal) {
  constexpr uint8_t kUnrecognizedNextHeader = 1;  // RFC 4443 section 3.4
  switch (refusal) {
    case Refusal::kNoRoute:
      return {kIcmpv6Unreachable, kIcmpv6NoRoute};
    case Refusal::kNoHost:
      return {kIcmpv6Unreachable, kIcmpv6AddressUnreachable};
    case Refusal::kNoProtocol:
      return {kIcmpv6ParameterProblem, kUnrecognizedNextHeader};
    case Refusal::kNoPort:
      return {kIcmpv6Unreachable, kIcmpv6PortUnreachable};
    case Refusal::kTooBig:
      return {kIcmpv6PacketTooBig, 0};
    case Refusal::kTimeExceeded:
      return {kIcmpv6TimeExceeded, kExceededInTransit};
    case Refusal::kNotReassembled:
      break;
  }
  return {kIcmpv6TimeExceeded, kExceededInReassembly};
}

template <Family F>
void Worker::handle_local(rte_mbuf* packet, PacketView<F>& view) {
  constexpr uint8_t kEchoRequest = F == Family::kIpv4 ? kIcmpEchoRequest : kIcmpv6EchoRequest;
  if (local_to_kernel(packet, view)) return;
  if (!arrived_whole(packet, view)) return drop(packet, Verdict::kBadTransport);
  switch (view.key.protocol) {
    case own_icmp<F>():
      if (view.transport()[0] == kEchoRequest) return answer_echo(packet, view);
      return drop(packet, Verdict::kLocalIgnored);
    case IpProtocol::kTcp:
      return answer_reset(packet, view);
    case IpProtocol::kUdp:
      return refuse(packet, view, Refusal::kNoPort, Verdict::kPortUnreachableSent);
    case IpProtocol::kIgmp:          // a host takes it, but there are no groups here
    case IpProtocol::kNoNextHeader:  // RFC 8200 section 4.7
      return drop(packet, Verdict::kLocalIgnored);
    default:
      return refuse(packet, view, Refusal::kNoProtocol, Verdict::kProtocolUnreachableSent);
  }
}

// Where an answer goes: by the routes, or back over the link for what only a link knows.
template <typename AnyAddress>
Worker::NextHop Worker::way_back(const rte_mbuf* packet, const PacketFacts& facts, const AnyAddress& destination) {
  const Address address = Address::from(destination);
  if constexpr (std::is_same_v<AnyAddress, Ipv6Address>) {
    if (is_link_local(destination)) {
      const InterfaceId interface = snapshot_->network->interface_of(packet->port, facts.vlan);
      return interface == kNoInterface ? NextHop{} : resolve_on(interface, address);
    }
  }
  return resolve(address);
}

// RFC 1122 section 3.2.2.6, RFC 4443 section 4.2: the data comes back as it was.
template <Family F>
void Worker::answer_echo(rte_mbuf* packet, PacketView<F>& view) {
  constexpr uint8_t kRequest = F == Family::kIpv4 ? kIcmpEchoRequest : kIcmpv6EchoRequest;
  constexpr uint8_t kReply = F == Family::kIpv4 ? kIcmpEchoReply : kIcmpv6EchoReply;
  if (view.transport()[1] != 0) return drop(packet, Verdict::kLocalIgnored);
  if constexpr (F == Family::kIpv4) leave_out_options(view);
  auto& ip = view.header();
  auto& icmp = *reinterpret_cast<IcmpHeader*>(view.transport());
  icmp.type = kReply;
  ChecksumDelta of_type;
  of_type.replace(be16::from_host(kRequest << 8), be16::from_host(kReply << 8));
  icmp.checksum = of_type.apply(icmp.checksum);
  const AddressOf<F> asker = ip.source;
  ip.source = ip.destination;
  ip.destination = asker;
  view.ttl() = kOwnTtl;
  if constexpr (F == Family::kIpv4) {
    ip.id = be16{};
    ip.fragment = be16{};
    ip.checksum = be16{};
    ip.checksum = internet_checksum(&ip, ip.header_bytes());
  }
  const NextHop hop = way_back(packet, view, asker);
  if (is_martian(asker) || !hop) return drop(packet, Verdict::kLocalIgnored);
  send(packet, view.ip, view.total_length, hop, static_cast<uint8_t>(Verdict::kEchoAnswered));
}

// RFC 9293 section 3.10.7.1: a segment for a connection that does not exist.
template <Family F>
void Worker::answer_reset(rte_mbuf* packet, PacketView<F>& view) {
  drop(packet, send_reset(packet, view));
}

template <Family F>
Verdict Worker::send_reset(const rte_mbuf* packet, const PacketView<F>& view) {
  const auto& tcp = *reinterpret_cast<const TcpHeader*>(view.transport());
  const unsigned header_bytes = (tcp.data_offset >> 4) * 4u;
  const auto& tuple = view.key.tuple;
  if ((tcp.flags & kTcpRst) != 0 || header_bytes < kTcpBytes || is_martian(tuple.source)) return Verdict::kLocalIgnored;
  const NextHop hop = way_back(packet, view, tuple.source);
  if (!hop) return Verdict::kErrorWithheld;
  rte_mbuf* answer = rte_pktmbuf_alloc(shared_.buffers);
  if (answer == nullptr) return Verdict::kNoBuffer;
  using Header = IpHeaderOf<F>;
  auto* ip = reinterpret_cast<Header*>(rte_pktmbuf_append(answer, sizeof(Header) + kTcpBytes));
  auto& reset = *reinterpret_cast<TcpHeader*>(ip + 1);
  constexpr uint8_t kDscpMask = 0xfc;
  write_ip(*ip, kTcpBytes, {static_cast<uint8_t>(view.traffic_class() & kDscpMask), true}, IpProtocol::kTcp,
           tuple.destination, tuple.source);
  reset = TcpHeader{};
  reset.source_port = tuple.destination_port;
  reset.destination_port = tuple.source_port;
  reset.data_offset = kTcpBytes / 4 << 4;
  if ((tcp.flags & kTcpAck) != 0) {
    reset.flags = kTcpRst;
    reset.sequence = tcp.acknowledgement;
  } else {
    const uint32_t segment = view.total_length - view.transport_offset;
    const uint32_t flags = ((tcp.flags & kTcpSyn) != 0) + ((tcp.flags & kTcpFin) != 0);
    reset.flags = kTcpRst | kTcpAck;
    reset.acknowledgement = be32::from_host(tcp.sequence.host() + segment - std::min(header_bytes, segment) + flags);
  }
  reset.checksum = transport_checksum(tuple.destination, tuple.source, IpProtocol::kTcp, &reset, sizeof reset);
  send(answer, reinterpret_cast<uint8_t*>(ip), sizeof(Header) + kTcpBytes, hop, kNoVerdict);
  return Verdict::kResetSent;
}

template <Family F>
void Worker::refuse(rte_mbuf* packet, const PacketView<F>& view, Refusal refusal, Verdict verdict, uint16_t mtu) {
  // IPv6 says where the next header that nobody knows is named (RFC 4443 section 3.4).
  uint32_t detail = mtu;
  if (F == Family::kIpv6 && refusal == Refusal::kNoProtocol) {
    Ipv6Chain chain;
    if (walk_extension_headers(view.ip, view.transport_offset, chain)) detail = chain.named_at;
  }
  complain(packet, view, complaint_of<F>(refusal), detail, verdict);
}

// RFC 792 errors, sent as RFC 1812 section 4.3 asks, and those of RFC 4443: from the address that was addressed, if it
// is ours, else from the interface towards the sender; as much of the packet as may be is quoted.
template <Family F>
void Worker::complain(rte_mbuf* packet, const PacketView<F>& view, Complaint complaint, uint32_t detail,
                      Verdict verdict) {
  const AddressOf<F> sender = view.key.tuple.source;
  // The reply of a DR or TUN server that passes has an address of ours as its source.
  const bool to_ourselves = local(sender) != nullptr;
  const NextHop hop = to_ourselves ? NextHop{} : way_back(packet, view, sender);
  if (!may_be_answered(view) || (!hop && !to_ourselves)) return drop(packet, Verdict::kErrorWithheld);
  AddressOf<F> own = to_ourselves ? sender : view.key.tuple.destination;
  if (local(own) == nullptr) {
    const auto address = snapshot_->network->interface(sought_.interface).address_for(sought_.address);
    if (!address || address->family != F) return drop(packet, Verdict::kErrorWithheld);
    own = address->template as<F>();
  }
  if (!error_allowed()) return drop(packet, Verdict::kErrorRateLimited);
  rte_mbuf* error = rte_pktmbuf_alloc(shared_.buffers);
  if (error == nullptr) return drop(packet, Verdict::kNoBuffer);
  const auto ip_at = static_cast<unsigned>(view.ip - rte_pktmbuf_mtod(packet, const uint8_t*));
  const unsigned quoted =
      std::min({unsigned{view.total_length}, longest_quote<F>(), rte_pktmbuf_pkt_len(packet) - ip_at});
  using Header = IpHeaderOf<F>;
  auto* ip =
      reinterpret_cast<Header*>(rte_pktmbuf_append(error, static_cast<uint16_t>(sizeof(Header) + kIcmpBytes + quoted)));
  const auto traffic_class =
      F == Family::kIpv4 ? static_cast<uint8_t>((view.traffic_class() & 0x1e) | kInternetworkControl) : uint8_t{0};
  write_ip(*ip, kIcmpBytes + quoted, {traffic_class, false}, own_icmp<F>(), own, sender);
  auto& icmp = *reinterpret_cast<Icmpv6Header*>(ip + 1);
  icmp = {complaint.type, complaint.code, be16{}, be32::from_host(detail)};
  ChainReader(packet, ip_at).read(reinterpret_cast<uint8_t*>(&icmp + 1), quoted);
  icmp.checksum = icmp_checksum<F>(*ip, &icmp, kIcmpBytes + quoted);
  if (to_ourselves) {
    come_in_again(error, F, packet->port, view.vlan);
    return drop(packet, verdict);
  }
  count_own_error(view, sizeof(Header) + kIcmpBytes + quoted);
  drop(packet, verdict);
  send(error, reinterpret_cast<uint8_t*>(ip), sizeof(Header) + kIcmpBytes + quoted, hop, kNoVerdict);
}

// An error that the director tells itself, after the burst in hand: LVS passes it on to the server that it is about, as
// any error about a connection.
void Worker::come_in_again(rte_mbuf* error, Family family, PortId port, uint16_t vlan) {
  if (again_count_ == kBurst) {
    ++counters_.unnamed_lost;
    return rte_pktmbuf_free(error);
  }
  auto* frame = reinterpret_cast<uint8_t*>(rte_pktmbuf_prepend(error, kEthernetBytes));
  std::memset(frame, 0, kEthernetBytes);
  std::memcpy(frame, &shared_.ports[port].mac, 6);
  store_unaligned(frame + 12, be16::from_host(family == Family::kIpv4 ? kEtherTypeIpv4 : kEtherTypeIpv6));
  error->port = port;
  if (vlan != 0) {
    error->ol_flags |= RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
    error->vlan_tci = vlan;
  }
  ++counters_.came_again;
  again_[again_count_++] = error;
}

// LVS sees the director's own errors about a client's packet leave, and counts them as what goes to that client. It
// does not recognise those about packets for a NAT server: to it, what is quoted is that server's address.
template <Family F>
void Worker::count_own_error(const PacketView<F>& view, unsigned length) {
  if (view.kind != PacketKind::kFlow) return;
  const Found<F> found = lane<F>().table.find(view.key);
  if (!found || found.is_reply || found.entry->method() == ForwardingMethod::kNat ||
      is_due(found.entry->deadline, now_) ||
      !shared_.servers[found.entry->server].available.load(std::memory_order_relaxed))
    return;
  ServerCounters& counters = server_counters_[found.entry->server];
  ++counters.out_packets;
  counters.out_bytes += length;
}

// As Linux's icmp_msgs_per_sec and icmp_msgs_burst; every worker has its share.
bool Worker::error_allowed() {
  const TokenRate rate{snapshot_->tunables.icmp_msgs_per_sec, snapshot_->tunables.icmp_msgs_burst, shared_.workers};
  if (!own_errors_.has(rate, now_ms_)) return false;
  own_errors_.take(rate);
  return true;
}

#define INSTANTIATE(F)                                                                       \
  template void Worker::handle_local(rte_mbuf*, PacketView<F>&);                             \
  template Verdict Worker::send_reset(const rte_mbuf*, const PacketView<F>&);                \
  template void Worker::refuse(rte_mbuf*, const PacketView<F>&, Refusal, Verdict, uint16_t); \
  template void Worker::complain(rte_mbuf*, const PacketView<F>&, Complaint, uint32_t, Verdict)
INSTANTIATE(Family::kIpv4);
INSTANTIATE(Family::kIpv6);

}  // namespace fulcrum
