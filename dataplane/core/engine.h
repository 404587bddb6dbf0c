// SPDX-License-Identifier: Apache-2.0
// The dataplane as one object: EAL, ports, workers, control thread, configuration. One a process. Destruction order is
// the stop order: workers first, then control, ports, EAL, and last the kernel gets its interfaces back.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>

#include "core/control.h"
#include "core/explain.h"
#include "core/kernel_ports.h"
#include "core/kernel_silence.h"
#include "core/network_change.h"
#include "core/network_follower.h"
#include "core/port.h"
#include "core/publisher.h"
#include "core/trace.h"
#include "core/verify.h"
#include "core/worker.h"

namespace fulcrum {

struct PortStatistics {
  std::string name, device, driver;
  MacAddress mac{};
  bool link_up = false;
  bool rss_aligned = false;
  uint32_t speed_mbps = 0;
  uint16_t rx_queues = 0, tx_queues = 0, mtu = 0;
  uint64_t rx_packets = 0, tx_packets = 0, rx_bytes = 0, tx_bytes = 0, rx_missed = 0, rx_errors = 0, tx_errors = 0,
           rx_no_buffer = 0;
  std::vector<std::string> offloads;
  std::vector<Interface> interfaces;
  std::vector<KernelInterfaceStatistics> kernel;
};

struct WorkerReport {
  uint32_t worker = 0, cpu = 0;
  WorkerCounters counters;
  uint64_t connections = 0, capacity = 0, busy_ns = 0, total_ns = 0;
};

// A worker that turns new flows away, and for want of what.
struct OverloadReport {
  uint32_t worker = 0;
  Shortage shortage{};
};

// An apply that was refused as a whole.
enum class ApplyError : uint8_t { kNone, kWrongInstance, kWrongGeneration };

class Engine {
 public:
  // Throws StartError. EAL cannot be started twice in a process.
  explicit Engine(StartConfig config);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  void stop();

  struct State {
    std::string instance_id, lineage, memory;
    uint64_t generation = 0, uptime_ms = 0, connections = 0, connection_capacity = 0;
    uint32_t workers = 0;
    bool secure_tcp = false, drop_entry = false, drop_packet = false;  // in force
    std::vector<OverloadReport> overloads;
  };
  State state() const;

  struct ApplyOutcome {
    ApplyError error = ApplyError::kNone;
    uint64_t generation = 0;
    std::vector<OperationResult> results;
  };
  ApplyOutcome apply_operations(const std::string& instance, const std::string& lineage, uint64_t base,
                                uint64_t generation, const std::vector<Operation>& operations, bool atomic);
  ApplyOutcome apply_snapshot(const std::string& instance, const std::string& lineage, uint64_t generation,
                              const Publisher::Wanted& wanted);

  // What apply_operations() would do. ApplyError as there.
  struct PlanOutcome {
    ApplyError error = ApplyError::kNone;
    uint64_t generation = 0;
    Plan plan;
  };
  PlanOutcome plan(const std::string& instance, uint64_t base, const std::vector<Operation>& operations) const;

  // Where a check that goes the client's way comes from; or why there is none.
  struct CheckPathAnswer {
    Address source;
    std::string problem;
  };
  // Takes the place of all paths before. One answer a path; those with a problem are left out.
  struct CheckPathsOutcome {
    bool wrong_instance = false;
    std::vector<CheckPathAnswer> answers;
  };
  CheckPathsOutcome set_check_paths(const std::string& instance, std::vector<CheckPath> paths);

  std::vector<ServiceStatistics> statistics(const ServiceKey* only, bool estimated);
  std::vector<WorkerReport> workers() const;
  std::vector<PortStatistics> ports() const;
  std::vector<NeighborInfo> neighbors() { return control_->neighbors(); }
  // Of the moment. Its routes are for workers alone: see routes().
  std::shared_ptr<const Network> network() const;
  RouteList routes() const { return follower_->routes(); }
  // A page of connections from `cursor` (0: the beginning); the cursor to go on from, 0 at the end.
  uint64_t list_connections(ConnectionFilter filter, uint64_t cursor, uint32_t limit,
                            std::vector<ConnectionInfo>& page);
  // Counts the connections that match, and may delete them; with `templates` those of persistence too.
  struct Purged {
    uint64_t connections = 0, active = 0, templates = 0;
    uint64_t oldest_ms = 0;  // age of the oldest connection
  };
  Purged purge(ConnectionFilter filter, PurgeRequest::Action action, bool templates);
  // Of each worker, from its own memory. None: the engine stops.
  struct DigestReport {
    uint64_t generation = 0;  // 0: it changed meanwhile
    std::vector<ConfigurationDigests> workers;
  };
  std::optional<DigestReport> digest();
  // Shows what workers use, which does not change meanwhile.
  void read_back(const std::function<void(const Snapshot&, const ServerLine*)>& read) const;
  // None: the engine stops.
  std::optional<Explanation> explain(const ImaginedPacket& packet);
  // Packets as they come, until there are filter.most of them or it is stopped; none: somebody traces already.
  std::optional<uint64_t> start_trace(const TraceFilter& filter);
  struct Traced {
    std::vector<std::unique_ptr<TraceRecord>> records;
    uint64_t lost = 0;  // since the last time
    bool is_full = false;
  };
  // None: there is no such trace any more.
  std::optional<Traced> read_trace(uint64_t id, uint32_t wait_ms);
  bool stop_trace(uint64_t id);
  std::string port_name(PortId port) const;
  void on_event(Control::EventHandler handler) { control_->on_event(std::move(handler)); }

  // Tests: memory ports and a clock that stands still.
  bool testing() const { return config_.testing; }
  std::optional<unsigned> inject(const std::string& port, uint16_t queue, const std::vector<std::string>& frames);
  std::optional<std::vector<std::string>> drain(const std::string& port);
  uint64_t set_clock_ms(uint64_t now_ms);
  // False: there is no such interface, or its port carries less.
  bool set_mtu(const std::string& interface, uint16_t mtu);
  // Damages what workers have of a server, or of the service: its lowest bit at `offset` bytes. False: there is none.
  bool flip_byte(const ServiceKey& key, const std::optional<ServerKey>& server, uint32_t offset);
  uint64_t now_ms() const { return shared_.clock.now_ms(); }
  // Waits until every packet that has arrived has been dealt with.
  void settle();

  Shared& shared() { return shared_; }
  Worker& worker(uint32_t id) { return *workers_[id]; }
  // For the bench: workers are made, but run only after launch().
  void launch();

 private:
  void make_network();
  CheckPathAnswer place_check(CheckPath& path) const;
  void make_kernel_ports();
  void make_follower();
  std::vector<Prefix> change_network(const NetworkChange& change);
  void make_rings();
  uint64_t list_templates(const ConnectionFilter& filter, uint64_t cursor, uint32_t limit,
                          std::vector<ConnectionInfo>& page) const;
  void name_service(ConnectionFilter& filter) const;
  std::vector<Candidate> candidates(const ServiceKey& key) const;
  uint64_t purge_templates(const ConnectionFilter& filter, PurgeRequest::Action action);
  void barrier();
  void end_trace();
  void watch_links();
  void watch_overload();
  void feed_watchdog();
  bool expire_templates();
  void defend();
  void drop_entries();
  void publish_announcements(const AnnouncementChange& change);

  StartConfig config_;
  KernelSilence silence_;
  std::vector<std::unique_ptr<Port>> ports_;
  std::unique_ptr<RssSteering> steering_;
  mutable std::mutex network_mutex_;
  std::shared_ptr<const Network> network_;  // under network_mutex_ once workers run
  std::unique_ptr<NetworkChanger> network_changer_;
  std::unique_ptr<const Masquerade> masquerade_;
  Shared shared_;
  rte_mempool* control_buffers_ = nullptr;
  std::unique_ptr<AdjacencyTable> adjacencies_;
  std::unique_ptr<TemplateTable> templates_;
  EntryDropper template_dropper_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::unique_ptr<Control> control_;
  rte_mempool* kernel_buffers_ = nullptr;
  std::vector<std::pair<Prefix, Route>> routes_;  // as configured
  std::unique_ptr<KernelPorts> kernel_ports_;     // null: there are none
  std::unique_ptr<NetworkFollower> follower_;
  mutable std::mutex apply_mutex_;
  std::mutex list_mutex_;
  std::mutex trace_mutex_;
  std::unique_ptr<TraceSession> trace_;  // null: nobody looks
  uint64_t last_trace_ = 0;
  std::mutex purge_mutex_;
  std::mutex digest_mutex_;
  std::unique_ptr<DigestRequest[]> digests_;  // of the workers, likewise
  std::mutex explain_mutex_;
  std::unique_ptr<ExplainRequest> explained_;
  std::unique_ptr<PurgeRequest[]> purges_;  // of the workers, which may still be at it when the engine stops
  std::unique_ptr<Publisher> publisher_;
  std::string instance_id_, lineage_;
  uint64_t generation_ = 0;
  uint64_t generation_version_ = 0;  // of the snapshot that it began with
  std::vector<bool> link_was_up_;
  // By worker: Overload::changes() as of the last look.
  std::vector<std::array<uint32_t, kShortages.size()>> overload_seen_;
  std::chrono::steady_clock::time_point started_;
  uint64_t started_tsc_ = 0;
  bool hugepages_ = false;
  bool eal_started_ = false;
  bool launched_ = false;
};

}  // namespace fulcrum
