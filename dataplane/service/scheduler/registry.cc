// SPDX-License-Identifier: Apache-2.0
// Which schedulers there are, and how a worker's state follows a service's edits.
#include <array>

#include "service/destination_cache.h"
#include "service/least_index.h"
#include "service/scheduler/scheduler.h"

namespace fulcrum {
namespace {

constexpr std::array<const Scheduler*, 15> kSchedulers = {
    &schedulers::rr, &schedulers::wrr, &schedulers::lc,  &schedulers::wlc,  &schedulers::sed,
    &schedulers::nq, &schedulers::fo,  &schedulers::ovf, &schedulers::lblc, &schedulers::lblcr,
    &schedulers::dh, &schedulers::sh,  &schedulers::mh,  &schedulers::twos, &schedulers::none};

void start(SchedulerState& state, const Scheduler& scheduler, const SchedulerStart& figures, uint32_t phase) {
  state = SchedulerState{.phase = phase, .epoch = figures.epoch, .sequence = figures.sequence};
  if (scheduler.start != nullptr) scheduler.start(state, figures);
}

}  // namespace

std::span<const Scheduler* const> all_schedulers() { return kSchedulers; }

const Scheduler* find_scheduler(std::string_view name) {
  for (const Scheduler* scheduler : kSchedulers)
    if (scheduler->name == name) return scheduler;
  return nullptr;
}

void prepare_scheduler(VirtualService& service) {
  const Scheduler* rules = service.rules;
  if (rules == nullptr) return;
  if (rules->build != nullptr && service.table == nullptr)
    service.table = std::make_shared<const SchedulerTable>(rules->build(service));
  if (rules->seeks_least && service.least == nullptr && service.servers.size() >= LeastIndex::kWorthwhile)
    service.least = std::make_shared<const LeastIndex>(service);
  if (rules->cache_expiration != nullptr && service.destinations == nullptr)
    service.destinations = std::make_shared<DestinationCache>();
}

void tend_destinations(const VirtualService& service, uint64_t now_ms, const CacheExpirations& expirations) {
  if (service.destinations == nullptr) return;
  service.destinations->tend(now_ms, uint64_t{expirations.*service.rules->cache_expiration} * 1000);
}

bool catch_up(SchedulerState& state, const Scheduler& scheduler, const VirtualService& service, uint32_t worker,
              uint32_t workers) {
  // Rounded up, so that worker / workers of a list is exact where it divides.
  const auto phase = static_cast<uint32_t>(((uint64_t{worker} << 32) + workers - 1) / workers);
  const SchedulerStart& begun = service.scheduler_start;
  if (state.epoch != begun.epoch) start(state, scheduler, begun, phase);
  const uint64_t missing = service.sequence - state.sequence;
  const bool complete = missing <= service.edits.size();
  if (!complete) {
    start(state, scheduler, {begun.epoch, service.sequence, service.greatest_weight, service.weight_divisor}, phase);
  } else if (scheduler.edit != nullptr) {
    for (size_t i = service.edits.size() - missing; i < service.edits.size(); ++i)
      scheduler.edit(state, service.edits[i]);
  }
  state.sequence = service.sequence;
  return complete;
}

}  // namespace fulcrum
