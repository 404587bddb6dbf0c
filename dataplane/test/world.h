// SPDX-License-Identifier: Apache-2.0
// The world of LVS's conformance scenarios around real workers that the test drives by hand: one round at a time, with
// a clock that stands still. Client gateway 10.0.1.254 on port cl, real servers 10.0.2.11 to .30 and router 10.0.2.254
// (towards 10.0.3.0/24) on port rs, 10.0.100.11 behind VLAN 100 of rs; virtual addresses 192.0.2.1 to .9. The same in
// IPv6: 2001:db8:1::fe, 2001:db8:2::b to ::1e and ::fe, 2001:db8:3::/64, 2001:db8:ff::1 to ::9. EAL must run.
#pragma once

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>
#include <sys/mman.h>

#include <array>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/port.h"
#include "core/publisher.h"
#include "core/worker.h"
#include "test/packet_builder.h"

namespace fulcrum::test {

enum class Side : uint8_t { kClient = 0, kServer = 1 };

// As it left the director.
struct Frame {
  Side side;
  Bytes bytes;
  bool operator==(const Frame&) const = default;
};

inline MacAddress mac_of(std::string_view text) { return parse_mac(text).value(); }
inline const MacAddress kClientPortMac = mac_of("02:00:00:00:01:01"), kServerPortMac = mac_of("02:00:00:00:02:01"),
                        kGatewayMac = mac_of("02:00:00:00:01:fe");
// The IPv6 address of the real server or router 10.0.2.`last_byte`.
inline std::string server_v6(unsigned last_byte) {
  char text[20];
  std::snprintf(text, sizeof text, "2001:db8:2::%x", last_byte);
  return text;
}
inline MacAddress server_mac(unsigned last_byte) { return {0x02, 0, 0, 0, 0x02, static_cast<uint8_t>(last_byte)}; }

struct WorldOptions {
  uint32_t workers = 1;
  uint16_t server_mtu = 1500;
  uint32_t connections = 4096;  // a worker's
  uint64_t clock_ms = 1'000'000;
  // LVS has no such thing.
  bool stateless = false;
};

class World {
 public:
  explicit World(WorldOptions options = {}) : options_(options) {
    const Devices& devices = World::devices();
    shared_.workers = options.workers;
    shared_.buffers = devices.buffers;
    shared_.ports.resize(static_cast<size_t>(std::max(devices.ports[0]->id(), devices.ports[1]->id())) + 1);
    for (const auto& port : devices.ports)
      shared_.ports[port->id()] = {port->id(), port->rx_queues(), port->tx_queues(), mac_value(port->mac())};
    shared_.clock.set_ms(options.clock_ms);
    shared_.servers = map_array<ServerLine>();
    shared_.services = map_array<ServiceLine>();
    shared_.totals = map_array<LoadView::Line>();
    shared_.changes = map_array<LoadView::Changes>();
    shared_.adjacencies = &adjacencies_;
    shared_.templates = &templates_;
    make_rings();
    quiescence_.resize(rte_rcu_qsbr_get_memsize(options.workers) + 64);
    auto at = reinterpret_cast<uintptr_t>(quiescence_.data());
    shared_.quiescence = reinterpret_cast<rte_rcu_qsbr*>((at + 63) / 64 * 64);
    // The workers are not registered: they run on this very thread, so a publication need not wait for them.
    rte_rcu_qsbr_init(shared_.quiescence, options.workers);
    for (uint32_t id = 0; id < options.workers; ++id) {
      workers_.push_back(std::make_unique<Worker>(shared_, id));
      if (!workers_[id]->create(options.connections, kNeighbors, false, 0))
        throw std::runtime_error("no worker: " + workers_[id]->error());
    }
    publisher_ = std::make_unique<Publisher>(shared_, workers_, network());
    for (unsigned last = 11; last <= 30; ++last) add_neighbor("10.0.2." + std::to_string(last), "rs", server_mac(last));
    add_neighbor("10.0.2.254", "rs", server_mac(0xfe));
    add_neighbor("10.0.1.254", "cl", kGatewayMac);
    add_neighbor("10.0.100.11", "rs.100", mac_of("02:00:00:00:64:0b"));
    for (unsigned last = 11; last <= 30; ++last) add_neighbor(server_v6(last), "rs", server_mac(last));
    add_neighbor(server_v6(0xfe), "rs", server_mac(0xfe));
    add_neighbor("2001:db8:1::fe", "cl", kGatewayMac);
    std::vector<Operation> vips(18);
    for (size_t i = 0; i < vips.size(); ++i) {
      vips[i].kind = Operation::Kind::kSetVip;
      const std::string last = std::to_string(i % 9 + 1);
      vips[i].vip.address = Endpoint(i < 9 ? "192.0.2." + last : "2001:db8:ff::" + last).address;
    }
    if (!options.stateless) {
      vips.emplace_back().kind = Operation::Kind::kSetTunables;
      vips.back().tunables.stateless_spread = vips.back().tunables.stateless_grace = 0;
    }
    publish(vips);
  }

  ~World() {
    run();
    for (const auto& worker : workers_) worker->run();  // not told to run, it ends at once and lets go of its packets
    collect();
    publisher_.reset();
    workers_.clear();
    for (const auto* rings : {&shared_.handover, &shared_.transmit, &shared_.mailboxes})
      for (rte_ring* ring : *rings) rte_ring_free(ring);
    rte_ring_free(shared_.to_control);
    munmap(shared_.servers, sizeof(ServerLine) * Shared::kServerSlots);
    munmap(shared_.services, sizeof(ServiceLine) * Shared::kServerSlots);
    munmap(shared_.totals, sizeof(LoadView::Line) * Shared::kServerSlots);
    munmap(shared_.changes, sizeof(LoadView::Changes) * Shared::kServerSlots);
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  // Edits in ipvsadm's words, one publication each: "-A -t 192.0.2.1:80 -s rr". The last one's result.
  OperationResult apply(const std::vector<std::string>& lines) {
    OperationResult last;
    for (const std::string& line : lines) last = publish({parse(line)}).at(0);
    return last;
  }
  std::vector<OperationResult> publish(const std::vector<Operation>& operations, bool atomic = false) {
    change_ = {};
    auto results = publisher_->apply(operations, atomic, change_);
    run();
    return results;
  }

  // As the engine does it when the kernel's routes or addresses have changed.
  void change_network(std::shared_ptr<const Network> network) {
    change_ = {};
    publisher_->change_network(std::move(network), true, change_);
    run();
  }

  // A tunable by its name, as sysctl has it.
  void tune(std::string_view name, uint32_t value) {
    Operation operation;
    operation.kind = Operation::Kind::kSetTunables;
    bool known = false;
#define X(tunable, initially) \
  if (name == #tunable) operation.tunables.tunable = value, known = true;
    FULCRUM_TUNABLES(X)
#undef X
    if (!known) throw std::invalid_argument("no tunable " + std::string(name));
    publish({operation});
  }
  // What a service takes, and a list that it may name.
  OperationResult traffic(const std::string& service, TrafficPolicy policy) {
    Operation operation = parse(service);
    operation.kind = Operation::Kind::kSetTraffic;
    operation.traffic = std::make_shared<const TrafficPolicy>(std::move(policy));
    return publish({operation}).at(0);
  }
  OperationResult prefix_list(const std::string& name, const std::vector<std::string>& prefixes) {
    Operation operation;
    operation.kind = Operation::Kind::kSetPrefixList;
    operation.prefixes = {name, std::make_shared<const PrefixList>(prefixes_of(prefixes))};
    return publish({operation}).at(0);
  }
  static std::vector<Prefix> prefixes_of(const std::vector<std::string>& texts) {
    std::vector<Prefix> prefixes;
    for (const std::string& text : texts) prefixes.push_back(Prefix::parse(text).value());
    return prefixes;
  }
  // All mark rules.
  void mark(std::vector<MarkRule> rules) {
    Operation operation;
    operation.kind = Operation::Kind::kSetMarkRules;
    operation.marks = std::move(rules);
    publish({operation});
  }

  // Puts a frame before a port's receive queue; run() makes it move.
  void put(Side side, const Bytes& frame) { put(side, make_packet(frame)); }
  void put(Side side, rte_mbuf* packet) {
    if (rte_ring_enqueue(rings(side).receive, packet) != 0) throw std::runtime_error("the port's ring is full");
  }
  // In buffers of at most `segment` bytes.
  rte_mbuf* make_packet(const Bytes& frame, size_t segment = 2048) {
    rte_mbuf* first = nullptr;
    for (size_t at = 0; at < frame.size() || first == nullptr; at += segment) {
      rte_mbuf* packet = rte_pktmbuf_alloc(shared_.buffers);
      if (packet == nullptr) throw std::runtime_error("no packet buffer left");
      const size_t size = std::min(segment, frame.size() - at);
      std::copy_n(frame.begin() + static_cast<std::ptrdiff_t>(at), size,
                  reinterpret_cast<uint8_t*>(rte_pktmbuf_append(packet, static_cast<uint16_t>(size))));
      if (first == nullptr)
        first = packet;
      else if (rte_pktmbuf_chain(first, packet) != 0)
        throw std::runtime_error("too many segments");
    }
    return first;
  }

  // Every worker in turn, until nothing moves any more and all timers are done; templates last, as the engine does it.
  void run() {
    const Ticks now = shared_.clock.now();
    // What a worker's timers have sent may wait for another one's queue: one quiet round is not enough.
    for (unsigned quiet = 0; quiet < 2;) {
      bool worked = false;
      for (const auto& worker : workers_) worked |= worker->poll() || !worker->timers_caught_up(now);
      quiet = worked ? 0 : quiet + 1;
    }
    templates_.expire(now, [this](const Template& gone) {
      shared_.servers[gone.server].persistent.fetch_sub(1, std::memory_order_relaxed);
    });
  }
  // What has left since the last call, the clients' port first.
  std::vector<Frame> collect() {
    std::vector<Frame> frames;
    for (const Side side : {Side::kClient, Side::kServer})
      for (const std::string& frame : devices().ports[static_cast<size_t>(side)]->drain())
        frames.push_back({side, Bytes(frame.begin(), frame.end())});
    return frames;
  }
  std::vector<Frame> exchange(Side side, const Bytes& frame) {
    put(side, frame);
    run();
    return collect();
  }

  void advance_ms(uint64_t milliseconds) {
    shared_.clock.set_ms(shared_.clock.now_ms() + milliseconds);
    run();
  }

  using Verdicts = std::array<uint64_t, kVerdicts>;
  Verdicts verdicts() const {
    Verdicts sums{};
    for (const auto& worker : workers_)
      for (size_t i = 0; i < kVerdicts; ++i) sums[i] += worker->counters().verdicts[i];
    return sums;
  }
  uint64_t verdict(Verdict which) const { return verdicts()[static_cast<size_t>(which)]; }

  // What workers have asked of the control thread since the last call.
  std::vector<ControlMessage> messages() {
    std::vector<ControlMessage> all;
    ControlMessage message;
    while (rte_ring_sc_dequeue_elem(shared_.to_control, &message, sizeof message) == 0) all.push_back(message);
    return all;
  }
  void command(Command command) {
    for (rte_ring* mailbox : shared_.mailboxes)
      if (rte_ring_sp_enqueue_elem(mailbox, &command, sizeof command) != 0)
        throw std::runtime_error("a mailbox is full");
  }
  // As the control thread does when it has learnt an address.
  void add_neighbor(const std::string& address, std::string_view interface, const MacAddress& mac) {
    const NeighborKey key = neighbor_key(address, interface);
    const Interface& on = network()->interface(key.interface);
    Adjacency& adjacency = adjacencies_[fresh_adjacency_];
    adjacency.set_link(on, key.address);
    adjacency.set_mac(mac, on.mac);
    Command bind{};
    bind.kind = Command::Kind::kBindNeighbor;
    bind.key = key;
    bind.adjacency = fresh_adjacency_++;
    command(bind);
    run();
  }
  NeighborKey neighbor_key(const std::string& address, std::string_view interface) const {
    for (const Interface& at : network()->interfaces())
      if (at.name == interface) return {Endpoint(address).address, 0, at.id};
    throw std::invalid_argument("no interface " + std::string(interface));
  }

  // A page of one worker's connections from `cursor`, and where to go on.
  void list(uint32_t worker, ListRequest& request) {
    Command list{};
    list.kind = Command::Kind::kList;
    list.list = &request;
    if (rte_ring_sp_enqueue_elem(shared_.mailboxes[worker], &list, sizeof list) != 0)
      throw std::runtime_error("a mailbox is full");
    while (request.done.load() == 0) run();
  }
  std::vector<ConnectionInfo> connections() {
    std::vector<ConnectionInfo> all;
    for (uint32_t worker = 0; worker < workers_.size(); ++worker) {
      ListRequest request;
      request.limit = 1'000'000;
      list(worker, request);
      all.insert(all.end(), request.connections.begin(), request.connections.end());
    }
    return all;
  }

  Publisher& publisher() { return *publisher_; }
  const AnnouncementChange& change() const { return change_; }
  Worker& worker(uint32_t id) { return *workers_[id]; }
  uint32_t workers() const { return shared_.workers; }
  Shared& shared() { return shared_; }
  PortId port_id(Side side) const { return devices().ports[static_cast<size_t>(side)]->id(); }
  static rte_mempool* buffers() { return devices().buffers; }

  // One line of ipvsadm, as far as the engine's operations go.
  // "sh-port,sh-fallback"
  static uint32_t scheduler_flags(const std::string& names) {
    static const std::map<std::string, uint32_t> kBits = {
        {"sh-fallback", 1}, {"sh-port", 2}, {"mh-fallback", 1}, {"mh-port", 2}};
    std::istringstream list(names);
    uint32_t flags = 0;
    for (std::string name; std::getline(list, name, ',');) flags |= kBits.at(name);
    return flags;
  }

  static Operation parse(const std::string& line) {
    std::istringstream words(line);
    Operation operation;
    operation.settings.scheduler = "wlc";
    operation.server.method = ForwardingMethod::kDr;
    for (std::string word; words >> word;) {
      const auto next = [&] {
        std::string value;
        words >> value;
        return value;
      };
      static const std::map<std::string, Operation::Kind> kKinds = {
          {"-A", Operation::Kind::kAddService},    {"-E", Operation::Kind::kEditService},
          {"-D", Operation::Kind::kDeleteService}, {"-a", Operation::Kind::kAddServer},
          {"-e", Operation::Kind::kEditServer},    {"-d", Operation::Kind::kDeleteServer},
          {"-C", Operation::Kind::kFlush},         {"-Z", Operation::Kind::kZero},
          {"--set", Operation::Kind::kSetTimeouts}};
      if (const auto kind = kKinds.find(word); kind != kKinds.end()) {
        operation.kind = kind->second;
        if (word == "--set")
          words >> operation.timeouts.of(TcpState::kEstablished) >> operation.timeouts.of(TcpState::kFinWait) >>
              operation.timeouts.udp;
        operation.all_services = word == "-Z";
      } else if (word == "-t" || word == "-u" || word == "--sctp-service") {
        const Endpoint at(next());
        const IpProtocol protocol = word == "-t"   ? IpProtocol::kTcp
                                    : word == "-u" ? IpProtocol::kUdp
                                                   : IpProtocol::kSctp;
        operation.service = {at.address, protocol, static_cast<uint16_t>(at.port), 0};
        operation.all_services = false;
      } else if (word == "-f") {
        operation.service = ServiceKey::of_mark(Family::kIpv4, static_cast<uint32_t>(std::stoul(next())));
        operation.all_services = false;
      } else if (word == "-6") {
        operation.service.address.family = Family::kIpv6;
      } else if (word == "--tun-type") {
        const std::string type = next();
        operation.server.tunnel.type = type == "gue"   ? TunnelType::kGue
                                       : type == "gre" ? TunnelType::kGre
                                                       : TunnelType::kIpip;
      } else if (word == "--tun-port") {
        operation.server.tunnel.port = static_cast<uint16_t>(std::stoul(next()));
      } else if (word == "--tun-nocsum" || word == "--tun-csum" || word == "--tun-remcsum") {
        operation.server.tunnel.checksum = word == "--tun-nocsum" ? TunnelChecksum::kNone
                                           : word == "--tun-csum" ? TunnelChecksum::kFull
                                                                  : TunnelChecksum::kRemote;
      } else if (word == "-s") {
        operation.settings.scheduler = next();
      } else if (word == "-b") {
        operation.settings.scheduler_flags = scheduler_flags(next());
      } else if (word == "-r") {
        const Endpoint at(next());
        operation.server.key = {at.address, static_cast<uint16_t>(at.port != 0 ? at.port : operation.service.port)};
      } else if (word == "-w") {
        operation.server.weight = static_cast<uint32_t>(std::stoul(next()));
      } else if (word == "-p") {
        operation.settings.persistence_timeout_s = static_cast<uint32_t>(std::stoul(next()));
        operation.settings.persistence_prefix = operation.service.address.family == Family::kIpv6 ? 128 : 32;
      } else if (word == "-M") {  // as a prefix length
        operation.settings.persistence_prefix = static_cast<uint8_t>(std::stoul(next()));
      } else if (word == "-o") {
        operation.settings.one_packet = true;
      } else if (word == "-x") {
        operation.server.upper_threshold = static_cast<uint32_t>(std::stoul(next()));
      } else if (word == "-y") {
        operation.server.lower_threshold = static_cast<uint32_t>(std::stoul(next()));
      } else if (word == "-g" || word == "-i" || word == "-m") {
        operation.server.method = word == "-g"   ? ForwardingMethod::kDr
                                  : word == "-i" ? ForwardingMethod::kTun
                                                 : ForwardingMethod::kNat;
      } else {
        throw std::invalid_argument("no such word: " + word);
      }
    }
    operation.server.last_weight = operation.server.weight;
    return operation;
  }

 private:
  static constexpr uint32_t kNeighbors = 256;
  struct Rings {
    rte_ring* receive;
  };
  // Devices cannot be made anew for every test.
  struct Devices {
    rte_mempool* buffers = nullptr;
    std::array<std::unique_ptr<Port>, 2> ports;
    std::array<Rings, 2> rings{};
  };

  static const Devices& devices() {
    static const Devices* made = [] {
      auto* all = new Devices;
      all->buffers = rte_pktmbuf_pool_create("world_buffers", 16383, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
      if (all->buffers == nullptr) throw std::runtime_error("no packet buffers: does EAL run?");
      const std::array<const char*, 2> names = {"world_cl", "world_rs"};
      const std::array<MacAddress, 2> macs = {kClientPortMac, kServerPortMac};
      for (size_t i = 0; i < names.size(); ++i) {
        PortConfig config;
        config.name = names[i];
        config.device = "memory";
        config.mac = macs[i];
        all->ports[i] = std::make_unique<Port>(config);
        all->ports[i]->create_memory(1, 0);
        all->ports[i]->negotiate(2);
        all->ports[i]->configure(all->buffers);
        all->ports[i]->start();
        all->rings[i].receive = rte_ring_lookup(("fulcrum_memory_" + config.name + "_0_rx").c_str());
        if (all->rings[i].receive == nullptr) throw std::runtime_error("a memory port without a ring");
      }
      return all;
    }();
    return *made;
  }
  static const Rings& rings(Side side) { return devices().rings[static_cast<size_t>(side)]; }

  // Routing tables are large: one for each MTU that tests use.
  std::shared_ptr<const Network> network() const {
    static auto* made = new std::map<uint16_t, std::shared_ptr<const Network>>;
    auto& network = (*made)[options_.server_mtu];
    if (network != nullptr) return network;
    auto fresh = std::make_shared<Network>();
    if (!fresh->create(0)) throw std::runtime_error("no memory for routes");
    struct Link {
      const char* name;
      Side side;
      uint16_t vlan;
      std::vector<const char*> addresses;
    };
    for (const Link& link :
         {Link{"cl", Side::kClient, 0, {"10.0.1.1/24", "2001:db8:1::1/64", "fe80::ff:fe00:101/64"}},
          Link{"rs", Side::kServer, 0, {"10.0.2.1/24", "2001:db8:2::1/64", "fe80::ff:fe00:201/64"}},
          Link{"rs.100", Side::kServer, 100, {"10.0.100.1/24", "2001:db8:64::1/64", "fe80::ff:fe00:201/64"}}}) {
      Interface interface;
      interface.name = link.name;
      interface.port = port_id(link.side);
      interface.vlan = link.vlan;
      interface.mtu = link.side == Side::kServer ? options_.server_mtu : uint16_t{1500};
      interface.mac = link.side == Side::kServer ? kServerPortMac : kClientPortMac;
      for (const char* address : link.addresses) interface.addresses.push_back(Prefix::parse(address).value());
      const auto id = static_cast<InterfaceId>(fresh->interfaces().size());
      fresh->add_interface(interface);
      // What only a link knows has no route.
      fresh->add_route(interface.addresses[0], {id, Address{}});
      fresh->add_route(interface.addresses[1], {id, Address{}});
    }
    fresh->add_route(Prefix::parse("10.0.3.0/24").value(), {1, Endpoint("10.0.2.254").address});
    fresh->add_route(Prefix::parse("0.0.0.0/0").value(), {0, Endpoint("10.0.1.254").address});
    fresh->add_route(Prefix::parse("2001:db8:3::/64").value(), {1, Endpoint("2001:db8:2::fe").address});
    // Of IPv6 not everything is reachable.
    fresh->add_route(Prefix::parse("2000::/4").value(), {0, Endpoint("2001:db8:1::fe").address});
    return network = fresh;
  }

  template <typename T>
  static T* map_array() {
    void* mapped =
        mmap(nullptr, sizeof(T) * Shared::kServerSlots, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) throw std::bad_alloc();
    return static_cast<T*>(mapped);
  }

  void make_rings() {
    const uint32_t workers = shared_.workers;
    const auto ring = [](const std::string& name, unsigned bytes, unsigned size) {
      rte_ring* made = rte_ring_create_elem(("world_" + name).c_str(), bytes, size, SOCKET_ID_ANY, 0);
      if (made == nullptr) throw std::runtime_error("no ring: " + name);
      return made;
    };
    shared_.handover.assign(size_t{workers} * workers, nullptr);
    shared_.transmit.assign(size_t{workers} * workers, nullptr);
    for (uint32_t from = 0; from < workers; ++from) {
      for (uint32_t to = 0; to < workers; ++to) {
        if (from == to) continue;
        const std::string pair = std::to_string(from) + "_" + std::to_string(to);
        shared_.handover[from * workers + to] = ring("handover_" + pair, sizeof(void*), Shared::kHandoverRingSize);
        shared_.transmit[from * workers + to] = ring("transmit_" + pair, sizeof(void*), Shared::kHandoverRingSize);
      }
      shared_.mailboxes.push_back(ring("mailbox_" + std::to_string(from), sizeof(Command), Shared::kMailboxSize));
    }
    shared_.to_control = ring("control", sizeof(ControlMessage), Shared::kControlRingSize);
  }

  WorldOptions options_;
  Shared shared_;
  AdjacencyTable adjacencies_{kNeighbors};
  TemplateTable templates_{options_.connections};
  AdjacencyIndex fresh_adjacency_ = 0;
  std::vector<std::byte> quiescence_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::unique_ptr<Publisher> publisher_;
  AnnouncementChange change_;
};

}  // namespace fulcrum::test
