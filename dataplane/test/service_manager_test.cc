// SPDX-License-Identifier: Apache-2.0
#include "core/service_manager.h"

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>

using namespace fulcrum;
using namespace std::chrono_literals;

namespace {

// A service manager's end: a datagram socket in the abstract namespace.
class Listener {
 public:
  Listener() : name_("@fulcrum-test-" + std::to_string(getpid())) {
    descriptor_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path + 1, name_.data() + 1, name_.size() - 1);
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name_.size());
    REQUIRE(bind(descriptor_, reinterpret_cast<const sockaddr*>(&address), length) == 0);
  }
  ~Listener() { close(descriptor_); }

  const std::string& name() const { return name_; }
  // What has come; "" if nothing has.
  std::string heard() const {
    char text[256];
    const ssize_t length = recv(descriptor_, text, sizeof text, MSG_DONTWAIT);
    return length < 0 ? "" : std::string(text, static_cast<size_t>(length));
  }

 private:
  std::string name_;
  int descriptor_ = -1;
};

class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) { setenv(name, value.c_str(), 1); }
  ~Variable() { unsetenv(name_); }

 private:
  const char* name_;
};

const Watchdog::Time kStart{};

}  // namespace

TEST_CASE("a service manager: is told by datagram") {
  const Listener listener;
  const ServiceManager manager(listener.name(), 0us);
  CHECK(manager.tell("READY=1"));
  CHECK(manager.tell("STATUS=two workers"));
  CHECK(listener.heard() == "READY=1");
  CHECK(listener.heard() == "STATUS=two workers");
  CHECK(listener.heard() == "");
}

TEST_CASE("a service manager: nobody there, nobody told") {
  CHECK_FALSE(ServiceManager("", 0us).tell("READY=1"));
  CHECK_FALSE(ServiceManager("@", 0us).tell("READY=1"));
  CHECK_FALSE(ServiceManager("/nonexistent/socket", 0us).tell("READY=1"));
  CHECK_FALSE(ServiceManager("/" + std::string(200, 'x'), 0us).tell("READY=1"));
}

TEST_CASE("a service manager: never waits for a reader") {
  const Listener listener;
  const ServiceManager manager(listener.name(), 0us);
  // The kernel queues some datagrams (net.unix.max_dgram_qlen), and no more.
  unsigned taken = 0;
  while (taken < 100'000 && manager.tell("WATCHDOG=1")) ++taken;
  CHECK(taken > 0);
  CHECK(taken < 100'000);
}

TEST_CASE("a service manager: as the environment says") {
  const Variable socket("NOTIFY_SOCKET", "@nobody"), time("WATCHDOG_USEC", "10000000");
  CHECK(ServiceManager::from_environment().watchdog() == 10s);
  SUBCASE("this process's watchdog") {
    const Variable process("WATCHDOG_PID", std::to_string(getpid()));
    CHECK(ServiceManager::from_environment().watchdog() == 10s);
  }
  SUBCASE("another process's watchdog") {
    const Variable process("WATCHDOG_PID", std::to_string(getpid() + 1));
    CHECK(ServiceManager::from_environment().watchdog() == 0s);
  }
  SUBCASE("not a number") {
    const Variable wrong("WATCHDOG_USEC", "10s");
    CHECK(ServiceManager::from_environment().watchdog() == 0s);
  }
}

TEST_CASE("a watchdog: fed four times in its timeout while all workers go round") {
  Watchdog watchdog(8s);
  CHECK(watchdog.hungers(kStart, {1, 1}));
  CHECK_FALSE(watchdog.hungers(kStart + 1s, {2, 2}));
  CHECK(watchdog.hungers(kStart + 2s, {3, 3}));
  CHECK_FALSE(watchdog.hungers(kStart + 3s, {4, 4}));
  CHECK(watchdog.hungers(kStart + 4s, {5, 5}));
  CHECK_FALSE(watchdog.stuck(kStart + 9s, {6, 6}));
}

TEST_CASE("a watchdog: not fed while one worker stands, and fed at once when it goes on") {
  Watchdog watchdog(8s);
  CHECK(watchdog.hungers(kStart, {1, 1}));
  CHECK_FALSE(watchdog.hungers(kStart + 2s, {900, 1}));
  CHECK_FALSE(watchdog.stuck(kStart + 3s, {900, 1}));
  CHECK_FALSE(watchdog.hungers(kStart + 4s, {1800, 1}));
  // Said once.
  CHECK(watchdog.stuck(kStart + 4s, {1800, 1}) == 1);
  CHECK_FALSE(watchdog.stuck(kStart + 5s, {1900, 1}));
  CHECK(watchdog.hungers(kStart + 6s, {2000, 2}));
  // A new time, a new word.
  CHECK_FALSE(watchdog.hungers(kStart + 12s, {2000, 3}));
  CHECK(watchdog.stuck(kStart + 12s, {2000, 3}) == 0);
}

TEST_CASE("a watchdog: none, none fed") {
  Watchdog watchdog(0us);
  CHECK_FALSE(watchdog.hungers(kStart, {1}));
  CHECK_FALSE(watchdog.hungers(kStart + 100s, {2}));
  CHECK_FALSE(watchdog.stuck(kStart + 200s, {2}));
}
