// SPDX-License-Identifier: Apache-2.0
// What is counted of servers' answers: connections begun, answered, reset by the server; of NAT and TCP alone.
#include "test/topic.h"

using namespace fulcrum;
using namespace fulcrum::test;

namespace {

const char* const kVip = "192.0.2.1:80";
const char* const kServer = "10.0.2.11:8080";
const std::vector<std::string> kNat = {"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11:8080 -m"};

// "opened answered reset" of the first service's first server.
std::string answers(Story& story) {
  const AnswerValues of = story.publisher().statistics(nullptr, false).at(0).servers.at(0).answers;
  return std::to_string(of.opened) + " " + std::to_string(of.answered) + " " + std::to_string(of.reset);
}

Bytes from_its_mac(PacketBuilder packet) { return packet.mac("02:00:00:00:02:0b", "02:00:00:00:02:01").frame(); }

std::string client(unsigned port) { return "198.51.100.1:" + std::to_string(port); }

}  // namespace

TEST_CASE("answers: a connection is answered once, by whatever the server sends first") {
  for (const uint32_t workers : {1u, 2u}) {
    Story story(kNat, {.workers = workers});
    const auto from_client = [&](unsigned port, std::string_view flags) {
      story.exchange(Side::kClient, tcp(client(port), kVip, flags).frame());
    };
    const auto from_server = [&](unsigned port, std::string_view flags) {
      story.exchange(Side::kServer, from_its_mac(tcp(kServer, client(port), flags)));
    };
    for (unsigned port = 2000; port < 2010; ++port) from_client(port, "S");
    CHECK(answers(story) == "10 0 0");
    from_client(2000, "S");  // again
    CHECK(answers(story) == "10 0 0");
    from_server(2000, "SA");
    from_server(2000, "SA");
    from_client(2000, "A");
    from_server(2000, "PA");
    CHECK(answers(story) == "10 1 0");
    from_server(2001, "RA");  // nobody listens there
    CHECK(answers(story) == "10 2 1");
    from_server(2000, "R");
    from_server(2000, "R");
    CHECK(answers(story) == "10 2 2");
    // Who resets what either side has closed already resets nothing.
    from_server(2002, "SA");
    from_client(2002, "A");
    from_client(2002, "FA");
    from_server(2002, "R");
    CHECK(answers(story) == "10 3 2");
    // The client's resets are not the server's.
    from_server(2003, "SA");
    from_client(2003, "A");
    from_client(2003, "R");
    CHECK(answers(story) == "10 4 2");
    // The timers of SYN_RECV bring nothing.
    story.advance_ms(120'000);
    CHECK(answers(story) == "10 4 2");
    check_accounts(story);
    Operation zero;
    zero.kind = Operation::Kind::kZero;
    zero.all_services = true;
    story.publish({zero});
    CHECK(answers(story) == "0 0 0");
    from_client(2004, "S");
    from_server(2004, "SA");
    CHECK(answers(story) == "1 1 0");
  }
}

TEST_CASE("answers: nothing is counted where one direction is seen, nor of UDP") {
  {
    Story direct({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11:80 -g"});
    direct.exchange(Side::kClient, tcp(client(2000), kVip, "S").frame());
    // By a route through the director.
    for (const char* flags : {"SA", "R"}) direct.exchange(Side::kServer, from_its_mac(tcp(kVip, client(2000), flags)));
    CHECK(answers(direct) == "0 0 0");
  }
  Story datagrams({"-A -u 192.0.2.1:53 -s rr", "-a -u 192.0.2.1:53 -r 10.0.2.11:53 -m"});
  datagrams.connections(3, client(2000), "192.0.2.1:53", "syn", true);
  CHECK(answers(datagrams) == "0 0 0");
}
