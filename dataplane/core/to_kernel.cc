// SPDX-License-Identifier: Apache-2.0
// What a worker leaves to the kernel: packets for the director's own addresses, groups, and what tells of neighbours;
// and what the kernel sends. Only packets that are neither balanced nor routed come here.
#include <rte_mbuf.h>
#include <rte_ring.h>

#include <algorithm>

#include "core/forward.h"
#include "core/kernel_class.h"

namespace fulcrum {

namespace {

// The kernel interface is its VLAN's own.
void take_tag_away(rte_mbuf* packet) {
  uint8_t* frame = rte_pktmbuf_mtod(packet, uint8_t*);
  const bool is_stripped =
      (packet->ol_flags & RTE_MBUF_F_RX_VLAN) != 0 && (packet->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) != 0;
  if (is_stripped || load_unaligned<be16>(frame + 12).host() != kEtherTypeVlan) return;
  std::memmove(frame + kVlanBytes, frame, 2 * kMacBytes);
  rte_pktmbuf_adj(packet, kVlanBytes);
}

}  // namespace

KernelClass kernel_class_of_group(const rte_mbuf* packet, const PacketFacts& facts) {
  const uint8_t* end = rte_pktmbuf_mtod(packet, const uint8_t*) + rte_pktmbuf_data_len(packet);
  const bool is_ipv4 = load_unaligned<be16>(facts.ip - 2).host() == kEtherTypeIpv4;
  if (!is_ipv4 || end - facts.ip < static_cast<std::ptrdiff_t>(kIpv4Bytes)) return KernelClass::kRest;
  const auto protocol = static_cast<IpProtocol>(reinterpret_cast<const Ipv4Header*>(facts.ip)->protocol);
  if (protocol == IpProtocol::kIcmp) return KernelClass::kIcmp;
  return is_control_protocol(protocol) ? KernelClass::kControl : KernelClass::kRest;
}

KernelPath* Worker::kernel_path(const rte_mbuf* packet, uint16_t vlan) const {
  if (shared_.to_kernel.empty()) [[likely]]
    return nullptr;
  const InterfaceId interface = snapshot_->network->interface_of(packet->port, vlan);
  return interface < shared_.to_kernel.size() ? shared_.to_kernel[interface] : nullptr;
}

// A packet that has had its effect here has that verdict, whatever becomes of it there.
bool Worker::to_kernel(rte_mbuf* packet, const PacketFacts& facts, KernelClass of, Verdict verdict) {
  KernelPath* path = kernel_path(packet, facts.vlan);
  if (path == nullptr) return false;
  put_to_kernel(*path, packet, of, verdict);
  return true;
}

void Worker::put_to_kernel(KernelPath& path, rte_mbuf* packet, KernelClass of, Verdict verdict) {
  take_tag_away(packet);
  const auto lost = [&](Verdict reason) { drop(packet, verdict == Verdict::kToKernel ? reason : verdict); };
  switch (path.put(id_, of, packet, now_ms_)) {
    case KernelQueue::Outcome::kTaken:
      count(verdict);
      break;
    case KernelQueue::Outcome::kRateLimited:
      lost(Verdict::kKernelRateLimited);
      break;
    case KernelQueue::Outcome::kFull:
      lost(Verdict::kKernelQueueFull);
      break;
  }
}

// To the kernel it has come by that interface, to its MAC.
void Worker::give_to_kernel(rte_mbuf* packet, InterfaceId interface, KernelClass of) {
  const MacAddress& mac = snapshot_->network->interface(interface).mac;
  std::copy(mac.begin(), mac.end(), rte_pktmbuf_mtod(packet, uint8_t*));
  put_to_kernel(*shared_.to_kernel[interface], packet, of, Verdict::kToKernel);
}

// Groups of IPv4 and of protocols that are not IP; and what only a host may know, if it is for us.
bool Worker::group_to_kernel(rte_mbuf* packet, const PacketFacts& facts) {
  const bool is_theirs = facts.verdict == Verdict::kMulticast ||
                         (facts.verdict == Verdict::kUnknownEtherType && facts.to_our_mac && facts.ip != nullptr);
  return is_theirs && kernel_path(packet, facts.vlan) != nullptr &&
         to_kernel(packet, facts, kernel_class_of_group(packet, facts));
}

// The director's own addresses are the kernel's, too. A VIP that is none of them is not.
template <Family F>
bool Worker::local_to_kernel(rte_mbuf* packet, PacketView<F>& view) {
  if (snapshot_->checks != nullptr && take_check_answer(packet, view)) return true;
  if (kernel_path(packet, view.vlan) == nullptr) return false;
  const LocalAddress* address = local(view.key.tuple.destination);
  return address != nullptr && address->is_own && to_kernel(packet, view, kernel_class(view));
}
template bool Worker::local_to_kernel(rte_mbuf*, PacketView<Family::kIpv4>&);
template bool Worker::local_to_kernel(rte_mbuf*, PacketView<Family::kIpv6>&);

bool Worker::take_from_kernel() {
  if (shared_.from_kernel.empty() || shared_.from_kernel[id_] == nullptr) [[likely]]
    return false;
  rte_mbuf* packets[kBurst];
  const unsigned count =
      rte_ring_sc_dequeue_burst(shared_.from_kernel[id_], reinterpret_cast<void**>(packets), kBurst, nullptr);
  if (count == 0) return false;
  __atomic_store_n(&activity_, activity_ + count, __ATOMIC_RELAXED);
  bool any_checks = false;
  for (unsigned i = 0; i < count; ++i) {
    if (snapshot_->checks != nullptr && take_check(packets[i])) {
      any_checks = true;
    } else {
      push(packets[i], packets[i]->port, kNoVerdict);
    }
  }
  if (any_checks) {
    handle_burst(nullptr, 0, Steering::kDone);  // what the host is told of them
    send_handover();
  }
  return true;
}

}  // namespace fulcrum
