// SPDX-License-Identifier: Apache-2.0
// A virtual service as one worker sees it: edits arrive in generations, connections are scheduled and counted. Servers
// are named by a number: 11 is 10.0.2.11:80. Choices are read back as text ("13 12 11", "-" for none).
#pragma once

#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "service/edit_list.h"
#include "service/scheduler/scheduler.h"

namespace fulcrum {

class ScheduleStory {
 public:
  explicit ScheduleStory(std::string_view scheduler, uint32_t worker = 0, uint32_t workers = 1)
      : scheduler_(find_scheduler(scheduler)),
        worker_(worker),
        workers_(workers),
        lines_(kSlots),
        loads_(lines_.data()) {
    REQUIRE_MESSAGE(scheduler_ != nullptr, scheduler);
    service_.scheduler = scheduler;
    service_.rules = scheduler_;
    start_scheduler(service_, ++epoch_);
    publish();
  }

  // Edits are one generation each, unless between batch() and publish().
  ScheduleStory& batch() {
    batched_ = true;
    return *this;
  }

  ScheduleStory& add(int name, uint32_t weight = 1) { return apply(&EditList::add, server(name, weight)); }
  ScheduleStory& edit(int name, uint32_t weight) { return apply(&EditList::edit, server(name, weight)); }
  ScheduleStory& remove(int name) { return apply(&EditList::remove, server(name, 0).key); }

  // As ipvsadm -b does.
  ScheduleStory& flags(uint32_t flags) {
    service_.scheduler_flags = flags;
    return batched_ ? *this : publish();
  }

  ScheduleStory& use(std::string_view scheduler) {
    close();
    scheduler_ = service_.rules = find_scheduler(scheduler);
    start_scheduler(service_, ++epoch_);
    if (!batched_) publish();
    return *this;
  }

  // The worker sees the new generation.
  ScheduleStory& publish() {
    close();
    batched_ = false;
    prepare_scheduler(service_);
    CHECK(catch_up(state_, *scheduler_, service_, worker_, workers_));
    CHECK_FALSE(is_behind(state_, service_));
    service_ = next_generation(service_);
    return *this;
  }

  // Schedules one connection and counts it as active.
  int choose_index(const ScheduleRequest& request = {}) {
    const int index = scheduler_->choose(state_, service_, loads_, request);
    if (index >= 0) ++load(name_of(index)).active;
    return index;
  }

  std::string choose(int connections) {
    return choose(connections, [](uint32_t) { return ScheduleRequest{}; });
  }
  // `request` makes the one of each connection from its number.
  template <typename Request>
  std::string choose(int connections, Request request) {
    std::string text;
    for (int i = 0; i < connections; ++i) {
      const int index = choose_index(request(static_cast<uint32_t>(i)));
      text += (i == 0 ? "" : " ");
      text += index < 0 ? "-" : std::to_string(name_of(index));
    }
    return text;
  }

  // Of a server by its index; 0 for none.
  int name_of(int index) const {
    if (index < 0) return 0;
    return static_cast<int>(service_.servers.at(static_cast<size_t>(index)).key.address.v4().host() - kServerNetwork);
  }

  ServerSlot slot_of(int name) { return slot(name); }
  LoadView::Line& load(int name) { return lines_.at(slot(name)); }
  void set_overloaded(int name, bool overloaded) { load(name).overloaded = overloaded; }

  const VirtualService& service() const { return service_; }
  const SchedulerState& state() const { return state_; }
  const LoadView& loads() const { return loads_; }

 private:
  static constexpr size_t kSlots = 32768;
  static constexpr uint32_t kServerNetwork = 0x0a000200;

  // LVS's trash: the same name gets the same slot again.
  ServerSlot slot(int name) { return slots_.emplace(name, static_cast<ServerSlot>(slots_.size())).first->second; }

  RealServer server(int name, uint32_t weight) {
    RealServer server;
    server.key = {.address = Address::from(be32::from_host(kServerNetwork + static_cast<uint32_t>(name))), .port = 80};
    server.slot = slot(name);
    server.weight = weight;
    server.upper_threshold = 1000000;  // lets set_overloaded() count
    return server;
  }

  template <typename Operation, typename Argument>
  ScheduleStory& apply(Operation operation, const Argument& argument) {
    if (!edits_) edits_ = std::make_unique<EditList>(service_);
    CHECK(((*edits_).*operation)(argument) == EditResult::kDone);
    return batched_ ? *this : publish();
  }

  void close() { edits_.reset(); }

  const Scheduler* scheduler_;
  uint32_t worker_, workers_;
  VirtualService service_;
  std::unique_ptr<EditList> edits_;
  bool batched_ = false;
  uint64_t epoch_ = 0;
  std::map<int, ServerSlot> slots_;
  std::vector<LoadView::Line> lines_;
  LoadView loads_;
  SchedulerState state_;
};

// Connections of clients: number i comes from the first address + i * address_step, and port + i * port_step.
struct Clients {
  std::string_view first;
  uint16_t port = 0;
  uint32_t address_step = 0;
  uint16_t port_step = 0;

  ScheduleRequest operator()(uint32_t i) const {
    const uint32_t address = Address::parse(first).value().v4().host() + i * address_step;
    return {.source = Address::from(be32::from_host(address)),
            .destination = Address::from(be32::from_host(0xc0000201)),
            .source_port = static_cast<uint16_t>(port + i * port_step)};
  }
};

}  // namespace fulcrum
