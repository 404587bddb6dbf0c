// SPDX-License-Identifier: Apache-2.0
// Frames for the fuzzer, by chance: both address families; TCP, UDP, SCTP, ICMP with quotes (of tunnel packets too),
// tunnels, extension headers, datagrams in pieces of which some are missing, doubled or overlap, ARP, neighbour
// discovery; then changed here and there, cut off, or made of nothing but chance. All from one random sequence.
#pragma once

#include <deque>
#include <random>
#include <string>

#include "test/packet_text.h"
#include "test/world.h"

namespace fulcrum::test {

class FrameSource {
 public:
  // `masquerades`: of flows that servers begin themselves, too.
  explicit FrameSource(std::mt19937_64& random, bool masquerades = false)
      : random_(random), masquerades_(masquerades) {}

  Bytes next(Side side) {
    side_ = side;
    Bytes bytes = one_in(12) ? random_bytes() : frame();
    if (one_in(3)) change(bytes);
    if (one_in(10)) bytes.resize(below(static_cast<uint32_t>(bytes.size()) + 1));
    return bytes;
  }

 private:
  uint32_t below(uint32_t limit) { return static_cast<uint32_t>(random_() % limit); }
  bool one_in(uint32_t n) { return below(n) == 0; }
  uint8_t byte() { return static_cast<uint8_t>(random_()); }
  template <typename T, size_t kSize>
  const T& one_of(const T (&all)[kSize]) {
    return all[below(kSize)];
  }

  // Few of each, so that packets meet connections.
  std::string client() {
    const std::string port = std::to_string(one_in(50) ? 20 : one_in(100) ? 0 : 1000 + below(4));
    const std::string host = std::to_string(1 + below(4));
    return ipv6_ ? "[2001:db8:aa::" + host + "]:" + port : "198.51.100." + host + ":" + port;
  }
  std::string vip() {
    static const char* const kVips[] = {"192.0.2.1:80", "192.0.2.1:80", "192.0.2.1:53", "192.0.2.2:80", "192.0.2.1:81"};
    static const char* const kVips6[] = {"[2001:db8:ff::1]:80", "[2001:db8:ff::1]:80", "[2001:db8:ff::1]:53",
                                         "[2001:db8:ff::2]:80", "[2001:db8:ff::1]:81"};
    return ipv6_ ? one_of(kVips6) : one_of(kVips);
  }
  std::string server() {
    // Those that translated connections are likely to be with; a DR server's packets that pass the director.
    static const char* const kLikely[] = {"10.0.2.12:8080", "10.0.2.11:5353", "192.0.2.1:80", "10.0.2.14:80"};
    static const char* const kLikely6[] = {"[2001:db8:2::c]:8080", "[2001:db8:2::b]:5353", "[2001:db8:ff::1]:80",
                                           "[2001:db8:2::e]:80"};
    if (!one_in(4)) return ipv6_ ? one_of(kLikely6) : one_of(kLikely);
    static const char* const kPorts[] = {"80", "8080", "5353", "53"};
    const uint32_t host = 11 + below(5);
    return (ipv6_ ? "[2001:db8:2::" + std::string(1, "bcdef"[host - 11]) + "]:"
                  : "10.0.2." + std::to_string(host) + ":") +
           one_of(kPorts);
  }
  std::string anywhere() {
    static const char* const kPlaces[] = {"203.0.113.9:7", "10.0.3.3:80", "10.0.2.99:80", "10.0.100.11:80",
                                          "10.0.1.77:9",   "10.0.1.1:80", "10.0.2.1:22",  "224.0.0.5:1",
                                          "127.0.0.1:1",   "0.0.0.0:1"};
    static const char* const kPlaces6[] = {"[2001:db8:cb::9]:7",
                                           "[2001:db8:3::3]:80",
                                           "[2001:db8:2::99]:80",
                                           "[2001:db8:1::1]:80",
                                           "[2001:db8:2::1]:22",
                                           "[fe80::1]:1",
                                           "[ff02::5]:1",
                                           "[::1]:1",
                                           "[::]:1",
                                           "[::ffff:10.0.2.1]:1"};
    return ipv6_ ? one_of(kPlaces6) : one_of(kPlaces);
  }
  // The ends of a masqueraded flow: a host behind the director, and the director before it (kMasqueraded of the
  // fuzzer).
  std::string inside() {
    const uint32_t host = 11 + below(3), port = 6000 + below(3);
    return (ipv6_ ? "[2001:db8:2::" + std::string(1, "bcd"[host - 11]) + "]:"
                  : "10.0.2." + std::to_string(host) + ":") +
           std::to_string(port);
  }
  std::string outside() { return (ipv6_ ? "[2001:db8:1::1]:" : "10.0.1.1:") + std::to_string(40000 + below(4)); }
  PacketBuilder echo(const std::string& from, const std::string& to) {
    if (!masquerades_ || one_in(3)) return echo_request(from, to);
    if (side_ == Side::kServer) return echo_request(from, to, 1 + below(3));
    return icmp(from, to, ipv6_ ? 129 : 0, 0, (40000 + below(4)) << 16);
  }
  const char* flags() {
    static const char* const kFlags[] = {"S", "S", "S", "A", "A", "FA", "R", "SA", "", "SFRPAU"};
    return one_of(kFlags);
  }
  // With a maximum segment size, and what is none; in whole words.
  const char* options() {
    static const char* const kOptions[] = {"020405b4",           "020405b4 0402 080a 0000000100000000 01 030307",
                                           "01 020405b4 010101", "030307 0204ffff 01",
                                           "02040000",           "020405b4 020405dc",
                                           "02060000 05b4 0101", "0200 05b4",
                                           "0201 05b4",          "010102 04",
                                           "00 020405b4 000000", "fe30 0000"};
    return one_of(kOptions);
  }
  const char* chunks() {
    static const char* const kChunks[] = {"0100001400000001000100000001000100000001",
                                          "0200001400000002000100000001000100000001",
                                          "0a000008cafebabe",
                                          "0b000004",
                                          "0003001100000001000000000000000061000000",
                                          "0700000800000001",
                                          "08000004",
                                          "0e000004",
                                          "06000004",
                                          "0b000004 0003001100000001000000000000000061000000",
                                          "09",
                                          "0100ffff",
                                          "01000000",
                                          ""};
    return one_of(kChunks);
  }

  // TCP, UDP or SCTP.
  PacketBuilder flow(const std::string& from, const std::string& to) {
    if (one_in(6)) return sctp(from, to, below(3), chunks());
    PacketBuilder builder = one_in(3) ? udp(from, to) : tcp(from, to, flags());
    static const size_t kSizes[] = {0, 1, 6, 100, 1300, 1361, 1440, 1441, 1460, 1472};
    if (one_in(3)) builder.payload_size(one_of(kSizes));
    if (one_in(2)) builder.tcp_options(options());
    return builder;
  }

  // Around a packet of either family.
  PacketBuilder tunnel(const std::string& from, const std::string& to, const Bytes& inner) {
    switch (below(5)) {
      case 0:
        return gue(from, to, inner);
      case 1:
        return gue(Endpoint(from).address.text(), Endpoint(to).address.text(), inner);
      case 2:
        return gre(from, to, inner, one_in(2));
      default:
        return ipip(from, to, inner);
    }
  }
  Bytes inner_packet() {
    const bool outer = ipv6_;
    if (one_in(3)) ipv6_ = !ipv6_;
    const std::string near = client(), far = one_in(2) ? vip() : server();
    Bytes made = (one_in(2) ? flow(near, far) : flow(far, near)).packet();
    ipv6_ = outer;
    return made;
  }
  // As a router quotes what the director sent to a real server.
  Bytes own_tunnel_packet() {
    const bool outer6 = ipv6_;
    const Bytes inner = inner_packet();
    const char* host = outer6 ? "2001:db8:2::1" : "10.0.2.1";
    const char* end = outer6 ? "2001:db8:2::d" : "10.0.2.13";
    return tunnel(host, end, inner).packet();
  }

  PacketBuilder icmp_about(const std::string& from, const std::string& to) {
    static const unsigned kTypes[] = {3, 3, 11, 4, 5, 12}, kTypes6[] = {1, 2, 3, 4, 100, 127};
    const bool of_tunnel = one_in(3);
    Bytes quoted = of_tunnel ? own_tunnel_packet() : flow(to, from).packet();
    if (masquerades_ && one_in(4))
      quoted = side_ == Side::kClient ? echo_request(to, from, 40000 + below(4)).packet()
                                      : icmp(to, from, ipv6_ ? 129 : 0, 0, (1 + below(3)) << 16).packet();
    const uint32_t rest = below(2000);
    const size_t size = one_in(2) ? quoted.size() : below(static_cast<uint32_t>(quoted.size()) + 1);
    const std::string target = of_tunnel && !one_in(4) ? (ipv6_ ? "2001:db8:2::1" : "10.0.2.1") : to;
    return icmp_error(Endpoint(from).address.text(), Endpoint(target).address.text(),
                      ipv6_ ? one_of(kTypes6) : one_of(kTypes), below(6), std::move(quoted), rest, size);
  }

  PacketBuilder packet() {
    const std::string near = client();
    std::string from = near, to = vip();
    if (side_ == Side::kServer) {
      from = server();
      to = near;
    }
    if (masquerades_ && one_in(3)) (side_ == Side::kServer ? from : to) = side_ == Side::kServer ? inside() : outside();
    if (one_in(10)) to = anywhere();
    if (one_in(40)) from = anywhere();
    switch (below(24)) {
      case 0:
        return echo(from, to);
      case 1:
      case 2:
        return icmp_about(from, to);
      case 3:
        return tunnel(from, to, inner_packet());
      case 4:
        return PacketBuilder(from, to, one_in(2) ? 50 + below(2) : byte()).payload_size(below(64));
      default:
        return flow(from, to);
    }
  }

  PacketBuilder& dress(PacketBuilder& builder) {
    if (one_in(20)) builder.ttl(below(3));
    if (one_in(10)) builder.dont_fragment(false);
    if (one_in(30)) builder.fragment(8 * below(200), one_in(2));
    if (one_in(20)) builder.zero_checksum();
    if (one_in(30)) builder.total_length(below(2000));
    if (one_in(30)) builder.bad_ip_checksum();
    if (one_in(20)) builder.tos(byte());
    if (one_in(8)) builder.vlan(one_in(3) ? 5 : 100);
    if (one_in(30)) builder.pad_to(60 + below(100));
    if (!ipv6_) {
      if (one_in(12)) builder.ip_options(one_in(2) ? "94040000" : "0101010044080502aabbccdd");
      return builder;
    }
    static const unsigned kTypes[] = {0, 43, 60, 51, 44, 135, 59};
    static const char* const kBodies[] = {"00 0104 00000000", "00 00 00 00000000", "01 010c 000000000000000000000000",
                                          "ff 0104 00000000", "00 05 02 0000 0100"};
    for (unsigned count = one_in(8) ? 1 + below(3) : 0; count != 0; --count)
      builder.extension(one_of(kTypes), one_of(kBodies));
    return builder;
  }

  void address(PacketBuilder& builder) {
    if (side_ == Side::kServer) builder.mac("02:00:00:00:02:0b", "02:00:00:00:02:01");
    if (one_in(60)) builder.mac("02:00:00:00:02:0b", one_in(2) ? "ff:ff:ff:ff:ff:ff" : "02:00:00:00:77:77");
  }

  // A datagram whose pieces are to come in some order, now one, now another between other frames.
  void cut() {
    PacketBuilder builder = packet();
    address(builder);
    if (one_in(2)) builder.payload_size(below(one_in(10) ? 9000 : 3000));
    builder.dont_fragment(one_in(10));
    const size_t size = 8 * (1 + below(one_in(3) ? 20 : 180));
    std::vector<Bytes> pieces = builder.id(below(4)).fragments(size);
    if (pieces.empty()) return;
    if (pieces.size() > 60) pieces.resize(60);
    if (one_in(6)) {
      // Cut by another length: these overlap.
      const auto others = builder.fragments(8 * (1 + below(180)));
      pieces.push_back(others[below(static_cast<uint32_t>(others.size()))]);
    }
    if (one_in(6)) pieces.push_back(pieces[below(static_cast<uint32_t>(pieces.size()))]);
    if (one_in(2)) std::shuffle(pieces.begin(), pieces.end(), random_);
    if (one_in(4)) pieces.pop_back();
    auto& waiting = waiting_[static_cast<size_t>(side_)];
    if (waiting.size() < 500) waiting.insert(waiting.end(), pieces.begin(), pieces.end());
  }

  Bytes neighbor_frame() {
    if (!ipv6_) {
      static const char* const kAddresses[] = {"10.0.1.1",  "192.0.2.1", "10.0.2.1",
                                               "10.0.2.99", "0.0.0.0",   "198.51.100.9"};
      const char *sender = one_of(kAddresses), *target = one_of(kAddresses);
      return one_in(2) ? arp_request("02:00:00:00:09:09", sender, target, one_in(4) ? 100 : 0)
                       : arp_reply("02:00:00:00:09:09", sender, "02:00:00:00:01:01", target);
    }
    static const char* const kAddresses[] = {
        "2001:db8:1::1", "2001:db8:ff::1", "2001:db8:2::1", "2001:db8:2::d", "2001:db8:2::99", "fe80::9", "::"};
    static const char* const kGroups[] = {"ff02::1:ff00:1", "ff02::1", "2001:db8:2::1", "2001:db8:ff::1"};
    static const char* const kOptions[] = {"", "0101020000000909", "0201020000000909", "0100", "0102020000000909"};
    const char *source = one_of(kAddresses), *target = one_of(kAddresses), *group = one_of(kGroups);
    PacketBuilder builder =
        neighbor_message(source, group, one_in(2) ? 135 : 136, target, below(8) << 29, one_of(kOptions));
    if (one_in(10)) builder.ttl(64);
    if (one_in(8)) builder.vlan(100);
    return builder.mac("02:00:00:00:09:09", group[0] == 'f' ? "33:33:ff:00:00:01" : own_mac()).frame();
  }
  const char* own_mac() const { return side_ == Side::kServer ? "02:00:00:00:02:01" : "02:00:00:00:01:01"; }

  Bytes frame() {
    auto& waiting = waiting_[static_cast<size_t>(side_)];
    if (!waiting.empty() && one_in(2)) {
      Bytes piece = waiting.front();
      waiting.pop_front();
      return piece;
    }
    ipv6_ = one_in(3);
    if (one_in(40)) return neighbor_frame();
    if (one_in(50)) cut();
    PacketBuilder builder = packet();
    address(builder);
    return dress(builder).frame();
  }

  Bytes random_bytes() {
    Bytes bytes(below(1600));
    for (uint8_t& at : bytes) at = byte();
    // To us at least, some of them.
    const auto& mac = side_ == Side::kServer ? kServerPortMac : kClientPortMac;
    if (bytes.size() > 14 && !one_in(4)) {
      static const unsigned kTypes[] = {0x0800, 0x0800, 0x86dd, 0x0806};
      std::copy(mac.begin(), mac.end(), bytes.begin());
      const unsigned type = one_of(kTypes);
      set16(bytes, 12, type);
      if (type != 0x0806 && one_in(2)) bytes[14] = static_cast<uint8_t>(type == 0x0800 ? 0x45 : 0x60);
    }
    return bytes;
  }

  void change(Bytes& bytes) {
    for (unsigned changes = 1 + below(6); changes != 0 && !bytes.empty(); --changes) {
      const uint32_t reach = one_in(2) ? 78u : static_cast<uint32_t>(bytes.size());
      bytes[below(std::min(reach, static_cast<uint32_t>(bytes.size())))] = byte();
    }
    if (!one_in(3)) mend_checksums(bytes);
  }

  static Bytes slice(const Bytes& bytes, size_t from, size_t size = SIZE_MAX) {
    return packet_text_parts::slice(bytes, from, size);
  }

  // Recomputed, so that what was changed gets beyond the first check: of the IPv4 header and of ICMP.
  static void mend_checksums(Bytes& bytes) {
    const size_t ip = bytes.size() > 14 && get16(bytes, 12) == 0x8100 ? 18 : 14;
    if (bytes.size() >= ip + 20 && bytes[ip] >> 4 == 4) {
      const size_t header = std::min<size_t>((bytes[ip] & 15u) * 4u, bytes.size() - ip);
      if (header < 20) return;
      const size_t total = std::min<size_t>(get16(bytes, ip + 2), bytes.size() - ip);
      if (bytes[ip + 9] == 1 && total >= header + 8) {
        set16(bytes, ip + header + 2, 0);
        set16(bytes, ip + header + 2, slow_checksum(slice(bytes, ip + header, total - header)));
      }
      set16(bytes, ip + 10, 0);
      set16(bytes, ip + 10, slow_checksum(slice(bytes, ip, header)));
    } else if (bytes.size() >= ip + 48 && bytes[ip] >> 4 == 6 && bytes[ip + 6] == 58) {
      const size_t length = std::min<size_t>(get16(bytes, ip + 4), bytes.size() - ip - 40);
      if (length < 8) return;
      set16(bytes, ip + 42, 0);
      Bytes summed = pseudo_header(packet_text_parts::address_at(bytes, ip + 8, Family::kIpv6),
                                   packet_text_parts::address_at(bytes, ip + 24, Family::kIpv6), 58, length);
      put(summed, slice(bytes, ip + 40, length));
      set16(bytes, ip + 42, slow_checksum(summed));
    }
  }

  std::mt19937_64& random_;
  bool masquerades_;
  Side side_ = Side::kClient;
  bool ipv6_ = false;
  std::array<std::deque<Bytes>, 2> waiting_;
};

}  // namespace fulcrum::test
