// SPDX-License-Identifier: Apache-2.0
// As much of rtnetlink(7) as a kernel interface of ours needs: MAC, MTU, up, addresses, routes, neighbours.
#pragma once

#include <cstdint>

#include "net/address.h"

struct nlmsghdr;

namespace fulcrum {

// Whose a route is, as in rt_protos.
enum class RouteOwner : uint8_t {
  kConfiguration = 4,  // RTPROT_STATIC
  // The way of health checks to a VIP; none of the numbers that routing daemons have. The director itself goes by none.
  kCheck = 241,
};

class RouteNetlink {
 public:
  RouteNetlink();
  ~RouteNetlink();
  RouteNetlink(const RouteNetlink&) = delete;
  RouteNetlink& operator=(const RouteNetlink&) = delete;

  // All of these: 0, or the errno that the kernel answers with.
  int set_link(unsigned index, const MacAddress& mac, uint16_t mtu);
  int set_up(unsigned index);
  // IPv6: without duplicate address detection. One that is there already is no error.
  int add_address(unsigned index, const Prefix& address);
  // By a gateway, or on link where its family is kNone. One that is there already is no error.
  int add_route(unsigned index, const Prefix& destination, const Address& gateway, uint32_t metric,
                RouteOwner owner = RouteOwner::kConfiguration);
  // On link.
  int delete_route(unsigned index, const Prefix& destination, uint32_t metric, RouteOwner owner);
  // One that nobody need ask for, and that stays.
  int set_neighbor(unsigned index, const Address& address, const MacAddress& mac);
  int delete_neighbor(unsigned index, const Address& address);

 private:
  int ask(nlmsghdr& request);

  int socket_;
  uint32_t sequence_ = 0;
};

}  // namespace fulcrum
