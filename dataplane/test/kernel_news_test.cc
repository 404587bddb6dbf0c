// SPDX-License-Identifier: Apache-2.0
// What the kernel tells of addresses and routes: datagrams as Linux 6.18 sent them after a command, and what they mean.
#include "core/kernel_news.h"

#include <doctest/doctest.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <cerrno>
#include <cstring>

#include "test/packet_builder.h"

using namespace fulcrum;
using namespace fulcrum::test;

namespace {

std::vector<KernelNews> news_of(const Bytes& datagram, NewsEnd* end = nullptr, uint32_t sequence = 0) {
  std::vector<KernelNews> news;
  const NewsEnd told = read_news(datagram, sequence, news);
  if (end != nullptr) *end = told;
  return news;
}

template <typename T>
T only(const char* hex) {
  NewsEnd end;
  const auto news = news_of(from_hex(hex), &end);
  REQUIRE(news.size() == 1);
  CHECK_FALSE(end.is_malformed);
  CHECK_FALSE(end.is_done);
  return std::get<T>(news[0]);
}

std::string text(const RouteNews& route) {
  std::string all = std::string(route.is_gone ? "- " : route.replaces ? "= " : "+ ") + route.destination.text();
  if (route.type == RouteType::kBlackhole) all += " blackhole";
  for (const NextHopNews& hop : route.hops)
    all += (hop.gateway.family == Family::kNone ? "" : " via " + hop.gateway.text()) + " dev " +
           std::to_string(hop.index) + (hop.is_dead ? " dead" : "");
  all += " table " + std::to_string(route.table) + " metric " + std::to_string(route.metric) + " " +
         route_protocol_name(route.protocol);
  if (route.goes_behind) all += " append";
  if (route.unknown != nullptr) all += std::string(" (") + route.unknown + ")";
  return all;
}

// A message of a link, which the kernel fills with a hundred attributes.
Bytes link_message(uint16_t type, unsigned index, unsigned flags, uint32_t mtu, unsigned char family = AF_UNSPEC) {
  struct {
    nlmsghdr header;
    ifinfomsg body;
    rtattr attribute;
    uint32_t mtu;
  } message{};
  message.header.nlmsg_len = sizeof message;
  message.header.nlmsg_type = type;
  message.body.ifi_family = family;
  message.body.ifi_index = static_cast<int>(index);
  message.body.ifi_flags = flags;
  message.attribute.rta_len = RTA_LENGTH(4);
  message.attribute.rta_type = IFLA_MTU;
  message.mtu = mtu;
  Bytes bytes(sizeof message);
  std::memcpy(bytes.data(), &message, sizeof message);
  return bytes;
}

// ip route add 192.0.2.0/24 via 10.1.0.9 proto bgp metric 20
const char* const kBgpRoute =
    "440000001800000609a6036b916f000002180000feba00010000000008000f00fe00000008000100c00002000800060014000000080005000a"
    "01"
    "00090800040003000000";

}  // namespace

TEST_CASE("kernel news: addresses") {
  // ip addr add 10.1.0.1/24 dev d0
  const auto added = only<AddressNews>(
      "4c0000001400000006a6036b336f00000218800003000000080001000a010001080002000a01000107000300643000000800080080000000"
      "14000600ffffffffffffffff84c74a0084c74a00");
  CHECK(added.index == 3);
  CHECK(added.address.text() == "10.1.0.1/24");
  CHECK_FALSE(added.is_gone);
  CHECK(added.is_usable);
  // ip addr add 10.2.0.1 peer 10.2.0.2/32 dev d0: the prefix is the peer's.
  CHECK(
      only<AddressNews>("4c0000001400000006a6036b546f00000220800003000000080001000a020002080002000a02000107000300643000"
                        "00080008008000000014000600ffffffffffffffff95c74a0095c74a00")
          .address.text() == "10.2.0.1/32");
  const auto removed = only<AddressNews>(
      "4c000000150000000da6036bd86f00000218800003000000080001000a010001080002000a01000107000300643000000800080080000000"
      "14000600ffffffffffffffff84c74a0084c74a00");
  CHECK(removed.is_gone);
  CHECK(removed.address.text() == "10.1.0.1/24");
}

TEST_CASE("kernel news: an IPv6 address is used once it is no longer tentative") {
  // ip -6 addr add 2001:db8:1::1/64 dev d1, and two seconds later.
  const auto first = only<AddressNews>(
      "480000001400000000000000000000000a40c000020000001400010020010db800010000000000000000000114000600ffffffffffffffff"
      "bcc74a00bcc74a0008000800c0000000");
  CHECK(first.address.text() == "2001:db8:1::1/64");
  CHECK_FALSE(first.is_usable);
  const auto then = only<AddressNews>(
      "480000001400000000000000000000000a408000020000001400010020010db800010000000000000000000114000600ffffffffffffffff"
      "bcc74a00bcc74a000800080080000000");
  CHECK(then.is_usable);
  CHECK(then.address == first.address);
}

TEST_CASE("kernel news: routes of IPv4") {
  CHECK(text(only<RouteNews>(kBgpRoute)) == "+ 192.0.2.0/24 via 10.1.0.9 dev 3 table 254 metric 20 bgp");
  // ip route replace 192.0.2.0/24 via 10.1.0.8 proto bgp metric 20
  CHECK(
      text(only<RouteNews>("44000000180000010aa6036b936f000002180000feba00010000000008000f00fe00000008000100c000020008"
                           "00060014000000080005000a0100080800040003000000")) ==
      "= 192.0.2.0/24 via 10.1.0.8 dev 3 table 254 metric 20 bgp");
  // ip route append 192.0.2.0/24 via 10.1.0.7 proto bgp metric 20
  CHECK(
      text(only<RouteNews>("440000001800000c0aa6036b956f000002180000feba00010000000008000f00fe00000008000100c000020008"
                           "00060014000000080005000a0100070800040003000000")) ==
      "+ 192.0.2.0/24 via 10.1.0.7 dev 3 table 254 metric 20 bgp append");
  // ip route del 192.0.2.0/24 via 10.1.0.8
  CHECK(
      text(only<RouteNews>("44000000190000000aa6036b976f000002180000feba00010000000008000f00fe00000008000100c000020008"
                           "00060014000000080005000a0100080800040003000000")) ==
      "- 192.0.2.0/24 via 10.1.0.8 dev 3 table 254 metric 20 bgp");
  // ip route add 198.51.100.0/24 nexthop via 10.1.0.9 nexthop via 10.1.0.8
  CHECK(
      text(only<RouteNews>("50000000180000060aa6036ba46f000002180000fe0300010000000008000f00fe00000008000100c633640024"
                           "0009001000000003000000080005000a0100091000000003000000080005000a010008")) ==
      "+ 198.51.100.0/24 via 10.1.0.9 dev 3 via 10.1.0.8 dev 3 table 254 metric 0 boot");
  // ip route add blackhole 203.0.113.0/24
  CHECK(text(only<RouteNews>(
            "2c000000180000060aa6036bae6f000002180000fe0300060000000008000f00fe00000008000100cb007100")) ==
        "+ 203.0.113.0/24 blackhole table 254 metric 0 boot");
  // ip route add 10.77.0.0/16 via inet6 fe80::1 dev d0
  const auto other = only<RouteNews>(
      "4c000000180000060ba6036bb16f000002100000fe0300010000000008000f00fe000000080001000a4d0000160012000a00fe8000000000"
      "0000000000000000000100000800040003000000");
  CHECK(text(other) == "+ 10.77.0.0/16 dev 3 table 254 metric 0 boot (a gateway of the other address family)");
  CHECK_FALSE(other.is_of_its_own);
  // ip route add 10.88.0.0/16 nhid 7: the kernel says where that leads.
  CHECK(
      text(only<RouteNews>("44000000180000060ca6036bc86f000002100000fe0300010000000008000f00fe000000080001000a58000008"
                           "001e0007000000080005000a0100050800040003000000")) ==
      "+ 10.88.0.0/16 via 10.1.0.5 dev 3 table 254 metric 0 boot");
  // ip nexthop del id 7: with it goes that route, and no message says so.
  only<NextHopObjectGone>(
      "30000000690005000ca6036bca6f000002fd00000000000008000100070000000800050003000000080006000a0100"
      "05");
  // What ip addr add makes besides, in the table "local".
  CHECK(only<RouteNews>("3c00000018000006000000000000000002200000ff02fe020000000008000f00ff000000080001000a010001080007"
                        "000a0100010800040003000000")
            .table == RT_TABLE_LOCAL);
}

TEST_CASE("kernel news: routes of IPv6") {
  // ip -6 route add 2001:db8:77::/48 via 2001:db8::9 metric 30
  CHECK(text(only<RouteNews>(
            "88000000180000060ba6036bb76f00000a300000fe0300010000000008000f00fe0000001400010020010db800"
            "7700000000000000000000080006001e0000001400050020010db8000000000000000000000009080004000300"
            "000024000c0000000000000000000000000000000000000000000000000000000000000000000500140000000000")) ==
        "+ 2001:db8:77::/48 via 2001:db8::9 dev 3 table 254 metric 30 boot");
  // ip -6 route append 2001:db8:77::/48 via 2001:db8::8 metric 30: told as one route of both.
  CHECK(
      text(only<RouteNews>("a80000001800000c0ba6036bba6f00000a300000fe0300010000000008000f00fe0000001400010020010db800"
                           "7700000000000000000000080006001e0000003c0009001c000000030000001400050020010db8000000000000"
                           "0000000000081c000000030000001400050020010db800000000000000000000000924000c0000000000000000"
                           "000000000000000000000000000000000000000000000000000500140000000000")) ==
      "+ 2001:db8:77::/48 via 2001:db8::8 dev 3 via 2001:db8::9 dev 3 table 254 metric 30 boot append");
}

TEST_CASE("kernel news: links") {
  const auto one = [](const Bytes& bytes) { return std::get<LinkNews>(news_of(bytes).at(0)); };
  CHECK(one(link_message(RTM_NEWLINK, 5, IFF_UP, 1400)).is_up);
  CHECK(one(link_message(RTM_NEWLINK, 5, IFF_UP, 1400)).mtu == 1400);
  CHECK(one(link_message(RTM_NEWLINK, 5, 0, 1400)).index == 5);
  CHECK_FALSE(one(link_message(RTM_NEWLINK, 5, 0, 1400)).is_up);
  CHECK(one(link_message(RTM_DELLINK, 5, IFF_UP, 1400)).is_gone);
  // A bridge says in the same words that a port left it.
  CHECK(news_of(link_message(RTM_DELLINK, 5, IFF_UP, 1400, AF_BRIDGE)).empty());
}

TEST_CASE("kernel news: a dump has an end, may have gaps, and answers to its question alone") {
  Bytes route = from_hex(kBgpRoute);
  auto& header = *reinterpret_cast<nlmsghdr*>(route.data());
  const uint32_t sequence = header.nlmsg_seq;
  NewsEnd end;
  CHECK(news_of(route, &end, sequence).size() == 1);
  CHECK(news_of(route, &end, sequence + 1).empty());
  header.nlmsg_flags |= NLM_F_DUMP_INTR;
  news_of(route, &end, sequence);
  CHECK(end.is_interrupted);

  struct {
    nlmsghdr header;
    int32_t error;
  } done{{sizeof done, NLMSG_DONE, NLM_F_MULTI, sequence, 0}, 0};
  const auto bytes = [](const auto& of) {
    Bytes all(sizeof of);
    std::memcpy(all.data(), &of, sizeof of);
    return all;
  };
  Bytes both = from_hex(kBgpRoute);
  put(both, bytes(done));
  CHECK(news_of(both, &end, sequence).size() == 1);
  CHECK(end.is_done);
  CHECK(end.error == 0);
  done.error = -ENOENT;
  news_of(bytes(done), &end, sequence);
  CHECK(end.error == ENOENT);
  struct {
    nlmsghdr header;
    nlmsgerr error;
  } refused{{sizeof refused, NLMSG_ERROR, 0, sequence, 0}, {-EOPNOTSUPP, {}}};
  news_of(bytes(refused), &end, sequence);
  CHECK(end.is_done);
  CHECK(end.error == EOPNOTSUPP);
}

TEST_CASE("kernel news: nothing that is cut off or inconsistent is believed, or read beyond") {
  const Bytes whole = from_hex(kBgpRoute);
  for (size_t length = 1; length < whole.size(); ++length) {
    CAPTURE(length);
    NewsEnd end;
    // A copy of its own size, so that a sanitizer sees what is read behind it.
    const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
    CHECK(news_of(cut, &end).empty());
    CHECK(end.is_malformed);
  }
  // Every byte of the lengths and values with every value: no crash, and no destination that cannot be.
  for (size_t at = 0; at < whole.size(); ++at) {
    for (unsigned value = 0; value < 256; ++value) {
      Bytes changed = whole;
      changed[at] = static_cast<uint8_t>(value);
      for (const KernelNews& news : news_of(changed))
        if (const auto* route = std::get_if<RouteNews>(&news))
          CHECK(route->destination.length <= (route->destination.address.family == Family::kIpv4 ? 32 : 128));
    }
  }
}
