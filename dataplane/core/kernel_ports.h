// SPDX-License-Identifier: Apache-2.0
// The kernel ports: an interface of the kernel for each interface of a port that has one, with the same MAC, MTU and
// addresses, and the thread that carries frames between them and the workers. That sleeps in poll(2), on the
// housekeeping CPUs. VLANs need nothing of the kernel: each has a TAP of its own, and the tag is put on here.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "core/config.h"
#include "core/network_model.h"
#include "core/shared.h"
#include "core/tap.h"

struct pollfd;

namespace fulcrum {

struct AddressOrder {
  bool operator()(const Address& one, const Address& other) const {
    return std::pair(one.family, one.bytes) < std::pair(other.family, other.bytes);
  }
};

struct KernelRoute {
  Prefix destination;
  Address gateway;  // family kNone: on link
};

struct KernelInterfaceStatistics {
  std::string name;
  InterfaceId interface = kNoInterface;
  KernelLimits limits{};
  uint64_t to_kernel_packets = 0, to_kernel_bytes = 0, from_kernel_packets = 0, from_kernel_bytes = 0;
  // By the kernel, whose interface is down; or since it is longer than the port's frames.
  uint64_t refused = 0;
  std::array<KernelClassCounters, kKernelClasses> classes{};
};

class KernelPorts {
 public:
  // `buffers`: for what the kernel sends; nobody else takes any.
  KernelPorts(Shared& shared, rte_mempool* buffers) : shared_(shared), buffers_(buffers) {}
  ~KernelPorts();
  KernelPorts(const KernelPorts&) = delete;
  KernelPorts& operator=(const KernelPorts&) = delete;

  // NAME, or NAME.VLAN.
  static std::string name_of(const KernelPortConfig& config, uint16_t vlan);
  // Before the workers are made. Throws StartError that begins with `field`.
  void add(const std::string& field, const KernelPortConfig& config, const Interface& interface,
           const std::vector<KernelRoute>& routes);
  void start();
  // The kernel's interfaces are there until the end of this.
  void stop();

  // The host's packets to these VIPs leave by these interfaces, to us; to those of the call before they do no more.
  // What cannot be done, as text; empty: all has been.
  std::string lead(const std::map<Address, InterfaceId, AddressOrder>& vips);
  // The kernel forgets it all with an interface that goes down.
  std::string lead_again();

  // The link of a port has come or gone.
  void set_carrier(PortId port, bool up);
  std::vector<KernelInterfaceStatistics> statistics() const;
  std::vector<FollowedLink> links() const;
  uint64_t activity() const { return activity_.load(std::memory_order_relaxed); }
  // Something is still on its way to the kernel.
  bool has_pending() const;

 private:
  struct Link {
    Link(const std::string& field, const std::string& name_, uint32_t workers, const KernelLimits& limits)
        : name(name_), tap(field, name_), path(workers, limits) {}
    std::string name;
    Tap tap;
    KernelPath path;
    InterfaceId interface = kNoInterface;
    MacAddress mac{};
    PortId port = 0;
    uint16_t vlan = 0;
    uint32_t sender = 0;   // the worker that sends what the kernel sends
    bool is_gone = false;  // the thread's: somebody has deleted the kernel's interface
    // Written by the thread.
    uint64_t to_kernel_packets = 0, to_kernel_bytes = 0, from_kernel_packets = 0, from_kernel_bytes = 0, refused = 0;
  };

  void configure(const std::string& field, Link& link, const Interface& interface,
                 const std::vector<KernelRoute>& routes) const;
  const Link* link_of(InterfaceId interface) const;
  void run();
  bool carry_in(Link& link);
  bool carry_out(Link& link);
  bool has_room(const Link& link) const;
  bool give_on(Link& link, rte_mbuf* frame);
  void sleep(std::vector<pollfd>& polled, bool lately) const;

  Shared& shared_;
  rte_mempool* buffers_;
  std::vector<std::unique_ptr<Link>> links_;
  std::map<Address, InterfaceId, AddressOrder> led_;
  std::atomic<bool> running_{false};
  std::thread thread_;
  std::atomic<uint64_t> activity_{0};
};

}  // namespace fulcrum
