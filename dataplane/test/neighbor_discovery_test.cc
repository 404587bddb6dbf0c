// SPDX-License-Identifier: Apache-2.0
#include "forward/neighbor_discovery.h"

#include <doctest/doctest.h>

#include <memory>
#include <random>

#include "test/packet_builder.h"

using namespace fulcrum;
using namespace fulcrum::test;

namespace {

const MacAddress kOurs = parse_mac("02:00:00:00:02:01").value(), kTheirs = parse_mac("02:00:00:00:02:0d").value();
const NeighborPort kPort{kOurs, 0};

Ipv6Address ipv6(const char* text) { return Endpoint(text).address.v6(); }
std::string text(const Ipv6Address& address) { return Address::from(address).text(); }
Bytes bytes(const NeighborFrame& frame) {
  return Bytes(frame.bytes.begin(), frame.bytes.begin() + static_cast<std::ptrdiff_t>(frame.size));
}

// The packet of a solicitation or advertisement, options and all; sums by the builder's slow code.
Bytes message(unsigned type, const char* source, const char* destination, uint32_t flags, const char* target,
              std::string_view options, unsigned hop_limit = 255, unsigned code = 0) {
  Bytes body = address_bytes(Endpoint(target).address);
  put(body, from_hex(options));
  return icmp(source, destination, type, code, flags).ttl(hop_limit).payload(body).packet();
}

struct Parsed {
  bool valid;
  NeighborDiscovery found;
};
// In memory of exactly that size.
Parsed parsed(const Bytes& packet, size_t size = SIZE_MAX) {
  size = std::min(size, packet.size());
  const std::unique_ptr<uint8_t[]> exact(new uint8_t[size]);
  std::copy_n(packet.begin(), size, exact.get());
  Parsed result{};
  result.valid = parse_neighbor_message(exact.get(), size, result.found);
  return result;
}
bool valid(const Bytes& packet) { return parsed(packet).valid; }

constexpr const char *kUs = "2001:db8:2::1", *kThem = "2001:db8:2::d", *kGroupOfUs = "ff02::1:ff00:1",
                     *kTheirMac = "0101 02000000020d", *kTheirTargetMac = "0201 02000000020d";

}  // namespace

TEST_CASE("neighbour discovery: groups") {
  CHECK(text(solicited_node(ipv6("2001:db8::a1b2:c3d4"))) == "ff02::1:ffb2:c3d4");
  CHECK(text(solicited_node(ipv6("fe80::1"))) == "ff02::1:ff00:1");
  CHECK(text(all_nodes()) == "ff02::1");
  CHECK(mac_text(multicast_mac(ipv6("ff02::1:ffb2:c3d4"))) == "33:33:ff:b2:c3:d4");
  CHECK(mac_text(multicast_mac(all_nodes())) == "33:33:00:00:00:01");
  CHECK(is_multicast(all_nodes()));
  CHECK_FALSE(is_multicast(ipv6("2001:db8::ff")));
}

TEST_CASE("neighbour discovery: a solicitation, byte for byte") {
  const Bytes frame = bytes(make_solicitation(kPort, ipv6(kUs), ipv6(kThem)));
  Bytes expected = from_hex("3333ff00000d 020000000201 86dd");
  put(expected, message(135, kUs, "ff02::1:ff00:d", 0, kThem, "0101 020000000201"));
  CHECK(to_hex(frame) == to_hex(expected));
  CHECK(frame.size() == 86);

  const Bytes tagged = bytes(make_solicitation({kOurs, 100}, ipv6(kUs), ipv6(kThem)));
  expected.insert(expected.begin() + 12, {0x81, 0x00, 0, 100});
  CHECK(to_hex(tagged) == to_hex(expected));
}

TEST_CASE("neighbour discovery: whether an address is in use is asked without telling ours") {
  Bytes expected = from_hex("3333ff000001 020000000201 86dd");
  put(expected, message(135, "::", kGroupOfUs, 0, kUs, ""));
  CHECK(to_hex(bytes(make_solicitation(kPort, kIpv6Unspecified, ipv6(kUs)))) == to_hex(expected));
}

TEST_CASE("neighbour discovery: a probe goes to the neighbour alone") {
  Bytes expected = from_hex("02000000020d 020000000201 86dd");
  put(expected, message(135, kUs, kThem, 0, kThem, "0101 020000000201"));
  CHECK(to_hex(bytes(make_probe(kPort, ipv6(kUs), ipv6(kThem), kTheirs))) == to_hex(expected));
}

TEST_CASE("neighbour discovery: answers") {
  const NeighborDiscovery asked = parsed(message(135, kThem, kGroupOfUs, 0, kUs, kTheirMac)).found;
  Bytes expected = from_hex("02000000020d 020000000201 86dd");
  put(expected, message(136, kUs, kThem, 0x60000000, kUs, "0201 020000000201"));
  CHECK(to_hex(bytes(make_answer(kPort, asked, parse_mac("02:00:00:00:02:fe").value(), false))) == to_hex(expected));

  // A probe need not say where from; a router says that it is one.
  const NeighborDiscovery probed = parsed(message(135, kThem, kUs, 0, kUs, "")).found;
  expected = from_hex("0200000002fe 020000000201 86dd");
  put(expected, message(136, kUs, kThem, 0xe0000000, kUs, "0201 020000000201"));
  CHECK(to_hex(bytes(make_answer(kPort, probed, parse_mac("02:00:00:00:02:fe").value(), true))) == to_hex(expected));

  // Who has no address yet is told with everybody else.
  const NeighborDiscovery detecting = parsed(message(135, "::", kGroupOfUs, 0, kUs, "")).found;
  expected = from_hex("333300000001 020000000201 86dd");
  put(expected, message(136, kUs, "ff02::1", 0x20000000, kUs, "0201 020000000201"));
  CHECK(to_hex(bytes(make_answer(kPort, detecting, kTheirs, false))) == to_hex(expected));
}

TEST_CASE("neighbour discovery: an announcement") {
  Bytes expected = from_hex("333300000001 020000000201 8100 0064 86dd");
  put(expected, message(136, kUs, "ff02::1", 0x20000000, kUs, "0201 020000000201"));
  CHECK(to_hex(bytes(make_announcement({kOurs, 100}, ipv6(kUs), false))) == to_hex(expected));
}

TEST_CASE("neighbour discovery: what is made is valid") {
  for (const auto& frame :
       {make_solicitation(kPort, ipv6(kUs), ipv6(kThem)), make_solicitation(kPort, kIpv6Unspecified, ipv6(kUs)),
        make_probe(kPort, ipv6(kUs), ipv6(kThem), kTheirs), make_announcement(kPort, ipv6(kUs), true)}) {
    const Bytes all = bytes(frame);
    CHECK(valid(Bytes(all.begin() + 14, all.end())));
  }
}

TEST_CASE("neighbour discovery: what a solicitation and an advertisement say") {
  const Parsed asked = parsed(message(135, kThem, kGroupOfUs, 0, kUs, kTheirMac));
  REQUIRE(asked.valid);
  CHECK(asked.found.is_solicitation);
  CHECK(text(asked.found.source) == kThem);
  CHECK(text(asked.found.destination) == kGroupOfUs);
  CHECK(text(asked.found.target) == kUs);
  CHECK(asked.found.has_mac);
  CHECK(asked.found.mac == kTheirs);

  const Parsed answered = parsed(message(136, kThem, kUs, 0xc0000000, kThem, kTheirTargetMac));
  REQUIRE(answered.valid);
  CHECK_FALSE(answered.found.is_solicitation);
  CHECK(answered.found.is_router);
  CHECK(answered.found.is_solicited);
  CHECK_FALSE(answered.found.overrides);
  CHECK(answered.found.mac == kTheirs);
  CHECK(parsed(message(136, kThem, kUs, 0x20000000, kThem, "")).found.overrides);
  CHECK_FALSE(parsed(message(136, kThem, kUs, 0x20000000, kThem, "")).found.has_mac);
}

TEST_CASE("neighbour discovery: options") {
  // Unknown ones and those of the other message are skipped; of two of a kind the first counts.
  const Parsed asked = parsed(message(135, kThem, kGroupOfUs, 0, kUs,
                                      "0e02 0000 00000000 0000000000000000 0201 0a0a0a0a0a0a 0101 02000000020d 0101 "
                                      "0b0b0b0b0b0b"));
  CHECK(asked.valid);
  CHECK(asked.found.mac == kTheirs);
  // A link-layer address of another size is none.
  const Parsed longer = parsed(message(135, kThem, kGroupOfUs, 0, kUs, "0102 0000000000000000000000000000"));
  CHECK(longer.valid);
  CHECK_FALSE(longer.found.has_mac);
  for (const char* options : {"0100 02000000020d", "0102 02000000020d", "0101 0200000002", "01"})
    CHECK_FALSE(valid(message(135, kThem, kGroupOfUs, 0, kUs, options)));
}

TEST_CASE("neighbour discovery: RFC 4861 section 7.1.1, solicitations") {
  CHECK(valid(message(135, kThem, kGroupOfUs, 0, kUs, kTheirMac)));
  CHECK(valid(message(135, kThem, kUs, 0, kUs, "")));
  CHECK_FALSE(valid(message(135, kThem, kGroupOfUs, 0, kUs, kTheirMac, 254)));     // was forwarded
  CHECK_FALSE(valid(message(135, kThem, kGroupOfUs, 0, kUs, kTheirMac, 255, 1)));  // code
  CHECK_FALSE(valid(message(135, kThem, kGroupOfUs, 0, "ff02::1", kTheirMac)));    // target is a group
  CHECK_FALSE(valid(message(135, "ff02::1", kGroupOfUs, 0, kUs, kTheirMac)));
  CHECK(valid(message(135, "::", kGroupOfUs, 0, kUs, "")));
  CHECK_FALSE(valid(message(135, "::", kGroupOfUs, 0, kUs, kTheirMac)));
  CHECK_FALSE(valid(message(135, "::", kUs, 0, kUs, "")));
  CHECK_FALSE(valid(message(135, "::", "ff02::1", 0, kUs, "")));
  Bytes damaged = message(135, kThem, kGroupOfUs, 0, kUs, kTheirMac);
  damaged.back() ^= 1;
  CHECK_FALSE(valid(damaged));
}

TEST_CASE("neighbour discovery: RFC 4861 section 7.1.2, advertisements") {
  CHECK(valid(message(136, kThem, kUs, 0x60000000, kThem, kTheirTargetMac)));
  CHECK(valid(message(136, kThem, "ff02::1", 0x20000000, kThem, kTheirTargetMac)));
  CHECK_FALSE(valid(message(136, kThem, "ff02::1", 0x60000000, kThem, kTheirTargetMac)));  // solicited, to a group
  CHECK_FALSE(valid(message(136, kThem, kUs, 0x60000000, kThem, kTheirTargetMac, 64)));
  CHECK_FALSE(valid(message(136, kThem, kUs, 0x60000000, kThem, kTheirTargetMac, 255, 3)));
  CHECK_FALSE(valid(message(136, kThem, kUs, 0x60000000, "ff02::1", kTheirTargetMac)));
  CHECK_FALSE(valid(message(137, kThem, kUs, 0x60000000, kThem, kTheirTargetMac)));  // neither of both
}

TEST_CASE("neighbour discovery: cut off anywhere, it is invalid; padding is no part of it") {
  Bytes packet = message(135, kThem, kGroupOfUs, 0, kUs, kTheirMac);
  for (size_t size = 0; size < packet.size(); ++size) REQUIRE_FALSE(parsed(packet, size).valid);
  packet.resize(packet.size() + 20, 0xaa);
  CHECK(valid(packet));
  set16(packet, 4, 20);  // says that it is shorter than any
  CHECK_FALSE(valid(packet));
}

TEST_CASE("neighbour discovery: any options of any length, with a right checksum") {
  std::mt19937 random(1);
  unsigned seen = 0;
  for (unsigned round = 0; round < 20'000; ++round) {
    Bytes options(random() % 40);
    for (uint8_t& at : options) at = static_cast<uint8_t>(random() % 4);
    const bool asks = random() % 2 != 0;
    const Parsed found = parsed(message(asks ? 135 : 136, kThem, kUs, 0, kUs, to_hex(options)));
    if (!found.valid) continue;
    ++seen;
    REQUIRE(options.size() % 8 == 0);
    if (!found.found.has_mac) continue;
    const Bytes mac(found.found.mac.begin(), found.found.mac.end());
    REQUIRE(std::search(options.begin(), options.end(), mac.begin(), mac.end()) != options.end());
  }
  CHECK(seen > 500);
}
