// SPDX-License-Identifier: Apache-2.0
// What the kernel (Linux 6.1 IPVS) remembered after the packets of the conformance scenarios: connections with their
// states and timeouts, counters, the choice of real servers. A kernel timer has always lost a second or a part of it
// by the time it is listed; here the clock stands still.
#include "test/story.h"

using namespace fulcrum;
using namespace fulcrum::test;

// Changing the forwarding method: known connections keep the old one.
TEST_CASE("kernel edit-fwd") {
  for (const uint32_t workers : {1u, 2u}) {
    Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11:80 -m -w 1"}, {.workers = workers});
    CHECK(story.connections(1, "198.51.100.1:1000", "192.0.2.1:80", "est") == "11");
    story.configure({"-e -t 192.0.2.1:80 -r 10.0.2.11:80 -i -w 1"});
    story.client(tcp("198.51.100.1:1000", "192.0.2.1:80", "A"), Verdict::kForwardedNat,
                 {to_server(11, "45000028123440003f06f35cc63364010a00020b03e80050000003e8000000005010200051750000")});
    story.client(tcp("198.51.100.2:2000", "192.0.2.1:80", "S"), Verdict::kForwardedTun,
                 {to_server(11,
                            "4500003c000040003f0423b30a0002010a00020b45000028123440003f063d65c6336402c000020107d0005000"
                            "0003e8000000005002200097a30000")});
    CHECK(story.services() ==
          "TCP 192.0.2.1:80 rr\n"
          "  10.0.2.11:80 Tunnel 1 2 0");
    CHECK(story.table() ==
          "TCP 198.51.100.1:1000 192.0.2.1:80 10.0.2.11:80 ESTABLISHED 900\n"
          "TCP 198.51.100.2:2000 192.0.2.1:80 10.0.2.11:80 SYN_RECV 60");
  }
}

// A server deleted and added again within the trash period keeps its connection counters, statistics and place only at
// the head of the list.
TEST_CASE("kernel trash-counters") {
  Story story({"-A -t 192.0.2.1:80 -s wlc", "-a -t 192.0.2.1:80 -r 10.0.2.11 -g -w 1",
               "-a -t 192.0.2.1:80 -r 10.0.2.12 -g -w 1", "-a -t 192.0.2.1:80 -r 10.0.2.13 -g -w 1"});
  CHECK(story.connections(6, "198.51.100.1:20000", "192.0.2.1:80", "est") == "13 12 11 13 12 11");
  story.configure({"-d -t 192.0.2.1:80 -r 10.0.2.11"});
  CHECK(story.connections(2, "198.51.100.2:1", "192.0.2.1:80") == "13 12");
  story.configure({"-a -t 192.0.2.1:80 -r 10.0.2.11 -g -w 1"});
  CHECK(story.services() ==
        "TCP 192.0.2.1:80 wlc\n"
        "  10.0.2.11:80 Route 1 2 0\n"
        "  10.0.2.13:80 Route 1 3 0\n"
        "  10.0.2.12:80 Route 1 3 0");
  CHECK(story.connections(4, "198.51.100.3:1", "192.0.2.1:80") == "11 11 13 12");
  CHECK(story.services() ==
        "TCP 192.0.2.1:80 wlc\n"
        "  10.0.2.11:80 Route 1 4 0\n"
        "  10.0.2.13:80 Route 1 4 0\n"
        "  10.0.2.12:80 Route 1 4 0");
  CHECK(story.statistics() ==
        "TCP 192.0.2.1:80 12 18 0 720 0\n"
        "  10.0.2.11:80 4 6 0 240 0\n"
        "  10.0.2.13:80 4 6 0 240 0\n"
        "  10.0.2.12:80 4 6 0 240 0");
}

// A UDP entry that timed out is scheduled afresh; traffic in either direction keeps it.
TEST_CASE("kernel udp-expire") {
  Story story(
      {"-A -u 192.0.2.1:53 -s rr", "-a -u 192.0.2.1:53 -r 10.0.2.11:53 -m", "-a -u 192.0.2.1:53 -r 10.0.2.12:53 -m"});
  story.configure({"--set 0 0 1"});
  story.client(udp("198.51.100.1:1000", "192.0.2.1:53").payload("1"), Verdict::kForwardedNat,
               {to_server(12, "4500001d123440003f11f35bc63364010a00020c03e800350009947e31")});
  story.advance_ms(600);
  story.server(udp("10.0.2.12:53", "198.51.100.1:1000").payload("r"), Verdict::kForwardedNatReply,
               {to_client("4500001d123440003f113d66c0000201c6336401003503e800099d8872")});
  story.advance_ms(600);
  story.client(udp("198.51.100.1:1000", "192.0.2.1:53").payload("2"), Verdict::kForwardedNat,
               {to_server(12, "4500001d123440003f11f35bc63364010a00020c03e800350009937e32")});
  story.advance_ms(1300);
  CHECK(story.table() == "");
  story.client(udp("198.51.100.1:1000", "192.0.2.1:53").payload("3"), Verdict::kForwardedNat,
               {to_server(11, "4500001d123440003f11f35cc63364010a00020b03e800350009927f33")});
  CHECK(story.services() ==
        "UDP 192.0.2.1:53 rr\n"
        "  10.0.2.12:53 Masq 1 0 0\n"
        "  10.0.2.11:53 Masq 1 0 1");
}

// NAT: a whole connection closed by the client.
TEST_CASE("kernel tcp-nat-close") {
  Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11:8080 -m",
               "-a -t 192.0.2.1:80 -r 10.0.2.12:8080 -m"});
  story.client(tcp("198.51.100.1:1000", "192.0.2.1:80", "S"), Verdict::kForwardedNat,
               {to_server(12, "45000028123440003f06f35bc63364010a00020c03e81f90000003e8000000005002200032420000")});
  CHECK(story.table() == "TCP 198.51.100.1:1000 192.0.2.1:80 10.0.2.12:8080 SYN_RECV 60");
  CHECK(story.services() ==
        "TCP 192.0.2.1:80 rr\n"
        "  10.0.2.12:8080 Masq 1 1 0\n"
        "  10.0.2.11:8080 Masq 1 0 0");
  story.server(tcp("10.0.2.12:8080", "198.51.100.1:1000", "SA").sequence(5000).acknowledgement(1001),
               Verdict::kForwardedNatReply,
               {to_client("45000028123440003f063d66c0000201c6336401005003e800001388000003e95012200087f30000")});
  CHECK(story.table() == "TCP 198.51.100.1:1000 192.0.2.1:80 10.0.2.12:8080 SYN_RECV 60");
  CHECK(story.services() ==
        "TCP 192.0.2.1:80 rr\n"
        "  10.0.2.12:8080 Masq 1 1 0\n"
        "  10.0.2.11:8080 Masq 1 0 0");
  story.client(tcp("198.51.100.1:1000", "192.0.2.1:80", "A").sequence(1001).acknowledgement(5001),
               Verdict::kForwardedNat,
               {to_server(12, "45000028123440003f06f35bc63364010a00020c03e81f90000003e900001389501020001eaa0000")});
  CHECK(story.table() == "TCP 198.51.100.1:1000 192.0.2.1:80 10.0.2.12:8080 ESTABLISHED 900");
  CHECK(story.services() ==
        "TCP 192.0.2.1:80 rr\n"
        "  10.0.2.12:8080 Masq 1 1 0\n"
        "  10.0.2.11:8080 Masq 1 0 0");
  story.client(
      tcp("198.51.100.1:1000", "192.0.2.1:80", "PA").sequence(1001).acknowledgement(5001).payload("GET /"),
      Verdict::kForwardedNat,
      {to_server(12, "4500002d123440003f06f356c63364010a00020c03e81f90000003e9000013895018200054370000474554202f")});
  CHECK(story.table() == "TCP 198.51.100.1:1000 192.0.2.1:80 10.0.2.12:8080 ESTABLISHED 900");
  CHECK(story.services() ==
        "TCP 192.0.2.1:80 rr\n"
        "  10.0.2.12:8080 Masq 1 1 0\n"
        "  10.0.2.11:8080 Masq 1 0 0");
  story.server(tcp("10.0.2.12:8080", "198.51.100.1:1000", "PA").sequence(5001).acknowledgement(1006).payload("200"),
               Verdict::kForwardedNatReply,
               {to_client("4500002b123440003f063d63c0000201c6336401005003e800001389000003ee5018200025b40000323030")});
  CHECK(story.table() == "TCP 198.51.100.1:1000 192.0.2.1:80 10.0.2.12:8080 ESTABLISHED 900");
  CHECK(story.services() ==
        "TCP 192.0.2.1:80 rr\n"
        "  10.0.2.12:8080 Masq 1 1 0\n"
        "  10.0.2.11:8080 Masq 1 0 0");
  story.client(tcp("198.51.100.1:1000", "192.0.2.1:80", "FA").sequence(1006).acknowledgement(5004),
               Verdict::kForwardedNat,
               {to_server(12, "45000028123440003f06f35bc63364010a00020c03e81f90000003ee0000138c501120001ea10000")});
  CHECK(story.table() == "TCP 198.51.100.1:1000 192.0.2.1:80 10.0.2.12:8080 CLOSE_WAIT 60");
  CHECK(story.services() ==
        "TCP 192.0.2.1:80 rr\n"
        "  10.0.2.12:8080 Masq 1 0 1\n"
        "  10.0.2.11:8080 Masq 1 0 0");
  story.server(tcp("10.0.2.12:8080", "198.51.100.1:1000", "FA").sequence(5004).acknowledgement(1007),
               Verdict::kForwardedNatReply,
               {to_client("45000028123440003f063d66c0000201c6336401005003e80000138c000003ef5011200087ea0000")});
  CHECK(story.table() == "TCP 198.51.100.1:1000 192.0.2.1:80 10.0.2.12:8080 TIME_WAIT 120");
  CHECK(story.services() ==
        "TCP 192.0.2.1:80 rr\n"
        "  10.0.2.12:8080 Masq 1 0 1\n"
        "  10.0.2.11:8080 Masq 1 0 0");
  story.client(tcp("198.51.100.1:1000", "192.0.2.1:80", "A").sequence(1007).acknowledgement(5005),
               Verdict::kForwardedNat,
               {to_server(12, "45000028123440003f06f35bc63364010a00020c03e81f90000003ef0000138d501020001ea00000")});
  CHECK(story.table() == "TCP 198.51.100.1:1000 192.0.2.1:80 10.0.2.12:8080 TIME_WAIT 120");
  CHECK(story.services() ==
        "TCP 192.0.2.1:80 rr\n"
        "  10.0.2.12:8080 Masq 1 0 1\n"
        "  10.0.2.11:8080 Masq 1 0 0");
}

// DR: only client packets are seen (input-only state table); a SYN in FIN_WAIT.
TEST_CASE("kernel tcp-dr-close") {
  Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11 -g -w 1",
               "-a -t 192.0.2.1:80 -r 10.0.2.12 -g -w 1"});
  story.client(tcp("198.51.100.1:1000", "192.0.2.1:80", "S"), Verdict::kForwardedDr,
               {to_server(12, "45000028123440003f063d66c6336401c000020103e80050000003e800000000500220009b8c0000")});
  CHECK(story.table() == "TCP 198.51.100.1:1000 192.0.2.1:80 10.0.2.12:80 SYN_RECV 60");
  CHECK(story.services() ==
        "TCP 192.0.2.1:80 rr\n"
        "  10.0.2.12:80 Route 1 1 0\n"
        "  10.0.2.11:80 Route 1 0 0");
  story.client(tcp("198.51.100.1:1000", "192.0.2.1:80", "A"), Verdict::kForwardedDr,
               {to_server(12, "45000028123440003f063d66c6336401c000020103e80050000003e800000000501020009b7e0000")});
  CHECK(story.table() == "TCP 198.51.100.1:1000 192.0.2.1:80 10.0.2.12:80 ESTABLISHED 900");
  CHECK(story.services() ==
        "TCP 192.0.2.1:80 rr\n"
        "  10.0.2.12:80 Route 1 1 0\n"
        "  10.0.2.11:80 Route 1 0 0");
  story.client(tcp("198.51.100.1:1000", "192.0.2.1:80", "PA").payload("x"), Verdict::kForwardedDr,
               {to_server(12, "45000029123440003f063d65c6336401c000020103e80050000003e800000000501820002375000078")});
  CHECK(story.table() == "TCP 198.51.100.1:1000 192.0.2.1:80 10.0.2.12:80 ESTABLISHED 900");
  CHECK(story.services() ==
        "TCP 192.0.2.1:80 rr\n"
        "  10.0.2.12:80 Route 1 1 0\n"
        "  10.0.2.11:80 Route 1 0 0");
  story.client(tcp("198.51.100.1:1000", "192.0.2.1:80", "FA"), Verdict::kForwardedDr,
               {to_server(12, "45000028123440003f063d66c6336401c000020103e80050000003e800000000501120009b7d0000")});
  CHECK(story.table() == "TCP 198.51.100.1:1000 192.0.2.1:80 10.0.2.12:80 FIN_WAIT 120");
  CHECK(story.services() ==
        "TCP 192.0.2.1:80 rr\n"
        "  10.0.2.12:80 Route 1 0 1\n"
        "  10.0.2.11:80 Route 1 0 0");
  story.client(tcp("198.51.100.1:1000", "192.0.2.1:80", "A"), Verdict::kForwardedDr,
               {to_server(12, "45000028123440003f063d66c6336401c000020103e80050000003e800000000501020009b7e0000")});
  CHECK(story.table() == "TCP 198.51.100.1:1000 192.0.2.1:80 10.0.2.12:80 FIN_WAIT 120");
  CHECK(story.services() ==
        "TCP 192.0.2.1:80 rr\n"
        "  10.0.2.12:80 Route 1 0 1\n"
        "  10.0.2.11:80 Route 1 0 0");
  story.client(tcp("198.51.100.1:1000", "192.0.2.1:80", "S"), Verdict::kForwardedDr,
               {to_server(12, "45000028123440003f063d66c6336401c000020103e80050000003e800000000500220009b8c0000")});
  CHECK(story.table() == "TCP 198.51.100.1:1000 192.0.2.1:80 10.0.2.12:80 SYN_RECV 60");
  CHECK(story.services() ==
        "TCP 192.0.2.1:80 rr\n"
        "  10.0.2.12:80 Route 1 1 0\n"
        "  10.0.2.11:80 Route 1 0 0");
}

// Reset by client and by server, NAT.
TEST_CASE("kernel tcp-rst-nat") {
  Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11:8080 -m",
               "-a -t 192.0.2.1:80 -r 10.0.2.12:8080 -m"});
  story.client(tcp("198.51.100.1:1000", "192.0.2.1:80", "S"), Verdict::kForwardedNat,
               {to_server(12, "45000028123440003f06f35bc63364010a00020c03e81f90000003e8000000005002200032420000")});
  story.server(tcp("10.0.2.12:8080", "198.51.100.1:1000", "RA").acknowledgement(1001), Verdict::kForwardedNatReply,
               {to_client("45000028123440003f063d66c0000201c6336401005003e8000003e8000003e95014200097910000")});
  CHECK(story.table() == "TCP 198.51.100.1:1000 192.0.2.1:80 10.0.2.12:8080 CLOSE 10");
  CHECK(story.services() ==
        "TCP 192.0.2.1:80 rr\n"
        "  10.0.2.12:8080 Masq 1 0 1\n"
        "  10.0.2.11:8080 Masq 1 0 0");
  story.client(tcp("198.51.100.2:2000", "192.0.2.1:80", "S"), Verdict::kForwardedNat,
               {to_server(11, "45000028123440003f06f35bc63364020a00020b07d01f90000003e800000000500220002e5a0000")});
  story.server(tcp("10.0.2.11:8080", "198.51.100.2:2000", "SA"), Verdict::kForwardedNatReply,
               {to_client("45000028123440003f063d65c0000201c6336402005007d0000003e8000000005012200097930000")});
  story.client(tcp("198.51.100.2:2000", "192.0.2.1:80", "A"), Verdict::kForwardedNat,
               {to_server(11, "45000028123440003f06f35bc63364020a00020b07d01f90000003e800000000501020002e4c0000")});
  story.client(tcp("198.51.100.2:2000", "192.0.2.1:80", "R"), Verdict::kForwardedNat,
               {to_server(11, "45000028123440003f06f35bc63364020a00020b07d01f90000003e800000000500420002e580000")});
  CHECK(story.table() ==
        "TCP 198.51.100.1:1000 192.0.2.1:80 10.0.2.12:8080 CLOSE 10\n"
        "TCP 198.51.100.2:2000 192.0.2.1:80 10.0.2.11:8080 CLOSE 10");
  CHECK(story.services() ==
        "TCP 192.0.2.1:80 rr\n"
        "  10.0.2.12:8080 Masq 1 0 1\n"
        "  10.0.2.11:8080 Masq 1 0 1");
  story.server(tcp("10.0.2.11:8080", "198.51.100.2:2000", "A"), Verdict::kForwardedNatReply,
               {to_client("45000028123440003f063d65c0000201c6336402005007d0000003e8000000005010200097950000")});
  CHECK(story.table() ==
        "TCP 198.51.100.1:1000 192.0.2.1:80 10.0.2.12:8080 CLOSE 10\n"
        "TCP 198.51.100.2:2000 192.0.2.1:80 10.0.2.11:8080 CLOSE 10");
}

// --set changes ESTABLISHED, FIN_WAIT and UDP; zero keeps the old value.
TEST_CASE("kernel timeouts") {
  Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11 -g -w 1",
               "-a -t 192.0.2.1:80 -r 10.0.2.12 -g -w 1", "-A -u 192.0.2.1:53 -s rr",
               "-a -u 192.0.2.1:53 -r 10.0.2.11 -g -w 1"});
  story.configure({"--set 100 50 30"});
  CHECK(story.connections(1, "198.51.100.1:1000", "192.0.2.1:80", "est") == "12");
  CHECK(story.connections(1, "198.51.100.2:2000", "192.0.2.1:80", "half") == "11");
  CHECK(story.connections(1, "198.51.100.3:5", "192.0.2.1:53", "syn", true) == "11");
  CHECK(story.table() ==
        "TCP 198.51.100.1:1000 192.0.2.1:80 10.0.2.12:80 ESTABLISHED 100\n"
        "TCP 198.51.100.2:2000 192.0.2.1:80 10.0.2.11:80 FIN_WAIT 50\n"
        "UDP 198.51.100.3:5 192.0.2.1:53 10.0.2.11:53 UDP 30");
  story.configure({"--set 0 0 10"});
  CHECK(story.table() ==
        "TCP 198.51.100.1:1000 192.0.2.1:80 10.0.2.12:80 ESTABLISHED 100\n"
        "TCP 198.51.100.2:2000 192.0.2.1:80 10.0.2.11:80 FIN_WAIT 50\n"
        "UDP 198.51.100.3:5 192.0.2.1:53 10.0.2.11:53 UDP 30");
}

// conn_reuse_mode 1 (default): a SYN in TIME_WAIT or CLOSE is scheduled afresh.
TEST_CASE("kernel reuse-timewait") {
  Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11:8080 -m",
               "-a -t 192.0.2.1:80 -r 10.0.2.12:8080 -m"});
  CHECK(story.connections(1, "198.51.100.1:1000", "192.0.2.1:80", "close") == "12");
  CHECK(story.table() == "TCP 198.51.100.1:1000 192.0.2.1:80 10.0.2.12:8080 TIME_WAIT 120");
  story.client(tcp("198.51.100.1:1000", "192.0.2.1:80", "S"), Verdict::kForwardedNat,
               {to_server(11, "45000028123440003f06f35cc63364010a00020b03e81f90000003e8000000005002200032430000")});
  CHECK(story.table() == "TCP 198.51.100.1:1000 192.0.2.1:80 10.0.2.11:8080 SYN_RECV 60");
  CHECK(story.services() ==
        "TCP 192.0.2.1:80 rr\n"
        "  10.0.2.12:8080 Masq 1 0 0\n"
        "  10.0.2.11:8080 Masq 1 1 0");
}

// Counters: connections, packets and bytes of layer 3; NAT counts replies, DR does not; -Z zeroes.
TEST_CASE("kernel stats") {
  Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11:8080 -m",
               "-a -t 192.0.2.1:80 -r 10.0.2.12:8080 -m", "-A -t 192.0.2.2:80 -s rr",
               "-a -t 192.0.2.2:80 -r 10.0.2.11 -g -w 1"});
  CHECK(story.connections(2, "198.51.100.1:20000", "192.0.2.1:80", "est") == "12 11");
  CHECK(story.connections(2, "198.51.100.3:1", "192.0.2.2:80", "est") == "11 11");
  story.client(
      tcp("198.51.100.1:20000", "192.0.2.1:80", "PA").payload_size(100), Verdict::kForwardedNat,
      {to_server(12,
                 "4500008c123440003f06f2f7c63364010a00020c4e201f90000003e80000000050182000a0ea000001080f161d242b3239404"
                 "74e555c636a71787f868d949ba2a9b0b7bec5ccd3dae1e8eff6fd040b121920272e353c434a51585f666d747b828990979ea5"
                 "acb3bac1c8cfd6dde4ebf2f900070e151c232a31383f464d545b626970777e858c939aa1a8afb6")});
  CHECK(story.statistics() ==
        "TCP 192.0.2.1:80 2 5 2 300 80\n"
        "  10.0.2.12:8080 1 3 1 220 40\n"
        "  10.0.2.11:8080 1 2 1 80 40\n"
        "TCP 192.0.2.2:80 2 4 0 160 0\n"
        "  10.0.2.11:80 2 4 0 160 0");
  story.configure({"-Z -t 192.0.2.1:80"});
  CHECK(story.statistics() ==
        "TCP 192.0.2.1:80 0 0 0 0 0\n"
        "  10.0.2.12:8080 0 0 0 0 0\n"
        "  10.0.2.11:8080 0 0 0 0 0\n"
        "TCP 192.0.2.2:80 2 4 0 160 0\n"
        "  10.0.2.11:80 2 4 0 160 0");
  story.client(tcp("198.51.100.1:20000", "192.0.2.1:80", "A"), Verdict::kForwardedNat,
               {to_server(12, "45000028123440003f06f35bc63364010a00020c4e201f90000003e80000000050102000e7fb0000")});
  CHECK(story.statistics() ==
        "TCP 192.0.2.1:80 0 1 0 40 0\n"
        "  10.0.2.12:8080 0 1 0 40 0\n"
        "  10.0.2.11:8080 0 0 0 0 0\n"
        "TCP 192.0.2.2:80 2 4 0 160 0\n"
        "  10.0.2.11:80 2 4 0 160 0");
}

// Default: packets of a deleted server's connections are dropped silently, SYN included; re-adding the server revives
// them.
TEST_CASE("kernel nodest-drop") {
  Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11 -g -w 1",
               "-a -t 192.0.2.1:80 -r 10.0.2.12 -g -w 1"});
  CHECK(story.connections(1, "198.51.100.1:1000", "192.0.2.1:80", "est") == "12");
  story.configure({"-d -t 192.0.2.1:80 -r 10.0.2.12"});
  story.client(tcp("198.51.100.1:1000", "192.0.2.1:80", "A"), Verdict::kServerGone);
  story.client(tcp("198.51.100.1:1000", "192.0.2.1:80", "S"), Verdict::kServerGone);
  CHECK(story.table() == "TCP 198.51.100.1:1000 192.0.2.1:80 10.0.2.12:80 ESTABLISHED 900");
  CHECK(story.services() ==
        "TCP 192.0.2.1:80 rr\n"
        "  10.0.2.11:80 Route 1 0 0");
  story.configure({"-a -t 192.0.2.1:80 -r 10.0.2.12 -g -w 1"});
  story.client(tcp("198.51.100.1:1000", "192.0.2.1:80", "A"), Verdict::kForwardedDr,
               {to_server(12, "45000028123440003f063d66c6336401c000020103e80050000003e800000000501020009b7e0000")});
  CHECK(story.services() ==
        "TCP 192.0.2.1:80 rr\n"
        "  10.0.2.12:80 Route 1 1 0\n"
        "  10.0.2.11:80 Route 1 0 0");
  CHECK(story.connections(2, "198.51.100.5:1", "192.0.2.1:80") == "12 11");
  CHECK(story.services() ==
        "TCP 192.0.2.1:80 rr\n"
        "  10.0.2.12:80 Route 1 2 0\n"
        "  10.0.2.11:80 Route 1 1 0");
}

// Round robin over three servers; order is newest-added first.
TEST_CASE("kernel rr-basic") {
  Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11 -g -w 1",
               "-a -t 192.0.2.1:80 -r 10.0.2.12 -g -w 1", "-a -t 192.0.2.1:80 -r 10.0.2.13 -g -w 1"});
  CHECK(story.connections(7, "198.51.100.1:20000", "192.0.2.1:80") == "13 12 11 13 12 11 13");
  CHECK(story.services() ==
        "TCP 192.0.2.1:80 rr\n"
        "  10.0.2.13:80 Route 1 3 0\n"
        "  10.0.2.12:80 Route 1 2 0\n"
        "  10.0.2.11:80 Route 1 2 0");
}

// Weight 0 is skipped; positive weights do not matter to rr.
TEST_CASE("kernel rr-weight0") {
  Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11 -g -w 1",
               "-a -t 192.0.2.1:80 -r 10.0.2.12 -g -w 5", "-a -t 192.0.2.1:80 -r 10.0.2.13 -g -w 1"});
  CHECK(story.connections(2, "198.51.100.1:20000", "192.0.2.1:80") == "13 12");
  story.configure({"-e -t 192.0.2.1:80 -r 10.0.2.12 -g -w 0"});
  CHECK(story.connections(4, "198.51.100.1:21000", "192.0.2.1:80") == "11 13 11 13");
  story.configure({"-e -t 192.0.2.1:80 -r 10.0.2.12 -g -w 3"});
  CHECK(story.connections(4, "198.51.100.1:22000", "192.0.2.1:80") == "12 11 13 12");
  CHECK(story.services() ==
        "TCP 192.0.2.1:80 rr\n"
        "  10.0.2.13:80 Route 1 4 0\n"
        "  10.0.2.12:80 Route 3 3 0\n"
        "  10.0.2.11:80 Route 1 3 0");
}

// Servers added and deleted while the round robin pointer rests on them.
TEST_CASE("kernel rr-add-del") {
  Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11 -g -w 1",
               "-a -t 192.0.2.1:80 -r 10.0.2.12 -g -w 1", "-a -t 192.0.2.1:80 -r 10.0.2.13 -g -w 1"});
  CHECK(story.connections(2, "198.51.100.1:20000", "192.0.2.1:80") == "13 12");
  story.configure({"-a -t 192.0.2.1:80 -r 10.0.2.14 -g -w 1"});
  CHECK(story.connections(5, "198.51.100.1:21000", "192.0.2.1:80") == "11 14 13 12 11");
  story.configure({"-d -t 192.0.2.1:80 -r 10.0.2.12"});
  CHECK(story.connections(5, "198.51.100.1:22000", "192.0.2.1:80") == "14 13 11 14 13");
  story.configure({"-d -t 192.0.2.1:80 -r 10.0.2.14"});
  CHECK(story.connections(1, "198.51.100.1:23000", "192.0.2.1:80") == "11");
  story.configure({"-d -t 192.0.2.1:80 -r 10.0.2.11"});
  CHECK(story.connections(3, "198.51.100.1:24000", "192.0.2.1:80") == "13 13 13");
  CHECK(story.services() ==
        "TCP 192.0.2.1:80 rr\n"
        "  10.0.2.13:80 Route 1 7 0");
}

// Weighted round robin 4:3:2, two full cycles.
TEST_CASE("kernel wrr-321") {
  Story story({"-A -t 192.0.2.1:80 -s wrr", "-a -t 192.0.2.1:80 -r 10.0.2.11 -g -w 4",
               "-a -t 192.0.2.1:80 -r 10.0.2.12 -g -w 3", "-a -t 192.0.2.1:80 -r 10.0.2.13 -g -w 2"});
  CHECK(story.connections(18, "198.51.100.1:20000", "192.0.2.1:80") ==
        "13 12 11 11 12 11 13 12 11 13 12 11 11 12 11 13 12 11");
  CHECK(story.services() ==
        "TCP 192.0.2.1:80 wrr\n"
        "  10.0.2.13:80 Route 2 4 0\n"
        "  10.0.2.12:80 Route 3 6 0\n"
        "  10.0.2.11:80 Route 4 8 0");
}

// Weight changes while running: pointer back to the list head, current weight adjusted.
TEST_CASE("kernel wrr-change") {
  Story story({"-A -t 192.0.2.1:80 -s wrr", "-a -t 192.0.2.1:80 -r 10.0.2.11 -g -w 3",
               "-a -t 192.0.2.1:80 -r 10.0.2.12 -g -w 2", "-a -t 192.0.2.1:80 -r 10.0.2.13 -g -w 1"});
  CHECK(story.connections(4, "198.51.100.1:20000", "192.0.2.1:80") == "13 12 11 11");
  story.configure({"-e -t 192.0.2.1:80 -r 10.0.2.11 -g -w 1"});
  CHECK(story.connections(8, "198.51.100.1:21000", "192.0.2.1:80") == "12 13 12 11 12 13 12 11");
  story.configure({"-e -t 192.0.2.1:80 -r 10.0.2.13 -g -w 6"});
  CHECK(story.connections(10, "198.51.100.1:22000", "192.0.2.1:80") == "13 12 11 13 13 13 13 13 12 13");
  story.configure({"-e -t 192.0.2.1:80 -r 10.0.2.11 -g -w 0"});
  CHECK(story.connections(9, "198.51.100.1:23000", "192.0.2.1:80") == "13 12 13 13 13 12 13 13 13");
}

// Least connection, ties go to the first in list order.
TEST_CASE("kernel lc-basic") {
  Story story({"-A -t 192.0.2.1:80 -s lc", "-a -t 192.0.2.1:80 -r 10.0.2.11 -g -w 1",
               "-a -t 192.0.2.1:80 -r 10.0.2.12 -g -w 9", "-a -t 192.0.2.1:80 -r 10.0.2.13 -g -w 1"});
  CHECK(story.connections(3, "198.51.100.1:20000", "192.0.2.1:80", "est") == "13 12 11");
  CHECK(story.services() ==
        "TCP 192.0.2.1:80 lc\n"
        "  10.0.2.13:80 Route 1 1 0\n"
        "  10.0.2.12:80 Route 9 1 0\n"
        "  10.0.2.11:80 Route 1 1 0");
  CHECK(story.connections(1, "198.51.100.1:21000", "192.0.2.1:80", "half") == "13");
  CHECK(story.services() ==
        "TCP 192.0.2.1:80 lc\n"
        "  10.0.2.13:80 Route 1 1 1\n"
        "  10.0.2.12:80 Route 9 1 0\n"
        "  10.0.2.11:80 Route 1 1 0");
  CHECK(story.connections(4, "198.51.100.1:22000", "192.0.2.1:80") == "12 11 13 12");
  CHECK(story.services() ==
        "TCP 192.0.2.1:80 lc\n"
        "  10.0.2.13:80 Route 1 2 1\n"
        "  10.0.2.12:80 Route 9 3 0\n"
        "  10.0.2.11:80 Route 1 2 0");
}

// Weighted least connection 3:2:1.
TEST_CASE("kernel wlc-basic") {
  Story story({"-A -t 192.0.2.1:80 -s wlc", "-a -t 192.0.2.1:80 -r 10.0.2.11 -g -w 3",
               "-a -t 192.0.2.1:80 -r 10.0.2.12 -g -w 2", "-a -t 192.0.2.1:80 -r 10.0.2.13 -g -w 1"});
  CHECK(story.connections(12, "198.51.100.1:20000", "192.0.2.1:80") == "13 12 11 11 12 11 13 12 11 11 12 11");
  CHECK(story.services() ==
        "TCP 192.0.2.1:80 wlc\n"
        "  10.0.2.13:80 Route 1 2 0\n"
        "  10.0.2.12:80 Route 2 4 0\n"
        "  10.0.2.11:80 Route 3 6 0");
}

// Cost is 256 per active plus 1 per inactive connection: 256 inactive tie with one active (first in list wins).
TEST_CASE("kernel lc-256") {
  Story story({"-A -t 192.0.2.1:80 -s lc", "-a -t 192.0.2.1:80 -r 10.0.2.11 -g -w 1",
               "-a -t 192.0.2.1:80 -r 10.0.2.12 -g -w 0"});
  CHECK(
      story.connections(256, "198.51.100.1:20000", "192.0.2.1:80", "half") ==
      "11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 "
      "11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 "
      "11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 "
      "11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 "
      "11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 "
      "11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 "
      "11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11");
  story.configure({"-e -t 192.0.2.1:80 -r 10.0.2.11 -g -w 0"});
  story.configure({"-e -t 192.0.2.1:80 -r 10.0.2.12 -g -w 1"});
  CHECK(story.connections(1, "198.51.100.2:1", "192.0.2.1:80", "est") == "12");
  story.configure({"-e -t 192.0.2.1:80 -r 10.0.2.11 -g -w 1"});
  CHECK(story.services() ==
        "TCP 192.0.2.1:80 lc\n"
        "  10.0.2.12:80 Route 1 1 0\n"
        "  10.0.2.11:80 Route 1 0 256");
  CHECK(story.connections(1, "198.51.100.3:1", "192.0.2.1:80") == "12");
  CHECK(story.services() ==
        "TCP 192.0.2.1:80 lc\n"
        "  10.0.2.12:80 Route 1 2 0\n"
        "  10.0.2.11:80 Route 1 0 256");
  CHECK(story.connections(2, "198.51.100.3:5", "192.0.2.1:80") == "11 12");
  CHECK(story.services() ==
        "TCP 192.0.2.1:80 lc\n"
        "  10.0.2.12:80 Route 1 3 0\n"
        "  10.0.2.11:80 Route 1 1 256");
}
