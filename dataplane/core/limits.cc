// SPDX-License-Identifier: Apache-2.0
// What a service with a traffic policy lets in: which clients, how many connections, and how many new ones a second.
// Asked where an entry would be made, so that established connections never pay and never suffer.
#include <utility>

#include "core/forward.h"

namespace fulcrum {

template <typename AnyAddress>
bool Worker::denies(const VirtualService& service, const AnyAddress& client) {
  if (service.traffic->clients.takes(*snapshot_->prefix_lists, client)) return false;
  ++service_counters_[service.slot].denied;
  return true;
}
template bool Worker::denies(const VirtualService&, const be32&);
template bool Worker::denies(const VirtualService&, const Ipv6Address&);

// A place among the connections of the service, all workers' together, before a server is chosen: so there are never
// more than the limit, and what is refused leaves no template and takes no turn. A datagram that is scheduled on its
// own needs no place. Why there is none, if there is none.
std::optional<Verdict> Worker::take_service_place(const VirtualService& service, bool is_once) {
  ServiceCounters& counters = service_counters_[service.slot];
  count_in_total(service);  // the snapshot may be newer than what has been followed
  if (const uint32_t most = service.traffic->policy.max_connections; most != 0 && !is_once) {
    std::atomic<uint32_t>& total = shared_.services[service.slot].connections;
    uint32_t open = total.load(std::memory_order_relaxed);
    do {
      if (open >= most) {
        ++counters.over_limit;
        return Verdict::kConnectionLimit;
      }
    } while (!total.compare_exchange_weak(open, open + 1, std::memory_order_relaxed));
    place_taken_ = true;
  }
  if (service.traffic->rate == nullptr || service.traffic->rate->take(now_ms_)) return std::nullopt;
  give_back_service_place(service);
  ++counters.over_rate;
  return Verdict::kConnectionRateLimit;
}

// If no connection has come to need it.
void Worker::give_back_service_place(const VirtualService& service) {
  if (std::exchange(place_taken_, false))
    shared_.services[service.slot].connections.fetch_sub(1, std::memory_order_relaxed);
}

// Connections count for the total of their service as long as that is limited: those that there are when a limit is set
// are part of it, and others' workers need not touch a line that all share.
void Worker::count_in_total(const VirtualService& service) {
  const bool wanted = service.traffic != nullptr && service.traffic->policy.max_connections != 0;
  ServiceCounters& counters = service_counters_[service.slot];
  if (counters.in_total == wanted) return;
  counters.in_total = wanted;
  shared_.services[service.slot].connections.fetch_add(wanted ? counters.connections : 0u - counters.connections,
                                                       std::memory_order_relaxed);
}

}  // namespace fulcrum
