// SPDX-License-Identifier: Apache-2.0
// Throws frames at the parser and the whole director: valid ones, mutated, truncated and random ones, in bursts, with
// tags in metadata, in several segments and with little headroom, while configuration, neighbours and clock change.
// After every burst: one verdict a frame, sound packets out; now and then: no buffer lost, table and counters agree.
#include <rte_mempool.h>

#include <cstdio>
#include <cstdlib>
#include <random>
#include <set>

#include "core/eal.h"
#include "test/fuzz/frames.h"
#include "test/inspector.h"
#include "test/packet_text.h"
#include "test/world.h"

using namespace fulcrum;
using namespace fulcrum::test;

namespace {

class Fuzzer {
 public:
  Fuzzer(uint64_t seed, WorldOptions options) : random_(seed), frames_(random_), options_(options), world_(options) {
    for (const char* line : {"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11:80 -g",
                             "-a -t 192.0.2.1:80 -r 10.0.2.12:8080 -m", "-a -t 192.0.2.1:80 -r 10.0.2.13:80 -i",
                             "-A -u 192.0.2.1:53 -s wlc", "-a -u 192.0.2.1:53 -r 10.0.2.11:5353 -m"})
      world_.apply({line});
  }

  // Throws `frames` of them; adds to `totals` by which verdicts they left.
  void run(uint64_t frames, World::Verdicts& totals) {
    for (uint64_t round = 0; sent_ < frames; ++round) {
      if (one_in(8)) change();
      const unsigned burst = one_in(4) ? 1 : 1 + below(80);
      for (unsigned i = 0; i < burst; ++i) {
        side_ = one_in(3) ? Side::kServer : Side::kClient;
        world_.put(side_, packet());
      }
      sent_ += burst;
      world_.run();
      look_at(world_.collect());
      account();
      if (round % 64 == 0) inspect();
    }
    inspect();
    const World::Verdicts mine = world_.verdicts();
    for (size_t i = 0; i < kVerdicts; ++i) totals[i] += mine[i];
  }

 private:
  using Random = std::mt19937_64;

  uint32_t below(uint32_t limit) { return static_cast<uint32_t>(random_() % limit); }
  bool one_in(uint32_t n) { return below(n) == 0; }
  uint8_t byte() { return static_cast<uint8_t>(random_()); }

  rte_mbuf* packet() {
    const Bytes bytes = frames_.next(side_);
    const size_t segment = one_in(15) ? 1 + below(200) : 2048;
    rte_mbuf* made = world_.make_packet(bytes, bytes.size() / segment > 60 ? 2048 : segment);
    if (one_in(10)) {
      made->vlan_tci = static_cast<uint16_t>(one_in(2) ? 100 : byte());
      made->ol_flags |= RTE_MBUF_F_RX_VLAN | (one_in(4) ? 0 : RTE_MBUF_F_RX_VLAN_STRIPPED);
    }
    if (one_in(25) && made->nb_segs == 1) {
      // A driver that leaves little room before the frame.
      const auto room = static_cast<uint16_t>(below(40));
      std::memmove(static_cast<uint8_t*>(made->buf_addr) + room, rte_pktmbuf_mtod(made, uint8_t*), made->data_len);
      made->data_off = room;
    }
    return made;
  }

  void change() {
    static const char* const kEdits[] = {"-A -t 192.0.2.2:80 -s wrr",
                                         "-D -t 192.0.2.2:80",
                                         "-a -t 192.0.2.2:80 -r 10.0.2.14 -m -w 3",
                                         "-a -t 192.0.2.2:80 -r 10.0.2.15 -i -w 2",
                                         "-d -t 192.0.2.2:80 -r 10.0.2.14",
                                         "-e -t 192.0.2.1:80 -r 10.0.2.11 -g -w 0",
                                         "-e -t 192.0.2.1:80 -r 10.0.2.11 -g -w 2",
                                         "-e -t 192.0.2.1:80 -r 10.0.2.12:8080 -i",
                                         "-e -t 192.0.2.1:80 -r 10.0.2.12:8080 -m",
                                         "-d -t 192.0.2.1:80 -r 10.0.2.13",
                                         "-a -t 192.0.2.1:80 -r 10.0.2.13 -i",
                                         "-a -t 192.0.2.1:80 -r 10.0.2.99 -g",
                                         "-d -t 192.0.2.1:80 -r 10.0.2.99",
                                         "-E -t 192.0.2.1:80 -s lc",
                                         "-E -t 192.0.2.1:80 -s wlc",
                                         "-E -t 192.0.2.1:80 -s rr",
                                         "-Z",
                                         "--set 900 120 300",
                                         "--set 10 5 2",
                                         "-A -u 192.0.2.2:53 -s lc",
                                         "-E -t 192.0.2.1:80 -s rr -p 30",
                                         "-E -u 192.0.2.1:53 -s rr -o",
                                         "-E -u 192.0.2.1:53 -s sh",
                                         "-e -t 192.0.2.1:80 -r 10.0.2.12:8080 -m -x 3 -y 1",
                                         "-e -t 192.0.2.1:80 -r 10.0.2.11 -g -x 2",
                                         "-a -u 192.0.2.2:53 -r 10.0.2.11:80 -m"};
    switch (below(12)) {
      case 0:
        world_.advance_ms(below(one_in(5) ? 400'000 : 3000));
        return;
      case 1:
        world_.publisher().empty_trash(world_.shared().clock.now_ms());
        return;
      case 2:
        if (one_in(20)) world_.apply({"-C", "-A -t 192.0.2.1:80 -s rr", "-A -u 192.0.2.1:53 -s rr"});
        return;
      case 3:
        if (!unknown_.empty()) answer(*unknown_.begin(), one_in(2));
        return;
      default: {
        // Several at once, or one by one; refused ones among them.
        std::vector<Operation> operations;
        for (unsigned count = 1 + below(4); count != 0; --count)
          operations.push_back(World::parse(kEdits[below(sizeof kEdits / sizeof kEdits[0])]));
        world_.publish(operations, one_in(4));
      }
    }
  }

  // The control thread's part: an address is found, or given up.
  void answer(const std::pair<std::string, InterfaceId> who, bool found) {
    unknown_.erase(who);
    const NeighborKey key{Endpoint(who.first).address, 0, who.second};
    if (found && known_.size() < 100 && known_.insert(who).second) {
      static const char* const kNames[] = {"cl", "rs", "rs.100"};
      world_.add_neighbor(who.first, kNames[who.second], server_mac(99));
      return;
    }
    Command failed{};
    failed.kind = Command::Kind::kNeighborFailed;
    failed.key = key;
    world_.command(failed);
    world_.run();
  }

  void fail(const std::string& what) {
    std::fprintf(stderr, "after %llu frames: %s\n", static_cast<unsigned long long>(sent_), what.c_str());
    std::abort();
  }

  void look_at(const std::vector<Frame>& frames) {
    for (const Frame& frame : frames) {
      const Bytes& bytes = frame.bytes;
      const auto bad = [&](const char* what) {
        fail(std::string(what) + ": " + frame_text(bytes) + "\n" + to_hex(bytes));
      };
      if (bytes.size() < 14) bad("a frame without its header left");
      const size_t tag = get16(bytes, 12) == 0x8100 ? 4 : 0;
      const unsigned type = get16(bytes, 12 + tag);
      if (type == 0x0806) continue;
      const Bytes packet(bytes.begin() + 14 + static_cast<std::ptrdiff_t>(tag), bytes.end());
      if (type != 0x0800 && type != 0x86dd) bad("neither IPv4 nor IPv6");
      if (packet.size() < (type == 0x0800 ? 20u : 40u) || packet[0] >> 4 != (type == 0x0800 ? 4 : 6))
        bad("no IP header");
      const size_t header = type == 0x0800 ? (packet[0] & 15u) * 4u : 40;
      const size_t total = type == 0x0800 ? get16(packet, 2) : 40u + get16(packet, 4);
      if (total > packet.size() || total < header) bad("shorter than it says");
      if (total > (frame.side == Side::kServer ? options_.server_mtu : 1500)) bad("longer than the link carries");
      if (packet[type == 0x0800 ? 8 : 7] == 0) bad("TTL 0");
      if (type == 0x86dd) continue;
      if (slow_checksum(Bytes(packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(header))) != 0)
        bad("a wrong IP checksum");
    }
  }

  void account() {
    for (const ControlMessage& message : world_.messages())
      if (message.kind == ControlMessage::Kind::kNeighborWanted)
        unknown_.insert({message.key.address.text(), message.key.interface});
    uint64_t received = 0, parked = 0, given = 0;
    for (uint32_t id = 0; id < world_.workers(); ++id) {
      received += world_.worker(id).counters().rx_packets;
      parked += WorkerInspector::parked(world_.worker(id));
    }
    for (const uint64_t count : world_.verdicts()) given += count;
    if (received != sent_) fail(std::to_string(received) + " frames received");
    // Parked packets get theirs when they leave; some are the director's own and get none.
    if (given > sent_ || given + parked < sent_)
      fail(std::to_string(given) + " verdicts and " + std::to_string(parked) + " parked packets");
  }

  void inspect() {
    while (!unknown_.empty()) answer(*unknown_.begin(), false);
    look_at(world_.collect());
    account();
    uint64_t given = 0;
    for (const uint64_t count : world_.verdicts()) given += count;
    if (given != sent_) fail(std::to_string(given) + " verdicts");
    for (uint32_t id = 0; id < world_.workers(); ++id)
      if (const std::string text = WorkerInspector::contradiction(world_.worker(id)); !text.empty())
        fail("worker " + std::to_string(id) + ": " + text);
    if (rte_mempool_in_use_count(World::buffers()) != 0)
      fail(std::to_string(rte_mempool_in_use_count(World::buffers())) + " packet buffers are lost");
  }

  Random random_;
  FrameSource frames_;
  WorldOptions options_;
  World world_;
  Side side_ = Side::kClient;
  uint64_t sent_ = 0;
  std::set<std::pair<std::string, InterfaceId>> unknown_, known_;
};

uint64_t number(const char* text, const char* option) {
  char* end = nullptr;
  const uint64_t value = std::strtoull(text, &end, 0);
  if (end == text || *end != '\0') {
    std::fprintf(stderr, "%s: \"%s\" is not a number\n", option, text);
    std::exit(2);
  }
  return value;
}

}  // namespace

int main(int count, char** arguments) {
  uint64_t frames = 200'000, seed = 1;
  for (int i = 1; i < count; ++i) {
    const std::string option = arguments[i];
    if (i + 1 < count && option == "--frames") {
      frames = number(arguments[++i], "--frames");
    } else if (i + 1 < count && option == "--seed") {
      seed = number(arguments[++i], "--seed");
    } else {
      std::fprintf(stderr, "usage: dataplane_fuzz [--frames N] [--seed S]\n");
      return 2;
    }
  }
  std::printf("%llu frames, --seed %llu\n", static_cast<unsigned long long>(frames),
              static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  start_eal(
      {"fuzz", "--lcores=0@0", "--no-huge", "--no-shconf", "--no-pci", "--no-telemetry", "--log-level=3", "-m", "384"});
  const WorldOptions kinds[] = {{.workers = 1},
                                {.workers = 2},
                                {.workers = 2, .server_mtu = 1400, .connections = 40},
                                {.workers = 1, .server_mtu = 1400}};
  World::Verdicts totals{};
  uint64_t done = 0;
  for (uint64_t i = 0; done < frames; ++i) {
    const uint64_t now = std::min<uint64_t>(frames - done, 10'000);
    Fuzzer(seed + i, kinds[i % 4]).run(now, totals);
    done += now;
  }
  for (size_t i = 0; i < kVerdicts; ++i)
    if (totals[i] != 0)
      std::printf("%s %llu\n", verdict_name(static_cast<Verdict>(i)).data(),
                  static_cast<unsigned long long>(totals[i]));
  std::printf("no fault found\n");
  return 0;
}
