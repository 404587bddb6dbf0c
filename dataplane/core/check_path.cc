// SPDX-License-Identifier: Apache-2.0
// Checks that go the client's way (service/check_path.h): what the host sends to a VIP goes to the server that its port
// names, by that one's forwarding method; what comes back is the host's, whichever interface it comes by, and comes
// from the VIP. No packet from the wire that is balanced or routed ever gets here.
#include "service/check_path.h"

#include <rte_mbuf.h>

#include "core/forward.h"
#include "core/kernel_class.h"

namespace fulcrum {

// From the kernel. False: it is no check's, and still the caller's.
bool Worker::take_check(rte_mbuf* packet) {
  PacketFacts facts;
  const auto take = [&]<Family F>(PacketView<F>&& view) {
    static_cast<PacketFacts&>(view) = facts;
    parse_network(packet, view);
    return view.kind == PacketKind::kFlow && send_check(packet, view);
  };
  switch (parse_link(packet, shared_.ports[packet->port].mac, facts)) {
    case Family::kIpv4:
      return take(PacketView<Family::kIpv4>{});
    case Family::kIpv6:
      return take(PacketView<Family::kIpv6>{});
    case Family::kNone:
      break;
  }
  return false;
}

template <Family F>
bool Worker::send_check(rte_mbuf* packet, PacketView<F>& view) {
  const CheckPath* path = snapshot_->checks->find_question(view.key);
  if (path == nullptr) return false;
  ++counters_.came_again;
  const be16 port = be16::from_host(path->server_port());
  Connection<F> entry = passing_entry(Choice{.server = &path->server, .port = port}, view.key);
  forward_to_server(packet, view, entry);
  return true;
}

// For an address of the director's own. False: it is no check's, and still the caller's.
template <Family F>
bool Worker::take_check_answer(rte_mbuf* packet, PacketView<F>& view) {
  Quote<F> quote;
  const bool is_error = view.kind == PacketKind::kIcmp && read_quote(packet, view, quote);
  if (!is_error && view.kind != PacketKind::kFlow) return false;
  // What comes from a server, or tells of what was sent to one.
  const CheckPath* path = snapshot_->checks->find_answer(is_error ? quote.key : view.key);
  if (path == nullptr || shared_.to_kernel[path->interface] == nullptr) return false;
  if (path->server.method == ForwardingMethod::kNat) {
    const AddressOf<F> vip = path->service.address.as<F>();
    const be16 port = be16::from_host(path->port);
    if (!is_error) {
      translate<true>(packet, view, vip, port);
    } else if (!translate_error(packet, view, quote, vip, port)) {
      drop(packet, Verdict::kBadTransport);
      return true;
    }
  }
  give_to_kernel(packet, path->interface, kernel_class(view));
  return true;
}

#define INSTANTIATE(F)                                         \
  template bool Worker::send_check(rte_mbuf*, PacketView<F>&); \
  template bool Worker::take_check_answer(rte_mbuf*, PacketView<F>&)
INSTANTIATE(Family::kIpv4);
INSTANTIATE(Family::kIpv6);

}  // namespace fulcrum
