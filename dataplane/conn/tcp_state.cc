// SPDX-License-Identifier: Apache-2.0
// The transition tables, row by row as the state machine's description has them: a row is an event of a direction, a
// column the state that it meets.
#include "conn/tcp_state.h"

namespace fulcrum {
namespace tcp_tables {
namespace {

constexpr TcpState NO = TcpState::kNone, ES = TcpState::kEstablished, SS = TcpState::kSynSent,
                   SR = TcpState::kSynReceived, FW = TcpState::kFinWait, TW = TcpState::kTimeWait,
                   CL = TcpState::kClose, CW = TcpState::kCloseWait, LA = TcpState::kLastAck, LI = TcpState::kListen,
                   SA = TcpState::kSynAck;

using Row = std::array<TcpState, kTcpStates>;
struct Rows {
  Row syn, fin, ack, rst;
};

// clang-format off
//                      NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA
constexpr Rows kInput = {
    /* syn */         { SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR },
    /* fin */         { CL, CW, SS, TW, TW, TW, CL, CW, LA, LI, TW },
    /* ack */         { ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES },
    /* rst */         { CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, SR }};
constexpr Rows kOutput = {
    /* syn */         { SS, ES, SS, SR, SS, SS, SS, SS, SS, LI, SR },
    /* fin */         { TW, FW, SS, TW, FW, TW, CL, TW, LA, LI, TW },
    /* ack */         { ES, ES, SS, ES, FW, TW, CL, CW, LA, ES, ES },
    /* rst */         { CL, CL, SS, CL, CL, TW, CL, CL, CL, CL, CL }};
constexpr Rows kInputOnly = {
    /* syn */         { SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR },
    /* fin */         { CL, FW, SS, TW, FW, TW, CL, CW, LA, LI, TW },
    /* ack */         { ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES },
    /* rst */         { CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL }};

// secure_tcp: no client segment alone establishes, SYNACK remembers that the server has answered.
constexpr Rows kSecureInput = {
    /* syn */         { SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SA },
    /* fin */         { CL, CW, SS, TW, TW, TW, CL, CW, LA, LI, SA },
    /* ack */         { ES, ES, SS, SR, FW, TW, CL, CW, CL, LI, SA },
    /* rst */         { CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL }};
constexpr Rows kSecureOutput = {
    /* syn */         { SS, ES, SS, SA, SS, SS, SS, SS, SS, LI, SA },
    kOutput.fin, kOutput.ack, kOutput.rst};
constexpr Rows kSecureInputOnly = {
    /* syn */         { SA, ES, ES, SR, SA, SA, SA, SA, SA, SA, SA },
    kInputOnly.fin, kInputOnly.ack, kInputOnly.rst};
// clang-format on

using Transitions = std::array<TcpState, 2 * kDirectionRoom * kEventRoom * kTcpStateRoom>;

constexpr void put(Transitions& transitions, TcpTable table, Direction direction, const Rows& rows) {
  const std::array<Row, 4> by_event = {rows.syn, rows.fin, rows.ack, rows.rst};
  for (unsigned event = 0; event < by_event.size(); ++event)
    for (unsigned state = 0; state < kTcpStates; ++state)
      transitions[row(table, direction, event) + state] = by_event[event][state];
}

constexpr Transitions build_transitions() {
  Transitions transitions;
  transitions.fill(CL);  // no event: CLOSE
  put(transitions, TcpTable::kNormal, Direction::kInput, kInput);
  put(transitions, TcpTable::kNormal, Direction::kOutput, kOutput);
  put(transitions, TcpTable::kNormal, Direction::kInputOnly, kInputOnly);
  put(transitions, TcpTable::kSecure, Direction::kInput, kSecureInput);
  put(transitions, TcpTable::kSecure, Direction::kOutput, kSecureOutput);
  put(transitions, TcpTable::kSecure, Direction::kInputOnly, kSecureInputOnly);
  return transitions;
}

constexpr std::array<uint8_t, 32> build_events() {
  std::array<uint8_t, 32> events{};
  for (unsigned flags = 0; flags < events.size(); ++flags)
    events[flags] = flags & kTcpRst   ? kRst
                    : flags & kTcpSyn ? kSyn
                    : flags & kTcpFin ? kFin
                    : flags & kTcpAck ? kAck
                                      : kNothing;
  return events;
}

}  // namespace

constinit const std::array<uint8_t, 32> kEvents = build_events();
alignas(64) constinit const Transitions kTransitions = build_transitions();

}  // namespace tcp_tables

std::string_view tcp_state_name(TcpState state) {
  constexpr std::array<std::string_view, kTcpStates> kNames = {"NONE",     "ESTABLISHED", "SYN_SENT", "SYN_RECV",
                                                               "FIN_WAIT", "TIME_WAIT",   "CLOSE",    "CLOSE_WAIT",
                                                               "LAST_ACK", "LISTEN",      "SYNACK"};
  const auto number = static_cast<unsigned>(state);
  return number < kNames.size() ? kNames[number] : "?";
}

}  // namespace fulcrum
