// SPDX-License-Identifier: Apache-2.0
// The configuration that the packet path reads: immutable, built off-path, replaced as a whole. Unchanged services are
// shared between snapshots.
#pragma once

#include <memory>
#include <vector>

#include "conn/timeouts.h"
#include "core/clock.h"
#include "forward/network.h"
#include "service/edit_list.h"
#include "service/mark_rule.h"
#include "service/scheduler/scheduler.h"
#include "service/service.h"
#include "service/service_list.h"
#include "service/traffic.h"
#include "service/tunables.h"

namespace fulcrum {

// A flat open-addressing table, built once, then only read. Load at most one half.
template <typename Key, typename Value, typename Hash>
class FrozenMap {
 public:
  struct Cell {
    Key key;
    Value value;
    bool used = false;
  };
  void reserve(size_t entries) {
    size_t cells = 8;
    while (cells < 2 * entries) cells *= 2;
    cells_.assign(cells, Cell{});
  }
  // The value of `key`, made if it is not there. reserve() must have counted it.
  Value& at(const Key& key) {
    for (size_t i = spread(Hash{}(key));; ++i) {
      Cell& cell = cells_[i & (cells_.size() - 1)];
      if (!cell.used) {
        cell.used = true;
        cell.key = key;
        ++size_;
        return cell.value;
      }
      if (cell.key == key) return cell.value;
    }
  }
  const Value* find(const Key& key) const {
    if (size_ == 0) return nullptr;
    for (size_t i = spread(Hash{}(key));; ++i) {
      const Cell& cell = cells_[i & (cells_.size() - 1)];
      if (!cell.used) return nullptr;
      if (cell.key == key) return &cell.value;
    }
  }
  Value* find_mutable(const Key& key) { return const_cast<Value*>(find(key)); }
  size_t size() const { return size_; }
  const std::vector<Cell>& cells() const { return cells_; }

 private:
  // Multiplication brings what differs into the upper bits.
  size_t spread(size_t hash) const { return (hash * 0x9E3779B97F4A7C15u) >> (64 - __builtin_ctzll(cells_.size())); }
  std::vector<Cell> cells_;
  size_t size_ = 0;
};

struct ServiceKeyHash {
  size_t operator()(const ServiceKey& key) const {
    const uint64_t rest = uint64_t{key.fwmark} << 32 | uint64_t{key.port} << 8 | static_cast<uint8_t>(key.protocol);
    return AddressHash{}(key.address) ^ rest;
  }
};

inline constexpr uint16_t kFtpDataPort = 20;
inline constexpr uint16_t kFtpControlPort = 21;

enum class Announce : uint8_t { kArp, kRoute, kNone };

// An address that packets may be addressed to: a VIP, an interface's own, or both.
struct LocalAddress {
  bool is_vip = false;
  bool is_own = false;
  bool active = true;
  Announce announce = Announce::kArp;
  InterfaceId interface = kNoInterface;  // of an own address

  bool answers_arp() const { return is_own || (is_vip && active && announce == Announce::kArp); }
};

// How long a connection lives after a packet, in ticks, by protocol and state.
struct TimeoutTable {
  enum Row : unsigned { kUdp, kTcp, kSctp, kRows };
  explicit TimeoutTable(const Timeouts& seconds = {}) {
    for (unsigned state = 0; state < kStateRoom; ++state) {
      ticks[kUdp][state] = seconds_to_ticks(seconds.udp);
      ticks[kTcp][state] = seconds_to_ticks(seconds.tcp[state]);
      ticks[kSctp][state] = seconds_to_ticks(seconds.sctp[state]);
    }
  }
  static Row row_of(IpProtocol protocol) {
    return protocol == IpProtocol::kTcp ? kTcp : protocol == IpProtocol::kSctp ? kSctp : kUdp;
  }
  Ticks of(Row row, uint8_t state) const { return ticks[row][state & (kStateRoom - 1)]; }
  Ticks ticks[kRows][kStateRoom];
};

// A VIP range: every address of it is local.
struct LocalPrefix {
  Prefix prefix;
  LocalAddress what;
};

// Which protocols' services a NAT server belongs to, as long as it does.
struct ProtocolSet {
  uint8_t tcp = 0, udp = 0, sctp = 0;
  void add(const ServiceKey& service) {
    const bool any = service.fwmark != 0;
    tcp |= any || service.protocol == IpProtocol::kTcp;
    udp |= any || service.protocol == IpProtocol::kUdp;
    sctp |= any || service.protocol == IpProtocol::kSctp;
  }
  bool has(IpProtocol protocol) const {
    return protocol == IpProtocol::kTcp ? tcp : protocol == IpProtocol::kUdp ? udp : sctp;
  }
};

// A table that snapshots share while it does not change.
template <typename Key, typename Value, typename Hash>
using SharedMap = std::shared_ptr<const FrozenMap<Key, Value, Hash>>;

class CheckPaths;  // service/check_path.h

struct Snapshot {
  uint64_t version = 0;  // counts publications, one by one
  ServiceList services;
  // Those that differ from version - 1: workers whose scheduler state must follow.
  std::vector<std::shared_ptr<const VirtualService>> changed;
  SharedMap<ServiceKey, uint32_t, ServiceKeyHash> by_key;  // to a position in `services`
  SharedMap<Address, LocalAddress, AddressHash> local;
  std::shared_ptr<const std::vector<LocalPrefix>> local_prefixes;  // the longest first
  std::shared_ptr<const std::vector<MarkRule>> marks;
  // NAT server endpoints, live or retired: what replies come from. Port 0 stands for every port.
  SharedMap<ServerKey, ProtocolSet, ServerKeyHash> nat_endpoints;
  bool nat_endpoints_any_port = false;
  std::shared_ptr<const PrefixLists> prefix_lists;
  std::shared_ptr<const Network> network;
  uint64_t network_version = 0;  // counts its changes: adjacencies that were resolved before may be others now
  TimeoutTable timeouts;
  Tunables tunables;
  std::shared_ptr<const CheckPaths> checks;  // null: none

  // There is a TCP service on port 21, or one on port 0: else nobody need look for them.
  bool any_ftp_service = false;
  bool any_port_service = false;
  // LVS takes its hooks away with a family's last service: what is left of its connections meets a host and a router.
  bool balances_v4 = false;
  bool balances_v6 = false;

  template <Family F>
  bool balances() const {
    return F == Family::kIpv4 ? balances_v4 : balances_v6;
  }
  // What an address is to the director; null: not its own.
  const LocalAddress* find_local(const Address& address) const {
    if (const LocalAddress* exact = local->find(address)) return exact;
    for (const LocalPrefix& at : *local_prefixes)
      if (at.prefix.contains(address)) return &at.what;
    return nullptr;
  }
  // LVS's order on a miss: the mark; the very port; FTP's data by its control port; every port.
  const VirtualService* find_service(const Address& vip, IpProtocol protocol, uint16_t port, uint32_t mark) const {
    if (mark != 0)
      if (const VirtualService* marked = find_exactly(ServiceKey::of_mark(vip.family, mark))) return marked;
    if (const VirtualService* exact = find_exactly({vip, protocol, port, 0})) return exact;
    if (any_ftp_service && protocol == IpProtocol::kTcp && (port == kFtpDataPort || port >= 1024))
      if (const VirtualService* control = find_exactly({vip, protocol, kFtpControlPort, 0})) return control;
    return any_port_service ? find_exactly({vip, protocol, 0, 0}) : nullptr;
  }
  const VirtualService* find_exactly(const ServiceKey& key) const {
    const uint32_t* found = by_key->find(key);
    return found == nullptr ? nullptr : services[*found].get();
  }
  // A NAT server of a service of that protocol, not a deleted one.
  bool is_nat_server(const Address& address, uint16_t port, IpProtocol protocol) const {
    const ProtocolSet* of = nat_endpoints->find({address, port});
    return of != nullptr && of->has(protocol);
  }
  bool is_nat_endpoint(const Address& address, uint16_t port) const {
    if (nat_endpoints->find({address, port}) != nullptr) return true;
    return nat_endpoints_any_port && nat_endpoints->find({address, 0}) != nullptr;
  }
};

}  // namespace fulcrum
