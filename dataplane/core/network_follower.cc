// SPDX-License-Identifier: Apache-2.0
#include "core/network_follower.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "core/config.h"

namespace fulcrum {

namespace {

using namespace std::chrono_literals;
using Time = std::chrono::steady_clock;

constexpr size_t kDatagram = 65536;
// Changes that come together are published together. Connections find their next hop anew after each: not all the time.
constexpr auto kGather = 5ms;
constexpr auto kPublishEvery = 100ms;
constexpr Time::duration kRetryResync = 1s;
constexpr unsigned kDumpTries = 5;

[[noreturn]] void fail(const char* what) {
  throw StartError(std::string("kernel ports: ") + what + ": " + std::strerror(errno));
}

int open_socket(int receive_buffer) {
  const int descriptor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (descriptor < 0) fail("no netlink socket");
  // Until it has a number of its own it has the kernel's, and is told nothing that the kernel itself says.
  sockaddr_nl any{};
  any.nl_family = AF_NETLINK;
  if (bind(descriptor, reinterpret_cast<sockaddr*>(&any), sizeof any) != 0) fail("netlink socket");
  // Beyond what everybody may have only root gets it.
  if (setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &receive_buffer, sizeof receive_buffer) != 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  return descriptor;
}

bool join(int descriptor, int group) {
  return setsockopt(descriptor, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) == 0;
}

// A kernel without IPv6, or without a single route, has no such table.
bool has_none(int error) { return error == EOPNOTSUPP || error == EAFNOSUPPORT || error == ENOENT; }

int milliseconds(Time::duration duration) {
  return static_cast<int>(
      std::max<int64_t>(0, std::chrono::duration_cast<std::chrono::milliseconds>(duration + 999us).count()));
}

}  // namespace

NetworkFollower::NetworkFollower(NetworkModel model, Apply apply, Report report, int receive_buffer)
    : model_(std::move(model)), apply_(std::move(apply)), report_(std::move(report)), receive_buffer_(receive_buffer) {}

NetworkFollower::~NetworkFollower() {
  stop();
  for (const int descriptor : {events_, dumps_, stop_})
    if (descriptor >= 0) close(descriptor);
}

void NetworkFollower::start() {
  room_.resize(kDatagram);
  events_ = open_socket(receive_buffer_);
  dumps_ = open_socket(kReceiveBuffer);
  stop_ = eventfd(0, EFD_CLOEXEC);
  if (stop_ < 0) fail("no event descriptor");
  for (const int group :
       {RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE})
    if (!join(events_, group)) fail("what the kernel does cannot be followed");
  // Kernels before 5.3 have no next hop objects, and no such group.
  join(events_, RTNLGRP_NEXTHOP);
  // What is asked for exactly is filtered by the kernel; older ones tell all.
  const int on = 1;
  setsockopt(dumps_, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
  resync();
  publish();
  thread_ = std::thread([this] { run(); });
}

void NetworkFollower::stop() {
  const uint64_t one = 1;
  if (stop_ >= 0 && write(stop_, &one, sizeof one) < 0) return;
  if (thread_.joinable()) thread_.join();
}

RouteList NetworkFollower::routes() const {
  const std::lock_guard lock(mutex_);
  return model_.routes();
}

void NetworkFollower::run() {
  pthread_setname_np(pthread_self(), "fulcrum-routes");
  auto earliest = Time::now(), due = earliest;
  for (bool gathering = false;;) {
    if (!gathering && (has_changes_ || model_.wants_resync())) {
      gathering = true;
      due = std::max(Time::now() + kGather, earliest);
    }
    pollfd polled[] = {{stop_, POLLIN, 0}, {events_, POLLIN, 0}};
    if (poll(polled, std::size(polled), gathering ? milliseconds(due - Time::now()) : -1) < 0 && errno != EINTR) return;
    if (polled[0].revents != 0) return;
    if (polled[1].revents != 0 && !listen()) {
      report_("kernel_news_lost", "the kernel told more of routes than could be taken: they are read again");
      const std::lock_guard lock(mutex_);
      model_.want_resync();
    }
    if (!gathering || Time::now() < due) continue;
    gathering = false;
    restore_links();
    if (model_.wants_resync()) resync();
    publish();
    earliest = Time::now() + (model_.wants_resync() ? kRetryResync : Time::duration(kPublishEvery));
  }
}

bool NetworkFollower::listen() {
  std::vector<KernelNews> news;
  bool complete = true;
  for (;;) {
    const ssize_t got = recv(events_, room_.data(), room_.size(), MSG_DONTWAIT | MSG_TRUNC);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == ENOBUFS) {
      complete = false;
      continue;
    }
    if (got <= 0) break;
    const auto size = static_cast<size_t>(got);
    const NewsEnd end = read_news({room_.data(), std::min(size, room_.size())}, 0, news);
    complete &= size <= room_.size() && !end.is_malformed;
    // Not without end, while others wait for what has been read.
    if (news.size() > 100'000) break;
  }
  take(news);
  return complete;
}

void NetworkFollower::take(const std::vector<KernelNews>& news) {
  const std::lock_guard lock(mutex_);
  for (const KernelNews& one : news) model_.take(one);
  has_changes_ |= model_.has_changes();
}

void NetworkFollower::resync() {
  bool complete = false;
  for (unsigned tries = 0; tries < kDumpTries && !complete; ++tries) {
    {
      const std::lock_guard lock(mutex_);
      model_.begin_resync();
    }
    complete = dump(RTM_GETLINK, AF_UNSPEC) && dump(RTM_GETADDR, AF_UNSPEC) && dump(RTM_GETROUTE, AF_INET) &&
               dump(RTM_GETROUTE, AF_INET6);
  }
  const std::lock_guard lock(mutex_);
  model_.end_resync(complete);
  has_changes_ |= model_.has_changes();
}

// False: it has gaps, or failed.
bool NetworkFollower::dump(uint16_t type, uint8_t family) {
  struct {
    nlmsghdr header;
    union {
      ifinfomsg link;
      ifaddrmsg address;
      rtmsg route;
    };
  } request{};
  size_t size = sizeof request.route;
  request.route.rtm_family = family;
  if (type == RTM_GETROUTE) request.route.rtm_table = RT_TABLE_MAIN;
  if (type == RTM_GETLINK) size = sizeof request.link;
  if (type == RTM_GETADDR) size = sizeof request.address;
  request.header.nlmsg_len = static_cast<uint32_t>(NLMSG_LENGTH(size));
  request.header.nlmsg_type = type;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.header.nlmsg_seq = ++sequence_;
  return send(dumps_, &request, request.header.nlmsg_len, 0) >= 0 && take_answers();
}

bool NetworkFollower::take_answers() {
  bool complete = true;
  for (;;) {
    const ssize_t got = recv(dumps_, room_.data(), room_.size(), MSG_TRUNC);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    const auto size = static_cast<size_t>(got);
    std::vector<KernelNews> news;
    const NewsEnd end = read_news({room_.data(), std::min(size, room_.size())}, sequence_, news);
    take(news);
    complete &= size <= room_.size() && !end.is_malformed && !end.is_interrupted;
    if (end.is_done) return complete && (end.error == 0 || has_none(end.error));
  }
}

void NetworkFollower::restore_links() {
  std::vector<NetworkModel::Restored> restored;
  std::vector<FollowedLink> without_link_local;
  {
    const std::lock_guard lock(mutex_);
    restored = model_.take_restored();
    without_link_local = model_.take_without_link_local();
  }
  for (const NetworkModel::Restored& at : restored) {
    for (const Prefix& own : at.addresses)
      give(at.link, "address " + own.text(), netlink_.add_address(at.link.index, own));
    for (const auto& [destination, route] : at.routes)
      give(at.link, "route to " + destination.text(),
           netlink_.add_route(at.link.index, destination, route.gateway, NetworkModel::kConfiguredMetric));
  }
  if (!restored.empty()) restored_();
  for (const FollowedLink& link : without_link_local)
    give(link, "address " + link.link_local.text(), netlink_.add_address(link.index, link.link_local));
}

void NetworkFollower::give(const FollowedLink& link, const std::string& what, int error) const {
  if (error != 0) report_("kernel_refused", link.name + ": " + what + ": " + std::strerror(error));
}

void NetworkFollower::publish() {
  NetworkChange change;
  {
    const std::lock_guard lock(mutex_);
    change = model_.take_change();
  }
  has_changes_ = false;
  const std::vector<Prefix> without_room = change.empty() ? std::vector<Prefix>{} : apply_(change);
  std::vector<Note> notes;
  {
    const std::lock_guard lock(mutex_);
    model_.settle(change, without_room);
    notes = model_.take_notes();
  }
  for (Note& note : notes) report_(std::move(note.kind), std::move(note.message));
}

}  // namespace fulcrum
