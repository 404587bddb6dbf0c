// SPDX-License-Identifier: Apache-2.0
// Checks that the host sends to a VIP: each reaches the server that its port names, by that one's method, and comes
// back to the host; and nothing of it is seen where clients are counted.
#include "service/check_path.h"

#include "test/topic.h"

using namespace fulcrum;
using namespace fulcrum::test;

namespace {

constexpr uint16_t kClientLink = 0;
const char *const kHost = "10.0.1.1", *const kHostV6 = "2001:db8:1::1", *const kOwnMac = "02:00:00:00:01:01",
                  *const kServerLinkMac = "02:00:00:00:02:01", *const kServerMac = "02:00:00:00:02:0b";

// The kernel behind the clients' interface, and behind no other.
class Host {
 public:
  explicit Host(Story& story) : story_(story), path_(story.workers(), KernelLimits{}) {
    Shared& shared = story.shared();
    shared.to_kernel = {&path_, nullptr, nullptr};
    shared.from_kernel.assign(story.workers(), nullptr);
    shared.from_kernel[0] = rte_ring_create("host_frames", 64, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
    REQUIRE(shared.from_kernel[0] != nullptr);
  }
  ~Host() {
    rte_ring_free(story_.shared().from_kernel[0]);
    story_.shared().from_kernel.clear();
    story_.shared().to_kernel.clear();
  }

  // To a VIP: the host's neighbour there is the director.
  static PacketBuilder addressed(PacketBuilder packet) { return packet.mac(kOwnMac, kOwnMac); }
  void send(const PacketBuilder& packet) { send(addressed(packet).frame()); }
  void send(const Bytes& frame) {
    rte_mbuf* sent = story_.make_packet(frame);
    sent->port = story_.port_id(Side::kClient);
    REQUIRE(rte_ring_sp_enqueue(story_.shared().from_kernel[0], sent) == 0);
    story_.run();
  }
  std::vector<Bytes> received() {
    std::vector<Bytes> all;
    for (size_t of = 0; of < kKernelClasses; ++of)
      for (uint32_t worker = 0; worker < story_.workers(); ++worker) {
        KernelQueue& queue = path_.queue(worker, static_cast<KernelClass>(of));
        for (const rte_mbuf* frame; (frame = queue.front()) != nullptr; queue.pop()) {
          const auto* data = rte_pktmbuf_mtod(frame, const uint8_t*);
          all.emplace_back(data, data + rte_pktmbuf_pkt_len(frame));
        }
      }
    return all;
  }

 private:
  Story& story_;
  KernelPath path_;
};

CheckPath path(const std::string& vip, const std::string& server, ForwardingMethod method, unsigned first_port,
               IpProtocol protocol = IpProtocol::kTcp) {
  const Endpoint service(vip), real(server);
  CheckPath made;
  made.service = {service.address, protocol, static_cast<uint16_t>(service.port), 0};
  made.port = static_cast<uint16_t>(service.port);
  made.server.key = {real.address, static_cast<uint16_t>(real.port)};
  made.server.method = method;
  made.first_port = static_cast<uint16_t>(first_port);
  made.ports = 4;
  made.source = Endpoint(service.address.family == Family::kIpv4 ? kHost : kHostV6).address;
  made.interface = kClientLink;
  return made;
}

const std::vector<CheckPath> kPaths = {
    path("192.0.2.1:80", "10.0.2.11:8080", ForwardingMethod::kNat, 61000),
    path("192.0.2.1:80", "10.0.2.12:80", ForwardingMethod::kDr, 61004),
    path("192.0.2.1:80", "10.0.2.13:80", ForwardingMethod::kTun, 61008),
    path("192.0.2.1:53", "10.0.2.11:5353", ForwardingMethod::kNat, 61000, IpProtocol::kUdp),
    path("[2001:db8:ff::1]:80", "[2001:db8:2::b]:8080", ForwardingMethod::kNat, 61000),
    path("[2001:db8:ff::1]:80", "[2001:db8:2::c]:80", ForwardingMethod::kDr, 61004),
    path("[2001:db8:ff::1]:80", "[3fff::1]:80", ForwardingMethod::kDr, 61008),
};

// The services have servers of their own, none of those that are checked.
const std::vector<std::string> kServices = {"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.20:80 -g -w 0",
                                            "-A -u 192.0.2.1:53 -s rr", "-A -t [2001:db8:ff::1]:80 -s rr",
                                            "-a -t [2001:db8:ff::1]:80 -r [2001:db8:2::14]:80 -g"};

std::string from(unsigned port) { return std::string(kHost) + ":" + std::to_string(port); }
std::string from6(unsigned port) { return "[" + std::string(kHostV6) + "]:" + std::to_string(port); }

void leaves(Story& story, const std::vector<Expected>& out, Story::Where where = Story::Where::current()) {
  const std::vector<Frame> left = story.collect();
  CHECK_MESSAGE(left.size() == out.size(), "line " << where.line());
  for (size_t i = 0; i < std::min(left.size(), out.size()); ++i) {
    Bytes actual = left[i].bytes;
    if (out[i].any_id) {
      set16(actual, 18, 0);
      set16(actual, 24, 0);
      set16(actual, 24, slow_checksum(Bytes(actual.begin() + 14, actual.begin() + 34)));
    }
    CHECK_MESSAGE(difference(out[i].frame.bytes, actual) == "", "line " << where.line());
  }
}

void arrives(Host& host, const std::vector<PacketBuilder>& packets, Story::Where where = Story::Where::current()) {
  const std::vector<Bytes> got = host.received();
  CHECK_MESSAGE(got.size() == packets.size(), "line " << where.line());
  for (size_t i = 0; i < std::min(got.size(), packets.size()); ++i)
    CHECK_MESSAGE(difference(packets[i].frame(), got[i]) == "", "line " << where.line());
}

PacketBuilder by_server(PacketBuilder packet) { return packet.mac(kServerMac, kServerLinkMac); }
PacketBuilder by_gateway(PacketBuilder packet) { return packet.mac("02:00:00:00:01:fe", kOwnMac); }

}  // namespace

TEST_CASE("check path: the port chooses the server, its method carries the check, the answer is the host's") {
  for (const uint32_t workers : {1u, 2u}) {
    CAPTURE(workers);
    Story story(kServices, {.workers = workers});
    const std::string services = story.services(), statistics = story.statistics();
    REQUIRE(story.publisher().set_checks(kPaths));
    {
      Host host(story);
      for (unsigned port = 61000; port < 61004; ++port) {
        host.send(tcp(from(port), "192.0.2.1:80", "S"));
        leaves(story, {to_server(11, tcp(from(port), "10.0.2.11:8080", "S").ttl(63).packet())});
        story.put(Side::kServer, by_server(tcp("10.0.2.11:8080", from(port), "SA")).frame());
        story.run();
        arrives(host, {tcp("192.0.2.1:80", from(port), "SA").mac(kServerMac, kOwnMac)});
      }
      for (unsigned port = 61004; port < 61008; ++port) {
        host.send(tcp(from(port), "192.0.2.1:80", "S"));
        leaves(story, {to_server(12, tcp(from(port), "192.0.2.1:80", "S").ttl(63).packet())});
        story.put(Side::kClient, by_gateway(tcp("192.0.2.1:80", from(port), "SA")).frame());
        story.run();
        arrives(host, {by_gateway(tcp("192.0.2.1:80", from(port), "SA"))});
      }
      host.send(tcp(from(61008), "192.0.2.1:80", "S"));
      const Bytes inner = tcp(from(61008), "192.0.2.1:80", "S").ttl(63).packet();
      leaves(story, {any_id(to_server(13, ipip("10.0.2.1", "10.0.2.13", inner).ttl(63).id(0).packet()))});
      // By the servers' side, where the kernel has no interface.
      story.put(Side::kServer, by_server(tcp("192.0.2.1:80", from(61008), "SA")).frame());
      story.run();
      arrives(host, {tcp("192.0.2.1:80", from(61008), "SA").mac(kServerMac, kOwnMac)});

      host.send(udp(from(61001), "192.0.2.1:53").payload("question"));
      leaves(story, {to_server(11, udp(from(61001), "10.0.2.11:5353").payload("question").ttl(63).packet())});
      story.put(Side::kServer, by_server(udp("10.0.2.11:5353", from(61001)).payload("answer")).frame());
      story.run();
      arrives(host, {udp("192.0.2.1:53", from(61001)).payload("answer").mac(kServerMac, kOwnMac)});

      host.send(tcp(from6(61000), "[2001:db8:ff::1]:80", "S"));
      leaves(story, {to_server(11, tcp(from6(61000), "[2001:db8:2::b]:8080", "S").ttl(63).packet())});
      story.put(Side::kServer, by_server(tcp("[2001:db8:2::b]:8080", from6(61000), "SA")).frame());
      story.run();
      arrives(host, {tcp("[2001:db8:ff::1]:80", from6(61000), "SA").mac(kServerMac, kOwnMac)});
      host.send(tcp(from6(61004), "[2001:db8:ff::1]:80", "S"));
      leaves(story, {to_server(12, tcp(from6(61004), "[2001:db8:ff::1]:80", "S").ttl(63).packet())});
      story.put(Side::kClient, by_gateway(tcp("[2001:db8:ff::1]:80", from6(61004), "SA")).frame());
      story.run();
      arrives(host, {by_gateway(tcp("[2001:db8:ff::1]:80", from6(61004), "SA"))});

      CHECK(story.services() == services);
      CHECK(story.statistics() == statistics);
      CHECK(story.table() == "");
    }
    uint64_t made = 0, given = 0, received = 0;
    for (uint32_t id = 0; id < workers; ++id) made += story.worker(id).counters().came_again;
    for (uint32_t id = 0; id < workers; ++id) received += story.worker(id).counters().rx_packets;
    for (const uint64_t count : story.verdicts()) given += count;
    CHECK(given == received + made);
    CHECK(made == 4 + 4 + 1 + 1 + 2);
  }
  CHECK(rte_mempool_in_use_count(World::buffers()) == 0);
}

TEST_CASE("check path: what is told of a check comes to the host, about the packet that it sent") {
  Story story(kServices);
  REQUIRE(story.publisher().set_checks(kPaths));
  {
    Host host(story);
    const Bytes seen = udp(from(61001), "10.0.2.11:5353").payload("question").ttl(63).packet();
    // By a server that has nobody there; damaged; over IPv6.
    story.put(Side::kServer, by_server(icmp_error("10.0.2.11", kHost, 3, 3, seen)).frame());
    story.run();
    const Bytes told = readdressed(seen, Endpoint("192.0.2.1:53"), false);
    arrives(host, {icmp_error("192.0.2.1", kHost, 3, 3, told).mac(kServerMac, kOwnMac)});
    story.put(Side::kServer, by_server(icmp_error("10.0.2.11", kHost, 3, 3, seen).bad_checksum()).frame());
    story.run();
    arrives(host, {});
    CHECK(story.verdict(Verdict::kBadTransport) == 1);
    const Bytes seen6 = tcp(from6(61000), "[2001:db8:2::b]:8080", "S").ttl(63).packet();
    story.put(Side::kServer, by_server(icmp_error("2001:db8:2::b", kHostV6, 1, 4, seen6, 0, seen6.size())).frame());
    story.run();
    const Bytes told6 = readdressed(seen6, Endpoint("[2001:db8:ff::1]:80"), false);
    arrives(host, {icmp_error("2001:db8:ff::1", kHostV6, 1, 4, told6, 0, told6.size()).mac(kServerMac, kOwnMac)});
    // By the director, which has no route there.
    host.send(tcp(from6(61008), "[2001:db8:ff::1]:80", "S"));
    leaves(story, {});
    const std::vector<Bytes> heard = host.received();
    REQUIRE(heard.size() == 1);
    CHECK(heard[0].at(14 + 6) == 58);
    CHECK(heard[0].at(14 + 40) == 1);
    CHECK(story.verdict(Verdict::kHostUnreachableSent) == 1);
  }
  CHECK(rte_mempool_in_use_count(World::buffers()) == 0);
}

TEST_CASE("check path: what is no check goes out as ever, and paths end when they are taken away") {
  Story story(kServices);
  Host host(story);
  const Bytes check = Host::addressed(tcp(from(61004), "192.0.2.1:80", "S")).frame();
  const auto stays_as_it_is = [&](const Bytes& frame, Story::Where where = Story::Where::current()) {
    host.send(frame);
    leaves(story, {{{Side::kClient, frame}}}, where);
  };
  stays_as_it_is(check);
  REQUIRE(story.publisher().set_checks(kPaths));
  host.send(check);
  CHECK(story.collect().at(0).side == Side::kServer);
  // Another port, another VIP, another source, another protocol; a frame to somebody else.
  stays_as_it_is(Host::addressed(tcp(from(61012), "192.0.2.1:80", "S")).frame());
  stays_as_it_is(Host::addressed(tcp(from(61004), "192.0.2.2:80", "S")).frame());
  stays_as_it_is(Host::addressed(tcp("10.0.1.2:61004", "192.0.2.1:80", "S")).frame());
  stays_as_it_is(Host::addressed(udp(from(61004), "192.0.2.1:80")).frame());
  stays_as_it_is(tcp(from(61004), "192.0.2.1:80", "S").mac(kOwnMac, "02:00:00:00:01:fe").frame());
  stays_as_it_is(arp_request(kOwnMac, kHost, "10.0.1.254"));
  // The host's own traffic from such a port, to and from elsewhere.
  story.put(Side::kClient, by_gateway(tcp("198.51.100.1:80", from(61004), "SA")).frame());
  story.run();
  arrives(host, {by_gateway(tcp("198.51.100.1:80", from(61004), "SA"))});

  // A server that changes its method, and one that has gone.
  std::vector<CheckPath> others = {kPaths[1]};
  others[0].server.method = ForwardingMethod::kTun;
  others[0].server.tunnel.type = TunnelType::kGre;
  REQUIRE(story.publisher().set_checks(others));
  host.send(check);
  const std::vector<Frame> left = story.collect();
  REQUIRE(left.size() == 1);
  CHECK(left[0].bytes.at(14 + 9) == 47);
  stays_as_it_is(Host::addressed(tcp(from(61000), "192.0.2.1:80", "S")).frame());
  REQUIRE(story.publisher().set_checks({}));
  CHECK(story.publisher().current().checks == nullptr);
  stays_as_it_is(check);
}

TEST_CASE("check path: slots are kept while a path is there, and are free two minutes after") {
  Story story(kServices);
  const auto slots = [&] {
    std::vector<ServerSlot> all;
    for (const CheckPath& at : story.publisher().current().checks->all()) all.push_back(at.server.slot);
    return all;
  };
  REQUIRE(story.publisher().set_checks(kPaths));
  const uint64_t version = story.publisher().current().version;
  const auto first = slots();
  REQUIRE(story.publisher().set_checks(kPaths));
  CHECK(story.publisher().current().version == version);
  REQUIRE(story.publisher().set_checks({kPaths[1], kPaths[2]}));
  CHECK(slots() == std::vector<ServerSlot>{first[1], first[2]});
  // What has gone keeps its slot for a while: a worker's way there may be remembered.
  const CheckPath stranger = path("192.0.2.1:80", "10.0.2.30:80", ForwardingMethod::kDr, 61100);
  REQUIRE(story.publisher().set_checks({kPaths[1], stranger}));
  const ServerSlot taken = slots().at(1);
  for (const ServerSlot slot : first) CHECK(taken != slot);
  for (unsigned minute = 0; minute < 4; ++minute) {
    story.advance_ms(60'000);
    story.publisher().empty_trash(story.shared().clock.now_ms());
  }
  const CheckPath another = path("192.0.2.1:80", "10.0.2.29:80", ForwardingMethod::kDr, 61104);
  REQUIRE(story.publisher().set_checks({kPaths[1], stranger, another}));
  CHECK(slots().at(1) == taken);
  CHECK(std::find(first.begin(), first.end(), slots().at(2)) != first.end());
  CHECK(story.services().find("10.0.2.29") == std::string::npos);
}

TEST_CASE("check path: ports that two servers would share are found") {
  CHECK(!ambiguous_path(kPaths));
  auto more = kPaths;
  more.push_back(path("192.0.2.1:80", "10.0.2.14:80", ForwardingMethod::kDr, 61007));
  CHECK(ambiguous_path(more) == kPaths.size());
  // The same NAT server in another service: its answers would be the same.
  more = {kPaths[0], path("192.0.2.2:80", "10.0.2.11:8080", ForwardingMethod::kNat, 61003)};
  CHECK(ambiguous_path(more) == 1);
  more[1].first_port = 61004;
  CHECK(!ambiguous_path(more));
  more[1].first_port = 61000;
  more[1].server.method = ForwardingMethod::kDr;
  CHECK(!ambiguous_path(more));
}
