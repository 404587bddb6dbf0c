// SPDX-License-Identifier: Apache-2.0
// What the kernel tells, applied: which addresses and routes the director has then, and what of that is to be changed.
#include "core/network_model.h"

#include <doctest/doctest.h>
#include <linux/rtnetlink.h>

#include <algorithm>

using namespace fulcrum;

namespace {

constexpr unsigned kWanIndex = 11, kTaggedIndex = 12, kForeignIndex = 2;
constexpr InterfaceId kWan = 0, kTagged = 1, kLan = 2;

Prefix prefix(const char* text) { return Prefix::parse(text).value(); }

// "via 10.0.0.9 dev 11", "dev 11", "blackhole"
RouteNews route(const char* destination, const std::vector<std::pair<unsigned, const char*>>& hops,
                uint32_t metric = 0) {
  RouteNews news;
  news.destination = prefix(destination);
  news.table = RT_TABLE_MAIN;
  news.type = RouteType::kUnicast;
  news.metric = metric;
  news.protocol = RTPROT_BGP;
  for (const auto& [index, gateway] : hops)
    news.hops.push_back({index, gateway[0] == 0 ? Address{} : Address::parse(gateway).value()});
  return news;
}
RouteNews gone(RouteNews news) { return news.is_gone = true, news; }
RouteNews replacing(RouteNews news) { return news.replaces = true, news; }
RouteNews behind(RouteNews news) { return news.goes_behind = true, news; }
RouteNews of_type(RouteNews news, RouteType type) { return news.type = type, news; }

AddressNews address(unsigned index, const char* text, bool is_gone = false, bool is_usable = true) {
  return {index, is_gone, is_usable, prefix(text)};
}
LinkNews link(unsigned index, bool is_up, uint32_t mtu = 1500, bool is_gone = false) {
  return {index, is_gone, is_up, mtu};
}

// wan and wan.100 have a kernel port, lan has none.
class Director {
 public:
  Director() : model_(network(), configured(), links()) {
    // The kernel has what it was given.
    resync({address(kWanIndex, "10.0.0.1/24"), address(kWanIndex, "2001:db8::1/64"), address(kWanIndex, "fe80::1/64"),
            address(kTaggedIndex, "10.0.100.1/24"), own("10.0.0.0/24", kWanIndex), own("2001:db8::/64", kWanIndex),
            own("10.0.100.0/24", kTaggedIndex), route("0.0.0.0/0", {{kWanIndex, "10.0.0.254"}}, 4096)});
    CHECK(publish() == "");
    CHECK(take_notes().empty());
  }

  void take(const KernelNews& news) { model_.take(news); }
  void resync(const std::vector<KernelNews>& all) {
    model_.begin_resync();
    for (const KernelNews& news : all) model_.take(news);
    model_.end_resync();
  }
  // What is to be changed, in words; all of it has room but what is named.
  std::string publish(const std::vector<const char*>& without_room = {}) {
    const NetworkChange change = model_.take_change();
    std::vector<Prefix> refused;
    std::vector<std::string> words;
    for (const auto& [id, addresses] : change.addresses) {
      std::string text = "addresses of " + std::to_string(id) + ":";
      for (const Prefix& own : addresses) text += " " + own.text();
      words.push_back(text);
    }
    for (const auto& [id, mtu] : change.mtus)
      words.push_back("mtu of " + std::to_string(id) + ": " + std::to_string(mtu));
    for (const auto& [destination, to] : change.routes) {
      words.push_back(destination.text() + " " + (to ? text(*to) : "gone"));
      const auto is_it = [&destination = destination](const char* name) { return prefix(name) == destination; };
      if (to && std::any_of(without_room.begin(), without_room.end(), is_it)) refused.push_back(destination);
    }
    model_.settle(change, refused);
    std::sort(words.begin(), words.end());
    std::string all;
    for (const std::string& word : words) all += (all.empty() ? "" : "; ") + word;
    return all;
  }
  std::vector<std::string> take_notes() {
    std::vector<std::string> all;
    for (const Note& note : model_.take_notes()) all.push_back(note.kind + ": " + note.message);
    return all;
  }
  NetworkModel& model() { return model_; }

  static RouteNews own(const char* destination, unsigned index) {
    RouteNews news = route(destination, {{index, ""}}, destination[0] == '1' ? 0 : 256);
    news.protocol = RTPROT_KERNEL;
    return news;
  }

 private:
  static std::string text(const Route& route) {
    if (!route.leads_somewhere()) return route.is_silent ? "blackhole" : "unreachable";
    const std::string via = route.gateway.family == Family::kNone ? "" : "via " + route.gateway.text() + " ";
    return via + "on " + std::to_string(route.interface);
  }
  static const Network& network() {
    static const Network* made = [] {
      auto* fresh = new Network;
      const auto add = [&](const char* name, PortId port, uint16_t vlan, const std::vector<const char*>& addresses) {
        Interface interface;
        interface.name = name;
        interface.port = port;
        interface.vlan = vlan;
        for (const char* own : addresses) interface.addresses.push_back(prefix(own));
        fresh->add_interface(interface);
      };
      add("wan", 0, 0, {"10.0.0.1/24", "2001:db8::1/64", "fe80::1/64"});
      add("wan.100", 0, 100, {"10.0.100.1/24"});
      add("lan", 1, 0, {"10.9.0.1/24"});
      return fresh;
    }();
    return *made;
  }
  static ConfiguredRoutes configured() {
    return {{prefix("0.0.0.0/0"), {kWan, Address::parse("10.0.0.254").value()}},
            {prefix("10.99.0.0/16"), {kLan, Address::parse("10.9.0.254").value()}}};
  }
  static std::vector<FollowedLink> links() {
    return {{kWanIndex, "fk0", kWan, 1500, prefix("fe80::1/64")},
            {kTaggedIndex, "fk0.100", kTagged, 1500, prefix("fe80::1/64")}};
  }
  NetworkModel model_;
};

using Words = std::vector<std::string>;

}  // namespace

TEST_CASE("network model: an address is added, and goes") {
  Director director;
  director.take(address(kWanIndex, "192.0.2.1/32"));
  director.take(address(kForeignIndex, "192.0.2.2/32"));
  CHECK(director.publish() == "addresses of 0: 10.0.0.1/24 2001:db8::1/64 fe80::1/64 192.0.2.1/32");
  CHECK(director.take_notes() == Words{"address_added: 192.0.2.1/32 on wan (fk0)"});
  director.take(address(kWanIndex, "192.0.2.1/32"));  // told again
  CHECK(director.publish() == "");
  CHECK_FALSE(director.model().wants_resync());
  director.take(address(kWanIndex, "192.0.2.1/32", true));
  CHECK(director.publish() == "addresses of 0: 10.0.0.1/24 2001:db8::1/64 fe80::1/64");
  CHECK(director.take_notes() == Words{"address_removed: 192.0.2.1/32 on wan (fk0)"});
  // Routes may have gone with it, and nobody says so.
  CHECK(director.model().wants_resync());
}

TEST_CASE("network model: what was configured and is deleted in the kernel is gone") {
  Director director;
  director.take(address(kTaggedIndex, "10.0.100.1/24", true));
  director.take(gone(Director::own("10.0.100.0/24", kTaggedIndex)));
  director.take(gone(route("0.0.0.0/0", {{kWanIndex, "10.0.0.254"}}, 4096)));
  CHECK(director.publish() == "0.0.0.0/0 gone; 10.0.100.0/24 gone; addresses of 1:");
}

TEST_CASE("network model: a tentative address is none yet, one that is taken never") {
  Director director;
  director.take(address(kWanIndex, "2001:db8::2/64", false, false));
  CHECK(director.publish() == "");
  director.take(address(kWanIndex, "2001:db8::2/64"));
  CHECK(director.publish() == "addresses of 0: 10.0.0.1/24 2001:db8::1/64 fe80::1/64 2001:db8::2/64");
  director.take(address(kWanIndex, "2001:db8::2/64", false, false));
  CHECK(director.publish() == "addresses of 0: 10.0.0.1/24 2001:db8::1/64 fe80::1/64");
}

TEST_CASE("network model: who begins to speak IPv6 gets an address that its link knows") {
  Director director;
  CHECK(director.model().take_without_link_local().empty());
  director.take(address(kTaggedIndex, "2001:db8:64::1/64"));
  const auto without = director.model().take_without_link_local();
  REQUIRE(without.size() == 1);
  CHECK(without[0].index == kTaggedIndex);
  CHECK(director.model().take_without_link_local().empty());
  director.take(address(kWanIndex, "2001:db8:9::1/64"));
  CHECK(director.model().take_without_link_local().empty());
}

TEST_CASE("network model: routes by followed interfaces, of the main table") {
  Director director;
  director.take(route("192.0.2.0/24", {{kWanIndex, "10.0.0.9"}}, 20));
  director.take(route("192.0.3.0/24", {{kForeignIndex, "10.5.0.9"}}, 20));
  director.take(route("192.0.4.0/24", {{kTaggedIndex, ""}}, 20));
  director.take(route("2001:db8:7::/48", {{kWanIndex, "2001:db8::9"}}, 1024));
  RouteNews other_table = route("192.0.5.0/24", {{kWanIndex, "10.0.0.9"}}, 20);
  other_table.table = 100;
  director.take(other_table);
  RouteNews cached = route("2001:db8:8::1/128", {{kWanIndex, "2001:db8::9"}});
  cached.is_cached = true;
  director.take(cached);
  director.take(route("fe80::/64", {{kWanIndex, ""}}, 256));
  director.take(route("ff00::/8", {{kWanIndex, ""}}, 256));
  director.take(route("224.0.0.0/4", {{kWanIndex, ""}}));
  CHECK(director.publish() ==
        "192.0.2.0/24 via 10.0.0.9 on 0; 192.0.4.0/24 on 1; 2001:db8:7::/48 via 2001:db8::9 on 0");
  CHECK(director.take_notes().size() == 3);
  director.take(gone(route("192.0.2.0/24", {{kWanIndex, "10.0.0.9"}}, 20)));
  director.take(gone(route("192.0.4.0/24", {{kForeignIndex, ""}}, 20)));
  CHECK(director.publish() == "192.0.2.0/24 gone");
  CHECK(director.take_notes() == Words{"route_removed: 192.0.2.0/24 via 10.0.0.9 on wan (bgp, metric 20)"});
}

TEST_CASE("network model: the lowest metric goes, and when it is gone the next") {
  Director director;
  director.take(route("0.0.0.0/0", {{kTaggedIndex, "10.0.100.9"}}, 20));
  CHECK(director.publish() == "0.0.0.0/0 via 10.0.100.9 on 1");
  director.take(route("0.0.0.0/0", {{kWanIndex, "10.0.0.7"}}, 30));
  CHECK(director.publish() == "");
  director.take(gone(route("0.0.0.0/0", {{kTaggedIndex, "10.0.100.9"}}, 20)));
  CHECK(director.publish() == "0.0.0.0/0 via 10.0.0.7 on 0");
  director.take(gone(route("0.0.0.0/0", {{kWanIndex, "10.0.0.7"}}, 30)));
  CHECK(director.publish() == "0.0.0.0/0 via 10.0.0.254 on 0");
  // The kernel's go before those of the configuration by interfaces that the kernel has not.
  director.take(route("10.99.0.0/16", {{kWanIndex, "10.0.0.7"}}, 20));
  CHECK(director.publish() == "10.99.0.0/16 via 10.0.0.7 on 0");
  director.take(gone(route("10.99.0.0/16", {{kWanIndex, "10.0.0.7"}}, 20)));
  CHECK(director.publish() == "10.99.0.0/16 via 10.9.0.254 on 2");
}

TEST_CASE("network model: a route is replaced, which needs no gap") {
  Director director;
  director.take(route("192.0.2.0/24", {{kWanIndex, "10.0.0.9"}}, 20));
  director.publish();
  director.take(replacing(route("192.0.2.0/24", {{kWanIndex, "10.0.0.8"}}, 20)));
  CHECK(director.publish() == "192.0.2.0/24 via 10.0.0.8 on 0");
  CHECK_FALSE(director.model().wants_resync());
  // By an interface that is not followed it leads nowhere here.
  director.take(replacing(route("192.0.2.0/24", {{kForeignIndex, "10.5.0.8"}}, 20)));
  CHECK(director.publish() == "192.0.2.0/24 gone");
}

TEST_CASE("network model: several of one metric are in the kernel's order") {
  Director director;
  director.take(route("192.0.2.0/24", {{kWanIndex, "10.0.0.9"}}, 20));
  director.take(behind(route("192.0.2.0/24", {{kWanIndex, "10.0.0.8"}}, 20)));
  CHECK(director.publish() == "192.0.2.0/24 via 10.0.0.9 on 0");
  director.take(route("192.0.2.0/24", {{kWanIndex, "10.0.0.7"}}, 20));  // ip route prepend
  CHECK(director.publish() == "192.0.2.0/24 via 10.0.0.7 on 0");
  // Which of them, the kernel does not say.
  director.take(replacing(route("192.0.2.0/24", {{kWanIndex, "10.0.0.6"}}, 20)));
  CHECK(director.model().wants_resync());
}

TEST_CASE("network model: of several next hops the first that lives, and the log names the route") {
  Director director;
  RouteNews several =
      route("192.0.2.0/24", {{kForeignIndex, "10.5.0.9"}, {kWanIndex, "10.0.0.8"}, {kWanIndex, "10.0.0.9"}});
  director.take(several);
  CHECK(director.publish() == "192.0.2.0/24 via 10.0.0.8 on 0");
  CHECK(director.take_notes() ==
        Words{"route_added: 192.0.2.0/24 via 10.0.0.8 on wan (bgp, metric 0)",
              "route_multipath: the route to 192.0.2.0/24 has 2 next hops: the director takes the first"});
  several.hops[1].is_dead = true;
  director.take(replacing(several));
  CHECK(director.publish() == "192.0.2.0/24 via 10.0.0.9 on 0");
  director.take(gone(several));
  CHECK(director.publish() == "192.0.2.0/24 gone");
}

TEST_CASE("network model: routes that lead nowhere are followed, too") {
  Director director;
  director.take(of_type(route("192.0.2.0/24", {}), RouteType::kBlackhole));
  director.take(of_type(route("192.0.3.0/24", {}), RouteType::kUnreachable));
  director.take(of_type(route("192.0.4.0/24", {}), RouteType::kOther));
  CHECK(director.publish() == "192.0.2.0/24 blackhole; 192.0.3.0/24 unreachable");
  director.take(gone(of_type(route("192.0.2.0/24", {}), RouteType::kBlackhole)));
  CHECK(director.publish() == "192.0.2.0/24 gone");
}

TEST_CASE("network model: what the director has not is not followed, counted, and named once") {
  Director director;
  RouteNews route_of_tunnel = route("192.0.2.0/24", {{kWanIndex, ""}});
  route_of_tunnel.unknown = "an encapsulation";
  director.take(route_of_tunnel);
  director.take(route_of_tunnel);
  CHECK(director.publish() == "");
  CHECK(director.take_notes() == Words{"route_not_followed: the route to 192.0.2.0/24 asks for an encapsulation, which "
                                       "the director has not: packets go by other routes"});
  CHECK(director.model().routes().not_followed == 1);
  // One for a type of service is another route than that without.
  director.take(route("192.0.9.0/24", {{kWanIndex, "10.0.0.9"}}));
  director.publish();
  RouteNews of_service = route("192.0.9.0/24", {{kWanIndex, "10.0.0.8"}});
  of_service.unknown = "a type of service";
  of_service.is_of_its_own = true;
  director.take(replacing(of_service));
  CHECK(director.publish() == "");
  director.take(gone(route_of_tunnel));
  director.take(gone(of_service));
  CHECK(director.publish() == "");
  CHECK(director.model().routes().not_followed == 0);
}

TEST_CASE("network model: a resync brings what was lost, and what was not told is gone") {
  Director director;
  director.take(route("192.0.2.0/24", {{kWanIndex, "10.0.0.9"}}, 20));
  director.take(address(kWanIndex, "192.0.2.1/32"));
  director.publish();
  director.take_notes();
  director.resync({link(kWanIndex, true), address(kWanIndex, "10.0.0.1/24"), address(kWanIndex, "10.0.0.2/24"),
                   Director::own("10.0.0.0/24", kWanIndex), route("192.0.4.0/24", {{kWanIndex, "10.0.0.9"}}, 20)});
  CHECK(director.publish() ==
        "0.0.0.0/0 gone; 10.0.100.0/24 gone; 192.0.2.0/24 gone; 192.0.4.0/24 via 10.0.0.9 on 0; 2001:db8::/64 gone; "
        "addresses of 0: 10.0.0.1/24 10.0.0.2/24; addresses of 1:");
  // One that had gaps takes nothing away.
  director.model().begin_resync();
  director.model().end_resync(false);
  CHECK(director.publish() == "");
  CHECK(director.model().wants_resync());
}

TEST_CASE("network model: while the kernel's interface is down everything stays, and then comes back") {
  Director director;
  director.take(route("192.0.2.0/24", {{kWanIndex, "10.0.0.9"}}, 20));
  director.take(gone(Director::own("2001:db8::/64", kWanIndex)));
  director.take(address(kWanIndex, "2001:db8::1/64", true));
  director.publish();
  director.take_notes();

  director.take(link(kWanIndex, false));
  director.take(address(kWanIndex, "fe80::1/64", true));
  director.take(gone(route("192.0.2.0/24", {{kWanIndex, "10.0.0.9"}}, 20)));
  director.resync(
      {link(kWanIndex, false), address(kTaggedIndex, "10.0.100.1/24"), Director::own("10.0.100.0/24", kTaggedIndex)});
  CHECK(director.publish() == "");
  CHECK(director.take_notes() ==
        Words{"kernel_interface_down: fk0 is down: the director keeps the addresses and routes that it has"});

  // Up for a moment is not enough.
  director.take(link(kWanIndex, true));
  director.take(link(kWanIndex, false));
  CHECK(director.model().take_restored().empty());
  director.take(link(kWanIndex, true));
  const auto restored = director.model().take_restored();
  REQUIRE(restored.size() == 1);
  CHECK(restored[0].link.index == kWanIndex);
  // Not what the operator deleted before.
  REQUIRE(restored[0].addresses.size() == 2);
  CHECK(restored[0].addresses[1].text() == "fe80::1/64");
  REQUIRE(restored[0].routes.size() == 1);
  CHECK(restored[0].routes[0].first.text() == "0.0.0.0/0");
  CHECK(director.model().wants_resync());
  CHECK(director.model().take_restored().empty());
  director.resync({link(kWanIndex, true), address(kWanIndex, "10.0.0.1/24"), address(kWanIndex, "fe80::1/64"),
                   Director::own("10.0.0.0/24", kWanIndex), route("0.0.0.0/0", {{kWanIndex, "10.0.0.254"}}, 4096),
                   address(kTaggedIndex, "10.0.100.1/24"), Director::own("10.0.100.0/24", kTaggedIndex)});
  CHECK(director.publish() == "192.0.2.0/24 gone");
}

TEST_CASE("network model: an interface that is deleted leaves what it had") {
  Director director;
  director.take(link(kWanIndex, false));  // which the kernel says first
  director.take(link(kWanIndex, false, 1500, true));
  director.take(gone(route("0.0.0.0/0", {{kWanIndex, "10.0.0.254"}}, 4096)));
  director.resync({address(kTaggedIndex, "10.0.100.1/24"), Director::own("10.0.100.0/24", kTaggedIndex)});
  CHECK(director.publish() == "");
  CHECK(
      director.take_notes() ==
      Words{"kernel_interface_down: fk0 is down: the director keeps the addresses and routes that it has",
            "kernel_interface_gone: fk0 was deleted: the director keeps the addresses and routes that it has until it "
            "is started again"});
}

TEST_CASE("network model: the MTU is followed as far as the port goes") {
  Director director;
  director.take(link(kWanIndex, true, 1400));
  CHECK(director.publish() == "mtu of 0: 1400");
  CHECK(director.take_notes() == Words{"mtu_changed: wan has MTU 1400"});
  director.take(link(kWanIndex, true, 9000));
  CHECK(director.publish() == "mtu of 0: 1500");
  CHECK(director.take_notes() == Words{"mtu_refused: fk0 has MTU 9000, its port carries 1500: so does the director",
                                       "mtu_changed: wan has MTU 1500"});
  director.take(link(kWanIndex, true, 9000));
  CHECK(director.take_notes().empty());
}

TEST_CASE("network model: what there is no room for is named, listed, and tried again when something goes") {
  Director director;
  director.take(route("192.0.2.0/24", {{kWanIndex, "10.0.0.9"}}));
  director.take(route("192.0.3.0/24", {{kWanIndex, "10.0.0.9"}}));
  director.publish({"192.0.3.0/24"});
  CHECK(director.take_notes() == Words{"route_added: 192.0.2.0/24 via 10.0.0.9 on wan (bgp, metric 0)",
                                       "route_table_full: no room for the route to 192.0.3.0/24: packets go by shorter "
                                       "prefixes, or nowhere"});
  const RouteList list = director.model().routes();
  CHECK(list.without_room == 1);
  const auto at = std::find_if(list.routes.begin(), list.routes.end(),
                               [](const RouteInfo& info) { return info.destination == prefix("192.0.3.0/24"); });
  REQUIRE(at != list.routes.end());
  CHECK_FALSE(at->is_in_force);
  // Nothing goes: no further try.
  director.take(route("192.0.4.0/24", {{kWanIndex, "10.0.0.9"}}));
  CHECK(director.publish() == "192.0.4.0/24 via 10.0.0.9 on 0");
  director.take(gone(route("192.0.2.0/24", {{kWanIndex, "10.0.0.9"}})));
  CHECK(director.publish() == "192.0.2.0/24 gone; 192.0.3.0/24 via 10.0.0.9 on 0");
  CHECK(director.take_notes().back() == "route_table_room: every route is in force again");
  CHECK(director.model().routes().without_room == 0);
}

TEST_CASE("network model: many changes at once are noted as a number") {
  Director director;
  for (unsigned i = 0; i < 100; ++i)
    director.take(route(("192.168." + std::to_string(i) + ".0/24").c_str(), {{kWanIndex, "10.0.0.9"}}, 20));
  director.publish();
  const auto notes = director.take_notes();
  REQUIRE(notes.size() == 1);
  CHECK(notes[0].starts_with("routes_changed: 100 routes added, 0 removed, 0 changed; there are "));
}
