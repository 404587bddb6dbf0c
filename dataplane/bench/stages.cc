// SPDX-License-Identifier: Apache-2.0
#include "bench/stages.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <memory>

#include "bench/capture.h"
#include "bench/counted.h"
#include "bench/json.h"
#include "bench/scenario.h"
#include "conn/connection_table.h"
#include "forward/nat.h"
#include "forward/tunnel.h"
#include "net/packet.h"

namespace fulcrum::bench {

namespace {

constexpr unsigned kBurst = 32;
constexpr uint32_t kFlows = 1'000;
constexpr unsigned kCountedBursts = 1'000;
constexpr unsigned kWindows = 100, kBurstsPerWindow = 2'000;
constexpr size_t kRoom = 256, kHeadroom = 128;

// A burst of packets as net_pcap would deliver them, in buffers that no pool has: the stages look at nothing else.
template <Family F>
class Burst {
 public:
  explicit Burst(const Scenario& scenario) {
    for (unsigned i = 0; i < kBurst; ++i) {
      const std::vector<uint8_t> frame = frame_of(scenario, 0, i);
      rte_mbuf& packet = buffers_[i].packet;
      packet.buf_addr = buffers_[i].room.data();
      packet.data_off = kHeadroom;
      packet.data_len = static_cast<uint16_t>(frame.size());
      packet.pkt_len = static_cast<uint32_t>(frame.size());
      packet.nb_segs = 1;
      std::copy(frame.begin(), frame.end(), rte_pktmbuf_mtod(&packet, uint8_t*));
    }
  }
  rte_mbuf* packet(unsigned i) { return &buffers_[i].packet; }

 private:
  struct alignas(64) Buffer {
    rte_mbuf packet{};
    alignas(64) std::array<uint8_t, kRoom> room{};
  };
  std::array<Buffer, kBurst> buffers_;
};

// All that the stages work on. One connection a flow, as a client's or a server's packet meets it.
template <Family F>
class Bench {
 public:
  explicit Bench(const Scenario& scenario) : scenario_(scenario), burst_(scenario) {
    if (!arena_.map("fulcrum-bench-stages", ConnectionTable<F>::bytes_for(2 * kFlows), false) ||
        !table_.create(arena_, 2 * kFlows, HashSecret{0x9e3779b97f4a7c15, 0xc2b2ae3d27d4eb4f}))
      throw BenchError("no memory for a connection table: " + arena_.error());
    for (uint32_t flow = 0; flow < kFlows; ++flow) add(flow);
    for (unsigned i = 0; i < kBurst; ++i) strangers_[i] = scenario.client_tuple<F>(0, kFlows + i);
    parse();
    find();
  }

  // parse_plain(), of what is plain.
  void parse() {
    constexpr MacAddress kMac = capture_port_mac(0);
    for (unsigned i = 0; i < kBurst; ++i) keep(parse_plain(burst_.packet(i), mac_value(kMac), views_[i]));
  }
  // The three steps of a lookup, each for the whole burst.
  void find() {
    uint64_t hashes[kBurst];
    ConnectionIndex candidates[kBurst];
    for (unsigned i = 0; i < kBurst; ++i) {
      hashes[i] = table_.hash(views_[i].key);
      table_.prefetch_bucket(hashes[i]);
    }
    for (unsigned i = 0; i < kBurst; ++i) candidates[i] = table_.candidate(hashes[i]);
    for (unsigned i = 0; i < kBurst; ++i) {
      auto found = table_.check(candidates[i], views_[i].key);
      if (!found) found = table_.find(views_[i].key, hashes[i]);
      found_[i] = found.entry;
    }
  }
  void miss() {
    for (unsigned i = 0; i < kBurst; ++i) {
      FlowKey<F> key = views_[i].key;
      key.tuple.destination_port = be16::from_host(Scenario::kPort + 1);
      const uint64_t hash = table_.hash(key);
      keep(table_.candidate(hash) == kNoConnection && !table_.find(key, hash));
    }
  }
  // NAT: TTL, address, port, checksums. There and back, so that packets stay what they are.
  template <bool kReply>
  void rewrite() {
    for (unsigned i = 0; i < kBurst; ++i) {
      decrement_ttl(views_[i].header());
      if constexpr (kReply)
        translate<true>(burst_.packet(i), views_[i], found_[i]->forward.destination,
                        found_[i]->forward.destination_port);
      else
        translate<false>(burst_.packet(i), views_[i], found_[i]->reply.source, found_[i]->reply.source_port);
    }
  }
  // The outer header of an IPIP tunnel.
  void encapsulate() {
    for (unsigned i = 0; i < kBurst; ++i) {
      if constexpr (F == Family::kIpv4) {
        write_ipip(*reinterpret_cast<Ipv4Header*>(views_[i].ip - kIpipBytes), views_[i].header(),
                   scenario_.inside(0).v4(), found_[i]->reply.source, be16{0});
      } else {
        write_tunnel<F, F>(burst_.packet(i), views_[i].ip, TunnelSettings{}, scenario_.inside(0).as<F>(),
                           found_[i]->reply.source, TunnelPacket{});
      }
    }
  }
  // A connection's place in the table: an entry, both index entries, and back.
  void insert_and_remove() {
    for (unsigned i = 0; i < kBurst; ++i) {
      const ConnectionIndex added = table_.allocate();
      auto& entry = table_.entry(added);
      entry.forward = strangers_[i];
      entry.reply = entry.forward.reversed();
      entry.protocol = scenario_.protocol;
      keep(table_.insert(added));
      table_.remove(added);
      table_.release(added);
    }
  }

 private:
  // The compiler is not to leave out what nobody looks at.
  static void keep(bool result) { asm volatile("" : : "r"(result) : "memory"); }
  void add(uint32_t flow) {
    const ConnectionIndex index = table_.allocate();
    auto& entry = table_.entry(index);
    entry.forward = scenario_.client_tuple<F>(0, flow);
    entry.reply = entry.forward.reversed();
    entry.reply.source = scenario_.server(0, Scenario::server_of(flow)).as<F>();
    entry.protocol = scenario_.protocol;
    if (!table_.insert(index)) throw BenchError("the connection table is full");
  }

  const Scenario scenario_;
  Burst<F> burst_;
  Arena arena_;
  ConnectionTable<F> table_;
  PacketView<F> views_[kBurst];
  Tuple<F> strangers_[kBurst];  // of no connection
  Connection<F>* found_[kBurst] = {};
};

template <Family F>
struct Stage {
  const char* name;
  void (*run)(Bench<F>&);
};

template <Family F>
constexpr std::array<Stage<F>, 7> kStages = {{
    {"parse", [](Bench<F>& bench) { bench.parse(); }},
    {"find", [](Bench<F>& bench) { bench.find(); }},
    {"miss", [](Bench<F>& bench) { bench.miss(); }},
    {"insert", [](Bench<F>& bench) { bench.insert_and_remove(); }},
    {"rewrite-client", [](Bench<F>& bench) { bench.template rewrite<false>(); }},
    {"rewrite-server", [](Bench<F>& bench) { bench.template rewrite<true>(); }},
    {"encapsulate", [](Bench<F>& bench) { bench.encapsulate(); }},
}};

template <Family F>
std::string full_name(const Stage<F>& stage) {
  return std::string(stage.name) + (F == Family::kIpv6 ? "6" : "");
}

template <Family F>
std::unique_ptr<Bench<F>> make_bench() {
  return std::make_unique<Bench<F>>(*Scenario::parse(F == Family::kIpv4 ? "nat-client-1k" : "nat6-client-1k"));
}

template <Family F>
bool count_if_named(const std::string& name) {
  for (const Stage<F>& stage : kStages<F>) {
    if (full_name(stage) != name) continue;
    const auto bench = make_bench<F>();
    counted([&] { stage.run(*bench); }, kCountedBursts);
    JsonObject().add("name", name).add("packets", kCountedBursts * kBurst).print();
    return true;
  }
  return false;
}

template <Family F>
double nanoseconds_of(const Stage<F>& stage) {
  using Clock = std::chrono::steady_clock;
  const auto bench = make_bench<F>();
  std::vector<double> windows;
  for (unsigned window = 0; window < kWindows; ++window) {
    const auto begun = Clock::now();
    for (unsigned burst = 0; burst < kBurstsPerWindow; ++burst) stage.run(*bench);
    windows.push_back(std::chrono::duration<double, std::nano>(Clock::now() - begun).count());
  }
  std::nth_element(windows.begin(), windows.begin() + kWindows / 2, windows.end());
  return windows[kWindows / 2] / (kBurstsPerWindow * kBurst);
}

template <Family F>
void add_stages(JsonObject& json) {
  for (const Stage<F>& stage : kStages<F>) json.add(full_name(stage), nanoseconds_of(stage));
}

template <Family F>
void print_names() {
  for (const Stage<F>& stage : kStages<F>) std::printf("%s\n", full_name(stage).c_str());
}

}  // namespace

void print_stage_names() {
  print_names<Family::kIpv4>();
  print_names<Family::kIpv6>();
}

void measure_stages() {
  JsonObject json;
  add_stages<Family::kIpv4>(json);
  add_stages<Family::kIpv6>(json);
  json.print();
}

void count_stage(const std::string& name) {
  if (!count_if_named<Family::kIpv4>(name) && !count_if_named<Family::kIpv6>(name))
    throw BenchError("there is no stage \"" + name + "\"");
}

}  // namespace fulcrum::bench
