// SPDX-License-Identifier: Apache-2.0
// The interfaces, addresses and routes that a configuration names, on ports that are open.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "core/config.h"
#include "core/port.h"
#include "forward/network.h"

namespace fulcrum {

// `routes`: gets those of the configuration, with the interface that they lead to. Throws StartError that begins with
// the field.
std::shared_ptr<Network> build_network(const StartConfig& config, const std::vector<std::unique_ptr<Port>>& ports,
                                       std::vector<std::pair<Prefix, Route>>& routes);

// Null: nothing is masqueraded. Throws likewise.
std::unique_ptr<const Masquerade> build_masquerade(const StartConfig& config, const Network& network);

}  // namespace fulcrum
