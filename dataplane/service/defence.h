// SPDX-License-Identifier: Apache-2.0
// LVS's defence of the director when memory is short: who switches drop_entry, drop_packet and secure_tcp on, how many
// packets are refused, and which entries may go. Decisions only; counters are a worker's own.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

#include "conn/sctp_state.h"
#include "conn/tcp_state.h"
#include "net/flow_key.h"

namespace fulcrum {

// The values of drop_entry, drop_packet and secure_tcp, as they are written and read.
enum class DefenceMode : uint8_t {
  kOff = 0,
  kAutomatic = 1,    // memory suffices
  kAutomaticOn = 2,  // automatic, and memory is short
  kAlways = 3,
};

constexpr std::optional<DefenceMode> defence_mode(uint64_t written) {
  if (written > static_cast<uint64_t>(DefenceMode::kAlways)) return std::nullopt;
  return static_cast<DefenceMode>(written);
}

struct MemoryPressure {
  uint64_t available = 0;  // pages
  uint64_t threshold = 0;  // pages: amemthresh
  constexpr bool is_short() const { return available < threshold; }
};

// The value after a check, one of which is due every second and whenever a value was written.
constexpr DefenceMode checked(DefenceMode mode, const MemoryPressure& memory) {
  if (mode != DefenceMode::kAutomatic && mode != DefenceMode::kAutomaticOn) return mode;
  return memory.is_short() ? DefenceMode::kAutomaticOn : DefenceMode::kAutomatic;
}

// Of a value that was checked.
constexpr bool is_in_force(DefenceMode mode) {
  return mode == DefenceMode::kAutomaticOn || mode == DefenceMode::kAlways;
}

// drop_packet: of how many packets that want a new connection one is dropped; 0: of none. The shorter memory is, the
// fewer. `always_interval` is am_droprate.
constexpr uint64_t drop_interval(DefenceMode mode, const MemoryPressure& memory, uint64_t always_interval) {
  if (mode == DefenceMode::kAlways) return always_interval;
  if (mode != DefenceMode::kAutomaticOn || !memory.is_short()) return 0;
  return memory.threshold / (memory.threshold - memory.available);
}

// Picks every n-th, the first one first.
class EveryNth {
 public:
  // `n` may change from call to call; 0 picks none.
  bool pick(uint64_t n) {
    if (n == 0) return false;
    passing_ = std::min(passing_, n - 1);
    if (passing_ != 0) {
      --passing_;
      return false;
    }
    passing_ = n - 1;
    return true;
  }

 private:
  uint64_t passing_ = 0;
};

// What drop_entry looks at.
struct EntryFacts {
  IpProtocol protocol{};
  uint8_t state = 0;  // a TcpState or SctpState, by protocol
  bool is_template = false;
  bool is_assured = false;     // of a template
  bool is_one_packet = false;  // a template of a one-packet service
  bool controls_others = false;
  uint32_t idle_s = 0;  // since its timer was started last
  uint64_t in_packets = 0;
};

// drop_entry, in force: every second a part of the table's buckets, at random, is looked through.
inline constexpr uint32_t kDropEntryPart = 32;

class EntryDropper {
 public:
  // Those that never got beyond the first packet go; others that say little for long go one in a while, the more
  // packets they have had the more seldom.
  bool drops(const EntryFacts& entry) {
    switch (rule(entry)) {
      case Rule::kKeep:
        return false;
      case Rule::kDrop:
        return true;
      case Rule::kDropSome:
        return drops_some(entry);
    }
    return false;
  }

 private:
  enum class Rule : uint8_t { kKeep, kDrop, kDropSome };
  static constexpr uint32_t kIdleSeconds = 60;
  static constexpr size_t kMostPackets = 8;

  static constexpr Rule rule(const EntryFacts& entry) {
    if (entry.controls_others) return Rule::kKeep;
    if (entry.is_template) {
      if (entry.is_one_packet) return Rule::kDropSome;
      return entry.is_assured ? Rule::kKeep : Rule::kDrop;
    }
    if (entry.protocol == IpProtocol::kTcp) return rule(static_cast<TcpState>(entry.state));
    if (entry.protocol == IpProtocol::kSctp) return rule(static_cast<SctpState>(entry.state));
    return Rule::kDropSome;
  }
  static constexpr Rule rule(TcpState state) {
    if (state == TcpState::kSynReceived || state == TcpState::kSynAck) return Rule::kDrop;
    return state == TcpState::kEstablished ? Rule::kDropSome : Rule::kKeep;
  }
  static constexpr Rule rule(SctpState state) {
    if (state == SctpState::kInit1 || state == SctpState::kInit) return Rule::kDrop;
    return state == SctpState::kEstablished ? Rule::kDropSome : Rule::kKeep;
  }

  // Of those with i packets every i-th that is met.
  bool drops_some(const EntryFacts& entry) {
    if (entry.idle_s < kIdleSeconds || entry.in_packets == 0 || entry.in_packets > kMostPackets) return false;
    return met_[entry.in_packets - 1].pick(entry.in_packets);
  }

  std::array<EveryNth, kMostPackets> met_;
};

}  // namespace fulcrum
