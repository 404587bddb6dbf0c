// SPDX-License-Identifier: Apache-2.0
// The edits that lead from one configuration to another.
#pragma once

#include <vector>

#include "core/draft.h"

namespace fulcrum {

// A whole configuration, as a resync brings it. Servers in order of addition.
struct WantedConfiguration {
  struct Service {
    ServiceKey key;
    ServiceSettings settings;
    std::vector<RealServer> servers;
    std::shared_ptr<const TrafficPolicy> traffic;  // null: none
  };
  std::vector<Service> services;
  std::vector<VipSettings> vips;
  Timeouts timeouts;
  Tunables tunables;
  std::vector<MarkRule> marks;
  std::vector<NamedPrefixList> prefix_lists;
};

// By key: what is equal is left alone, order included, so that carrying the edits out resets nothing that is equal.
std::vector<Operation> difference(const ServiceList& services, const Settings& settings,
                                  const WantedConfiguration& wanted);

}  // namespace fulcrum
