// SPDX-License-Identifier: Apache-2.0
// The native control thread, on the housekeeping CPUs: resolves neighbours and keeps them fresh, announces VIPs,
// empties the trash, reports events. No worker waits for it, and no protocol waits for JavaScript.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "core/config.h"
#include "core/shared.h"
#include "forward/neighbor_discovery.h"

namespace fulcrum {

enum class NeighborState : uint8_t { kIncomplete, kReachable, kStale, kProbe, kFailed, kStatic };

struct NeighborInfo {
  NeighborKey key;
  MacAddress mac{};
  bool has_mac = false;
  NeighborState state{};
  uint64_t age_ms = 0;
};

struct Event {
  uint64_t unix_ms = 0;
  std::string kind;
  std::string message;
};

struct NeighborKeyHash {
  size_t operator()(const NeighborKey& key) const { return AddressHash{}(key.address) * 31 + key.interface; }
};

class Control {
 public:
  using EventHandler = std::function<void(const Event&)>;

  Control(Shared& shared, std::shared_ptr<const Network> network, rte_mempool* buffers,
          std::vector<StaticNeighbor> fixed);
  ~Control();

  // Once the workers run.
  void start();
  void stop();
  // Called on the thread that reports, which may be any but a worker's.
  void on_event(EventHandler handler);
  // Work to do about once a second; false: not everything could be done, again soon.
  void every_second(std::function<bool(uint64_t now_ms)> work) { every_second_ = std::move(work); }
  // Work of some nanoseconds, to do about every millisecond.
  void every_round(std::function<void()> work) { every_round_ = std::move(work); }

  // From any thread but workers'. Waits while a worker's mailbox is full.
  void post(uint32_t worker, Command command);
  void post_all(const Command& command);
  // Interfaces have other addresses or MTUs from now on, routes lead elsewhere. Nobody here reads the network from
  // before any longer when it returns.
  void change_network(std::shared_ptr<const Network> network);

  // Resolves the next hop towards `destination` before the first packet needs it.
  void resolve_towards(const Address& destination);
  // Gratuitous ARP, now and twice more a second apart (RFC 5227 section 2.3).
  void announce(const Address& vip);
  // Takes back the announcements that are still to come.
  void withdraw(const Address& vip);
  void report(std::string kind, std::string message);
  std::vector<NeighborInfo> neighbors();
  // Returns when the thread has once more handled all that was asked of it and is due.
  void await_round();
  uint64_t activity() const { return activity_.load(std::memory_order_relaxed); }

 private:
  struct Neighbor {
    AdjacencyIndex adjacency = kNoAdjacency;
    NeighborState state = NeighborState::kIncomplete;
    uint64_t confirmed_ms = 0;
    uint64_t next_ms = 0;  // of the next try
    unsigned tries = 0;
  };
  struct Announcement {
    Address vip;
    unsigned left = 0;
    uint64_t next_ms = 0;
  };

  void run();
  void work();
  void add_fixed();
  bool drain();
  void handle(const ControlMessage& message);
  // `heard`: only told of, nobody waits for it.
  Neighbor* want(const NeighborKey& key, bool heard = false);
  bool has_room(bool heard) const;
  void learn(const NeighborKey& key, const MacAddress& mac);
  void ask(const NeighborKey& key, Neighbor& neighbor, uint64_t now);
  void fail(const NeighborKey& key, Neighbor& neighbor, uint64_t now);
  void forget(const NeighborKey& key, Neighbor& neighbor);
  void run_timers();
  void run_timer(const NeighborKey& key, Neighbor& neighbor, uint64_t now, bool& forgotten);
  void report_about(const NeighborKey& key, std::string kind, std::string message);
  void send_announcement(const Address& vip);
  void send_frame(const Interface& interface, const NeighborFrame& frame);
  void send_arp(const Interface& interface, uint16_t operation, const MacAddress& destination, be32 sender,
                const MacAddress& target_mac, be32 target);

  Shared& shared_;
  std::shared_ptr<const Network> network_;  // under mutex_
  rte_mempool* buffers_;
  std::vector<StaticNeighbor> fixed_;
  std::function<bool(uint64_t)> every_second_;
  std::function<void()> every_round_;
  EventHandler event_handler_;

  std::mutex mutex_;  // neighbours, announcements
  std::unordered_map<NeighborKey, Neighbor, NeighborKeyHash> neighbors_;
  std::vector<AdjacencyIndex> free_adjacencies_;
  AdjacencyIndex fresh_adjacency_ = 0;
  std::vector<Announcement> announcements_;
  // When something about an address was last reported: once in ten seconds is enough.
  std::unordered_map<NeighborKey, uint64_t, NeighborKeyHash> reported_;
  size_t unresolved_ = 0;  // as of the last run of the timers
  uint64_t timers_ms_ = 0;

  std::mutex post_mutex_;
  std::mutex event_mutex_;
  std::mutex sleep_mutex_;
  std::condition_variable sleep_;
  bool stopping_ = false;
  std::thread thread_;
  uint64_t last_second_ms_ = 0;
  std::atomic<uint64_t> activity_{0};
  std::atomic<uint64_t> rounds_{0};
};

}  // namespace fulcrum
