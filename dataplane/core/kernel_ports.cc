// SPDX-License-Identifier: Apache-2.0
#include "core/kernel_ports.h"

#include <poll.h>
#include <pthread.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>

#include "core/route_netlink.h"
#include "net/headers.h"

namespace fulcrum {

namespace {

constexpr unsigned kInBudget = 64;  // packets of a worker and class a round: no class waits long for another
// A connection's first packet comes before what may follow it at once, its reset for one.
constexpr std::array kCarriedFirst = {KernelClass::kControl, KernelClass::kConnect, KernelClass::kTcp,
                                      KernelClass::kIcmp, KernelClass::kRest};
static_assert(kCarriedFirst.size() == kKernelClasses);
constexpr unsigned kOutBudget = 32;  // frames of an interface a round
constexpr uint32_t kRingSize = 512;
constexpr size_t kLongestFrame = 16384;
// Workers make no system calls, so that nobody can wake this thread: it looks, more often while there is traffic.
constexpr long kShortSleepNs = 100'000;
constexpr long kLongSleepNs = 1'000'000;
constexpr auto kLately = std::chrono::milliseconds(20);
// Of the routes that the configuration has: those that the host has already go before them.
constexpr uint32_t kRouteMetric = 4096;

void count(uint64_t& counter, uint64_t by) { __atomic_store_n(&counter, counter + by, __ATOMIC_RELAXED); }

// Where /proc/sys cannot be written the kernel's own settings stay.
void write_setting(const std::string& interface, const char* setting, const char* value) {
  std::ofstream("/proc/sys/net/ipv6/conf/" + interface + "/" + setting) << value;
}

std::string because(int error) { return std::string(": ") + std::strerror(error); }

}  // namespace

KernelPorts::~KernelPorts() {
  stop();
  for (rte_ring* ring : shared_.from_kernel) {
    if (ring == nullptr) continue;
    void* frame;
    while (rte_ring_dequeue(ring, &frame) == 0) rte_pktmbuf_free(static_cast<rte_mbuf*>(frame));
    rte_ring_free(ring);
  }
  shared_.from_kernel.clear();
  shared_.to_kernel.clear();
}

std::string KernelPorts::name_of(const KernelPortConfig& config, uint16_t vlan) {
  return vlan == 0 ? config.name : config.name + "." + std::to_string(vlan);
}

void KernelPorts::add(const std::string& field, const KernelPortConfig& config, const Interface& interface,
                      const std::vector<KernelRoute>& routes) {
  auto link = std::make_unique<Link>(field, name_of(config, interface.vlan), shared_.workers, config.limits);
  link->interface = interface.id;
  link->mac = interface.mac;
  link->port = interface.port;
  link->vlan = interface.vlan;
  // One worker, so that what the kernel sends in order leaves in order; one that has a queue of the port.
  link->sender = interface.port % std::min<uint32_t>(shared_.workers, shared_.ports[interface.port].tx_queues);
  configure(field, *link, interface, routes);
  shared_.from_kernel.resize(shared_.workers);
  if (rte_ring*& ring = shared_.from_kernel[link->sender]; ring == nullptr) {
    const std::string name = "fulcrum_from_kernel_" + std::to_string(link->sender);
    ring = rte_ring_create(name.c_str(), kRingSize, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
    if (ring == nullptr) throw StartError(field + ": no memory for ring " + name);
  }
  if (shared_.to_kernel.size() <= interface.id) shared_.to_kernel.resize(interface.id + 1u);
  shared_.to_kernel[interface.id] = &link->path;
  links_.push_back(std::move(link));
}

void KernelPorts::configure(const std::string& field, Link& link, const Interface& interface,
                            const std::vector<KernelRoute>& routes) const {
  RouteNetlink netlink;
  const unsigned index = link.tap.index();
  const auto require = [&](int error, const std::string& what) {
    if (error != 0) throw StartError(field + ": " + link.name + ": " + what + because(error));
  };
  require(netlink.set_link(index, interface.mac, interface.mtu),
          "MAC " + mac_text(interface.mac) + ", MTU " + std::to_string(interface.mtu));
  // The dataplane has made sure of its addresses, among them the one that its link knows; the kernel makes none.
  write_setting(link.name, "addr_gen_mode", "1");
  write_setting(link.name, "accept_dad", "0");
  write_setting(link.name, "accept_ra", "0");
  const bool speaks_v6 = std::any_of(interface.addresses.begin(), interface.addresses.end(),
                                     [](const Prefix& own) { return own.address.family == Family::kIpv6; });
  if (speaks_v6) write_setting(link.name, "disable_ipv6", "0");
  for (const Prefix& own : interface.addresses) require(netlink.add_address(index, own), "address " + own.text());
  require(netlink.set_up(index), "up");
  for (const KernelRoute& route : routes)
    require(netlink.add_route(index, route.destination, route.gateway, kRouteMetric),
            "route to " + route.destination.text());
}

const KernelPorts::Link* KernelPorts::link_of(InterfaceId interface) const {
  for (const auto& link : links_)
    if (link->interface == interface) return link.get();
  return nullptr;
}

// A route of its own, more exact than any that the host may have to other interfaces; and a neighbour that has our MAC,
// since nobody answers the host's questions for a VIP.
std::string KernelPorts::lead(const std::map<Address, InterfaceId, AddressOrder>& vips) {
  RouteNetlink netlink;
  const auto host_route = [](const Address& vip) {
    return Prefix{vip, static_cast<uint8_t>(vip.family == Family::kIpv4 ? 32 : 128)};
  };
  for (const auto& [vip, interface] : led_) {
    if (const auto still = vips.find(vip); still != vips.end() && still->second == interface) continue;
    // Somebody may have taken them away already.
    const unsigned index = link_of(interface)->tap.index();
    netlink.delete_route(index, host_route(vip), kRouteMetric, RouteOwner::kCheck);
    netlink.delete_neighbor(index, vip);
  }
  std::string problems;
  for (const auto& [vip, interface] : vips) {
    const Link& link = *link_of(interface);
    const auto report = [&](int error, const char* what) {
      if (error == 0) return;
      problems += (problems.empty() ? "" : "; ") + link.name + ": " + what + vip.text() + because(error);
    };
    report(netlink.set_neighbor(link.tap.index(), vip, link.mac), "neighbour ");
    report(netlink.add_route(link.tap.index(), host_route(vip), Address{}, kRouteMetric, RouteOwner::kCheck),
           "route to ");
  }
  led_ = vips;
  return problems;
}

std::string KernelPorts::lead_again() { return lead(std::map(led_)); }

void KernelPorts::start() {
  running_.store(true);
  thread_ = std::thread([this] { run(); });
}

void KernelPorts::stop() {
  running_.store(false);
  if (thread_.joinable()) thread_.join();
}

void KernelPorts::run() {
  pthread_setname_np(pthread_self(), "fulcrum-kernel");
  std::vector<pollfd> polled;
  auto worked_at = std::chrono::steady_clock::now() - kLately;
  while (running_.load(std::memory_order_relaxed)) {
    bool worked = false;
    for (const auto& link : links_) worked |= carry_in(*link);
    for (const auto& link : links_) worked |= carry_out(*link);
    const auto now = std::chrono::steady_clock::now();
    if (worked) {
      worked_at = now;
      activity_.fetch_add(1, std::memory_order_relaxed);
      continue;
    }
    sleep(polled, now - worked_at < kLately);
  }
}

void KernelPorts::sleep(std::vector<pollfd>& polled, bool lately) const {
  polled.clear();
  for (const auto& link : links_)
    if (!link->is_gone && has_room(*link)) polled.push_back({link->tap.descriptor(), POLLIN, 0});
  const timespec limit{0, lately ? kShortSleepNs : kLongSleepNs};
  if (ppoll(polled.data(), polled.size(), &limit, nullptr) <= 0) return;
  // One that is no more is ready for ever.
  for (const pollfd& of : polled)
    for (const auto& link : links_)
      if ((of.revents & POLLERR) != 0 && link->tap.descriptor() == of.fd) link->is_gone = true;
}

// From the workers to the kernel.
bool KernelPorts::carry_in(Link& link) {
  bool any = false;
  for (const KernelClass of : kCarriedFirst) {
    for (uint32_t worker = 0; worker < link.path.workers(); ++worker) {
      KernelQueue& queue = link.path.queue(worker, of);
      for (unsigned i = 0; i < kInBudget; ++i) {
        const rte_mbuf* frame = queue.front();
        if (frame == nullptr) break;
        any = true;
        if (link.tap.write(frame)) {
          count(link.to_kernel_packets, 1);
          count(link.to_kernel_bytes, rte_pktmbuf_pkt_len(frame));
        } else {
          count(link.refused, 1);
        }
        queue.pop();
      }
    }
  }
  return any;
}

// Where there is none the kernel's own queue fills, and it counts what that loses.
bool KernelPorts::has_room(const Link& link) const {
  return rte_ring_full(shared_.from_kernel[link.sender]) == 0 && rte_mempool_avail_count(buffers_) != 0;
}

// From the kernel to the worker that sends. A buffer is taken when there is something to put into it: giving it back
// could hold up the workers that do the same.
bool KernelPorts::carry_out(Link& link) {
  bool any = false;
  for (unsigned i = 0; i < kOutBudget && has_room(link); ++i) {
    uint8_t bytes[kLongestFrame];
    const uint32_t size = link.tap.read(bytes);
    if (size < kEthernetBytes) break;
    any = true;
    rte_mbuf* frame = rte_pktmbuf_alloc(buffers_);
    void* room = frame == nullptr ? nullptr : rte_pktmbuf_append(frame, static_cast<uint16_t>(size));
    if (room != nullptr) std::memcpy(room, bytes, size);
    if (room != nullptr && give_on(link, frame)) continue;
    // Somebody has raised the interface's MTU above its port's.
    count(link.refused, 1);
    rte_pktmbuf_free(frame);
  }
  return any;
}

bool KernelPorts::give_on(Link& link, rte_mbuf* frame) {
  const uint32_t size = rte_pktmbuf_pkt_len(frame);
  if (link.vlan != 0) {
    auto* head = reinterpret_cast<uint8_t*>(rte_pktmbuf_prepend(frame, kVlanBytes));
    if (head == nullptr) return false;
    std::memmove(head, head + kVlanBytes, 2 * kMacBytes);
    store_unaligned(head + 2 * kMacBytes, be16::from_host(kEtherTypeVlan));
    store_unaligned(head + 2 * kMacBytes + 2, be16::from_host(link.vlan));
  }
  frame->port = link.port;
  // There is room, and nobody else fills it.
  if (rte_ring_sp_enqueue(shared_.from_kernel[link.sender], frame) != 0) return false;
  count(link.from_kernel_packets, 1);
  count(link.from_kernel_bytes, size);
  return true;
}

void KernelPorts::set_carrier(PortId port, bool up) {
  for (const auto& link : links_)
    if (link->port == port) link->tap.set_carrier(up);
}

bool KernelPorts::has_pending() const {
  for (const auto& link : links_)
    for (uint32_t worker = 0; worker < link->path.workers(); ++worker)
      for (size_t of = 0; of < kKernelClasses; ++of)
        if (!link->path.queue(worker, static_cast<KernelClass>(of)).is_empty()) return true;
  return false;
}

std::vector<FollowedLink> KernelPorts::links() const {
  std::vector<FollowedLink> all;
  for (const auto& link : links_) {
    FollowedLink& followed = all.emplace_back();
    followed.index = link->tap.index();
    followed.name = link->name;
    followed.interface = link->interface;
  }
  return all;
}

std::vector<KernelInterfaceStatistics> KernelPorts::statistics() const {
  const auto read = [](const uint64_t& counter) { return __atomic_load_n(&counter, __ATOMIC_RELAXED); };
  std::vector<KernelInterfaceStatistics> all;
  for (const auto& link : links_) {
    KernelInterfaceStatistics of;
    of.name = link->name;
    of.interface = link->interface;
    of.limits = link->path.limits();
    of.to_kernel_packets = read(link->to_kernel_packets);
    of.to_kernel_bytes = read(link->to_kernel_bytes);
    of.from_kernel_packets = read(link->from_kernel_packets);
    of.from_kernel_bytes = read(link->from_kernel_bytes);
    of.refused = read(link->refused);
    for (size_t i = 0; i < kKernelClasses; ++i) {
      for (uint32_t worker = 0; worker < link->path.workers(); ++worker) {
        const KernelClassCounters counters = link->path.queue(worker, static_cast<KernelClass>(i)).counters();
        of.classes[i].passed += counters.passed;
        of.classes[i].rate_limited += counters.rate_limited;
        of.classes[i].queue_full += counters.queue_full;
      }
    }
    all.push_back(std::move(of));
  }
  return all;
}

}  // namespace fulcrum
