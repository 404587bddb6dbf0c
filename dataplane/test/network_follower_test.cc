// SPDX-License-Identifier: Apache-2.0
// The follower on a real kernel: a TAP in a network namespace of the test's own, and `ip`.
#include "core/network_follower.h"

#include <doctest/doctest.h>
#include <sched.h>

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <functional>
#include <set>
#include <thread>

#include "core/tap.h"

using namespace fulcrum;

namespace {

constexpr MacAddress kMac = {0x02, 0, 0, 0, 0, 0x77};

Prefix prefix(const std::string& text) { return Prefix::parse(text).value(); }

// A thread of its own in a namespace of its own; whatever it starts is there, too. False: not allowed.
bool in_namespace(const std::function<void()>& body) {
  bool is_there = false;
  std::exception_ptr failure;
  std::thread([&] {
    is_there = unshare(CLONE_NEWNET) == 0;
    try {
      if (is_there) body();
    } catch (...) {
      failure = std::current_exception();
    }
  }).join();
  if (failure != nullptr) std::rethrow_exception(failure);
  return is_there;
}

void sh(const std::string& command) {
  CAPTURE(command);
  REQUIRE(std::system(command.c_str()) == 0);
}

// One interface, whose network is remembered as workers would have it.
class Followed {
 public:
  explicit Followed(int receive_buffer = NetworkFollower::kReceiveBuffer) : tap_("test", "ff0") {
    // The kernel adds no address of its own, as on a kernel port.
    sh("mode=/proc/sys/net/ipv6/conf/ff0/addr_gen_mode; [ ! -e $mode ] || echo 1 > $mode");
    RouteNetlink netlink;
    REQUIRE(netlink.set_link(tap_.index(), kMac, 1500) == 0);
    REQUIRE(netlink.add_address(tap_.index(), prefix("10.0.0.1/24")) == 0);
    REQUIRE(netlink.set_up(tap_.index()) == 0);
    REQUIRE(netlink.add_route(tap_.index(), prefix("192.0.2.0/24"), prefix("10.0.0.9").address, 4096) == 0);
    Interface interface;
    interface.name = "wan";
    interface.mac = kMac;
    interface.addresses = {prefix("10.0.0.1/24")};
    network_.add_interface(interface);
    follower_ = std::make_unique<NetworkFollower>(
        NetworkModel(network_, {{prefix("192.0.2.0/24"), {0, prefix("10.0.0.9").address}}},
                     {{tap_.index(), "ff0", 0, 1500, link_local_of(kMac)}}),
        [this](const NetworkChange& change) { return apply(change); },
        [this](const std::string& kind, const std::string& message) { note(kind, message); }, receive_buffer);
    follower_->start();
  }

  // Waits until it holds; says what there is when it does not.
  void await(const std::string& what, const std::function<bool(const Followed&)>& holds) {
    std::unique_lock lock(mutex_);
    const bool came = changed_.wait_for(lock, std::chrono::seconds(20), [&] { return holds(*this); });
    std::string all;
    for (const std::string& text : notes) all += text + "\n";
    CAPTURE(all);
    CHECK_MESSAGE(came, what);
  }
  // Whoever publishes meanwhile waits, and hears nothing.
  void hold_up(const std::function<void()>& meanwhile) {
    const std::lock_guard lock(mutex_);
    meanwhile();
  }
  NetworkFollower& follower() { return *follower_; }
  bool has_route(const char* destination, const char* gateway) const {
    const auto at = routes.find(prefix(destination));
    return at != routes.end() && at->second.gateway == prefix(gateway).address;
  }
  bool has_address(const char* text) const { return addresses.contains(prefix(text).text()); }
  bool has_note(const std::string& beginning) const {
    return std::any_of(notes.begin(), notes.end(),
                       [&](const std::string& text) { return text.starts_with(beginning); });
  }

  // As they were published.
  std::set<std::string> addresses = {"10.0.0.1/24"};
  std::unordered_map<Prefix, Route, PrefixHash> routes;
  std::vector<std::string> notes;
  unsigned publications = 0;

 private:
  std::vector<Prefix> apply(const NetworkChange& change) {
    const std::lock_guard lock(mutex_);
    ++publications;
    for (const auto& [id, all] : change.addresses) {
      addresses.clear();
      for (const Prefix& own : all) addresses.insert(own.text());
    }
    for (const auto& [destination, route] : change.routes) {
      if (route) {
        routes[destination] = *route;
      } else {
        routes.erase(destination);
      }
    }
    changed_.notify_all();
    return {};
  }
  void note(const std::string& kind, const std::string& message) {
    const std::lock_guard lock(mutex_);
    notes.push_back(kind + ": " + message);
    changed_.notify_all();
  }

  Tap tap_;
  Network network_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::unique_ptr<NetworkFollower> follower_;
};

}  // namespace

TEST_CASE("network follower: what `ip` does to a TAP is told, and nothing else") {
  const bool is_allowed = in_namespace([] {
    Followed kernel;
    CHECK(kernel.publications == 0);  // the kernel has what it was given
    sh("ip address add 10.0.0.77/24 dev ff0");
    kernel.await("address", [](const Followed& at) { return at.has_address("10.0.0.77/24"); });
    sh("ip route add 198.51.100.0/24 via 10.0.0.8 dev ff0 proto bgp metric 20");
    kernel.await("route", [](const Followed& at) { return at.has_route("198.51.100.0/24", "10.0.0.8"); });
    sh("ip route replace 198.51.100.0/24 via 10.0.0.7 dev ff0 proto bgp metric 20");
    kernel.await("other gateway", [](const Followed& at) { return at.has_route("198.51.100.0/24", "10.0.0.7"); });
    sh("ip link set lo up; ip address add 10.9.9.9/32 dev lo; ip route add 203.0.113.0/24 dev lo");
    sh("ip route del 192.0.2.0/24");
    kernel.await("what was configured is gone", [](const Followed& at) {
      return at.has_note("route_removed: 192.0.2.0/24 via 10.0.0.9 on wan (static, metric 4096)");
    });
    CHECK_FALSE(kernel.has_address("10.9.9.9/32"));
    const RouteList list = kernel.follower().routes();
    CHECK(std::none_of(list.routes.begin(), list.routes.end(),
                       [](const RouteInfo& at) { return at.destination == prefix("203.0.113.0/24"); }));
  });
  if (!is_allowed) MESSAGE("no network namespace: not tested");
}

TEST_CASE("network follower: routes that go without a word, with their address or their next hop object") {
  in_namespace([] {
    Followed kernel;
    sh("ip nexthop add id 7 via 10.0.0.7 dev ff0 && ip route add 198.51.100.0/24 nhid 7");
    kernel.await("route", [](const Followed& at) { return at.routes.contains(prefix("198.51.100.0/24")); });
    sh("ip nexthop del id 7");
    kernel.await("its next hop is gone",
                 [](const Followed& at) { return !at.routes.contains(prefix("198.51.100.0/24")); });
    sh("ip address del 10.0.0.1/24 dev ff0");
    kernel.await("so is the configured route, with the last address",
                 [](const Followed& at) { return at.addresses.empty() && at.has_note("route_removed: 192.0.2.0/24"); });
  });
}

TEST_CASE("network follower: thousands at once are a few publications") {
  in_namespace([] {
    Followed kernel;
    const auto batch = [](const std::string& verb) {
      return "for a in $(seq 0 15); do for b in $(seq 0 255); do echo route " + verb +
             " 172.16.$a.$b/32 via 10.0.0.9 dev ff0; done; done | ip -batch -";
    };
    sh(batch("add"));
    kernel.await("all of them", [](const Followed& at) { return at.routes.size() == 4096; });
    // A tenth of a second apart at least.
    CHECK(kernel.publications < 100);
    sh(batch("del"));
    kernel.await("none of them", [](const Followed& at) { return at.routes.empty(); });
  });
}

TEST_CASE("network follower: what is lost because it comes too fast is read again") {
  in_namespace([] {
    Followed kernel(1);  // as little as the kernel lets it have
    kernel.hold_up([] {
      sh("for a in $(seq 0 255); do for b in 0 64 128 192; do echo route add 172.16.$a.$b/26 via 10.0.0.9 dev ff0; "
         "done; done | ip -batch -");
    });
    kernel.await("all of them", [](const Followed& at) { return at.routes.size() == 1024; });
    kernel.await("and it is said", [](const Followed& at) { return at.has_note("kernel_news_lost"); });
    sh("ip route flush dev ff0 root 172.16.0.0/16");
    kernel.await("none of them", [](const Followed& at) { return at.routes.empty(); });
  });
}

TEST_CASE("network follower: an interface that was down has again what was configured") {
  in_namespace([] {
    Followed kernel;
    sh("ip link set ff0 down");
    kernel.await("down", [](const Followed& at) { return at.has_note("kernel_interface_down: ff0"); });
    CHECK(std::system("ip route show dev ff0 | grep -q .") != 0);
    CHECK(kernel.publications == 0);
    sh("ip link set ff0 up mtu 1400");
    kernel.await("up", [](const Followed& at) {
      return at.has_note("kernel_interface_up: ff0") && at.has_note("mtu_changed: wan has MTU 1400");
    });
    sh("ip route show dev ff0 | grep -q '^192.0.2.0/24 via 10.0.0.9 .*metric 4096'");
    CHECK(kernel.routes.empty());
  });
}
