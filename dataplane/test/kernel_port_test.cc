// SPDX-License-Identifier: Apache-2.0
// What the workers leave to the kernel where a port has a kernel port, of which class, and how much of it.
#include <thread>

#include "core/kernel_class.h"
#include "test/topic.h"

using namespace fulcrum;
using namespace fulcrum::test;

namespace {

const char *const kGateway = "198.51.100.9", *const kOwn = "10.0.1.1", *const kOwnV6 = "2001:db8:1::1",
                  *const kVip = "192.0.2.1", *const kClientV6 = "2001:db8:1::fe",
                  *const kGatewayMacText = "02:00:00:00:01:fe", *const kOwnMac = "02:00:00:00:01:01";
constexpr uint16_t kClientLink = 0, kServerLink = 1, kVlanLink = 2;

constexpr KernelLimits kNoLimits = {};

// The kernel's side of the world's interfaces, all of them or some.
class KernelSide {
 public:
  explicit KernelSide(Story& story, const KernelLimits& limits = kNoLimits,
                      const std::vector<uint16_t>& links = {kClientLink, kServerLink, kVlanLink})
      : story_(story), paths_(3) {
    story.shared().to_kernel.resize(3);
    for (const uint16_t link : links) {
      paths_[link] = std::make_unique<KernelPath>(story.workers(), limits);
      story.shared().to_kernel[link] = paths_[link].get();
    }
  }
  ~KernelSide() { story_.shared().to_kernel.clear(); }

  struct Got {
    KernelClass of;
    Bytes frame;
    bool operator==(const Got&) const = default;
  };
  std::vector<Got> take(uint16_t link = kClientLink) {
    std::vector<Got> all;
    for (size_t of = 0; of < kKernelClasses; ++of)
      for (uint32_t worker = 0; worker < story_.workers(); ++worker) {
        KernelQueue& queue = paths_[link]->queue(worker, static_cast<KernelClass>(of));
        while (const rte_mbuf* frame = queue.front()) {
          Bytes bytes(rte_pktmbuf_pkt_len(frame));
          const void* data = rte_pktmbuf_read(frame, 0, rte_pktmbuf_pkt_len(frame), bytes.data());
          if (data != bytes.data()) std::memcpy(bytes.data(), data, bytes.size());
          all.push_back({static_cast<KernelClass>(of), bytes});
          queue.pop();
        }
      }
    return all;
  }
  bool is_silent() { return take(kClientLink).empty() && take(kServerLink).empty() && take(kVlanLink).empty(); }
  KernelPath& path(uint16_t link) { return *paths_[link]; }

 private:
  Story& story_;
  std::vector<std::unique_ptr<KernelPath>> paths_;
};

std::string from(unsigned port) { return "198.51.100.1:" + std::to_string(port); }

Bytes group_frame(const char* destination, unsigned type, const Bytes& content, unsigned vlan = 0) {
  Bytes frame = mac_bytes(destination);
  put(frame, mac_bytes(kGatewayMacText));
  if (vlan != 0) put32(frame, 0x81000000 | vlan);
  put16(frame, type);
  put(frame, content);
  return frame;
}

}  // namespace

TEST_CASE("kernel port: what is for the director's own addresses is the kernel's, byte for byte") {
  Story story;
  story.client(echo_request(from(0), kOwn), Verdict::kEchoAnswered,
               {to_client(icmp(kOwn, from(0), 0, 0, 0x10000).id(0).packet())});
  {
    KernelSide kernel(story);
    const std::vector<std::pair<Bytes, KernelClass>> packets = {
        {tcp(from(1024), "10.0.1.1:22", "S").frame(), KernelClass::kConnect},
        {tcp(from(1024), "10.0.1.1:179", "S").frame(), KernelClass::kConnect},
        {tcp(from(1024), "10.0.1.1:22", "PA").payload("x").frame(), KernelClass::kTcp},
        {tcp(from(80), "10.0.1.1:40000", "SA").frame(), KernelClass::kTcp},
        {tcp(from(1024), "10.0.1.1:179", "A").frame(), KernelClass::kControl},
        {tcp(from(179), "10.0.1.1:40000", "SA").frame(), KernelClass::kControl},
        {tcp("[2001:db8:1::fe]:1024", "[2001:db8:1::1]:22", "A").frame(), KernelClass::kTcp},
        {udp(from(1024), "10.0.1.1:33434").ttl(1).frame(), KernelClass::kRest},
        {udp(from(53), "10.0.1.1:40000").frame(), KernelClass::kRest},
        {udp(from(49152), "10.0.1.1:3784").frame(), KernelClass::kControl},
        {udp(from(3784), "10.0.1.1:40000").frame(), KernelClass::kRest},
        {echo_request(from(0), kOwn).frame(), KernelClass::kIcmp},
        {icmp(from(0), kOwn, 0, 0).frame(), KernelClass::kIcmp},
        {echo_request(kClientV6, kOwnV6).frame(), KernelClass::kIcmp},
        {echo_request("fe80::99", "fe80::ff:fe00:101").frame(), KernelClass::kIcmp},
        {PacketBuilder(kGateway, kOwn, 112).payload("advertisement").frame(), KernelClass::kControl},
        {PacketBuilder(kGateway, kOwn, 89).payload("hello").frame(), KernelClass::kControl},
        {PacketBuilder(kGateway, kOwn, 47).payload("tunnel").frame(), KernelClass::kRest},
        // The kernel looks itself at what arrived damaged.
        {udp(from(1024), "10.0.1.1:53").payload("x").bad_checksum().frame(), KernelClass::kRest},
        // An address of another link.
        {tcp(from(1024), "10.0.2.1:22", "A").frame(), KernelClass::kTcp},
        // An error about something that is not balanced.
        {icmp_error(kGateway, kOwn, 3, 1, tcp("10.0.1.1:40000", from(80), "S").packet()).frame(), KernelClass::kIcmp},
    };
    for (const auto& [frame, of] : packets) {
      CAPTURE(frame_text(frame));
      story.frame(Side::kClient, frame, Verdict::kToKernel);
      CHECK(kernel.take() == std::vector<KernelSide::Got>{{of, frame}});
      CHECK(kernel.is_silent());
    }
  }
  check_accounts(story);
}

TEST_CASE("kernel port: VIPs are answered by the director, and what is balanced is not the kernel's") {
  Story story({"-A -t 10.0.1.1:80 -s rr", "-a -t 10.0.1.1:80 -r 10.0.2.11:80 -m"});
  {
    KernelSide kernel(story);
    story.client(echo_request(from(0), kVip), Verdict::kEchoAnswered,
                 {to_client(icmp(kVip, from(0), 0, 0, 0x10000).id(0).packet())});
    story.client(tcp(from(1024), "192.0.2.1:22", "A"), Verdict::kResetSent,
                 {to_client(tcp("192.0.2.1:22", from(1024), "R").id(0).window(0).sequence(0).packet())});
    // Its own address is that of a service: what the service does not want is the kernel's.
    story.client(tcp(from(1025), "10.0.1.1:80", "S"), Verdict::kForwardedNat,
                 {to_server(11, tcp(from(1025), "10.0.2.11:80", "S").ttl(63).packet())});
    CHECK(kernel.is_silent());
    story.client(tcp(from(1025), "10.0.1.1:22", "S"), Verdict::kToKernel);
    story.client(tcp(from(1026), "10.0.1.1:80", "A"), Verdict::kToKernel);
    CHECK(kernel.take().size() == 2);
    // An error about a balanced packet goes where that came from.
    const Bytes seen = tcp("10.0.1.1:80", from(1025), "SA").packet();
    story.put(Side::kClient, icmp_error(kGateway, kOwn, 3, 1, seen).frame());
    story.run();
    CHECK(kernel.is_silent());
    CHECK(story.collect().size() == 1);
  }
  check_accounts(story);
}

TEST_CASE("kernel port: a port without one, and its VLANs, are as ever") {
  Story story;
  KernelSide kernel(story, kNoLimits, {kServerLink});
  story.client(echo_request(from(0), kOwn), Verdict::kEchoAnswered,
               {to_client(icmp(kOwn, from(0), 0, 0, 0x10000).id(0).packet())});
  story.frame(Side::kClient,
              group_frame("01:00:5e:00:00:12", 0x0800, PacketBuilder(kGateway, "224.0.0.18", 112).packet()),
              Verdict::kMulticast);
  story.frame(Side::kServer,
              echo_request("10.0.100.11", "10.0.100.1").mac("02:00:00:00:64:0b", "02:00:00:00:02:01").vlan(100).frame(),
              Verdict::kEchoAnswered,
              {{{Side::kServer, icmp("10.0.100.1", "10.0.100.11", 0, 0, 0x10000)
                                    .id(0)
                                    .mac("02:00:00:00:02:01", "02:00:00:00:64:0b")
                                    .vlan(100)
                                    .frame()}}});
}

TEST_CASE("kernel port: an ARP reply reaches both, a question is answered once") {
  Story story;
  KernelSide kernel(story);
  story.messages();
  const Bytes known = arp_reply(kGatewayMacText, "10.0.1.254", kOwnMac, kOwn);
  story.frame(Side::kClient, known, Verdict::kArpTaken);
  CHECK(kernel.take() == std::vector<KernelSide::Got>{{KernelClass::kControl, known}});
  REQUIRE(story.messages().size() == 1);
  // Only the kernel asked for this one.
  const Bytes stranger = arp_reply("02:00:00:00:01:50", "10.0.1.50", kOwnMac, kOwn);
  story.frame(Side::kClient, stranger, Verdict::kToKernel);
  CHECK(kernel.take() == std::vector<KernelSide::Got>{{KernelClass::kControl, stranger}});
  CHECK(story.messages().empty());
  // One that has moved tells everybody.
  const Bytes gratuitous = arp_request("02:00:00:00:01:50", "10.0.1.50", "10.0.1.50");
  story.frame(Side::kClient, gratuitous, Verdict::kToKernel);
  CHECK(kernel.take() == std::vector<KernelSide::Got>{{KernelClass::kControl, gratuitous}});

  story.frame(Side::kClient, arp_request(kGatewayMacText, "10.0.1.254", kOwn), Verdict::kArpAnswered,
              {{{Side::kClient, arp_reply(kOwnMac, kOwn, kGatewayMacText, "10.0.1.254")}}});
  story.frame(Side::kClient, arp_request("02:00:00:00:01:50", "10.0.1.50", "10.0.1.51"), Verdict::kArpIgnored);
  CHECK(kernel.is_silent());
}

TEST_CASE("kernel port: neighbour advertisements and what routers say reach the kernel, solicitations do not") {
  Story story;
  KernelSide kernel(story);
  constexpr uint32_t kSolicited = 0x60000000;
  const auto told = [](const char* address) {
    return neighbor_message(address, kOwnV6, 136, address, kSolicited, "0201 0200000001fe")
        .mac(kGatewayMacText, kOwnMac)
        .frame();
  };
  story.frame(Side::kClient, told(kClientV6), Verdict::kNeighborTaken);
  CHECK(kernel.take() == std::vector<KernelSide::Got>{{KernelClass::kControl, told(kClientV6)}});
  story.frame(Side::kClient, told("2001:db8:1::50"), Verdict::kToKernel);
  CHECK(kernel.take() == std::vector<KernelSide::Got>{{KernelClass::kControl, told("2001:db8:1::50")}});
  const Bytes advertisement = icmp("fe80::99", "ff02::1", 134, 0)
                                  .ttl(255)
                                  .payload("12345678")
                                  .mac(kGatewayMacText, "33:33:00:00:00:01")
                                  .frame();
  story.frame(Side::kClient, advertisement, Verdict::kToKernel);
  CHECK(kernel.take() == std::vector<KernelSide::Got>{{KernelClass::kControl, advertisement}});
  story.put(Side::kClient, neighbor_message(kClientV6, "ff02::1:ff00:1", 135, kOwnV6, 0, "0101 0200000001fe")
                               .mac(kGatewayMacText, "33:33:ff:00:00:01")
                               .frame());
  story.put(Side::kClient, neighbor_message(kClientV6, "ff02::1:ff00:77", 135, "2001:db8:1::77")
                               .mac(kGatewayMacText, "33:33:ff:00:00:77")
                               .frame());
  story.run();
  CHECK(kernel.is_silent());
}

TEST_CASE("kernel port: groups are the kernel's, by what they are for") {
  Story story;
  KernelSide kernel(story);
  const auto v6 = [](unsigned protocol) {
    return PacketBuilder("fe80::99", "ff02::12", protocol)
        .payload("12345678")
        .mac(kGatewayMacText, "33:33:00:00:00:12")
        .frame();
  };
  const std::vector<std::pair<Bytes, KernelClass>> frames = {
      {group_frame("01:00:5e:00:00:12", 0x0800, PacketBuilder(kGateway, "224.0.0.18", 112).packet()),
       KernelClass::kControl},
      {group_frame("01:00:5e:00:00:05", 0x0800, PacketBuilder(kGateway, "224.0.0.5", 89).packet()),
       KernelClass::kControl},
      {group_frame("01:00:5e:00:00:01", 0x0800, PacketBuilder(kGateway, "224.0.0.1", 2).packet()),
       KernelClass::kControl},
      {group_frame("01:00:5e:00:00:fb", 0x0800, udp("10.0.1.9:5353", "224.0.0.251:5353").packet()), KernelClass::kRest},
      {group_frame("01:00:5e:00:00:01", 0x0800, echo_request("10.0.1.9", "224.0.0.1").packet()), KernelClass::kIcmp},
      {group_frame("ff:ff:ff:ff:ff:ff", 0x0800, udp("10.0.1.9:68", "255.255.255.255:67").packet()), KernelClass::kRest},
      {group_frame("01:80:c2:00:00:0e", 0x88cc, Bytes(46)), KernelClass::kRest},
      {group_frame(kOwnMac, 0x8847, Bytes(46)), KernelClass::kRest},
      {v6(112), KernelClass::kControl},
      {v6(89), KernelClass::kControl},
      {v6(99), KernelClass::kRest},
      {echo_request("fe80::99", "ff02::1").mac(kGatewayMacText, "33:33:00:00:00:01").frame(), KernelClass::kIcmp},
      {icmp("fe80::99", "ff02::1", 130, 0).payload(Bytes(16)).mac(kGatewayMacText, "33:33:00:00:00:01").frame(),
       KernelClass::kControl},
  };
  for (const auto& [frame, of] : frames) {
    CAPTURE(to_hex(frame));
    story.frame(Side::kClient, frame, Verdict::kToKernel);
    CHECK(kernel.take() == std::vector<KernelSide::Got>{{of, frame}});
  }
  // Cut off within the IP header: the kernel may say so.
  story.frame(Side::kClient, group_frame("01:00:5e:00:00:12", 0x0800, Bytes(8)), Verdict::kToKernel);
  CHECK(kernel.take().at(0).of == KernelClass::kRest);
  // Somebody else's, on this segment.
  story.frame(Side::kClient, group_frame("02:00:00:00:09:09", 0x88cc, Bytes(46)), Verdict::kOtherHost);
  story.frame(Side::kClient, echo_request(from(0), kOwn).mac(kGatewayMacText, "02:00:00:00:09:09").frame(),
              Verdict::kOtherHost);
  CHECK(kernel.is_silent());
}

TEST_CASE("kernel port: a VLAN's frames come without their tag, a tag of none is no VLAN") {
  Story story;
  KernelSide kernel(story);
  const auto echo = [] {
    return echo_request("10.0.100.11", "10.0.100.1").mac("02:00:00:00:64:0b", "02:00:00:00:02:01");
  };
  story.frame(Side::kServer, echo().vlan(100).frame(), Verdict::kToKernel);
  CHECK(kernel.take(kVlanLink) == std::vector<KernelSide::Got>{{KernelClass::kIcmp, echo().frame()}});
  story.frame(Side::kServer, echo().vlan(0, 7).frame(), Verdict::kToKernel);
  CHECK(kernel.take(kServerLink) == std::vector<KernelSide::Got>{{KernelClass::kIcmp, echo().frame()}});
  // As devices hand it over that strip it.
  rte_mbuf* stripped = story.make_packet(echo().frame());
  stripped->ol_flags |= RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
  stripped->vlan_tci = 3u << 13 | 100;
  story.put(Side::kServer, stripped);
  story.run();
  CHECK(kernel.take(kVlanLink) == std::vector<KernelSide::Got>{{KernelClass::kIcmp, echo().frame()}});
  const Bytes group =
      group_frame("01:00:5e:00:00:12", 0x0800, PacketBuilder("10.0.100.11", "224.0.0.18", 112).packet());
  story.put(Side::kServer,
            group_frame("01:00:5e:00:00:12", 0x0800, PacketBuilder("10.0.100.11", "224.0.0.18", 112).packet(), 100));
  story.run();
  CHECK(kernel.take(kVlanLink) == std::vector<KernelSide::Got>{{KernelClass::kControl, group}});
  // No interface there.
  story.put(Side::kServer, group_frame("01:00:5e:00:00:12", 0x0800, Bytes(46), 200));
  story.put(Side::kServer, echo().vlan(200).frame());
  story.run();
  CHECK(kernel.is_silent());
}

TEST_CASE("kernel port: fragments come as the datagram that they were") {
  Story story;
  {
    KernelSide kernel(story);
    const PacketBuilder whole = udp(from(1024), "10.0.1.1:9").payload_size(3000).dont_fragment(false).id(77);
    for (const Bytes& piece : whole.fragments(1480)) story.put(Side::kClient, piece);
    story.run();
    const auto got = kernel.take();
    REQUIRE(got.size() == 1);
    CHECK(got[0].of == KernelClass::kRest);
    CHECK(difference(whole.frame(), got[0].frame) == "");
    CHECK(story.verdict(Verdict::kToKernel) == 1);
  }
  check_accounts(story);
}

TEST_CASE("kernel port: every class has its rate, and none takes another's") {
  KernelLimits limits = kNoLimits;
  limits[static_cast<size_t>(KernelClass::kRest)] = 100;
  limits[static_cast<size_t>(KernelClass::kConnect)] = 10;
  Story story;
  {
    KernelSide kernel(story, limits);
    const auto flood = [&](const Bytes& frame, unsigned count) {
      for (unsigned i = 0; i < count; ++i) {
        story.put(Side::kClient, frame);
        if (i % 32 == 31) {
          story.run();
          kernel.take();
        }
      }
      story.run();
      kernel.take();
    };
    const auto passed = [&](KernelClass of) { return kernel.path(kClientLink).queue(0, of).counters().passed; };
    flood(udp(from(1024), "10.0.1.1:9").frame(), 1000);
    flood(tcp(from(1024), "10.0.1.1:22", "S").frame(), 1000);
    // A burst is what a queue holds.
    CHECK(passed(KernelClass::kRest) == KernelQueue::kSize);
    CHECK(passed(KernelClass::kConnect) == KernelQueue::kSize);
    CHECK(story.verdict(Verdict::kToKernel) == 2 * KernelQueue::kSize);
    CHECK(story.verdict(Verdict::kKernelRateLimited) == 2000 - 2 * KernelQueue::kSize);
    flood(tcp(from(1024), "10.0.1.1:22", "A").frame(), 1000);
    flood(tcp(from(1024), "10.0.1.1:179", "A").frame(), 1000);
    CHECK(passed(KernelClass::kTcp) == 1000);
    CHECK(passed(KernelClass::kControl) == 1000);
    story.advance_ms(500);
    flood(udp(from(1024), "10.0.1.1:9").frame(), 1000);
    CHECK(passed(KernelClass::kRest) == KernelQueue::kSize + 50);
    const KernelClassCounters counters = kernel.path(kClientLink).queue(0, KernelClass::kRest).counters();
    CHECK(counters.rate_limited == 2000 - KernelQueue::kSize - 50);
    CHECK(counters.queue_full == 0);
  }
  check_accounts(story);
}

TEST_CASE("kernel port: workers share a rate") {
  KernelLimits limits = kNoLimits;
  limits[static_cast<size_t>(KernelClass::kRest)] = 100;
  WorldOptions two;
  two.workers = 2;
  Story story({}, two);
  {
    KernelSide kernel(story, limits);
    const unsigned first = ports_of_worker(0, 1)[0], second = ports_of_worker(1, 1)[0];
    const auto flood = [&] {
      for (unsigned i = 0; i < 600; ++i) {
        for (const unsigned port : {first, second}) story.put(Side::kClient, udp(from(port), "10.0.1.1:9").frame());
        if (i % 16 == 15) {
          story.run();
          kernel.take();
        }
      }
      story.run();
      kernel.take();
    };
    flood();
    story.advance_ms(1000);
    flood();
    for (uint32_t worker = 0; worker < 2; ++worker)
      CHECK(kernel.path(kClientLink).queue(worker, KernelClass::kRest).counters().passed == KernelQueue::kSize + 50);
  }
  check_accounts(story);
}

TEST_CASE("kernel port: a queue that nobody empties is full, and its packets are freed when they have been taken") {
  Story story;
  {
    KernelSide kernel(story);
    const auto fill = [&](unsigned count) {
      for (unsigned i = 0; i < count; ++i) story.put(Side::kClient, udp(from(1024), "10.0.1.1:9").frame());
      story.run();
    };
    fill(KernelQueue::kSize + 10);
    CHECK(story.verdict(Verdict::kToKernel) == KernelQueue::kSize);
    CHECK(story.verdict(Verdict::kKernelQueueFull) == 10);
    CHECK(kernel.path(kClientLink).queue(0, KernelClass::kRest).counters().queue_full == 10);
    CHECK(rte_mempool_in_use_count(World::buffers()) == KernelQueue::kSize);
    // Other classes have room.
    story.put(Side::kClient, tcp(from(1024), "10.0.1.1:22", "A").frame());
    story.run();
    CHECK(story.verdict(Verdict::kToKernel) == KernelQueue::kSize + 1);
    CHECK(kernel.take().size() == KernelQueue::kSize + 1);
    fill(1);
    CHECK(rte_mempool_in_use_count(World::buffers()) == 2);  // this one, and the other class's, taken but not yet freed
    CHECK(kernel.take().size() == 1);
    // What has done its work here is not lost.
    for (unsigned i = 0; i < KernelQueue::kSize + 5; ++i)
      story.put(Side::kClient, arp_reply(kGatewayMacText, "10.0.1.254", kOwnMac, kOwn));
    story.run();
    CHECK(story.verdict(Verdict::kArpTaken) == KernelQueue::kSize + 5);
    CHECK(story.verdict(Verdict::kKernelQueueFull) == 10);
  }
  check_accounts(story);
}

TEST_CASE("kernel port: a queue between two threads loses nothing, keeps the order and every buffer") {
  test_engine();
  constexpr uint32_t kPackets = 100'000;
  auto queue = std::make_unique<KernelQueue>();
  uint32_t wrong = 0;
  std::thread consumer([&] {
    for (uint32_t expected = 0; expected < kPackets;) {
      const rte_mbuf* packet = queue->front();
      if (packet == nullptr) {
        std::this_thread::yield();
        continue;
      }
      wrong += *rte_pktmbuf_mtod(packet, const uint32_t*) != expected;
      ++expected;
      queue->pop();
    }
  });
  uint64_t full = 0;
  for (uint32_t number = 0; number < kPackets; ++number) {
    rte_mbuf* packet = rte_pktmbuf_alloc(World::buffers());
    REQUIRE(packet != nullptr);
    *reinterpret_cast<uint32_t*>(rte_pktmbuf_append(packet, sizeof number)) = number;
    for (; queue->put(packet, 0, 1, 0) == KernelQueue::Outcome::kFull; ++full) std::this_thread::yield();
  }
  consumer.join();
  CHECK(wrong == 0);
  CHECK(queue->counters().passed == kPackets);
  CHECK(queue->counters().queue_full == full);
  CHECK(queue->is_empty());
  queue->clear();
  CHECK(rte_mempool_in_use_count(World::buffers()) == 0);
}

TEST_CASE("kernel port: what the kernel sends leaves as it is") {
  Story story;
  rte_ring* ring = rte_ring_create("world_from_kernel", 64, SOCKET_ID_ANY, 0);
  REQUIRE(ring != nullptr);
  story.shared().from_kernel = {ring};
  const Bytes frame = arp_request(kOwnMac, kOwn, "10.0.1.77");
  const Bytes tagged = echo_request("10.0.100.1", "10.0.100.11").vlan(100).frame();
  for (const auto& [side, bytes] : {std::pair{Side::kClient, frame}, std::pair{Side::kServer, tagged}}) {
    rte_mbuf* packet = story.make_packet(bytes);
    packet->port = story.port_id(side);
    REQUIRE(rte_ring_enqueue(ring, packet) == 0);
  }
  story.run();
  CHECK(story.collect() == std::vector<Frame>{{Side::kClient, frame}, {Side::kServer, tagged}});
  story.shared().from_kernel.clear();
  rte_ring_free(ring);
  check_accounts(story);
}
