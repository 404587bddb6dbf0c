// SPDX-License-Identifier: Apache-2.0
// Makes NICs spread as the director owns: both directions of a connection come in on the queue of the worker that has
// it.
#pragma once

#include <memory>

#include "core/port.h"

namespace fulcrum {

// Call between negotiate() and configure(). Null, and nothing done, if no port can be set so, or there is one worker.
std::unique_ptr<RssSteering> align_ports(const StartConfig& config, const std::vector<std::unique_ptr<Port>>& ports);

// Where the packets of that port carry the client.
ClientEnd client_end(const StartConfig& config, const PortConfig& port);

}  // namespace fulcrum
