// SPDX-License-Identifier: Apache-2.0
// What workers use, back into the words that it was asked for in.
#pragma once

#include "api/translate.h"

namespace fulcrum::api {

// Servers in order of addition.
void write(const VirtualService& service, v1::VirtualService* message);
// All but services.
void write_settings(const Snapshot& snapshot, v1::Configuration* message);
// What contradicts a service, the one at this position, in what packets read beside it.
std::vector<std::string> contradictions(const Snapshot& snapshot, size_t position, const ServerLine* lines);
void write(const ConfigurationDigests& digests, uint32_t worker, bool with_services,
           dataplane::ConfigurationDigest* message);
void write(const ServicePlan& plan, v1::ServicePlan* message);

}  // namespace fulcrum::api
