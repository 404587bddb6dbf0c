// SPDX-License-Identifier: Apache-2.0
// The calls of fulcrum.dataplane.v1, bytes in and bytes out: what the addon hands on without looking.
#pragma once

#include <string>

#include "api/translate.h"

namespace fulcrum::api {

// The serialized answer to `method`. Throws CallError.
std::string call(Engine& engine, const std::string& method, const std::string& request);

// A serialized WatchEventsResponse.
std::string event_bytes(const Event& event);

}  // namespace fulcrum::api
