// SPDX-License-Identifier: Apache-2.0
// The book of services and real servers: who has which slot (which survives delete and add: LVS's trash), and from
// where on counters count. Called by the control side, one caller at a time; never by a worker.
#pragma once

#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

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

// Of TCP connections whose both directions are seen, modulo 2^32.
struct AnswerValues {
  uint32_t opened = 0, answered = 0, reset = 0;
  AnswerValues& operator+=(const AnswerValues& other);
  AnswerValues& operator-=(const AnswerValues& other);
};

struct ServerStatistics {
  ServerKey key;
  CounterValues counters;
  Rates rates;
  uint64_t active = 0, inactive = 0, persistent = 0;
  AnswerValues answers;
};

// What a service did not let in, in packets.
struct RefusalValues {
  uint64_t denied = 0, over_limit = 0, over_rate = 0;
  RefusalValues& operator+=(const RefusalValues& other);
  RefusalValues& operator-=(const RefusalValues& other);
};

struct ServiceStatistics {
  ServiceKey key;
  CounterValues counters;
  RefusalValues refusals;
  uint64_t open = 0;  // connections
  Rates rates;
  std::vector<ServerStatistics> servers;  // in LVS list order
};

class Ledger {
 public:
  static constexpr uint64_t kTrashMs = 120'000;  // LVS forgets a deleted server when nothing referred to it for so long
  using Services = std::vector<std::shared_ptr<const VirtualService>>;

  Ledger(Shared& shared, std::vector<std::unique_ptr<Worker>>& workers);

  // The slot of a service or of one of its servers; a new one when it has none. None: there is no room.
  std::optional<ServiceSlot> slot_of(const ServiceKey& service);
  // None: there is no such service, and nothing is left of one.
  std::optional<ServiceSlot> known_slot_of(const ServiceKey& service) const;
  ServerSlot slot_of(const ServiceKey& service, const ServerKey& server);

  // A slot that belongs to no service: of what goes there nothing is counted. kNoSlot: there is no room.
  ServerSlot take_check_slot(const RealServer& server);
  // The path to it has changed.
  void edit_check_slot(const RealServer& server);
  // No worker takes it any more.
  void return_check_slot(ServerSlot slot);

  // Writes what the packet path reads of a server beside the snapshot. True: nobody knew it, or it was in the trash.
  bool enter(const RealServer& server);
  void enter_segment_limit(const VirtualService& service);
  // `before` was replaced by `after`, and all workers know. Servers that are in no service any more go to the trash:
  // their connections' packets are dropped from now on. They are returned.
  std::vector<ServerSlot> settle(const Services& before, const Services& after);

  // A new service object counts from zero, whatever servers in the trash bring back.
  void begin(const ServiceKey& service);
  void zero(const ServiceKey& service);
  void zero_all();

  // `estimated`: counters as of the estimator's last run, which is what LVS shows.
  ServiceStatistics statistics(const VirtualService& service, bool estimated) const;
  void estimate(const Snapshot& current, uint64_t now_ms);
  // Forgets deleted servers that nothing refers to, and services that have gone with all of theirs.
  void empty_trash(const Snapshot& current, uint64_t now_ms);

  // Every server that has ever been NAT and is not forgotten.
  template <typename Visit>
  void visit_nat_servers(const Visit& visit) const {
    for (const ServerRecord& record : servers_)
      if (record.used && record.was_nat) visit(record.key);
  }
  size_t server_slots() const { return servers_.size(); }
  // A NAT server was forgotten since this was asked last.
  bool take_forgotten_nat() { return std::exchange(forgotten_nat_, false); }

 private:
  struct ServerRecord {
    ServiceKey service;
    ServerKey key;
    bool used = false;
    bool live = false;
    bool was_nat = false;
    bool in_trash = false;  // named in `trash_`; a live one may still be, until that is looked through
    uint64_t unreferenced_since_ms = 0;
    CounterValues zero;
    CounterValues estimated_zero;
    AnswerValues answers_zero;
    Estimator<CounterValues> estimator;
  };
  struct ServiceRecord {
    ServiceSlot slot = 0;
    CounterValues base;            // zero point
    CounterValues estimated_base;  // likewise, of what the estimator has seen
    CounterValues gone;            // counted by servers that have left the trash
    RefusalValues refusals_base;
    Estimator<CounterValues> estimator;
    std::unordered_map<ServerKey, ServerSlot, ServerKeyHash> servers;  // live or in the trash
  };

  ServerSlot take_slot(const ServiceKey& service, const ServerKey& server);
  CounterValues raw(ServerSlot slot) const;
  CounterValues raw(const ServiceRecord& record) const;
  RefusalValues refusals(ServiceSlot slot) const;
  AnswerValues answers(ServerSlot slot) const;
  void zero(ServiceRecord& record);
  void put_in_trash(ServerSlot slot);
  bool is_referred_to(const Snapshot& current, ServerSlot slot) const;
  void forget(ServerSlot slot);
  void forget_services(const Snapshot& current);

  Shared& shared_;
  std::vector<std::unique_ptr<Worker>>& workers_;
  std::unordered_map<ServiceKey, ServiceRecord, ServiceKeyHash> services_;
  std::vector<ServerRecord> servers_;  // by slot
  std::vector<ServerSlot> free_slots_;
  std::vector<ServerSlot> trash_;
  std::vector<ServiceKey> gone_services_;  // candidates: they may have come again
  std::vector<ServiceSlot> free_service_slots_;
  ServiceSlot next_service_slot_ = 0;
  uint64_t estimated_at_ms_ = 0;
  bool forgotten_nat_ = false;
};

}  // namespace fulcrum
