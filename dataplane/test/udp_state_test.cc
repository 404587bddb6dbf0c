// SPDX-License-Identifier: Apache-2.0
#include "conn/udp_state.h"

#include <doctest/doctest.h>

#include "conn/timeouts.h"

using namespace fulcrum;

TEST_CASE("udp state: LVS's number, name and default timeout") {
  CHECK(static_cast<unsigned>(UdpState::kNormal) == 0);
  CHECK(kUdpStateName == "UDP");
  CHECK(Timeouts{}.udp == 300);
}
