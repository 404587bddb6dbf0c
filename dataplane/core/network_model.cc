// SPDX-License-Identifier: Apache-2.0
#include "core/network_model.h"

#include <linux/rtnetlink.h>

#include <algorithm>
#include <iterator>
#include <tuple>

#include "core/route_netlink.h"
#include "net/headers.h"

namespace fulcrum {

namespace {

// So many routes that change at once are noted one by one; of more only how many.
constexpr size_t kNotedOneByOne = 8;
// What there was no room for is tried again, so many at a time.
constexpr size_t kRetries = 256;

bool is_of_link(const Prefix& prefix) {
  return prefix.address.family == Family::kIpv6 && is_link_local(prefix.address.v6());
}

// Not for a table that all interfaces share: a link's own prefix, and groups.
bool is_of_no_table(const Prefix& destination) {
  if (destination.address.family == Family::kIpv4)
    return destination.length >= 4 && destination.address.bytes[0] >= 224;
  return is_of_link(destination) || (destination.length >= 8 && is_multicast(destination.address.v6()));
}

auto in_order(const Prefix& prefix) { return std::tuple(prefix.address.family, prefix.address.bytes, prefix.length); }

}  // namespace

NetworkModel::NetworkModel(const Network& network, ConfiguredRoutes configured, std::vector<FollowedLink> links)
    : configured_(std::move(configured)) {
  for (const Interface& interface : network.interfaces()) {
    names_.push_back(interface.name);
    Link& link = links_[interface.id];
    link.of.interface = interface.id;
    link.mtu = interface.mtu;
    link.kernel_mtu = interface.mtu;
    link.addresses = link.configured = interface.addresses;
  }
  for (FollowedLink& followed : links) {
    Link& link = links_.at(followed.interface);
    link.is_followed = true;
    link.of = std::move(followed);
  }
  for (const Interface& interface : network.interfaces())
    for (const Prefix& own : interface.addresses)
      if (!is_of_link(own)) add_configured(own, {interface.id, Address{}}, 0);
  for (const auto& [destination, route] : configured_) add_configured(destination, route, kConfiguredMetric);
  // They are in the table already; of two to one destination it has the later.
  for (const auto& [destination, paths] : paths_) {
    in_force_.emplace(destination, paths.back());
    if (paths.size() > 1) changed(destination);
  }
}

void NetworkModel::add_configured(const Prefix& wanted, const Route& route, uint32_t metric) {
  Path path;
  path.route = route;
  path.metric = metric;
  path.protocol = metric == 0 ? RTPROT_KERNEL : RTPROT_STATIC;
  // The kernel has it, too, where it has the interface, and is going to say so.
  path.is_from_kernel = links_.at(route.interface).is_followed;
  paths_[network_of(wanted)].push_back(path);
}

NetworkModel::Link* NetworkModel::link_of(unsigned index) {
  for (auto& [id, link] : links_)
    if (link.is_followed && link.of.index == index) return &link;
  return nullptr;
}

bool NetworkModel::is_frozen(const Route& route) const {
  return route.leads_somewhere() && links_.at(route.interface).is_down;
}

void NetworkModel::take(const KernelNews& news) {
  ++message_;
  if (const auto* link = std::get_if<LinkNews>(&news)) return take_link(*link);
  if (const auto* address = std::get_if<AddressNews>(&news)) return take_address(*address);
  if (const auto* route = std::get_if<RouteNews>(&news)) return take_route(*route);
  wants_resync_ = true;
}

// While it is down the kernel has no routes by it, and none of its IPv6 addresses. Balancing does not need the kernel's
// interface, and must not end with it.
void NetworkModel::take_link(const LinkNews& news) {
  Link* link = link_of(news.index);
  if (link == nullptr) return;
  const bool was_down = link->is_down;
  link->is_down = news.is_gone || !news.is_up;
  if (news.is_gone) link->is_followed = false;
  if (news.is_gone || (link->is_down && !was_down))
    notes_.push_back({news.is_gone ? "kernel_interface_gone" : "kernel_interface_down",
                      link->of.name + (news.is_gone ? " was deleted" : " is down") +
                          ": the director keeps the addresses and routes that it has" +
                          (news.is_gone ? " until it is started again" : "")});
  // Until what it had before is there again it counts as down.
  link->is_restored = was_down && !link->is_down;
  link->is_down = link->is_down || was_down;
  if (news.mtu != 0 && !news.is_gone) follow_mtu(*link, news.mtu);
}

void NetworkModel::follow_mtu(Link& link, uint32_t told) {
  if (told == link.kernel_mtu) return;
  link.kernel_mtu = told;
  const auto mtu = static_cast<uint16_t>(std::clamp<uint32_t>(told, kIpv4LeastMtu, link.of.largest_mtu));
  if (mtu != told)
    notes_.push_back({"mtu_refused", link.of.name + " has MTU " + std::to_string(told) + ", its port carries " +
                                         std::to_string(link.of.largest_mtu) + ": so does the director"});
  if (mtu == link.mtu) return;
  link.mtu = mtu;
  link.mtu_changed = true;
  notes_.push_back({"mtu_changed", names_[link.of.interface] + " has MTU " + std::to_string(mtu)});
}

void NetworkModel::take_address(const AddressNews& news) {
  Link* link = link_of(news.index);
  if (link == nullptr || link->is_down) return;
  const auto at = std::find(link->addresses.begin(), link->addresses.end(), news.address);
  const bool is_there = at != link->addresses.end();
  if (!news.is_gone && news.is_usable) {
    if (resyncing_) link->seen.push_back(news.address);
    if (is_there) return;
    link->addresses.push_back(news.address);
    link->wants_link_local |= news.address.address.family == Family::kIpv6;
    note_address(*link, news.address, true);
  } else {
    // With an address of IPv4 routes may go, of which the kernel says nothing.
    wants_resync_ |= news.is_gone && !resyncing_;
    if (!is_there) return;
    link->addresses.erase(at);
    note_address(*link, news.address, false);
  }
  link->addresses_changed = true;
}

void NetworkModel::note_address(const Link& link, const Prefix& address, bool is_new) {
  if (!has_settled_) return;
  notes_.push_back({is_new ? "address_added" : "address_removed",
                    address.text() + " on " + names_[link.of.interface] + " (" + link.of.name + ")"});
}

// Where the route leads, by interfaces that are followed.
std::vector<Route> NetworkModel::routes_of(const RouteNews& news) const {
  if (news.type == RouteType::kBlackhole) return {{kNoInterface, {}, true}};
  if (news.type == RouteType::kUnreachable) return {Route{}};
  std::vector<Route> routes;
  for (const NextHopNews& hop : news.hops)
    for (const auto& [id, link] : links_)
      if (link.is_followed && !link.is_down && link.of.index == hop.index && (news.is_gone || !hop.is_dead))
        routes.push_back({id, hop.gateway});
  return routes;
}

void NetworkModel::take_route(const RouteNews& news) {
  if (news.table != RT_TABLE_MAIN || news.type == RouteType::kOther || news.is_cached ||
      news.protocol == static_cast<uint8_t>(RouteOwner::kCheck) || is_of_no_table(news.destination))
    return;
  std::vector<Route> routes = routes_of(news);
  if (news.unknown != nullptr) {
    if (news.is_gone) {
      not_followed_.erase(news.destination);
    } else if (!routes.empty() && not_followed_.insert_or_assign(news.destination, resync_).second &&
               unfollowed_.second++ == 0) {
      unfollowed_.first = "the route to " + news.destination.text() + " asks for " + news.unknown;
    }
    routes.clear();
    if (news.is_of_its_own || news.is_gone || !news.replaces) return;
  }
  const auto found = paths_.find(news.destination);
  if (found == paths_.end() && (news.is_gone || routes.empty())) return;
  Paths& paths = paths_[news.destination];
  if (news.is_gone) {
    remove_paths(paths, news, routes);
  } else {
    if (news.replaces) replace_paths(paths, news);
    if (news.replaces && news.unknown == nullptr) not_followed_.erase(news.destination);
    if (routes.size() > 1 && !resyncing_ && multipath_.second++ == 0)
      multipath_.first =
          "the route to " + news.destination.text() + " has " + std::to_string(routes.size()) + " next hops";
    for (const Route& route : routes) insert_path(paths, news, route);
  }
  if (paths.empty()) paths_.erase(news.destination);
  changed(news.destination);
}

void NetworkModel::remove_paths(Paths& paths, const RouteNews& news, const std::vector<Route>& routes) {
  // One by an interface that is not followed, or that is down.
  if (routes.empty() && !news.hops.empty()) return;
  std::erase_if(paths, [&](const Path& path) {
    return path.is_from_kernel && path.metric == news.metric && !is_frozen(path.route) &&
           (routes.empty() || std::find(routes.begin(), routes.end(), path.route) != routes.end());
  });
}

// Of IPv4 there may be several of one metric, of which one is replaced, and nobody says which.
void NetworkModel::replace_paths(Paths& paths, const RouteNews& news) {
  const auto is_replaced = [&](const Path& path) {
    return path.is_from_kernel && path.metric == news.metric && !is_frozen(path.route);
  };
  const auto first = std::find_if(paths.begin(), paths.end(), is_replaced);
  if (first == paths.end()) return;
  const uint64_t message = first->message;
  wants_resync_ |=
      std::any_of(first, paths.end(), [&](const Path& path) { return is_replaced(path) && path.message != message; });
  std::erase_if(paths, is_replaced);
}

void NetworkModel::insert_path(Paths& paths, const RouteNews& news, const Route& route) {
  const auto same = std::find_if(paths.begin(), paths.end(), [&](const Path& path) {
    return path.is_from_kernel && path.metric == news.metric && path.route == route;
  });
  if (same != paths.end()) {
    if (!resyncing_) return;
    // A dump has them in the kernel's order.
    paths.erase(same);
  }
  Path path;
  path.route = route;
  path.metric = news.metric;
  path.protocol = news.protocol;
  path.is_from_kernel = true;
  path.message = message_;
  path.seen = resync_;
  // Hops of one route stay in their order.
  const bool in_front =
      !resyncing_ && !news.goes_behind && news.destination.address.family == Family::kIpv4 && !news.replaces;
  const auto place = std::find_if(paths.begin(), paths.end(), [&](const Path& other) {
    return in_front ? other.metric >= path.metric && other.message != message_ : other.metric > path.metric;
  });
  paths.insert(place, path);
}

void NetworkModel::begin_resync() {
  ++resync_;
  resyncing_ = true;
  wants_resync_ = false;
  for (auto& [id, link] : links_) link.seen.clear();
}

void NetworkModel::end_resync(bool complete) {
  resyncing_ = false;
  wants_resync_ |= !complete;
  if (!complete) return;
  for (auto& [id, link] : links_) {
    if (!link.is_followed || link.is_down) continue;
    const auto is_gone = [&](const Prefix& own) {
      return std::find(link.seen.begin(), link.seen.end(), own) == link.seen.end();
    };
    for (const Prefix& own : link.addresses)
      if (is_gone(own)) note_address(link, own, false);
    link.addresses_changed |= std::erase_if(link.addresses, is_gone) != 0;
  }
  std::erase_if(not_followed_, [&](const auto& at) { return at.second != resync_; });
  for (auto at = paths_.begin(); at != paths_.end();) {
    Paths& paths = at->second;
    const auto is_gone = [&](const Path& path) {
      return path.is_from_kernel && path.seen != resync_ && !is_frozen(path.route) &&
             (!path.route.leads_somewhere() || links_.at(path.route.interface).is_followed);
    };
    if (std::erase_if(paths, is_gone) != 0) changed(at->first);
    at = paths.empty() ? paths_.erase(at) : std::next(at);
  }
}

void NetworkModel::changed(const Prefix& destination) { dirty_.insert(destination); }

bool NetworkModel::has_changes() const {
  return !dirty_.empty() || !notes_.empty() || multipath_.second + unfollowed_.second != 0 ||
         std::any_of(links_.begin(), links_.end(), [](const auto& at) {
           const Link& link = at.second;
           return link.addresses_changed || link.mtu_changed || link.is_restored || link.wants_link_local;
         });
}

NetworkChange NetworkModel::take_change() {
  NetworkChange change;
  for (auto& [id, link] : links_) {
    if (std::exchange(link.addresses_changed, false)) change.addresses.emplace_back(id, link.addresses);
    if (std::exchange(link.mtu_changed, false)) change.mtus.emplace_back(id, link.mtu);
  }
  for (const Prefix& destination : dirty_) {
    const auto paths = paths_.find(destination);
    const auto now = in_force_.find(destination);
    if (paths == paths_.end()) {
      without_room_.erase(destination);
      if (now != in_force_.end()) change.routes.emplace_back(destination, std::nullopt);
    } else if (const Path& best = paths->second.front(); now == in_force_.end() || !(now->second.route == best.route)) {
      change.routes.emplace_back(destination, best.route);
    } else {
      now->second = best;
    }
  }
  dirty_.clear();
  retry(change);
  return change;
}

void NetworkModel::retry(NetworkChange& change) {
  const bool something_goes = std::any_of(change.routes.begin(), change.routes.end(),
                                          [](const auto& route) { return !route.second.has_value(); });
  if (!something_goes || without_room_.empty()) return;
  std::unordered_set<Prefix, PrefixHash> named;
  for (const auto& [destination, route] : change.routes) named.insert(destination);
  size_t left = kRetries;
  for (const Prefix& destination : without_room_) {
    if (left-- == 0) break;
    if (!named.contains(destination)) change.routes.emplace_back(destination, paths_.at(destination).front().route);
  }
}

void NetworkModel::settle(const NetworkChange& change, const std::vector<Prefix>& refused) {
  const size_t before = without_room_.size();
  const std::unordered_set<Prefix, PrefixHash> without(refused.begin(), refused.end());
  std::vector<std::string> added, removed, replaced;
  for (const auto& [destination, route] : change.routes) {
    const auto was = in_force_.find(destination);
    if (!route || without.contains(destination)) {
      if (was != in_force_.end()) removed.push_back(describe(destination, was->second));
      if (was != in_force_.end()) in_force_.erase(was);
      if (route) without_room_.insert(destination);
      continue;
    }
    without_room_.erase(destination);
    const Path& path = paths_.at(destination).front();
    (was == in_force_.end() ? added : replaced).push_back(describe(destination, path));
    in_force_[destination] = path;
  }
  if (has_settled_) note_routes(added, removed, replaced);
  note_room(before, refused);
  has_settled_ = true;
}

std::string NetworkModel::describe(const Prefix& destination, const Path& path) const {
  std::string text = destination.text();
  const Route& route = path.route;
  if (!route.leads_somewhere()) return text + (route.is_silent ? " blackhole" : " unreachable");
  if (route.gateway.family != Family::kNone) text += " via " + route.gateway.text();
  return text + " on " + names_[route.interface] + " (" + route_protocol_name(path.protocol) + ", metric " +
         std::to_string(path.metric) + ")";
}

void NetworkModel::note_routes(const std::vector<std::string>& added, const std::vector<std::string>& removed,
                               const std::vector<std::string>& replaced) {
  if (added.size() + removed.size() + replaced.size() > kNotedOneByOne) {
    notes_.push_back({"routes_changed",
                      std::to_string(added.size()) + " routes added, " + std::to_string(removed.size()) + " removed, " +
                          std::to_string(replaced.size()) + " changed; there are " + std::to_string(in_force_.size())});
    return;
  }
  for (const std::string& text : removed) notes_.push_back({"route_removed", text});
  for (const std::string& text : added) notes_.push_back({"route_added", text});
  for (const std::string& text : replaced) notes_.push_back({"route_changed", text});
}

void NetworkModel::note_room(size_t before, const std::vector<Prefix>& refused) {
  if (before == 0 && !without_room_.empty() && !refused.empty()) {
    const std::string others = refused.size() > 1 ? " and " + std::to_string(refused.size() - 1) + " more" : "";
    notes_.push_back({"route_table_full", "no room for the route to " + refused.front().text() + others +
                                              ": packets go by shorter prefixes, or nowhere"});
  }
  if (before != 0 && without_room_.empty()) notes_.push_back({"route_table_room", "every route is in force again"});
}

std::vector<Note> NetworkModel::take_notes() {
  const auto note = [this](const char* kind, std::pair<std::string, size_t>& of, const char* so) {
    if (of.second == 0) return;
    const std::string others = of.second > 1 ? ", and so do " + std::to_string(of.second - 1) + " others" : "";
    notes_.push_back({kind, of.first + others + so});
    of = {};
  };
  note("route_multipath", multipath_, ": the director takes the first");
  note("route_not_followed", unfollowed_, ", which the director has not: packets go by other routes");
  return std::exchange(notes_, {});
}

std::vector<NetworkModel::Restored> NetworkModel::take_restored() {
  std::vector<Restored> all;
  for (auto& [id, link] : links_) {
    if (!std::exchange(link.is_restored, false)) continue;
    Restored restored;
    restored.link = link.of;
    for (const Prefix& own : link.configured)
      if (std::find(link.addresses.begin(), link.addresses.end(), own) != link.addresses.end())
        restored.addresses.push_back(own);
    for (const auto& [destination, route] : configured_) {
      if (route.interface != id) continue;
      const auto paths = paths_.find(network_of(destination));
      if (paths == paths_.end()) continue;
      const bool had = std::any_of(paths->second.begin(), paths->second.end(), [&route = route](const Path& path) {
        return path.metric == kConfiguredMetric && path.route == route;
      });
      if (had) restored.routes.emplace_back(destination, route);
    }
    notes_.push_back(
        {"kernel_interface_up", link.of.name + " is up: it has its configured addresses and routes again"});
    link.is_down = false;
    wants_resync_ = true;
    all.push_back(std::move(restored));
  }
  return all;
}

std::vector<FollowedLink> NetworkModel::take_without_link_local() {
  std::vector<FollowedLink> all;
  for (auto& [id, link] : links_) {
    if (!std::exchange(link.wants_link_local, false)) continue;
    if (std::none_of(link.addresses.begin(), link.addresses.end(), is_of_link)) all.push_back(link.of);
  }
  return all;
}

RouteList NetworkModel::routes() const {
  RouteList list;
  list.without_room = without_room_.size();
  list.not_followed = not_followed_.size();
  const auto add = [&](const Prefix& destination, const Path& path, bool is_in_force) {
    list.routes.push_back({destination, path.route, path.metric, path.protocol, path.is_from_kernel, is_in_force});
  };
  for (const auto& [destination, path] : in_force_) add(destination, path, true);
  for (const Prefix& destination : without_room_)
    if (const auto paths = paths_.find(destination); paths != paths_.end())
      add(destination, paths->second.front(), false);
  std::sort(list.routes.begin(), list.routes.end(),
            [](const RouteInfo& a, const RouteInfo& b) { return in_order(a.destination) < in_order(b.destination); });
  return list;
}

}  // namespace fulcrum
