// SPDX-License-Identifier: Apache-2.0
#include "net/tcp_mss.h"

#include <doctest/doctest.h>

#include "test/packet_builder.h"

using namespace fulcrum;
using namespace fulcrum::test;

namespace {

// The segment of a SYN with these options.
Bytes syn(const char* options) {
  const Bytes packet = tcp("198.51.100.1:1000", "192.0.2.1:80", "S").tcp_options(options).payload("early").packet();
  return Bytes(packet.begin() + 20, packet.end());
}
Bytes clamped(Bytes segment, uint16_t limit) {
  clamp_mss({segment.data(), segment.size()}, limit);
  return segment;
}

}  // namespace

TEST_CASE("MSS: lowered where it is greater, the checksum with it") {
  struct Case {
    const char* name;
    const char* before;
    const char* after;
  };
  for (const Case& one : {Case{"alone", "020405b4", "0204055a"}, Case{"equal", "0204055a", "0204055a"},
                          Case{"smaller", "020404b0", "020404b0"}, Case{"the greatest", "0204ffff", "0204055a"},
                          Case{"after an odd one", "01 020405b4 010101", "01 0204055a 010101"},
                          Case{"after a window scale", "030307 020405b4 01", "030307 0204055a 01"},
                          Case{"with all that Linux sends", "020405b4 0402 080a 0000000100000000 01 030307",
                               "0204055a 0402 080a 0000000100000000 01 030307"},
                          Case{"twice", "020405b4 01 020405dc 010101", "0204055a 01 0204055a 010101"}}) {
    INFO(one.name);
    CHECK(to_hex(clamped(syn(one.before), 1370)) == to_hex(syn(one.after)));
  }
}

TEST_CASE("MSS: never added, never raised; what is malformed stays as it is, and what is behind it") {
  for (const char* options :
       {"", "01010101", "0402 0101", "020401f4", "00 020405b4 000000", "0203 05b4", "020505b4 01 0000", "0200 05b4",
        "0201 05b4", "fe00 020405b4 0000", "fe20 020405b4 0000", "01010102", "010102 04"}) {
    INFO(options);
    CHECK(to_hex(clamped(syn(options), 1370)) == to_hex(syn(options)));
  }
}

TEST_CASE("MSS: a header that is not all there is left alone") {
  const Bytes whole = syn("0402 020405b4 0101");
  for (size_t size = 0; size < 28; ++size) {
    const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    CHECK(to_hex(clamped(cut, 536)) == to_hex(cut));
  }
  // Data offset below the least and beyond the segment.
  for (const unsigned words : {0u, 4u, 15u}) {
    Bytes wrong = whole;
    wrong[12] = static_cast<uint8_t>(words << 4);
    CHECK(to_hex(clamped(wrong, 536)) == to_hex(wrong));
  }
}

TEST_CASE("MSS: what was wrong with the checksum stays wrong") {
  Bytes damaged = syn("020405b4");
  damaged[16] ^= 0x40;
  Bytes expected = syn("02040218");
  expected[16] ^= 0x40;
  CHECK(to_hex(clamped(damaged, 536)) == to_hex(expected));
}
