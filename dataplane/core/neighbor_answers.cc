// SPDX-License-Identifier: Apache-2.0
// ARP and neighbour discovery as the director speaks them: questions about its addresses are answered here, on the
// worker that got them; what is learnt goes to the control thread, which asks and keeps the table.
#include <rte_mbuf.h>
#include <rte_ring_elem.h>

#include <algorithm>

#include "core/forward.h"
#include "core/fragment.h"
#include "forward/neighbor_discovery.h"

namespace fulcrum {

namespace {

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
void Worker::handle_arp(rte_mbuf* packet, PacketFacts& facts) {
  const InterfaceId id = snapshot_->network->interface_of(packet->port, facts.vlan);
  if (id == kNoInterface) return drop(packet, Verdict::kUnknownVlan);
  const Interface& interface = snapshot_->network->interface(id);
  ArpPacket& arp = *reinterpret_cast<ArpPacket*>(facts.ip);
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
  if (!asks_us) {
    // The kernel asks for its neighbours itself, and may have been told of this one before.
    const bool tells = operation == kArpReply || sender == arp.target_address;
    if (tells && to_kernel(packet, facts, KernelClass::kControl, learnt ? Verdict::kArpTaken : Verdict::kToKernel))
      return;
    return drop(packet, learnt ? Verdict::kArpTaken : Verdict::kArpIgnored);
  }

  arp.operation = be16::from_host(kArpReply);
  arp.target_mac = arp.sender_mac;
  std::swap(arp.target_address, arp.sender_address);
  arp.sender_mac = interface.mac;
  const MacAddress asker = arp.target_mac;
  if (!write_ethernet(packet, facts.ip, asker, interface.mac, interface.vlan, kEtherTypeArp))
    return drop(packet, Verdict::kNoHeadroom);
  push(packet, interface.port, static_cast<uint8_t>(Verdict::kArpAnswered));
}

// RFC 4861 section 7.2. Routers are configured here, so what they advertise is ignored, and so is what they redirect.
void Worker::handle_neighbor_discovery(rte_mbuf* packet, PacketView<Family::kIpv6>& view) {
  const uint8_t type = view.transport()[0];
  if (type != kIcmpv6NeighborSolicitation && type != kIcmpv6NeighborAdvertisement) {
    if (to_kernel(packet, view, KernelClass::kControl)) return;
    return drop(packet, Verdict::kNeighborIgnored);
  }
  NeighborDiscovery heard;
  const auto whole = bytes_from(packet, view, 0);
  if (view.transport_offset != kIpv6Bytes || !parse_neighbor_message(whole.data(), whole.size(), heard))
    return drop(packet, Verdict::kBadNeighborDiscovery);

  MacAddress frame_source;
  std::memcpy(frame_source.data(), rte_pktmbuf_mtod(packet, const uint8_t*) + kMacBytes, kMacBytes);
  const InterfaceId id = snapshot_->network->interface_of(packet->port, view.vlan);
  const Interface& interface = snapshot_->network->interface(id);
  const Ipv6Address sender = heard.is_solicitation ? heard.source : heard.target;
  ControlMessage told;
  told.mac = heard.has_mac ? heard.mac : frame_source;
  told.key = NeighborKey{Address::from(sender), 0, id};
  if (const LocalAddress* ours = local(sender); ours != nullptr) {
    // Under VRRP the other director announces a VIP that is standby here: no conflict.
    if (ours->answers_arp() && told.mac != interface.mac) {
      told.kind = ControlMessage::Kind::kAddressConflict;
      tell_control(told);
    }
    return drop(packet, Verdict::kNeighborIgnored);
  }
  const LocalAddress* target = heard.is_solicitation ? local(heard.target) : nullptr;
  const bool asks_us =
      target != nullptr && target->answers_arp() && (!target->is_own || target->is_vip || target->interface == id);
  bool learnt = false;
  if (sender != kIpv6Unspecified) {
    told.kind = heard.is_solicited ? ControlMessage::Kind::kNeighborConfirmed : ControlMessage::Kind::kNeighborSeen;
    const bool on_link =
        is_link_local(sender) || std::any_of(interface.addresses.begin(), interface.addresses.end(),
                                             [&](const Prefix& own) { return own.contains(told.key.address); });
    // Whoever asks us will soon be sent to; others only update what is known.
    if ((asks_us && on_link) || neighbors_.knows(told.key)) learnt = tell_control(told);
  }
  if (!asks_us) {
    const Verdict verdict = learnt ? Verdict::kNeighborTaken : Verdict::kToKernel;
    if (!heard.is_solicitation && to_kernel(packet, view, KernelClass::kControl, verdict)) return;
    return drop(packet, learnt ? Verdict::kNeighborTaken : Verdict::kNeighborIgnored);
  }

  rte_mbuf* answer = rte_pktmbuf_alloc(shared_.buffers);
  if (answer == nullptr) return drop(packet, Verdict::kNoBuffer);
  const NeighborFrame frame = make_answer({interface.mac, interface.vlan}, heard, frame_source, shared_.forwarding);
  std::memcpy(rte_pktmbuf_append(answer, frame.size), frame.bytes.data(), frame.size);
  drop(packet, Verdict::kNeighborAnswered);
  push(answer, interface.port, kNoVerdict);
}

bool Worker::tell_control(ControlMessage message) {
  message.worker = static_cast<uint8_t>(id_);
  if (rte_ring_mp_enqueue_elem(shared_.to_control, &message, sizeof message) == 0) return true;
  ++counters_.control_lost;
  return false;
}

}  // namespace fulcrum
