// SPDX-License-Identifier: Apache-2.0
// What edits would do to services and to the connections that there are, found by carrying them out on a draft that
// nobody publishes.
#pragma once

#include <vector>

#include "core/draft.h"

namespace fulcrum {

struct ServicePlan {
  enum class Change : uint8_t { kAdded, kEdited, kDeleted };
  ServiceKey key;
  Change change{};
  // Of the table that its scheduler looks up (sh, mh), and how many of them would name another server, or one where
  // there was none. All, when another scheduler looks up another table. 0: it has none.
  uint32_t buckets = 0, moved = 0;
  // Of its servers, those that have a weight: now and then.
  uint32_t usable_before = 0, usable_after = 0;
  // Connections whose server would be there no longer, and templates that name one.
  uint64_t active = 0, inactive = 0, templates = 0;
  // Connections that would stay with a server that gets no new ones.
  uint64_t quiesced = 0;
  uint64_t connections = 0;  // all that it has
};

struct Plan {
  std::vector<OperationResult> results;  // ends with the first one that is refused
  std::vector<ServicePlan> services;     // none if one is refused
};

}  // namespace fulcrum
