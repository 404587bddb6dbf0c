// SPDX-License-Identifier: Apache-2.0
// The thread that follows the kernel's addresses and routes: listens to NETLINK_ROUTE, dumps what there is at its start
// and after a loss, and hands changes on, several at a time. It never holds up a worker. On the housekeeping CPUs, in
// the network namespace of who made it.
#pragma once

#include <functional>
#include <mutex>
#include <thread>

#include "core/network_model.h"
#include "core/route_netlink.h"

namespace fulcrum {

class NetworkFollower {
 public:
  // Destinations that there is no room for.
  using Apply = std::function<std::vector<Prefix>(const NetworkChange&)>;
  using Report = std::function<void(std::string kind, std::string message)>;

  // The kernel's interfaces are up again, with what is configured of them.
  using Restored = std::function<void()>;

  // What the kernel tells waits in a socket's buffer of so many bytes; its own default holds some hundred routes.
  static constexpr int kReceiveBuffer = 8 << 20;

  NetworkFollower(NetworkModel model, Apply apply, Report report, int receive_buffer = kReceiveBuffer);
  ~NetworkFollower();
  // Before start().
  void on_restored(Restored restored) { restored_ = std::move(restored); }
  NetworkFollower(const NetworkFollower&) = delete;
  NetworkFollower& operator=(const NetworkFollower&) = delete;

  // Returns when what the kernel has is in force. Throws StartError.
  void start();
  void stop();
  RouteList routes() const;

 private:
  void run();
  // What has come since. False: something was lost.
  bool listen();
  // Asks for all that there is.
  void resync();
  bool dump(uint16_t type, uint8_t family);
  bool take_answers();
  void take(const std::vector<KernelNews>& news);
  // Gives the kernel's interfaces what they should have.
  void restore_links();
  void give(const FollowedLink& link, const std::string& what, int error) const;
  void publish();

  NetworkModel model_;
  Apply apply_;
  Report report_;
  Restored restored_ = [] {};
  int receive_buffer_;
  RouteNetlink netlink_;
  mutable std::mutex mutex_;  // the model
  int events_ = -1;           // a netlink socket that is told of everything
  int dumps_ = -1;            // one that asks
  int stop_ = -1;
  uint32_t sequence_ = 0;
  std::vector<uint8_t> room_;
  bool has_changes_ = false;
  std::thread thread_;
};

}  // namespace fulcrum
