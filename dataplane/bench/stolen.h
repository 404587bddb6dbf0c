// SPDX-License-Identifier: Apache-2.0
// What a virtual machine's host took: time in which a CPU was to run and another guest had it (proc(5), "steal").
#pragma once

#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>

namespace fulcrum::bench {

// Of one CPU, in milliseconds, since the machine started.
inline uint64_t stolen_ms(uint32_t cpu) {
  const std::string format = "cpu" + std::to_string(cpu) + " %*u %*u %*u %*u %*u %*u %*u %llu";
  std::ifstream stat("/proc/stat");
  for (std::string line; std::getline(stat, line);) {
    unsigned long long steal;
    if (std::sscanf(line.c_str(), format.c_str(), &steal) == 1)
      return steal * 1000 / static_cast<uint64_t>(sysconf(_SC_CLK_TCK));
  }
  return 0;
}

}  // namespace fulcrum::bench
