// SPDX-License-Identifier: Apache-2.0
// Looks inside a worker between two rounds: index, table, wheel and counters must tell one story. The first
// contradiction as text, empty if there is none.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/worker.h"

namespace fulcrum {

struct WorkerInspector {
  static uint32_t parked(const Worker& worker) { return worker.neighbors_.parked(); }

  static unsigned held_datagrams(const Worker& worker) { return worker.reassembler_.held_datagrams(); }
  static uint64_t held_bytes(const Worker& worker) { return worker.reassembler_.held_bytes(); }

  // Between two rounds the totals that workers share are the sum of their own counts.
  static std::string contradiction(const Shared& shared, const std::vector<const Worker*>& workers) {
    for (ServerSlot slot = 0; slot < kSlotsLookedAt; ++slot) {
      Counts counts;
      bool counted = false;
      for (const Worker* worker : workers) {
        const ServerCounters& own = worker->server_counters(slot);
        if (!own.in_totals) continue;
        counted = true;
        counts.active += own.active;
        counts.inactive += own.inactive;
      }
      const LoadView::Line& totals = shared.totals[slot];
      const uint64_t occupancy = totals.occupancy & ~kOverloadFlag;
      if (counted && (totals.active != counts.active || totals.inactive != counts.inactive ||
                      occupancy != uint64_t{counts.active} + counts.inactive))
        return "server slot " + std::to_string(slot) + ": the totals say " + std::to_string(totals.active) +
               " active, " + std::to_string(totals.inactive) + " inactive and " + std::to_string(occupancy) +
               " places, the workers " + std::to_string(counts.active) + " and " + std::to_string(counts.inactive);
    }
    for (ServiceSlot slot = 0; slot < kSlotsLookedAt; ++slot) {
      uint32_t connections = 0;
      for (const Worker* worker : workers) {
        const ServiceCounters& own = worker->service_counters(slot);
        if (own.in_total) connections += own.connections;
      }
      if (const uint32_t said = shared.services[slot].connections; said != connections)
        return "service slot " + std::to_string(slot) + ": the total says " + std::to_string(said) +
               " connections, the workers " + std::to_string(connections);
    }
    return "";
  }

  static std::string contradiction(const Worker& worker) {
    Sums sums;
    if (std::string text = of_lane<Family::kIpv4>(worker, sums); !text.empty()) return text;
    if (std::string text = of_lane<Family::kIpv6>(worker, sums); !text.empty()) return "IPv6: " + text;
    if (sums.used != worker.connections()) return "reported " + std::to_string(worker.connections()) + " connections";
    for (ServerSlot slot = 0; slot < kSlotsLookedAt; ++slot) {
      const ServerCounters& said = worker.server_counters(slot);
      const Counts& counts = sums.by_slot[slot];
      if (said.active != counts.active || said.inactive != counts.inactive)
        return "server slot " + std::to_string(slot) + ": counted " + std::to_string(said.active) + " active and " +
               std::to_string(said.inactive) + " inactive, the table has " + std::to_string(counts.active) + " and " +
               std::to_string(counts.inactive);
    }
    for (ServiceSlot slot = 0; slot < kSlotsLookedAt; ++slot)
      if (const uint32_t said = worker.service_counters(slot).connections; said != sums.by_service[slot])
        return "service slot " + std::to_string(slot) + ": counted " + std::to_string(said) +
               " connections, the table has " + std::to_string(sums.by_service[slot]);
    return "";
  }

 private:
  static constexpr uint32_t kLongestTimeoutSeconds = 3600;  // of all that tests set
  static constexpr ServerSlot kSlotsLookedAt = 256;
  struct Counts {
    uint32_t active = 0, inactive = 0;
  };
  struct Sums {
    std::map<ServerSlot, Counts> by_slot;
    std::map<ServiceSlot, uint32_t> by_service;
    uint32_t used = 0;
  };

  template <Family F>
  static bool may_be_active(const Connection<F>& entry) {
    if (entry.protocol == IpProtocol::kTcp) return is_active(static_cast<TcpState>(entry.state));
    return entry.protocol == IpProtocol::kSctp && is_active(static_cast<SctpState>(entry.state));
  }

  template <Family F>
  static std::string of_lane(const Worker& worker, Sums& sums) {
    const ConnectionTable<F>& table = worker.lane<F>().table;
    auto& counts = sums.by_slot;
    uint32_t used = 0;
    for (ConnectionIndex index = 0; index < table.high_water(); ++index) {
      const auto& entry = table.entry(index);
      if (!entry.is_used()) continue;
      ++used;
      const std::string name = "connection " + std::to_string(index) + ": ";
      if (entry.server >= Shared::kServerSlots) return name + "no server slot";
      ++(entry.is_active() ? counts[entry.server].active : counts[entry.server].inactive);
      if (entry.server < Shared::kFirstSpecialSlot) ++sums.by_service[table.record(index).service];
      if (entry.is_active() && !may_be_active(entry))
        return name + "counted as active in state " + std::to_string(entry.state);
      if (!is_due(entry.deadline, worker.now_) &&
          ticks_until(entry.deadline, worker.now_) > seconds_to_ticks(kLongestTimeoutSeconds))
        return name + "its deadline is " + std::to_string(ticks_until(entry.deadline, worker.now_)) + " ticks away";
      if (std::string text = of_index(table, index); !text.empty()) return name + text;
    }
    if (used != table.size())
      return std::to_string(used) + " entries in use, " + std::to_string(table.size()) + " counted";
    sums.used += used;
    return "";
  }

  template <Family F>
  static std::string of_index(const ConnectionTable<F>& table, ConnectionIndex index) {
    const auto& entry = table.entry(index);
    const auto forward = table.find({entry.forward, entry.protocol});
    // LVS: a client with source port 0 never meets its own connection, and makes another one.
    const bool is_one_of_many =
        entry.forward.source_port.raw == 0 && forward && forward.entry->forward == entry.forward;
    if (forward.index != index && is_one_of_many) return "";
    if (forward.index != index || forward.is_reply) return "its forward tuple finds another";
    const auto reply = table.find({entry.reply, entry.protocol});
    if (!reply) return "its reply tuple finds nothing";
    // Of equal reply tuples the newest is found; the others hang on it.
    for (ConnectionIndex at = reply.index; at != kNoConnection; at = table.entry(at).older_reply)
      if (at == index) return "";
    return reply.is_reply ? "it is not among those with its reply tuple" : "";
  }
};

}  // namespace fulcrum
