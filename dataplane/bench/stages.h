// SPDX-License-Identifier: Apache-2.0
// The stages of a packet's path one by one, on packets and tables in the cache and without devices: what each costs, in
// time, and in instructions under valgrind --tool=callgrind.
#pragma once

#include <string>

namespace fulcrum::bench {

// Prints one a line.
void print_stage_names();
// Prints a line of JSON: nanoseconds a packet, the median of a hundred windows, by stage.
void measure_stages();
// A fixed amount of work, which callgrind collects in. Prints {"name":…,"packets":…}. Throws BenchError for what is no
// stage.
void count_stage(const std::string& name);

}  // namespace fulcrum::bench
