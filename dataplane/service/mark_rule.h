// SPDX-License-Identifier: Apache-2.0
// Mark rules: what iptables' MARK target does for LVS's fwmark services, done by the director itself. In order; the
// first rule that matches gives the mark.
#pragma once

#include <vector>

#include "net/flow_key.h"

namespace fulcrum {

struct PortRange {
  uint16_t first = 0;
  uint16_t last = 0xffff;
  bool contains(uint16_t port) const { return port >= first && port <= last; }
  bool is_all() const { return first == 0 && last == 0xffff; }
  bool operator==(const PortRange&) const = default;
};

struct MarkRule {
  Family family = Family::kNone;  // kNone: both
  IpProtocol protocol{};          // 0: any
  Prefix source, destination;     // family kNone: any address
  PortRange source_ports, destination_ports;
  uint32_t mark = 0;
  bool local = false;  // what matches counts as addressed to the director
  bool operator==(const MarkRule&) const = default;
};

struct Mark {
  uint32_t value = 0;
  bool local = false;
};

// What the rules say of a packet of this flow.
template <Family F>
Mark mark_of(const std::vector<MarkRule>& rules, const FlowKey<F>& key) {
  if (rules.empty()) return {};
  const Address source = Address::from(key.tuple.source), destination = Address::from(key.tuple.destination);
  const auto within = [](const Prefix& prefix, const Address& address) {
    return prefix.address.family == Family::kNone || prefix.contains(address);
  };
  for (const MarkRule& rule : rules) {
    if (rule.family != Family::kNone && rule.family != F) continue;
    if (rule.protocol != IpProtocol{} && rule.protocol != key.protocol) continue;
    if (!rule.source_ports.contains(key.tuple.source_port.host()) ||
        !rule.destination_ports.contains(key.tuple.destination_port.host()))
      continue;
    if (within(rule.source, source) && within(rule.destination, destination)) return {rule.mark, rule.local};
  }
  return {};
}

}  // namespace fulcrum
