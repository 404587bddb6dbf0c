// SPDX-License-Identifier: Apache-2.0
// Where the flows of a service go that have no entry in a connection table: a Maglev table of its servers by weight,
// found by a hash of the flow. Both are functions of the configuration and the packet alone, so that every worker, and
// the director after its next start, says the same of a flow.
#pragma once

#include <cstdint>
#include <vector>

#include "net/flow_key.h"
#include "net/owner.h"
#include "service/service.h"

namespace fulcrum {

// By slot, a position in VirtualService::servers.
using SpreadTable = std::vector<uint16_t>;

// Slots of a table for so many servers, whether they take part or not. Two sizes only: another size moves nearly all.
constexpr uint32_t spread_slots(size_t servers) { return servers <= 64 ? 1021 : 16381; }

// A server that takes packets as they are can take any packet of any flow. One with a threshold cannot: flows that
// have no entry are not counted, so they must not come.
inline bool takes_any(const RealServer& server) {
  return (server.method == ForwardingMethod::kDr || server.method == ForwardingMethod::kTun) &&
         server.upper_threshold == 0;
}

// Makes the service's table, unless the one that it has still holds, or its flows follow something else: a template,
// or a scheduler that is pure. To be called when its edits are done, before workers see the service.
void prepare_spread(VirtualService& service);

// Not secret: a secret of one start would lead flows elsewhere at the next one.
inline uint32_t spread_hash(const FlowKey<Family::kIpv4>& flow) {
  const auto& tuple = flow.tuple;
  const uint64_t client = uint64_t{tuple.source_port.raw} << 32 | tuple.source.raw;
  const uint64_t vip = uint64_t{tuple.destination_port.raw} << 32 | tuple.destination.raw;
  constexpr uint64_t kSeed = 0x9E3779B97F4A7C15u;
  return static_cast<uint32_t>(mix64(mix64(client ^ kSeed) ^ vip) >> 32);
}
inline uint32_t spread_hash(const FlowKey<Family::kIpv6>& flow) {
  const auto& tuple = flow.tuple;
  uint64_t mixed = 0x9E3779B97F4A7C15u;
  for (const uint64_t part : {tuple.source.high, tuple.source.low, tuple.destination.high, tuple.destination.low})
    mixed = mix64(mixed ^ part);
  return static_cast<uint32_t>(mix64(mixed ^ (uint64_t{tuple.source_port.raw} << 16 | tuple.destination_port.raw)) >>
                               32);
}

// The server of a flow, a position in the list; `table` must have slots.
template <Family F>
uint16_t spread_server(const SpreadTable& table, const FlowKey<F>& flow) {
  return table[(uint64_t{spread_hash(flow)} * table.size()) >> 32];
}

}  // namespace fulcrum
