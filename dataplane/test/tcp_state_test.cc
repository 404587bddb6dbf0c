// SPDX-License-Identifier: Apache-2.0
#include "conn/tcp_state.h"

#include <doctest/doctest.h>

#include <sstream>
#include <string>
#include <vector>

#include "conn/timeouts.h"

using namespace fulcrum;

namespace {

const std::vector<std::string> kColumns = {"NO", "ES", "SS", "SR", "FW", "TW", "CL", "CW", "LA", "LI", "SA"};

struct Row {
  TcpTable table;
  Direction direction;
  uint8_t flags;
  const char* next;  // in the order of kColumns
};

constexpr auto kIn = Direction::kInput, kOut = Direction::kOutput, kInOnly = Direction::kInputOnly;
constexpr auto kNormal = TcpTable::kNormal, kSecure = TcpTable::kSecure;

// The rows of LVS's state machine, all of them spelled out: also those in which secure_tcp equals the normal table.
const Row kRows[] = {
    {kNormal, kIn, kTcpSyn, "SR ES ES SR SR SR SR SR SR SR SR"},
    {kNormal, kIn, kTcpFin, "CL CW SS TW TW TW CL CW LA LI TW"},
    {kNormal, kIn, kTcpAck, "ES ES SS ES FW TW CL CW CL LI ES"},
    {kNormal, kIn, kTcpRst, "CL CL CL SR CL CL CL CL LA LI SR"},
    {kNormal, kIn, 0, "CL CL CL CL CL CL CL CL CL CL CL"},
    {kNormal, kOut, kTcpSyn, "SS ES SS SR SS SS SS SS SS LI SR"},
    {kNormal, kOut, kTcpFin, "TW FW SS TW FW TW CL TW LA LI TW"},
    {kNormal, kOut, kTcpAck, "ES ES SS ES FW TW CL CW LA ES ES"},
    {kNormal, kOut, kTcpRst, "CL CL SS CL CL TW CL CL CL CL CL"},
    {kNormal, kOut, 0, "CL CL CL CL CL CL CL CL CL CL CL"},
    {kNormal, kInOnly, kTcpSyn, "SR ES ES SR SR SR SR SR SR SR SR"},
    {kNormal, kInOnly, kTcpFin, "CL FW SS TW FW TW CL CW LA LI TW"},
    {kNormal, kInOnly, kTcpAck, "ES ES SS ES FW TW CL CW CL LI ES"},
    {kNormal, kInOnly, kTcpRst, "CL CL CL SR CL CL CL CL LA LI CL"},
    {kNormal, kInOnly, 0, "CL CL CL CL CL CL CL CL CL CL CL"},
    {kSecure, kIn, kTcpSyn, "SR ES ES SR SR SR SR SR SR SR SA"},
    {kSecure, kIn, kTcpFin, "CL CW SS TW TW TW CL CW LA LI SA"},
    {kSecure, kIn, kTcpAck, "ES ES SS SR FW TW CL CW CL LI SA"},
    {kSecure, kIn, kTcpRst, "CL CL CL SR CL CL CL CL LA LI CL"},
    {kSecure, kIn, 0, "CL CL CL CL CL CL CL CL CL CL CL"},
    {kSecure, kOut, kTcpSyn, "SS ES SS SA SS SS SS SS SS LI SA"},
    {kSecure, kOut, kTcpFin, "TW FW SS TW FW TW CL TW LA LI TW"},
    {kSecure, kOut, kTcpAck, "ES ES SS ES FW TW CL CW LA ES ES"},
    {kSecure, kOut, kTcpRst, "CL CL SS CL CL TW CL CL CL CL CL"},
    {kSecure, kOut, 0, "CL CL CL CL CL CL CL CL CL CL CL"},
    {kSecure, kInOnly, kTcpSyn, "SA ES ES SR SA SA SA SA SA SA SA"},
    {kSecure, kInOnly, kTcpFin, "CL FW SS TW FW TW CL CW LA LI TW"},
    {kSecure, kInOnly, kTcpAck, "ES ES SS ES FW TW CL CW CL LI ES"},
    {kSecure, kInOnly, kTcpRst, "CL CL CL SR CL CL CL CL LA LI CL"},
    {kSecure, kInOnly, 0, "CL CL CL CL CL CL CL CL CL CL CL"},
};

struct Segment {
  Direction direction;
  uint8_t flags;
};

// The state in which a new connection is after these segments.
TcpState after(const std::vector<Segment>& segments, TcpTable table = kNormal) {
  TcpState state = TcpState::kNone;
  for (const Segment& segment : segments) state = next_tcp_state(table, segment.direction, state, segment.flags);
  return state;
}

}  // namespace

TEST_CASE("tcp state: every cell of the tables") {
  for (const Row& row : kRows) {
    std::istringstream cells(row.next);
    for (unsigned state = 0; state < kTcpStates; ++state) {
      std::string expected;
      cells >> expected;
      const auto next = next_tcp_state(row.table, row.direction, static_cast<TcpState>(state), row.flags);
      CAPTURE(static_cast<int>(row.table));
      CAPTURE(static_cast<int>(row.direction));
      CAPTURE(static_cast<int>(row.flags));
      CAPTURE(kColumns[state]);
      CHECK(kColumns.at(static_cast<unsigned>(next)) == expected);
    }
  }
}

TEST_CASE("tcp state: of several flags RST counts before SYN, SYN before FIN, FIN before ACK; others never") {
  for (unsigned flags = 0; flags <= 0xff; ++flags) {
    const TcpFlag first = flags & kTcpRst   ? kTcpRst
                          : flags & kTcpSyn ? kTcpSyn
                          : flags & kTcpFin ? kTcpFin
                          : flags & kTcpAck ? kTcpAck
                                            : TcpFlag{};
    for (unsigned state = 0; state < kTcpStates; ++state)
      for (const Direction direction : {kIn, kOut, kInOnly})
        for (const TcpTable table : {kNormal, kSecure})
          REQUIRE(next_tcp_state(table, direction, static_cast<TcpState>(state), static_cast<uint8_t>(flags)) ==
                  next_tcp_state(table, direction, static_cast<TcpState>(state), first));
  }
}

TEST_CASE("tcp state: a number that is no state stays inside the table") {
  for (unsigned state = kTcpStates; state <= 0xff; ++state) {
    const auto next = next_tcp_state(kSecure, kInOnly, static_cast<TcpState>(state), kTcpSyn);
    CHECK(static_cast<unsigned>(next) < kTcpStates);
    CHECK(Timeouts{}.of(static_cast<TcpState>(state)) > 0);
  }
}

TEST_CASE("tcp state: the client's RST in SYN_RECV does not close") {
  CHECK(after({{kIn, kTcpSyn}, {kIn, kTcpRst}}) == TcpState::kSynReceived);
  CHECK(is_active(after({{kIn, kTcpSyn}, {kIn, kTcpRst}})));
  CHECK(after({{kInOnly, kTcpSyn}, {kInOnly, kTcpRst}}) == TcpState::kSynReceived);
  CHECK(after({{kIn, kTcpSyn}, {kOut, kTcpRst | kTcpAck}}) == TcpState::kClose);
}

TEST_CASE("tcp state: NAT, opened and closed by the client") {
  const std::vector<Segment> opened = {{kIn, kTcpSyn}, {kOut, kTcpSyn | kTcpAck}, {kIn, kTcpAck}};
  CHECK(after(opened) == TcpState::kEstablished);
  std::vector<Segment> segments = opened;
  segments.push_back({kIn, kTcpFin | kTcpAck});
  CHECK(after(segments) == TcpState::kCloseWait);
  segments.push_back({kOut, kTcpFin | kTcpAck});
  CHECK(after(segments) == TcpState::kTimeWait);
  segments.push_back({kIn, kTcpAck});
  CHECK(after(segments) == TcpState::kTimeWait);
}

TEST_CASE("tcp state: DR, where only the client is seen") {
  CHECK(after({{kInOnly, kTcpSyn}, {kInOnly, kTcpAck}}) == TcpState::kEstablished);
  CHECK(after({{kInOnly, kTcpSyn}, {kInOnly, kTcpAck}, {kInOnly, kTcpFin | kTcpAck}}) == TcpState::kFinWait);
  CHECK(after({{kInOnly, kTcpSyn}, {kInOnly, kTcpAck}, {kInOnly, kTcpRst}}) == TcpState::kClose);
}

TEST_CASE("tcp state: with secure_tcp over NAT only the server's ACK establishes") {
  const std::vector<Segment> handshake = {{kIn, kTcpSyn}, {kOut, kTcpSyn | kTcpAck}, {kIn, kTcpAck}};
  CHECK(after(handshake, kNormal) == TcpState::kEstablished);
  CHECK(after(handshake, kSecure) == TcpState::kSynAck);
  std::vector<Segment> answered = handshake;
  answered.push_back({kOut, kTcpAck});
  CHECK(after(answered, kSecure) == TcpState::kEstablished);
}

TEST_CASE("tcp state: numbers, names, active states and default timeouts") {
  const struct {
    TcpState state;
    unsigned number;
    const char* name;
    bool active;
    uint32_t timeout_s;
  } rows[] = {
      {TcpState::kNone, 0, "NONE", false, 2},          {TcpState::kEstablished, 1, "ESTABLISHED", true, 900},
      {TcpState::kSynSent, 2, "SYN_SENT", true, 120},  {TcpState::kSynReceived, 3, "SYN_RECV", true, 60},
      {TcpState::kFinWait, 4, "FIN_WAIT", false, 120}, {TcpState::kTimeWait, 5, "TIME_WAIT", false, 120},
      {TcpState::kClose, 6, "CLOSE", false, 10},       {TcpState::kCloseWait, 7, "CLOSE_WAIT", false, 60},
      {TcpState::kLastAck, 8, "LAST_ACK", false, 30},  {TcpState::kListen, 9, "LISTEN", false, 120},
      {TcpState::kSynAck, 10, "SYNACK", true, 120},
  };
  for (const auto& row : rows) {
    CAPTURE(row.name);
    CHECK(static_cast<unsigned>(row.state) == row.number);
    CHECK(tcp_state_name(row.state) == row.name);
    CHECK(is_active(row.state) == row.active);
    CHECK(Timeouts{}.of(row.state) == row.timeout_s);
  }
  CHECK(tcp_state_name(static_cast<TcpState>(11)) == "?");
  CHECK(tcp_state_name(static_cast<TcpState>(255)) == "?");
}

TEST_CASE("timeouts: --set changes ESTABLISHED, FIN_WAIT and UDP only, and 0 keeps a value") {
  Timeouts timeouts;
  const auto edit = [](uint32_t tcp, uint32_t tcp_fin, uint32_t udp) {
    Timeouts made = Timeouts::keep();
    made.of(TcpState::kEstablished) = tcp;
    made.of(TcpState::kFinWait) = tcp_fin;
    made.udp = udp;
    return made;
  };
  timeouts.set(edit(1, 2, 3));
  Timeouts expected;
  expected.tcp[static_cast<unsigned>(TcpState::kEstablished)] = 1;
  expected.tcp[static_cast<unsigned>(TcpState::kFinWait)] = 2;
  expected.udp = 3;
  CHECK(timeouts == expected);
  timeouts.set(edit(0, 0, 0));
  CHECK(timeouts == expected);
  timeouts.set(edit(0, 5, 0));
  expected.tcp[static_cast<unsigned>(TcpState::kFinWait)] = 5;
  CHECK(timeouts == expected);
}
