// SPDX-License-Identifier: Apache-2.0
// Wire formats as offsets and packed structs; nothing here is aligned on the wire.
#pragma once

#include "net/address.h"

namespace fulcrum {

inline constexpr uint16_t kEtherTypeIpv4 = 0x0800;
inline constexpr uint16_t kEtherTypeArp = 0x0806;
inline constexpr uint16_t kEtherTypeVlan = 0x8100;
inline constexpr uint16_t kEtherTypeIpv6 = 0x86dd;

inline constexpr unsigned kEthernetBytes = 14;
inline constexpr unsigned kVlanBytes = 4;
inline constexpr unsigned kIpv4Bytes = 20;
inline constexpr unsigned kTcpBytes = 20;
inline constexpr unsigned kUdpBytes = 8;
inline constexpr unsigned kIcmpBytes = 8;

#pragma pack(push, 1)
struct Ipv4Header {
  uint8_t version_ihl;
  uint8_t tos;
  be16 total_length;
  be16 id;
  be16 fragment;  // flags and offset
  uint8_t ttl;
  uint8_t protocol;
  be16 checksum;
  be32 source;
  be32 destination;

  unsigned header_bytes() const { return (version_ihl & 0x0fu) * 4u; }
};
static_assert(sizeof(Ipv4Header) == kIpv4Bytes);

inline constexpr uint16_t kIpv4DontFragment = 0x4000;
inline constexpr uint16_t kIpv4MoreFragments = 0x2000;
inline constexpr uint16_t kIpv4OffsetMask = 0x1fff;

struct TcpHeader {
  be16 source_port;
  be16 destination_port;
  be32 sequence;
  be32 acknowledgement;
  uint8_t data_offset;
  uint8_t flags;
  be16 window;
  be16 checksum;
  be16 urgent;
};
static_assert(sizeof(TcpHeader) == kTcpBytes);

struct UdpHeader {
  be16 source_port;
  be16 destination_port;
  be16 length;
  be16 checksum;
};
static_assert(sizeof(UdpHeader) == kUdpBytes);

struct IcmpHeader {
  uint8_t type;
  uint8_t code;
  be16 checksum;
  be16 rest_high;
  be16 rest_low;  // next-hop MTU of "fragmentation needed" (RFC 1191 section 4)
};
static_assert(sizeof(IcmpHeader) == kIcmpBytes);

inline constexpr uint8_t kIcmpEchoReply = 0, kIcmpUnreachable = 3, kIcmpSourceQuench = 4, kIcmpEchoRequest = 8,
                         kIcmpTimeExceeded = 11;
inline constexpr uint8_t kUnreachableHost = 1, kUnreachableProtocol = 2, kUnreachablePort = 3,
                         kUnreachableFragmentation = 4, kUnreachableNet = 0;

// RFC 826, for IPv4 over Ethernet.
struct ArpPacket {
  be16 hardware_type;
  be16 protocol_type;
  uint8_t hardware_length;
  uint8_t protocol_length;
  be16 operation;
  MacAddress sender_mac;
  be32 sender_address;
  MacAddress target_mac;
  be32 target_address;
};
static_assert(sizeof(ArpPacket) == 28);
inline constexpr uint16_t kArpRequest = 1, kArpReply = 2;
#pragma pack(pop)

}  // namespace fulcrum
