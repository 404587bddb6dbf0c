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
inline constexpr unsigned kIpv6Bytes = 40;
inline constexpr unsigned kTcpBytes = 20;
inline constexpr unsigned kUdpBytes = 8;
inline constexpr unsigned kIcmpBytes = 8;
inline constexpr unsigned kIcmpv6Bytes = 8;
inline constexpr unsigned kSctpBytes = 12;
inline constexpr unsigned kIpv6FragmentBytes = 8;
inline constexpr unsigned kGreBytes = 4;
inline constexpr unsigned kGreChecksumBytes = 8;
inline constexpr unsigned kGueBytes = 4;
inline constexpr unsigned kMacBytes = 6;

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

// RFC 8200 section 3.
struct Ipv6Header {
  be32 version_class_flow;
  be16 payload_length;
  uint8_t next_header;
  uint8_t hop_limit;
  Ipv6Address source;
  Ipv6Address destination;

  unsigned version() const { return version_class_flow.host() >> 28; }
  uint8_t traffic_class() const { return static_cast<uint8_t>(version_class_flow.host() >> 20); }
  uint32_t flow_label() const { return version_class_flow.host() & 0xfffff; }
  unsigned total_length() const { return kIpv6Bytes + payload_length.host(); }
};
static_assert(sizeof(Ipv6Header) == kIpv6Bytes);

// Hop-by-Hop Options, Routing and Destination Options begin alike (RFC 8200 sections 4.3, 4.4, 4.6).
struct Ipv6ExtensionHeader {
  uint8_t next_header;
  uint8_t length;  // in units of 8 bytes, without the first 8

  unsigned header_bytes() const { return (length + 1u) * 8u; }
};
static_assert(sizeof(Ipv6ExtensionHeader) == 2);

// RFC 8200 section 4.5.
struct Ipv6FragmentHeader {
  uint8_t next_header;
  uint8_t reserved;
  be16 offset_more;  // the offset is in bytes, once the low three bits are masked
  be32 id;
};
static_assert(sizeof(Ipv6FragmentHeader) == kIpv6FragmentBytes);

inline constexpr uint16_t kIpv6MoreFragments = 0x0001;
inline constexpr uint16_t kIpv6OffsetMask = 0xfff8;
inline constexpr unsigned kIpv6LeastMtu = 1280;  // RFC 8200 section 5
inline constexpr unsigned kIpv4LeastMtu = 68;    // RFC 791 section 3.2

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

// RFC 9260 section 3.1.
struct SctpHeader {
  be16 source_port;
  be16 destination_port;
  be32 verification_tag;
  uint32_t checksum;  // CRC32c, the one field of the wire that is little-endian (RFC 9260 appendix A)
};
static_assert(sizeof(SctpHeader) == kSctpBytes);

// RFC 9260 section 3.2.
struct SctpChunkHeader {
  uint8_t type;
  uint8_t flags;
  be16 length;
};
static_assert(sizeof(SctpChunkHeader) == 4);

// RFC 4443 section 2.1.
struct Icmpv6Header {
  uint8_t type;
  uint8_t code;
  be16 checksum;
  be32 rest;  // MTU of "packet too big", pointer of "parameter problem"
};
static_assert(sizeof(Icmpv6Header) == kIcmpv6Bytes);

inline constexpr uint8_t kIcmpv6Unreachable = 1, kIcmpv6PacketTooBig = 2, kIcmpv6TimeExceeded = 3,
                         kIcmpv6ParameterProblem = 4, kIcmpv6EchoRequest = 128, kIcmpv6EchoReply = 129,
                         kIcmpv6RouterSolicitation = 133, kIcmpv6RouterAdvertisement = 134,
                         kIcmpv6NeighborSolicitation = 135, kIcmpv6NeighborAdvertisement = 136, kIcmpv6Redirect = 137;
// Types below are errors (RFC 4443 section 2.1).
inline constexpr uint8_t kIcmpv6FirstInformational = 128;
inline constexpr uint8_t kIcmpv6NoRoute = 0, kIcmpv6Prohibited = 1, kIcmpv6AddressUnreachable = 3,
                         kIcmpv6PortUnreachable = 4;
// Time exceeded: the hop limit, or reassembly. The same for ICMP (RFC 792).
inline constexpr uint8_t kExceededInTransit = 0, kExceededInReassembly = 1;

// Neighbor Solicitation and Neighbor Advertisement (RFC 4861 sections 4.3 and 4.4); options follow.
struct NeighborMessage {
  uint8_t type;
  uint8_t code;
  be16 checksum;
  be32 flags;  // of an advertisement
  Ipv6Address target;
};
static_assert(sizeof(NeighborMessage) == 24);

inline constexpr uint32_t kAdvertisementRouter = 0x80000000, kAdvertisementSolicited = 0x40000000,
                          kAdvertisementOverride = 0x20000000;

// Source or Target Link-Layer Address (RFC 4861 section 4.6.1) over Ethernet (RFC 2464 section 6).
struct LinkLayerAddressOption {
  uint8_t type;
  uint8_t length;  // in units of 8 bytes
  MacAddress mac;
};
static_assert(sizeof(LinkLayerAddressOption) == 8);
inline constexpr uint8_t kOptionSourceLinkLayer = 1, kOptionTargetLinkLayer = 2;

// RFC 2784, without and with the optional words that the C bit announces.
struct GreHeader {
  be16 flags_version;
  be16 protocol;  // an EtherType
};
static_assert(sizeof(GreHeader) == kGreBytes);
struct GreChecksumHeader {
  GreHeader base;
  be16 checksum;
  be16 reserved;
};
static_assert(sizeof(GreChecksumHeader) == kGreChecksumBytes);
inline constexpr uint16_t kGreChecksumPresent = 0x8000;

// Generic UDP Encapsulation, variant 0 (draft-ietf-intarea-gue-09 section 3).
struct GueHeader {
  uint8_t version_control_length;  // 2, 1 and 5 bits; the length counts words of 4 bytes behind these first 4
  uint8_t protocol;
  be16 flags;
};
static_assert(sizeof(GueHeader) == kGueBytes);

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
