// SPDX-License-Identifier: Apache-2.0
// The director's own small stack: ARP, echo, and what a host says about packets that nobody wants. LVS calls it the
// local stack; for an appliance that owns the VIP it is all there is.
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>

#include <algorithm>

#include "core/forward.h"
#include "core/fragment.h"
#include "net/checksum.h"

namespace fulcrum {

namespace {

constexpr uint8_t kOwnTtl = 64;
constexpr uint8_t kInternetworkControl = 0xc0;  // TOS of ICMP errors (RFC 1812 section 4.3.2.5)
constexpr unsigned kLongestError = 576;         // RFC 1812 section 4.3.2.3

void write_ipv4(Ipv4Header& ip, unsigned total, uint8_t tos, uint16_t flags, IpProtocol protocol, be32 source,
                be32 destination) {
  ip.version_ihl = 0x45;
  ip.tos = tos;
  ip.total_length = be16::from_host(static_cast<uint16_t>(total));
  ip.id = be16{};
  ip.fragment = be16::from_host(flags);
  ip.ttl = kOwnTtl;
  ip.protocol = static_cast<uint8_t>(protocol);
  ip.checksum = be16{};
  ip.source = source;
  ip.destination = destination;
  ip.checksum = internet_checksum(&ip, sizeof ip);
}

// RFC 1122 section 3.2.2: no error about an ICMP error, nor about anything but the first fragment.
bool may_be_answered(const PacketView& view) {
  if (is_martian(view.key.tuple.source)) return false;
  if ((view.ipv4().fragment.host() & kIpv4OffsetMask) != 0) return false;
  if (view.key.protocol != IpProtocol::kIcmp) return true;
  if (view.kind != PacketKind::kIcmp) return false;  // first fragment of an ICMP message: not worth a look
  const uint8_t type = view.transport()[0];
  return type == kIcmpEchoRequest || type == kIcmpEchoReply || (type >= 13 && type <= 18);
}

// A frame that stays as it came but for its link header: who it goes to, and the tag that stripping took away.
// False: no room for the tag.
bool write_ethernet(rte_mbuf* packet, uint8_t* payload, const MacAddress& destination, const MacAddress& source,
                    uint16_t vlan, uint16_t type) {
  strip_to(packet, payload);
  auto* frame = reinterpret_cast<uint8_t*>(
      rte_pktmbuf_prepend(packet, static_cast<uint16_t>(kEthernetBytes + (vlan != 0 ? kVlanBytes : 0))));
  if (frame == nullptr) return false;
  std::memcpy(frame, destination.data(), 6);
  std::memcpy(frame + 6, source.data(), 6);
  uint8_t* at = frame + 12;
  if (vlan != 0) {
    store_unaligned(at, be16::from_host(kEtherTypeVlan));
    store_unaligned(at + 2, be16::from_host(vlan));
    at += kVlanBytes;
  }
  store_unaligned(at, be16::from_host(type));
  packet->ol_flags &= RTE_MBUF_F_EXTERNAL | RTE_MBUF_F_INDIRECT;
  return true;
}

}  // namespace

// RFC 826 with the host requirements of RFC 1122 section 2.3.2; RFC 5227 for probes (sender 0.0.0.0).
void Worker::handle_arp(rte_mbuf* packet, PacketView& view) {
  const InterfaceId id = snapshot_->network->interface_of(packet->port, view.vlan);
  if (id == kNoInterface) return drop(packet, Verdict::kUnknownVlan);
  const Interface& interface = snapshot_->network->interface(id);
  ArpPacket& arp = *reinterpret_cast<ArpPacket*>(view.ip);
  const uint16_t operation = arp.operation.host();
  if (arp.hardware_type.host() != 1 || arp.protocol_type.host() != kEtherTypeIpv4 || arp.hardware_length != 6 ||
      arp.protocol_length != 4 || (operation != kArpRequest && operation != kArpReply) || (arp.sender_mac[0] & 1) != 0)
    return drop(packet, Verdict::kBadArp);

  const be32 sender = arp.sender_address;
  if (local(sender) != nullptr) {
    // Under VRRP the other director announces a VIP that is standby here: no conflict.
    const LocalAddress& ours = *local(sender);
    if (ours.answers_arp() && arp.sender_mac != interface.mac) {
      ControlMessage conflict;
      conflict.kind = ControlMessage::Kind::kAddressConflict;
      conflict.mac = arp.sender_mac;
      conflict.key = NeighborKey{Address::from(sender), 0, id};
      tell_control(conflict);
    }
    return drop(packet, Verdict::kArpIgnored);
  }
  const LocalAddress* target = local(arp.target_address);
  const bool asks_us = operation == kArpRequest && target != nullptr && target->answers_arp() &&
                       (!target->is_own || target->is_vip || target->interface == id);
  bool learnt = false;
  if (!is_martian(sender)) {
    ControlMessage seen;
    seen.kind = operation == kArpReply ? ControlMessage::Kind::kNeighborConfirmed : ControlMessage::Kind::kNeighborSeen;
    seen.mac = arp.sender_mac;
    seen.key = NeighborKey{Address::from(sender), 0, id};
    const bool on_link = std::any_of(interface.addresses.begin(), interface.addresses.end(),
                                     [&](const Prefix& own) { return own.contains(seen.key.address); });
    // Whoever asks us will soon be sent to; others only update what is known.
    if ((asks_us && on_link) || neighbors_.knows(seen.key)) learnt = tell_control(seen);
  }
  if (!asks_us) return drop(packet, learnt ? Verdict::kArpTaken : Verdict::kArpIgnored);

  arp.operation = be16::from_host(kArpReply);
  arp.target_mac = arp.sender_mac;
  std::swap(arp.target_address, arp.sender_address);
  arp.sender_mac = interface.mac;
  const MacAddress asker = arp.target_mac;
  if (!write_ethernet(packet, view.ip, asker, interface.mac, interface.vlan, kEtherTypeArp))
    return drop(packet, Verdict::kNoHeadroom);
  push(packet, interface.port, static_cast<uint8_t>(Verdict::kArpAnswered));
}

void Worker::handle_local(rte_mbuf* packet, PacketView& view) {
  switch (view.key.protocol) {
    case IpProtocol::kIcmp:
      if (view.transport()[0] == kIcmpEchoRequest) return answer_echo(packet, view);
      return drop(packet, Verdict::kLocalIgnored);
    case IpProtocol::kTcp:
      return answer_reset(packet, view);
    case IpProtocol::kUdp:
      return refuse(packet, view, kIcmpUnreachable, kUnreachablePort, 0, Verdict::kPortUnreachableSent);
    default:
      return refuse(packet, view, kIcmpUnreachable, kUnreachableProtocol, 0, Verdict::kProtocolUnreachableSent);
  }
}

// RFC 1122 section 3.2.2.6: the data comes back as it was.
void Worker::answer_echo(rte_mbuf* packet, PacketView& view) {
  if (view.transport()[1] != 0) return drop(packet, Verdict::kLocalIgnored);
  Ipv4Header& ip = view.ipv4();
  auto& icmp = *reinterpret_cast<IcmpHeader*>(view.transport());
  icmp.type = kIcmpEchoReply;
  ChecksumDelta of_type;
  of_type.replace(be16::from_host(kIcmpEchoRequest << 8), be16{});
  icmp.checksum = of_type.apply(icmp.checksum);
  std::swap(ip.source, ip.destination);
  ip.ttl = kOwnTtl;
  ip.id = be16{};
  ip.fragment = be16{};
  ip.checksum = be16{};
  ip.checksum = internet_checksum(&ip, ip.header_bytes());
  const NextHop hop = resolve(ip.destination);
  if (is_martian(ip.destination) || !hop) return drop(packet, Verdict::kLocalIgnored);
  send(packet, view.ip, hop, static_cast<uint8_t>(Verdict::kEchoAnswered));
}

// RFC 9293 section 3.10.7.1: a segment for a connection that does not exist.
void Worker::answer_reset(rte_mbuf* packet, PacketView& view) {
  const auto& tcp = *reinterpret_cast<const TcpHeader*>(view.transport());
  const unsigned header_bytes = (tcp.data_offset >> 4) * 4u;
  if ((tcp.flags & kTcpRst) != 0 || header_bytes < kTcpBytes || is_martian(view.key.tuple.source))
    return drop(packet, Verdict::kLocalIgnored);
  rte_mbuf* answer = rte_pktmbuf_alloc(shared_.buffers);
  if (answer == nullptr) return drop(packet, Verdict::kNoBuffer);
  auto* ip = reinterpret_cast<Ipv4Header*>(rte_pktmbuf_append(answer, kIpv4Bytes + kTcpBytes));
  auto& reset = *reinterpret_cast<TcpHeader*>(ip + 1);
  const auto& tuple = view.key.tuple;
  write_ipv4(*ip, kIpv4Bytes + kTcpBytes, 0, kIpv4DontFragment, IpProtocol::kTcp, tuple.destination, tuple.source);
  reset = TcpHeader{};
  reset.source_port = tuple.destination_port;
  reset.destination_port = tuple.source_port;
  reset.data_offset = kTcpBytes / 4 << 4;
  if ((tcp.flags & kTcpAck) != 0) {
    reset.flags = kTcpRst;
    reset.sequence = tcp.acknowledgement;
  } else {
    const uint32_t payload = view.total_length - view.transport_offset -
                             std::min<uint32_t>(header_bytes, view.total_length - view.transport_offset);
    const uint32_t flags = ((tcp.flags & kTcpSyn) != 0) + ((tcp.flags & kTcpFin) != 0);
    reset.flags = kTcpRst | kTcpAck;
    reset.acknowledgement = be32::from_host(tcp.sequence.host() + payload + flags);
  }
  reset.checksum = transport_checksum(ip->source, ip->destination, IpProtocol::kTcp, &reset, sizeof reset);
  const be32 client = tuple.source;
  drop(packet, Verdict::kResetSent);
  originate(answer, client);
}

// RFC 792 errors, sent as RFC 1812 section 4.3 asks: from the address that was addressed, if it is ours, else from the
// interface towards the sender; as much of the packet as fits 576 bytes is quoted.
void Worker::refuse(rte_mbuf* packet, const PacketView& view, uint8_t type, uint8_t code, uint16_t mtu,
                    Verdict verdict) {
  const be32 sender = view.key.tuple.source;
  const NextHop hop = resolve(sender);
  if (!may_be_answered(view) || !hop) return drop(packet, Verdict::kErrorWithheld);
  be32 own = view.key.tuple.destination;
  if (local(own) == nullptr) {
    const auto address = snapshot_->network->interface(sought_.interface).address_for(sought_.address);
    if (!address) return drop(packet, Verdict::kErrorWithheld);
    own = address->v4();
  }
  rte_mbuf* error = rte_pktmbuf_alloc(shared_.buffers);
  if (error == nullptr) return drop(packet, Verdict::kNoBuffer);
  const unsigned have =
      rte_pktmbuf_data_len(packet) - static_cast<unsigned>(view.ip - rte_pktmbuf_mtod(packet, const uint8_t*));
  const unsigned quoted = std::min({unsigned{view.total_length}, kLongestError - kIpv4Bytes - kIcmpBytes, have});
  const unsigned total = kIpv4Bytes + kIcmpBytes + quoted;
  auto* ip = reinterpret_cast<Ipv4Header*>(rte_pktmbuf_append(error, static_cast<uint16_t>(total)));
  write_ipv4(*ip, total, static_cast<uint8_t>((view.ipv4().tos & 0x1e) | kInternetworkControl), 0, IpProtocol::kIcmp,
             own, sender);
  auto& icmp = *reinterpret_cast<IcmpHeader*>(ip + 1);
  icmp = {type, code, be16{}, be16{}, be16::from_host(mtu)};
  std::memcpy(&icmp + 1, view.ip, quoted);
  icmp.checksum = internet_checksum(&icmp, kIcmpBytes + quoted);
  drop(packet, verdict);
  send(error, reinterpret_cast<uint8_t*>(ip), hop, kNoVerdict);
}

void Worker::originate(rte_mbuf* packet, be32 destination) {
  const NextHop hop = resolve(destination);
  if (!hop) {
    rte_pktmbuf_free(packet);  // the packet that it answers has been counted
    return;
  }
  send(packet, rte_pktmbuf_mtod(packet, uint8_t*), hop, kNoVerdict);
}

bool Worker::tell_control(ControlMessage message) {
  message.worker = static_cast<uint8_t>(id_);
  if (rte_ring_mp_enqueue_elem(shared_.to_control, &message, sizeof message) == 0) return true;
  ++counters_.control_lost;
  return false;
}

}  // namespace fulcrum
