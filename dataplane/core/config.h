// SPDX-License-Identifier: Apache-2.0
// What the engine is started with, and the edits that it is given while it runs, free of any wire format.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "conn/timeouts.h"
#include "core/kernel_queue.h"
#include "core/masquerade.h"
#include "core/shared.h"
#include "service/mark_rule.h"
#include "service/service.h"
#include "service/traffic.h"
#include "service/tunables.h"

namespace fulcrum {

// Who is reached through a port, for the receive side scaling of devices that let it be set.
// kBoth: nothing is set.
enum class Faces : uint8_t { kAuto, kClients, kServers, kBoth };

enum class Hugepages : uint8_t { kAuto, kOn, kOff };

// The kernel interface of a port; its VLANs' are NAME.VLAN.
struct KernelPortConfig {
  std::string name;
  KernelLimits limits = kDefaultKernelLimits;
};

struct PortConfig {
  std::string name;
  std::string device;  // PCI address, vdev string as EAL takes it, or "memory"
  uint16_t mtu = 1500;
  uint16_t rx_queues = 0;  // 0: what suits workers and device
  uint16_t tx_queues = 0;
  uint16_t rx_descriptors = 0;
  uint16_t tx_descriptors = 0;
  Faces faces = Faces::kAuto;  // kAuto: clients, if a default route leaves by it, or if it is the only port
  std::optional<MacAddress> mac;
  std::optional<KernelPortConfig> kernel;
};

struct InterfaceConfig {
  std::string name;
  std::string port;
  uint16_t vlan = 0;
  uint16_t mtu = 0;  // 0: the port's
  std::vector<Prefix> addresses;
};

struct RouteConfig {
  Prefix prefix;
  Address via;  // family kNone: on link
  std::string interface;
};

struct StaticNeighbor {
  Address address;
  std::string interface;
  MacAddress mac{};
};

struct MasqueradeConfig {
  Prefix source;
  std::string interface;  // that they leave by
  Address address;        // family kNone: the interface's own
  PortRange ports = kMasqueradePorts;
};

struct StartConfig {
  std::vector<uint32_t> housekeeping_cpus;
  std::vector<uint32_t> worker_cpus;
  Hugepages hugepages = Hugepages::kAuto;
  uint32_t memory_mb = 0;
  uint64_t connections = 1'000'000;
  uint32_t packet_buffers = 0;
  IdlePolicy idle = IdlePolicy::kSleep;
  bool forwarding = true;
  bool testing = false;
  std::vector<PortConfig> ports;
  std::vector<InterfaceConfig> interfaces;
  std::vector<RouteConfig> routes;
  std::vector<StaticNeighbor> neighbors;
  std::vector<MasqueradeConfig> masquerade;
  std::vector<std::string> eal_arguments;
};

// The engine cannot start; the text names the port or the field, with EAL's own lines where it said any.
class StartError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

enum class VipState : uint8_t { kActive, kStandby };

struct VipSettings {
  Address address;
  uint8_t prefix_length = 0;  // of a VIP range; 0: this address alone
  std::optional<Announce> announce;
  std::optional<VipState> state;

  std::string text() const {
    return prefix_length == 0 ? address.text() : address.text() + "/" + std::to_string(prefix_length);
  }
};

struct ServiceSettings {
  std::string scheduler = "wlc";
  uint32_t scheduler_flags = 0;
  uint32_t persistence_timeout_s = 0;
  uint8_t persistence_prefix = 0;
  bool one_packet = false;
  bool operator==(const ServiceSettings&) const = default;
};

struct NamedPrefixList {
  std::string name;
  std::shared_ptr<const PrefixList> list;
};

struct Operation {
  enum class Kind : uint8_t {
    kAddService,
    kEditService,
    kDeleteService,
    kAddServer,
    kEditServer,
    kDeleteServer,
    kFlush,
    kZero,
    kSetTimeouts,
    kSetVip,
    kDeleteVip,
    kSetTunables,
    kSetMarkRules,
    kSetTraffic,
    kSetPrefixList,
    kDeletePrefixList
  };
  Kind kind{};
  ServiceKey service;
  bool all_services = false;  // kZero
  ServiceSettings settings;
  RealServer server;                     // key, method, weight, thresholds
  Timeouts timeouts = Timeouts::keep();  // kSetTimeouts
  VipSettings vip;
  TunablesEdit tunables;
  std::vector<MarkRule> marks;  // kSetMarkRules: all of them
  std::shared_ptr<const TrafficPolicy> traffic;
  NamedPrefixList prefixes;
};

enum class Reason : uint8_t {
  kDone,
  kServiceExists,
  kServiceNotFound,
  kServerExists,
  kServerNotFound,
  kSchedulerNotFound,
  kInvalid,
  kOutOfRange,
  kFamilyMismatch,
  kNoRoom,
  kNotSupported,
  kVipNotFound,
  kPrefixListNotFound,
  kPrefixListInUse
};

struct OperationResult {
  Reason reason = Reason::kDone;
  std::string field;
  std::string message;
};

}  // namespace fulcrum
