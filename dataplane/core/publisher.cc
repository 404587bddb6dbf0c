// SPDX-License-Identifier: Apache-2.0
#include "core/publisher.h"

#include <rte_rcu_qsbr.h>
#include <time.h>

#include <unordered_map>

namespace fulcrum {

Publisher::Publisher(Shared& shared, std::vector<std::unique_ptr<Worker>>& workers,
                     std::shared_ptr<const Network> network)
    : shared_(shared), workers_(workers), ledger_(shared, workers) {
  auto first = std::make_unique<Snapshot>();
  first->version = 1;
  first->network = std::move(network);
  first->marks = settings_.marks;
  index_services(*first);
  index_addresses(*first, *settings_.vips);
  index_nat_endpoints(*first, ledger_);
  // Never deleted, in no service: see Shared.
  shared_.servers[Shared::kBypassSlot].available.store(true, std::memory_order_relaxed);
  current_ = std::move(first);
  shared_.snapshot.store(current_.get(), std::memory_order_release);
}

Publisher::~Publisher() { shared_.snapshot.store(nullptr, std::memory_order_release); }

std::vector<OperationResult> Publisher::apply(const std::vector<Operation>& operations, bool atomic,
                                              AnnouncementChange& change) {
  Draft draft(*current_, settings_, ledger_, next_epoch_);
  std::vector<OperationResult> results;
  results.reserve(operations.size());
  for (const Operation& operation : operations) {
    results.push_back(draft.carry_out(operation));
    if (atomic && results.back().reason != Reason::kDone) return results;
  }
  publish(draft.finish(), change);
  return results;
}

std::vector<Operation> Publisher::difference(const Wanted& wanted) const {
  return fulcrum::difference(current_->services, settings_, wanted);
}

bool Publisher::set_checks(std::vector<CheckPath> paths) {
  static const std::vector<CheckPath> kNone;
  const std::vector<CheckPath>& before = current_->checks == nullptr ? kNone : current_->checks->all();
  std::unordered_map<ServerKey, std::vector<ServerSlot>, ServerKeyHash> known;
  // The first one last, so that the order stays.
  for (auto path = before.rbegin(); path != before.rend(); ++path) known[path->server.key].push_back(path->server.slot);
  std::vector<ServerSlot> fresh;
  for (CheckPath& path : paths) {
    if (std::vector<ServerSlot>& slots = known[path.server.key]; !slots.empty()) {
      path.server.slot = slots.back();
      slots.pop_back();
      continue;
    }
    path.server.slot = ledger_.take_check_slot(path.server);
    if (path.server.slot == kNoSlot) {
      for (const ServerSlot slot : fresh) ledger_.return_check_slot(slot);
      return false;
    }
    fresh.push_back(path.server.slot);
  }
  if (paths == before) return true;
  for (const CheckPath& path : paths) ledger_.edit_check_slot(path.server);
  auto next = std::make_unique<Snapshot>(*current_);
  ++next->version;
  next->changed.clear();
  next->checks = paths.empty() ? nullptr : std::make_shared<const CheckPaths>(std::move(paths));
  hand_to_workers(std::move(next));
  for (const auto& [key, slots] : known)
    for (const ServerSlot slot : slots) ledger_.return_check_slot(slot);
  return true;
}

void Publisher::publish(Edited edited, AnnouncementChange& change) {
  for (const auto& service : edited.after)
    for (const RealServer& server : service->servers)
      if (ledger_.enter(server)) change.servers_added.push_back(server.key.address);
  auto next = successor(edited);
  change.became_active = answering_only_in(*next, *current_);
  change.became_silent = answering_only_in(*current_, *next);
  settings_ = std::move(edited.settings);
  hand_to_workers(std::move(next));
  change.servers_deleted = ledger_.settle(edited.before, edited.after);
  for (const auto& action : edited.to_settle) action(ledger_);
}

// What the edits do not touch is shared with the snapshot before.
std::unique_ptr<Snapshot> Publisher::successor(const Edited& edited) {
  auto next = std::make_unique<Snapshot>(*current_);
  ++next->version;
  next->services = edited.services;
  next->changed = edited.after;
  next->marks = edited.settings.marks;
  next->tunables = edited.settings.tunables;
  next->timeouts = TimeoutTable(edited.settings.timeouts);
  if (edited.keys_changed) index_services(*next);
  if (edited.keys_changed || edited.vips_changed) index_addresses(*next, *edited.settings.vips);
  const bool forgotten = ledger_.take_forgotten_nat();
  if (edited.nat_endpoints_changed || forgotten) index_nat_endpoints(*next, ledger_);
  return next;
}

void Publisher::hand_to_workers(std::unique_ptr<const Snapshot> next) {
  shared_.snapshot.store(next.get(), std::memory_order_release);
  await_adoption(next->version);
  rte_rcu_qsbr_synchronize(shared_.quiescence, RTE_QSBR_THRID_INVALID);
  current_ = std::move(next);
}

void Publisher::await_adoption(uint64_t version) {
  for (const auto& worker : workers_) {
    while (shared_.running.load(std::memory_order_relaxed) && worker->adopted_version() < version) {
      const timespec pause{0, 20'000};
      nanosleep(&pause, nullptr);
    }
  }
}

std::vector<ServiceStatistics> Publisher::statistics(const ServiceKey* only, bool estimated) const {
  std::vector<ServiceStatistics> all;
  if (only != nullptr) {
    if (const VirtualService* service = current_->find_exactly(*only))
      all.push_back(ledger_.statistics(*service, estimated));
    return all;
  }
  all.reserve(current_->services.size());
  for (const auto& service : current_->services) all.push_back(ledger_.statistics(*service, estimated));
  return all;
}

void Publisher::tend_schedulers(uint64_t now_ms) {
  const CacheExpirations expirations{current_->tunables.lblc_expiration, current_->tunables.lblcr_expiration};
  for (const auto& service : current_->services) tend_destinations(*service, now_ms, expirations);
}

}  // namespace fulcrum
