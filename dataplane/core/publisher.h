// SPDX-License-Identifier: Apache-2.0
// Turns edits into snapshots. Owns the configuration as it is asked for, numbers slots (which survive delete and add:
// LVS's trash), and keeps the zero points of counters. One caller at a time; never called by a worker.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <unordered_map>

#include "core/config.h"
#include "core/shared.h"
#include "core/worker.h"
#include "service/edit_list.h"
#include "service/estimator.h"

namespace fulcrum {

struct CounterValues {
  uint64_t connections = 0, in_packets = 0, in_bytes = 0, out_packets = 0, out_bytes = 0;
  CounterValues& operator+=(const CounterValues& other);
  CounterValues& operator-=(const CounterValues& other);
};

struct ServerStatistics {
  ServerKey key;
  CounterValues counters;
  Rates rates;
  uint64_t active = 0, inactive = 0, persistent = 0;
};

struct ServiceStatistics {
  ServiceKey key;
  CounterValues counters;
  Rates rates;
  std::vector<ServerStatistics> servers;  // in LVS list order
};

// What changed about addresses that the director announces.
struct AnnouncementChange {
  std::vector<Address> became_active;
  std::vector<Address> became_silent;  // standby, or no VIP any longer
  std::vector<Address> servers_added;
  std::vector<ServerSlot> servers_deleted;
};

class Publisher {
 public:
  static constexpr uint64_t kTrashMs = 120'000;  // LVS forgets a deleted server when nothing referred to it for so long

  Publisher(Shared& shared, std::vector<std::unique_ptr<Worker>>& workers, std::shared_ptr<const Network> network);
  ~Publisher();

  // All edits in order and one publication. `atomic`: the first refusal undoes all (the last result says why);
  // otherwise refused ones are reported and the rest carried out.
  std::vector<OperationResult> apply(const std::vector<Operation>& operations, bool atomic, AnnouncementChange& change);
  // The edits that lead from what is to `wanted` (services with servers in order of addition, and so on), so that
  // applying them resets nothing that is equal.
  struct Wanted {
    struct Service {
      ServiceKey key;
      ServiceSettings settings;
      std::vector<RealServer> servers;
    };
    std::vector<Service> services;
    std::vector<VipSettings> vips;
    Timeouts timeouts;
    Tunables tunables;
    std::vector<MarkRule> marks;
  };
  std::vector<Operation> difference(const Wanted& wanted) const;

  // `estimated`: counters as of the estimator's last run, which is what LVS shows.
  std::vector<ServiceStatistics> statistics(const ServiceKey* only, bool estimated) const;
  // Every second or so: runs the two-second estimator as often as it is due.
  void estimate(uint64_t now_ms);
  // What schedulers remember of destinations (lblc, lblcr) is looked through.
  void tend_schedulers(uint64_t now_ms);
  // Forgets deleted servers that nothing refers to.
  void empty_trash(uint64_t now_ms);
  const Snapshot& current() const { return *current_; }

 private:
  struct SlotRecord {
    ServiceKey service;
    ServerKey server;
    bool used = false;
    bool live = false;
    bool was_nat = false;
    uint64_t unreferenced_since_ms = 0;
    CounterValues zero;
    CounterValues estimated_zero;
    Estimator<CounterValues> estimator;
  };
  struct ServiceRecord {
    ServiceSlot slot = 0;
    CounterValues base;            // zero point
    CounterValues estimated_base;  // likewise, of what the estimator has seen
    CounterValues gone;            // counted by servers that have left the trash
    Estimator<CounterValues> estimator;
    std::unordered_map<ServerKey, ServerSlot, ServerKeyHash> servers;  // live or in the trash
  };
  struct Open {
    VirtualService service;
    std::unique_ptr<EditList> edits;
  };
  struct Draft;

  OperationResult carry_out(Draft& draft, const Operation& operation);
  OperationResult add_service(Draft& draft, const Operation& operation);
  OperationResult edit_service(Draft& draft, const Operation& operation);
  OperationResult delete_service(Draft& draft, const ServiceKey& key);
  OperationResult edit_server(Draft& draft, const Operation& operation);
  OperationResult zero(Draft& draft, const Operation& operation);
  OperationResult set_vip(Draft& draft, const VipSettings& vip);
  Open* open(Draft& draft, const ServiceKey& key);
  ServerSlot slot_for(const ServiceKey& service, const ServerKey& server);
  CounterValues raw(ServerSlot slot) const;
  CounterValues raw(const ServiceRecord& record) const;
  uint32_t remembered(const SlotRecord& record, ServerSlot slot) const;
  void publish(Draft& draft, AnnouncementChange& change);
  void rebuild_tables(Snapshot& next, bool services_changed, bool servers_changed);
  void await_adoption(uint64_t version);

  Shared& shared_;
  std::vector<std::unique_ptr<Worker>>& workers_;
  std::unique_ptr<const Snapshot> current_;
  std::unordered_map<ServiceKey, ServiceRecord, ServiceKeyHash> records_;
  std::vector<SlotRecord> slots_;
  std::vector<ServerSlot> free_slots_;
  std::map<std::string, VipSettings> vips_;  // declared ones, by text
  Timeouts timeouts_;
  ServiceSlot next_service_slot_ = 0;
  uint64_t next_epoch_ = 1;
  uint64_t estimated_at_ms_ = 0;
};

}  // namespace fulcrum
