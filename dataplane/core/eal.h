// SPDX-License-Identifier: Apache-2.0
// The environment abstraction layer, once a process: its arguments from the configuration, its log lines, its end.
#pragma once

#include <string>
#include <vector>

#include "core/config.h"

namespace fulcrum {

struct EalOptions {
  bool hugepages = false;
  uint32_t memory_mb = 0;  // without hugepages
};

// What pools and tables take, in megabytes.
struct MemoryNeeds {
  uint32_t in_hugepages, in_pages;
};

// Chooses hugepages or not, and how much memory.
EalOptions plan_memory(const StartConfig& config, MemoryNeeds needs);
// The arguments for rte_eal_init. Workers are lcores 1…N; the main lcore is the set of housekeeping CPUs.
std::vector<std::string> eal_arguments(const StartConfig& config, const EalOptions& options);
// Throws StartError with EAL's own lines. A failed start cannot be retried within the process.
void start_eal(const std::vector<std::string>& arguments);
void stop_eal();

// EAL's name of a device: what stands before the first comma, or the PCI address.
std::string device_name(const std::string& device);
bool is_pci_address(const std::string& device);

// Log lines of EAL and the engine: kept for error texts, and written to a pipe for whoever reads.
class LogTap {
 public:
  static LogTap& instance();
  int read_fd() const { return read_fd_; }
  // The last lines that mention `word` (all if empty), for an error text.
  std::string recent(const std::string& word, size_t most = 8);
  void write_line(const std::string& line);

 private:
  LogTap();
  int read_fd_ = -1;
  int write_fd_ = -1;
};

}  // namespace fulcrum
