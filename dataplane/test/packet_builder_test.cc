// SPDX-License-Identifier: Apache-2.0
// The builder and the decoder against bytes that others made (the conformance scenarios' packets).
#include "test/packet_builder.h"

#include <doctest/doctest.h>

#include <random>

#include "test/packet_text.h"

using namespace fulcrum::test;

TEST_CASE("packet builder: packets byte by byte") {
  const struct {
    PacketBuilder packet;
    const char* hex;
  } rows[] = {
      {tcp("198.51.100.1:1000", "192.0.2.1:80", "S"),
       "450000281234400040063c66c6336401c0000201 03e80050000003e800000000500220009b8c0000"},
      {tcp("198.51.100.1:1000", "192.0.2.1:80", "PAU").payload("hello").urgent(3).ttl(2),
       "4500002d1234400002067a61c6336401c0000201 03e80050000003e80000000050382000577c0003 68656c6c6f"},
      {tcp("198.51.100.1:1000", "192.0.2.1:80", "S")
           .tos(72)
           .id(48879)
           .tcp_options("020405b40402080a000000010000000001030307"),
       "4548003cbeef400040068f4ec6336401c0000201 03e80050000003e800000000a002200033a90000"
       "020405b40402080a000000010000000001030307"},
      {tcp("198.51.100.1:1000", "192.0.2.1:80", "A").ip_options("94040000"),
       "4600002c123440004006a75dc6336401c000020194040000 03e80050000003e800000000501020009b7e0000"},
      {udp("198.51.100.1:1000", "192.0.2.1:53").payload("query"),
       "450000211234400040113c62c6336401c0000201 03e80035000dbf98 7175657279"},
      {udp("198.51.100.1:1000", "10.0.2.11:5353").payload(from_hex("b0c9")).ttl(63),
       "4500001e123440003f11f35bc63364010a00020b 03e814e9000affff b0c9"},
      {echo_request("198.51.100.1", "192.0.2.1", 1, 1).dont_fragment(true).payload("ping"),
       "450000201234400040013c73c6336401c0000201 0800192d00010001 70696e67"},
      {icmp_error("203.0.113.77", "192.0.2.1", 3, 4, tcp("192.0.2.1:80", "198.51.100.1:1000", "A").ttl(50).packet(),
                  1300),
       "450000384321000040013955cb00714dc0000201 0304efc700000514 450000281234400032064a66c0000201c6336401"
       "005003e8000003e8"},
      {icmp_error("203.0.113.77", "192.0.2.1", 11, 0, tcp("192.0.2.1:80", "198.51.100.1:1000", "A").ttl(50).packet(), 0,
                  40),
       "450000444321000040013949cb00714dc0000201 0b00e15000000000 450000281234400032064a66c0000201c6336401"
       "005003e8000003e800000000501020009b7e0000"},
      {ipip("10.0.2.1", "10.0.2.13", tcp("198.51.100.1:1000", "192.0.2.1:80", "S").ttl(63).packet()).id(0).ttl(63),
       "4500003c000040003f0423b10a0002010a00020d 45000028123440003f063d66c6336401c0000201"
       "03e80050000003e800000000500220009b8c0000"},
      {tcp("[2001:db8:aa::1]:1000", "[2001:db8:ff::1]:80", "S"),
       "6000000000140640 20010db800aa00000000000000000001 20010db800ff00000000000000000001"
       "03e80050000003e800000000500220002aa60000"},
  };
  for (const auto& row : rows) {
    CHECK_MESSAGE(row.packet.packet() == from_hex(row.hex), packet_text(row.packet.packet()));
    CHECK(packet_text(from_hex(row.hex)).find("BAD") == std::string::npos);
  }
}

TEST_CASE("packet builder: fragments") {
  const auto frames = udp("198.51.100.1:7", "192.0.2.1:53").payload_size(3000).id(101).fragments(1480);
  REQUIRE(frames.size() == 3);
  const auto headers = [&](size_t i) { return to_hex(Bytes(frames[i].begin() + 14, frames[i].begin() + 34 + 8)); };
  CHECK(headers(0) == "450005dc0065200040116876c6336401c0000201000700350bc0c9be");
  CHECK(headers(1) == "450005dc006520b9401167bdc6336401c000020141484f565d646b72");
  CHECK(headers(2) == "450000440065017240118c9cc6336401c0000201b9c0c7ced5dce3ea");
  CHECK(frame_text(frames[0]).find("len 1500 id 0065 MF UDP 7>53") != std::string::npos);
  CHECK(frame_text(frames[1]).find("len 1500 id 0065 MF offset 1480 protocol 17 payload 1480: 41484f56") !=
        std::string::npos);
  CHECK(frame_text(frames[2]).find("len 68 id 0065 offset 2960 protocol 17 payload 48: ") != std::string::npos);
  CHECK_THROWS(udp("198.51.100.1:7", "192.0.2.1:53").fragments(10));
}

TEST_CASE("packet builder: Ethernet, tags and padding") {
  auto packet =
      udp("198.51.100.1:7", "192.0.2.1:53").mac("02:00:00:00:00:0a", "02:00:00:00:00:0b").vlan(100, 3).vlan(5);
  CHECK(to_hex(packet.frame()).substr(0, 48) == "02000000000b02000000000a810060648100000508004500");
  CHECK(packet.frame().size() == 14 + 8 + 28);
  packet.pad_to(60);
  CHECK(packet.frame().size() == 60);
  CHECK(
      frame_text(packet.frame()) ==
      "02:00:00:00:00:0a>02:00:00:00:00:0b vlan 100 priority 3 vlan 5 198.51.100.1>192.0.2.1 ttl 64 len 28 id 1234 DF "
      "UDP 7>53 +10 bytes");
}

TEST_CASE("packet builder: ARP") {
  const Bytes request = arp_request("02:00:00:00:01:fe", "10.0.1.254", "10.0.1.1");
  CHECK(to_hex(request) ==
        "ffffffffffff0200000001fe0806"
        "0001080006040001"
        "0200000001fe0a0001fe"
        "0000000000000a000101");
  CHECK(frame_text(request) ==
        "02:00:00:00:01:fe>ff:ff:ff:ff:ff:ff ARP who has 10.0.1.1? tell 10.0.1.254 (02:00:00:00:01:fe)");
  CHECK(frame_text(arp_reply("02:00:00:00:01:01", "10.0.1.1", "02:00:00:00:01:fe", "10.0.1.254", 7)) ==
        "02:00:00:00:01:01>02:00:00:00:01:fe vlan 7 ARP 10.0.1.1 (02:00:00:00:01:01) told to 10.0.1.254 "
        "(02:00:00:00:01:fe)");
}

TEST_CASE("packet builder: wrong checksums are wrong, and told") {
  const auto syn = tcp("198.51.100.1:1000", "192.0.2.1:80", "S");
  CHECK(packet_text(syn.packet()) ==
        "198.51.100.1>192.0.2.1 ttl 64 len 40 id 1234 DF TCP 1000>80 [S] seq 1000 ack 0 win 8192");
  CHECK(packet_text(PacketBuilder(syn).bad_checksum().packet()) ==
        "198.51.100.1>192.0.2.1 ttl 64 len 40 id 1234 DF TCP 1000>80 [S] seq 1000 ack 0 win 8192 sum 9a8d BAD");
  CHECK(packet_text(PacketBuilder(syn).bad_ip_checksum().packet()) ==
        "198.51.100.1>192.0.2.1 ttl 64 len 40 id 1234 DF sum 3d67 BAD TCP 1000>80 [S] seq 1000 ack 0 win 8192");
  CHECK(packet_text(udp("198.51.100.1:7", "192.0.2.1:53").zero_checksum().packet()).find("sum none") !=
        std::string::npos);
}

TEST_CASE("packet builder: what cannot be is refused") {
  CHECK_THROWS(tcp("198.51.100:1", "192.0.2.1:80", "S"));
  CHECK_THROWS(tcp("198.51.100.1:70000", "192.0.2.1:80", "S"));
  CHECK_THROWS(tcp("198.51.100.1:1", "[2001:db8::1]:80", "S"));
  CHECK_THROWS(tcp("198.51.100.1:1", "192.0.2.1:80", "SX"));
  CHECK_THROWS(udp("[", "192.0.2.1:80"));
  CHECK_THROWS(from_hex("4"));
  CHECK_THROWS(from_hex("4g"));
}

// Scenario sctp-nat, both directions.
TEST_CASE("packet builder: SCTP with its CRC32c") {
  CHECK(slow_crc32c({'1', '2', '3', '4', '5', '6', '7', '8', '9'}) == 0xe3069283);
  CHECK(to_hex(sctp("198.51.100.1:1000", "192.0.2.1:36412", 0, "0100001400000001000100000001000100000001").packet()) ==
        "450000341234400040843bdcc6336401c000020103e88e3c00000000bace03cf0100001400000001000100000001000100000001");
  CHECK(to_hex(sctp("10.0.2.11:9000", "198.51.100.1:1000", 1, "0200001400000002000100000001000100000001").packet()) ==
        "45000034123440004084f1d20a00020bc6336401232803e800000001aa9cfd7c0200001400000002000100000001000100000001");
}

// The outer header is that of scenario tun-gue, whose checksum is none; GRE as RFC 2784 has it.
TEST_CASE("packet builder: GUE and GRE") {
  const Bytes inner = tcp("198.51.100.3:1000", "192.0.2.1:80", "S").ttl(63).packet();
  CHECK(to_hex(gue("10.0.2.1", "10.0.2.11", inner).ttl(63).id(0).zero_checksum().packet()) ==
        "45000048000040003f11239a0a0002010a00020b000017c000340000000400004500002812344000"
        "3f063d64c6336403c000020103e80050000003e800000000500220009b8a0000");
  CHECK(to_hex(gre("10.0.2.1", "10.0.2.13", inner).ttl(63).id(0).packet()).substr(0, 48) ==
        "45000040000040003f2f23820a0002010a00020d00000800");
  const Bytes summed = gre("10.0.2.1", "10.0.2.13", inner, true).packet();
  CHECK(slow_checksum(Bytes(summed.begin() + 20, summed.end())) == 0);
}

TEST_CASE("packet builder: IPv6 extension headers and fragments") {
  PacketBuilder builder = udp("[2001:db8:aa::1]:7", "[2001:db8:ff::1]:53").payload_size(16).id(0x8765);
  builder.extension(0, "00 0104 00000000");
  CHECK(to_hex(builder.packet()).substr(0, 16) == "6000000000200040");  // length 32, next header 0
  CHECK(to_hex(builder.packet()).substr(80, 16) == "1100010400000000");
  const auto pieces = builder.fragments(16);
  REQUIRE(pieces.size() == 2);
  CHECK(to_hex(pieces[0]).substr(28 + 80, 32) == "2c000104000000001100000100008765");
  CHECK(to_hex(pieces[1]).substr(28 + 80, 32) == "2c000104000000001100001000008765");
  CHECK(pieces[1].size() == 14 + 40 + 8 + 8 + 8);
}

TEST_CASE("packet text: quotes and encapsulation in braces") {
  const Bytes inner = tcp("192.0.2.1:80", "198.51.100.1:1000", "A").ttl(50).packet();
  CHECK(packet_text(icmp_error("203.0.113.77", "192.0.2.1", 3, 4, inner, 1300).packet()) ==
        "203.0.113.77>192.0.2.1 ttl 64 len 56 id 4321 ICMP 3/4 rest 00000514 {192.0.2.1>198.51.100.1 ttl 50 len 40 id "
        "1234 DF (28 bytes) TCP 80>1000 truncated}");
  CHECK(packet_text(ipip("10.0.2.1", "10.0.2.13", inner).packet()) ==
        "10.0.2.1>10.0.2.13 ttl 64 len 60 id 1234 DF IPIP {192.0.2.1>198.51.100.1 ttl 50 len 40 id 1234 DF TCP 80>1000 "
        "[A] seq 1000 ack 0 win 8192}");
}

TEST_CASE("packet text: tunnels, SCTP, IPv6 extension headers and fragments") {
  const Bytes inner = tcp("198.51.100.1:1000", "192.0.2.1:80", "S").packet();
  const std::string braces =
      "{198.51.100.1>192.0.2.1 ttl 64 len 40 id 1234 DF TCP 1000>80 [S] seq 1000 ack 0 win 8192}";
  CHECK(packet_text(gue("10.0.2.1:40000", "10.0.2.13", inner).packet()) ==
        "10.0.2.1>10.0.2.13 ttl 64 len 72 id 1234 DF UDP 40000>6080 GUE " + braces);
  CHECK(packet_text(gre("2001:db8::1", "2001:db8::2", inner).packet()) ==
        "2001:db8::1>2001:db8::2 hop 64 len 44 GRE " + braces);
  Bytes summed = gre("10.0.2.1", "10.0.2.13", inner, true).packet();
  CHECK(packet_text(summed) == "10.0.2.1>10.0.2.13 ttl 64 len 68 id 1234 DF GRE flags 8000 " + braces);
  summed[24] ^= 1;
  CHECK(packet_text(summed).find("BAD") != std::string::npos);
  Bytes chunk = sctp("198.51.100.1:7", "192.0.2.1:8", 9, "0b000004").packet();
  CHECK(packet_text(chunk) ==
        "198.51.100.1>192.0.2.1 ttl 64 len 36 id 1234 DF SCTP 7>8 tag 00000009 payload 4: 0b000004");
  chunk[28] ^= 1;
  CHECK(packet_text(chunk).find("BAD") != std::string::npos);
  PacketBuilder builder = udp("[2001:db8::1]:7", "[2001:db8::2]:8").payload_size(16).id(0x8765);
  builder.extension(0, "00 0104 00000000");
  CHECK(packet_text(builder.packet()) ==
        "2001:db8::1>2001:db8::2 hop 64 len 32 hop-by-hop 010400000000 UDP 7>8 payload 16: "
        "01080f161d242b323940474e555c636a");
  const auto pieces = builder.fragments(16);
  CHECK(frame_text(pieces[0]).find("fragment 00008765 MF UDP 7>8 len 24 payload 8:") != std::string::npos);
  CHECK(frame_text(pieces[1]).find("fragment 00008765 offset 16 protocol 17 payload 8:") != std::string::npos);
}

TEST_CASE("packet text: any bytes, cut anywhere") {
  std::mt19937 random(1);
  const std::vector<Bytes> frames = {
      tcp("198.51.100.1:1000", "192.0.2.1:80", "S").vlan(3).ip_options("94040000").tcp_options("01010101").frame(),
      icmp_error("203.0.113.77", "192.0.2.1", 3, 4, udp("192.0.2.1:80", "198.51.100.1:1000").packet()).frame(),
      ipip("10.0.2.1", "10.0.2.13", echo_request("198.51.100.1", "192.0.2.1").packet()).frame(),
      udp("[2001:db8:aa::1]:1000", "[2001:db8:ff::1]:80").payload("x").frame(),
      arp_request("02:00:00:00:01:fe", "10.0.1.254", "10.0.1.1"),
      sctp("198.51.100.1:1000", "192.0.2.1:80", 1, "0b000004").frame(),
      gue("10.0.2.1", "10.0.2.13", udp("192.0.2.1:80", "198.51.100.1:1000").packet()).frame(),
      gre("10.0.2.1", "10.0.2.13", udp("192.0.2.1:80", "198.51.100.1:1000").packet(), true).frame(),
      udp("[2001:db8:aa::1]:1000", "[2001:db8:ff::1]:80").extension(0, "00 0104 00000000").fragment(0, true).frame(),
  };
  for (const Bytes& frame : frames) {
    for (size_t size = 0; size <= frame.size(); ++size)
      CHECK_FALSE(frame_text(Bytes(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(size))).empty());
    for (int round = 0; round < 2000; ++round) {
      Bytes changed = frame;
      for (int i = 0; i < 3; ++i) changed[random() % changed.size()] = static_cast<uint8_t>(random());
      CHECK_FALSE(frame_text(changed).empty());
    }
  }
}

TEST_CASE("packet text: difference names both packets and the first byte that differs") {
  const auto packet = udp("198.51.100.1:7", "192.0.2.1:53");
  CHECK(difference(packet.frame(), packet.frame()) == "");
  const std::string text = difference(packet.frame(), PacketBuilder(packet).ttl(63).frame());
  CHECK(text.find("expected: 02:00:00:00:01:fe>02:00:00:00:01:01 198.51.100.1>192.0.2.1 ttl 64") != std::string::npos);
  CHECK(text.find("actual:   02:00:00:00:01:fe>02:00:00:00:01:01 198.51.100.1>192.0.2.1 ttl 63") != std::string::npos);
  CHECK(text.find("from byte 22: 40") != std::string::npos);
  CHECK_FALSE(difference(packet.frame(), PacketBuilder(packet).pad_to(60).frame()).empty());
}
