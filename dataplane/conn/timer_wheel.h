// SPDX-License-Identifier: Apache-2.0
// Expiry with lazy re-arming: a packet only writes its deadline; the wheel meets the entry where it was put, looks at
// the deadline and moves it on, or expires it. One level of 4096 slots of 160 ms (11 minutes); what lies beyond is met
// on the way. A deadline that moves closer must be re-armed at once.
#pragma once

#include <algorithm>
#include <array>

#include "conn/connection_table.h"

namespace fulcrum {

template <Family F>
class TimerWheel {
 public:
  static constexpr uint32_t kSlots = 4096;
  static constexpr uint32_t kTicksPerSlot = 16;

  TimerWheel(ConnectionTable<F>& table, Ticks now) : table_(table), cursor_(now - now % kTicksPerSlot) {
    heads_.fill(kNoConnection);
  }

  void arm(ConnectionIndex index, Ticks deadline) {
    // A deadline that has passed goes to the cursor's own slot, one beyond the horizon to the last.
    const auto distance = static_cast<int32_t>(deadline - cursor_);
    const uint32_t ahead = distance < 0 ? 0 : std::min(static_cast<uint32_t>(distance) / kTicksPerSlot, kSlots - 1);
    link(index, slot_of(cursor_ + ahead * kTicksPerSlot));
  }

  void disarm(ConnectionIndex index) {
    ConnectionRecord& record = table_.record(index);
    if (record.next != kNoConnection) table_.record(record.next).previous = record.previous;
    if ((record.previous & kInSlot) != 0) {
      heads_[record.previous & ~kInSlot] = record.next;
    } else {
      table_.record(record.previous).next = record.next;
    }
    record.next = record.previous = kNoConnection;
  }

  void rearm(ConnectionIndex index, Ticks deadline) {
    disarm(index);
    arm(index, deadline);
  }

  // Handles up to `budget` entries or empty slots. `expire(index)` must disarm and release the entry, or arm it anew.
  // True once the wheel has caught up with `now`.
  template <typename Expire>
  bool advance(Ticks now, uint32_t budget, Expire&& expire) {
    while (budget-- != 0) {
      const ConnectionIndex index = heads_[slot_of(cursor_)];
      if (index == kNoConnection) {
        if (!is_due(cursor_ + kTicksPerSlot, now)) return true;
        cursor_ += kTicksPerSlot;
        continue;
      }
      const Ticks deadline = table_.entry(index).deadline;
      if (is_due(deadline, now)) {
        expire(index);
      } else if (deadline - cursor_ < kTicksPerSlot) {
        return true;  // due later in the slot that the clock is in
      } else {
        rearm(index, deadline);
      }
    }
    return false;
  }

 private:
  static constexpr uint32_t kInSlot = 0x80000000;

  static uint32_t slot_of(Ticks at) { return at / kTicksPerSlot % kSlots; }

  void link(ConnectionIndex index, uint32_t slot) {
    ConnectionRecord& record = table_.record(index);
    record.next = heads_[slot];
    record.previous = kInSlot | slot;
    if (record.next != kNoConnection) table_.record(record.next).previous = index;
    heads_[slot] = index;
  }

  ConnectionTable<F>& table_;
  Ticks cursor_;  // start of the slot in hand
  std::array<ConnectionIndex, kSlots> heads_;
};

}  // namespace fulcrum
