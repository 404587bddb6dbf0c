// SPDX-License-Identifier: Apache-2.0
// The engine as it is shipped, between a capture file that is replayed without end and a port that frees what it gets:
// one worker that polls, one virtual service, and an established connection for every flow of the file.
#pragma once

#include <memory>
#include <string>

#include "bench/capture.h"
#include "core/engine.h"

namespace fulcrum::bench {

struct RigOptions {
  std::string capture;
  uint32_t worker_cpu = 1;
  uint32_t housekeeping_cpu = 0;
  Hugepages hugepages = Hugepages::kAuto;
  bool preload = true;
};

class Rig {
 public:
  // Throws StartError or BenchError. The worker does not run yet.
  Rig(const Scenario& scenario, const RigOptions& options);

  void launch() { engine_.launch(); }
  // Ends the worker's own loop, after which poll() does its rounds; time stands still from then on.
  void take_over();
  void poll() { engine_.worker(0).poll(); }
  const WorkerCounters& counters() { return engine_.worker(0).counters(); }
  std::string memory() { return engine_.state().memory; }
  bool huge_tables() { return engine_.worker(0).huge_tables(); }

 private:
  void configure();
  void preload();

  const Scenario scenario_;
  Engine engine_;
};

}  // namespace fulcrum::bench
