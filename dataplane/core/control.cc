// SPDX-License-Identifier: Apache-2.0
#include "core/control.h"

#include <rte_mbuf.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "net/headers.h"

namespace fulcrum {

namespace {
// The names and defaults of Linux's neighbour tables, which operators know.
constexpr uint64_t kRetransmitMs = 1000;
constexpr unsigned kMulticastTries = 3;
constexpr unsigned kUnicastTries = 3;
constexpr uint64_t kReachableMs = 30'000;
constexpr uint64_t kStaleMs = 600'000;  // an unused neighbour is forgotten
constexpr uint64_t kFailedMs = 60'000;
constexpr uint64_t kTimersEveryMs = 100;
constexpr uint64_t kQuietMs = 10'000;  // what is said of one address is said once in so long
constexpr unsigned kAnnouncements = 3;
constexpr uint64_t kAnnouncementMs = 1000;
constexpr auto kPollEvery = std::chrono::milliseconds(1);
constexpr MacAddress kBroadcast = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
}  // namespace

Control::Control(Shared& shared, std::shared_ptr<const Network> network, rte_mempool* buffers,
                 std::vector<StaticNeighbor> fixed)
    : shared_(shared), network_(std::move(network)), buffers_(buffers), fixed_(std::move(fixed)) {}

void Control::add_fixed() {
  const std::lock_guard lock(mutex_);
  for (const StaticNeighbor& neighbor : fixed_) {
    for (const Interface& interface : network_->interfaces()) {
      if (interface.name != neighbor.interface) continue;
      const NeighborKey key{neighbor.address, 0, interface.id};
      Neighbor* made = want(key);
      made->state = NeighborState::kStatic;
      learn(key, neighbor.mac);
    }
  }
}

Control::~Control() { stop(); }

void Control::start() {
  add_fixed();
  thread_ = std::thread([this] { run(); });
}

void Control::stop() {
  {
    const std::lock_guard lock(sleep_mutex_);
    stopping_ = true;
  }
  sleep_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Control::run() {
  std::unique_lock lock(sleep_mutex_);
  while (!stopping_) {
    lock.unlock();
    work();
    rounds_.fetch_add(1, std::memory_order_release);
    lock.lock();
    // Workers make no system calls, so nobody can wake this thread: it looks a thousand times a second.
    sleep_.wait_for(lock, kPollEvery);
  }
}

void Control::await_round() {
  // The round under way may have looked already: the one after it has not.
  const uint64_t wanted = rounds_.load(std::memory_order_acquire) + 2;
  while (shared_.running.load(std::memory_order_relaxed) && rounds_.load(std::memory_order_acquire) < wanted)
    std::this_thread::sleep_for(std::chrono::microseconds(100));
}

void Control::work() {
  while (drain()) {
  }
  run_timers();
  if (every_round_) every_round_();
  const uint64_t now = shared_.clock.now_ms();
  if (now - last_second_ms_ < 1000) return;
  if (!every_second_ || every_second_(now)) last_second_ms_ = now;
}

bool Control::drain() {
  ControlMessage messages[64];
  const unsigned count =
      rte_ring_sc_dequeue_burst_elem(shared_.to_control, messages, sizeof(ControlMessage), 64, nullptr);
  const std::lock_guard lock(mutex_);
  for (unsigned i = 0; i < count; ++i) handle(messages[i]);
  activity_.fetch_add(count, std::memory_order_relaxed);
  return count != 0;
}

void Control::on_event(EventHandler handler) {
  const std::lock_guard lock(event_mutex_);
  event_handler_ = std::move(handler);
}

void Control::report(std::string kind, std::string message) {
  const std::lock_guard lock(event_mutex_);
  if (!event_handler_) return;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  event_handler_({static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count()),
                  std::move(kind), std::move(message)});
}

void Control::post(uint32_t worker, Command command) {
  const std::lock_guard lock(post_mutex_);
  while (rte_ring_sp_enqueue_elem(shared_.mailboxes[worker], &command, sizeof command) != 0) {
    if (!shared_.running.load(std::memory_order_relaxed)) return;
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

void Control::post_all(const Command& command) {
  for (uint32_t worker = 0; worker < shared_.workers; ++worker) post(worker, command);
}

void Control::change_network(std::shared_ptr<const Network> network) {
  const std::lock_guard lock(mutex_);
  network_ = std::move(network);
  for (const auto& [key, neighbor] : neighbors_)
    (*shared_.adjacencies)[neighbor.adjacency].follow(network_->interface(key.interface));
}

void Control::handle(const ControlMessage& message) {
  switch (message.kind) {
    case ControlMessage::Kind::kNeighborWanted:
      if (want(message.key) == nullptr) {
        Command failed{};
        failed.kind = Command::Kind::kNeighborFailed;
        failed.key = message.key;
        post(message.worker, failed);
      }
      return;
    case ControlMessage::Kind::kNeighborSeen:
    case ControlMessage::Kind::kNeighborConfirmed:
      if (want(message.key, true) != nullptr) learn(message.key, message.mac);
      return;
    case ControlMessage::Kind::kAddressConflict:
      return report_about(message.key, "address_conflict",
                          message.key.address.text() + " is also used by " + mac_text(message.mac) + " on " +
                              network_->interface(message.key.interface).name);
  }
}

void Control::report_about(const NeighborKey& key, std::string kind, std::string message) {
  const uint64_t now = shared_.clock.now_ms();
  const auto [at, is_new] = reported_.try_emplace(key, now);
  if (!is_new && now - at->second < kQuietMs) return;
  at->second = now;
  report(std::move(kind), std::move(message));
}

// Addresses that nobody waits for may take half of the table, addresses that nobody answers for a quarter: neither a
// flood of ARP nor a scan keeps real neighbours out.
bool Control::has_room(bool heard) const {
  const size_t capacity = shared_.adjacencies->capacity();
  return heard ? neighbors_.size() < capacity / 2 : unresolved_ < capacity / 4;
}

// The neighbour's record, made and asked for if there is none; null when there is no room.
Control::Neighbor* Control::want(const NeighborKey& key, bool heard) {
  const uint64_t now = shared_.clock.now_ms();
  if (!neighbors_.contains(key) && !has_room(heard)) return nullptr;
  auto [at, is_new] = neighbors_.try_emplace(key);
  Neighbor& neighbor = at->second;
  if (!is_new) {
    if (heard) return &neighbor;
    Command bind{};
    bind.kind = Command::Kind::kBindNeighbor;
    bind.key = key;
    bind.adjacency = neighbor.adjacency;
    post_all(bind);
    if (neighbor.state == NeighborState::kFailed) {
      neighbor.state = NeighborState::kIncomplete;
      neighbor.tries = 0;
      ask(key, neighbor, now);
    }
    return &neighbor;
  }
  if (!free_adjacencies_.empty()) {
    neighbor.adjacency = free_adjacencies_.back();
    free_adjacencies_.pop_back();
  } else if (fresh_adjacency_ < shared_.adjacencies->capacity()) {
    neighbor.adjacency = fresh_adjacency_++;
  } else {
    neighbors_.erase(at);
    return nullptr;
  }
  Adjacency& adjacency = (*shared_.adjacencies)[neighbor.adjacency];
  const Interface& interface = network_->interface(key.interface);
  adjacency.usable.store(false, std::memory_order_relaxed);
  adjacency.set_link(interface, key.address);
  adjacency.last_used_s.store(static_cast<uint32_t>(now / 1000), std::memory_order_relaxed);
  Command bind{};
  bind.kind = Command::Kind::kBindNeighbor;
  bind.key = key;
  bind.adjacency = neighbor.adjacency;
  post_all(bind);
  ++unresolved_;
  // Who was only heard tells its address right away.
  if (!heard) ask(key, neighbor, now);
  return &neighbor;
}

void Control::learn(const NeighborKey& key, const MacAddress& mac) {
  Neighbor& neighbor = neighbors_.at(key);
  Adjacency& adjacency = (*shared_.adjacencies)[neighbor.adjacency];
  const bool was_usable = adjacency.usable.load(std::memory_order_relaxed);
  if (neighbor.state == NeighborState::kStatic && was_usable) return;
  if (was_usable && adjacency.mac() != mac)
    report_about(key, "neighbor_moved",
                 key.address.text() + " on " + network_->interface(key.interface).name + " is now " + mac_text(mac));
  adjacency.set_mac(mac, network_->interface(key.interface).mac);
  neighbor.confirmed_ms = shared_.clock.now_ms();
  neighbor.tries = 0;
  if (neighbor.state != NeighborState::kStatic) neighbor.state = NeighborState::kReachable;
  if (was_usable) return;
  Command bind{};
  bind.kind = Command::Kind::kBindNeighbor;
  bind.key = key;
  bind.adjacency = neighbor.adjacency;
  post_all(bind);
}

void Control::ask(const NeighborKey& key, Neighbor& neighbor, uint64_t now) {
  ++neighbor.tries;
  neighbor.next_ms = now + kRetransmitMs;
  const Interface& interface = network_->interface(key.interface);
  const auto own = interface.address_for(key.address);
  const bool unicast = neighbor.state == NeighborState::kProbe;
  const Adjacency& adjacency = (*shared_.adjacencies)[neighbor.adjacency];
  if (key.address.family == Family::kIpv6) {
    const NeighborPort port{interface.mac, interface.vlan};
    const Ipv6Address source = own && own->family == Family::kIpv6 ? own->v6() : kIpv6Unspecified;
    const Ipv6Address target = key.address.v6();
    return send_frame(interface, unicast ? make_probe(port, source, target, adjacency.mac())
                                         : make_solicitation(port, source, target));
  }
  // Without an address of its own the director asks as a probe does (RFC 5227 section 2.1.1).
  const be32 sender = own && own->family == Family::kIpv4 ? own->v4() : be32{};
  send_arp(interface, kArpRequest, unicast ? adjacency.mac() : kBroadcast, sender, MacAddress{}, key.address.v4());
}

void Control::fail(const NeighborKey& key, Neighbor& neighbor, uint64_t now) {
  const bool was_usable = (*shared_.adjacencies)[neighbor.adjacency].usable.exchange(false);
  neighbor.state = NeighborState::kFailed;
  neighbor.next_ms = now + kFailedMs;
  Command failed{};
  failed.kind = Command::Kind::kNeighborFailed;
  failed.key = key;
  post_all(failed);
  if (was_usable)
    report_about(key, "neighbor_lost",
                 key.address.text() + " on " + network_->interface(key.interface).name + " no longer answers");
}

void Control::forget(const NeighborKey& key, Neighbor& neighbor) {
  Command unbind{};
  unbind.kind = Command::Kind::kUnbindNeighbor;
  unbind.key = key;
  post_all(unbind);
  // Every worker must have let go of the index before it may mean somebody else.
  std::atomic<uint32_t> done{0};
  Command barrier{};
  barrier.kind = Command::Kind::kBarrier;
  barrier.done = &done;
  post_all(barrier);
  while (shared_.running.load(std::memory_order_relaxed) && done.load(std::memory_order_acquire) < shared_.workers)
    std::this_thread::sleep_for(std::chrono::microseconds(20));
  if (done.load() < shared_.workers) return;  // stopping
  free_adjacencies_.push_back(neighbor.adjacency);
}

void Control::run_timers() {
  const std::lock_guard lock(mutex_);
  const uint64_t now = shared_.clock.now_ms();
  if (now - timers_ms_ < kTimersEveryMs) return;
  timers_ms_ = now;
  unresolved_ = 0;
  for (auto at = neighbors_.begin(); at != neighbors_.end();) {
    bool forgotten = false;
    run_timer(at->first, at->second, now, forgotten);
    const NeighborState state = at->second.state;
    unresolved_ += !forgotten && (state == NeighborState::kIncomplete || state == NeighborState::kFailed);
    at = forgotten ? neighbors_.erase(at) : std::next(at);
  }
  std::erase_if(reported_, [now](const auto& at) { return now - at.second >= kQuietMs; });
  for (Announcement& announcement : announcements_) {
    if (now < announcement.next_ms) continue;
    send_announcement(announcement.vip);
    --announcement.left;
    announcement.next_ms = now + kAnnouncementMs;
  }
  std::erase_if(announcements_, [](const Announcement& announcement) { return announcement.left == 0; });
}

void Control::run_timer(const NeighborKey& key, Neighbor& neighbor, uint64_t now, bool& forgotten) {
  const uint64_t used_ms =
      uint64_t{(*shared_.adjacencies)[neighbor.adjacency].last_used_s.load(std::memory_order_relaxed)} * 1000;
  switch (neighbor.state) {
    case NeighborState::kStatic:
      return;
    case NeighborState::kIncomplete:
      if (now < neighbor.next_ms) return;
      return neighbor.tries < kMulticastTries ? ask(key, neighbor, now) : fail(key, neighbor, now);
    case NeighborState::kReachable:
      if (now - neighbor.confirmed_ms >= kReachableMs) neighbor.state = NeighborState::kStale;
      return;
    case NeighborState::kStale:
      // The clock of use is coarse: a second either way does not matter.
      if (used_ms + 1000 > neighbor.confirmed_ms + kReachableMs) {
        neighbor.state = NeighborState::kProbe;
        neighbor.tries = 0;
        return ask(key, neighbor, now);
      }
      if (now - neighbor.confirmed_ms < kStaleMs) return;
      break;
    case NeighborState::kProbe:
      if (now < neighbor.next_ms) return;
      return neighbor.tries < kUnicastTries ? ask(key, neighbor, now) : fail(key, neighbor, now);
    case NeighborState::kFailed:
      if (now < neighbor.next_ms) return;
      break;
  }
  forget(key, neighbor);
  forgotten = true;
}

void Control::resolve_towards(const Address& destination) {
  const std::lock_guard lock(mutex_);
  const Route* route = network_->find_route(destination);
  if (route == nullptr) return;
  want({route->gateway.family == Family::kNone ? destination : route->gateway, 0, route->interface});
}

void Control::announce(const Address& vip) {
  const std::lock_guard lock(mutex_);
  std::erase_if(announcements_, [&](const Announcement& pending) { return pending.vip == vip; });
  send_announcement(vip);
  announcements_.push_back({vip, kAnnouncements - 1, shared_.clock.now_ms() + kAnnouncementMs});
}

void Control::withdraw(const Address& vip) {
  const std::lock_guard lock(mutex_);
  std::erase_if(announcements_, [&](const Announcement& pending) { return pending.vip == vip; });
}

// On the links whose subnet holds the VIP; on all where none does.
void Control::send_announcement(const Address& vip) {
  const auto on_link = [&](const Interface& interface) {
    return std::any_of(interface.addresses.begin(), interface.addresses.end(),
                       [&](const Prefix& own) { return own.contains(vip); });
  };
  const auto& interfaces = network_->interfaces();
  const bool anywhere = std::none_of(interfaces.begin(), interfaces.end(), on_link);
  for (const Interface& interface : interfaces) {
    if (!anywhere && !on_link(interface)) continue;
    if (vip.family == Family::kIpv4) {
      send_arp(interface, kArpRequest, kBroadcast, vip.v4(), MacAddress{}, vip.v4());
    } else {
      send_frame(interface, make_announcement({interface.mac, interface.vlan}, vip.v6(), shared_.forwarding));
    }
  }
}

void Control::send_frame(const Interface& interface, const NeighborFrame& frame) {
  rte_mbuf* packet = rte_pktmbuf_alloc(buffers_);
  if (packet == nullptr) return;
  std::memcpy(rte_pktmbuf_append(packet, frame.size), frame.bytes.data(), frame.size);
  Command transmit{};
  transmit.kind = Command::Kind::kTransmit;
  transmit.port = interface.port;
  transmit.packet = packet;
  post(0, transmit);
}

void Control::send_arp(const Interface& interface, uint16_t operation, const MacAddress& destination, be32 sender,
                       const MacAddress& target_mac, be32 target) {
  rte_mbuf* packet = rte_pktmbuf_alloc(buffers_);
  if (packet == nullptr) return;
  const unsigned tag = interface.vlan != 0 ? kVlanBytes : 0;
  auto* frame = reinterpret_cast<uint8_t*>(
      rte_pktmbuf_append(packet, static_cast<uint16_t>(kEthernetBytes + tag + sizeof(ArpPacket))));
  std::memcpy(frame, destination.data(), 6);
  std::memcpy(frame + 6, interface.mac.data(), 6);
  uint8_t* at = frame + 12;
  if (tag != 0) {
    store_unaligned(at, be16::from_host(kEtherTypeVlan));
    store_unaligned(at + 2, be16::from_host(interface.vlan));
    at += kVlanBytes;
  }
  store_unaligned(at, be16::from_host(kEtherTypeArp));
  auto& arp = *reinterpret_cast<ArpPacket*>(at + 2);
  arp = {be16::from_host(1),
         be16::from_host(kEtherTypeIpv4),
         6,
         4,
         be16::from_host(operation),
         interface.mac,
         sender,
         target_mac,
         target};
  Command transmit{};
  transmit.kind = Command::Kind::kTransmit;
  transmit.port = interface.port;
  transmit.packet = packet;
  post(0, transmit);
}

std::vector<NeighborInfo> Control::neighbors() {
  const std::lock_guard lock(mutex_);
  const uint64_t now = shared_.clock.now_ms();
  std::vector<NeighborInfo> all;
  for (const auto& [key, neighbor] : neighbors_) {
    const Adjacency& adjacency = (*shared_.adjacencies)[neighbor.adjacency];
    const bool usable = adjacency.usable.load(std::memory_order_relaxed);
    all.push_back({key, usable ? adjacency.mac() : MacAddress{}, usable, neighbor.state,
                   neighbor.confirmed_ms == 0 ? 0 : now - neighbor.confirmed_ms});
  }
  std::sort(all.begin(), all.end(), [](const NeighborInfo& a, const NeighborInfo& b) {
    return std::make_pair(a.key.interface, a.key.address.bytes) < std::make_pair(b.key.interface, b.key.address.bytes);
  });
  return all;
}

}  // namespace fulcrum
