// SPDX-License-Identifier: Apache-2.0
// The transition tables, row by row as the state machine's description has them: a row is an event of a direction, a
// column the state that it meets.
#include "conn/sctp_state.h"

#include "net/byte_order.h"

namespace fulcrum {
namespace sctp_tables {
namespace {

constexpr SctpState NO = SctpState::kNone, I1 = SctpState::kInit1, IN = SctpState::kInit, CS = SctpState::kCookieSent,
                    CR = SctpState::kCookieReplied, CW = SctpState::kCookieWait, CO = SctpState::kCookie,
                    CE = SctpState::kCookieEchoed, ES = SctpState::kEstablished, SS = SctpState::kShutdownSent,
                    SR = SctpState::kShutdownReceived, SA = SctpState::kShutdownAckSent, RJ = SctpState::kRejected,
                    CL = SctpState::kClosed;

using Row = std::array<SctpState, kSctpStates>;
// In the order of SctpEvent, as far as there are chunks.
using Rows = std::array<Row, static_cast<unsigned>(SctpEvent::kNothing)>;

// clang-format off
//                             NO  I1  IN  CS  CR  CW  CO  CE  ES  SS  SR  SA  RJ  CL
constexpr Rows kInput = {{
    /* data              */ {{ ES, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL }},
    /* init              */ {{ I1, IN, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, IN, IN }},
    /* init ack          */ {{ CW, CW, CW, CS, CR, CO, CO, CE, ES, SS, SR, SA, RJ, CL }},
    /* cookie echo       */ {{ CR, IN, IN, CR, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL }},
    /* cookie ack        */ {{ ES, I1, IN, CS, CR, CW, CO, ES, ES, SS, SR, SA, RJ, CL }},
    /* shutdown          */ {{ SR, I1, IN, CS, CR, CW, CO, CE, SR, SS, SR, SA, RJ, CL }},
    /* shutdown ack      */ {{ CL, IN, IN, CS, CR, CW, CO, CE, ES, CL, SR, CL, RJ, CL }},
    /* shutdown complete */ {{ CL, CL, CL, CS, CR, CW, CO, CE, ES, SS, SR, CL, RJ, CL }},
    /* error             */ {{ CL, I1, IN, CS, CR, CW, CO, CL, ES, SS, SR, SA, RJ, CL }},
    /* abort             */ {{ CL, CL, CL, CL, CL, RJ, CL, CL, CL, CL, CL, CL, CL, CL }}}};
constexpr Rows kOutput = {{
    /* data              */ {{ ES, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL }},
    /* init              */ {{ CW, CW, CW, CW, CW, CW, CW, CW, ES, CW, CW, CW, CW, CW }},
    /* init ack          */ {{ CS, CS, CS, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL }},
    /* cookie echo       */ {{ CE, CE, CE, CE, CE, CE, CE, CE, ES, SS, SR, SA, RJ, CL }},
    /* cookie ack        */ {{ ES, ES, ES, ES, ES, ES, ES, ES, ES, SS, SR, SA, RJ, CL }},
    /* shutdown          */ {{ SS, SS, SS, SS, SS, SS, SS, SS, SS, SS, SR, SA, RJ, CL }},
    /* shutdown ack      */ {{ SA, SA, SA, SA, SA, CW, CO, CE, ES, SA, SA, SA, RJ, CL }},
    /* shutdown complete */ {{ CL, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL }},
    /* error             */ {{ CL, CL, CL, CL, CL, CW, CO, CE, ES, SS, SR, SA, RJ, CL }},
    /* abort             */ {{ CL, RJ, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL }}}};
constexpr Rows kInputOnly = {{
    /* data              */ {{ ES, I1, IN, CS, CR, ES, CO, CE, ES, SS, SR, SA, RJ, CL }},
    /* init              */ {{ I1, IN, IN, IN, IN, IN, CO, CE, ES, SS, SR, SA, IN, IN }},
    /* init ack          */ {{ CE, CE, CE, CE, CE, CE, CO, CE, ES, SS, SR, SA, RJ, CL }},
    /* cookie echo       */ {{ ES, ES, ES, ES, ES, ES, CO, CE, ES, SS, SR, SA, RJ, CL }},
    /* cookie ack        */ {{ ES, I1, IN, ES, ES, CW, ES, ES, ES, SS, SR, SA, RJ, CL }},
    /* shutdown          */ {{ SR, I1, IN, CS, CR, CW, CO, CE, SR, SS, SR, SA, RJ, CL }},
    /* shutdown ack      */ {{ CL, IN, IN, CS, CR, CW, CO, CE, CL, CL, SR, CL, RJ, CL }},
    /* shutdown complete */ {{ CL, CL, CL, CL, CL, CW, CO, CE, ES, SS, CL, CL, RJ, CL }},
    /* error             */ {{ CL, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL }},
    /* abort             */ {{ CL, CL, CL, CL, CL, RJ, CL, CL, CL, CL, CL, CL, CL, CL }}}};
// clang-format on

using Transitions = std::array<SctpState, kDirectionRoom * kEventRoom * kSctpStateRoom>;

constexpr void put(Transitions& transitions, Direction direction, const Rows& rows) {
  for (unsigned event = 0; event < rows.size(); ++event)
    for (unsigned state = 0; state < kSctpStates; ++state)
      transitions[row(direction, static_cast<SctpEvent>(event)) + state] = rows[event][state];
  for (unsigned state = 0; state < kSctpStates; ++state)
    transitions[row(direction, SctpEvent::kNothing) + state] = static_cast<SctpState>(state);
}

constexpr Transitions build_transitions() {
  Transitions transitions;
  transitions.fill(NO);
  put(transitions, Direction::kInput, kInput);
  put(transitions, Direction::kOutput, kOutput);
  put(transitions, Direction::kInputOnly, kInputOnly);
  return transitions;
}

constexpr std::array<SctpEvent, 16> build_events() {
  std::array<SctpEvent, 16> events{};  // data
  const auto put = [&](SctpChunkType type, SctpEvent event) { events[static_cast<unsigned>(type)] = event; };
  put(SctpChunkType::kInit, SctpEvent::kInit);
  put(SctpChunkType::kInitAck, SctpEvent::kInitAck);
  put(SctpChunkType::kAbort, SctpEvent::kAbort);
  put(SctpChunkType::kShutdown, SctpEvent::kShutdown);
  put(SctpChunkType::kShutdownAck, SctpEvent::kShutdownAck);
  put(SctpChunkType::kError, SctpEvent::kError);
  put(SctpChunkType::kCookieEcho, SctpEvent::kCookieEcho);
  put(SctpChunkType::kCookieAck, SctpEvent::kCookieAck);
  put(SctpChunkType::kShutdownComplete, SctpEvent::kShutdownComplete);
  return events;
}

constexpr std::array<SctpEvent, 16> kEventOfChunk = build_events();

}  // namespace

alignas(64) constinit const Transitions kTransitions = build_transitions();

}  // namespace sctp_tables

namespace {

// RFC 9260 section 3.2: a chunk's length counts its header and not the padding to a multiple of four that follows it.
// Empty when the chunk claims less than its header, or all that is there.
std::span<const uint8_t> after_first_chunk(std::span<const uint8_t> chunks) {
  const size_t length = be16{load_unaligned<uint16_t>(chunks.data() + 2)}.host();
  const size_t padded = (length + 3) & ~size_t{3};
  if (length < kSctpChunkHeaderSize || padded > chunks.size()) return {};
  return chunks.subspan(padded);
}

}  // namespace

SctpEvent sctp_event(std::span<const uint8_t> chunks) {
  if (chunks.size() < kSctpChunkHeaderSize) return SctpEvent::kNothing;
  const uint8_t type = chunks[0];
  const SctpEvent event =
      type < sctp_tables::kEventOfChunk.size() ? sctp_tables::kEventOfChunk[type] : SctpEvent::kData;
  // RFC 9260 section 3.3.7: control chunks may precede an ABORT. A handshake that ends so has failed.
  const bool is_cookie = event == SctpEvent::kCookieEcho || event == SctpEvent::kCookieAck;
  if (is_cookie && begins_with(after_first_chunk(chunks), SctpChunkType::kAbort)) return SctpEvent::kAbort;
  return event;
}

std::string_view sctp_state_name(SctpState state) {
  constexpr std::array<std::string_view, kSctpStates> kNames = {
      "NONE",     "INIT1",       "INIT",   "C-SENT",     "C-REPLIED",  "C-WAIT",   "COOKIE",
      "C-ECHOED", "ESTABLISHED", "S-SENT", "S-RECEIVED", "S-ACK-SENT", "REJECTED", "CLOSED"};
  const auto number = static_cast<unsigned>(state);
  return number < kNames.size() ? kNames[number] : "?";
}

}  // namespace fulcrum
