// SPDX-License-Identifier: Apache-2.0
// Source hashing (LVS "sh"): the client's address, with flag sh-port its port too, has one of 256 buckets. They are
// dealt out in rounds over the list, a server getting as many in a row as its weight says, and one at weight 0. Refuses
// if the bucket's server is not usable; with flag sh-fallback it tries all others.
#include <algorithm>

#include "service/scheduler/hashing.h"

namespace fulcrum {
namespace {

SchedulerTable build(const VirtualService& service) {
  SchedulerTable buckets;
  if (service.servers.empty()) return buckets;
  buckets.reserve(kHashBuckets);
  for (size_t index = service.servers.size(); buckets.size() < kHashBuckets;) {
    if (index == 0) index = service.servers.size();
    const size_t room = kHashBuckets - buckets.size();
    const size_t share = std::clamp<size_t>(service.servers[--index].weight, 1, room);
    buckets.insert(buckets.end(), share, static_cast<uint32_t>(index));
  }
  return buckets;
}

// LVS counts on from the bucket and adds the bucket once more, so its search begins at twice the bucket.
int fall_back(std::span<const uint32_t> buckets, uint32_t bucket, const VirtualService& service,
              const LoadView& loads) {
  for (uint32_t offset = 0; offset < kHashBuckets; ++offset) {
    const uint32_t index = buckets[(offset + 2 * bucket) % kHashBuckets];
    if (is_usable(service.servers[index], loads)) return static_cast<int>(index);
  }
  return -1;
}

int choose(SchedulerState&, const VirtualService& service, const LoadView& loads, const ScheduleRequest& request) {
  const auto buckets = buckets_of(service);
  if (buckets.empty()) return -1;
  const uint32_t bucket = hash_bucket(client_number(service, request));
  const uint32_t index = buckets[bucket];
  if (is_usable(service.servers[index], loads)) return static_cast<int>(index);
  return (service.scheduler_flags & kFallbackFlag) != 0 ? fall_back(buckets, bucket, service, loads) : -1;
}

}  // namespace

constexpr Scheduler schedulers::sh = {.name = "sh",
                                      .start = nullptr,
                                      .edit = nullptr,
                                      .choose = choose,
                                      .counts_connections = false,
                                      .build = build,
                                      .table_weight = &RealServer::weight,
                                      .is_pure = true};

}  // namespace fulcrum
