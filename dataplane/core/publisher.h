// SPDX-License-Identifier: Apache-2.0
// Turns edits into snapshots: a draft takes the edits, the tables that they touch are built anew, workers change over,
// the ledger follows. One caller at a time; never called by a worker.
#pragma once

#include <memory>

#include "core/difference.h"
#include "core/draft.h"
#include "core/ledger.h"
#include "core/plan.h"
#include "service/check_path.h"

namespace fulcrum {

// What changed about addresses that the director announces.
struct AnnouncementChange {
  std::vector<Address> became_active;
  std::vector<Address> became_silent;  // standby, or no VIP any longer
  std::vector<Address> servers_added;
  std::vector<ServerSlot> servers_deleted;
};

class Publisher {
 public:
  using Wanted = WantedConfiguration;

  Publisher(Shared& shared, std::vector<std::unique_ptr<Worker>>& workers, std::shared_ptr<const Network> network);
  ~Publisher();

  // All edits in order and one publication. `atomic`: the first refusal undoes all (the last result says why);
  // otherwise refused ones are reported and the rest carried out.
  std::vector<OperationResult> apply(const std::vector<Operation>& operations, bool atomic, AnnouncementChange& change);
  // Interfaces, addresses and routes are others from now on; nobody reads those from before any longer when it returns.
  void change_network(std::shared_ptr<const Network> network, bool addresses_changed, AnnouncementChange& change);
  // The ways of checks that go the client's way, all of them; their slots are chosen here. False, with nothing changed:
  // there is no room for so many.
  bool set_checks(std::vector<CheckPath> paths);
  // The edits that lead from what is to `wanted`.
  std::vector<Operation> difference(const Wanted& wanted) const;

  // What apply() of these edits would do; nothing is changed.
  Plan plan(const std::vector<Operation>& operations) const;

  // None: there is no such service, and nothing is left of one.
  std::optional<ServiceSlot> slot_of(const ServiceKey& service) const { return ledger_.known_slot_of(service); }
  // `estimated`: counters as of the estimator's last run, which is what LVS shows.
  std::vector<ServiceStatistics> statistics(const ServiceKey* only, bool estimated) const;
  // Every second or so: runs the two-second estimator as often as it is due.
  void estimate(uint64_t now_ms) { ledger_.estimate(*current_, now_ms); }
  // What schedulers remember of destinations (lblc, lblcr) is looked through.
  void tend_schedulers(uint64_t now_ms);
  // Forgets deleted servers that nothing refers to.
  void empty_trash(uint64_t now_ms) { ledger_.empty_trash(*current_, now_ms); }
  const Snapshot& current() const { return *current_; }

 private:
  void publish(Edited edited, AnnouncementChange& change);
  std::unique_ptr<Snapshot> successor(const Edited& edited);
  void hand_to_workers(std::unique_ptr<const Snapshot> next);
  void await_adoption(uint64_t version);

  Shared& shared_;
  std::vector<std::unique_ptr<Worker>>& workers_;
  Ledger ledger_;
  Settings settings_;
  std::unique_ptr<const Snapshot> current_;
  uint64_t next_epoch_ = 1;
};

}  // namespace fulcrum
