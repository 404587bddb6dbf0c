// SPDX-License-Identifier: Apache-2.0
#include "core/service_manager.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace fulcrum {

namespace {
std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// Zero for what is not a number.
uint64_t number(const std::string& text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size() ? value : 0;
}
}  // namespace

ServiceManager ServiceManager::from_environment() {
  // sd_watchdog_enabled(3): the timeout is meant for one process only, which its children may not be.
  const std::string process = variable("WATCHDOG_PID");
  const bool is_ours = process.empty() || number(process) == static_cast<uint64_t>(getpid());
  return {variable("NOTIFY_SOCKET"), Microseconds(is_ours ? number(variable("WATCHDOG_USEC")) : 0)};
}

bool ServiceManager::tell(const std::string& state) const {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_.size() < 2 || socket_.size() >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, socket_.data(), socket_.size());
  if (socket_[0] == '@') address.sun_path[0] = '\0';
  const int descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return false;
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size());
  // Whoever tells may be the control thread: it never waits for a reader.
  const ssize_t sent = sendto(descriptor, state.data(), state.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
                              reinterpret_cast<const sockaddr*>(&address), length);
  close(descriptor);
  return sent == static_cast<ssize_t>(state.size());
}

std::optional<size_t> Watchdog::waits_for(const std::vector<uint64_t>& rounds) const {
  for (size_t worker = 0; worker < rounds.size(); ++worker)
    if (worker < rounds_.size() && rounds[worker] == rounds_[worker]) return worker;
  return std::nullopt;
}

bool Watchdog::hungers(Time now, const std::vector<uint64_t>& rounds) {
  if (timeout_.count() == 0) return false;
  if (fed_ && (now - *fed_ < timeout_ / 4 || waits_for(rounds))) return false;
  fed_ = now;
  rounds_ = rounds;
  told_ = false;
  return true;
}

std::optional<size_t> Watchdog::stuck(Time now, const std::vector<uint64_t>& rounds) {
  if (told_ || !fed_ || now - *fed_ < timeout_ / 2) return std::nullopt;
  const std::optional<size_t> worker = waits_for(rounds);
  told_ = worker.has_value();
  return worker;
}

}  // namespace fulcrum
