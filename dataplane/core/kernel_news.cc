// SPDX-License-Identifier: Apache-2.0
#include "core/kernel_news.h"

#include <linux/if_addr.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "forward/route_table.h"

namespace fulcrum {

namespace {

using Bytes = std::span<const uint8_t>;

// A structure at the beginning of `bytes`, wherever they lie.
template <typename T>
std::optional<T> head_of(Bytes bytes) {
  if (bytes.size() < sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

Bytes behind(Bytes bytes, size_t count) { return count <= bytes.size() ? bytes.subspan(count) : Bytes{}; }

// The attributes, by type; the last of a type counts. False: a length that cannot be.
class Attributes {
 public:
  static constexpr unsigned kTypes = 64;
  bool read(Bytes bytes) {
    while (!bytes.empty()) {
      const auto head = head_of<rtattr>(bytes);
      if (!head) return false;
      if (head->rta_len < sizeof(rtattr) || head->rta_len > bytes.size()) return false;
      const unsigned type = head->rta_type & NLA_TYPE_MASK;
      if (type < kTypes) by_type_[type] = bytes.subspan(RTA_LENGTH(0), head->rta_len - RTA_LENGTH(0));
      has_ |= type < kTypes ? uint64_t{1} << type : 0;
      bytes = behind(bytes, RTA_ALIGN(head->rta_len));
    }
    return true;
  }
  bool has(unsigned type) const { return (has_ >> type & 1) != 0; }
  Bytes bytes(unsigned type) const { return by_type_[type]; }
  template <typename T>
  std::optional<T> value(unsigned type) const {
    return head_of<T>(by_type_[type]);
  }
  std::optional<Address> address(unsigned type, unsigned char family) const {
    Address result;
    const size_t size = family == AF_INET ? 4 : 16;
    if (by_type_[type].size() != size) return std::nullopt;
    result.family = family == AF_INET ? Family::kIpv4 : Family::kIpv6;
    std::copy(by_type_[type].begin(), by_type_[type].end(), result.bytes.begin());
    return result;
  }

 private:
  Bytes by_type_[kTypes];
  uint64_t has_ = 0;
};

bool is_known(unsigned char family) { return family == AF_INET || family == AF_INET6; }

bool read_link(const nlmsghdr& header, Bytes payload, std::vector<KernelNews>& news) {
  const auto body = head_of<ifinfomsg>(payload);
  Attributes attributes;
  if (!body || !attributes.read(behind(payload, NLMSG_ALIGN(sizeof(ifinfomsg))))) return false;
  // A bridge tells of its ports in the same words.
  if (body->ifi_family != AF_UNSPEC) return true;
  LinkNews link;
  link.index = static_cast<unsigned>(body->ifi_index);
  link.is_gone = header.nlmsg_type == RTM_DELLINK;
  link.is_up = (body->ifi_flags & IFF_UP) != 0;
  link.mtu = attributes.value<uint32_t>(IFLA_MTU).value_or(0);
  news.emplace_back(link);
  return true;
}

bool read_address(const nlmsghdr& header, Bytes payload, std::vector<KernelNews>& news) {
  const auto body = head_of<ifaddrmsg>(payload);
  Attributes attributes;
  if (!body || !attributes.read(behind(payload, NLMSG_ALIGN(sizeof(ifaddrmsg))))) return false;
  if (!is_known(body->ifa_family)) return true;
  const auto peer = attributes.address(IFA_ADDRESS, body->ifa_family);
  const auto own = attributes.address(IFA_LOCAL, body->ifa_family);
  if (!own && !peer) return false;
  AddressNews address;
  address.index = body->ifa_index;
  address.is_gone = header.nlmsg_type == RTM_DELADDR;
  const uint32_t flags = attributes.value<uint32_t>(IFA_FLAGS).value_or(body->ifa_flags);
  const bool is_tentative = (flags & IFA_F_TENTATIVE) != 0 && (flags & IFA_F_OPTIMISTIC) == 0;
  address.is_usable = body->ifa_family == AF_INET || (!is_tentative && (flags & IFA_F_DADFAILED) == 0);
  address.address.address = own.value_or(peer.value_or(Address{}));
  const uint8_t longest = body->ifa_family == AF_INET ? 32 : 128;
  if (body->ifa_prefixlen > longest) return false;
  // The prefix length is the peer's.
  const bool has_peer = own && peer && !(*own == *peer);
  address.address.length = has_peer ? longest : body->ifa_prefixlen;
  news.emplace_back(address);
  return true;
}

RouteType type_of(unsigned char type) {
  switch (type) {
    case RTN_UNICAST:
      return RouteType::kUnicast;
    case RTN_BLACKHOLE:
      return RouteType::kBlackhole;
    // In the last table that is asked "throw" is the same.
    case RTN_UNREACHABLE:
    case RTN_PROHIBIT:
    case RTN_THROW:
      return RouteType::kUnreachable;
    default:
      return RouteType::kOther;
  }
}

// What is said of a next hop in a route of one as in one of several.
void read_hop(const Attributes& attributes, unsigned char family, unsigned index, unsigned flags, RouteNews& route) {
  if (attributes.has(RTA_VIA)) route.unknown = "a gateway of the other address family";
  if (attributes.has(RTA_ENCAP_TYPE)) route.unknown = "an encapsulation";
  if (attributes.has(RTA_NEWDST)) route.unknown = "an MPLS label";
  NextHopNews hop;
  hop.index = index;
  hop.is_dead = (flags & RTNH_F_DEAD) != 0;
  if (const auto gateway = attributes.address(RTA_GATEWAY, family)) hop.gateway = *gateway;
  route.hops.push_back(hop);
}

bool read_hops(Bytes list, unsigned char family, RouteNews& route) {
  while (!list.empty()) {
    const auto hop = head_of<rtnexthop>(list);
    if (!hop || hop->rtnh_len < sizeof(rtnexthop) || hop->rtnh_len > list.size()) return false;
    Attributes attributes;
    if (!attributes.read(list.subspan(sizeof(rtnexthop), hop->rtnh_len - sizeof(rtnexthop)))) return false;
    read_hop(attributes, family, static_cast<unsigned>(hop->rtnh_ifindex), hop->rtnh_flags, route);
    list = behind(list, RTNH_ALIGN(hop->rtnh_len));
  }
  return true;
}

bool read_route(const nlmsghdr& header, Bytes payload, std::vector<KernelNews>& news) {
  const auto body = head_of<rtmsg>(payload);
  Attributes attributes;
  if (!body || !attributes.read(behind(payload, NLMSG_ALIGN(sizeof(rtmsg))))) return false;
  if (!is_known(body->rtm_family)) return true;
  RouteNews route;
  route.destination.address.family = body->rtm_family == AF_INET ? Family::kIpv4 : Family::kIpv6;
  route.destination.length = body->rtm_dst_len;
  if (body->rtm_dst_len > (body->rtm_family == AF_INET ? 32 : 128)) return false;
  if (const auto destination = attributes.address(RTA_DST, body->rtm_family)) {
    route.destination.address = *destination;
  } else if (body->rtm_dst_len != 0) {
    return false;
  }
  route.destination = network_of(route.destination);
  route.table = attributes.value<uint32_t>(RTA_TABLE).value_or(body->rtm_table);
  route.metric = attributes.value<uint32_t>(RTA_PRIORITY).value_or(0);
  route.protocol = body->rtm_protocol;
  route.type = type_of(body->rtm_type);
  route.is_gone = header.nlmsg_type == RTM_DELROUTE;
  route.replaces = (header.nlmsg_flags & NLM_F_REPLACE) != 0;
  route.goes_behind = (header.nlmsg_flags & NLM_F_APPEND) != 0;
  route.is_cached = (body->rtm_flags & RTM_F_CLONED) != 0;
  if (body->rtm_src_len != 0) route.unknown = "a source prefix";
  if (body->rtm_tos != 0) route.unknown = "a type of service";
  route.is_of_its_own = route.unknown != nullptr;
  if (route.type == RouteType::kUnicast) {
    if (attributes.has(RTA_MULTIPATH)) {
      if (!read_hops(attributes.bytes(RTA_MULTIPATH), body->rtm_family, route)) return false;
    } else {
      read_hop(attributes, body->rtm_family, attributes.value<uint32_t>(RTA_OIF).value_or(0), body->rtm_flags, route);
    }
  }
  news.emplace_back(std::move(route));
  return true;
}

bool read_message(const nlmsghdr& header, Bytes payload, std::vector<KernelNews>& news, NewsEnd& end) {
  switch (header.nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      return read_link(header, payload, news);
    case RTM_NEWADDR:
    case RTM_DELADDR:
      return read_address(header, payload, news);
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      return read_route(header, payload, news);
    case RTM_DELNEXTHOP:
      news.emplace_back(NextHopObjectGone{});
      return true;
    case NLMSG_DONE:
      end.is_done = true;
      end.error = -std::min(head_of<int32_t>(payload).value_or(0), 0);
      return true;
    case NLMSG_ERROR:
      if (const auto error = head_of<nlmsgerr>(payload)) {
        end.error = -error->error;
        end.is_done = true;
        return true;
      }
      return false;
    default:
      return true;
  }
}

}  // namespace

NewsEnd read_news(std::span<const uint8_t> datagram, uint32_t sequence, std::vector<KernelNews>& news) {
  NewsEnd end;
  while (!datagram.empty()) {
    const auto header = head_of<nlmsghdr>(datagram);
    if (!header || header->nlmsg_len < NLMSG_HDRLEN || header->nlmsg_len > datagram.size()) {
      end.is_malformed = true;
      return end;
    }
    const Bytes payload = datagram.subspan(NLMSG_HDRLEN, header->nlmsg_len - NLMSG_HDRLEN);
    datagram = behind(datagram, NLMSG_ALIGN(header->nlmsg_len));
    if (sequence != 0 && header->nlmsg_seq != sequence) continue;
    end.is_interrupted |= (header->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
    end.is_malformed |= !read_message(*header, payload, news, end);
  }
  return end;
}

std::string route_protocol_name(uint8_t protocol) {
  switch (protocol) {
    case RTPROT_REDIRECT:
      return "redirect";
    case RTPROT_KERNEL:
      return "kernel";
    case RTPROT_BOOT:
      return "boot";
    case RTPROT_STATIC:
      return "static";
    case RTPROT_RA:
      return "ra";
    case RTPROT_ZEBRA:
      return "zebra";
    case RTPROT_BIRD:
      return "bird";
    case RTPROT_DHCP:
      return "dhcp";
    case RTPROT_KEEPALIVED:
      return "keepalived";
    case RTPROT_BABEL:
      return "babel";
    case RTPROT_BGP:
      return "bgp";
    case RTPROT_ISIS:
      return "isis";
    case RTPROT_OSPF:
      return "ospf";
    case RTPROT_RIP:
      return "rip";
    case RTPROT_EIGRP:
      return "eigrp";
    default:
      return std::to_string(protocol);
  }
}

}  // namespace fulcrum
