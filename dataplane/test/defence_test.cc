// SPDX-License-Identifier: Apache-2.0
#include "service/defence.h"

#include <doctest/doctest.h>

#include <string>

using namespace fulcrum;

namespace {

constexpr auto kOff = DefenceMode::kOff, kAutomatic = DefenceMode::kAutomatic, kOn = DefenceMode::kAutomaticOn,
               kAlways = DefenceMode::kAlways;
constexpr MemoryPressure kEnough{.available = 1024, .threshold = 1024};
constexpr MemoryPressure kShort{.available = 1023, .threshold = 1024};

EntryFacts tcp(TcpState state) { return {.protocol = IpProtocol::kTcp, .state = static_cast<uint8_t>(state)}; }
EntryFacts sctp(SctpState state) { return {.protocol = IpProtocol::kSctp, .state = static_cast<uint8_t>(state)}; }

EntryFacts quiet(EntryFacts entry, uint64_t in_packets, uint32_t idle_s = 60) {
  entry.in_packets = in_packets;
  entry.idle_s = idle_s;
  return entry;
}

// "x" for each of these that goes, "." for each that stays.
std::string meet(EntryDropper& dropper, const EntryFacts& entry, int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += dropper.drops(entry) ? 'x' : '.';
  return text;
}

std::string picked(EveryNth& counter, uint64_t n, int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += counter.pick(n) ? 'x' : '.';
  return text;
}

}  // namespace

TEST_CASE("defence: values are 0 to 3") {
  for (uint64_t value = 0; value <= 3; ++value) {
    REQUIRE(defence_mode(value).has_value());
    CHECK(static_cast<uint64_t>(*defence_mode(value)) == value);
  }
  CHECK_FALSE(defence_mode(4).has_value());
  CHECK_FALSE(defence_mode(256).has_value());
  CHECK_FALSE(defence_mode(UINT64_MAX).has_value());
}

TEST_CASE("defence: automatic reads 2 while memory is short, and 1 again after") {
  CHECK(checked(kAutomatic, kEnough) == kAutomatic);
  CHECK(checked(kAutomatic, kShort) == kOn);
  CHECK(checked(kOn, kShort) == kOn);
  CHECK(checked(kOn, kEnough) == kAutomatic);  // also when somebody wrote 2
  for (const DefenceMode mode : {kOff, kAlways})
    for (const MemoryPressure& memory : {kEnough, kShort}) CHECK(checked(mode, memory) == mode);
  CHECK_FALSE(is_in_force(kOff));
  CHECK_FALSE(is_in_force(kAutomatic));
  CHECK(is_in_force(kOn));
  CHECK(is_in_force(kAlways));
}

TEST_CASE("drop_packet: the shorter memory is, the more packets are dropped") {
  CHECK(drop_interval(kOn, {.available = 1023, .threshold = 1024}, 10) == 1024);
  CHECK(drop_interval(kOn, {.available = 512, .threshold = 1024}, 10) == 2);
  CHECK(drop_interval(kOn, {.available = 511, .threshold = 1024}, 10) == 1);
  CHECK(drop_interval(kOn, {.available = 0, .threshold = 1024}, 10) == 1);
  CHECK(drop_interval(kOn, kEnough, 10) == 0);
  CHECK(drop_interval(kOn, {}, 10) == 0);
  CHECK(drop_interval(kAlways, kEnough, 10) == 10);
  CHECK(drop_interval(kAlways, kShort, 3) == 3);
  CHECK(drop_interval(kAlways, kShort, 0) == 0);
  CHECK(drop_interval(kOff, kShort, 10) == 0);
  CHECK(drop_interval(kAutomatic, kShort, 10) == 0);
}

TEST_CASE("every n-th: the first one first, and a new interval counts at once") {
  EveryNth counter;
  CHECK(picked(counter, 0, 5) == ".....");
  CHECK(picked(counter, 3, 8) == "x..x..x.");
  CHECK(picked(counter, 2, 5) == ".x.x.");
  CHECK(picked(counter, 1, 3) == "xxx");
  EveryNth long_waiting;
  CHECK(picked(long_waiting, 1000, 2) == "x.");
  CHECK(picked(long_waiting, 4, 5) == "...x.");
  CHECK(picked(long_waiting, UINT64_MAX, 3) == "..x");
}

TEST_CASE("drop_entry: half-open connections go, whatever else; all other states stay") {
  EntryDropper dropper;
  for (unsigned state = 0; state < 16; ++state) {
    const bool tcp_goes = state == 3 || state == 10, sctp_goes = state == 1 || state == 2;
    CAPTURE(state);
    CHECK(dropper.drops(tcp(static_cast<TcpState>(state))) == tcp_goes);
    CHECK(dropper.drops(sctp(static_cast<SctpState>(state))) == sctp_goes);
    // Those below go by another rule.
    if (state == 1 || state == 8) continue;
    CHECK(dropper.drops(quiet(tcp(static_cast<TcpState>(state)), 1, 9999)) == tcp_goes);
    CHECK(dropper.drops(quiet(sctp(static_cast<SctpState>(state)), 1, 9999)) == sctp_goes);
  }
}

TEST_CASE("drop_entry: of quiet connections with i packets every i-th, each i by itself") {
  for (const EntryFacts& entry :
       {tcp(TcpState::kEstablished), sctp(SctpState::kEstablished), EntryFacts{.protocol = IpProtocol::kUdp},
        EntryFacts{.protocol = IpProtocol::kUdp, .is_template = true, .is_assured = true, .is_one_packet = true}}) {
    EntryDropper dropper;
    CHECK(meet(dropper, quiet(entry, 0), 3) == "...");
    CHECK(meet(dropper, quiet(entry, 1), 3) == "xxx");
    CHECK(meet(dropper, quiet(entry, 3), 4) == "x..x");
    CHECK(meet(dropper, quiet(entry, 8), 8) == "x.......");
    CHECK(meet(dropper, quiet(entry, 3), 3) == "..x");
    CHECK(meet(dropper, quiet(entry, 8), 2) == "x.");
    CHECK(meet(dropper, quiet(entry, 9), 20) == std::string(20, '.'));
    CHECK(meet(dropper, quiet(entry, uint64_t{1} << 32 | 1), 2) == "..");
    // Those that are not quiet are not counted either.
    CHECK(meet(dropper, quiet(entry, 2, 59), 5) == ".....");
    CHECK(meet(dropper, quiet(entry, 2, 60), 3) == "x.x");
  }
}

TEST_CASE("drop_entry: templates go unless they are assured") {
  EntryDropper dropper;
  EntryFacts entry{.protocol = IpProtocol::kTcp, .is_template = true};
  CHECK(dropper.drops(entry));
  entry.is_assured = true;
  CHECK_FALSE(dropper.drops(quiet(entry, 1, 9999)));
}

TEST_CASE("drop_entry: what controls others stays") {
  EntryDropper dropper;
  for (EntryFacts entry : {tcp(TcpState::kSynReceived), quiet(tcp(TcpState::kEstablished), 1),
                           EntryFacts{.protocol = IpProtocol::kTcp, .is_template = true}}) {
    CHECK(dropper.drops(entry));
    entry.controls_others = true;
    CHECK_FALSE(dropper.drops(entry));
  }
}
