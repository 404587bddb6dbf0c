// SPDX-License-Identifier: Apache-2.0
// Between the messages of fulcrum/v1/traffic.proto and what services take.
#pragma once

#include <memory>
#include <string>

#include "core/config.h"
#include "core/ledger.h"
#include "fulcrum/v1/traffic.pb.h"

namespace fulcrum::api {

namespace v1 = ::fulcrum::v1;

std::shared_ptr<const TrafficPolicy> traffic_policy(const v1::TrafficPolicy& message, const std::string& path);
// Its prefixes are put in order here, by the caller: a long list keeps the control thread from nothing.
NamedPrefixList prefix_list(const v1::PrefixList& message, const std::string& path);
void write(const RefusalValues& refusals, v1::Refusals* message);

}  // namespace fulcrum::api
