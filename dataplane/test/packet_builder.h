// SPDX-License-Identifier: Apache-2.0
// Frames for tests, said in one line: tcp("198.51.100.1:1000", "192.0.2.1:80", "S").ttl(1).frame(). What is not said
// has a fixed value (those of the conformance scenarios). Checksums come from slow code of its own, so that a mistake
// in net/checksum.h cannot hide here. Bad arguments throw std::invalid_argument.
#pragma once

#include <algorithm>
#include <charconv>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/address.h"

namespace fulcrum::test {

using Bytes = std::vector<uint8_t>;

// Spaces may stand between bytes.
inline Bytes from_hex(std::string_view hex) {
  Bytes bytes;
  while (!hex.empty()) {
    if (hex[0] == ' ') {
      hex.remove_prefix(1);
      continue;
    }
    unsigned value = 0;
    const auto [end, error] = std::from_chars(hex.data(), hex.data() + std::min<size_t>(2, hex.size()), value, 16);
    if (error != std::errc{} || end != hex.data() + 2) throw std::invalid_argument("no hex: " + std::string(hex));
    bytes.push_back(static_cast<uint8_t>(value));
    hex.remove_prefix(2);
  }
  return bytes;
}

inline std::string to_hex(const Bytes& bytes) {
  std::string hex;
  for (const uint8_t byte : bytes) {
    hex += "0123456789abcdef"[byte >> 4];
    hex += "0123456789abcdef"[byte & 15];
  }
  return hex;
}

inline void put(Bytes& bytes, const Bytes& more) { bytes.insert(bytes.end(), more.begin(), more.end()); }
inline void put8(Bytes& bytes, unsigned value) { bytes.push_back(static_cast<uint8_t>(value)); }
inline void put16(Bytes& bytes, unsigned value) {
  put8(bytes, value >> 8 & 0xff);
  put8(bytes, value & 0xff);
}
inline void put32(Bytes& bytes, uint32_t value) {
  put16(bytes, value >> 16);
  put16(bytes, value & 0xffff);
}
inline unsigned get16(const Bytes& bytes, size_t at) { return static_cast<unsigned>(bytes[at] << 8 | bytes[at + 1]); }
inline void set16(Bytes& bytes, size_t at, unsigned value) {
  bytes.at(at) = static_cast<uint8_t>(value >> 8);
  bytes.at(at + 1) = static_cast<uint8_t>(value);
}

// RFC 1071 by its words: the one's complement of the one's complement sum, word after word in network order.
inline unsigned slow_checksum(const Bytes& bytes) {
  unsigned sum = 0;
  for (size_t i = 0; i < bytes.size(); i += 2) {
    sum += static_cast<unsigned>(bytes[i] << 8) + (i + 1 < bytes.size() ? bytes[i + 1] : 0u);
    if (sum > 0xffff) sum = sum - 0x10000 + 1;
  }
  return ~sum & 0xffff;
}

inline Bytes address_bytes(const Address& address) {
  const size_t size = address.family == Family::kIpv4 ? 4 : 16;
  return Bytes(address.bytes.begin(), address.bytes.begin() + static_cast<std::ptrdiff_t>(size));
}

inline Bytes pseudo_header(const Address& source, const Address& destination, unsigned protocol, size_t size) {
  Bytes bytes = address_bytes(source);
  put(bytes, address_bytes(destination));
  if (source.family == Family::kIpv4) {
    put16(bytes, protocol);
    put16(bytes, static_cast<unsigned>(size));
  } else {
    put32(bytes, static_cast<uint32_t>(size));
    put32(bytes, protocol);
  }
  return bytes;
}

// "192.0.2.1", "192.0.2.1:80", "2001:db8::1" or "[2001:db8::1]:80".
struct Endpoint {
  Address address;
  unsigned port = 0;

  Endpoint(const char* text) : Endpoint(std::string_view(text)) {}
  Endpoint(const std::string& text) : Endpoint(std::string_view(text)) {}
  Endpoint(std::string_view text) {
    std::string_view host = text, digits;
    if (!text.empty() && text[0] == '[') {
      const size_t end = std::min(text.find(']'), text.size() - 1);
      host = text.substr(1, end - 1);
      digits = text.substr(std::min(end + 2, text.size()));
    } else if (std::count(text.begin(), text.end(), ':') == 1) {
      host = text.substr(0, text.find(':'));
      digits = text.substr(text.find(':') + 1);
    }
    const auto parsed = Address::parse(host);
    if (!parsed) throw std::invalid_argument("no address: " + std::string(text));
    address = *parsed;
    if (!digits.empty()) port = static_cast<unsigned>(std::stoul(std::string(digits)));
    if (port > 0xffff) throw std::invalid_argument("no port: " + std::string(text));
  }
};

inline Bytes mac_bytes(std::string_view text) {
  const auto mac = parse_mac(text);
  if (!mac) throw std::invalid_argument("no MAC address: " + std::string(text));
  return Bytes(mac->begin(), mac->end());
}

class PacketBuilder {
 public:
  PacketBuilder(const Endpoint& source, const Endpoint& destination, unsigned protocol)
      : source_(source), destination_(destination), protocol_(protocol) {
    if (source.address.family != destination.address.family) throw std::invalid_argument("two address families");
  }

  // Ethernet. By default from the clients' gateway to the director, untagged.
  PacketBuilder& mac(std::string_view source, std::string_view destination) {
    source_mac_ = mac_bytes(source);
    destination_mac_ = mac_bytes(destination);
    return *this;
  }
  // May be repeated, the outermost first.
  PacketBuilder& vlan(unsigned id, unsigned priority = 0) {
    return put16(tags_, 0x8100), put16(tags_, priority << 13 | id), *this;
  }
  // Ethernet padding behind the packet, up to a frame of this size.
  PacketBuilder& pad_to(size_t size) { return pad_to_ = size, *this; }

  // IP
  PacketBuilder& ttl(unsigned value) { return ttl_ = value, *this; }
  PacketBuilder& tos(unsigned value) { return tos_ = value, *this; }
  PacketBuilder& id(unsigned value) { return id_ = value, *this; }
  PacketBuilder& dont_fragment(bool value) {
    return fragment_word_ = (fragment_word_ & ~0x4000u) | (value ? 0x4000 : 0), *this;
  }
  // This packet's payload as a piece of a datagram; see also fragments().
  PacketBuilder& fragment(unsigned offset_bytes, bool more) {
    return fragment_word_ = offset_bytes / 8 | (more ? 0x2000u : 0), is_fragment_ = true, *this;
  }
  // IPv6: one more extension header of this type, given from its second byte on.
  PacketBuilder& extension(unsigned type, std::string_view hex) {
    return extensions_.emplace_back(type, from_hex(hex)), *this;
  }
  PacketBuilder& ip_options(std::string_view hex) { return ip_options_ = from_hex(hex), *this; }
  PacketBuilder& bad_ip_checksum() { return ip_checksum_error_ = 0x0101, *this; }
  // As the header says it, whatever follows: IPv4's total length, IPv6's payload length.
  PacketBuilder& total_length(unsigned value) { return total_length_ = value, *this; }

  // Transport
  PacketBuilder& sequence(uint32_t value) { return sequence_ = value, *this; }
  PacketBuilder& acknowledgement(uint32_t value) { return acknowledgement_ = value, *this; }
  PacketBuilder& window(unsigned value) { return window_ = value, *this; }
  PacketBuilder& urgent(unsigned value) { return urgent_ = value, *this; }
  PacketBuilder& tcp_options(std::string_view hex) { return tcp_options_ = from_hex(hex), *this; }
  PacketBuilder& payload(std::string_view text) { return payload_.assign(text.begin(), text.end()), *this; }
  PacketBuilder& payload(Bytes bytes) { return payload_ = std::move(bytes), *this; }
  // Byte i is 7i + 1.
  PacketBuilder& payload_size(size_t size) {
    payload_.clear();
    while (payload_.size() < size) put8(payload_, (payload_.size() * 7 + 1) & 0xff);
    return *this;
  }
  PacketBuilder& checksum(unsigned value) { return checksum_ = value, *this; }
  PacketBuilder& bad_checksum() { return checksum_error_ = 0x0101, *this; }
  // UDP: none.
  PacketBuilder& zero_checksum() { return checksum(0); }

  // From the IP header on.
  Bytes packet() const { return ip_header(transport()); }
  // From the Ethernet header on.
  Bytes frame() const { return framed(packet(), ether_type()); }
  // The frames of this packet in pieces of at most `size` bytes of IP payload.
  std::vector<Bytes> fragments(size_t size) const {
    if (size == 0 || size % 8 != 0) throw std::invalid_argument("a fragment's size is a multiple of 8");
    const Bytes whole = transport();
    std::vector<Bytes> frames;
    for (size_t at = 0; at < whole.size(); at += size) {
      const auto begin = whole.begin() + static_cast<std::ptrdiff_t>(at);
      const size_t length = std::min(size, whole.size() - at);
      PacketBuilder piece = *this;
      piece.fragment(static_cast<unsigned>(at), at + length < whole.size());
      frames.push_back(
          framed(piece.ip_header(Bytes(begin, begin + static_cast<std::ptrdiff_t>(length))), ether_type()));
    }
    return frames;
  }

 private:
  friend PacketBuilder tcp(const Endpoint&, const Endpoint&, std::string_view);
  friend PacketBuilder icmp(const Endpoint&, const Endpoint&, unsigned, unsigned, uint32_t);

  unsigned ether_type() const { return source_.address.family == Family::kIpv4 ? 0x0800 : 0x86dd; }

  // The extension headers, and what the header before them says of the first.
  std::pair<Bytes, unsigned> extension_headers() const {
    auto list = extensions_;
    if (is_fragment_) {
      Bytes fragment;
      put8(fragment, 0);
      put16(fragment, (fragment_word_ & 0x1fff) << 3 | (fragment_word_ >> 13 & 1));
      put32(fragment, id_);
      list.emplace_back(44, fragment);
    }
    Bytes bytes;
    for (size_t i = 0; i < list.size(); ++i) {
      put8(bytes, i + 1 < list.size() ? list[i + 1].first : protocol_);
      put(bytes, list[i].second);
    }
    return {bytes, list.empty() ? protocol_ : list[0].first};
  }

  Bytes framed(const Bytes& packet, unsigned type) const {
    Bytes bytes = destination_mac_;
    put(bytes, source_mac_);
    put(bytes, tags_);
    put16(bytes, type);
    put(bytes, packet);
    if (bytes.size() < pad_to_) bytes.resize(pad_to_);
    return bytes;
  }

  Bytes ip_header(const Bytes& content) const {
    Bytes bytes;
    if (source_.address.family == Family::kIpv6) {
      const auto [extensions, next_header] = extension_headers();
      put32(bytes, 0x60000000 | tos_ << 20);
      put16(bytes, total_length_.value_or(static_cast<unsigned>(extensions.size() + content.size())));
      put8(bytes, next_header);
      put8(bytes, ttl_);
      put(bytes, address_bytes(source_.address));
      put(bytes, address_bytes(destination_.address));
      put(bytes, extensions);
    } else {
      const size_t header = 20 + ip_options_.size();
      put8(bytes, static_cast<unsigned>(0x40 | header / 4));
      put8(bytes, tos_);
      put16(bytes, total_length_.value_or(static_cast<unsigned>(header + content.size())));
      put16(bytes, id_);
      put16(bytes, fragment_word_);
      put8(bytes, ttl_);
      put8(bytes, protocol_);
      put16(bytes, 0);
      put(bytes, address_bytes(source_.address));
      put(bytes, address_bytes(destination_.address));
      put(bytes, ip_options_);
      set16(bytes, 10, slow_checksum(bytes) ^ ip_checksum_error_);
    }
    put(bytes, content);
    return bytes;
  }

  Bytes transport() const {
    switch (protocol_) {
      case 6:
        return tcp_segment();
      case 17:
        return udp_datagram();
      case 1:
      case 58:
        return icmp_message();
      default:
        return payload_;
    }
  }

  Bytes tcp_segment() const {
    Bytes bytes;
    put16(bytes, source_.port);
    put16(bytes, destination_.port);
    put32(bytes, sequence_);
    put32(bytes, acknowledgement_);
    put8(bytes, static_cast<unsigned>((20 + tcp_options_.size()) / 4 << 4));
    put8(bytes, tcp_flags_);
    put16(bytes, window_);
    put16(bytes, 0);
    put16(bytes, urgent_);
    put(bytes, tcp_options_);
    put(bytes, payload_);
    return with_checksum(bytes, 16, true);
  }

  Bytes udp_datagram() const {
    Bytes bytes;
    put16(bytes, source_.port);
    put16(bytes, destination_.port);
    put16(bytes, static_cast<unsigned>(8 + payload_.size()));
    put16(bytes, 0);
    put(bytes, payload_);
    return with_checksum(bytes, 6, true);
  }

  Bytes icmp_message() const {
    Bytes bytes;
    put16(bytes, icmp_type_ << 8 | icmp_code_);
    put16(bytes, 0);
    put32(bytes, icmp_rest_);
    put(bytes, payload_);
    return with_checksum(bytes, 2, protocol_ == 58);
  }

  Bytes with_checksum(Bytes bytes, size_t at, bool has_pseudo_header) const {
    Bytes summed;
    if (has_pseudo_header) summed = pseudo_header(source_.address, destination_.address, protocol_, bytes.size());
    put(summed, bytes);
    unsigned value = slow_checksum(summed);
    if (protocol_ == 17 && value == 0) value = 0xffff;
    set16(bytes, at, checksum_.value_or(value) ^ checksum_error_);
    return bytes;
  }

  Bytes source_mac_ = mac_bytes("02:00:00:00:01:fe"), destination_mac_ = mac_bytes("02:00:00:00:01:01"), tags_;
  size_t pad_to_ = 0;
  Endpoint source_, destination_;
  unsigned protocol_;
  unsigned ttl_ = 64, tos_ = 0, id_ = 0x1234, fragment_word_ = 0x4000, ip_checksum_error_ = 0;
  bool is_fragment_ = false;
  std::optional<unsigned> total_length_;
  std::vector<std::pair<unsigned, Bytes>> extensions_;
  Bytes ip_options_, tcp_options_, payload_;
  uint32_t sequence_ = 1000, acknowledgement_ = 0, icmp_rest_ = 0;
  unsigned tcp_flags_ = 0, window_ = 8192, urgent_ = 0, icmp_type_ = 0, icmp_code_ = 0, checksum_error_ = 0;
  std::optional<unsigned> checksum_;
};

// `flags`: letters of FSRPAUEC.
inline PacketBuilder tcp(const Endpoint& source, const Endpoint& destination, std::string_view flags) {
  PacketBuilder builder(source, destination, 6);
  for (const char flag : flags) {
    const size_t bit = std::string_view("FSRPAUEC").find(flag);
    if (bit == std::string_view::npos) throw std::invalid_argument("no TCP flags: " + std::string(flags));
    builder.tcp_flags_ |= 1u << bit;
  }
  return builder;
}

inline PacketBuilder udp(const Endpoint& source, const Endpoint& destination) { return {source, destination, 17}; }

// `rest`: bytes 4 to 7 of the message. ICMP for IPv4 addresses, ICMPv6 for IPv6.
inline PacketBuilder icmp(const Endpoint& source, const Endpoint& destination, unsigned type, unsigned code,
                          uint32_t rest = 0) {
  PacketBuilder builder(source, destination, source.address.family == Family::kIpv4 ? 1 : 58);
  builder.icmp_type_ = type;
  builder.icmp_code_ = code;
  builder.icmp_rest_ = rest;
  return builder.dont_fragment(false);
}

inline PacketBuilder echo_request(const Endpoint& source, const Endpoint& destination, unsigned identifier = 1,
                                  unsigned number = 0) {
  const bool ipv4 = source.address.family == Family::kIpv4;
  return icmp(source, destination, ipv4 ? 8 : 128, 0, static_cast<uint32_t>(identifier << 16 | number));
}

// An error about `inner` (from its IP header on), quoting its first `quoted` bytes: the IPv4 header and 8 bytes unless
// said otherwise. `rest` is the MTU of a "fragmentation needed".
inline PacketBuilder icmp_error(const Endpoint& source, const Endpoint& destination, unsigned type, unsigned code,
                                Bytes inner, uint32_t rest = 0, std::optional<size_t> quoted = std::nullopt) {
  const size_t wanted = quoted.value_or((inner.at(0) & 15u) * 4u + 8u);
  inner.resize(std::min(inner.size(), wanted));
  return icmp(source, destination, type, code, rest).id(0x4321).payload(std::move(inner));
}

inline PacketBuilder ipip(const Endpoint& source, const Endpoint& destination, Bytes inner) {
  return PacketBuilder(source, destination, inner.at(0) >> 4 == 4 ? 4 : 41).payload(std::move(inner));
}

// To UDP port 6080 unless `destination` says another; RFC 2784 with the C bit if `with_checksum`.
inline PacketBuilder gue(const Endpoint& source, const Endpoint& destination, const Bytes& inner) {
  Bytes content = {0, static_cast<uint8_t>(inner.at(0) >> 4 == 4 ? 4 : 41), 0, 0};
  put(content, inner);
  Endpoint to = destination;
  if (to.port == 0) to.port = 6080;
  return udp(source, to).payload(std::move(content));
}
inline PacketBuilder gre(const Endpoint& source, const Endpoint& destination, const Bytes& inner,
                         bool with_checksum = false) {
  Bytes content = from_hex(with_checksum ? "8000" : "0000");
  put16(content, inner.at(0) >> 4 == 4 ? 0x0800 : 0x86dd);
  if (with_checksum) put32(content, 0);
  put(content, inner);
  if (with_checksum) set16(content, 4, slow_checksum(content));
  return PacketBuilder(source, destination, 47).payload(std::move(content));
}

// RFC 9260 appendix A, bit by bit.
inline uint32_t slow_crc32c(const Bytes& bytes) {
  uint32_t crc = 0xffffffff;
  for (const uint8_t byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ ((crc & 1) != 0 ? 0x82f63b78u : 0u);
  }
  return ~crc;
}

inline PacketBuilder sctp(const Endpoint& source, const Endpoint& destination, uint32_t verification_tag,
                          std::string_view chunks) {
  Bytes content;
  put16(content, source.port);
  put16(content, destination.port);
  put32(content, verification_tag);
  put32(content, 0);
  put(content, from_hex(chunks));
  const uint32_t crc = slow_crc32c(content);
  for (unsigned i = 0; i < 4; ++i) content[8 + i] = static_cast<uint8_t>(crc >> 8 * i);
  return PacketBuilder(source, destination, 132).payload(std::move(content));
}

// RFC 4861: a solicitation (135) or advertisement (136), its flags and options. On the wire by `mac()` of the builder.
inline PacketBuilder neighbor_message(const Endpoint& source, const Endpoint& destination, unsigned type,
                                      const Endpoint& target, uint32_t flags = 0, std::string_view options = "") {
  Bytes content = address_bytes(target.address);
  put(content, from_hex(options));
  return icmp(source, destination, type, 0, flags).ttl(255).payload(std::move(content));
}

// RFC 826. The frame goes from `sender_mac` to `to`; a request's unknown target is all zero.
inline Bytes arp(unsigned operation, std::string_view sender_mac, const Endpoint& sender, std::string_view target_mac,
                 const Endpoint& target, std::string_view to, unsigned vlan = 0) {
  Bytes bytes = mac_bytes(to);
  put(bytes, mac_bytes(sender_mac));
  if (vlan != 0) put32(bytes, 0x81000000 | vlan);
  put16(bytes, 0x0806);
  put(bytes, {0, 1, 8, 0, 6, 4});
  put16(bytes, operation);
  put(bytes, mac_bytes(sender_mac));
  put(bytes, address_bytes(sender.address));
  put(bytes, mac_bytes(target_mac));
  put(bytes, address_bytes(target.address));
  return bytes;
}

inline Bytes arp_request(std::string_view sender_mac, const Endpoint& sender, const Endpoint& target,
                         unsigned vlan = 0) {
  return arp(1, sender_mac, sender, "00:00:00:00:00:00", target, "ff:ff:ff:ff:ff:ff", vlan);
}

inline Bytes arp_reply(std::string_view sender_mac, const Endpoint& sender, std::string_view target_mac,
                       const Endpoint& target, unsigned vlan = 0) {
  return arp(2, sender_mac, sender, target_mac, target, target_mac, vlan);
}

}  // namespace fulcrum::test
