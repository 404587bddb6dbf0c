// SPDX-License-Identifier: Apache-2.0
// Throws frames at the parser and the whole director: valid ones, mutated, truncated and random ones, in bursts, with
// tags in metadata, in several segments and with little headroom, while configuration, tunables, marks, defences,
// neighbours and clock change. After every burst: one verdict a frame, sound packets out; now and then: no buffer lost;
// tables, counters and the totals that workers share agree.
#include <rte_mempool.h>

#include <cstdio>
#include <cstdlib>
#include <random>
#include <set>

#include "core/eal.h"
#include "core/masquerade.h"
#include "test/fuzz/frames.h"
#include "test/inspector.h"
#include "test/packet_text.h"
#include "test/world.h"

using namespace fulcrum;
using namespace fulcrum::test;

namespace {

MasqueradeRule masquerade_rule(const char* source, PortRange ports) {
  MasqueradeRule rule;
  rule.source = Prefix::parse(source).value();
  rule.interface = 0;
  rule.ports = ports;
  return rule;
}
// Few ports, so that answers meet flows and sometimes none is left.
const Masquerade kMasqueraded({masquerade_rule("10.0.2.0/24", {40000, 40003}),
                               masquerade_rule("2001:db8:2::/64", {40000, 40003})});

class Fuzzer {
 public:
  Fuzzer(uint64_t seed, WorldOptions options, bool masquerades)
      : random_(seed), frames_(random_, masquerades), options_(options), world_(options) {
    if (masquerades) world_.shared().masquerade = &kMasqueraded;
    for (const char* line :
         {"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11:80 -g",
          "-a -t 192.0.2.1:80 -r 10.0.2.12:8080 -m", "-a -t 192.0.2.1:80 -r 10.0.2.13:80 -i",
          "-A -u 192.0.2.1:53 -s wlc", "-a -u 192.0.2.1:53 -r 10.0.2.11:5353 -m", "-A -t [2001:db8:ff::1]:80 -s rr",
          "-a -t [2001:db8:ff::1]:80 -r [2001:db8:2::b]:80 -g", "-a -t [2001:db8:ff::1]:80 -r [2001:db8:2::c]:8080 -m",
          "-a -t [2001:db8:ff::1]:80 -r [2001:db8:2::d]:80 -i", "-A -u [2001:db8:ff::1]:53 -s wlc",
          "-a -u [2001:db8:ff::1]:53 -r [2001:db8:2::b]:5353 -m", "-A --sctp-service 192.0.2.1:80 -s rr",
          "-a --sctp-service 192.0.2.1:80 -r 10.0.2.12:8080 -m", "-A --sctp-service [2001:db8:ff::1]:80 -s wlc",
          "-a --sctp-service [2001:db8:ff::1]:80 -r [2001:db8:2::c]:8080 -m"})
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
      if (round % 64 == 0) inspect(round % 512 == 0);
    }
    inspect(true);
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
    static const char* const kEdits[] = {
        "-A -t 192.0.2.2:80 -s wrr",
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
        "-a -u 192.0.2.2:53 -r 10.0.2.11:80 -m",
        "-A -t [2001:db8:ff::2]:80 -s sh",
        "-D -t [2001:db8:ff::2]:80",
        "-a -t [2001:db8:ff::2]:80 -r [2001:db8:2::e]:80 -m -w 3",
        "-a -t [2001:db8:ff::2]:80 -r 10.0.2.15:80 -i",
        "-d -t [2001:db8:ff::2]:80 -r [2001:db8:2::e]:80",
        "-e -t [2001:db8:ff::1]:80 -r [2001:db8:2::b]:80 -g -w 0",
        "-e -t [2001:db8:ff::1]:80 -r [2001:db8:2::b]:80 -g -w 2",
        "-e -t [2001:db8:ff::1]:80 -r [2001:db8:2::c]:8080 -i",
        "-e -t [2001:db8:ff::1]:80 -r [2001:db8:2::c]:8080 -m",
        "-d -t [2001:db8:ff::1]:80 -r [2001:db8:2::d]:80",
        "-a -t [2001:db8:ff::1]:80 -r [2001:db8:2::d]:80 -i",
        "-a -t [2001:db8:ff::1]:80 -r 10.0.2.13:80 -i",
        "-a -t 192.0.2.1:80 -r [2001:db8:2::d]:80 -i --tun-type gre --tun-csum",
        "-a -t [2001:db8:ff::1]:80 -r [2001:db8:2::99]:80 -g",
        "-d -t [2001:db8:ff::1]:80 -r [2001:db8:2::99]:80",
        "-E -t [2001:db8:ff::1]:80 -s lblcr",
        "-E -t [2001:db8:ff::1]:80 -s mh -b mh-port,mh-fallback",
        "-E -t [2001:db8:ff::1]:80 -s rr -p 30 -M 64",
        "-E -u [2001:db8:ff::1]:53 -s rr -o",
        "-E -u [2001:db8:ff::1]:53 -s sed",
        "-e -t 192.0.2.1:80 -r 10.0.2.13:80 -i --tun-type gue --tun-port 6080",
        "-e -t 192.0.2.1:80 -r 10.0.2.13:80 -i --tun-type gue --tun-port 6080 --tun-csum",
        "-e -t 192.0.2.1:80 -r 10.0.2.13:80 -i --tun-type gre",
        "-e -t 192.0.2.1:80 -r 10.0.2.13:80 -i",
        "-e -t [2001:db8:ff::1]:80 -r [2001:db8:2::d]:80 -i --tun-type gue --tun-port "
        "6080 --tun-remcsum",
        "-e -t [2001:db8:ff::1]:80 -r [2001:db8:2::d]:80 -i --tun-type gre --tun-csum",
        "-e -t [2001:db8:ff::1]:80 -r [2001:db8:2::d]:80 -i",
        "-a --sctp-service 192.0.2.1:80 -r 10.0.2.13:80 -i",
        "-d --sctp-service 192.0.2.1:80 -r 10.0.2.13:80",
        "-E --sctp-service 192.0.2.1:80 -s rr -p 20",
        "-E --sctp-service 192.0.2.1:80 -s nq",
        "-A -f 1 -s rr",
        "-A -f 1 -6 -s wlc",
        "-E -f 1 -s rr -p 60",
        "-D -f 1",
        "-a -f 1 -r 10.0.2.12:0 -m",
        "-a -f 1 -r 10.0.2.13:0 -i",
        "-a -f 1 -6 -r [2001:db8:2::c]:0 -m",
        "-d -f 1 -r 10.0.2.12:0",
        "-A -t 192.0.2.1:21 -s rr -p 10",
        "-a -t 192.0.2.1:21 -r 10.0.2.12:21 -m",
        "-A -t [2001:db8:ff::1]:0 -s rr -p 10",
        "-a -t [2001:db8:ff::1]:0 -r [2001:db8:2::c]:0 -m",
        "-D -t [2001:db8:ff::1]:0"};
    switch (below(16)) {
      case 0:
        world_.advance_ms(below(one_in(5) ? 400'000 : 3000));
        return;
      case 1:
        world_.publisher().empty_trash(world_.shared().clock.now_ms());
        return;
      case 2:
        if (one_in(20))
          world_.apply({"-C", "-A -t 192.0.2.1:80 -s rr", "-A -u 192.0.2.1:53 -s rr", "-A -t [2001:db8:ff::1]:80 -s rr",
                        "-A -u [2001:db8:ff::1]:53 -s rr", "-A --sctp-service 192.0.2.1:80 -s rr"});
        return;
      case 12:
      case 13:
        return tune();
      case 14:
        return defend();
      case 15:
        return mark();
      case 4:
        return limit();
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

  void tune() {
    static const std::pair<const char*, uint32_t> kTunables[] = {{"expire_nodest_conn", 1},
                                                                 {"expire_quiescent_template", 1},
                                                                 {"conn_reuse_mode", 0},
                                                                 {"conn_reuse_mode", 3},
                                                                 {"sloppy_tcp", 1},
                                                                 {"sloppy_sctp", 1},
                                                                 {"schedule_icmp", 1},
                                                                 {"nat_icmp_send", 1},
                                                                 {"pmtu_disc", 0},
                                                                 {"cache_bypass", 1},
                                                                 {"icmp_msgs_burst", 2},
                                                                 {"icmp_msgs_per_sec", 3},
                                                                 {"ipfrag_high_thresh", 9000},
                                                                 {"new_connections_per_second", 3},
                                                                 {"stateless_spread", 1},
                                                                 {"stateless_grace", 1}};
    static const std::pair<const char*, uint32_t> kDefaults[] = {{"expire_nodest_conn", 0},
                                                                 {"expire_quiescent_template", 0},
                                                                 {"conn_reuse_mode", 1},
                                                                 {"sloppy_tcp", 0},
                                                                 {"sloppy_sctp", 0},
                                                                 {"schedule_icmp", 0},
                                                                 {"nat_icmp_send", 0},
                                                                 {"pmtu_disc", 1},
                                                                 {"cache_bypass", 0},
                                                                 {"icmp_msgs_burst", 50},
                                                                 {"icmp_msgs_per_sec", 0},
                                                                 {"ipfrag_high_thresh", 4194304},
                                                                 {"stateless_spread", 0},
                                                                 {"stateless_grace", 0},
                                                                 {"new_connections_per_second", 0}};
    const auto& [name, value] =
        one_in(2) ? kTunables[below(std::size(kTunables))] : kDefaults[below(std::size(kDefaults))];
    world_.tune(name, value);
  }

  // What the control thread does once a second, and after a server was deleted.
  void defend() {
    world_.shared().defence.secure_tcp = one_in(3);
    world_.shared().defence.drop_packet_rate = one_in(3) ? below(4) : 0;
    Command command{};
    command.kind = one_in(2) ? Command::Kind::kDropEntries : Command::Kind::kSweep;
    command.slot = below(12);
    world_.command(command);
    world_.run();
  }

  // What services take: of few clients some, and few connections.
  void limit() {
    static const char* const kServices[] = {"-t 192.0.2.1:80",
                                            "-u 192.0.2.1:53",
                                            "-t [2001:db8:ff::1]:80",
                                            "-u [2001:db8:ff::1]:53",
                                            "-f 1",
                                            "-t 192.0.2.2:80",
                                            "--sctp-service 192.0.2.1:80"};
    static const char* const kPrefixes[] = {"198.51.100.1/32",    "198.51.100.2/31",  "198.51.100.0/24",
                                            "2001:db8:aa::1/128", "2001:db8:aa::/64", "::/0"};
    const auto some = [&] {
      std::vector<std::string> prefixes;
      for (unsigned count = below(3); count != 0; --count) prefixes.push_back(kPrefixes[below(std::size(kPrefixes))]);
      return World::prefixes_of(prefixes);
    };
    static const char* const kLists[] = {"a", "b"};
    if (one_in(3)) {
      Operation edit;
      edit.kind = one_in(3) ? Operation::Kind::kDeletePrefixList : Operation::Kind::kSetPrefixList;
      edit.prefixes = {kLists[below(2)], std::make_shared<const PrefixList>(some())};
      world_.publish({edit});
    }
    TrafficPolicy policy;
    if (one_in(3)) policy.allow.own = some();
    if (one_in(3)) policy.deny.own = some();
    if (one_in(4)) policy.deny.lists = {kLists[below(2)]};
    if (one_in(2)) policy.max_connections = below(6);
    if (one_in(3)) policy.connections_per_second = 1 + below(5);
    if (one_in(2)) policy.mss = one_in(2) ? kAutoSegmentLimit : static_cast<uint16_t>(500 + below(900));
    world_.traffic(kServices[below(std::size(kServices))], policy);
  }

  void mark() {
    std::vector<MarkRule> rules;
    for (unsigned count = below(3); count != 0; --count) {
      static const char* const kPrefixes[] = {"192.0.2.1/32", "192.0.2.0/24", "203.0.113.0/24", "2001:db8:ff::/64",
                                              "2001:db8:cb::/48"};
      MarkRule rule;
      rule.destination = Prefix::parse(kPrefixes[below(std::size(kPrefixes))]).value();
      if (one_in(2)) rule.protocol = one_in(2) ? IpProtocol::kTcp : IpProtocol::kUdp;
      if (one_in(3)) rule.destination_ports = {static_cast<uint16_t>(below(100)), 8080};
      rule.mark = below(3);
      rule.local = one_in(2);
      rules.push_back(rule);
    }
    world_.mark(std::move(rules));
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
      if (is_own_answer(packet) && !has_sound_transport(packet)) bad("a wrong checksum in an answer of ours");
      if (type == 0x86dd) continue;
      if (slow_checksum(Bytes(packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(header))) != 0)
        bad("a wrong IP checksum");
    }
  }

  // An ICMP error or a reset that the director itself made: what came in hardly ever looks like it.
  static bool is_own_answer(const Bytes& packet) {
    if (packet[0] >> 4 == 6) {
      // From an address of its own: 2001:db8:1::1, 2001:db8:2::1, or one in 2001:db8:ff::/48.
      const bool is_own = get16(packet, 8) == 0x2001 && get16(packet, 10) == 0xdb8 &&
                          (get16(packet, 12) == 0xff || (packet[13] <= 2 && packet[23] == 1));
      return is_own && packet[7] == 64 && packet[6] == 58 && packet.size() > 48 && packet[40] <= 4;
    }
    if (packet[8] != 64 || get16(packet, 4) != 0 || packet[0] != 0x45) return false;
    if (packet[9] == 6) return get16(packet, 2) == 40;
    return packet[9] == 1 && packet.size() >= 28 && (packet[20] == 3 || packet[20] == 11);
  }
  static bool has_sound_transport(const Bytes& packet) {
    const bool is_ipv4 = packet[0] >> 4 == 4;
    const size_t header = is_ipv4 ? 20 : 40, total = is_ipv4 ? get16(packet, 2) : 40u + get16(packet, 4);
    const Bytes content = packet_text_parts::slice(packet, header, total - header);
    Bytes summed;
    if (!is_ipv4 || packet[9] == 6) {
      const Family family = is_ipv4 ? Family::kIpv4 : Family::kIpv6;
      summed = pseudo_header(packet_text_parts::address_at(packet, is_ipv4 ? 12 : 8, family),
                             packet_text_parts::address_at(packet, is_ipv4 ? 16 : 24, family), packet[is_ipv4 ? 9 : 6],
                             content.size());
    }
    fulcrum::test::put(summed, content);
    return slow_checksum(summed) == 0;
  }

  unsigned held_datagrams() {
    unsigned held = 0;
    for (uint32_t id = 0; id < world_.workers(); ++id) held += WorkerInspector::held_datagrams(world_.worker(id));
    return held;
  }

  void account() {
    for (const ControlMessage& message : world_.messages())
      if (message.kind == ControlMessage::Kind::kNeighborWanted)
        unknown_.insert({message.key.address.text(), message.key.interface});
    uint64_t received = 0, parked = 0, given = 0;
    for (uint32_t id = 0; id < world_.workers(); ++id) {
      received += world_.worker(id).counters().rx_packets;
      given -= world_.worker(id).counters().came_again;
      parked += WorkerInspector::parked(world_.worker(id));
    }
    for (const uint64_t count : world_.verdicts()) given += count;
    if (received != sent_) fail(std::to_string(received) + " frames received");
    // Parked packets get theirs when they leave; some are the director's own and get none. Likewise fragments.
    if (given > sent_ || (given + parked < sent_ && held_datagrams() == 0))
      fail(std::to_string(given) + " verdicts and " + std::to_string(parked) + " parked packets");
  }

  // `empty`: what waits for its other fragments is given up first.
  void inspect(bool empty) {
    for (int tries = 0; empty && held_datagrams() != 0; ++tries) {
      if (tries == 1000) fail("fragments are kept for ever");
      world_.advance_ms(tries == 0 ? 61'000 : 10);
      look_at(world_.collect());
      account();
    }
    while (!unknown_.empty()) answer(*unknown_.begin(), false);
    look_at(world_.collect());
    account();
    uint64_t given = 0;
    for (const uint64_t count : world_.verdicts()) given += count;
    for (uint32_t id = 0; id < world_.workers(); ++id) given -= world_.worker(id).counters().came_again;
    const bool is_empty = held_datagrams() == 0;
    if (is_empty && given != sent_) fail(std::to_string(given) + " verdicts");
    for (uint32_t id = 0; id < world_.workers(); ++id)
      if (const std::string text = WorkerInspector::contradiction(world_.worker(id)); !text.empty())
        fail("worker " + std::to_string(id) + ": " + text);
    if (const std::string text = WorkerInspector::contradiction(world_.shared(), all_workers()); !text.empty())
      fail(text);
    if (is_empty && rte_mempool_in_use_count(World::buffers()) != 0)
      fail(std::to_string(rte_mempool_in_use_count(World::buffers())) + " packet buffers are lost");
  }

  std::vector<const Worker*> all_workers() {
    std::vector<const Worker*> all;
    for (uint32_t id = 0; id < world_.workers(); ++id) all.push_back(&world_.worker(id));
    return all;
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
                                {.workers = 1, .server_mtu = 1400},
                                {.workers = 2, .connections = 40, .stateless = true}};
  World::Verdicts totals{};
  uint64_t done = 0;
  for (uint64_t i = 0; done < frames; ++i) {
    const uint64_t now = std::min<uint64_t>(frames - done, 10'000);
    Fuzzer(seed + i, kinds[i % std::size(kinds)], i % 2 == 1).run(now, totals);
    done += now;
  }
  for (size_t i = 0; i < kVerdicts; ++i)
    if (totals[i] != 0)
      std::printf("%s %llu\n", verdict_name(static_cast<Verdict>(i)).data(),
                  static_cast<unsigned long long>(totals[i]));
  std::printf("no fault found\n");
  return 0;
}
