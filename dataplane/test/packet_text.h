// SPDX-License-Identifier: Apache-2.0
// A frame as one line of text, for failure messages: addresses, header fields, whether each checksum holds, quoted and
// encapsulated packets in braces. Takes any bytes.
#pragma once

#include <cstdio>

#include "test/packet_builder.h"

namespace fulcrum::test {

std::string packet_text(const Bytes& packet);

namespace packet_text_parts {

template <typename... Arguments>
std::string format(const char* pattern, Arguments... arguments) {
  char text[200];
  std::snprintf(text, sizeof text, pattern, arguments...);
  return text;
}

inline Bytes slice(const Bytes& bytes, size_t from, size_t size = SIZE_MAX) {
  from = std::min(from, bytes.size());
  size = std::min(size, bytes.size() - from);
  const auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(from);
  return Bytes(begin, begin + static_cast<std::ptrdiff_t>(size));
}

inline uint32_t get32(const Bytes& bytes, size_t at) { return get16(bytes, at) << 16 | get16(bytes, at + 2); }

inline Address address_at(const Bytes& bytes, size_t at, Family family) {
  Address address;
  address.family = family;
  std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), family == Family::kIpv4 ? 4 : 16, address.bytes.begin());
  return address;
}

inline std::string mac_at(const Bytes& bytes, size_t at) {
  MacAddress mac;
  std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), mac.size(), mac.begin());
  return mac_text(mac);
}

inline std::string payload_text(const Bytes& payload) {
  if (payload.empty()) return "";
  const std::string hex = to_hex(slice(payload, 0, 16));
  return format(" payload %zu: ", payload.size()) + hex + (payload.size() > 16 ? "..." : "");
}

inline std::string checksum_text(Bytes summed, const Bytes& bytes, unsigned given) {
  put(summed, bytes);
  return slow_checksum(summed) == 0 ? "" : format(" sum %04x BAD", given);
}

inline std::string tcp_text(const Bytes& bytes, const Bytes& pseudo, bool whole) {
  if (bytes.size() < 4) return "TCP truncated";
  std::string text = format("TCP %u>%u", get16(bytes, 0), get16(bytes, 2));
  if (bytes.size() < 20) return text + " truncated";
  std::string flags;
  for (unsigned bit = 0; bit < 8; ++bit)
    if (bytes[13] >> bit & 1) flags += "FSRPAUEC"[bit];
  text += " [" + flags + "]" + format(" seq %u ack %u win %u", get32(bytes, 4), get32(bytes, 8), get16(bytes, 14));
  if (get16(bytes, 18) != 0) text += format(" urg %u", get16(bytes, 18));
  const size_t header = (bytes[12] >> 4) * 4u;
  if (header > 20) text += " opts " + to_hex(slice(bytes, 20, header - 20));
  if (whole) text += checksum_text(pseudo, bytes, get16(bytes, 16));
  return text + payload_text(slice(bytes, header));
}

inline std::string braced(const Bytes& packet) { return " {" + packet_text(packet) + "}"; }

// Variant 0 without control, flags or options, by its usual port.
inline bool is_gue(const Bytes& datagram) {
  return datagram.size() >= 12 && get16(datagram, 2) == 6080 && datagram[8] == 0 && get16(datagram, 10) == 0 &&
         (datagram[9] == 4 || datagram[9] == 41);
}

inline std::string udp_text(const Bytes& bytes, const Bytes& pseudo, bool whole) {
  if (bytes.size() < 8) return "UDP truncated";
  std::string text = format("UDP %u>%u", get16(bytes, 0), get16(bytes, 2));
  if (get16(bytes, 4) != bytes.size()) text += format(" len %u", get16(bytes, 4));
  if (get16(bytes, 6) == 0)
    text += " sum none";
  else if (whole)
    text += checksum_text(pseudo, bytes, get16(bytes, 6));
  if (is_gue(bytes)) return text + " GUE" + braced(slice(bytes, 12));
  return text + payload_text(slice(bytes, 8));
}

inline std::string gre_text(const Bytes& bytes, bool whole) {
  if (bytes.size() < 4) return "GRE truncated";
  const unsigned flags = get16(bytes, 0), type = get16(bytes, 2);
  std::string text = flags == 0 ? "GRE" : format("GRE flags %04x", flags);
  if (flags == 0x8000 && whole && bytes.size() >= 8) text += checksum_text({}, bytes, get16(bytes, 4));
  if ((flags != 0 && flags != 0x8000) || (type != 0x0800 && type != 0x86dd))
    return text + format(" type %04x", type) + payload_text(slice(bytes, 4));
  return text + braced(slice(bytes, flags == 0 ? 4 : 8));
}

inline std::string sctp_text(const Bytes& bytes, bool whole) {
  if (bytes.size() < 4) return "SCTP truncated";
  std::string text = format("SCTP %u>%u", get16(bytes, 0), get16(bytes, 2));
  if (bytes.size() < 12) return text + " truncated";
  text += format(" tag %08x", get32(bytes, 4));
  Bytes summed = bytes;
  std::fill_n(summed.begin() + 8, 4, uint8_t{0});
  const uint32_t crc = slow_crc32c(summed);
  const uint32_t given = bytes[8] | bytes[9] << 8 | bytes[10] << 16 | static_cast<uint32_t>(bytes[11]) << 24;
  if (whole && crc != given) text += format(" sum %08x BAD", given);
  return text + payload_text(slice(bytes, 12));
}

inline std::string icmp_text(const Bytes& bytes, const Bytes& pseudo, bool whole, const char* name, bool is_error) {
  if (bytes.size() < 8) return std::string(name) + " truncated";
  std::string text = format("%s %u/%u", name, unsigned{bytes[0]}, unsigned{bytes[1]});
  if (get32(bytes, 4) != 0) text += format(" rest %08x", get32(bytes, 4));
  if (whole) text += checksum_text(pseudo, bytes, get16(bytes, 2));
  if (!is_error) return text + payload_text(slice(bytes, 8));
  return text + braced(slice(bytes, 8));
}

inline std::string content_text(const Bytes& content, unsigned protocol, const Bytes& pseudo, bool first, bool whole) {
  if (!first) return format("protocol %u", protocol) + payload_text(content);
  switch (protocol) {
    case 1: {
      const unsigned type = content.empty() ? 0u : content[0];
      return icmp_text(content, {}, whole, "ICMP", type == 3 || type == 4 || type == 5 || type == 11 || type == 12);
    }
    case 4:
    case 41:
      return (protocol == 4 ? "IPIP" : "IP6IP") + braced(content);
    case 6:
      return tcp_text(content, pseudo, whole);
    case 17:
      return udp_text(content, pseudo, whole);
    case 47:
      return gre_text(content, whole);
    case 132:
      return sctp_text(content, whole);
    case 58:
      return icmp_text(content, pseudo, whole, "ICMPv6", !content.empty() && content[0] < 128);
    default:
      return format("protocol %u", protocol) + payload_text(content);
  }
}

inline std::string ipv4_text(const Bytes& packet) {
  const size_t header = (packet[0] & 15u) * 4u;
  if (packet.size() < 20 || header < 20 || packet.size() < header) return "IPv4 truncated " + to_hex(packet);
  const Address source = address_at(packet, 12, Family::kIpv4), destination = address_at(packet, 16, Family::kIpv4);
  const unsigned total = get16(packet, 2), fragment = get16(packet, 6), offset = (fragment & 0x1fff) * 8;
  std::string text = source.text() + ">" + destination.text() +
                     format(" ttl %u len %u id %04x", unsigned{packet[8]}, total, get16(packet, 4));
  if (packet[1] != 0) text += format(" tos %02x", unsigned{packet[1]});
  if (fragment & 0x8000) text += " EVIL";
  if (fragment & 0x4000) text += " DF";
  if (fragment & 0x2000) text += " MF";
  if (offset != 0) text += format(" offset %u", offset);
  if (header > 20) text += " opts " + to_hex(slice(packet, 20, header - 20));
  text += checksum_text({}, slice(packet, 0, header), get16(packet, 10));
  const bool complete = total >= header && total <= packet.size();
  if (!complete) text += format(" (%zu bytes)", packet.size());
  const Bytes content = slice(packet, header, complete ? total - header : SIZE_MAX);
  text += " " + content_text(content, packet[9], pseudo_header(source, destination, packet[9], content.size()),
                             offset == 0, complete && (fragment & 0x3fff) == 0);
  if (complete && packet.size() > total) text += format(" +%zu bytes", packet.size() - total);
  return text;
}

inline std::string ipv6_text(const Bytes& packet) {
  if (packet.size() < 40) return "IPv6 truncated " + to_hex(packet);
  const Address source = address_at(packet, 8, Family::kIpv6), destination = address_at(packet, 24, Family::kIpv6);
  const unsigned length = get16(packet, 4);
  std::string text = source.text() + ">" + destination.text() + format(" hop %u len %u", unsigned{packet[7]}, length);
  const unsigned traffic_class = get32(packet, 0) >> 20 & 0xff;
  if (traffic_class != 0) text += format(" class %02x", traffic_class);
  const bool complete = packet.size() - 40 >= length;
  if (!complete) text += format(" (%zu bytes)", packet.size());
  Bytes content = slice(packet, 40, length);
  unsigned next = packet[6];
  bool is_first = true, is_whole = complete;
  while (is_first && content.size() >= 8 && (next == 0 || next == 43 || next == 44 || next == 60)) {
    size_t header = 8;
    if (next == 44) {
      const unsigned word = get16(content, 2);
      text += format(" fragment %08x", get32(content, 4));
      if (word & 1) text += " MF";
      if (word >> 3 != 0) text += format(" offset %u", word & 0xfff8);
      is_first = word >> 3 == 0;
      is_whole = is_whole && (word & 0xfff9) == 0;
    } else {
      header = (content[1] + 1u) * 8u;
      if (header > content.size()) break;
      text += (next == 0    ? " hop-by-hop "
               : next == 43 ? " routing "
                            : " options ") +
              to_hex(slice(content, 2, header - 2));
    }
    next = content[0];
    content = slice(content, header);
  }
  return text + " " +
         content_text(content, next, pseudo_header(source, destination, next, content.size()), is_first, is_whole);
}

inline std::string arp_text(const Bytes& packet) {
  if (packet.size() < 28) return "ARP truncated " + to_hex(packet);
  const std::string sender = address_at(packet, 14, Family::kIpv4).text() + " (" + mac_at(packet, 8) + ")";
  const std::string target = address_at(packet, 24, Family::kIpv4).text();
  const unsigned operation = get16(packet, 6);
  if (operation == 1) return "ARP who has " + target + "? tell " + sender;
  if (operation == 2) return "ARP " + sender + " told to " + target + " (" + mac_at(packet, 18) + ")";
  return format("ARP operation %u ", operation) + sender + " " + target;
}

}  // namespace packet_text_parts

// From the IP header on.
inline std::string packet_text(const Bytes& packet) {
  if (packet.empty()) return "nothing";
  if (packet[0] >> 4 == 4) return packet_text_parts::ipv4_text(packet);
  if (packet[0] >> 4 == 6) return packet_text_parts::ipv6_text(packet);
  return "not IP: " + to_hex(packet);
}

// From the Ethernet header on.
inline std::string frame_text(const Bytes& frame) {
  using namespace packet_text_parts;
  if (frame.size() < 14) return "frame truncated " + to_hex(frame);
  std::string text = mac_at(frame, 6) + ">" + mac_at(frame, 0);
  size_t at = 12;
  while (get16(frame, at) == 0x8100 && frame.size() >= at + 6) {
    text += format(" vlan %u", get16(frame, at + 2) & 0xfff);
    if (frame[at + 2] >> 5 != 0) text += format(" priority %d", frame[at + 2] >> 5);
    at += 4;
  }
  const unsigned type = get16(frame, at);
  const Bytes content = slice(frame, at + 2);
  if (type == 0x0800 || type == 0x86dd) return text + " " + packet_text(content);
  if (type == 0x0806) return text + " " + arp_text(content);
  return text + format(" type %04x", type) + payload_text(content);
}

// Empty when both are the same, otherwise both in words and where they begin to differ.
inline std::string difference(const Bytes& expected, const Bytes& actual) {
  if (expected == actual) return "";
  const auto [at, other] = std::mismatch(expected.begin(), expected.end(), actual.begin(), actual.end());
  return "\n  expected: " + frame_text(expected) + "\n  actual:   " + frame_text(actual) +
         packet_text_parts::format("\n  from byte %zd: ", at - expected.begin()) +
         to_hex(packet_text_parts::slice(expected, static_cast<size_t>(at - expected.begin()), 16)) + " against " +
         to_hex(packet_text_parts::slice(actual, static_cast<size_t>(other - actual.begin()), 16));
}

}  // namespace fulcrum::test
