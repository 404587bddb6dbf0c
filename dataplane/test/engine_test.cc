// SPDX-License-Identifier: Apache-2.0
// The engine as the host has it: two workers and a control thread that really run, memory ports, a clock that stands
// still between set_clock_ms() calls. The tests share it, so each cleans up after itself.
#include "core/engine.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <sstream>

#include "test/story.h"

using namespace fulcrum;
using namespace fulcrum::test;

namespace {

// Which of several workers is told of first is chance.
std::string sorted_lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  std::sort(lines.begin(), lines.end());
  std::string sorted;
  for (const std::string& line : lines) sorted += (sorted.empty() ? "" : "\n") + line;
  return sorted;
}

// The shared engine, without configuration; how it was found is how it is left.
class Running {
 public:
  Running() : engine_(running_engine()) {
    engine_.on_event([this](const Event& event) {
      const std::lock_guard lock(mutex_);
      events_.push_back(event.kind + ": " + event.message);
    });
    drain();
  }
  ~Running() {
    // Whatever the test configured goes, and every connection and neighbour with it.
    Publisher::Wanted nothing;
    CHECK(engine_.apply_snapshot("", "test", engine_.state().generation + 1, nothing).error == ApplyError::kNone);
    for (int round = 0; round < 8; ++round) pass_ms(700'000);
    CHECK(engine_.state().connections == 0);
    for (const NeighborInfo& at : engine_.neighbors()) CHECK(at.state == NeighborState::kStatic);
    drain();
    engine_.on_event({});
  }

  Engine& engine() { return engine_; }
  void apply(const std::vector<std::string>& lines) {
    std::vector<Operation> operations;
    for (const std::string& line : lines) operations.push_back(World::parse(line));
    publish(operations);
  }
  void publish(const std::vector<Operation>& operations) {
    const auto state = engine_.state();
    const auto outcome = engine_.apply_operations(state.instance_id, state.lineage, state.generation,
                                                  state.generation + 1, operations, true);
    CHECK(outcome.error == ApplyError::kNone);
    for (const OperationResult& result : outcome.results) CHECK_MESSAGE(result.reason == Reason::kDone, result.message);
  }
  void pass_ms(uint64_t milliseconds) { engine_.set_clock_ms(engine_.now_ms() + milliseconds); }

  void put(Side side, const std::vector<Bytes>& frames) {
    std::vector<std::string> texts;
    for (const Bytes& frame : frames) texts.emplace_back(frame.begin(), frame.end());
    CHECK(engine_.inject(name(side), 0, texts) == frames.size());
  }
  std::vector<Bytes> take(Side side) {
    std::vector<Bytes> frames;
    const auto taken = engine_.drain(name(side));
    REQUIRE(taken.has_value());
    for (const std::string& frame : *taken) frames.emplace_back(frame.begin(), frame.end());
    return frames;
  }
  // What left by a port, in words.
  std::string text(Side side) {
    std::string all;
    for (const Bytes& frame : take(side)) all += (all.empty() ? "" : "\n") + frame_text(frame);
    return all;
  }
  void drain() {
    take(Side::kClient);
    take(Side::kServer);
  }
  std::string events() {
    engine_.settle();
    const std::lock_guard lock(mutex_);
    std::string all;
    for (const std::string& event : events_) all += (all.empty() ? "" : "\n") + event;
    events_.clear();
    return all;
  }
  std::optional<NeighborInfo> neighbor(const char* address) {
    engine_.settle();
    for (const NeighborInfo& at : engine_.neighbors())
      if (at.key.address == Endpoint(address).address) return at;
    return std::nullopt;
  }
  WorkerCounters counters() const {
    WorkerCounters sum;
    for (const WorkerReport& report : engine_.workers()) {
      for (size_t i = 0; i < kVerdicts; ++i) sum.verdicts[i] += report.counters.verdicts[i];
      sum.rx_packets += report.counters.rx_packets;
      sum.handed_over += report.counters.handed_over;
      sum.taken_over += report.counters.taken_over;
    }
    return sum;
  }

 private:
  static const char* name(Side side) { return side == Side::kClient ? "cl" : "rs"; }
  Engine& engine_;
  std::mutex mutex_;
  std::vector<std::string> events_;
};

Bytes from_server(PacketBuilder packet) { return packet.mac("02:00:00:00:02:0b", "02:00:00:00:02:01").frame(); }
std::string client(unsigned port) { return "198.51.100.1:" + std::to_string(port); }

const std::string kQuestion =
    "02:00:00:00:02:01>ff:ff:ff:ff:ff:ff ARP who has 10.0.2.99? tell 10.0.2.1 (02:00:00:00:02:01)";
const std::string kUnicastQuestion =
    "02:00:00:00:02:01>02:00:00:00:02:63 ARP who has 10.0.2.99? tell 10.0.2.1 (02:00:00:00:02:01)";
const Bytes kAnswer = arp_reply("02:00:00:00:02:63", "10.0.2.99", "02:00:00:00:02:01", "10.0.2.1");

}  // namespace

TEST_CASE("engine: connections are deleted on both workers, and persistence templates with them") {
  Running on;
  on.apply({"-A -t 10.0.1.100:80 -s rr -p 300", "-a -t 10.0.1.100:80 -r 10.0.2.11:8080 -m"});
  on.drain();
  constexpr unsigned kConnections = 1500;
  std::vector<Bytes> syns;
  for (unsigned i = 0; i < kConnections; ++i) syns.push_back(tcp(client(1024 + i), "10.0.1.100:80", "S").frame());
  on.put(Side::kClient, syns);
  CHECK(on.take(Side::kServer).size() == kConnections);
  on.pass_ms(7'000);
  for (const WorkerReport& report : on.engine().workers()) CHECK(report.connections > kConnections / 3);

  using Action = PurgeRequest::Action;
  ConnectionFilter filter;
  filter.by_service = true;
  filter.service = {Endpoint("10.0.1.100").address, IpProtocol::kTcp, 81, 0};
  CHECK(on.engine().purge(filter, Action::kReset, true).connections == 0);
  filter.service.port = 80;
  const Engine::Purged counted = on.engine().purge(filter, Action::kCount, true);
  CHECK(counted.connections == kConnections);
  CHECK(counted.active == kConnections);
  CHECK(counted.templates == 1);
  CHECK(counted.oldest_ms == 7'000);
  std::vector<ConnectionInfo> page;
  CHECK(on.engine().list_connections(filter, 0, 10'000, page) == 0);
  CHECK(page.size() == kConnections + 1);

  filter.client = Prefix::parse("198.51.100.2/31").value();
  CHECK(on.engine().purge(filter, Action::kReset, true).connections == 0);
  filter.client = Prefix::parse("198.51.100.0/31").value();
  const Engine::Purged purged = on.engine().purge(filter, Action::kReset, true);
  CHECK(purged.connections == kConnections);
  CHECK(purged.templates == 1);
  page.clear();
  CHECK(on.engine().list_connections({}, 0, 10'000, page) == 0);
  CHECK(page.empty());
  const auto server = on.engine().statistics(nullptr, false).at(0).servers.at(0);
  CHECK(server.active + server.inactive + server.persistent == 0);
  uint64_t deleted = 0;
  for (const WorkerReport& report : on.engine().workers()) deleted += report.counters.deleted;
  CHECK(deleted == kConnections);
}

TEST_CASE("engine: NAT through two running workers; nothing is lost, all is counted") {
  Running on;
  on.apply({"-A -t 10.0.1.100:80 -s rr", "-a -t 10.0.1.100:80 -r 10.0.2.11:8080 -m"});
  on.drain();  // the VIP's announcement
  const WorkerCounters before = on.counters();
  constexpr unsigned kConnections = 2000;
  const auto all = [&](Side side, auto&& frame_of) {
    std::vector<Bytes> frames;
    for (unsigned i = 0; i < kConnections; ++i) frames.push_back(frame_of(1024 + i));
    on.put(side, frames);
    return on.take(side == Side::kClient ? Side::kServer : Side::kClient);
  };
  const auto syns = all(Side::kClient, [](unsigned port) { return tcp(client(port), "10.0.1.100:80", "S").frame(); });
  REQUIRE(syns.size() == kConnections);
  std::vector<bool> seen(65536);
  for (const Bytes& frame : syns) {
    const unsigned port = get16(frame, 34);
    CHECK_FALSE(seen[port]);
    seen[port] = true;
    CHECK(difference(to_server(11, tcp(client(port), "10.0.2.11:8080", "S").ttl(63).packet()).frame.bytes, frame) ==
          "");
  }
  const auto replies =
      all(Side::kServer, [](unsigned port) { return from_server(tcp("10.0.2.11:8080", client(port), "SA")); });
  REQUIRE(replies.size() == kConnections);
  for (const Bytes& frame : replies) {
    const unsigned port = get16(frame, 36);
    CHECK(difference(to_client(tcp("10.0.1.100:80", client(port), "SA").ttl(63).packet()).frame.bytes, frame) == "");
  }
  CHECK(all(Side::kClient, [](unsigned port) { return tcp(client(port), "10.0.1.100:80", "A").frame(); }).size() ==
        kConnections);

  const WorkerCounters after = on.counters();
  CHECK(after.rx_packets - before.rx_packets == 3 * kConnections);
  uint64_t given = 0;
  for (size_t i = 0; i < kVerdicts; ++i) given += after.verdicts[i] - before.verdicts[i];
  CHECK(given == 3 * kConnections);
  CHECK(after.handed_over - before.handed_over > kConnections);
  CHECK(after.handed_over == after.taken_over);
  const auto statistics = on.engine().statistics(nullptr, false);
  REQUIRE(statistics.size() == 1);
  CHECK(statistics[0].counters.connections == kConnections);
  CHECK(statistics[0].counters.in_packets == 2 * kConnections);
  CHECK(statistics[0].counters.out_packets == kConnections);
  CHECK(statistics[0].servers.at(0).active == kConnections);
  CHECK(on.engine().state().connections == kConnections);

  // Both workers have their share, and a listing by pages goes through both.
  for (const WorkerReport& report : on.engine().workers()) CHECK(report.connections > kConnections / 3);
  std::vector<bool> listed(65536);
  size_t count = 0;
  uint64_t cursor = 0;
  do {
    std::vector<ConnectionInfo> page;
    cursor = on.engine().list_connections({}, cursor, 333, page);
    CHECK(page.size() <= 333);
    for (const ConnectionInfo& at : page) {
      CHECK_FALSE(listed[at.client_port]);
      listed[at.client_port] = true;
    }
    count += page.size();
  } while (cursor != 0);
  CHECK(count == kConnections);
}

TEST_CASE("engine: a neighbour is asked for, its packets wait and leave in order") {
  Running on;
  on.apply({"-A -t 10.0.1.100:80 -s rr", "-a -t 10.0.1.100:80 -r 10.0.2.99 -g"});
  CHECK(on.text(Side::kServer) == kQuestion);  // before the first packet needs it
  std::vector<Bytes> syns;
  for (int i = 0; i < 10; ++i)
    syns.push_back(tcp(client(1000), "10.0.1.100:80", "S").sequence(static_cast<uint32_t>(i)).frame());
  on.put(Side::kClient, syns);
  CHECK(on.text(Side::kServer) == "");  // asked already
  on.put(Side::kServer, {kAnswer});
  const auto frames = on.take(Side::kServer);
  REQUIRE(frames.size() == 8);
  for (unsigned i = 0; i < 8; ++i)
    CHECK(difference(to_server(99, tcp(client(1000), "10.0.1.100:80", "S").sequence(i).ttl(63).packet()).frame.bytes,
                     frames[i]) == "");
  const auto info = on.neighbor("10.0.2.99");
  REQUIRE(info.has_value());
  CHECK(info->state == NeighborState::kReachable);
  CHECK(mac_text(info->mac) == "02:00:00:00:02:63");
}

TEST_CASE("engine: a silent neighbour is asked for three times, then its packets are dropped") {
  Running on;
  on.apply({"-A -t 10.0.1.100:80 -s rr", "-a -t 10.0.1.100:80 -r 10.0.2.99 -g"});
  const uint64_t failed = on.counters().verdicts[static_cast<size_t>(Verdict::kNeighborFailed)];
  on.put(Side::kClient,
         {tcp(client(1000), "10.0.1.100:80", "S").frame(), tcp(client(1001), "10.0.1.100:80", "S").frame()});
  CHECK(on.text(Side::kServer) == kQuestion);
  for (int retry = 0; retry < 2; ++retry) {
    on.pass_ms(1000);
    CHECK(on.text(Side::kServer) == kQuestion);
  }
  on.pass_ms(1000);
  CHECK(on.text(Side::kServer) == "");
  CHECK(on.neighbor("10.0.2.99")->state == NeighborState::kFailed);
  CHECK(on.counters().verdicts[static_cast<size_t>(Verdict::kNeighborFailed)] - failed == 2);
  // A packet begins it anew, and an answer mends it.
  on.put(Side::kClient, {tcp(client(1000), "10.0.1.100:80", "S").frame()});
  CHECK(on.text(Side::kServer) == kQuestion);
  on.put(Side::kServer, {kAnswer});
  CHECK(on.take(Side::kServer).size() == 1);
  CHECK(on.neighbor("10.0.2.99")->state == NeighborState::kReachable);
}

TEST_CASE("engine: a neighbour in use is asked again when it is stale, by unicast, and lost when it is silent") {
  Running on;
  on.apply({"-A -t 10.0.1.100:80 -s rr", "-a -t 10.0.1.100:80 -r 10.0.2.99 -g"});
  on.drain();  // the question
  on.put(Side::kServer, {kAnswer});
  on.drain();
  const auto use = [&] {
    on.put(Side::kClient, {tcp(client(1000), "10.0.1.100:80", "S").frame()});
    CHECK(on.take(Side::kServer).size() >= 1);
  };
  use();
  on.pass_ms(30'000);
  CHECK(on.neighbor("10.0.2.99")->state == NeighborState::kStale);
  CHECK(on.text(Side::kServer) == "");  // nobody uses it
  on.pass_ms(2000);
  on.put(Side::kClient, {tcp(client(1000), "10.0.1.100:80", "S").frame()});
  on.drain();
  on.pass_ms(1000);
  CHECK(on.text(Side::kServer) == kUnicastQuestion);
  CHECK(on.neighbor("10.0.2.99")->state == NeighborState::kProbe);
  on.put(Side::kServer, {kAnswer});
  CHECK(on.neighbor("10.0.2.99")->state == NeighborState::kReachable);
  on.drain();

  // Asked by unicast three times, in vain.
  on.pass_ms(32'000);
  use();
  for (int question = 0; question < 3; ++question) {
    on.pass_ms(1000);
    CHECK(on.text(Side::kServer) == kUnicastQuestion);
  }
  on.pass_ms(1000);
  CHECK(on.neighbor("10.0.2.99")->state == NeighborState::kFailed);
  CHECK(on.events() == "neighbor_lost: 10.0.2.99 on rs no longer answers");
}

TEST_CASE("engine: an unused neighbour is forgotten, its place used again") {
  Running on;
  on.apply({"-A -t 10.0.1.100:80 -s rr", "-a -t 10.0.1.100:80 -r 10.0.2.99 -g"});
  on.drain();  // the question
  on.put(Side::kServer, {kAnswer});
  CHECK(on.neighbor("10.0.2.99").has_value());
  on.pass_ms(31'000);
  on.pass_ms(600'000);
  CHECK_FALSE(on.neighbor("10.0.2.99").has_value());
  on.put(Side::kClient, {tcp(client(1000), "10.0.1.100:80", "S").frame()});
  on.drain();
  on.put(Side::kServer, {kAnswer});
  CHECK(on.take(Side::kServer).size() == 1);
}

TEST_CASE("engine: a neighbour that moves is followed and reported") {
  Running on;
  on.apply({"-A -t 10.0.1.100:80 -s rr", "-a -t 10.0.1.100:80 -r 10.0.2.99 -g"});
  on.drain();  // the question
  on.put(Side::kServer, {kAnswer});
  on.drain();
  on.put(Side::kServer, {arp_reply("02:00:00:00:02:64", "10.0.2.99", "02:00:00:00:02:01", "10.0.2.1")});
  CHECK(on.events() == "neighbor_moved: 10.0.2.99 on rs is now 02:00:00:00:02:64");
  on.put(Side::kClient, {tcp(client(1000), "10.0.1.100:80", "S").frame()});
  const auto frames = on.take(Side::kServer);
  REQUIRE(frames.size() == 1);
  CHECK(difference(to_server(0x64, tcp(client(1000), "10.0.1.100:80", "S").ttl(63).packet()).frame.bytes, frames[0]) ==
        "");
}

TEST_CASE("engine: a static neighbour is neither asked for nor believed otherwise") {
  Running on;
  on.put(Side::kServer, {arp_reply("02:00:00:00:09:09", "10.0.2.11", "02:00:00:00:02:01", "10.0.2.1")});
  const auto info = on.neighbor("10.0.2.11");
  REQUIRE(info.has_value());
  CHECK(info->state == NeighborState::kStatic);
  CHECK(mac_text(info->mac) == "02:00:00:00:02:0b");
  CHECK(on.text(Side::kServer) == "");
}

TEST_CASE("engine: a VIP that becomes active announces itself three times; a standby one does not") {
  Running on;
  const std::string announcement =
      "02:00:00:00:01:01>ff:ff:ff:ff:ff:ff ARP who has 10.0.1.100? tell 10.0.1.100 (02:00:00:00:01:01)";
  on.apply({"-A -t 10.0.1.100:80 -s rr"});
  CHECK(on.text(Side::kClient) == announcement);  // on its own link only
  CHECK(on.text(Side::kServer) == "");
  for (int more = 0; more < 2; ++more) {
    on.pass_ms(1000);
    CHECK(on.text(Side::kClient) == announcement);
  }
  on.pass_ms(1000);
  CHECK(on.text(Side::kClient) == "");

  Operation vip;
  vip.kind = Operation::Kind::kSetVip;
  vip.vip.address = Endpoint("10.0.1.100").address;
  vip.vip.state = VipState::kStandby;
  on.publish({vip});
  CHECK(on.text(Side::kClient) == "");
  vip.vip.state = VipState::kActive;
  on.publish({vip});
  CHECK(on.text(Side::kClient) == announcement);
  on.pass_ms(3000);
  on.drain();

  // A VIP on nobody's link is announced on all of them.
  on.apply({"-A -t 192.0.2.1:80 -s rr"});
  CHECK(on.take(Side::kClient).size() == 1);
  const std::string servers = on.text(Side::kServer);
  CHECK(servers.find("ARP who has 192.0.2.1?") != std::string::npos);
  CHECK(servers.find("vlan 100 ARP who has 192.0.2.1?") != std::string::npos);
}

TEST_CASE("engine: somebody else's use of an active VIP is reported once in a while") {
  Running on;
  on.apply({"-A -t 10.0.1.100:80 -s rr"});
  on.drain();
  const Bytes theirs = arp_request("02:00:00:00:01:99", "10.0.1.100", "10.0.1.100");
  on.put(Side::kClient, {theirs, theirs, theirs});
  CHECK(on.events() == "address_conflict: 10.0.1.100 is also used by 02:00:00:00:01:99 on cl");
  on.pass_ms(9'000);
  on.put(Side::kClient, {theirs});
  CHECK(on.events() == "");
  on.pass_ms(2'000);
  on.put(Side::kClient, {theirs});
  CHECK(on.events() == "address_conflict: 10.0.1.100 is also used by 02:00:00:00:01:99 on cl");
}

TEST_CASE("engine: who is not up to date is refused") {
  Running on;
  Engine& engine = on.engine();
  const auto add = std::vector{World::parse("-A -t 10.0.1.100:80 -s rr")};
  const auto state = engine.state();
  CHECK(engine.apply_operations("another", state.lineage, state.generation, state.generation + 1, add, true).error ==
        ApplyError::kWrongInstance);
  const auto late =
      engine.apply_operations(state.instance_id, state.lineage, state.generation + 1, state.generation + 2, add, true);
  CHECK(late.error == ApplyError::kWrongGeneration);
  CHECK(late.generation == state.generation);
  CHECK(engine.statistics(nullptr, false).empty());
  on.publish(add);
  CHECK(engine.state().generation == state.generation + 1);
  CHECK(engine.apply_operations(state.instance_id, "another", state.generation + 1, state.generation + 2, add, true)
            .error == ApplyError::kWrongGeneration);
  // What is refused as a whole leaves the generation where it was.
  const auto refused =
      engine.apply_operations("", engine.state().lineage, state.generation + 1, state.generation + 2, add, true);
  CHECK(refused.error == ApplyError::kNone);
  CHECK(refused.generation == state.generation + 1);
  CHECK(refused.results.back().reason == Reason::kServiceExists);
}

TEST_CASE("engine: its configuration may change under traffic without a packet lost") {
  Running on;
  on.apply(
      {"-A -t 10.0.1.100:80 -s rr", "-a -t 10.0.1.100:80 -r 10.0.2.11:8080 -m", "-a -t 10.0.1.100:80 -r 10.0.2.12 -g"});
  size_t sent = 0, left = 0;
  for (unsigned round = 0; round < 40; ++round) {
    std::vector<Bytes> frames;
    for (unsigned i = 0; i < 50; ++i, ++sent)
      frames.push_back(tcp(client(1024 + static_cast<unsigned>(sent) % 3000), "10.0.1.100:80", "S").frame());
    on.put(Side::kClient, frames);
    // Published while the workers are at it.
    on.apply({"-e -t 10.0.1.100:80 -r 10.0.2.11:8080 -m -w " + std::to_string(round % 3), "-A -t 10.0.1.101:80 -s lc",
              "-a -t 10.0.1.101:80 -r 10.0.2.13 -i", "-D -t 10.0.1.101:80"});
    for (const Bytes& frame : on.take(Side::kServer)) left += get16(frame, 12) == 0x0800;
  }
  CHECK(left == sent);
}

TEST_CASE("engine: ports as they are listed, and unknown names") {
  Running on;
  const auto ports = on.engine().ports();
  REQUIRE(ports.size() == 2);
  CHECK(ports[0].name == "cl");
  CHECK(mac_text(ports[0].mac) == "02:00:00:00:01:01");
  CHECK(ports[0].interfaces.size() == 1);
  CHECK(ports[1].interfaces.size() == 2);
  CHECK(ports[1].interfaces[1].vlan == 100);
  CHECK(ports[0].rx_queues == 1);
  CHECK_FALSE(on.engine().inject("nowhere", 0, {}).has_value());
  CHECK_FALSE(on.engine().drain("nowhere").has_value());
}

TEST_CASE("engine: overload of a worker is told when it begins and when it ends, and is part of the state meanwhile") {
  Running running;
  running.apply({"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11 -g"});
  Operation budget;
  budget.kind = Operation::Kind::kSetTunables;
  budget.tunables.new_connections_per_second = 20;
  running.publish({budget});
  running.drain();  // the VIP's announcement
  std::vector<Bytes> flood;
  for (unsigned port = 2000; port < 2200; ++port) flood.push_back(tcp(client(port), "192.0.2.1:80", "S").frame());
  running.put(Side::kClient, flood);
  CHECK(running.take(Side::kServer).size() == 200);
  auto state = running.engine().state();
  CHECK(state.connections == 20);
  REQUIRE(state.overloads.size() == 2);
  for (uint32_t worker = 0; worker < 2; ++worker) {
    CHECK(state.overloads[worker].worker == worker);
    CHECK(state.overloads[worker].shortage == Shortage::kNewConnectionBudget);
  }
  running.pass_ms(1000);
  CHECK(sorted_lines(running.events()) ==
        "overload_entered: worker 0 has no room for new flows (new_connection_budget): new_connections_per_second\n"
        "overload_entered: worker 1 has no room for new flows (new_connection_budget): new_connections_per_second");
  running.pass_ms(1000);
  CHECK(running.events() == "");
  running.pass_ms(Overload::kCalmMs);
  CHECK(running.engine().state().overloads.empty());
  running.pass_ms(1000);  // the control thread may have looked just before
  CHECK(sorted_lines(running.events()) ==
        "overload_left: worker 0 has room for new flows again (new_connection_budget): new_connections_per_second\n"
        "overload_left: worker 1 has room for new flows again (new_connection_budget): new_connections_per_second");
}
