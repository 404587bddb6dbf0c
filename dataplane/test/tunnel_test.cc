// SPDX-License-Identifier: Apache-2.0
// Packets of LVS come from the conformance scenarios that the test cases name; there is none for GRE, whose bytes are
// those of RFC 2784.
#include "forward/tunnel.h"

#include <doctest/doctest.h>

#include <memory>
#include <random>

#include "test/packet_text.h"

using namespace fulcrum;
using namespace fulcrum::test;

namespace {

constexpr TunnelSettings kIpip{}, kGue{TunnelType::kGue, TunnelChecksum::kNone, 6080},
    kGueFull{TunnelType::kGue, TunnelChecksum::kFull, 6080},
    kGueRemote{TunnelType::kGue, TunnelChecksum::kRemote, 6080}, kGre{TunnelType::kGre, TunnelChecksum::kNone, 0},
    kGreFull{TunnelType::kGre, TunnelChecksum::kFull, 0};

// A packet in buffers of at most `segment` bytes, with `room` bytes before it, outside of any pool.
class LoosePacket {
 public:
  LoosePacket(const Bytes& bytes, size_t room, size_t segment = 65536) {
    for (size_t at = 0; at < bytes.size(); at += segment) {
      const size_t size = std::min(segment, bytes.size() - at), before = at == 0 ? room : 0;
      auto& data = data_.emplace_back(before + size);
      std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), size, data.data() + before);
      rte_mbuf& buffer = *buffers_.emplace_back(std::make_unique<rte_mbuf>());
      buffer = rte_mbuf{};
      buffer.buf_addr = data.data();
      buffer.data_off = static_cast<uint16_t>(before);
      buffer.data_len = static_cast<uint16_t>(size);
      if (buffers_.size() > 1) buffers_[buffers_.size() - 2]->next = &buffer;
    }
    buffers_[0]->pkt_len = static_cast<uint32_t>(bytes.size());
    buffers_[0]->nb_segs = static_cast<uint16_t>(buffers_.size());
  }

  rte_mbuf* get() { return buffers_[0].get(); }
  // From the beginning of the room on.
  Bytes bytes() const {
    Bytes all;
    for (const Bytes& data : data_) fulcrum::test::put(all, data);
    return all;
  }

 private:
  std::vector<Bytes> data_;
  std::vector<std::unique_ptr<rte_mbuf>> buffers_;
};

template <Family kOuter>
void write_from(const rte_mbuf* packet, uint8_t* inner, const TunnelSettings& settings, const Address& source,
                const Address& destination, const TunnelPacket& brings) {
  if (*inner >> 4 == 4)
    write_tunnel<kOuter, Family::kIpv4>(packet, inner, settings, source.as<kOuter>(), destination.as<kOuter>(), brings);
  else
    write_tunnel<kOuter, Family::kIpv6>(packet, inner, settings, source.as<kOuter>(), destination.as<kOuter>(), brings);
}

// The outer packet. `link`: bytes of a link header that the packet still has before the inner datagram.
Bytes tunnelled(const TunnelSettings& settings, const char* source, const char* destination, const Bytes& inner,
                const TunnelPacket& brings = {}, size_t segment = 65536, size_t link = 0) {
  const Address from = Endpoint(source).address, to = Endpoint(destination).address;
  const unsigned overhead = tunnel_overhead(settings, from.family);
  Bytes whole(link);
  put(whole, inner);
  LoosePacket packet(whole, overhead - link, segment + link);
  uint8_t* at = rte_pktmbuf_mtod(packet.get(), uint8_t*) + link;
  if (from.family == Family::kIpv4)
    write_from<Family::kIpv4>(packet.get(), at, settings, from, to, brings);
  else
    write_from<Family::kIpv6>(packet.get(), at, settings, from, to, brings);
  return packet.bytes();
}

Bytes slice(const Bytes& bytes, size_t from, size_t size = SIZE_MAX) {
  return packet_text_parts::slice(bytes, from, size);
}

// True if the UDP checksum of an outer packet without extension headers holds.
bool udp_checksum_holds(const Bytes& outer) {
  const bool is_ipv4 = outer[0] >> 4 == 4;
  const Family family = is_ipv4 ? Family::kIpv4 : Family::kIpv6;
  const Bytes datagram = slice(outer, is_ipv4 ? 20 : 40);
  Bytes summed = pseudo_header(packet_text_parts::address_at(outer, is_ipv4 ? 12 : 8, family),
                               packet_text_parts::address_at(outer, is_ipv4 ? 16 : 24, family), 17, datagram.size());
  put(summed, datagram);
  return slow_checksum(summed) == 0;
}

PacketBuilder client_packet(const char* source, const char* flags = "S") {
  return tcp(source, "192.0.2.1:80", flags).ttl(63);
}

}  // namespace

TEST_CASE("tunnel: every field of the outer header") {
  struct Row {
    unsigned tos, ttl;
    bool dont_fragment;
    const char* outer;
  };
  // The inner packet is a SYN of 40 bytes after its TTL was decremented.
  const Row rows[] = {{0x00, 63, true, "4500003c000040003f0423b10a0002010a00020d"},
                      {0xb8, 1, true, "45b8003c00004000010460f90a0002010a00020d"},
                      {0x01, 254, true, "4501003c00004000fe0464af0a0002010a00020d"},
                      {0x02, 63, true, "4502003c000040003f0423af0a0002010a00020d"},
                      {0x03, 63, true, "4502003c000040003f0423af0a0002010a00020d"},
                      {0x2f, 63, false, "452e003c000000003f0463830a0002010a00020d"}};
  for (const Row& row : rows) {
    const Bytes inner = tcp("198.51.100.1:1000", "192.0.2.1:80", "S")
                            .tos(row.tos)
                            .ttl(row.ttl)
                            .dont_fragment(row.dont_fragment)
                            .packet();
    Bytes outer(kIpipBytes);
    write_ipip(*reinterpret_cast<Ipv4Header*>(outer.data()), *reinterpret_cast<const Ipv4Header*>(inner.data()),
               Endpoint("10.0.2.1").address.v4(), Endpoint("10.0.2.13").address.v4(), be16{});
    CHECK(to_hex(outer) == row.outer);
  }
}

TEST_CASE("tunnel: the id is the caller's where the packet may be cut, and 0 where it may not") {
  for (const bool dont_fragment : {false, true}) {
    const Bytes inner = tcp("198.51.100.1:1", "192.0.2.1:80", "S").dont_fragment(dont_fragment).packet();
    Bytes outer(kIpipBytes);
    write_ipip(*reinterpret_cast<Ipv4Header*>(outer.data()), *reinterpret_cast<const Ipv4Header*>(inner.data()),
               Endpoint("10.0.2.1").address.v4(), Endpoint("10.0.2.13").address.v4(), be16::from_host(0xabcd));
    CHECK(get16(outer, 4) == (dont_fragment ? 0 : 0xabcd));
    CHECK(slow_checksum(outer) == 0);
  }
}

TEST_CASE("tunnel: without path MTU discovery DF is not copied, and the id is the caller's") {
  const Bytes inner = client_packet("198.51.100.1:1000").packet();
  Bytes outer(kIpipBytes);
  write_ipip(*reinterpret_cast<Ipv4Header*>(outer.data()), *reinterpret_cast<const Ipv4Header*>(inner.data()),
             Endpoint("10.0.2.1").address.v4(), Endpoint("10.0.2.13").address.v4(), be16{}, false);
  CHECK(to_hex(outer) == "4500003c000000003f0463b10a0002010a00020d");
  CHECK(get16(tunnelled(kGue, "10.0.2.1", "10.0.2.13", inner, {be16::from_host(7), false}), 4) == 7);
}

// Scenarios tun-gue, tun-fields, ipv6, mtu, icmp-in, edit-fwd. In them the ids, GUE's source ports and computed
// checksums (as ffff) are masked.
TEST_CASE("tunnel: LVS's packets") {
  const char* const kDirector = "10.0.2.1";
  const auto full = [](const char* source, size_t payload) {
    return client_packet(source, "A").payload_size(payload).packet();
  };
  struct Row {
    TunnelSettings settings;
    const char *source, *destination, *outer;
    Bytes inner;
    bool path_mtu_discovery = true;
  };
  const Bytes syn6a = tcp("[2001:db8:aa::1]:1000", "[2001:db8:ff::1]:80", "S").ttl(63).packet();
  const Bytes syn6b = tcp("[2001:db8:aa::2]:1000", "[2001:db8:ff::1]:80", "S").ttl(63).packet();
  const Bytes error = from_hex(
      "45000038432100003f013a55cb00714dc00002010304efc700000514450000281234400032064a66c0000201c6336401005003e8000003e"
      "8");
  const Row rows[] = {
      {kGueRemote, kDirector, "10.0.2.13", "45000048000040003f1123980a0002010a00020d000017c00034ffff00040000",
       client_packet("198.51.100.1:1000").packet()},
      {kGueFull, kDirector, "10.0.2.12", "45000048000040003f1123990a0002010a00020c000017c00034ffff00040000",
       client_packet("198.51.100.2:1000").packet()},
      {kGue, kDirector, "10.0.2.11", "45000048000040003f11239a0a0002010a00020b000017c00034000000040000",
       client_packet("198.51.100.3:1000").packet()},
      {kGueRemote, kDirector, "10.0.2.13", "450005dc000040003f111e040a0002010a00020d000017c005c8ffff00040000",
       full("198.51.100.1:1000", 1428)},
      {kGueFull, kDirector, "10.0.2.12", "450005dc000040003f111e050a0002010a00020c000017c005c8ffff00040000",
       full("198.51.100.2:1000", 1428)},
      {kGue, kDirector, "10.0.2.11", "450005dc000040003f111e060a0002010a00020b000017c005c8000000040000",
       full("198.51.100.3:1000", 1428)},
      {kIpip, kDirector, "10.0.2.13", "450005dc000040003f041e110a0002010a00020d", full("198.51.100.1:1000", 1440)},
      {kIpip, kDirector, "10.0.2.13", "4500003c000000003f0463b10a0002010a00020d",
       client_packet("198.51.100.1:1000").packet(), false},
      {kIpip, kDirector, "10.0.2.14", "45000050000000003f2963770a0002010a00020e", syn6a},
      {kIpip, "2001:db8:2::1", "2001:db8:2::d",
       "60000000003c293f20010db800020000000000000000000120010db800020000000000000000000d", syn6b},
      {kIpip, kDirector, "10.0.2.13", "45000578000040003f041e750a0002010a00020d", full("198.51.100.1:1000", 1340)},
      {kIpip, kDirector, "10.0.2.13", "4500004c000000003f0463a10a0002010a00020d", error},
      {kIpip, kDirector, "10.0.2.11", "4500003c000040003f0423b30a0002010a00020b",
       client_packet("198.51.100.2:2000").packet()},
  };
  for (const Row& row : rows) {
    CAPTURE(row.outer);
    Bytes outer = tunnelled(row.settings, row.source, row.destination, row.inner, {{}, row.path_mtu_discovery, 12345});
    const size_t overhead = outer.size() - row.inner.size();
    CHECK(overhead == tunnel_overhead(row.settings, Endpoint(row.source).address.family));
    CHECK(slice(outer, overhead) == row.inner);
    if (row.settings.type == TunnelType::kGue) {
      CHECK(get16(outer, 20) == tunnel_source_port(12345));
      if (row.settings.checksum != TunnelChecksum::kNone) {
        CHECK(udp_checksum_holds(outer));
        set16(outer, 26, 0xffff);
      }
      set16(outer, 20, 0);
    }
    CHECK(to_hex(slice(outer, 0, overhead)) == row.outer);
  }
}

TEST_CASE("tunnel: GRE with and without checksum, both families inside") {
  const Bytes inner = client_packet("198.51.100.1:1000").packet();
  const Bytes inner6 = tcp("[2001:db8:aa::1]:1000", "[2001:db8:ff::1]:80", "S").ttl(63).packet();
  const Bytes plain = tunnelled(kGre, "10.0.2.1", "10.0.2.13", inner);
  CHECK(to_hex(slice(plain, 0, 24)) == "45000040000040003f2f23820a0002010a00020d00000800");
  CHECK(slice(plain, 24) == inner);
  CHECK(to_hex(slice(tunnelled(kGre, "10.0.2.1", "10.0.2.13", inner6), 20, 4)) == "000086dd");

  for (const Bytes& of : {inner, inner6}) {
    const Bytes summed = tunnelled(kGreFull, "2001:db8:2::1", "2001:db8:2::d", of);
    CHECK(summed.size() == of.size() + 48);
    CHECK(get16(summed, 40) == 0x8000);
    CHECK(get16(summed, 42) == (of == inner ? 0x0800 : 0x86dd));
    CHECK(get16(summed, 46) == 0);
    CHECK(slow_checksum(slice(summed, 40)) == 0);
    CHECK(slice(summed, 48) == of);
  }
  // What the receiver cannot be left to do is not asked of it.
  CHECK(tunnelled({TunnelType::kGre, TunnelChecksum::kRemote, 0}, "10.0.2.1", "10.0.2.13", inner) == plain);
}

TEST_CASE("tunnel: IPv4 inside IPv6") {
  const Bytes inner = client_packet("198.51.100.1:1000").tos(0xbb).packet();
  const Bytes outer = tunnelled(kIpip, "2001:db8:2::1", "2001:db8:2::d", inner);
  CHECK(to_hex(slice(outer, 0, 8)) == "6ba000000028043f");  // CE became ECT(0); next header 4
  CHECK(slice(outer, 40) == inner);
  const Bytes gue = tunnelled(kGue, "2001:db8:2::1", "2001:db8:2::d", inner);
  CHECK(to_hex(slice(gue, 0, 8)) == "6ba000000034113f");
  CHECK(get16(gue, 46) == 0);  // no checksum, as over IPv4
  CHECK(udp_checksum_holds(tunnelled(kGueFull, "2001:db8:2::1", "2001:db8:2::d", inner)));
}

TEST_CASE("tunnel: an outer traffic class for each inner one, whatever the families") {
  for (unsigned tos = 0; tos < 256; ++tos) {
    const unsigned expected = (tos & 3) == 3 ? tos - 1 : tos;
    const Bytes inner = client_packet("198.51.100.1:1000").tos(tos).packet();
    const Bytes inner6 = tcp("[2001:db8:aa::1]:1000", "[2001:db8:ff::1]:80", "S").tos(tos).packet();
    REQUIRE(tunnelled(kIpip, "10.0.2.1", "10.0.2.13", inner)[1] == expected);
    REQUIRE(tunnelled(kIpip, "10.0.2.1", "10.0.2.13", inner6)[1] == expected);
    REQUIRE(get16(tunnelled(kIpip, "2001:db8::1", "2001:db8::2", inner), 0) == (0x6000 | expected << 4));
    REQUIRE(get16(tunnelled(kIpip, "2001:db8::1", "2001:db8::2", inner6), 0) == (0x6000 | expected << 4));
  }
}

TEST_CASE("tunnel: checksums over packets in several buffers, and with a link header before them") {
  for (const size_t payload : {0u, 1u, 7u, 512u, 1001u}) {
    const Bytes inner = client_packet("198.51.100.1:1000", "A").payload_size(payload).packet();
    for (const auto& settings : {kGueFull, kGreFull}) {
      const Bytes whole = tunnelled(settings, "10.0.2.1", "10.0.2.13", inner);
      for (const size_t segment : {41u, 64u, 333u}) {
        CHECK(tunnelled(settings, "10.0.2.1", "10.0.2.13", inner, {}, segment) == whole);
        CHECK(tunnelled(settings, "10.0.2.1", "10.0.2.13", inner, {}, segment, 14) == whole);
      }
    }
  }
}

// The only sum that needs it: all words add up to ffff.
TEST_CASE("tunnel: a computed UDP checksum of zero goes out as all ones") {
  PacketBuilder builder = client_packet("198.51.100.1:1000", "A");
  const Bytes before = tunnelled(kGueFull, "10.0.2.1", "10.0.2.13", builder.payload(from_hex("0000")).packet());
  Bytes inner = slice(before, 32);
  set16(inner, 40, get16(before, 26));  // the payload takes up what is missing
  const Bytes outer = tunnelled(kGueFull, "10.0.2.1", "10.0.2.13", inner);
  CHECK(get16(outer, 26) == 0xffff);
}

TEST_CASE("tunnel: source ports of GUE fill the local range") {
  CHECK(tunnel_source_port(0) == 32768);
  CHECK(tunnel_source_port(0xffffffff) == 60999);
  CHECK(tunnel_source_port(0x80000000) == 32768 + 14116);
}

TEST_CASE("tunnel: what an outer packet can hold") {
  CHECK(tunnel_holds(kIpip, Family::kIpv4, 65515));
  CHECK_FALSE(tunnel_holds(kIpip, Family::kIpv4, 65516));
  CHECK(tunnel_holds(kIpip, Family::kIpv6, 65535));
  CHECK_FALSE(tunnel_holds(kGue, Family::kIpv6, 65524));
  CHECK(tunnel_holds(kGue, Family::kIpv6, 65523));
  CHECK(tunnel_holds(kGreFull, Family::kIpv4, 65507));
  CHECK_FALSE(tunnel_holds(kGreFull, Family::kIpv4, 65508));
}

namespace {

struct Parsed {
  bool ours;
  TunnelQuote quote;
};
// In memory of exactly that size, so that a reader beyond its end is found.
Parsed parsed(const Bytes& bytes, size_t size = SIZE_MAX) {
  size = std::min(size, bytes.size());
  const std::unique_ptr<uint8_t[]> exact(new uint8_t[size]);
  std::copy_n(bytes.begin(), size, exact.get());
  Parsed result{};
  result.ours = parse_tunnel_quote(exact.get(), size, result.quote);
  return result;
}

}  // namespace

// Scenario tun-icmp.
TEST_CASE("tunnel quote: LVS's errors") {
  const Parsed found = parsed(
      from_hex("450005b4000040003f041e390a0002010a00020d450005a0123440003f0637eec6336401c000020103e80050000003e8"));
  REQUIRE(found.ours);
  CHECK(found.quote.type == TunnelType::kIpip);
  CHECK(found.quote.inner_offset == 20);
  CHECK(found.quote.inner_family == Family::kIpv4);
  CHECK(found.quote.source.text() == "10.0.2.1");
  CHECK(found.quote.destination.text() == "10.0.2.13");
  CHECK_FALSE(parsed(from_hex("450005b4000040003f041e390a0002010a00020d450005a012344000")).ours);
}

TEST_CASE("tunnel quote: every tunnel packet is recognised from the end of the inner IP header on, and no earlier") {
  const Bytes inner4 = client_packet("198.51.100.1:1000").packet();
  const Bytes inner6 = tcp("[2001:db8:aa::1]:1000", "[2001:db8:ff::1]:80", "S").packet();
  for (const auto& settings : {kIpip, kGue, kGueFull, kGre, kGreFull}) {
    for (const bool outer6 : {false, true}) {
      for (const Bytes& inner : {inner4, inner6}) {
        const char* destination = outer6 ? "2001:db8:2::d" : "10.0.2.13";
        const Bytes outer = tunnelled(settings, outer6 ? "2001:db8:2::1" : "10.0.2.1", destination, inner);
        const size_t overhead = outer.size() - inner.size(), needed = overhead + (inner == inner4 ? 20 : 40);
        for (size_t size = 0; size <= outer.size(); ++size) {
          const Parsed found = parsed(outer, size);
          REQUIRE(found.ours == (size >= needed));
          if (!found.ours) continue;
          REQUIRE(found.quote.type == settings.type);
          REQUIRE(found.quote.inner_offset == overhead);
          REQUIRE(found.quote.inner_family == (inner == inner4 ? Family::kIpv4 : Family::kIpv6));
          REQUIRE(found.quote.port == settings.port);
          REQUIRE(found.quote.destination.text() == destination);
        }
      }
    }
  }
}

TEST_CASE("tunnel quote: a fragment shows the inner packet if it is the first") {
  const Bytes inner = client_packet("198.51.100.1:1000").packet();
  Bytes outer = tunnelled(kIpip, "10.0.2.1", "10.0.2.13", inner);
  set16(outer, 6, 0x2000);
  CHECK(parsed(outer).ours);
  set16(outer, 6, 0x2001);
  CHECK_FALSE(parsed(outer).ours);

  Bytes outer6 = tunnelled(kIpip, "2001:db8::1", "2001:db8::2", inner);
  outer6[6] = 44;
  const Bytes fragment = from_hex("04000001 12345678");
  outer6.insert(outer6.begin() + 40, fragment.begin(), fragment.end());
  const Parsed found = parsed(outer6);
  CHECK(found.ours);
  CHECK(found.quote.inner_offset == 48);
  outer6[43] = 9;
  CHECK_FALSE(parsed(outer6).ours);
  for (size_t size = 40; size < 68; ++size) CHECK_FALSE(parsed(outer6, size).ours);
}

TEST_CASE("tunnel quote: what no tunnel of ours sends") {
  const Bytes inner = client_packet("198.51.100.1:1000").packet();
  const auto changed = [&](const TunnelSettings& settings, size_t at, unsigned value) {
    Bytes outer = tunnelled(settings, "10.0.2.1", "10.0.2.13", inner);
    outer.at(at) = static_cast<uint8_t>(value);
    return parsed(outer).ours;
  };
  CHECK_FALSE(changed(kIpip, 0, 0x46));   // options
  CHECK_FALSE(changed(kIpip, 0, 0x55));   // IP version 5
  CHECK_FALSE(changed(kIpip, 9, 6));      // TCP
  CHECK_FALSE(changed(kIpip, 20, 0x65));  // not the family that the protocol says
  CHECK_FALSE(changed(kGue, 28, 0x20));   // control message
  CHECK_FALSE(changed(kGue, 28, 0x40));   // variant 1
  CHECK_FALSE(changed(kGue, 28, 0x01));   // with options
  CHECK_FALSE(changed(kGue, 29, 6));      // carries TCP
  CHECK_FALSE(changed(kGue, 30, 0x01));   // flags
  CHECK_FALSE(changed(kGre, 20, 0x20));   // with a key
  CHECK_FALSE(changed(kGre, 21, 0x01));   // version 1
  CHECK_FALSE(changed(kGre, 22, 0x65));   // carries no IP
  CHECK(changed(kGue, 26, 0xaa));         // whatever the checksum
}

TEST_CASE("tunnel quote: any bytes") {
  std::mt19937 random(1);
  const Bytes inner = client_packet("198.51.100.1:1000").packet();
  unsigned ours = 0;
  for (unsigned round = 0; round < 20'000; ++round) {
    const TunnelSettings all[] = {kIpip, kGue, kGre, kGreFull};
    const bool outer6 = random() % 2 != 0;
    Bytes bytes =
        tunnelled(all[random() % 4], outer6 ? "2001:db8::1" : "10.0.2.1", outer6 ? "2001:db8::2" : "10.0.2.13", inner);
    if (random() % 4 == 0 && outer6) bytes[6] = 44;
    for (auto changes = random() % 3; changes != 0; --changes)
      bytes[random() % std::min<size_t>(bytes.size(), 60)] = static_cast<uint8_t>(random());
    const size_t size = random() % (bytes.size() + 1);
    const Parsed found = parsed(bytes, size);
    if (!found.ours) continue;
    ++ours;
    const bool is_ipv4 = found.quote.inner_family == Family::kIpv4;
    REQUIRE(found.quote.inner_offset + (is_ipv4 ? 20u : 40u) <= size);
    REQUIRE((bytes[found.quote.inner_offset] & 0xf0) == (is_ipv4 ? 0x40 : 0x60));
  }
  CHECK(ours > 1000);
}
