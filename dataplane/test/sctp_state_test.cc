// SPDX-License-Identifier: Apache-2.0
#include "conn/sctp_state.h"

#include <doctest/doctest.h>

#include <sstream>
#include <string>
#include <vector>

using namespace fulcrum;

namespace {

const std::vector<std::string> kColumns = {"NO", "I1", "IN", "CS", "CR", "CW", "CO",
                                           "CE", "ES", "SS", "SR", "SA", "RJ", "CL"};

constexpr auto kIn = Direction::kInput, kOut = Direction::kOutput, kInOnly = Direction::kInputOnly;

struct Row {
  Direction direction;
  SctpEvent event;
  const char* next;  // in the order of kColumns
};

const Row kRows[] = {
    {kIn, SctpEvent::kData, "ES I1 IN CS CR CW CO CE ES SS SR SA RJ CL"},
    {kIn, SctpEvent::kInit, "I1 IN IN CS CR CW CO CE ES SS SR SA IN IN"},
    {kIn, SctpEvent::kInitAck, "CW CW CW CS CR CO CO CE ES SS SR SA RJ CL"},
    {kIn, SctpEvent::kCookieEcho, "CR IN IN CR CR CW CO CE ES SS SR SA RJ CL"},
    {kIn, SctpEvent::kCookieAck, "ES I1 IN CS CR CW CO ES ES SS SR SA RJ CL"},
    {kIn, SctpEvent::kShutdown, "SR I1 IN CS CR CW CO CE SR SS SR SA RJ CL"},
    {kIn, SctpEvent::kShutdownAck, "CL IN IN CS CR CW CO CE ES CL SR CL RJ CL"},
    {kIn, SctpEvent::kShutdownComplete, "CL CL CL CS CR CW CO CE ES SS SR CL RJ CL"},
    {kIn, SctpEvent::kError, "CL I1 IN CS CR CW CO CL ES SS SR SA RJ CL"},
    {kIn, SctpEvent::kAbort, "CL CL CL CL CL RJ CL CL CL CL CL CL CL CL"},
    {kOut, SctpEvent::kData, "ES I1 IN CS CR CW CO CE ES SS SR SA RJ CL"},
    {kOut, SctpEvent::kInit, "CW CW CW CW CW CW CW CW ES CW CW CW CW CW"},
    {kOut, SctpEvent::kInitAck, "CS CS CS CS CR CW CO CE ES SS SR SA RJ CL"},
    {kOut, SctpEvent::kCookieEcho, "CE CE CE CE CE CE CE CE ES SS SR SA RJ CL"},
    {kOut, SctpEvent::kCookieAck, "ES ES ES ES ES ES ES ES ES SS SR SA RJ CL"},
    {kOut, SctpEvent::kShutdown, "SS SS SS SS SS SS SS SS SS SS SR SA RJ CL"},
    {kOut, SctpEvent::kShutdownAck, "SA SA SA SA SA CW CO CE ES SA SA SA RJ CL"},
    {kOut, SctpEvent::kShutdownComplete, "CL I1 IN CS CR CW CO CE ES SS SR SA RJ CL"},
    {kOut, SctpEvent::kError, "CL CL CL CL CL CW CO CE ES SS SR SA RJ CL"},
    {kOut, SctpEvent::kAbort, "CL RJ CL CL CL CL CL CL CL CL CL CL CL CL"},
    {kInOnly, SctpEvent::kData, "ES I1 IN CS CR ES CO CE ES SS SR SA RJ CL"},
    {kInOnly, SctpEvent::kInit, "I1 IN IN IN IN IN CO CE ES SS SR SA IN IN"},
    {kInOnly, SctpEvent::kInitAck, "CE CE CE CE CE CE CO CE ES SS SR SA RJ CL"},
    {kInOnly, SctpEvent::kCookieEcho, "ES ES ES ES ES ES CO CE ES SS SR SA RJ CL"},
    {kInOnly, SctpEvent::kCookieAck, "ES I1 IN ES ES CW ES ES ES SS SR SA RJ CL"},
    {kInOnly, SctpEvent::kShutdown, "SR I1 IN CS CR CW CO CE SR SS SR SA RJ CL"},
    {kInOnly, SctpEvent::kShutdownAck, "CL IN IN CS CR CW CO CE CL CL SR CL RJ CL"},
    {kInOnly, SctpEvent::kShutdownComplete, "CL CL CL CL CL CW CO CE ES SS CL CL RJ CL"},
    {kInOnly, SctpEvent::kError, "CL I1 IN CS CR CW CO CE ES SS SR SA RJ CL"},
    {kInOnly, SctpEvent::kAbort, "CL CL CL CL CL RJ CL CL CL CL CL CL CL CL"},
    {kIn, SctpEvent::kNothing, "NO I1 IN CS CR CW CO CE ES SS SR SA RJ CL"},
    {kOut, SctpEvent::kNothing, "NO I1 IN CS CR CW CO CE ES SS SR SA RJ CL"},
    {kInOnly, SctpEvent::kNothing, "NO I1 IN CS CR CW CO CE ES SS SR SA RJ CL"},
};

using Bytes = std::vector<uint8_t>;

// A chunk whose length field says what it is, padded.
Bytes chunk(unsigned type, size_t value_size = 0) {
  const size_t length = 4 + value_size;
  Bytes bytes = {static_cast<uint8_t>(type), 0, static_cast<uint8_t>(length >> 8), static_cast<uint8_t>(length)};
  bytes.resize((length + 3) / 4 * 4);
  return bytes;
}

Bytes operator+(Bytes one, const Bytes& other) {
  one.insert(one.end(), other.begin(), other.end());
  return one;
}

constexpr unsigned kAbort = 6, kCookieEcho = 10, kCookieAck = 11;

struct Packet {
  Direction direction;
  Bytes chunks;
};

SctpState after(const std::vector<Packet>& packets) {
  SctpState state = SctpState::kNone;
  for (const Packet& packet : packets) state = next_sctp_state(packet.direction, state, sctp_event(packet.chunks));
  return state;
}

}  // namespace

TEST_CASE("sctp state: every cell of the tables") {
  for (const Row& row : kRows) {
    std::istringstream cells(row.next);
    for (unsigned state = 0; state < kSctpStates; ++state) {
      std::string expected;
      cells >> expected;
      const auto next = next_sctp_state(row.direction, static_cast<SctpState>(state), row.event);
      CAPTURE(static_cast<int>(row.direction));
      CAPTURE(static_cast<int>(row.event));
      CAPTURE(kColumns[state]);
      CHECK(kColumns.at(static_cast<unsigned>(next)) == expected);
    }
  }
}

TEST_CASE("sctp state: a number that is no state stays inside the table") {
  for (unsigned state = kSctpStates; state <= 0xff; ++state)
    for (const Row& row : kRows) {
      const auto next = next_sctp_state(row.direction, static_cast<SctpState>(state), row.event);
      CHECK(static_cast<unsigned>(next) < kSctpStates);
    }
}

TEST_CASE("sctp event: by the type of the first chunk, all that are not listed are data") {
  for (unsigned type = 0; type <= 0xff; ++type) {
    const SctpEvent expected = type == 1    ? SctpEvent::kInit
                               : type == 2  ? SctpEvent::kInitAck
                               : type == 6  ? SctpEvent::kAbort
                               : type == 7  ? SctpEvent::kShutdown
                               : type == 8  ? SctpEvent::kShutdownAck
                               : type == 9  ? SctpEvent::kError
                               : type == 10 ? SctpEvent::kCookieEcho
                               : type == 11 ? SctpEvent::kCookieAck
                               : type == 14 ? SctpEvent::kShutdownComplete
                                            : SctpEvent::kData;
    CAPTURE(type);
    CHECK(sctp_event(chunk(type)) == expected);
    CHECK(sctp_event(chunk(type, 12) + chunk(9)) == expected);
    const bool is_cookie = type == kCookieEcho || type == kCookieAck;
    CHECK(sctp_event(chunk(type) + chunk(kAbort)) == (is_cookie ? SctpEvent::kAbort : expected));
  }
}

TEST_CASE("sctp event: an ABORT right after a COOKIE chunk counts, wherever its padding ends") {
  for (const unsigned cookie : {kCookieEcho, kCookieAck})
    for (size_t size = 0; size <= 300; ++size) {
      const Bytes first = chunk(cookie, size);
      CHECK(sctp_event(first + chunk(kAbort)) == SctpEvent::kAbort);
      CHECK(sctp_event(first + chunk(0) + chunk(kAbort)) != SctpEvent::kAbort);
    }
}

TEST_CASE("sctp event: no byte beyond the end is looked at") {
  // On the heap at its exact size, for the sanitizer.
  const Bytes whole = chunk(kCookieEcho, 9) + chunk(kAbort, 4);
  for (size_t size = 0; size <= whole.size(); ++size) {
    const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    const SctpEvent expected = size < 4 ? SctpEvent::kNothing : size < 20 ? SctpEvent::kCookieEcho : SctpEvent::kAbort;
    CAPTURE(size);
    CHECK(sctp_event(cut) == expected);
  }
}

TEST_CASE("sctp event: a length that cannot be is not followed") {
  for (const unsigned length : {0u, 1u, 3u, 9u, 0xfffdu, 0xffffu}) {
    Bytes bytes = chunk(kCookieAck) + chunk(kAbort);
    bytes[2] = static_cast<uint8_t>(length >> 8);
    bytes[3] = static_cast<uint8_t>(length);
    CHECK(sctp_event(bytes) == SctpEvent::kCookieAck);
  }
}

TEST_CASE("sctp: who may start an association") {
  CHECK(may_start_association(chunk(1, 16), false));
  CHECK(may_start_association(chunk(1, 16), true));
  CHECK_FALSE(may_start_association(chunk(kAbort), false));
  CHECK_FALSE(may_start_association(chunk(kAbort), true));
  CHECK_FALSE(may_start_association(chunk(0, 12), false));
  CHECK(may_start_association(chunk(0, 12), true));
  // Only the first chunk counts here.
  CHECK(may_start_association(chunk(kCookieEcho) + chunk(kAbort), true));
  for (const bool sloppy : {false, true}) {
    CHECK_FALSE(may_start_association({}, sloppy));
    CHECK_FALSE(may_start_association(Bytes{1, 0, 0}, sloppy));
  }
  CHECK(begins_with(chunk(kAbort), SctpChunkType::kAbort));
  CHECK_FALSE(begins_with(Bytes{6, 0, 0}, SctpChunkType::kAbort));
}

// The packets of conformance scenario sctp-nat.
TEST_CASE("sctp state: NAT, opened and shut down by the client") {
  std::vector<Packet> packets;
  const struct {
    Packet packet;
    const char* state;
    uint32_t timeout_s;
  } steps[] = {
      {{kIn, chunk(1, 16)}, "INIT1", 4},         {{kOut, chunk(2, 16)}, "C-SENT", 61},
      {{kIn, chunk(10, 4)}, "C-REPLIED", 61},    {{kOut, chunk(11)}, "ESTABLISHED", 900},
      {{kIn, chunk(0, 16)}, "ESTABLISHED", 900}, {{kIn, chunk(7, 4)}, "S-RECEIVED", 61},
      {{kOut, chunk(8)}, "S-ACK-SENT", 61},      {{kIn, chunk(14)}, "CLOSED", 61},
  };
  for (const auto& step : steps) {
    packets.push_back(step.packet);
    const SctpState state = after(packets);
    CHECK(sctp_state_name(state) == step.state);
    CHECK(kSctpTimeoutSeconds[static_cast<unsigned>(state)] == step.timeout_s);
  }
}

TEST_CASE("sctp state: DR, where only the client is seen") {
  CHECK(after({{kInOnly, chunk(1, 16)}}) == SctpState::kInit1);
  CHECK(after({{kInOnly, chunk(1, 16)}, {kInOnly, chunk(kCookieEcho, 8)}}) == SctpState::kEstablished);
  CHECK(after({{kInOnly, chunk(1, 16)}, {kInOnly, chunk(kCookieEcho, 8) + chunk(kAbort)}}) == SctpState::kClosed);
}

TEST_CASE("sctp state: numbers, names, active states and default timeouts") {
  const struct {
    SctpState state;
    unsigned number;
    const char* name;
    uint32_t timeout_s;
  } rows[] = {
      {SctpState::kNone, 0, "NONE", 2},
      {SctpState::kInit1, 1, "INIT1", 4},
      {SctpState::kInit, 2, "INIT", 61},
      {SctpState::kCookieSent, 3, "C-SENT", 61},
      {SctpState::kCookieReplied, 4, "C-REPLIED", 61},
      {SctpState::kCookieWait, 5, "C-WAIT", 61},
      {SctpState::kCookie, 6, "COOKIE", 61},
      {SctpState::kCookieEchoed, 7, "C-ECHOED", 61},
      {SctpState::kEstablished, 8, "ESTABLISHED", 900},
      {SctpState::kShutdownSent, 9, "S-SENT", 61},
      {SctpState::kShutdownReceived, 10, "S-RECEIVED", 61},
      {SctpState::kShutdownAckSent, 11, "S-ACK-SENT", 61},
      {SctpState::kRejected, 12, "REJECTED", 4},
      {SctpState::kClosed, 13, "CLOSED", 61},
  };
  for (const auto& row : rows) {
    CAPTURE(row.name);
    CHECK(static_cast<unsigned>(row.state) == row.number);
    CHECK(sctp_state_name(row.state) == row.name);
    CHECK(is_active(row.state) == (row.number == 8));
    CHECK(kSctpTimeoutSeconds[row.number] == row.timeout_s);
  }
  CHECK(sctp_state_name(static_cast<SctpState>(14)) == "?");
  CHECK(sctp_state_name(static_cast<SctpState>(255)) == "?");
}
