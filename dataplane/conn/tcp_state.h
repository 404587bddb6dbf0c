// SPDX-License-Identifier: Apache-2.0
// TCP connections as the director sees them: LVS's states, their timeouts, and the transition that each segment makes.
// The director follows both sides' segments (or, for DR and TUN, the client's only) without checking sequence numbers.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace fulcrum {

// LVS's numbers, also those of the synchronisation protocol.
enum class TcpState : uint8_t {
  kNone = 0,
  kEstablished = 1,
  kSynSent = 2,
  kSynReceived = 3,
  kFinWait = 4,
  kTimeWait = 5,
  kClose = 6,
  kCloseWait = 7,
  kLastAck = 8,
  kListen = 9,
  kSynAck = 10,
};
inline constexpr unsigned kTcpStates = 11;
// Tables have room for every value of a 4-bit field.
inline constexpr unsigned kTcpStateRoom = 16;

// "ESTABLISHED", as LVS lists it; "?" for a number that is no state.
std::string_view tcp_state_name(TcpState state);

// Counted in ActiveConn: half-open connections too. All others are inactive.
constexpr bool is_active(TcpState state) {
  constexpr unsigned kActive =
      1u << static_cast<unsigned>(TcpState::kEstablished) | 1u << static_cast<unsigned>(TcpState::kSynSent) |
      1u << static_cast<unsigned>(TcpState::kSynReceived) | 1u << static_cast<unsigned>(TcpState::kSynAck);
  return (kActive >> static_cast<unsigned>(state) & 1) != 0;
}

// Where a segment comes from.
enum class Direction : uint8_t {
  kInput = 0,      // from the client
  kOutput = 1,     // from the server
  kInputOnly = 2,  // from the client, on a DR or TUN connection of which no server packet has been seen
};

enum class TcpTable : uint8_t { kNormal = 0, kSecure = 1 };  // kSecure: while secure_tcp is in force

// RFC 9293 section 3.1, byte 13 of the header.
enum TcpFlag : uint8_t { kTcpFin = 0x01, kTcpSyn = 0x02, kTcpRst = 0x04, kTcpPsh = 0x08, kTcpAck = 0x10 };

namespace tcp_tables {

// The first of RST, SYN, FIN, ACK that is set.
enum Event : uint8_t { kSyn, kFin, kAck, kRst, kNothing };
inline constexpr unsigned kEventRoom = 8;
inline constexpr unsigned kDirectionRoom = 4;

extern const std::array<uint8_t, 32> kEvents;  // by the flags' low five bits
extern const std::array<TcpState, 2 * kDirectionRoom * kEventRoom * kTcpStateRoom> kTransitions;

constexpr unsigned row(TcpTable table, Direction direction, unsigned event) {
  return ((static_cast<unsigned>(table) * kDirectionRoom + static_cast<unsigned>(direction)) * kEventRoom + event) *
         kTcpStateRoom;
}

}  // namespace tcp_tables

// The state after a segment with these flags. Two loads, no branch.
inline TcpState next_tcp_state(TcpTable table, Direction direction, TcpState state, uint8_t flags) {
  const unsigned row = tcp_tables::row(table, direction, tcp_tables::kEvents[flags & 0x1f]);
  return tcp_tables::kTransitions[row + (static_cast<unsigned>(state) & (kTcpStateRoom - 1))];
}

// A new connection's, until its first change of state.
inline constexpr uint32_t kFreshTimeoutSeconds = 3;

}  // namespace fulcrum
