// SPDX-License-Identifier: Apache-2.0
// LVS's tunables: what each one changes about the packet's path, and that it does so while the director runs.
#include "test/topic.h"

using namespace fulcrum;
using namespace fulcrum::test;

namespace {

const char* const kVip = "192.0.2.1:80";
std::string client(unsigned port) { return "198.51.100.1:" + std::to_string(port); }
const std::vector<std::string> kTwo = {"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11:80 -g",
                                       "-a -t 192.0.2.1:80 -r 10.0.2.12:80 -g"};
const std::vector<std::string> kTwoNat = {"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11:80 -m",
                                          "-a -t 192.0.2.1:80 -r 10.0.2.12:80 -m"};

// Who gets the next packet of this client: a server's last byte, or "-".
std::string taker(Story& story, const std::string& from, std::string_view flags) {
  const auto left = story.exchange(Side::kClient, tcp(from, kVip, flags).frame());
  return left.size() == 1 && left[0].side == Side::kServer ? std::to_string(left[0].bytes[5]) : "-";
}

}  // namespace

TEST_CASE("tunable expire_nodest_conn: 0 drops silently and the timer runs on, 1 begins anew") {
  Story story(kTwo);
  CHECK(taker(story, client(1000), "S") == "12");
  story.configure({"-d -t 192.0.2.1:80 -r 10.0.2.12:80"});
  story.advance_ms(30'000);
  CHECK(taker(story, client(1000), "A") == "-");
  CHECK(story.verdict(Verdict::kServerGone) == 1);
  CHECK(story.table() == "TCP 198.51.100.1:1000 192.0.2.1:80 10.0.2.12:80 SYN_RECV 30");
  story.tune("expire_nodest_conn", 1);
  CHECK(taker(story, client(1000), "S") == "11");
  CHECK(story.table() == "TCP 198.51.100.1:1000 192.0.2.1:80 10.0.2.11:80 SYN_RECV 60");
  check_accounts(story);
}

TEST_CASE("tunable expire_nodest_conn: what deleted servers leave goes in the background, and only that") {
  for (const uint32_t workers : {1u, 2u}) {
    Story story(kTwo, {.workers = workers});
    story.configure({"-A -t [2001:db8:ff::1]:80 -s rr", "-a -t [2001:db8:ff::1]:80 -r [2001:db8:2::b]:80 -g"});
    for (unsigned port = 1000; port < 1600; ++port) {
      story.exchange(Side::kClient, tcp(client(port), kVip, "S").frame());
      story.exchange(Side::kClient,
                     tcp("[2001:db8:aa::1]:" + std::to_string(port), "[2001:db8:ff::1]:80", "S").frame());
    }
    CHECK(story.World::connections().size() == 1200);
    story.tune("expire_nodest_conn", 1);
    story.configure({"-d -t 192.0.2.1:80 -r 10.0.2.12:80", "-d -t [2001:db8:ff::1]:80 -r [2001:db8:2::b]:80"});
    Command sweep{};
    sweep.kind = Command::Kind::kSweep;
    story.command(sweep);
    story.run();
    CHECK(story.World::connections().size() == 300);
    for (const ConnectionInfo& at : story.World::connections()) CHECK(at.server.text() == "10.0.2.11");
    check_accounts(story);
  }
}

TEST_CASE("tunable expire_nodest_conn: a SYN meets a server of weight 0") {
  Story story(kTwo);
  CHECK(taker(story, client(1000), "S") == "12");
  story.configure({"-e -t 192.0.2.1:80 -r 10.0.2.12:80 -g -w 0"});
  CHECK(taker(story, client(1000), "S") == "12");
  story.tune("expire_nodest_conn", 1);
  CHECK(taker(story, client(1000), "A") == "12");
  CHECK(taker(story, client(1000), "S") == "11");
  CHECK(story.World::connections().size() == 1);
}

TEST_CASE("tunable conn_reuse_mode: who begins anew with the same port") {
  struct Row {
    uint32_t mode;
    const char *after_close, *after_fin;  // 12 is where it was
  };
  for (const Row& row : {Row{0, "12", "12"}, Row{1, "11", "12"}, Row{2, "11", "11"}, Row{3, "11", "11"}}) {
    CAPTURE(row.mode);
    Story story(kTwo);
    story.tune("conn_reuse_mode", row.mode);
    for (const auto& [port, last] : {std::pair{1000u, "R"}, std::pair{1002u, "FA"}}) {
      CHECK(taker(story, client(port), "S") == "12");
      CHECK(taker(story, client(port), "A") == "12");
      CHECK(taker(story, client(port), last) == "12");
      CHECK(taker(story, client(port), "S") == (port == 1000 ? row.after_close : row.after_fin));
      // So that the next round begins with the same server.
      if (std::string_view(port == 1000 ? row.after_close : row.after_fin) == "12") taker(story, client(port + 1), "S");
    }
    check_accounts(story);
  }
}

TEST_CASE("tunable conn_reuse_mode: not in FIN_WAIT where replies were seen, not under a template") {
  Story story(kTwo);
  story.tune("conn_reuse_mode", 3);
  CHECK(taker(story, client(1000), "S") == "12");
  story.exchange(Side::kServer, tcp(kVip, client(1000), "SA").mac("02:00:00:00:02:0b", "02:00:00:00:02:01").frame());
  CHECK(taker(story, client(1000), "A") == "12");
  story.exchange(Side::kServer, tcp(kVip, client(1000), "FA").mac("02:00:00:00:02:0b", "02:00:00:00:02:01").frame());
  CHECK(story.table().find("FIN_WAIT") != std::string::npos);
  CHECK(taker(story, client(1000), "S") == "12");
  story.configure({"-E -t 192.0.2.1:80 -s rr -p 100"});
  const std::string there = taker(story, "198.51.100.2:1000", "S");
  taker(story, "198.51.100.2:1000", "R");
  CHECK(taker(story, "198.51.100.2:1000", "S") == there);
  CHECK(story.World::connections().size() == 2);
}

TEST_CASE("tunable expire_quiescent_template: whether a persistent client leaves a server of weight 0") {
  Story story({"-A -t 192.0.2.1:80 -s rr -p 300", "-a -t 192.0.2.1:80 -r 10.0.2.11:80 -g",
               "-a -t 192.0.2.1:80 -r 10.0.2.12:80 -g"});
  CHECK(taker(story, client(1000), "S") == "12");
  story.configure({"-e -t 192.0.2.1:80 -r 10.0.2.12:80 -g -w 0"});
  CHECK(taker(story, client(1001), "S") == "12");
  story.tune("expire_quiescent_template", 1);
  CHECK(taker(story, client(1002), "S") == "11");
  CHECK(taker(story, client(1000), "A") == "12");
  story.configure({"-e -t 192.0.2.1:80 -r 10.0.2.12:80 -g -w 1"});
  CHECK(taker(story, client(1003), "S") == "11");
}

TEST_CASE("tunable sloppy_tcp: any segment but a reset begins a connection") {
  Story story(kTwo);
  CHECK(taker(story, client(1000), "A") == "-");
  story.tune("sloppy_tcp", 1);
  CHECK(taker(story, client(1000), "R") == "-");
  CHECK(taker(story, client(1000), "RA") == "-");
  CHECK(taker(story, client(1000), "A") == "12");
  CHECK(story.table() == "TCP 198.51.100.1:1000 192.0.2.1:80 10.0.2.12:80 ESTABLISHED 900");
  CHECK(taker(story, client(1001), "") == "11");
  story.tune("sloppy_tcp", 0);
  CHECK(taker(story, client(1002), "A") == "-");
}

TEST_CASE("tunable schedule_icmp: an error about an unknown connection is scheduled like it") {
  for (const uint32_t workers : {1u, 2u}) {
    Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11:8080 -m"}, {.workers = workers});
    const Bytes about = tcp(kVip, client(1000), "SA").packet();
    const auto error = icmp_error("203.0.113.1", "192.0.2.1", 3, 1, about, 0, 40);
    story.client(error, Verdict::kLocalIgnored);
    story.tune("schedule_icmp", 1);
    story.client(PacketBuilder(error).bad_checksum(), Verdict::kBadTransport);
    CHECK(story.table() == "TCP 198.51.100.1:1000 192.0.2.1:80 10.0.2.11:8080 NONE 3");
    story.client(
        error, Verdict::kForwardedNat,
        {to_server(11, icmp_error("203.0.113.1", "10.0.2.11", 3, 1, readdressed(about, "10.0.2.11:8080", true), 0, 40)
                           .ttl(63)
                           .packet())});
    CHECK(story.table() == "TCP 198.51.100.1:1000 192.0.2.1:80 10.0.2.11:8080 NONE 3");
    story.put(Side::kClient, story.make_packet(error.frame(), 75));  // in several buffers
    story.run();
    CHECK(story.verdict(Verdict::kBadTransport) == 2);
    story.configure({"-d -t 192.0.2.1:80 -r 10.0.2.11:8080"});
    CHECK(story
              .exchange(
                  Side::kClient,
                  icmp_error("203.0.113.1", "192.0.2.1", 3, 1, tcp(kVip, client(2000), "SA").packet(), 0, 40).frame())
              .empty());  // no server: silent
    CHECK(story.verdict(Verdict::kErrorWithheld) == 1);
    story.advance_ms(3'000);
    check_accounts(story);
  }
}

TEST_CASE("tunable schedule_icmp: drop_packet and one-packet scheduling hold for errors too") {
  Story story({"-A -u 192.0.2.1:53 -s rr -o", "-a -u 192.0.2.1:53 -r 10.0.2.11:53 -m"});
  story.tune("schedule_icmp", 1);
  const auto error = icmp_error("203.0.113.1", "192.0.2.1", 3, 1, udp("192.0.2.1:53", client(1000)).packet());
  CHECK(story.exchange(Side::kClient, error.frame()).size() == 1);
  CHECK(story.table() == "");
  story.shared().defence.drop_packet_rate = 1;
  CHECK(story.exchange(Side::kClient, error.frame()).empty());
  CHECK(story.verdict(Verdict::kDropPacket) == 1);
  check_accounts(story);
}

TEST_CASE("tunable nat_icmp_send: by protocol, and only about servers that are in service") {
  Story story(
      {"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11:80 -m", "-a -t 192.0.2.1:80 -r 10.0.2.12:80 -g"});
  const auto stray = tcp("10.0.2.11:80", client(5), "SA");
  const auto routed = [&](const PacketBuilder& packet) {
    story.server(packet, Verdict::kRouted, {to_client(PacketBuilder(packet).ttl(63).packet())});
  };
  routed(stray);
  story.tune("nat_icmp_send", 1);
  const Bytes quoted = PacketBuilder(stray).ttl(63).packet();
  // From where the packet was going, which is not ours: from the interface towards the server.
  story.server(
      stray, Verdict::kPortUnreachableSent,
      {to_server(11, icmp_error("10.0.2.1", "10.0.2.11", 3, 3, quoted, 0, quoted.size()).tos(0xc0).id(0).packet())});
  routed(tcp("10.0.2.11:80", client(5), "R"));
  routed(udp("10.0.2.11:80", client(5)));       // no UDP service has it
  routed(tcp("10.0.2.11:81", client(5), "A"));  // nor one that port
  routed(tcp("10.0.2.12:80", client(5), "A"));  // not by NAT
  story.configure({"-d -t 192.0.2.1:80 -r 10.0.2.11:80"});
  routed(stray);
  CHECK(story.table() == "");
}

TEST_CASE("tunable pmtu_disc: 0 neither checks nor copies DF, the outer packet is cut") {
  Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.13:80 -i"});
  taker(story, client(1000), "S");
  const auto data = tcp(client(1000), kVip, "A").payload_size(1460);
  CHECK(story.exchange(Side::kClient, data.frame()).at(0).side == Side::kClient);
  CHECK(story.verdict(Verdict::kFragmentationNeededSent) == 1);
  story.tune("pmtu_disc", 0);
  const auto pieces = story.exchange(Side::kClient, data.frame());
  REQUIRE(pieces.size() == 2);
  CHECK(get16(pieces[0].bytes, 14 + 6) == 0x2000);
  CHECK(get16(pieces[0].bytes, 14 + 4) == get16(pieces[1].bytes, 14 + 4));
  CHECK(get16(pieces[0].bytes, 14 + 2) <= 1500);
  const auto whole = story.exchange(Side::kClient, tcp(client(1000), kVip, "A").frame());
  REQUIRE(whole.size() == 1);
  CHECK(get16(whole[0].bytes, 14 + 6) == 0);
  CHECK(get16(whole[0].bytes, 14 + 20 + 6) == 0x4000);
}

TEST_CASE("tunable secure_tcp: over NAT only the server's ACK establishes") {
  for (const bool secure : {false, true}) {
    Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11:80 -m"});
    story.shared().defence.secure_tcp = secure;
    taker(story, client(1000), "S");
    taker(story, client(1000), "A");
    CHECK(story.table().find(secure ? "SYN_RECV" : "ESTABLISHED") != std::string::npos);
    story.exchange(Side::kServer,
                   tcp("10.0.2.11:80", client(1000), "A").mac("02:00:00:00:02:0b", "02:00:00:00:02:01").frame());
    CHECK(story.table().find("ESTABLISHED") != std::string::npos);
  }
}

TEST_CASE("tunables icmp_msgs_per_sec and icmp_msgs_burst: own errors only, by one and by two workers") {
  for (const uint32_t workers : {1u, 2u}) {
    for (const auto& [rate, burst] : {std::pair{10u, 5u}, std::pair{1u, 1u}}) {
      CAPTURE(workers);
      CAPTURE(rate);
      Story story({}, {.workers = workers});
      story.tune("icmp_msgs_per_sec", rate);
      story.tune("icmp_msgs_burst", burst);
      story.advance_ms(10'000);
      const Bytes stray = udp(client(1000), "192.0.2.1:53").frame();
      const auto errors = [&](int frames) {
        size_t left = 0;
        for (int i = 0; i < frames; ++i) left += story.exchange(Side::kClient, stray).size();
        return left;
      };
      CHECK(errors(20) == burst);
      CHECK(story.verdict(Verdict::kErrorRateLimited) == 20 - burst);
      // A millisecond at a time, with something to say in each: nothing is lost by rounding.
      size_t later = 0;
      for (int i = 0; i < 4000; ++i) {
        story.advance_ms(1);
        later += errors(1);
      }
      CHECK(later == 4 * rate / workers);
      CHECK(errors(0) == 0);
      CHECK(story.exchange(Side::kClient, tcp(client(1), "192.0.2.1:81", "S").frame()).size() == 1);  // no error
      CHECK(story.exchange(Side::kClient, echo_request("198.51.100.1", "192.0.2.1").frame()).size() == 1);
      story.tune("icmp_msgs_per_sec", 0);
      CHECK(errors(100) == 100);
      check_accounts(story);
    }
  }
}
