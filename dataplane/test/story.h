// SPDX-License-Identifier: Apache-2.0
// A world whose director is held against expectations, a line a packet: what goes in, by which verdict it leaves, and
// every byte of what comes out. Failures name the test's own line.
#pragma once

#include <doctest/doctest.h>

#include <source_location>

#include "test/packet_text.h"
#include "test/test_engine.h"
#include "test/world.h"

namespace fulcrum::test {

// A packet from the director, its IP part given.
struct Expected {
  Frame frame;
  bool any_id = false;
};

inline Bytes ethernet(const MacAddress& destination, const MacAddress& source, const Bytes& packet) {
  Bytes frame(destination.begin(), destination.end());
  frame.insert(frame.end(), source.begin(), source.end());
  put16(frame, packet.at(0) >> 4 == 6 ? 0x86dd : 0x0800);
  fulcrum::test::put(frame, packet);
  return frame;
}
inline Expected to_client(const Bytes& packet) {
  return {{Side::kClient, ethernet(kGatewayMac, kClientPortMac, packet)}};
}
inline Expected to_client(std::string_view hex) { return to_client(from_hex(hex)); }
// To the real server or router 10.0.2.`last_byte`.
inline Expected to_server(unsigned last_byte, const Bytes& packet) {
  return {{Side::kServer, ethernet(server_mac(last_byte), kServerPortMac, packet)}};
}
inline Expected to_server(unsigned last_byte, std::string_view hex) { return to_server(last_byte, from_hex(hex)); }
// The director chose the IP id at random; `expected` has 0 there.
inline Expected any_id(Expected expected) {
  expected.any_id = true;
  return expected;
}

class Story : public World {
 public:
  using Where = std::source_location;

  explicit Story(const std::vector<std::string>& config = {}, WorldOptions options = {}) : World(with_eal(options)) {
    configure(config);
  }

  void configure(const std::vector<std::string>& lines, Where where = Where::current()) {
    for (const std::string& line : lines) {
      const OperationResult result = apply({line});
      check(result.reason == Reason::kDone, line + ": " + result.message, where);
    }
  }
  void refused(const std::string& line, Reason reason, Where where = Where::current()) {
    const OperationResult result = apply({line});
    check(result.reason == reason, line + ": " + (result.message.empty() ? "was carried out" : result.message), where);
  }

  // One packet in: exactly this verdict, exactly these frames out.
  void client(const PacketBuilder& packet, Verdict verdict, const std::vector<Expected>& out = {},
              Where where = Where::current()) {
    frame(Side::kClient, packet.frame(), verdict, out, where);
  }
  void server(const PacketBuilder& packet, Verdict verdict, const std::vector<Expected>& out = {},
              Where where = Where::current()) {
    frame(Side::kServer, PacketBuilder(packet).mac("02:00:00:00:02:0b", "02:00:00:00:02:01").frame(), verdict, out,
          where);
  }
  void frame(Side side, const Bytes& sent, Verdict verdict, const std::vector<Expected>& out = {},
             Where where = Where::current()) {
    put(side, sent);
    run();
    expect(sent, verdict, out, where);
  }
  // Several frames at once, or none (after what time has done): so many of these verdicts and no others.
  using Given = std::map<Verdict, uint64_t>;
  void frames(Side side, const std::vector<Bytes>& sent, const Given& given, const std::vector<Expected>& out = {},
              Where where = Where::current()) {
    for (const Bytes& frame : sent) put(side, frame);
    run();
    expect(std::to_string(sent.size()) + " frames" + (sent.empty() ? "" : ", first: " + frame_text(sent[0])), given,
           out, where);
  }
  // After put() and run() of one packet.
  void expect(const Bytes& sent, Verdict verdict, const std::vector<Expected>& out, Where where = Where::current()) {
    expect(frame_text(sent), Given{{verdict, 1}}, out, where);
  }
  void expect(const std::string& sent, const Given& given, const std::vector<Expected>& out,
              Where where = Where::current()) {
    const std::string in = "sent: " + sent;
    const Verdicts after = verdicts();
    for (size_t i = 0; i < kVerdicts; ++i) {
      const auto expected = given.find(static_cast<Verdict>(i));
      const uint64_t wanted = expected == given.end() ? 0 : expected->second;
      if (after[i] - seen_[i] != wanted)
        check(false,
              in + "\n  verdict " + std::string(verdict_name(static_cast<Verdict>(i))) + " given " +
                  std::to_string(after[i] - seen_[i]) + " times instead of " + std::to_string(wanted),
              where);
    }
    seen_ = after;
    const std::vector<Frame> left = collect();
    std::string all;
    for (const Frame& one : left) all += "\n  out: " + frame_text(one.bytes);
    check(left.size() == out.size(),
          in + "\n  " + std::to_string(left.size()) + " frames left instead of " + std::to_string(out.size()) + all,
          where);
    for (size_t i = 0; i < std::min(left.size(), out.size()); ++i) {
      const Bytes actual = out[i].any_id ? without_id(left[i].bytes) : left[i].bytes;
      check(left[i].side == out[i].frame.side, in + "\n  left by the other port" + all, where);
      const std::string different = difference(out[i].frame.bytes, actual);
      check(different.empty(), in + different, where);
    }
  }

  // New TCP connections (or UDP datagrams) from `client` and the ports after it to `vip`; which real servers got them,
  // by last byte: "13 12 11". `finish` as the conformance scenarios name it: syn, est, half, close, rst.
  std::string connections(int count, const Endpoint& client, const Endpoint& vip, const std::string& finish = "syn",
                          bool is_udp = false) {
    std::string chosen;
    for (int i = 0; i < count; ++i) {
      const std::string from = client.address.text() + ":" + std::to_string(static_cast<int>(client.port) + i);
      chosen += (i == 0 ? "" : " ") + connect(from, vip, finish, is_udp);
    }
    seen_ = verdicts();
    return chosen;
  }

  // Services in order of creation, servers in LVS's list order: "10.0.2.12:80 Route 1 0 0" = weight, active, inactive.
  std::string services() {
    std::string text;
    const auto all = publisher().statistics(nullptr, false);
    for (const auto& service : publisher().current().services) {
      text += (text.empty() ? "" : "\n") + name_of(service->key) + " " + service->scheduler;
      for (const ServiceStatistics& of : all) {
        if (!(of.key == service->key)) continue;
        for (const ServerStatistics& server : of.servers) {
          for (const RealServer& configured : service->servers)
            if (configured.key == server.key)
              text += "\n  " + endpoint(server.key.address, server.key.port) + " " + method_name(configured.method) +
                      " " + std::to_string(configured.weight);
          text += " " + std::to_string(server.active) + " " + std::to_string(server.inactive);
        }
      }
    }
    return text;
  }

  // Connections, incoming packets and bytes, outgoing packets and bytes.
  std::string statistics() {
    std::string text;
    const auto numbers = [](const CounterValues& of) {
      std::string line;
      for (const uint64_t value : {of.connections, of.in_packets, of.out_packets, of.in_bytes, of.out_bytes})
        line += " " + std::to_string(value);
      return line;
    };
    for (const ServiceStatistics& service : publisher().statistics(nullptr, false)) {
      text += (text.empty() ? "" : "\n") + name_of(service.key) + numbers(service.counters);
      for (const ServerStatistics& server : service.servers)
        text += "\n  " + endpoint(server.key.address, server.key.port) + numbers(server.counters);
    }
    return text;
  }

  // "TCP client virtual server state seconds left", sorted.
  std::string table() {
    std::vector<std::string> lines;
    for (const ConnectionInfo& at : World::connections()) {
      const bool tcp = at.protocol == IpProtocol::kTcp, sctp = at.protocol == IpProtocol::kSctp;
      const std::string_view state = tcp    ? tcp_state_name(static_cast<TcpState>(at.state))
                                     : sctp ? sctp_state_name(static_cast<SctpState>(at.state))
                                            : kUdpStateName;
      lines.push_back((tcp    ? "TCP "
                       : sctp ? "SCTP "
                              : "UDP ") +
                      endpoint(at.client, at.client_port) + " " + endpoint(at.vip, at.virtual_port) + " " +
                      endpoint(at.server, at.server_port) + " " + std::string(state) + " " +
                      std::to_string(at.expires_ms / 1000));
    }
    std::sort(lines.begin(), lines.end());
    std::string text;
    for (const std::string& line : lines) text += (text.empty() ? "" : "\n") + line;
    return text;
  }

 private:
  static WorldOptions with_eal(WorldOptions options) {
    test_engine();
    return options;
  }
  static void check(bool holds, const std::string& message, Where where) {
    if (!holds) ADD_FAIL_CHECK_AT(where.file_name(), static_cast<int>(where.line()), message);
  }
  static std::string endpoint(const Address& address, unsigned port) {
    const std::string host = address.text();
    return (address.family == Family::kIpv6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
  }
  static std::string name_of(const ServiceKey& key) {
    if (key.fwmark != 0) return "FWM " + std::to_string(key.fwmark);
    return (key.protocol == IpProtocol::kTcp    ? "TCP "
            : key.protocol == IpProtocol::kSctp ? "SCTP "
                                                : "UDP ") +
           endpoint(key.address, key.port);
  }
  // ipvsadm's words.
  static const char* method_name(ForwardingMethod method) {
    return method == ForwardingMethod::kNat ? "Masq" : method == ForwardingMethod::kDr ? "Route" : "Tunnel";
  }
  static Bytes without_id(Bytes frame) {
    set16(frame, 18, 0);
    set16(frame, 24, 0);
    const size_t header = (frame[14] & 15u) * 4u;
    set16(frame, 24,
          slow_checksum(Bytes(frame.begin() + 14, frame.begin() + 14 + static_cast<std::ptrdiff_t>(header))));
    return frame;
  }

  std::string connect(const Endpoint& client, const Endpoint& vip, const std::string& finish, bool is_udp) {
    const auto from_client = [&](std::string_view flags) {
      return exchange(Side::kClient, (is_udp ? udp(client, vip) : tcp(client, vip, flags)).frame());
    };
    const auto left = from_client("S");
    if (left.empty() || left[0].side != Side::kServer) return "-";
    const Bytes& syn = left[0].bytes;
    const std::string chosen = std::to_string(syn[5]);
    // A NAT server's own packets pass the director.
    const Address server = packet_text_parts::address_at(syn, 30, Family::kIpv4);
    const bool is_nat = !(server == vip.address) && syn[23] != 4;
    const auto from_server = [&](std::string_view flags) {
      if (!is_nat) return;
      Endpoint self = vip;
      self.address = server;
      self.port = get16(syn, 14u + (syn[14] & 15u) * 4u + 2u);
      exchange(Side::kServer, tcp(self, client, flags).mac("02:00:00:00:02:0b", "02:00:00:00:02:01").frame());
    };
    if (is_udp || finish == "syn") return chosen;
    from_server("SA");
    from_client("A");
    if (finish == "rst") from_client("R");
    if (finish == "half" || finish == "close") from_client("FA");
    if (finish != "close") return chosen;
    from_server("FA");
    from_client("A");
    return chosen;
  }

  Verdicts seen_ = verdicts();
};

}  // namespace fulcrum::test
