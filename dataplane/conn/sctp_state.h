// SPDX-License-Identifier: Apache-2.0
// SCTP associations as the director sees them: LVS's states, their timeouts, and the transition that each packet makes
// by the chunk that it begins with. Verification tags, cookies and sequence numbers are the endpoints' business.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "conn/tcp_state.h"

namespace fulcrum {

// LVS's numbers, also those of the synchronisation protocol.
enum class SctpState : uint8_t {
  kNone = 0,
  kInit1 = 1,
  kInit = 2,
  kCookieSent = 3,
  kCookieReplied = 4,
  kCookieWait = 5,
  kCookie = 6,
  kCookieEchoed = 7,
  kEstablished = 8,
  kShutdownSent = 9,
  kShutdownReceived = 10,
  kShutdownAckSent = 11,
  kRejected = 12,
  kClosed = 13,
};
inline constexpr unsigned kSctpStates = 14;
// Tables have room for every value of a 4-bit field.
inline constexpr unsigned kSctpStateRoom = 16;

// "C-REPLIED", as LVS lists it; "?" for a number that is no state.
std::string_view sctp_state_name(SctpState state);

// Counted in ActiveConn: unlike TCP's, a half-open association is not.
constexpr bool is_active(SctpState state) { return state == SctpState::kEstablished; }

// How long a connection lives after a packet, in seconds, by SctpState. What is no state gets the shortest.
inline constexpr std::array<uint32_t, kSctpStateRoom> kSctpTimeoutSeconds = {2,   4,  61, 61, 61, 61, 61, 61,
                                                                             900, 61, 61, 61, 4,  61, 2,  2};

// RFC 9260 section 3.1: chunks follow the common header.
inline constexpr unsigned kSctpHeaderSize = 12;

// RFC 9260 section 3.2; those that the director tells apart.
enum class SctpChunkType : uint8_t {
  kData = 0,
  kInit = 1,
  kInitAck = 2,
  kAbort = 6,
  kShutdown = 7,
  kShutdownAck = 8,
  kError = 9,
  kCookieEcho = 10,
  kCookieAck = 11,
  kShutdownComplete = 14,
};

// What a packet means to the state machine. All chunks that are none of the others count as data.
enum class SctpEvent : uint8_t {
  kData,
  kInit,
  kInitAck,
  kCookieEcho,
  kCookieAck,
  kShutdown,
  kShutdownAck,
  kShutdownComplete,
  kError,
  kAbort,
  kNothing,  // no room for a chunk: the state stays as it is
};

// `chunks` are the bytes that follow the common header, as many as are at hand.
SctpEvent sctp_event(std::span<const uint8_t> chunks);

inline constexpr size_t kSctpChunkHeaderSize = 4;

inline bool begins_with(std::span<const uint8_t> chunks, SctpChunkType type) {
  return chunks.size() >= kSctpChunkHeaderSize && chunks[0] == static_cast<uint8_t>(type);
}

// May be scheduled: INIT, and with sloppy_sctp whatever does not begin with ABORT.
inline bool may_start_association(std::span<const uint8_t> chunks, bool sloppy) {
  if (begins_with(chunks, SctpChunkType::kInit)) return true;
  return sloppy && chunks.size() >= kSctpChunkHeaderSize && !begins_with(chunks, SctpChunkType::kAbort);
}

namespace sctp_tables {

inline constexpr unsigned kEventRoom = 16;
inline constexpr unsigned kDirectionRoom = 4;

extern const std::array<SctpState, kDirectionRoom * kEventRoom * kSctpStateRoom> kTransitions;

constexpr unsigned row(Direction direction, SctpEvent event) {
  return (static_cast<unsigned>(direction) * kEventRoom + static_cast<unsigned>(event)) * kSctpStateRoom;
}

}  // namespace sctp_tables

// The state after a packet. One load, no branch.
inline SctpState next_sctp_state(Direction direction, SctpState state, SctpEvent event) {
  return sctp_tables::kTransitions[sctp_tables::row(direction, event) +
                                   (static_cast<unsigned>(state) & (kSctpStateRoom - 1))];
}

}  // namespace fulcrum
