// SPDX-License-Identifier: Apache-2.0
// The engine as it is shipped, between capture files that are replayed without end and ports that free what they get:
// workers that poll, a virtual service for each, and an established connection for every flow of the files.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "bench/capture.h"
#include "bench/source.h"
#include "core/engine.h"

namespace fulcrum::bench {

struct RigOptions {
  std::string capture;
  uint32_t worker_cpu = 1;
  uint32_t housekeeping_cpu = 0;
  uint32_t second_cpu = 0;  // the second worker's
  Hugepages hugepages = Hugepages::kAuto;
  uint32_t prefixes = 0;      // that clients are held against and none is in; 0: no list
  bool memory_ports = false;  // rings (net_ring) in place of the capture file and of the port that frees what it gets
};

class Rig {
 public:
  // Throws StartError or BenchError. The workers do not run yet.
  Rig(const Scenario& scenario, const RigOptions& options);

  const Scenario& scenario() const { return scenario_; }
  Engine& engine() { return engine_; }
  void launch() { engine_.launch(); }
  // Ends the workers' own loop; poll() does the first one's rounds then.
  void stop_workers();
  // Ends the workers' own loop, after which poll() does the first one's rounds; time stands still from then on.
  void take_over();
  void poll() { engine_.worker(0).poll(); }
  // Of all workers.
  WorkerCounters counters();
  uint64_t connections();
  void open(Source::Gate gate);
  Source& source() { return *sources_[0]; }
  // All connections' packets from clients, as they are listed while the workers run.
  uint64_t listed_packets();
  std::string memory() { return engine_.state().memory; }
  bool huge_tables() { return engine_.worker(0).huge_tables(); }

 private:
  void configure(uint32_t prefixes);
  void deny(uint32_t prefixes, std::vector<Operation>& operations) const;
  void add_service(unsigned worker, std::vector<Operation>& operations) const;
  void preload();
  template <Family F>
  void preload_pair(unsigned pair);

  const Scenario scenario_;
  std::vector<std::unique_ptr<Source>> sources_;  // outlive the engine, which calls them
  Engine engine_;
};

}  // namespace fulcrum::bench
