// SPDX-License-Identifier: Apache-2.0
// Addresses and routes that change while workers run: what packets meet then, of connections and without.
#include "core/network_change.h"

#include <array>

#include "test/topic.h"

using namespace fulcrum;
using namespace fulcrum::test;

namespace {

Prefix prefix(const std::string& text) { return Prefix::parse(text).value(); }
Route via(InterfaceId interface, const char* gateway) { return {interface, Endpoint(gateway).address}; }
constexpr Route kUnreachable{}, kBlackhole{kNoInterface, {}, true};

// The world's network, with two routing tables of its own that take turns. Tables are large: all tests use the same,
// and leave them as they were.
class Changing {
 public:
  explicit Changing(Story& story) : story_(story) {
    const auto& both = tables();
    const Network& world = *story.shared().snapshot.load()->network;
    network_ = std::make_shared<const Network>(world, world.interfaces(), both[0]);
    changer_ = std::make_unique<NetworkChanger>(network_, both[1]);
    story_.change_network(network_);
  }
  ~Changing() {
    NetworkChange back;
    for (const Prefix& destination : touched_) back.routes.emplace_back(destination, std::nullopt);
    change(back);
    NetworkChange again;
    for (const auto& [destination, route] : usual()) again.routes.emplace_back(destination, route);
    change(again);
  }

  void route(const char* destination, const std::optional<Route>& to) {
    NetworkChange one;
    one.routes.emplace_back(prefix(destination), to);
    touched_.push_back(prefix(destination));
    change(one);
  }
  void addresses(InterfaceId interface, const std::vector<std::string>& texts) {
    NetworkChange one;
    one.addresses.emplace_back(interface, std::vector<Prefix>{});
    for (const std::string& text : texts) one.addresses[0].second.push_back(prefix(text));
    change(one);
  }
  void mtu(InterfaceId interface, uint16_t bytes) {
    NetworkChange one;
    one.mtus.emplace_back(interface, bytes);
    change(one);
  }
  const Network& network() const { return *network_; }

 private:
  void change(const NetworkChange& change) {
    std::vector<Prefix> without_room;
    network_ = changer_->next(change, without_room);
    story_.change_network(network_);
    changer_->catch_up(change, without_room);
    CHECK(without_room.empty());
  }
  static std::vector<std::pair<Prefix, Route>> usual() {
    return {{prefix("10.0.1.0/24"), {0, {}}},
            {prefix("10.0.2.0/24"), {1, {}}},
            {prefix("10.0.3.0/24"), via(1, "10.0.2.254")},
            {prefix("0.0.0.0/0"), via(0, "10.0.1.254")}};
  }
  static const std::array<std::shared_ptr<RouteTable>, 2>& tables() {
    static const auto* made = [] {
      auto* both = new std::array<std::shared_ptr<RouteTable>, 2>;
      for (auto& table : *both) {
        table = std::make_shared<RouteTable>();
        if (!table->create(0)) throw std::runtime_error("no memory for routes");
        for (const auto& [destination, route] : usual()) table->set(destination, route);
      }
      return both;
    }();
    return *made;
  }

  Story& story_;
  std::shared_ptr<const Network> network_;
  std::unique_ptr<NetworkChanger> changer_;
  std::vector<Prefix> touched_;
};

const char* const kClient = "198.51.100.1:1024";

PacketBuilder to_vip(const char* flags) { return tcp(kClient, "192.0.2.1:80", flags); }
Bytes to_remote(const char* flags) { return tcp(kClient, "10.0.3.11:80", flags).ttl(63).packet(); }

}  // namespace

TEST_CASE("network change: a connection goes where its server's route leads now, and stays with its server") {
  Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.3.11:80 -m"});
  {
    Changing routes(story);
    story.client(to_vip("S"), Verdict::kForwardedNat, {to_server(0xfe, to_remote("S"))});
    story.client(to_vip("A"), Verdict::kForwardedNat, {to_server(0xfe, to_remote("A"))});
    routes.route("10.0.3.0/24", via(1, "10.0.2.12"));
    story.client(to_vip("A"), Verdict::kForwardedNat, {to_server(12, to_remote("A"))});
    routes.route("10.0.3.11/32", via(1, "10.0.2.13"));
    story.client(to_vip("A"), Verdict::kForwardedNat, {to_server(13, to_remote("A"))});
    // Both tables know.
    routes.route("10.0.3.11/32", std::nullopt);
    story.client(to_vip("A"), Verdict::kForwardedNat, {to_server(12, to_remote("A"))});
    routes.route("10.0.3.0/24", std::nullopt);
    story.client(to_vip("A"), Verdict::kForwardedNat, {to_client(to_remote("A"))});
    CHECK(story.World::connections().size() == 1);
  }
  check_accounts(story);
}

TEST_CASE("network change: an address is answered for as long as it is there") {
  Story story;
  {
    Changing network(story);
    const auto question = [] { return arp_request("02:00:00:00:01:50", "10.0.1.50", "10.0.1.77"); };
    const Bytes answer = arp_reply("02:00:00:00:01:01", "10.0.1.77", "02:00:00:00:01:50", "10.0.1.50");
    story.frame(Side::kClient, question(), Verdict::kArpIgnored);
    network.addresses(0, {"10.0.1.1/24", "10.0.1.77/24"});
    story.frame(Side::kClient, question(), Verdict::kArpAnswered, {{{Side::kClient, answer}}});
    story.client(echo_request("198.51.100.1:0", "10.0.1.77"), Verdict::kEchoAnswered,
                 {to_client(icmp("10.0.1.77", "198.51.100.1:0", 0, 0, 0x10000).id(0).packet())});
    network.addresses(0, {"10.0.1.1/24"});
    story.frame(Side::kClient, question(), Verdict::kArpIgnored);
    CHECK(story.shared().snapshot.load()->find_local(Endpoint("10.0.1.77").address) == nullptr);
    CHECK(story.shared().snapshot.load()->find_local(Endpoint("192.0.2.1").address) != nullptr);
  }
  story.messages();
}

TEST_CASE("network change: a VIP on standby is answered while VRRP has it on the interface") {
  Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11:80 -m"});
  {
    Changing network(story);
    Operation standby;
    standby.kind = Operation::Kind::kSetVip;
    standby.vip.address = Endpoint("192.0.2.1").address;
    standby.vip.state = VipState::kStandby;
    story.publish({standby});
    const auto question = [] { return arp_request("02:00:00:00:01:50", "10.0.1.50", "192.0.2.1"); };
    const Bytes answer = arp_reply("02:00:00:00:01:01", "192.0.2.1", "02:00:00:00:01:50", "10.0.1.50");
    story.frame(Side::kClient, question(), Verdict::kArpIgnored);
    network.addresses(0, {"10.0.1.1/24", "192.0.2.1/32"});
    story.frame(Side::kClient, question(), Verdict::kArpAnswered, {{{Side::kClient, answer}}});
    story.client(to_vip("S"), Verdict::kForwardedNat,
                 {to_server(11, tcp(kClient, "10.0.2.11:80", "S").ttl(63).packet())});
    network.addresses(0, {"10.0.1.1/24"});
    story.frame(Side::kClient, question(), Verdict::kArpIgnored);
  }
  story.messages();
}

TEST_CASE("network change: routes that lead nowhere, with and without a word") {
  Story story;
  {
    Changing network(story);
    const auto packet = [] { return udp(kClient, "203.0.113.9:53"); };
    network.route("203.0.113.0/24", kBlackhole);
    story.client(packet(), Verdict::kBlackholed);
    network.route("203.0.113.0/24", kUnreachable);
    story.put(Side::kClient, packet().frame());
    story.run();
    CHECK(story.collect().size() == 1);
    CHECK(story.verdicts()[static_cast<size_t>(Verdict::kNetUnreachableSent)] == 1);
  }
  check_accounts(story);
}

TEST_CASE("network change: adjacencies learn the address to speak with, and the MTU") {
  Story story;
  Changing network(story);
  Adjacency adjacency;
  adjacency.set_link(network.network().interface(1), Endpoint("10.0.2.11").address);
  CHECK(adjacency.own_v4 == Endpoint("10.0.2.1").address.v4());
  network.addresses(1, {"10.0.2.9/24"});
  network.mtu(1, 1400);
  adjacency.follow(network.network().interface(1));
  CHECK(adjacency.own_v4 == Endpoint("10.0.2.9").address.v4());
  CHECK(adjacency.mtu == 1400);
  CHECK(network.network().interface(0).mtu == 1500);
}
