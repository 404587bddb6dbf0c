// SPDX-License-Identifier: Apache-2.0
// Edits of one service's server list, LVS's way: a new server goes to the list's head, an edit keeps its place, and all
// are recorded for the schedulers, also one that changes nothing. An operation takes constant time however long the
// list is (but see `weights_`): ten thousand servers fit one call. Addresses and limits are the caller's to check.
#pragma once

#include <map>
#include <unordered_map>
#include <vector>

#include "service/service.h"

namespace fulcrum {

enum class EditResult : uint8_t { kDone, kDuplicate, kNotFound };

struct ServerKeyHash {
  size_t operator()(const ServerKey& key) const { return AddressHash{}(key.address) * 31 + key.port; }
};

// Opened on a service that is not published yet; close() or destruction leaves it consistent. While open, read the list
// through find() only; greatest_weight, weight_divisor, sequence and edits of the service are current after each call.
class EditList {
 public:
  explicit EditList(VirtualService& service);
  EditList(const EditList&) = delete;
  EditList& operator=(const EditList&) = delete;
  ~EditList() { close(); }

  // Takes everything but `last_weight` from `server`.
  EditResult add(const RealServer& server);
  // Replaces method, weight, thresholds and tunnel of the server with this key; place and slot stay.
  EditResult edit(const RealServer& server);
  EditResult remove(const ServerKey& key);

  // Null if the list has no such server. Valid until the next call.
  const RealServer* find(const ServerKey& key) const;
  size_t size() const { return index_.size(); }

  void close();

 private:
  static constexpr uint32_t kNone = 0xffffffff;
  // Neighbours of a row among those still in the list.
  struct Links {
    uint32_t older = kNone;
    uint32_t newer = kNone;
  };

  bool moves_buckets(const RealServer& old, const RealServer& edited) const;
  void forget_tables();
  void append_links();
  void weight_added(uint32_t weight);
  void weight_removed(uint32_t weight);
  void record(ServerEdit::Kind kind, ServerSlot slot, ServerSlot predecessor);

  VirtualService& service_;
  // To rows of service_.servers, which keeps deleted ones until close().
  std::unordered_map<ServerKey, uint32_t, ServerKeyHash> index_;
  std::vector<Links> links_;
  uint32_t newest_ = kNone;
  // How many servers have each positive weight. Losing the last of one costs a pass over the distinct ones at worst.
  std::map<uint32_t, uint32_t> weights_;
};

// A copy to edit for the next generation: the same list, no edits yet.
VirtualService next_generation(const VirtualService& published);

// The service's scheduler begins afresh with the list as it is: at creation, or when another one was chosen.
void start_scheduler(VirtualService& service, uint64_t epoch);

}  // namespace fulcrum
