// SPDX-License-Identifier: Apache-2.0
// The interface of a scheduler, and the registry: one file a scheduler, one row here a file. A scheduler is pure: its
// state of one service on one worker is a value, connection counts come from a view.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "service/service.h"

namespace fulcrum {

// What a scheduler may ask about a server while it chooses.
struct ServerLoad {
  uint32_t active = 0;
  uint32_t inactive = 0;
  bool overloaded = false;
};

// Counts of all servers by slot. Plain values, no virtual call: the director fills it from the shared lines.
class LoadView {
 public:
  // One line a slot; relaxed atomics written at connection events only.
  struct alignas(64) Line {
    uint32_t active = 0;
    uint32_t inactive = 0;
    uint32_t overloaded = 0;
    uint64_t occupancy = 0;  // active + inactive, and the flag: see service/threshold.h
  };
  // How often a count or flag changed in a block of slots. Whoever changes a line calls note_change() afterwards.
  static constexpr unsigned kBlockBits = 5;
  struct alignas(64) Changes {
    uint64_t count = 0;
  };
  static constexpr uint32_t block_of(ServerSlot slot) { return slot >> kBlockBits; }

  LoadView() = default;
  // Without `changes`, one a block, nothing is known of them.
  explicit LoadView(const Line* lines, const Changes* changes = nullptr) : lines_(lines), changes_(changes) {}
  ServerLoad of(ServerSlot slot) const {
    const Line& line = lines_[slot];
    return {__atomic_load_n(&line.active, __ATOMIC_RELAXED), __atomic_load_n(&line.inactive, __ATOMIC_RELAXED),
            __atomic_load_n(&line.overloaded, __ATOMIC_RELAXED) != 0};
  }
  bool overloaded(ServerSlot slot) const { return __atomic_load_n(&lines_[slot].overloaded, __ATOMIC_RELAXED) != 0; }
  bool tells_changes() const { return changes_ != nullptr; }
  uint64_t changes(uint32_t block) const { return __atomic_load_n(&changes_[block].count, __ATOMIC_ACQUIRE); }

 private:
  const Line* lines_ = nullptr;
  const Changes* changes_ = nullptr;
};

inline void note_change(LoadView::Changes* changes, ServerSlot slot) {
  __atomic_fetch_add(&changes[LoadView::block_of(slot)].count, 1, __ATOMIC_RELEASE);
}

// LVS: cost = 256 · active + inactive.
constexpr uint64_t connection_cost(const ServerLoad& load) { return 256ull * load.active + load.inactive; }

// OVERLOAD is never set without an upper threshold: servers that have none need no count, and no cache line is touched.
inline bool is_overloaded(const RealServer& server, const LoadView& loads) {
  return server.upper_threshold != 0 && loads.overloaded(server.slot);
}

inline bool is_usable(const RealServer& server, const LoadView& loads) {
  return server.weight != 0 && !is_overloaded(server, loads);
}

// The state of one service's scheduler on one worker. Every scheduler uses the fields that it needs.
struct SchedulerState {
  // rr, wrr: the server chosen last, kNoSlot = the list's head (before the first).
  ServerSlot position = kNoSlot;
  // Index of `position` in the current list, a hint that is checked before use.
  uint32_t position_index = 0;
  // wrr: current weight, greatest weight as wrr counts it, divisor.
  int64_t current_weight = 0;
  int64_t greatest_weight = 0;
  int64_t divisor = 1;
  // twos: where its sequence of random numbers is.
  uint64_t random = 0;
  // Where of its cycle this worker begins, as a fraction of 2^32; 0 on the first worker, which is LVS's sequence.
  uint32_t phase = 0;
  // How far this state has followed the service: see catch_up().
  uint64_t epoch = 0;
  uint64_t sequence = 0;
};
static_assert(sizeof(SchedulerState) <= 64);

// lblc_expiration and lblcr_expiration.
struct CacheExpirations {
  uint32_t lblc_s = 86400;
  uint32_t lblcr_s = 86400;
};

// What is known of the packet that wants a server.
struct ScheduleRequest {
  Address source{};  // the client's; of an ICMP error: the client's in the packet that it quotes
  Address destination{};
  uint16_t source_port = 0;  // goes with `source`, in host order; 0 unless TCP, UDP or SCTP
  // For lblc and lblcr.
  uint64_t now_ms = 0;
  CacheExpirations expirations{};
};

struct Scheduler {
  std::string_view name;
  // Fresh state for a list of these figures; `phase` is set already. Null when the scheduler keeps nothing.
  void (*start)(SchedulerState& state, const SchedulerStart& figures);
  // Follows one edit of the list, in order. Null when edits need no action.
  void (*edit)(SchedulerState& state, const ServerEdit& edit);
  // Index into service.servers, or -1 for none.
  int (*choose)(SchedulerState& state, const VirtualService& service, const LoadView& loads,
                const ScheduleRequest& request);
  // What choose() would answer of what it remembers of destinations, with nothing remembered by it. Null when it
  // remembers nothing: then a copy of the state answers.
  int (*foretell)(const VirtualService& service, const LoadView& loads, const ScheduleRequest& request) = nullptr;
  // Of a server with this load and weight (not 0): the scheduler prefers the least. Null: it goes by something else.
  // For who asks why; choose() itself compares without dividing.
  double (*cost)(const ServerLoad& load, uint32_t weight) = nullptr;
  // choose() looks at connection counts: the director keeps totals over all workers for such services.
  bool counts_connections = false;
  // The table that choose() looks up, a function of the list; empty when nothing can be found. Null when there is none.
  SchedulerTable (*build)(const VirtualService& service) = nullptr;
  // The one figure of a server that build(), or the search for the least, reads besides key and place. Null when there
  // is none.
  uint32_t RealServer::*table_weight = nullptr;
  // How long what it remembers of destinations lives unused. Null when it remembers nothing.
  uint32_t CacheExpirations::*cache_expiration = nullptr;
  // choose() may mean an overloaded server: the connection takes a place there whatever the flag says.
  bool may_choose_overloaded = false;
  // choose() asks for the least of a service's servers: see service/least_index.h.
  bool seeks_least = false;
  // choose() keeps nothing: it answers one list and one request alike, on every worker and after every start. Flows
  // without an entry can follow it.
  bool is_pure = false;
};

namespace schedulers {
extern const Scheduler rr, wrr, lc, wlc, sed, nq, fo, ovf, lblc, lblcr, dh, sh, mh, twos, none;
}

// All schedulers, by LVS name. Null when there is none of that name.
const Scheduler* find_scheduler(std::string_view name);
std::span<const Scheduler* const> all_schedulers();

// Makes what workers share of the service's scheduler, unless what it has still holds: the table, or the memory of
// destinations. To be called when its edits are done, before workers see the service.
void prepare_scheduler(VirtualService& service);

// Lets the service's scheduler forget destinations that are long unused. To be called often, by one thread at a time.
void tend_destinations(const VirtualService& service, uint64_t now_ms, const CacheExpirations& expirations);

inline bool is_behind(const SchedulerState& state, const VirtualService& service) {
  return state.epoch != service.scheduler_start.epoch || state.sequence != service.sequence;
}

// Brings the state of worker `worker` of `workers` to `service`: starts afresh in another epoch, then follows the edits
// that it has not seen. False if older edits than service.edits holds were missed: then it starts from today's list.
bool catch_up(SchedulerState& state, const Scheduler& scheduler, const VirtualService& service, uint32_t worker,
              uint32_t workers);

}  // namespace fulcrum
