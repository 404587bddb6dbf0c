// SPDX-License-Identifier: Apache-2.0
// What the kernel tells by rtnetlink(7) of links, addresses and routes, as values: bytes in, news out. Knows no socket.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "net/address.h"

namespace fulcrum {

struct LinkNews {
  unsigned index = 0;
  bool is_gone = false;
  bool is_up = false;  // as the administrator has it
  uint32_t mtu = 0;    // 0: not told
};

struct AddressNews {
  unsigned index = 0;
  bool is_gone = false;
  bool is_usable = true;  // IPv6: duplicate address detection has not found it taken, and is over
  Prefix address;         // of one with a peer: itself alone
};

struct NextHopNews {
  unsigned index = 0;
  Address gateway;  // family kNone: on link
  bool is_dead = false;
};

enum class RouteType : uint8_t { kUnicast, kUnreachable, kBlackhole, kOther };

struct RouteNews {
  Prefix destination;
  uint32_t table = 0;
  uint32_t metric = 0;
  uint8_t protocol = 0;  // who made it, as in rt_protos
  RouteType type = RouteType::kOther;
  bool is_gone = false;
  bool replaces = false;     // the one of the same metric
  bool goes_behind = false;  // IPv4: those of the same metric
  bool is_cached = false;    // made for a single destination: no route
  // What it asks for that the director has not; and that it is another route than one which does not ask for it.
  const char* unknown = nullptr;
  bool is_of_its_own = false;
  std::vector<NextHopNews> hops;
};

// A next hop object is gone, and with it, without a word, the routes that used it.
struct NextHopObjectGone {};

using KernelNews = std::variant<LinkNews, AddressNews, RouteNews, NextHopObjectGone>;

// What else a datagram said.
struct NewsEnd {
  bool is_done = false;         // the end of a dump
  bool is_interrupted = false;  // things changed while it was made: it may have gaps
  bool is_malformed = false;
  int error = 0;  // errno of the answer
};

// `sequence`: of the dump that is waited for; 0: whatever comes.
NewsEnd read_news(std::span<const uint8_t> datagram, uint32_t sequence, std::vector<KernelNews>& news);

// "bgp", "static", …; the number where it has no name.
std::string route_protocol_name(uint8_t protocol);

}  // namespace fulcrum
