// SPDX-License-Identifier: Apache-2.0
// Tells the service manager that started the process how it fares: sd_notify(3), a datagram to $NOTIFY_SOCKET. The
// watchdog is fed only while every worker goes round: a process that answers calls but forwards nothing is restarted.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace fulcrum {

class ServiceManager {
 public:
  using Microseconds = std::chrono::microseconds;

  // From NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID. Without the first nobody is told anything.
  static ServiceManager from_environment();
  // A path, or a name in the abstract namespace that begins with "@"; empty: nobody is there.
  ServiceManager(std::string socket, Microseconds watchdog) : socket_(std::move(socket)), watchdog_(watchdog) {}

  // "READY=1", "STOPPING=1", "WATCHDOG=1", "STATUS=…". False: it did not get there.
  bool tell(const std::string& state) const;
  // Zero: there is no watchdog.
  Microseconds watchdog() const { return watchdog_; }

 private:
  std::string socket_;
  Microseconds watchdog_;
};

class Watchdog {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // Zero: it never hungers.
  explicit Watchdog(std::chrono::microseconds timeout) : timeout_(timeout) {}

  // Whether to feed it now: a quarter of the timeout has passed since the last time, and every worker's count of rounds
  // has changed. To be asked much more often than that.
  bool hungers(Time now, const std::vector<uint64_t>& rounds);
  // The first worker that has not gone round since then, when half of the timeout has passed; told once.
  std::optional<size_t> stuck(Time now, const std::vector<uint64_t>& rounds);

 private:
  std::optional<size_t> waits_for(const std::vector<uint64_t>& rounds) const;

  std::chrono::microseconds timeout_;
  std::optional<Time> fed_;
  std::vector<uint64_t> rounds_;  // when it was fed
  bool told_ = false;
};

}  // namespace fulcrum
