// SPDX-License-Identifier: Apache-2.0
// What it costs the schedulers that seek the least of all servers to choose one, with few servers and with many.
#pragma once

namespace fulcrum::bench {

// Prints a table: nanoseconds a choice, by walking the list and by its index, with counts in the cache and not.
void measure_choices();

}  // namespace fulcrum::bench
