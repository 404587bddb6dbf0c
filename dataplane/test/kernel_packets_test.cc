// SPDX-License-Identifier: Apache-2.0
// What the kernel (Linux 6.1 IPVS) did to the packets of the conformance scenarios, byte by byte.
#include "test/story.h"

using namespace fulcrum;
using namespace fulcrum::test;

namespace {

// As the director sends it, quoting as much of `refused` as fits 576 bytes.
Bytes fragmentation_needed(const PacketBuilder& refused, unsigned mtu) {
  return icmp_error("192.0.2.1", "198.51.100.1", 3, 4, refused.packet(), mtu, 548).tos(0xc0).id(0).packet();
}

}  // namespace

// Exact bytes of the three forwarding methods; TOS, options, urgent pointer, odd payload, IP id.
TEST_CASE("kernel fwd-bytes") {
  Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11:80 -g",
               "-a -t 192.0.2.1:80 -r 10.0.2.12:8080 -m", "-a -t 192.0.2.1:80 -r 10.0.2.13:80 -i"});
  story.client(tcp("198.51.100.1:1000", "192.0.2.1:80", "S")
                   .tos(72)
                   .id(0xbeef)
                   .tcp_options("020405b40402080a000000010000000001030307"),
               Verdict::kForwardedTun,
               {to_server(13,
                          "45480050000040003f0423550a0002010a00020d4548003cbeef40003f06904ec6336401c000020103e800500000"
                          "03e800000000a002200033a90000020405b40402080a000000010000000001030307")});
  story.client(tcp("198.51.100.2:1000", "192.0.2.1:80", "S")
                   .tos(72)
                   .id(0xbeef)
                   .tcp_options("020405b40402080a000000010000000001030307"),
               Verdict::kForwardedNat,
               {to_server(12,
                          "4548003cbeef40003f064643c63364020a00020c03e81f90000003e800000000a0022000ca5d0000020405b40402"
                          "080a000000010000000001030307")});
  story.client(tcp("198.51.100.3:1000", "192.0.2.1:80", "S")
                   .tos(72)
                   .id(0xbeef)
                   .tcp_options("020405b40402080a000000010000000001030307"),
               Verdict::kForwardedDr,
               {to_server(11,
                          "4548003cbeef40003f06904cc6336403c000020103e80050000003e800000000a002200033a70000020405b40402"
                          "080a000000010000000001030307")});
  story.client(tcp("198.51.100.1:1000", "192.0.2.1:80", "PAU").ttl(2).urgent(3).payload("hello"),
               Verdict::kForwardedTun,
               {to_server(13,
                          "4500004100004000010461ac0a0002010a00020d4500002d1234400001067b61c6336401c000020103e800500000"
                          "03e80000000050382000577c000368656c6c6f")});
  story.client(
      tcp("198.51.100.2:1000", "192.0.2.1:80", "PAU").ttl(2).urgent(3).payload("hello"), Verdict::kForwardedNat,
      {to_server(12, "4500002d1234400001063156c63364020a00020c03e81f90000003e80000000050382000ee30000368656c6c6f")});
  story.client(
      tcp("198.51.100.3:1000", "192.0.2.1:80", "PAU").ttl(2).urgent(3).payload("hello"), Verdict::kForwardedDr,
      {to_server(11, "4500002d1234400001067b5fc6336403c000020103e80050000003e80000000050382000577a000368656c6c6f")});
  story.client(tcp("198.51.100.1:1000", "192.0.2.1:80", "A").ip_options("94040000"), Verdict::kForwardedTun,
               {to_server(13,
                          "45000040000040003f0423ad0a0002010a00020d4600002c123440003f06a85dc6336401c00002019404000003e8"
                          "0050000003e800000000501020009b7e0000")});
  story.client(
      tcp("198.51.100.2:1000", "192.0.2.1:80", "A").ip_options("94040000"), Verdict::kForwardedNat,
      {to_server(12, "4600002c123440003f065e52c63364020a00020c9404000003e81f90000003e8000000005010200032330000")});
  story.client(
      tcp("198.51.100.3:1000", "192.0.2.1:80", "A").ip_options("94040000"), Verdict::kForwardedDr,
      {to_server(11, "4600002c123440003f06a85bc6336403c00002019404000003e80050000003e800000000501020009b7c0000")});
}

// TTL 1: time exceeded to the client for every forwarding method (the entry exists already).
TEST_CASE("kernel ttl-expired") {
  Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11:80 -g",
               "-a -t 192.0.2.1:80 -r 10.0.2.12:8080 -m", "-a -t 192.0.2.1:80 -r 10.0.2.13:80 -i"});
  story.client(tcp("198.51.100.1:1000", "192.0.2.1:80", "S").ttl(1), Verdict::kTimeExceededSent,
               {to_client("45c000440000000040018dc3c0000201c63364010b00e15000000000450000281234400001067b66c6336401c000"
                          "020103e80050000003e800000000500220009b8c0000")});
  story.client(tcp("198.51.100.2:1000", "192.0.2.1:80", "S").ttl(1), Verdict::kTimeExceededSent,
               {to_client("45c000440000000040018dc2c0000201c63364020b00e15100000000450000281234400001067b65c6336402c000"
                          "020103e80050000003e800000000500220009b8b0000")});
  story.client(tcp("198.51.100.3:1000", "192.0.2.1:80", "S").ttl(1), Verdict::kTimeExceededSent,
               {to_client("45c000440000000040018dc1c0000201c63364030b00e15200000000450000281234400001067b64c6336403c000"
                          "020103e80050000003e800000000500220009b8a0000")});
  CHECK(story.table() ==
        "TCP 198.51.100.1:1000 192.0.2.1:80 10.0.2.13:80 SYN_RECV 60\n"
        "TCP 198.51.100.2:1000 192.0.2.1:80 10.0.2.12:8080 SYN_RECV 60\n"
        "TCP 198.51.100.3:1000 192.0.2.1:80 10.0.2.11:80 SYN_RECV 60");
  story.client(tcp("198.51.100.1:1000", "192.0.2.1:80", "S").ttl(2), Verdict::kForwardedTun,
               {to_server(13,
                          "4500003c00004000010461b10a0002010a00020d450000281234400001067b66c6336401c000020103e800500000"
                          "03e800000000500220009b8c0000")});
  story.client(tcp("198.51.100.1:1000", "192.0.2.1:80", "S").ttl(0), Verdict::kTimeExceededSent,
               {to_client("45c000440000000040018dc3c0000201c63364010b00e15000000000450000281234400000067c66c6336401c000"
                          "020103e80050000003e800000000500220009b8c0000")});
}

// Service without any server.
TEST_CASE("kernel no-dest") {
  for (const uint32_t workers : {1u, 2u}) {
    Story story({"-A -t 192.0.2.1:80 -s wlc"}, {.workers = workers});
    story.client(tcp("198.51.100.1:1000", "192.0.2.1:80", "S"), Verdict::kNoServer,
                 {to_client("45c000440000000040018dc3c0000201c63364010303e94d00000000450000281234400040063c66c6336401c0"
                            "00020103e80050000003e800000000500220009b8c0000")});
    story.client(tcp("198.51.100.1:1000", "192.0.2.1:80", "A"), Verdict::kResetSent,
                 {to_client("450000280000400040064e9ac0000201c6336401005003e8000000000000000050040000bf720000")});
    CHECK(story.table() == "");
  }
}

// UDP over NAT: both directions, timeout 300, connections are always inactive.
TEST_CASE("kernel udp-nat") {
  for (const uint32_t workers : {1u, 2u}) {
    Story story({"-A -u 192.0.2.1:53 -s rr", "-a -u 192.0.2.1:53 -r 10.0.2.11:5353 -m"}, {.workers = workers});
    story.client(udp("198.51.100.1:1000", "192.0.2.1:53").payload("query"), Verdict::kForwardedNat,
                 {to_server(11, "45000021123440003f11f358c63364010a00020b03e814e9000d60db7175657279")});
    CHECK(story.table() == "UDP 198.51.100.1:1000 192.0.2.1:53 10.0.2.11:5353 UDP 300");
    story.server(udp("10.0.2.11:5353", "198.51.100.1:1000").payload("answer"), Verdict::kForwardedNatReply,
                 {to_client("45000022123440003f113d61c0000201c6336401003503e8000ed526616e73776572")});
    CHECK(story.services() ==
          "UDP 192.0.2.1:53 rr\n"
          "  10.0.2.11:5353 Masq 1 0 1");
    CHECK(story.table() == "UDP 198.51.100.1:1000 192.0.2.1:53 10.0.2.11:5353 UDP 300");
    CHECK(story.statistics() ==
          "UDP 192.0.2.1:53 1 1 1 33 34\n"
          "  10.0.2.11:5353 1 1 1 33 34");
  }
}

// Translated checksums that come out zero: UDP sends ffff, TCP as computed.
TEST_CASE("kernel nat-csum-zero") {
  for (const uint32_t workers : {1u, 2u}) {
    Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11:8080 -m", "-A -u 192.0.2.1:53 -s rr",
                 "-a -u 192.0.2.1:53 -r 10.0.2.11:5353 -m"},
                {.workers = workers});
    story.client(tcp("198.51.100.1:1000", "192.0.2.1:80", "S"), Verdict::kForwardedNat,
                 {to_server(11, "45000028123440003f06f35cc63364010a00020b03e81f90000003e8000000005002200032430000")});
    story.client(
        tcp("198.51.100.1:1000", "192.0.2.1:80", "A").payload(from_hex("3233")), Verdict::kForwardedNat,
        {to_server(11, "4500002a123440003f06f35ac63364010a00020b03e81f90000003e80000000050102000000000003233")});
    story.client(
        tcp("198.51.100.1:1000", "192.0.2.1:80", "A").payload(from_hex("3232")), Verdict::kForwardedNat,
        {to_server(11, "4500002a123440003f06f35ac63364010a00020b03e81f90000003e80000000050102000000100003232")});
    story.client(udp("198.51.100.1:1000", "192.0.2.1:53").payload(from_hex("b0c9")), Verdict::kForwardedNat,
                 {to_server(11, "4500001e123440003f11f35bc63364010a00020b03e814e9000affffb0c9")});
    story.client(udp("198.51.100.1:1000", "192.0.2.1:53").payload("odd"), Verdict::kForwardedNat,
                 {to_server(11, "4500001f123440003f11f35ac63364010a00020b03e814e9000bdd626f6464")});
  }
}

// One client port to two services translated to the same server and port: replies belong to the entry hashed last.
TEST_CASE("kernel nat-ambiguous") {
  for (const uint32_t workers : {1u, 2u}) {
    Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11:8080 -m", "-A -t 192.0.2.2:80 -s rr",
                 "-a -t 192.0.2.2:80 -r 10.0.2.11:8080 -m"},
                {.workers = workers});
    story.client(tcp("198.51.100.1:1000", "192.0.2.1:80", "S"), Verdict::kForwardedNat,
                 {to_server(11, "45000028123440003f06f35cc63364010a00020b03e81f90000003e8000000005002200032430000")});
    story.server(tcp("10.0.2.11:8080", "198.51.100.1:1000", "SA"), Verdict::kForwardedNatReply,
                 {to_client("45000028123440003f063d66c0000201c6336401005003e8000003e800000000501220009b7c0000")});
    story.client(tcp("198.51.100.1:1000", "192.0.2.2:80", "S"), Verdict::kForwardedNat,
                 {to_server(11, "45000028123440003f06f35cc63364010a00020b03e81f90000003e8000000005002200032430000")});
    story.server(tcp("10.0.2.11:8080", "198.51.100.1:1000", "SA"), Verdict::kForwardedNatReply,
                 {to_client("45000028123440003f063d65c0000202c6336401005003e8000003e800000000501220009b7b0000")});
    CHECK(story.table() ==
          "TCP 198.51.100.1:1000 192.0.2.1:80 10.0.2.11:8080 SYN_RECV 60\n"
          "TCP 198.51.100.1:1000 192.0.2.2:80 10.0.2.11:8080 SYN_RECV 60");
  }
}

// A server's packet of no known connection is routed untouched; with nat_icmp_send it is answered by port unreachable.
TEST_CASE("kernel nat-reply-unknown") {
  for (const uint32_t workers : {1u, 2u}) {
    Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11:8080 -m",
                 "-a -t 192.0.2.1:80 -r 10.0.2.12:8080 -m"},
                {.workers = workers});
    story.server(tcp("10.0.2.12:8080", "198.51.100.1:1000", "A"), Verdict::kRouted,
                 {to_client("45000028123440003f06f35b0a00020cc63364011f9003e8000003e8000000005010200032340000")});
  }
}

// Echo requests to the service address are answered by the director itself.
TEST_CASE("kernel icmp-echo") {
  for (const uint32_t workers : {1u, 2u}) {
    Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11 -g -w 1"}, {.workers = workers});
    story.client(echo_request("198.51.100.1", "192.0.2.1", 1, 1).payload("ping"), Verdict::kEchoAnswered,
                 {to_client("450000200000000040018ea7c0000201c63364010000212d0001000170696e67")});
  }
}

// A packet without SYN for no known connection is left to the local stack (here: RST); with sloppy_tcp it is scheduled.
TEST_CASE("kernel tcp-nosyn") {
  Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11 -g -w 1",
               "-a -t 192.0.2.1:80 -r 10.0.2.12 -g -w 1"});
  story.client(tcp("198.51.100.1:1000", "192.0.2.1:80", "A"), Verdict::kResetSent,
               {to_client("450000280000400040064e9ac0000201c6336401005003e8000000000000000050040000bf720000")});
  story.client(tcp("198.51.100.1:1000", "192.0.2.1:80", "FA"), Verdict::kResetSent,
               {to_client("450000280000400040064e9ac0000201c6336401005003e8000000000000000050040000bf720000")});
  story.client(tcp("198.51.100.1:1000", "192.0.2.1:80", "R"), Verdict::kLocalIgnored);
  CHECK(story.table() == "");
}

// IPIP outer header: TTL, DSCP and ECN, DF copied, id zero with DF; pmtu_disc 0 drops DF and never answers.
TEST_CASE("kernel tun-fields") {
  for (const uint32_t workers : {1u, 2u}) {
    Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.13:80 -i"}, {.workers = workers});
    story.client(tcp("198.51.100.1:1000", "192.0.2.1:80", "S"), Verdict::kForwardedTun,
                 {to_server(13,
                            "4500003c000040003f0423b10a0002010a00020d45000028123440003f063d66c6336401c000020103e8005000"
                            "0003e800000000500220009b8c0000")});
    story.client(tcp("198.51.100.1:1000", "192.0.2.1:80", "S").tos(184).ttl(2), Verdict::kForwardedTun,
                 {to_server(13,
                            "45b8003c00004000010460f90a0002010a00020d45b800281234400001067aaec6336401c000020103e8005000"
                            "0003e800000000500220009b8c0000")});
    story.client(tcp("198.51.100.1:1000", "192.0.2.1:80", "S").tos(1).ttl(255), Verdict::kForwardedTun,
                 {to_server(13,
                            "4501003c00004000fe0464af0a0002010a00020d4501002812344000fe067e64c6336401c000020103e8005000"
                            "0003e800000000500220009b8c0000")});
    story.client(tcp("198.51.100.1:1000", "192.0.2.1:80", "S").tos(2), Verdict::kForwardedTun,
                 {to_server(13,
                            "4502003c000040003f0423af0a0002010a00020d45020028123440003f063d64c6336401c000020103e8005000"
                            "0003e800000000500220009b8c0000")});
    story.client(tcp("198.51.100.1:1000", "192.0.2.1:80", "S").tos(3), Verdict::kForwardedTun,
                 {to_server(13,
                            "4502003c000040003f0423af0a0002010a00020d45030028123440003f063d63c6336401c000020103e8005000"
                            "0003e800000000500220009b8c0000")});
    story.client(tcp("198.51.100.1:1000", "192.0.2.1:80", "S").tos(47).dont_fragment(false), Verdict::kForwardedTun,
                 {any_id(to_server(13,
                                   "452e003c000000003f0463830a0002010a00020d452f0028123400003f067d37c6336401c000020103e"
                                   "80050000003e800000000500220009b8c0000"))});
    // 1501 bytes with the outer header: 1480 is what the tunnel carries. 1500: goes.
    const auto data = tcp("198.51.100.1:1000", "192.0.2.1:80", "A");
    story.client(PacketBuilder(data).payload_size(1441), Verdict::kFragmentationNeededSent,
                 {to_client(fragmentation_needed(PacketBuilder(data).payload_size(1441).ttl(63), 1480))});
    story.client(PacketBuilder(data).payload_size(1440), Verdict::kForwardedTun,
                 {to_server(13, ipip("10.0.2.1", "10.0.2.13", PacketBuilder(data).payload_size(1440).ttl(63).packet())
                                    .ttl(63)
                                    .id(0)
                                    .packet())});
  }
}

// Server-side MTU 1400: DF answers fragmentation needed (1400, tunnel 1380), without DF the packet is cut.
TEST_CASE("kernel mtu") {
  Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11:80 -g",
               "-a -t 192.0.2.1:80 -r 10.0.2.12:8080 -m", "-a -t 192.0.2.1:80 -r 10.0.2.13:80 -i"},
              {.server_mtu = 1400});
  CHECK(story.connections(1, "198.51.100.1:1000", "192.0.2.1:80") == "13");
  CHECK(story.connections(1, "198.51.100.2:1000", "192.0.2.1:80") == "12");
  CHECK(story.connections(1, "198.51.100.3:1000", "192.0.2.1:80") == "11");
  const auto tunnelled = tcp("198.51.100.1:1000", "192.0.2.1:80", "A");
  const auto translated = tcp("198.51.100.2:1000", "192.0.2.1:80", "A");
  const auto direct = tcp("198.51.100.3:1000", "192.0.2.1:80", "A");
  const auto sized = [](PacketBuilder packet, size_t payload) { return packet.payload_size(payload); };
  const auto arrived = [&](const PacketBuilder& packet, size_t payload) { return sized(packet, payload).ttl(63); };

  const auto refused = [&](const PacketBuilder& packet, size_t payload, const Endpoint& client, unsigned mtu) {
    const Bytes quoted = arrived(packet, payload).packet();
    story.client(sized(packet, payload), Verdict::kFragmentationNeededSent,
                 {to_client(icmp_error("192.0.2.1", client, 3, 4, quoted, mtu, 548).tos(0xc0).id(0).packet())});
  };
  for (const size_t payload : {1400u, 1341u}) refused(tunnelled, payload, "198.51.100.1", 1380);
  for (const size_t payload : {1400u, 1361u}) refused(translated, payload, "198.51.100.2", 1400);
  for (const size_t payload : {1400u, 1361u}) refused(direct, payload, "198.51.100.3", 1400);

  const Endpoint tunnel_source("10.0.2.1"), tunnel_end("10.0.2.13");
  const auto at_server = tcp("198.51.100.2:1000", "10.0.2.12:8080", "A");
  const auto outer = [&](size_t payload, bool dont_fragment) {
    return ipip(tunnel_source, tunnel_end, arrived(tunnelled, payload).dont_fragment(dont_fragment).packet())
        .ttl(63)
        .id(0)
        .dont_fragment(dont_fragment);
  };
  // The longest that fit.
  story.client(sized(tunnelled, 1340), Verdict::kForwardedTun, {to_server(13, outer(1340, true).packet())});
  story.client(sized(translated, 1360), Verdict::kForwardedNat, {to_server(12, arrived(at_server, 1360).packet())});
  story.client(sized(direct, 1360), Verdict::kForwardedDr, {to_server(11, arrived(direct, 1360).packet())});

  // Cut where DF is not set: 1376 bytes are a multiple of eight.
  const auto pieces = [](const std::vector<Bytes>& frames, unsigned server) {
    std::vector<Expected> expected;
    for (const Bytes& frame : frames) expected.push_back(to_server(server, Bytes(frame.begin() + 14, frame.end())));
    return expected;
  };
  story.client(sized(translated, 1400).dont_fragment(false), Verdict::kForwardedNat,
               pieces(arrived(at_server, 1400).dont_fragment(false).fragments(1376), 12));
  story.client(sized(direct, 1400).dont_fragment(false), Verdict::kForwardedDr,
               pieces(arrived(direct, 1400).dont_fragment(false).fragments(1376), 11));
  auto of_tunnel = pieces(outer(1400, false).fragments(1376), 13);
  for (Expected& piece : of_tunnel) piece = any_id(piece);
  story.client(sized(tunnelled, 1400).dont_fragment(false), Verdict::kForwardedTun, of_tunnel);
}

// Live kernel: a DR or TUN server whose reply passes the director, and is too long for the clients' side, is told so.
// The error is from the VIP to the VIP, and goes as any error about a connection.
TEST_CASE("kernel: the server is told of its reply's length by the way that its client's packets take") {
  for (const uint32_t workers : {1u, 2u}) {
    Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11:80 -g"}, {.workers = workers});
    CHECK(story.connections(1, "198.51.100.1:1000", "192.0.2.1:80") == "11");
    auto reply = tcp("192.0.2.1:80", "198.51.100.1:1000", "A").payload_size(1461);
    const Bytes error =
        icmp_error("192.0.2.1", "192.0.2.1", 3, 4, reply.packet(), 1500, 548).tos(0xc0).id(0).ttl(63).packet();
    const uint64_t refused = story.verdict(Verdict::kFragmentationNeededSent);
    const auto left = story.exchange(Side::kServer, reply.mac("02:00:00:00:02:0b", "02:00:00:00:02:01").frame());
    REQUIRE(left.size() == 1);
    CHECK(difference(to_server(11, error).frame.bytes, left[0].bytes) == "");
    // Nobody is told of a packet that only claims to come from the VIP.
    const auto stray = tcp("192.0.2.1:80", "198.51.100.9:1000", "A").payload_size(1461);
    CHECK(story.exchange(Side::kServer, PacketBuilder(stray).mac("02:00:00:00:02:0b", "02:00:00:00:02:01").frame())
              .empty());
    CHECK(story.verdict(Verdict::kFragmentationNeededSent) == refused + 2);
  }
}
