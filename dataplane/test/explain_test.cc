// SPDX-License-Identifier: Apache-2.0
// What is foretold of a packet is what then happens to it; and foretelling changes nothing.
#include "core/explain.h"

#include <map>
#include <random>

#include "test/topic.h"

using namespace fulcrum;
using namespace fulcrum::test;

namespace {

using Lines = std::vector<std::string>;

const std::map<std::string_view, SctpChunkType> chunks = {
    {"init", SctpChunkType::kInit},
    {"init ack", SctpChunkType::kInitAck},
    {"cookie echo", SctpChunkType::kCookieEcho},
    {"data", SctpChunkType::kData},
    {"abort", SctpChunkType::kAbort},
    {"shutdown complete", SctpChunkType::kShutdownComplete},
};

// As imagined() below, on the wire.
PacketBuilder packet_of(const Endpoint& from, const Endpoint& to, const std::string& flags) {
  if (flags == "udp") return udp(from, to);
  const auto chunk = chunks.find(flags);
  if (chunk == chunks.end()) return tcp(from, to, flags);
  char bytes[9];
  std::snprintf(bytes, sizeof bytes, "%02x000004", static_cast<unsigned>(chunk->second));
  return sctp(from, to, 1, bytes);
}

ImaginedPacket imagined(const Endpoint& from, const Endpoint& to, std::string_view flags, uint16_t length = 0) {
  ImaginedPacket packet;
  packet.source = from.address;
  packet.destination = to.address;
  packet.source_port = static_cast<uint16_t>(from.port);
  packet.destination_port = static_cast<uint16_t>(to.port);
  const auto chunk = chunks.find(flags);
  const bool is_udp = flags == "udp", is_sctp = chunk != chunks.end();
  packet.protocol = is_udp ? IpProtocol::kUdp : is_sctp ? IpProtocol::kSctp : IpProtocol::kTcp;
  if (is_sctp) packet.sctp_chunk = chunk->second;
  for (const auto& [letter, bit] :
       {std::pair{'F', kTcpFin}, {'S', kTcpSyn}, {'R', kTcpRst}, {'P', kTcpPsh}, {'A', kTcpAck}})
    if (packet.protocol == IpProtocol::kTcp && flags.find(letter) != std::string_view::npos) packet.tcp_flags |= bit;
  const unsigned headers = (from.address.family == Family::kIpv4 ? 20u : 40u) + (is_udp ? 8u : is_sctp ? 16u : 20u);
  packet.length = length == 0 ? static_cast<uint16_t>(headers) : length;
  return packet;
}

// As the engine does it.
Explanation explain(Story& story, const ImaginedPacket& packet) {
  ExplainRequest request;
  request.packet = packet;
  for (int tries = 0; tries < 2 && !request.is_answered; ++tries) {
    Command command{};
    command.kind = Command::Kind::kExplain;
    command.explain = &request;
    REQUIRE(rte_ring_sp_enqueue_elem(story.shared().mailboxes[request.owner], &command, sizeof command) == 0);
    story.run();
  }
  REQUIRE(request.is_answered);
  return request.answer;
}

std::string verdict_of(Story& story, const ImaginedPacket& packet) {
  return std::string(verdict_name(explain(story, packet).verdict));
}

// Of the first service.
std::vector<Candidate> candidates_of(Story& story) {
  return fulcrum::candidates_of(**story.publisher().current().services.begin(), story.shared().loads());
}

const char* const kVip = "192.0.2.1:80";
std::string client(unsigned port) { return "198.51.100.1:" + std::to_string(port); }

}  // namespace

TEST_CASE("explain: what begins a connection, belongs to one, answers one") {
  for (const uint32_t workers : {1u, 2u}) {
    Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11:8080 -m -w 2",
                 "-a -t 192.0.2.1:80 -r 10.0.2.12:8080 -m -w 0"},
                {.workers = workers});
    const Explanation begins = explain(story, imagined(client(2000), kVip, "S"));
    CHECK(verdict_name(begins.verdict) == "forwarded_nat");
    CHECK(begins.service->port == 80);
    CHECK(begins.scheduler == "rr");
    CHECK(!begins.connection);
    const auto candidates = candidates_of(story);
    REQUIRE(candidates.size() == 2);
    CHECK(candidates[0].key.address.text() == "10.0.2.12");
    CHECK(candidates[0].weight == 0);
    CHECK(begins.server->address.text() == "10.0.2.11");
    CHECK(begins.server_port == 8080);
    CHECK(begins.mac == server_mac(11));
    CHECK(begins.reason == "");
    CHECK(story.table() == "");

    story.connections(1, client(2000), kVip, "est");
    const Explanation goes_on = explain(story, imagined(client(2000), kVip, "PA"));
    CHECK(verdict_name(goes_on.verdict) == "forwarded_nat");
    CHECK(goes_on.connection->server.text() == "10.0.2.11");
    CHECK(!goes_on.is_reply);
    const Explanation answers = explain(story, imagined("10.0.2.11:8080", client(2000), "PA"));
    CHECK(verdict_name(answers.verdict) == "forwarded_nat_reply");
    CHECK(answers.is_reply);
    CHECK(answers.neighbor.text() == "10.0.1.254");

    CHECK(verdict_of(story, imagined(client(3000), kVip, "PA")) == "tcp_reset_sent");
    CHECK(verdict_of(story, imagined(client(3000), kVip, "R")) == "local_ignored");
    CHECK(verdict_of(story, imagined(client(3000), "192.0.2.1:81", "S")) == "tcp_reset_sent");
    CHECK(verdict_of(story, imagined(client(3000), "192.0.2.1:80", "udp")) == "port_unreachable_sent");
    CHECK(verdict_of(story, imagined(client(3000), "10.0.3.7:80", "S")) == "routed");
    CHECK(verdict_of(story, imagined("127.0.0.1:1", kVip, "S")) == "martian_address");
  }
}

TEST_CASE("explain: why not") {
  {
    Story story({"-A -t 192.0.2.1:80 -s wlc", "-a -t 192.0.2.1:80 -r 10.0.2.11 -g -x 1"});
    story.connections(1, client(2000), kVip, "est");
    const Explanation full = explain(story, imagined(client(2001), kVip, "S"));
    CHECK(verdict_name(full.verdict) == "no_server");
    CHECK(full.reason == "no real server takes it: 0 of 1 have weight 0, 1 have reached their upper threshold");
    CHECK(candidates_of(story).at(0).overloaded);
    story.configure({"-e -t 192.0.2.1:80 -r 10.0.2.11 -g -w 0"});
    CHECK(explain(story, imagined(client(2001), kVip, "S")).reason ==
          "no real server takes it: 1 of 1 have weight 0, 0 have reached their upper threshold");
    story.configure({"-d -t 192.0.2.1:80 -r 10.0.2.11"});
    CHECK(explain(story, imagined(client(2001), kVip, "S")).reason == "no real server takes it: the pool is empty");
    CHECK(verdict_of(story, imagined(client(2000), kVip, "PA")) == "server_gone");
  }
  {
    Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.31 -g"});
    const Explanation unknown = explain(story, imagined(client(2000), kVip, "S"));
    CHECK(verdict_name(unknown.verdict) == "forwarded_dr");
    CHECK(unknown.reason == "10.0.2.31 has not answered for its MAC: the packet waits for it");
    CHECK(!unknown.mac);
    TrafficPolicy policy;
    policy.deny = {{}, World::prefixes_of({"198.51.100.0/24"})};
    REQUIRE(story.traffic("-A -t 192.0.2.1:80", policy).reason == Reason::kDone);
    CHECK(verdict_of(story, imagined(client(2000), kVip, "S")) == "client_denied");
    CHECK(verdict_of(story, imagined("203.0.113.9:2000", kVip, "S")) == "forwarded_dr");
  }
  {
    Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11 -i"});
    CHECK(verdict_of(story, imagined(client(2000), kVip, "PA", 1480)) == "tcp_reset_sent");
    CHECK(verdict_of(story, imagined(client(2000), kVip, "S", 1480)) == "forwarded_tun");
    const Explanation long_one = explain(story, imagined(client(2000), kVip, "S", 1481));
    CHECK(verdict_name(long_one.verdict) == "fragmentation_needed_sent");
    CHECK(long_one.reason == "1481 bytes do not fit into 1480 on the way to the server");
    ImaginedPacket cut = imagined(client(2000), kVip, "S", 1481);
    cut.dont_fragment = false;
    CHECK(verdict_of(story, cut) == "forwarded_tun");
  }
}

TEST_CASE("explain: persistence and marks") {
  Story story({"-A -t 192.0.2.1:80 -s rr -p 60", "-a -t 192.0.2.1:80 -r 10.0.2.11 -g",
               "-a -t 192.0.2.1:80 -r 10.0.2.12 -g", "-A -f 7 -s rr", "-a -f 7 -r 10.0.2.13 -g"});
  const std::string got = story.connections(1, client(2000), kVip, "est");
  for (int i = 0; i < 3; ++i) {
    const Explanation sticks = explain(story, imagined(client(2001), kVip, "S"));
    CHECK(sticks.by_template);
    CHECK(sticks.server->address.text() == "10.0.2." + got);
    CHECK(!explain(story, imagined("203.0.113.9:2001", kVip, "S")).by_template);
  }
  MarkRule rule;
  rule.mark = 7;
  rule.destination = Prefix::parse("192.0.2.9/32").value();
  story.mark({rule});
  const Explanation marked = explain(story, imagined(client(2000), "192.0.2.9:443", "S"));
  CHECK(marked.mark == 7);
  CHECK(marked.service->fwmark == 7);
  CHECK(marked.server->address.text() == "10.0.2.13");
}

// Whatever comes, in whatever order.
TEST_CASE("explain: random packets leave as foretold") {
  std::mt19937 random(20261123);
  const auto pick = [&](const Lines& of) { return of[random() % of.size()]; };
  for (const char* scheduler :
       {"rr", "wrr", "lc", "wlc", "sed", "nq", "sh", "dh", "mh", "fo", "ovf", "lblc", "lblcr"}) {
    for (const auto& [workers, stateless] : {std::pair{1u, false}, {2u, false}, {1u, true}}) {
      CAPTURE(scheduler);
      Story story(
          {"-A -t 192.0.2.1:80 -s " + std::string(scheduler), "-a -t 192.0.2.1:80 -r 10.0.2.11 -g -w 3",
           "-a -t 192.0.2.1:80 -r 10.0.2.12 -i -w 1", "-a -t 192.0.2.1:80 -r 10.0.2.13:8080 -m -w 2 -x 9",
           "-A -u 192.0.2.2:53 -s rr", "-a -u 192.0.2.2:53 -r 10.0.2.14 -m", "-A -t 192.0.2.3:0 -s rr -p 30",
           "-a -t 192.0.2.3:0 -r 10.0.2.11 -g", "-a -t 192.0.2.3:0 -r 10.0.2.12 -m",
           "-A --sctp-service 192.0.2.1:80 -s " + std::string(scheduler),
           "-a --sctp-service 192.0.2.1:80 -r 10.0.2.12 -g", "-a --sctp-service 192.0.2.1:80 -r 10.0.2.13:8080 -m"},
          {.workers = workers, .stateless = stateless});
      unsigned forwarded = 0;
      for (int i = 0; i < 700; ++i) {
        const std::string flags = pick({"S", "S", "S", "A", "PA", "FA", "R", "udp", "init", "init", "init ack",
                                        "cookie echo", "data", "abort", "shutdown complete"});
        const std::string from =
            "198.51.100." + std::to_string(1 + random() % 3) + ":" + std::to_string(2000 + random() % 24);
        const std::string to = pick({kVip, kVip, kVip, "192.0.2.2:53", "192.0.2.3:80", "192.0.2.3:443", "192.0.2.4:80",
                                     "10.0.3.9:80", "192.0.2.1:81"});
        const bool is_answer = random() % 4 == 0;
        const std::string server = pick({"10.0.2.13:8080", "10.0.2.14:53", "10.0.2.12:80", "10.0.2.30:80"});
        const std::string& source = is_answer ? server : from;
        const std::string& destination = is_answer ? from : to;
        const Explanation told = explain(story, imagined(source, destination, flags));
        const World::Verdicts before = story.verdicts();
        story.collect();
        const PacketBuilder packet = packet_of(source, destination, flags);
        if (is_answer) {
          story.put(Side::kServer, PacketBuilder(packet).mac("02:00:00:00:02:0b", "02:00:00:00:02:01").frame());
        } else {
          story.put(Side::kClient, packet.frame());
        }
        story.run();
        const World::Verdicts after = story.verdicts();
        std::string happened;
        for (size_t v = 0; v < kVerdicts; ++v)
          if (after[v] != before[v]) happened += std::string(verdict_name(static_cast<Verdict>(v)));
        INFO(flags, " ", source, " ", destination, ": ", told.reason);
        CHECK(happened == verdict_name(told.verdict));
        const std::vector<Frame> left = story.collect();
        if (told.server && told.mac && !left.empty()) {
          ++forwarded;
          CHECK(std::equal(told.mac->begin(), told.mac->end(), left[0].bytes.begin()));
        }
        if (i % 16 == 0) story.advance_ms(1 + random() % 40'000);
      }
      CHECK(forwarded > 50);
      check_accounts(story);
    }
  }
}

TEST_CASE("explain: costs, and the least of them is chosen") {
  for (const char* scheduler : {"lc", "wlc", "sed", "nq", "lblc", "lblcr"}) {
    CAPTURE(scheduler);
    Story story({"-A -t 192.0.2.1:80 -s " + std::string(scheduler), "-a -t 192.0.2.1:80 -r 10.0.2.11 -g -w 3",
                 "-a -t 192.0.2.1:80 -r 10.0.2.12 -g -w 1", "-a -t 192.0.2.1:80 -r 10.0.2.13 -g -w 0"});
    for (unsigned port = 2000; port < 2012; ++port) {
      const Explanation told = explain(story, imagined(client(port), kVip, "S"));
      const auto candidates = candidates_of(story);
      double least = HUGE_VAL, chosen = -1;
      for (const Candidate& candidate : candidates) {
        CHECK(candidate.cost.has_value() == (candidate.weight != 0));
        if (!candidate.cost) continue;
        least = std::min(least, *candidate.cost);
        if (candidate.key == *told.server) chosen = *candidate.cost;
      }
      // lblc and lblcr stay with whom they know.
      const bool stays = std::string_view(scheduler).starts_with("lb") && port > 2000;
      if (!stays) CHECK(chosen == least);
      story.connections(1, client(port), kVip, port % 2 == 0 ? "est" : "syn");
    }
  }
}
