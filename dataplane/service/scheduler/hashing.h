// SPDX-License-Identifier: Apache-2.0
// What the schedulers share that choose by a hash of an address.
#pragma once

#include <span>

#include "service/scheduler/scheduler.h"

namespace fulcrum {

// Flags of sh and mh (ipvsadm -b): flag-1 and flag-2.
inline constexpr uint32_t kFallbackFlag = 1u << 0;
inline constexpr uint32_t kPortFlag = 1u << 1;

// dh and sh have 256 buckets; the number is the top eight bits of a product with 2^32 less the golden section of it.
inline constexpr uint32_t kHashBuckets = 256;
constexpr uint32_t hash_bucket(uint32_t value) { return (value * 0x61C88647u) >> 24; }

// What sh and mh hash of a client, modulo 2^32.
inline uint32_t client_number(const VirtualService& service, const ScheduleRequest& request) {
  const uint32_t port = (service.scheduler_flags & kPortFlag) != 0 ? request.source_port : 0;
  return request.source.fold() + port;
}

// Empty as long as no server can be found.
inline std::span<const uint32_t> buckets_of(const VirtualService& service) {
  if (service.table == nullptr) return {};
  return *service.table;
}

}  // namespace fulcrum
