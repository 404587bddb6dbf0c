// SPDX-License-Identifier: Apache-2.0
// The Internet checksum: whole (RFC 1071) and updated for a change (RFC 1624). Sums are of 16-bit words as they lie in
// memory; one's complement addition gives the same bytes in either byte order (RFC 1071 section 2(B)). A sum that is 0
// mod 0xffff is kept as 0xffff, never 0, so that a checksum is never 0xffff, as in LVS's kernel.
#pragma once

#include <cstddef>

#include "net/flow_key.h"

namespace fulcrum {

// Adds the bytes to `sum`. When a buffer comes in pieces, all but the last must have an even size.
inline uint64_t add_to_sum(uint64_t sum, const void* data, size_t size) {
  const auto* at = static_cast<const uint8_t*>(data);
  for (; size >= 8; at += 8, size -= 8) {
    const auto words = load_unaligned<uint64_t>(at);
    sum += (words & 0xffffffff) + (words >> 32);
  }
  if (size >= 4) sum += load_unaligned<uint32_t>(at), at += 4, size -= 4;
  if (size >= 2) sum += load_unaligned<uint16_t>(at), at += 2, size -= 2;
  if (size != 0) sum += *at;  // the missing byte counts as zero (RFC 1071 section 4.1)
  return sum;
}

// One's complement: 2^16 = 1 mod 0xffff. Only a sum of 0 gives 0.
constexpr uint16_t fold_sum(uint64_t sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

constexpr be16 complement_sum(uint64_t sum) { return be16{static_cast<uint16_t>(~fold_sum(sum))}; }

// The checksum of an IPv4 header or an ICMP message whose checksum field is zero.
inline be16 internet_checksum(const void* data, size_t size) { return complement_sum(add_to_sum(0, data, size)); }

// Summed with its checksum field, correct data gives "all ones" (RFC 1071 section 1 (3)).
inline bool checksum_holds(const void* data, size_t size) { return fold_sum(add_to_sum(0, data, size)) == 0xffff; }

constexpr uint64_t address_sum(be32 address) { return address.raw; }
constexpr uint64_t address_sum(const Ipv6Address& address) {
  return (address.high & 0xffffffff) + (address.high >> 32) + (address.low & 0xffffffff) + (address.low >> 32);
}

// RFC 9293 section 3.1 and RFC 768 for IPv4, RFC 8200 section 8.1 for IPv6. `size`: transport header and payload.
template <typename AnyAddress>
constexpr uint64_t pseudo_header_sum(const AnyAddress& source, const AnyAddress& destination, IpProtocol protocol,
                                     size_t size) {
  return address_sum(source) + address_sum(destination) + be32::from_host(static_cast<uint32_t>(size)).raw +
         be16::from_host(static_cast<uint16_t>(protocol)).raw;
}

// The checksum of a TCP segment, UDP datagram or ICMPv6 message in one piece whose checksum field is zero.
// For UDP pass the result through udp_on_wire().
template <typename AnyAddress>
be16 transport_checksum(const AnyAddress& source, const AnyAddress& destination, IpProtocol protocol, const void* data,
                        size_t size) {
  return complement_sum(add_to_sum(pseudo_header_sum(source, destination, protocol, size), data, size));
}

// RFC 768: "If the computed checksum is zero, it is transmitted as all ones"; a zero on the wire means "none".
constexpr be16 udp_on_wire(be16 computed) { return computed.raw == 0 ? be16{0xffff} : computed; }

// What a change of header fields does to a checksum over them: HC' = ~(~HC + ~m + m') (RFC 1624 equation 3), with all
// ~m + m' added up and folded once, so that a connection can keep the result and a packet costs two additions.
class ChecksumDelta {
 public:
  constexpr ChecksumDelta() = default;

  constexpr ChecksumDelta& replace(be16 from, be16 to) { return add(static_cast<uint16_t>(~from.raw), to.raw); }
  constexpr ChecksumDelta& replace(be32 from, be32 to) { return add(~from.raw, to.raw); }
  constexpr ChecksumDelta& replace(const Ipv6Address& from, const Ipv6Address& to) {
    return add(address_sum({~from.high, ~from.low}), address_sum(to));
  }

  // In 1…0xffff.
  constexpr uint16_t folded() const { return folded_; }
  static constexpr ChecksumDelta from_folded(uint16_t folded) {
    ChecksumDelta delta;
    delta.folded_ = folded;
    return delta;
  }

  // 0x0000 and 0xffff mean the same here and give the same result, which is never 0xffff.
  constexpr be16 apply(be16 checksum) const {
    const uint32_t sum = uint32_t{static_cast<uint16_t>(~checksum.raw)} + folded_;
    return be16{static_cast<uint16_t>(~(sum + (sum >> 16)))};
  }
  // For a UDP checksum that is not "none".
  constexpr be16 apply_udp(be16 checksum) const { return udp_on_wire(apply(checksum)); }

 private:
  constexpr ChecksumDelta& add(uint64_t complement_of_old, uint64_t replacement) {
    folded_ = fold_sum(complement_of_old + replacement + folded_);
    return *this;
  }

  uint16_t folded_ = 0xffff;  // no change: 0 mod 0xffff
};
static_assert(sizeof(ChecksumDelta) == 2);

// The IPv4 header checksum after TTL - 1. The TTL is the first byte of its word, so the sum falls by 1 as it lies in
// memory and the checksum rises by 1.
constexpr be16 checksum_after_ttl_decrement(be16 checksum) {
  const uint32_t sum = uint32_t{checksum.raw} + 1;
  return be16{static_cast<uint16_t>(sum + (sum >= 0xffff))};
}

}  // namespace fulcrum
