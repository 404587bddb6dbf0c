// SPDX-License-Identifier: Apache-2.0
// Which addresses and routes the director has: of interfaces with a kernel port those that the kernel's interface has,
// of the others those of the configuration. Takes what the kernel tells, gives what is to be changed. Pure: knows no
// socket, no worker.
#pragma once

#include <map>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "core/kernel_news.h"
#include "core/network_change.h"

namespace fulcrum {

// A kernel's interface, and whose it is.
struct FollowedLink {
  unsigned index = 0;
  std::string name;
  InterfaceId interface = kNoInterface;
  uint16_t largest_mtu = 1500;  // its port's
  Prefix link_local;            // by its MAC
};

using ConfiguredRoutes = std::vector<std::pair<Prefix, Route>>;

struct RouteInfo {
  Prefix destination;
  Route route;
  uint32_t metric = 0;
  uint8_t protocol = 0;  // as in rt_protos
  bool is_from_kernel = false;
  bool is_in_force = true;  // false: there is no room for it
};

struct RouteList {
  std::vector<RouteInfo> routes;  // in order of destination
  uint64_t without_room = 0;
  uint64_t not_followed = 0;  // routes by these interfaces that ask for what the director has not
};

// Something for the log.
struct Note {
  std::string kind;
  std::string message;
};

class NetworkModel {
 public:
  // Of a route of the configuration, and so of those that the kernel is given.
  static constexpr uint32_t kConfiguredMetric = 4096;

  NetworkModel(const Network& network, ConfiguredRoutes configured, std::vector<FollowedLink> links);

  void take(const KernelNews& news);
  // Between these all that there is is told; what was not is gone, if it was `complete`.
  void begin_resync();
  void end_resync(bool complete = true);
  // What was told does not say all that has happened.
  bool wants_resync() const { return wants_resync_; }
  void want_resync() { wants_resync_ = true; }

  // There is something to take, to settle or to note.
  bool has_changes() const;

  // All that is different since the last time, with a retry for what there was no room for when something went.
  // settle() must follow.
  NetworkChange take_change();
  // What came of the change. The first one is the start's own and is not noted.
  void settle(const NetworkChange& change, const std::vector<Prefix>& without_room);
  std::vector<Note> take_notes();

  // Interfaces that came up after they had been down: what of the configuration was in force then, which the kernel
  // forgets. To be put back; what the kernel says of them counts again.
  struct Restored {
    FollowedLink link;
    std::vector<Prefix> addresses;
    ConfiguredRoutes routes;
  };
  std::vector<Restored> take_restored();
  // Interfaces that speak IPv6 now, and have no address that their link knows.
  std::vector<FollowedLink> take_without_link_local();

  RouteList routes() const;
  const std::vector<Prefix>& addresses(InterfaceId interface) const { return links_.at(interface).addresses; }

 private:
  struct Path {
    Route route;
    uint32_t metric = 0;
    uint8_t protocol = 0;
    bool is_from_kernel = false;
    uint64_t message = 0;  // by which it came
    uint64_t seen = 0;     // the resync at which it was there
  };
  using Paths = std::vector<Path>;  // the best first
  struct Link {
    FollowedLink of;
    bool is_followed = false;
    bool is_down = false;  // or gone: what the kernel says of it then is how it clears up, and changes nothing here
    uint16_t mtu = 0;      // the director's
    uint32_t kernel_mtu = 0;
    std::vector<Prefix> addresses;
    std::vector<Prefix> configured;
    std::vector<Prefix> seen;  // of the resync under way
    bool addresses_changed = false, mtu_changed = false, is_restored = false, wants_link_local = false;
  };

  void take_link(const LinkNews& news);
  void take_address(const AddressNews& news);
  void take_route(const RouteNews& news);
  void follow_mtu(Link& link, uint32_t told);
  Link* link_of(unsigned index);
  bool is_frozen(const Route& route) const;
  std::vector<Route> routes_of(const RouteNews& news) const;
  void remove_paths(Paths& paths, const RouteNews& news, const std::vector<Route>& routes);
  void replace_paths(Paths& paths, const RouteNews& news);
  void insert_path(Paths& paths, const RouteNews& news, const Route& route);
  void add_configured(const Prefix& destination, const Route& route, uint32_t metric);
  void changed(const Prefix& destination);
  void retry(NetworkChange& change);
  std::string describe(const Prefix& destination, const Path& path) const;
  void note_address(const Link& link, const Prefix& address, bool is_new);
  void note_routes(const std::vector<std::string>& added, const std::vector<std::string>& removed,
                   const std::vector<std::string>& changed_routes);
  void note_room(size_t before, const std::vector<Prefix>& without_room);

  std::map<InterfaceId, Link> links_;
  std::vector<std::string> names_;  // by interface
  ConfiguredRoutes configured_;
  std::unordered_map<Prefix, Paths, PrefixHash> paths_;
  std::unordered_map<Prefix, Path, PrefixHash> in_force_;
  std::unordered_set<Prefix, PrefixHash> dirty_;
  std::unordered_set<Prefix, PrefixHash> without_room_;
  std::unordered_map<Prefix, uint64_t, PrefixHash> not_followed_;  // and the resync at which it was there
  std::vector<Note> notes_;
  // Since the last notes: the first such route in words, and how many there were.
  std::pair<std::string, size_t> multipath_, unfollowed_;
  uint64_t message_ = 0;
  uint64_t resync_ = 0;
  bool resyncing_ = false, wants_resync_ = false, has_settled_ = false;
};

}  // namespace fulcrum
