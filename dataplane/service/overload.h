// SPDX-License-Identifier: Apache-2.0
// Overload as a state: it begins with the first new flow that finds no room for its entry, and ends when none has been
// turned away for a while and there is room again, so that it does not flap. Written by a worker, read by others.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace fulcrum {

// What there is too little of for new flows.
enum class Shortage : uint8_t { kTableFullIpv4, kTableFullIpv6, kNewConnectionBudget };
inline constexpr std::array kShortages = {Shortage::kTableFullIpv4, Shortage::kTableFullIpv6,
                                          Shortage::kNewConnectionBudget};

constexpr std::string_view shortage_name(Shortage shortage) {
  return shortage == Shortage::kNewConnectionBudget ? "new_connection_budget" : "table_full";
}

constexpr std::string_view shortage_meaning(Shortage shortage) {
  return shortage == Shortage::kTableFullIpv4   ? "entries for IPv4 connections"
         : shortage == Shortage::kTableFullIpv6 ? "entries for IPv6 connections"
                                                : "new_connections_per_second";
}

class Overload {
 public:
  // As long as a client waits before it sends its second SYN again: what began without an entry shall have gone on.
  static constexpr uint64_t kCalmMs = 5000;

  // A new flow has found no room.
  void deny(uint64_t now_ms) {
    denied_at_ms_ = now_ms;
    if (!is_active()) change();
  }
  // To be called now and then. True if the state ends here.
  bool ends(uint64_t now_ms, bool has_room) {
    if (!is_active() || !has_room || now_ms - denied_at_ms_ < kCalmMs) return false;
    change();
    return true;
  }
  bool is_active() const { return is_active(changes_); }

  // How often the state was entered or left, for other threads: nothing that happened between two looks is lost.
  uint32_t changes() const { return __atomic_load_n(&changes_, __ATOMIC_RELAXED); }
  static constexpr bool is_active(uint32_t changes) { return changes % 2 != 0; }

 private:
  void change() { __atomic_store_n(&changes_, changes_ + 1, __ATOMIC_RELAXED); }

  uint64_t denied_at_ms_ = 0;
  uint32_t changes_ = 0;
};

// Of a table with this capacity, so much stays free for flows that begin: those that go on without an entry are
// adopted only while there is more, and a full table is not called roomy before.
constexpr uint32_t table_reserve(uint32_t capacity) { return capacity / 16; }

}  // namespace fulcrum
