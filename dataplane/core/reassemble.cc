// SPDX-License-Identifier: Apache-2.0
// Fragments on their way through a worker: LVS puts datagrams together before it looks at them. The pieces meet at
// their home, a worker that only who sent them and their id decide; the datagram then begins anew, as one packet.
#include <rte_mbuf.h>

#include "core/forward.h"

namespace fulcrum {

namespace {

constexpr unsigned kExpireBudget = 16;

Verdict verdict_of(FragmentDrop reason) {
  switch (reason) {
    case FragmentDrop::kOverlap:
      return Verdict::kFragmentOverlap;
    case FragmentDrop::kDuplicate:
      return Verdict::kFragmentDuplicate;
    case FragmentDrop::kMemory:
      return Verdict::kFragmentMemory;
    case FragmentDrop::kTimeout:
      return Verdict::kFragmentTimeout;
    case FragmentDrop::kMalformed:
    case FragmentDrop::kCount:
      break;
  }
  return Verdict::kFragmentMalformed;
}

}  // namespace

void Worker::count(const FragmentLosses& losses) {
  for (size_t reason = 0; reason < losses.size(); ++reason)
    counters_.verdicts[static_cast<size_t>(verdict_of(static_cast<FragmentDrop>(reason)))] += losses[reason];
}

template <Family F>
void Worker::handle_fragment(rte_mbuf* packet, PacketView<F>& view, bool must_steer) {
  // A mere router passes them on as they are.
  if (!snapshot_->balances<F>() && local(view.key.tuple.destination) == nullptr &&
      !is_masqueraded<F>(view.key.tuple.source))
    return route(packet, view);
  if (must_steer && hand_over(packet, Reassembler::home_hash(packet, view.ip))) return;
  const InterfaceId link = snapshot_->network->interface_of(packet->port, view.vlan);
  FragmentLosses losses{};
  const Reassembler::Result result = reassembler_.add(packet, view.ip, link, now_, losses);
  count(losses);
  if (result.outcome != Reassembler::Outcome::kComplete) return;
  counters_.verdicts[static_cast<size_t>(Verdict::kReassembled)] += result.fragments - 1;
  // A datagram is put together once: one Fragment header, and none behind what stands for all pieces (RFC 8200 section
  // 4.1). Or else a packet would come here again and again.
  PacketView<F> datagram = view;
  datagram.ip = result.ip;
  parse_network(result.packet, datagram);
  if (datagram.kind == PacketKind::kFragment) return drop(result.packet, Verdict::kFragmentMalformed);
  again_[again_count_++] = result.packet;
}
template void Worker::handle_fragment(rte_mbuf*, PacketView<Family::kIpv4>&, bool);
template void Worker::handle_fragment(rte_mbuf*, PacketView<Family::kIpv6>&, bool);

void Worker::expire_fragments() {
  reassembler_.expire(now_, kExpireBudget, [this](const Reassembler::Expired& expired) { give_up(expired); });
}

// The destination says so to the sender, if it has the first fragment (RFC 792, RFC 4443 section 3.3).
void Worker::give_up(const Reassembler::Expired& expired) {
  const unsigned silent = expired.fragments - (expired.first != nullptr ? 1 : 0);
  counters_.verdicts[static_cast<size_t>(Verdict::kFragmentTimeout)] += silent;
  if (expired.first == nullptr) return;
  const auto complain_about = [&]<Family F>(PacketView<F> view) {
    view.ip = expired.ip;
    parse_network(expired.first, view);
    if (local(view.key.tuple.destination) == nullptr || local(view.key.tuple.source) != nullptr)
      return drop(expired.first, Verdict::kFragmentTimeout);
    refuse(expired.first, view, Refusal::kNotReassembled, Verdict::kFragmentTimeout);
  };
  if (expired.ip[0] >> 4 == 4) return complain_about(PacketView<Family::kIpv4>{});
  complain_about(PacketView<Family::kIpv6>{});
}

}  // namespace fulcrum
