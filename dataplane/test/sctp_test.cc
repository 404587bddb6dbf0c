// SPDX-License-Identifier: Apache-2.0
// SCTP services: which packets make a connection, states and counts, and CRC32c where the port changes.
#include "test/topic.h"

using namespace fulcrum;
using namespace fulcrum::test;

namespace {

const char* const kVip = "192.0.2.1:80";
std::string client(unsigned port) { return "198.51.100.1:" + std::to_string(port); }
const std::vector<std::string> kNat = {"-A --sctp-service 192.0.2.1:80 -s rr",
                                       "-a --sctp-service 192.0.2.1:80 -r 10.0.2.11:8080 -m"};
const char *const kInit = "0100001400000001000100000001000100000001",
                  *const kInitAck = "0200001400000002000100000001000100000001", *const kCookieEcho = "0a000008cafebabe",
                  *const kCookieAck = "0b000004", *const kData = "0003001100000001000000000000000061000000",
                  *const kShutdown = "0700000800000001", *const kShutdownAck = "08000004",
                  *const kShutdownComplete = "0e000004", *const kAbort = "06000004";

}  // namespace

TEST_CASE("sctp: an association over NAT, by one and by two workers") {
  for (const uint32_t workers : {1u, 2u}) {
    Story story(kNat, {.workers = workers});
    for (unsigned port = 1000; port < 1010; ++port) {
      const auto in = [&](const char* chunks) {
        story.client(sctp(client(port), kVip, 7, chunks), Verdict::kForwardedNat,
                     {to_server(11, sctp(client(port), "10.0.2.11:8080", 7, chunks).ttl(63).packet())});
      };
      const auto out = [&](const char* chunks) {
        story.server(sctp("10.0.2.11:8080", client(port), 9, chunks), Verdict::kForwardedNatReply,
                     {to_client(sctp(kVip, client(port), 9, chunks).ttl(63).packet())});
      };
      const auto state = [&] {
        std::string text;
        for (const ConnectionInfo& at : story.World::connections())
          if (at.client_port == port)
            text = std::string(sctp_state_name(static_cast<SctpState>(at.state))) + (at.active ? " active " : " ") +
                   std::to_string(at.expires_ms / 1000);
        return text;
      };
      in(kInit);
      CHECK(state() == std::string(sctp_state_name(SctpState::kInit1)) + " 4");
      out(kInitAck);
      CHECK(state() == std::string(sctp_state_name(SctpState::kCookieSent)) + " 61");
      in(kCookieEcho);
      CHECK(state() == std::string(sctp_state_name(SctpState::kCookieReplied)) + " 61");
      out(kCookieAck);
      CHECK(state() == std::string(sctp_state_name(SctpState::kEstablished)) + " active 900");
      in(kData);
      out(kShutdown);
      CHECK(state() == std::string(sctp_state_name(SctpState::kShutdownSent)) + " 61");
      in(kShutdownAck);
      CHECK(state() == std::string(sctp_state_name(SctpState::kClosed)) + " 61");
      out(kShutdownComplete);
    }
    CHECK(story.services() == "SCTP 192.0.2.1:80 rr\n  10.0.2.11:8080 Masq 1 0 10");
    story.advance_ms(61'000);
    CHECK(story.services() == "SCTP 192.0.2.1:80 rr\n  10.0.2.11:8080 Masq 1 0 0");
    check_accounts(story);
  }
}

namespace {
Bytes wrong(const PacketBuilder& right, bool is_frame) {
  Bytes bytes = is_frame ? right.frame() : right.packet();
  bytes[(is_frame ? 14 : 0) + 20 + 8] ^= 0x55;
  return bytes;
}
}  // namespace

TEST_CASE("sctp: the CRC is computed anew where the port changes") {
  Story story(kNat);
  story.frame(Side::kClient, wrong(sctp(client(1000), kVip, 0, kInit), true), Verdict::kForwardedNat,
              {to_server(11, sctp(client(1000), "10.0.2.11:8080", 0, kInit).ttl(63).packet())});
}

TEST_CASE("sctp: the CRC is left alone where the port stays") {
  Story same({"-A --sctp-service 192.0.2.1:80 -s rr", "-a --sctp-service 192.0.2.1:80 -r 10.0.2.11:80 -m"});
  same.frame(Side::kClient, wrong(sctp(client(1000), kVip, 0, kInit), true), Verdict::kForwardedNat,
             {to_server(11, wrong(sctp(client(1000), "10.0.2.11:80", 0, kInit).ttl(63), false))});
}

TEST_CASE("sctp: what may begin an association") {
  Story story(kNat);
  const auto in = [&](unsigned port, const char* chunks) { return sctp(client(port), kVip, 0, chunks); };
  const auto refused = [&](const PacketBuilder& about) {
    return to_client(icmp_error("192.0.2.1", "198.51.100.1", 3, 2, about.packet(), 0, about.packet().size())
                         .tos(0xc0)
                         .id(0)
                         .packet());
  };
  const auto to_11 = [&](unsigned port, const char* chunks) {
    return to_server(11, sctp(client(port), "10.0.2.11:8080", 0, chunks).ttl(63).packet());
  };
  // The local stack has no SCTP.
  story.client(in(1000, kData), Verdict::kProtocolUnreachableSent, {refused(in(1000, kData))});
  story.client(in(1000, kAbort), Verdict::kProtocolUnreachableSent, {refused(in(1000, kAbort))});
  story.client(in(1001, kInit), Verdict::kForwardedNat, {to_11(1001, kInit)});
  story.tune("sloppy_sctp", 1);
  story.client(in(1000, kData), Verdict::kForwardedNat, {to_11(1000, kData)});
  story.client(in(1002, kAbort), Verdict::kProtocolUnreachableSent, {refused(in(1002, kAbort))});
  CHECK(story.World::connections().size() == 2);
  story.client(PacketBuilder("198.51.100.1", "192.0.2.1", 132).payload("short"), Verdict::kBadTransport);
}

TEST_CASE("sctp: DR knows the client's half only; an INIT on a closed association begins another") {
  Story story({"-A --sctp-service 192.0.2.1:80 -s rr", "-a --sctp-service 192.0.2.1:80 -r 10.0.2.11:80 -g",
               "-a --sctp-service 192.0.2.1:80 -r 10.0.2.12:80 -g"});
  const auto in = [&](unsigned server, const char* chunks) {
    const auto packet = sctp(client(1000), kVip, 0, chunks);
    story.client(packet, Verdict::kForwardedDr, {to_server(server, PacketBuilder(packet).ttl(63).packet())});
  };
  in(12, kInit);
  in(12, kCookieEcho);
  CHECK(story.table() == "SCTP 198.51.100.1:1000 192.0.2.1:80 10.0.2.12:80 ESTABLISHED 900");
  in(12, kInit);  // of a live one it is a packet like any other
  in(12, kAbort);
  CHECK(story.table() == "SCTP 198.51.100.1:1000 192.0.2.1:80 10.0.2.12:80 CLOSED 61");
  in(11, kInit);
  story.tune("conn_reuse_mode", 0);
  in(11, kAbort);
  in(11, kInit);
  CHECK(story.World::connections().size() == 1);
}

TEST_CASE("sctp: IPv6") {
  Story story({"-A --sctp-service [2001:db8:ff::1]:80 -s rr",
               "-a --sctp-service [2001:db8:ff::1]:80 -r [2001:db8:2::b]:8080 -m"});
  story.client(sctp("[2001:db8:aa::1]:1000", "[2001:db8:ff::1]:80", 0, kInit), Verdict::kForwardedNat,
               {to_server(11, sctp("[2001:db8:aa::1]:1000", "[2001:db8:2::b]:8080", 0, kInit).ttl(63).packet())});
  story.server(sctp("[2001:db8:2::b]:8080", "[2001:db8:aa::1]:1000", 5, kInitAck), Verdict::kForwardedNatReply,
               {to_client(sctp("[2001:db8:ff::1]:80", "[2001:db8:aa::1]:1000", 5, kInitAck).ttl(63).packet())});
  check_accounts(story);
}
