// SPDX-License-Identifier: Apache-2.0
#include "service/edit_list.h"

#include <algorithm>
#include <numeric>

#include "service/scheduler/scheduler.h"
#include "service/spread.h"

namespace fulcrum {

EditList::EditList(VirtualService& service) : service_(service) {
  index_.reserve(service.servers.size());
  links_.reserve(service.servers.size());
  for (const RealServer& server : service.servers) {
    index_.emplace(server.key, static_cast<uint32_t>(links_.size()));
    append_links();
    if (server.weight != 0) ++weights_[server.weight];
  }
}

EditResult EditList::add(const RealServer& server) {
  const auto row = static_cast<uint32_t>(service_.servers.size());
  if (!index_.emplace(server.key, row).second) return EditResult::kDuplicate;
  service_.servers.push_back(server);
  service_.servers.back().last_weight = server.weight;
  append_links();
  weight_added(server.weight);
  forget_tables();
  service_.spread.reset();
  record(ServerEdit::Kind::kAdd, server.slot, kNoSlot);
  return EditResult::kDone;
}

EditResult EditList::edit(const RealServer& server) {
  const auto found = index_.find(server.key);
  if (found == index_.end()) return EditResult::kNotFound;
  RealServer& row = service_.servers[found->second];
  const RealServer old = row;
  row.method = server.method;
  row.weight = server.weight;
  row.upper_threshold = server.upper_threshold;
  row.lower_threshold = server.lower_threshold;
  row.tunnel = server.tunnel;
  if (server.weight != 0) row.last_weight = server.weight;
  if (old.weight != server.weight) {
    weight_added(server.weight);
    weight_removed(old.weight);
  }
  if (moves_buckets(old, row)) forget_tables();
  if (old.weight != row.weight || takes_any(old) != takes_any(row)) service_.spread.reset();
  record(ServerEdit::Kind::kEdit, row.slot, kNoSlot);
  return EditResult::kDone;
}

EditResult EditList::remove(const ServerKey& key) {
  const auto found = index_.find(key);
  if (found == index_.end()) return EditResult::kNotFound;
  const uint32_t row = found->second;
  index_.erase(found);
  const auto [older, newer] = links_[row];
  if (older != kNone) links_[older].newer = newer;
  if (newer != kNone) links_[newer].older = older;
  if (newest_ == row) newest_ = older;
  RealServer& server = service_.servers[row];
  weight_removed(server.weight);
  forget_tables();
  service_.spread.reset();
  record(ServerEdit::Kind::kDelete, server.slot, newer == kNone ? kNoSlot : service_.servers[newer].slot);
  return EditResult::kDone;
}

const RealServer* EditList::find(const ServerKey& key) const {
  const auto found = index_.find(key);
  return found == index_.end() ? nullptr : &service_.servers[found->second];
}

void EditList::close() {
  if (index_.size() == service_.servers.size()) return;
  std::vector<RealServer> remaining(index_.size());
  auto to = remaining.rbegin();
  for (uint32_t row = newest_; row != kNone; row = links_[row].older) *to++ = service_.servers[row];
  service_.servers = std::move(remaining);
  index_.clear();
  links_.clear();
  newest_ = kNone;
  for (const RealServer& server : service_.servers) {
    index_.emplace(server.key, static_cast<uint32_t>(links_.size()));
    append_links();
  }
}

bool EditList::moves_buckets(const RealServer& old, const RealServer& edited) const {
  const auto weight = service_.rules == nullptr ? nullptr : service_.rules->table_weight;
  return weight != nullptr && old.*weight != edited.*weight;
}

void EditList::forget_tables() {
  service_.table.reset();
  service_.least.reset();
}

void EditList::append_links() {
  const auto row = static_cast<uint32_t>(links_.size());
  if (newest_ != kNone) links_[newest_].newer = row;
  links_.push_back({.older = newest_, .newer = kNone});
  newest_ = row;
}

void EditList::weight_added(uint32_t weight) {
  if (weight == 0) return;
  const bool first = weights_.empty();
  ++weights_[weight];
  service_.greatest_weight = std::max(service_.greatest_weight, weight);
  service_.weight_divisor = first ? weight : std::gcd(service_.weight_divisor, weight);
}

void EditList::weight_removed(uint32_t weight) {
  if (weight == 0) return;
  const auto found = weights_.find(weight);
  if (--found->second != 0) return;
  weights_.erase(found);
  service_.greatest_weight = weights_.empty() ? 0 : weights_.rbegin()->first;
  // The divisor of fewer weights is a multiple of the old one: once down to that, it is known.
  uint32_t divisor = 0;
  for (const auto& [distinct, count] : weights_) {
    divisor = std::gcd(divisor, distinct);
    if (divisor == service_.weight_divisor) break;
  }
  service_.weight_divisor = std::max(divisor, 1u);
}

void EditList::record(ServerEdit::Kind kind, ServerSlot slot, ServerSlot predecessor) {
  service_.edits.push_back({.kind = kind,
                            .slot = slot,
                            .predecessor = predecessor,
                            .greatest_weight = service_.greatest_weight,
                            .weight_divisor = service_.weight_divisor});
  ++service_.sequence;
}

VirtualService next_generation(const VirtualService& published) {
  VirtualService next = published;
  next.edits.clear();
  return next;
}

void start_scheduler(VirtualService& service, uint64_t epoch) {
  service.table.reset();
  service.least.reset();
  service.destinations.reset();
  service.scheduler_start = {.epoch = epoch,
                             .sequence = service.sequence,
                             .greatest_weight = service.greatest_weight,
                             .weight_divisor = service.weight_divisor};
}

}  // namespace fulcrum
