// SPDX-License-Identifier: Apache-2.0
#include "net/packet.h"

#include <doctest/doctest.h>

#include <cstring>
#include <memory>

#include "test/packet_text.h"

using namespace fulcrum;
using namespace fulcrum::test;

namespace {

constexpr std::string_view kDirector = "02:00:00:00:01:01";
const uint64_t kMac = mac_value(parse_mac(kDirector).value());

// A buffer as a driver hands it over; no pool, so no EAL.
struct Buffer {
  explicit Buffer(const Bytes& frame, size_t first_segment = SIZE_MAX) : bytes(frame) {
    const size_t here = std::min(first_segment, frame.size());
    // What lies beyond the first segment must not be read: it is not in this memory at all.
    memory = std::make_unique<uint8_t[]>(std::max<size_t>(here, 1));
    std::copy_n(frame.begin(), here, memory.get());
    mbuf.buf_addr = memory.get();
    mbuf.data_off = 0;
    mbuf.data_len = static_cast<uint16_t>(here);
    mbuf.pkt_len = static_cast<uint32_t>(frame.size());
  }
  Bytes bytes;
  std::unique_ptr<uint8_t[]> memory;
  rte_mbuf mbuf{};
};

using View = PacketView<Family::kIpv4>;
View parsed(Buffer& buffer) {
  View view;
  if (parse_link(&buffer.mbuf, kMac, view) == Family::kIpv4) parse_network(&buffer.mbuf, view);
  return view;
}
View parsed(const Bytes& frame) {
  Buffer buffer(frame);
  View view = parsed(buffer);
  view.ip = nullptr;
  return view;
}
bool is_plain(const Bytes& frame) {
  Buffer buffer(frame);
  View view;
  return parse_plain(&buffer.mbuf, kMac, view);
}

struct Row {
  const char* what;
  Bytes frame;
  PacketKind kind;
  bool plain;
  Verdict verdict = Verdict::kUnknownEtherType;
};

const Endpoint kClient("198.51.100.1:1000"), kVip("192.0.2.1:80");

PacketBuilder syn() { return tcp(kClient, kVip, "S"); }
Bytes with(Bytes frame, size_t at, unsigned value) {
  frame.at(at) = static_cast<uint8_t>(value);
  return frame;
}
// The header checksum made right again after a change.
Bytes mended(Bytes frame) {
  set16(frame, 24, 0);
  const auto end = frame.begin() + 14 + (frame[14] & 15) * 4;
  set16(frame, 24, slow_checksum(Bytes(frame.begin() + 14, end)));
  return frame;
}

std::vector<Row> rows() {
  using K = PacketKind;
  return {
      {"TCP", syn().frame(), K::kFlow, true},
      {"TCP with options", syn().tcp_options("020405b4").frame(), K::kFlow, true},
      {"TCP with data", syn().payload("hello").frame(), K::kFlow, true},
      {"UDP", udp(kClient, kVip).payload("x").frame(), K::kFlow, true},
      {"UDP, empty, padded to 60 bytes", udp(kClient, kVip).pad_to(60).frame(), K::kFlow, true},
      {"without DF", syn().dont_fragment(false).frame(), K::kFlow, true},
      {"TTL 0", syn().ttl(0).frame(), K::kFlow, true},
      {"wrong TCP checksum", syn().bad_checksum().frame(), K::kFlow, true},
      {"IP options", syn().ip_options("94040000").frame(), K::kFlow, false},
      {"tagged", syn().vlan(100).frame(), K::kFlow, false},
      {"priority tag", syn().vlan(0, 7).frame(), K::kFlow, false},
      {"first fragment", syn().payload_size(16).fragment(0, true).frame(), K::kFragment, false},
      {"later fragment", syn().payload_size(16).fragment(8, false).frame(), K::kFragment, false},
      {"echo", echo_request("198.51.100.1", "192.0.2.1").frame(), K::kIcmp, false},
      {"IPIP", ipip("198.51.100.1", "192.0.2.1", syn().packet()).frame(), K::kOtherIp, false},
      {"ARP", arp_request("02:00:00:00:01:fe", "10.0.1.254", "10.0.1.1"), K::kArp, false},
      {"ARP to us", arp_reply("02:00:00:00:01:fe", "10.0.1.254", kDirector, "10.0.1.1"), K::kArp, false},
      {"ARP, tagged", arp_request("02:00:00:00:01:fe", "10.0.1.254", "10.0.1.1", 100), K::kArp, false},
      {"ARP to somebody else", arp_reply("02:00:00:00:01:fe", "10.0.1.254", "02:00:00:00:01:02", "10.0.1.1"),
       K::kRejected, false, Verdict::kOtherHost},
      {"to another host", syn().mac("02:00:00:00:01:fe", "02:00:00:00:01:02").frame(), K::kRejected, false,
       Verdict::kOtherHost},
      {"broadcast", syn().mac("02:00:00:00:01:fe", "ff:ff:ff:ff:ff:ff").frame(), K::kRejected, false,
       Verdict::kMulticast},
      {"LLDP", with(with(syn().frame(), 12, 0x88), 13, 0xcc), K::kRejected, false, Verdict::kUnknownEtherType},
      {"IP version 5", mended(with(syn().frame(), 14, 0x55)), K::kRejected, false, Verdict::kBadIpHeader},
      {"header of 16 bytes", with(syn().frame(), 14, 0x44), K::kRejected, false, Verdict::kBadIpHeader},
      {"total length below the header's", syn().total_length(19).frame(), K::kRejected, false, Verdict::kBadIpHeader},
      {"total length beyond the frame", syn().total_length(41).frame(), K::kRejected, false, Verdict::kTruncated},
      {"wrong IP checksum", syn().bad_ip_checksum().frame(), K::kRejected, false, Verdict::kBadIpChecksum},
      {"wrong IP checksum with options", syn().ip_options("94040000").bad_ip_checksum().frame(), K::kRejected, false,
       Verdict::kBadIpChecksum},
      {"TCP of 19 bytes", syn().total_length(39).frame(), K::kRejected, false, Verdict::kBadTransport},
      {"UDP of 7 bytes", udp(kClient, kVip).total_length(27).pad_to(60).frame(), K::kRejected, false,
       Verdict::kBadTransport},
      {"ICMP of 7 bytes", echo_request("198.51.100.1", "192.0.2.1").total_length(27).frame(), K::kRejected, false,
       Verdict::kBadTransport},
      {"from loopback, with options", tcp("127.0.0.1:1", kVip, "S").ip_options("94040000").frame(), K::kRejected, false,
       Verdict::kMartian},
  };
}

}  // namespace

TEST_CASE("parser: each kind of frame") {
  for (const Row& row : rows()) {
    CAPTURE(row.what);
    const View view = parsed(row.frame);
    CHECK(view.kind == row.kind);
    if (row.kind == PacketKind::kRejected) CHECK_MESSAGE(view.verdict == row.verdict, verdict_name(view.verdict));
    CHECK(is_plain(row.frame) == row.plain);
  }
}

TEST_CASE("parser: what is plain is read the same by both") {
  for (const Row& row : rows()) {
    if (!row.plain) continue;
    CAPTURE(row.what);
    Buffer buffer(row.frame);
    View plain, any = parsed(buffer);
    REQUIRE(parse_plain(&buffer.mbuf, kMac, plain));
    CHECK(plain.ip == any.ip);
    CHECK(plain.total_length == any.total_length);
    CHECK(plain.transport_offset == any.transport_offset);
    CHECK(plain.vlan == any.vlan);
    CHECK(plain.kind == any.kind);
    CHECK(plain.tcp_flags == any.tcp_flags);
    CHECK(plain.to_our_mac == any.to_our_mac);
    CHECK(plain.key == any.key);
  }
}

TEST_CASE("parser: the flow's key and flags") {
  const View view = parsed(tcp(kClient, kVip, "SA").ip_options("94040000").vlan(100, 3).frame());
  CHECK(view.key.tuple.source == kClient.address.v4());
  CHECK(view.key.tuple.destination == kVip.address.v4());
  CHECK(view.key.tuple.source_port.host() == 1000);
  CHECK(view.key.tuple.destination_port.host() == 80);
  CHECK(view.key.protocol == IpProtocol::kTcp);
  CHECK(view.tcp_flags == 0x12);
  CHECK(view.transport_offset == 24);
  CHECK(view.total_length == 44);
  CHECK(view.vlan == 100);
  CHECK(parsed(udp(kClient, kVip).frame()).tcp_flags == 0);
}

TEST_CASE("parser: the tag in the frame and in metadata") {
  Buffer buffer(syn().frame());
  buffer.mbuf.vlan_tci = 0x3000 | 100;
  buffer.mbuf.ol_flags = RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
  View view;
  CHECK_FALSE(parse_plain(&buffer.mbuf, kMac, view));
  view = parsed(buffer);
  CHECK(view.vlan == 100);
  CHECK(view.kind == PacketKind::kFlow);
  CHECK(view.ip == buffer.memory.get() + 14);

  // A driver that reports the tag and leaves it where it was.
  Buffer both(syn().vlan(100).frame());
  both.mbuf.vlan_tci = 100;
  both.mbuf.ol_flags = RTE_MBUF_F_RX_VLAN;
  view = parsed(both);
  CHECK(view.vlan == 100);
  CHECK(view.kind == PacketKind::kFlow);
  CHECK(view.ip == both.memory.get() + 18);

  // Two tags: the inner one is nothing that we speak.
  view = parsed(syn().vlan(100).vlan(5).frame());
  CHECK(view.kind == PacketKind::kRejected);
  CHECK(view.verdict == Verdict::kUnknownEtherType);
}

TEST_CASE("parser: a frame cut short at any byte is refused, and nothing beyond it is read") {
  for (const Row& row : rows()) {
    if (row.kind == PacketKind::kRejected) continue;
    CAPTURE(row.what);
    const bool is_arp = row.kind == PacketKind::kArp;
    const size_t tag = get16(row.frame, 12) == 0x8100 ? 4 : 0;
    const size_t whole = 14 + tag + (is_arp ? 28 : get16(row.frame, 16 + tag));
    for (size_t size = 0; size < whole; ++size) {
      CAPTURE(size);
      const Bytes cut(row.frame.begin(), row.frame.begin() + static_cast<std::ptrdiff_t>(size));
      Buffer buffer(cut);
      View view;
      CHECK_FALSE(parse_plain(&buffer.mbuf, kMac, view));
      view = parsed(buffer);
      CHECK(view.kind == PacketKind::kRejected);
      CHECK_MESSAGE(view.verdict == Verdict::kTruncated, verdict_name(view.verdict));
    }
    CHECK(parsed(Bytes(row.frame.begin(), row.frame.begin() + static_cast<std::ptrdiff_t>(whole))).kind == row.kind);
  }
}

TEST_CASE("parser: headers must lie in the first segment, data need not") {
  const Bytes frame = syn().payload_size(200).frame();
  for (size_t first = 0; first <= frame.size(); ++first) {
    CAPTURE(first);
    Buffer buffer(frame, first);
    const View view = parsed(buffer);
    if (first >= 14 + 20 + 20) {
      CHECK(view.kind == PacketKind::kFlow);
    } else {
      CHECK(view.kind == PacketKind::kRejected);
    }
  }
}

TEST_CASE("martians: every address that names no host") {
  struct Case {
    const char* address;
    bool martian;
  };
  for (const Case& at :
       {Case{"0.0.0.0", true}, Case{"0.255.255.255", true}, Case{"1.0.0.0", false}, Case{"126.255.255.255", false},
        Case{"127.0.0.1", true}, Case{"128.0.0.0", false}, Case{"223.255.255.255", false}, Case{"224.0.0.1", true},
        Case{"240.0.0.1", true}, Case{"255.255.255.255", true}}) {
    CAPTURE(at.address);
    CHECK(is_martian(Endpoint(at.address).address.v4()) == at.martian);
  }
}
