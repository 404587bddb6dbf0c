// SPDX-License-Identifier: Apache-2.0
// The configuration while it is being edited: carries operations out one by one, and says what of them is to be
// published. Costs what is edited, not what there is. Dropping it undoes all.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "core/config.h"
#include "core/ledger.h"
#include "core/lookup_tables.h"
#include "service/edit_list.h"

namespace fulcrum {

// What is asked for besides services.
struct Settings {
  std::shared_ptr<const DeclaredVips> vips = std::make_shared<const DeclaredVips>();
  Timeouts timeouts;
  Tunables tunables;
  std::shared_ptr<const std::vector<MarkRule>> marks = std::make_shared<const std::vector<MarkRule>>();
  std::shared_ptr<const PrefixLists> prefix_lists = std::make_shared<const PrefixLists>();
};

// What came of a draft.
struct Edited {
  ServiceList services;
  Settings settings;
  Ledger::Services before;                              // as they were: services that were edited or deleted
  Ledger::Services after;                               // as they are: services that were edited or added
  std::vector<std::function<void(Ledger&)>> to_settle;  // to be done once workers know, in this order
  bool keys_changed = false;                            // a service was added or deleted
  bool nat_endpoints_changed = false;
  bool vips_changed = false;
};

class Draft {
 public:
  // `next_epoch` numbers the beginnings of schedulers.
  Draft(const Snapshot& current, const Settings& settings, Ledger& ledger, uint64_t& next_epoch);

  OperationResult carry_out(const Operation& operation);
  // Ends the editing.
  Edited finish();

 private:
  struct Open {
    VirtualService service;
    std::unique_ptr<EditList> edits;
  };

  OperationResult add_service(const Operation& operation);
  OperationResult edit_service(const Operation& operation);
  OperationResult delete_service(const ServiceKey& key);
  OperationResult add_server(const ServiceKey& service, RealServer server);
  OperationResult edit_server(const ServiceKey& service, RealServer server);
  OperationResult delete_server(const ServiceKey& service, const ServerKey& key);
  OperationResult zero(const Operation& operation);
  OperationResult set_vip(const VipSettings& vip);
  OperationResult delete_vip(const VipSettings& vip);
  // draft_traffic.cc
  OperationResult set_traffic(const Operation& operation);
  OperationResult set_prefix_list(const NamedPrefixList& prefixes);
  OperationResult delete_prefix_list(const std::string& name);
  PrefixLists& own_prefix_lists();
  const PrefixLists& prefix_lists() const { return own_lists_ ? *own_lists_ : *edited_.settings.prefix_lists; }
  bool is_in_use(PrefixListSlot slot) const;
  void flush();
  // Where the service is in `edited_.services`.
  std::optional<uint32_t> position(const ServiceKey& key) const;
  // Null: there is no such service.
  Open* open(const ServiceKey& key);
  void compact();

  const Snapshot& current_;
  Ledger& ledger_;
  uint64_t& next_epoch_;
  Edited edited_;
  bool flushed_ = false;  // of what is published nothing is left
  bool has_gaps_ = false;
  // Where this draft's services are; none: deleted. Others are where they were.
  std::unordered_map<ServiceKey, std::optional<uint32_t>, ServiceKeyHash> moved_;
  // Services that are being edited. Their place in the list holds what they were, or null for a new one.
  std::unordered_map<ServiceKey, Open, ServiceKeyHash> open_;
  std::shared_ptr<DeclaredVips> vips_;      // once they were edited
  std::shared_ptr<PrefixLists> own_lists_;  // likewise
};

}  // namespace fulcrum
