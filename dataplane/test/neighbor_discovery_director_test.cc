// SPDX-License-Identifier: Apache-2.0
// Neighbour discovery through the director: what is answered, learnt, reported and ignored.
#include "test/topic.h"

using namespace fulcrum;
using namespace fulcrum::test;

namespace {

const char *const kGateway = "2001:db8:1::fe", *const kOwn = "2001:db8:1::1", *const kVip = "2001:db8:ff::1",
                  *const kGatewayMacText = "02:00:00:00:01:fe", *const kOwnMac = "02:00:00:00:01:01",
                  *const kGroupMac = "33:33:ff:00:00:01", *const kGroup = "ff02::1:ff00:1";
constexpr uint32_t kRouter = 0x80000000, kSolicited = 0x40000000, kOverride = 0x20000000;

PacketBuilder question(const Endpoint& from, const Endpoint& target, const char* option = "0101 0200000001fe") {
  return neighbor_message(from, kGroup, 135, target, 0, option).mac(kGatewayMacText, kGroupMac);
}
Expected answer(const Endpoint& target, uint32_t flags = kRouter | kSolicited | kOverride, const char* to = kGateway,
                const char* to_mac = kGatewayMacText) {
  return {{Side::kClient,
           neighbor_message(target, to, 136, target, flags, "0201 020000000101").mac(kOwnMac, to_mac).frame()}};
}
Operation set_vip(VipState state) {
  Operation operation;
  operation.kind = Operation::Kind::kSetVip;
  operation.vip = {Endpoint(kVip).address, 0, {}, state};
  return operation;
}
size_t said(Story& story, ControlMessage::Kind kind) {
  size_t count = 0;
  for (const ControlMessage& message : story.messages()) count += message.kind == kind;
  return count;
}

}  // namespace

TEST_CASE("neighbour discovery: own addresses, link-local ones and VIPs answer, others' do not") {
  Story story;
  for (const char* target : {kOwn, kVip, "fe80::ff:fe00:101"}) {
    CAPTURE(target);
    story.messages();
    story.client(question(kGateway, target), Verdict::kNeighborAnswered, {answer(target)});
    CHECK(said(story, ControlMessage::Kind::kNeighborSeen) == 1);
  }
  // To one of ours by its own address, as reachability is asked for.
  story.client(neighbor_message(kGateway, kOwn, 135, kOwn).mac(kGatewayMacText, kOwnMac), Verdict::kNeighborAnswered,
               {answer(kOwn)});
  // Another link's address is asked for there; a stranger's not here.
  story.client(question(kGateway, "2001:db8:2::1"), Verdict::kNeighborTaken);
  story.messages();
  story.client(question("2001:db8:1::50", "2001:db8:1::51"), Verdict::kNeighborIgnored);
  CHECK(story.messages().empty());
}

TEST_CASE("neighbour discovery: whoever checks whether an address is free is told that it is not") {
  Story story;
  story.client(question("::", kVip, ""), Verdict::kNeighborAnswered,
               {answer(kVip, kRouter | kOverride, "ff02::1", "33:33:00:00:00:01")});
  CHECK(story.messages().empty());
}

TEST_CASE("neighbour discovery: a standby VIP is silent, and the other director's announcement is no conflict") {
  Story story;
  story.publish({set_vip(VipState::kStandby)});
  story.client(question(kGateway, kVip), Verdict::kNeighborTaken);
  story.messages();
  const auto theirs = neighbor_message(kVip, "ff02::1", 136, kVip, kOverride, "0201 020000000999")
                          .mac("02:00:00:00:09:99", "33:33:00:00:00:01");
  story.client(theirs, Verdict::kNeighborIgnored);
  CHECK(story.messages().empty());
  story.publish({set_vip(VipState::kActive)});
  story.client(question(kGateway, kVip), Verdict::kNeighborAnswered, {answer(kVip)});
  story.messages();
  story.client(theirs, Verdict::kNeighborIgnored);
  const auto messages = story.messages();
  REQUIRE(messages.size() == 1);
  CHECK(messages[0].kind == ControlMessage::Kind::kAddressConflict);
  CHECK(messages[0].mac == mac_of("02:00:00:00:09:99"));
  CHECK(messages[0].key.address.text() == kVip);
}

TEST_CASE("neighbour discovery: advertisements confirm who is known, strangers teach nothing") {
  Story story;
  const auto advertisement = [](const char* who, uint32_t flags) {
    return neighbor_message(who, kOwn, 136, who, flags, "0201 0200000001fe").mac(kGatewayMacText, kOwnMac);
  };
  story.client(advertisement(kGateway, kSolicited | kOverride), Verdict::kNeighborTaken);
  CHECK(said(story, ControlMessage::Kind::kNeighborConfirmed) == 1);
  story.client(advertisement(kGateway, kOverride), Verdict::kNeighborTaken);
  CHECK(said(story, ControlMessage::Kind::kNeighborSeen) == 1);
  story.client(advertisement("2001:db8:1::77", kSolicited | kOverride), Verdict::kNeighborIgnored);
  CHECK(story.messages().empty());
}

TEST_CASE("neighbour discovery: what is malformed, or came over a router, is not believed") {
  Story story;
  const auto bad = [&](const PacketBuilder& packet) { story.client(packet, Verdict::kBadNeighborDiscovery); };
  bad(question(kGateway, kOwn).ttl(254));
  bad(question(kGateway, kOwn).bad_checksum());
  bad(question(kGateway, kOwn, "0100"));               // an option without length
  bad(question(kGateway, kOwn, "0102 0200000001fe"));  // one that is longer than the message
  bad(question(kGateway, "ff02::1"));                  // a group has no neighbour
  bad(question("::", kOwn));                           // nobody's own MAC address
  bad(question(kGateway, kOwn).extension(60, "00 0104 00000000"));
  bad(icmp(kGateway, kOwn, 135, 0).ttl(255).payload("short"));
  // Routers are configured here.
  for (const unsigned type : {133u, 134u, 137u})
    story.client(
        icmp("fe80::9", "ff02::1", type, 0).ttl(255).payload_size(16).mac(kGatewayMacText, "33:33:00:00:00:01"),
        Verdict::kNeighborIgnored);
  story.client(question(kGateway, kOwn).vlan(7), Verdict::kUnknownVlan);
  CHECK(story.messages().empty());
  check_accounts(story);
}
