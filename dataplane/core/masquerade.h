// SPDX-License-Identifier: Apache-2.0
// Masquerading: routed traffic of hosts behind the director leaves with one of its addresses as source. The far end of
// such a flow stands where a balanced connection has its client: it alone says who owns the flow, so that replies meet
// their owner whatever port was chosen, and no two workers ever choose ports towards the same far end.
#pragma once

#include <numeric>
#include <vector>

#include "forward/network.h"
#include "net/owner.h"
#include "service/mark_rule.h"

namespace fulcrum {

// Below what Linux gives its own sockets (net.ipv4.ip_local_port_range), above what services have.
inline constexpr PortRange kMasqueradePorts = {1024, 32767};

struct MasqueradeRule {
  Prefix source;
  InterfaceId interface = kNoInterface;  // that they leave by
  Address address;                       // family kNone: the interface's own
  PortRange ports = kMasqueradePorts;
};

// The rules, in order. Made before the workers start.
class Masquerade {
 public:
  explicit Masquerade(std::vector<MasqueradeRule> rules) : rules_(std::move(rules)) {}

  // By some interface, what it sends is masqueraded.
  bool covers(const Address& source) const {
    for (const MasqueradeRule& rule : rules_)
      if (rule.source.contains(source)) return true;
    return false;
  }
  // Null: it goes on as it is.
  const MasqueradeRule* find(const Address& source, InterfaceId leaves_by) const {
    for (const MasqueradeRule& rule : rules_)
      if (rule.interface == leaves_by && rule.source.contains(source)) return &rule;
    return nullptr;
  }
  const std::vector<MasqueradeRule>& rules() const { return rules_; }

 private:
  std::vector<MasqueradeRule> rules_;
};

// The ports of a range in the order in which they are tried for the endpoint that a flow comes from, each once. The
// first follows from that endpoint alone: it keeps its port towards every far end that has it free (RFC 4787 section
// 4.1), across a restart too, and an unpredictable port stays one (RFC 6056).
class PortWalk {
 public:
  template <typename AnyAddress>
  PortWalk(const PortRange& range, const AnyAddress& source, be16 port)
      : first_(range.first), size_(range.last - range.first + 1u) {
    const uint32_t of_address = owner_hash(source, be16{});
    at_ = (uint64_t{of_address} + port.host()) % size_;
    step_ = size_ == 1 ? 1 : 1 + static_cast<uint32_t>(mix64(uint64_t{of_address} << 16 | port.raw) % (size_ - 1));
    while (std::gcd(step_, size_) != 1) ++step_;
  }
  be16 next() {
    const auto port = static_cast<uint16_t>(first_ + at_);
    at_ = (at_ + step_) % size_;
    return be16::from_host(port);
  }
  uint32_t size() const { return size_; }

 private:
  uint32_t first_, size_;
  uint64_t at_;
  uint32_t step_;
};

}  // namespace fulcrum
