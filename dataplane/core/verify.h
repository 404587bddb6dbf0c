// SPDX-License-Identifier: Apache-2.0
// Whether a worker really uses what was declared: it digests its configuration from its own memory, the way packets
// find it, a slice between bursts. The manager knows what must come out.
#pragma once

#include <atomic>
#include <vector>

#include "core/shared.h"
#include "service/configuration_digest.h"

namespace fulcrum {

struct ConfigurationDigests {
  Digest services;  // of all, in order of creation
  Digest vips;      // joined: they have no order
  SettingsDigests settings;
  std::vector<Digest> each;  // of the services
};

// Filled by a worker. It begins again when the configuration changes meanwhile.
struct DigestRequest {
  uint64_t version = 0;  // of the snapshot that was digested; 0: none, it was given up
  ConfigurationDigests digests;
  size_t service = 0, server = 0, cell = 0;  // where it goes on
  Digest current;                            // of that service, as far as it was read
  std::atomic<uint32_t> given_up{0};
  std::atomic<uint32_t> done{0};
};

// What contradicts a service or one of its servers in what packets read beside the list; null: nothing does.
const char* contradiction(const Snapshot& snapshot, const VirtualService& service, size_t position);
const char* contradiction(const Snapshot& snapshot, const VirtualService& service, const RealServer& server,
                          const ServerLine* lines);

}  // namespace fulcrum
