// SPDX-License-Identifier: Apache-2.0
// The draft's edits of prefix lists and of what services take. A service names lists; in force it has their slots, so
// that a list may be replaced under a thousand services without touching one of them.
#include "core/draft.h"

namespace fulcrum {

namespace {

OperationResult no_list(std::string field, const std::string& name) {
  return {Reason::kPrefixListNotFound, std::move(field), "there is no prefix list \"" + name + "\""};
}

// The rate's tokens are those of before while its figures stay.
std::shared_ptr<const ConnectionRate> rate_of(const TrafficPolicy& policy, const TrafficRules* before) {
  if (policy.connections_per_second == 0) return nullptr;
  if (before != nullptr && before->policy.connections_per_second == policy.connections_per_second &&
      before->policy.connections_burst == policy.connections_burst)
    return before->rate;
  return std::make_shared<const ConnectionRate>(policy.connections_per_second, policy.connections_burst);
}

// Of a name that is not there, where it stands.
struct Unknown {
  std::string field;
  std::string name;
};

ClientFilter::Side side_of(const ClientPrefixes& prefixes, const PrefixLists& lists, const char* field,
                           std::optional<Unknown>& unknown) {
  ClientFilter::Side side;
  for (const std::string& name : prefixes.lists) {
    const auto slot = lists.slots.find(name);
    if (slot == lists.slots.end()) {
      unknown = Unknown{field, name};
    } else {
      side.lists.push_back(slot->second);
    }
  }
  if (!prefixes.own.empty()) side.own = std::make_shared<const PrefixList>(prefixes.own);
  return side;
}

}  // namespace

OperationResult Draft::set_traffic(const Operation& operation) {
  const TrafficPolicy policy = operation.traffic == nullptr ? TrafficPolicy{} : *operation.traffic;
  std::optional<Unknown> unknown;
  ClientFilter::Side allow = side_of(policy.allow, prefix_lists(), "traffic.allow", unknown);
  ClientFilter::Side deny = side_of(policy.deny, prefix_lists(), "traffic.deny", unknown);
  if (unknown) return no_list(unknown->field, unknown->name);
  Open* opened = open(operation.service);
  if (opened == nullptr) return {Reason::kServiceNotFound, "service", "that service does not exist"};
  const std::shared_ptr<const TrafficRules> before = std::move(opened->service.traffic);
  if (policy == TrafficPolicy{}) return {};
  opened->service.traffic = std::make_shared<const TrafficRules>(
      TrafficRules{policy, ClientFilter(std::move(allow), std::move(deny)), rate_of(policy, before.get())});
  return {};
}

PrefixLists& Draft::own_prefix_lists() {
  if (own_lists_ == nullptr) own_lists_ = std::make_shared<PrefixLists>(*edited_.settings.prefix_lists);
  return *own_lists_;
}

OperationResult Draft::set_prefix_list(const NamedPrefixList& prefixes) {
  own_prefix_lists().set(prefixes.name, prefixes.list);
  return {};
}

OperationResult Draft::delete_prefix_list(const std::string& name) {
  const auto known = prefix_lists().slots.find(name);
  if (known == prefix_lists().slots.end()) return no_list("delete_prefix_list", name);
  if (is_in_use(known->second))
    return {Reason::kPrefixListInUse, "delete_prefix_list", "a service refers to prefix list \"" + name + "\""};
  own_prefix_lists().erase(name);
  return {};
}

// There is a service whose clients are held against the list.
bool Draft::is_in_use(PrefixListSlot slot) const {
  const auto uses = [slot](const VirtualService& service) {
    return service.traffic != nullptr && service.traffic->clients.refers_to(slot);
  };
  for (const auto& [key, opened] : open_)
    if (uses(opened.service)) return true;
  for (const auto& service : edited_.services)
    if (service != nullptr && !open_.contains(service->key) && uses(*service)) return true;
  return false;
}

}  // namespace fulcrum
