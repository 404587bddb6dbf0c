// SPDX-License-Identifier: Apache-2.0
#include "core/route_netlink.h"

#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace fulcrum {

namespace {

// A request with the fixed part `Body`, and room for attributes.
template <typename Body>
class Request {
 public:
  Request(uint16_t type, uint16_t flags) {
    header().nlmsg_len = NLMSG_LENGTH(sizeof(Body));
    header().nlmsg_type = type;
    header().nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
  }
  nlmsghdr& header() { return *reinterpret_cast<nlmsghdr*>(bytes_); }
  Body& body() { return *reinterpret_cast<Body*>(bytes_ + NLMSG_HDRLEN); }
  void add(uint16_t type, const void* data, size_t size) {
    const size_t at = NLMSG_ALIGN(header().nlmsg_len);
    auto* attribute = reinterpret_cast<rtattr*>(bytes_ + at);
    attribute->rta_type = type;
    attribute->rta_len = static_cast<uint16_t>(RTA_LENGTH(size));
    std::memcpy(bytes_ + at + RTA_LENGTH(0), data, size);
    header().nlmsg_len = static_cast<uint32_t>(at + RTA_LENGTH(size));
  }
  void add_number(uint16_t type, uint32_t value) { add(type, &value, sizeof value); }
  void add_address(uint16_t type, const Address& address) {
    const be32 v4 = address.family == Family::kIpv4 ? address.v4() : be32{};
    if (address.family == Family::kIpv4) return add(type, &v4, sizeof v4);
    const Ipv6Address v6 = address.v6();
    add(type, &v6, sizeof v6);
  }

 private:
  alignas(nlmsghdr) uint8_t bytes_[256] = {};
};

uint8_t family_of(const Address& address) { return address.family == Family::kIpv4 ? AF_INET : AF_INET6; }

int unless_there(int error) { return error == EEXIST ? 0 : error; }

}  // namespace

RouteNetlink::RouteNetlink() : socket_(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)) {}

RouteNetlink::~RouteNetlink() {
  if (socket_ >= 0) close(socket_);
}

int RouteNetlink::ask(nlmsghdr& request) {
  if (socket_ < 0) return ENOTSUP;
  request.nlmsg_seq = ++sequence_;
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  if (sendto(socket_, &request, request.nlmsg_len, 0, reinterpret_cast<sockaddr*>(&kernel), sizeof kernel) < 0)
    return errno;
  alignas(nlmsghdr) uint8_t answer[4096];
  for (;;) {
    const ssize_t got = recv(socket_, answer, sizeof answer, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno;
    const auto& header = *reinterpret_cast<const nlmsghdr*>(answer);
    if (static_cast<size_t>(got) < NLMSG_LENGTH(sizeof(nlmsgerr)) || header.nlmsg_type != NLMSG_ERROR ||
        header.nlmsg_seq != sequence_)
      continue;
    return -reinterpret_cast<const nlmsgerr*>(answer + NLMSG_HDRLEN)->error;
  }
}

int RouteNetlink::set_link(unsigned index, const MacAddress& mac, uint16_t mtu) {
  Request<ifinfomsg> request(RTM_NEWLINK, 0);
  request.body().ifi_index = static_cast<int>(index);
  request.add(IFLA_ADDRESS, mac.data(), mac.size());
  request.add_number(IFLA_MTU, mtu);
  return ask(request.header());
}

int RouteNetlink::set_up(unsigned index) {
  Request<ifinfomsg> request(RTM_NEWLINK, 0);
  request.body().ifi_index = static_cast<int>(index);
  request.body().ifi_flags = IFF_UP;
  request.body().ifi_change = IFF_UP;
  return ask(request.header());
}

int RouteNetlink::add_address(unsigned index, const Prefix& address) {
  Request<ifaddrmsg> request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
  request.body().ifa_family = family_of(address.address);
  request.body().ifa_prefixlen = address.length;
  request.body().ifa_flags = address.address.family == Family::kIpv6 ? IFA_F_NODAD : 0;
  request.body().ifa_index = index;
  request.add_address(IFA_LOCAL, address.address);
  request.add_address(IFA_ADDRESS, address.address);
  return unless_there(ask(request.header()));
}

namespace {

void write_route(Request<rtmsg>& request, unsigned index, const Prefix& destination, const Address& gateway,
                 uint32_t metric, RouteOwner owner) {
  const bool is_on_link = gateway.family == Family::kNone;
  request.body().rtm_family = family_of(destination.address);
  request.body().rtm_dst_len = destination.length;
  request.body().rtm_table = RT_TABLE_MAIN;
  request.body().rtm_protocol = static_cast<uint8_t>(owner);
  request.body().rtm_scope =
      is_on_link && destination.address.family == Family::kIpv4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  request.body().rtm_type = RTN_UNICAST;
  if (destination.length != 0) request.add_address(RTA_DST, destination.address);
  if (!is_on_link) request.add_address(RTA_GATEWAY, gateway);
  request.add_number(RTA_OIF, index);
  request.add_number(RTA_PRIORITY, metric);
}

void write_neighbor(Request<ndmsg>& request, unsigned index, const Address& address) {
  request.body().ndm_family = family_of(address);
  request.body().ndm_ifindex = static_cast<int>(index);
  request.body().ndm_state = NUD_PERMANENT;
  request.add_address(NDA_DST, address);
}

}  // namespace

int RouteNetlink::add_route(unsigned index, const Prefix& destination, const Address& gateway, uint32_t metric,
                            RouteOwner owner) {
  Request<rtmsg> request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
  write_route(request, index, destination, gateway, metric, owner);
  return unless_there(ask(request.header()));
}

int RouteNetlink::delete_route(unsigned index, const Prefix& destination, uint32_t metric, RouteOwner owner) {
  Request<rtmsg> request(RTM_DELROUTE, 0);
  write_route(request, index, destination, Address{}, metric, owner);
  return ask(request.header());
}

int RouteNetlink::set_neighbor(unsigned index, const Address& address, const MacAddress& mac) {
  Request<ndmsg> request(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE);
  write_neighbor(request, index, address);
  request.add(NDA_LLADDR, mac.data(), mac.size());
  return ask(request.header());
}

int RouteNetlink::delete_neighbor(unsigned index, const Address& address) {
  Request<ndmsg> request(RTM_DELNEIGH, 0);
  write_neighbor(request, index, address);
  return ask(request.header());
}

}  // namespace fulcrum
