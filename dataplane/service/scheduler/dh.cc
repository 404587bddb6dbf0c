// SPDX-License-Identifier: Apache-2.0
// Destination hashing (LVS "dh"): the packet's destination address has one of 256 buckets, and bucket i belongs to the
// list's server i modulo its length, weights ignored. Refuses if that server is not usable. As this table is plain
// arithmetic, it is not stored.
#include "service/scheduler/hashing.h"

namespace fulcrum {
namespace {

int choose(SchedulerState&, const VirtualService& service, const LoadView& loads, const ScheduleRequest& request) {
  const size_t count = service.servers.size();
  if (count == 0) return -1;
  const size_t index = count - 1 - hash_bucket(request.destination.fold()) % count;
  return is_usable(service.servers[index], loads) ? static_cast<int>(index) : -1;
}

}  // namespace

constexpr Scheduler schedulers::dh = {
    .name = "dh", .start = nullptr, .edit = nullptr, .choose = choose, .counts_connections = false, .is_pure = true};

}  // namespace fulcrum
