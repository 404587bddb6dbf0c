// SPDX-License-Identifier: Apache-2.0
// A trace sees what comes, what is known of it, and what goes out; it changes nothing, and costs nobody a packet.
#include "core/trace.h"

#include "test/topic.h"

using namespace fulcrum;
using namespace fulcrum::test;

namespace {

const char* const kVip = "192.0.2.1:80";
std::string client(unsigned port) { return "198.51.100.1:" + std::to_string(port); }

struct Tracing {
  Tracing(Story& story, TraceFilter filter) : story_(story), session(1, filter, story.shared().clock.now_ms()) {
    tell(&session);
  }
  ~Tracing() { tell(nullptr); }
  // As the engine does it.
  void tell(TraceSession* to) {
    for (uint32_t id = 0; id < story_.workers(); ++id) {
      Command command{};
      command.kind = Command::Kind::kTrace;
      command.trace = to;
      REQUIRE(rte_ring_sp_enqueue_elem(story_.shared().mailboxes[id], &command, sizeof command) == 0);
    }
    story_.run();
  }
  std::vector<std::unique_ptr<TraceRecord>> read() { return session.read(story_.shared().clock.now_ms()); }
  Story& story_;
  TraceSession session;
};

TraceFilter all(uint32_t most = 100) {
  TraceFilter filter;
  filter.most = most;
  return filter;
}

std::string verdict_of(const TraceRecord& record) {
  return record.verdict ? std::string(verdict_name(*record.verdict)) : "";
}

Bytes bytes_of(const PacketBuilder& packet) { return packet.frame(); }

}  // namespace

TEST_CASE("trace: a packet before and after, its connection, its verdict") {
  for (const uint32_t workers : {1u, 2u}) {
    Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11:8080 -m"}, {.workers = workers});
    Tracing tracing(story, all());
    const PacketBuilder syn = tcp(client(2000), kVip, "S");
    story.exchange(Side::kClient, syn.frame());
    story.exchange(Side::kServer,
                   tcp("10.0.2.11:8080", client(2000), "SA").mac("02:00:00:00:02:0b", "02:00:00:00:02:01").frame());
    const auto records = tracing.read();
    REQUIRE(records.size() == 2);
    CHECK(verdict_of(*records[0]) == "forwarded_nat");
    CHECK(records[0]->before == bytes_of(syn));
    REQUIRE(records[0]->after.size() == 1);
    CHECK(records[0]->after[0].size() == records[0]->before.size());
    CHECK(records[0]->after[0] != records[0]->before);
    CHECK(!records[0]->explanation.connection);
    CHECK(records[0]->explanation.server->address.text() == "10.0.2.11");
    REQUIRE(records[0]->connection);
    CHECK(records[0]->connection->server_port == 8080);
    CHECK(verdict_of(*records[1]) == "forwarded_nat_reply");
    CHECK(records[1]->explanation.is_reply);
    check_accounts(story);
  }
}

TEST_CASE("trace: why that server") {
  Story story(
      {"-A -t 192.0.2.1:80 -s wlc", "-a -t 192.0.2.1:80 -r 10.0.2.11 -g -w 2", "-a -t 192.0.2.1:80 -r 10.0.2.12 -g"});
  Tracing tracing(story, all());
  const auto costs = [&](unsigned port) {
    story.exchange(Side::kClient, tcp(client(port), kVip, "S").frame());
    const auto records = tracing.read();
    REQUIRE(records.size() == 1);
    std::string text;
    for (const Candidate& candidate : records[0]->explanation.candidates) {
      char cost[32];
      std::snprintf(cost, sizeof cost, " %g", candidate.cost.value());
      text += candidate.key.address.text() + cost + "; ";
    }
    return text + records[0]->explanation.server->address.text();
  };
  // LVS's list has the newest server first; a half-open connection of TCP counts as an active one.
  CHECK(costs(2000) == "10.0.2.12 0; 10.0.2.11 0; 10.0.2.12");
  CHECK(costs(2001) == "10.0.2.12 256; 10.0.2.11 0; 10.0.2.11");
  CHECK(costs(2002) == "10.0.2.12 256; 10.0.2.11 128; 10.0.2.11");
  // What belongs to a connection was not chosen.
  CHECK(costs(2002).substr(0, 8) == "10.0.2.1");
}

TEST_CASE("trace: what was received by another worker is told once, by its owner") {
  Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11 -g"}, {.workers = 2});
  Tracing tracing(story, all());
  for (const uint32_t worker : {0u, 1u})
    for (const unsigned port : ports_of_worker(worker, 5)) {
      story.advance_ms(1);
      story.exchange(Side::kClient, tcp(client(port), kVip, "S").frame());
    }
  const auto records = tracing.read();
  CHECK(records.size() == 10);
  unsigned handed_over = 0;
  for (const auto& record : records) handed_over += record->was_handed_over;
  CHECK(handed_over == 5);
  check_accounts(story);
}

TEST_CASE("trace: filters, a malformed packet, one that waits") {
  Story story({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.31 -g", "-A -u 192.0.2.2:53 -s rr",
               "-a -u 192.0.2.2:53 -r 10.0.2.12:53 -m"});
  const auto traced = [&](const TraceFilter& filter, const std::vector<Bytes>& frames) {
    Tracing tracing(story, filter);
    for (const Bytes& frame : frames) {
      story.advance_ms(1);
      story.exchange(Side::kClient, frame);
    }
    std::string text;
    for (const auto& record : tracing.read()) text += (text.empty() ? "" : " ") + ("[" + verdict_of(*record) + "]");
    return text;
  };
  const Bytes waits = tcp(client(2000), kVip, "S").frame(), ask = udp(client(3000), "192.0.2.2:53").frame(),
              routed = tcp("203.0.113.9:1", "10.0.3.7:80", "S").frame();
  Bytes damaged = ask;
  damaged.at(24) ^= 0xff;  // the IP header's checksum
  CHECK(traced(all(), {waits, ask, routed, damaged}) == "[] [forwarded_nat] [routed] [malformed_ip_checksum]");
  CHECK(traced(all(2), {ask, ask, ask}) == "[forwarded_nat] [forwarded_nat]");
  TraceFilter filter = all();
  filter.client = Prefix::parse("198.51.100.0/24").value();
  CHECK(traced(filter, {ask, routed, damaged}) == "[forwarded_nat]");
  filter = all();
  filter.verdict = Verdict::kRouted;
  CHECK(traced(filter, {ask, routed, damaged}) == "[routed]");
  filter = all();
  filter.vip = Endpoint("192.0.2.2").address;
  CHECK(traced(filter, {ask, routed}) == "[forwarded_nat]");
  filter = all();
  filter.server = Endpoint("10.0.2.12").address;  // of the connection that it belongs to
  CHECK(traced(filter, {ask, routed}) == "[forwarded_nat]");
  // Or that it begins.
  CHECK(traced(filter, {udp(client(3001), "192.0.2.2:53").frame()}) == "[forwarded_nat]");
  filter.server = Endpoint("10.0.2.13").address;
  CHECK(traced(filter, {ask, udp(client(3002), "192.0.2.2:53").frame()}) == "");
  // All must match.
  filter.server = Endpoint("10.0.2.12").address;
  filter.vip = Endpoint("192.0.2.1").address;
  CHECK(traced(filter, {ask}) == "");
  filter.vip = Endpoint("192.0.2.2").address;
  filter.client = Prefix::parse("203.0.113.0/24").value();
  CHECK(traced(filter, {ask}) == "");
  // As if nobody had looked: three clients, three connections.
  CHECK(story.statistics().find("UDP 192.0.2.2:53 3 ") != std::string::npos);
}

TEST_CASE("trace: what finds no room is counted, and whom nobody reads costs nothing more") {
  Story story({"-A -u 192.0.2.2:53 -s rr", "-a -u 192.0.2.2:53 -r 10.0.2.12:53 -m"});
  Tracing tracing(story, all(5000));
  const Bytes ask = udp(client(3000), "192.0.2.2:53").frame();
  const auto come = [&](unsigned count) {
    for (unsigned i = 0; i < count; ++i) {
      story.put(Side::kClient, ask);
      story.run();
      story.collect();
    }
  };
  // So many at once, and the rest goes its way.
  constexpr unsigned kTooMany = TraceSession::kAtOnce + 12;
  come(kTooMany);
  CHECK(tracing.read().size() == TraceSession::kAtOnce);
  CHECK(tracing.session.lost() == 12);
  for (int i = 0; i < 150; ++i) {
    story.advance_ms(1);
    come(TraceSession::kPerMs);
  }
  CHECK(tracing.read().size() == TraceSession::kRingSize - 1);
  CHECK(tracing.session.lost() == 150 * TraceSession::kPerMs - (TraceSession::kRingSize - 1));
  CHECK(story.verdicts()[static_cast<size_t>(Verdict::kForwardedNat)] == kTooMany + 150 * TraceSession::kPerMs);
  story.advance_ms(TraceSession::kUnreadMs + 1);
  story.exchange(Side::kClient, ask);
  CHECK(tracing.read().empty());
  check_accounts(story);
}
