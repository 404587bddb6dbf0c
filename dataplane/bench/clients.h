// SPDX-License-Identifier: Apache-2.0
// What it costs a new connection that its client is held against prefixes.
#pragma once

#include <vector>

#include "net/address.h"

namespace fulcrum::bench {

// So many distinct ones, of the lengths that routing tables have most of, from all over the address space but for the
// networks whose addresses the cases' clients have.
std::vector<Prefix> random_prefixes(Family family, size_t count);

// Prints a table: bytes of the list, nanoseconds a client, one after the other and with nothing of the list in a cache.
void measure_clients();

}  // namespace fulcrum::bench
