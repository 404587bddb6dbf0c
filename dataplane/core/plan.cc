// SPDX-License-Identifier: Apache-2.0
#include "core/plan.h"

#include <unordered_set>

#include "core/publisher.h"

namespace fulcrum {

namespace {

uint32_t usable(const VirtualService* service) {
  if (service == nullptr) return 0;
  return static_cast<uint32_t>(std::count_if(service->servers.begin(), service->servers.end(),
                                             [](const RealServer& server) { return server.weight != 0; }));
}

const SchedulerTable* table_of(const VirtualService* service) {
  return service == nullptr || service->table == nullptr || service->table->empty() ? nullptr : service->table.get();
}

ServerSlot named(const VirtualService& service, const SchedulerTable* table, size_t bucket) {
  if (table == nullptr || bucket >= table->size()) return kNoSlot;
  const uint32_t index = (*table)[bucket];
  return index < service.servers.size() ? service.servers[index].slot : kNoSlot;
}

void compare_tables(const VirtualService* before, const VirtualService& after, ServicePlan& plan) {
  const SchedulerTable* was = table_of(before);
  const SchedulerTable* is = table_of(&after);
  if (is == nullptr && was == nullptr) return;
  const bool is_same_kind =
      before != nullptr && before->rules == after.rules && before->scheduler_flags == after.scheduler_flags;
  plan.buckets = static_cast<uint32_t>(is != nullptr ? is->size() : was->size());
  for (size_t bucket = 0; bucket < plan.buckets; ++bucket)
    plan.moved += !is_same_kind || named(*before, was, bucket) != named(after, is, bucket);
}

// By slots, which live on where a server or service is deleted and added again.
void count_connections(const VirtualService& before, const VirtualService* after, const ServiceStatistics& counted,
                       ServicePlan& plan) {
  std::unordered_map<ServerSlot, uint32_t> weights;
  if (after != nullptr)
    for (const RealServer& server : after->servers) weights.emplace(server.slot, server.weight);
  // Statistics are in LVS's order, the list in that of addition.
  for (size_t i = 0; i < before.servers.size(); ++i) {
    const RealServer& server = before.servers[i];
    const ServerStatistics& of = counted.servers[before.servers.size() - 1 - i];
    plan.connections += of.active + of.inactive;
    const auto stays = weights.find(server.slot);
    if (stays == weights.end()) {
      plan.active += of.active;
      plan.inactive += of.inactive;
      plan.templates += of.persistent;
    } else if (stays->second == 0 && server.weight != 0) {
      plan.quiesced += of.active + of.inactive;
    }
  }
}

}  // namespace

Plan Publisher::plan(const std::vector<Operation>& operations) const {
  Plan plan;
  // New servers take slots: those of a book that is thrown away.
  Ledger scratch(ledger_);
  uint64_t epoch = next_epoch_;
  Draft draft(*current_, settings_, scratch, epoch);
  for (const Operation& operation : operations) {
    plan.results.push_back(draft.carry_out(operation));
    if (plan.results.back().reason != Reason::kDone) return plan;
  }
  const Edited edited = draft.finish();
  std::unordered_map<ServiceKey, const VirtualService*, ServiceKeyHash> after;
  for (const auto& service : edited.after) after.emplace(service->key, service.get());
  std::unordered_set<ServiceKey, ServiceKeyHash> seen;
  const auto look_at = [&](const ServiceKey& key) {
    if (!seen.insert(key).second) return;
    const VirtualService* was = current_->find_exactly(key);
    const auto found = after.find(key);
    const VirtualService* is = found == after.end() ? nullptr : found->second;
    if (was == nullptr && is == nullptr) return;  // made and deleted
    ServicePlan one;
    one.key = key;
    one.change = was == nullptr  ? ServicePlan::Change::kAdded
                 : is == nullptr ? ServicePlan::Change::kDeleted
                                 : ServicePlan::Change::kEdited;
    one.usable_before = usable(was);
    one.usable_after = usable(is);
    if (is != nullptr) compare_tables(was, *is, one);
    if (was != nullptr) count_connections(*was, is, ledger_.statistics(*was, false), one);
    plan.services.push_back(one);
  };
  for (const auto& service : edited.before) look_at(service->key);
  for (const auto& service : edited.after) look_at(service->key);
  return plan;
}

}  // namespace fulcrum
