// SPDX-License-Identifier: Apache-2.0
// LVS's defences as the workers carry them out.
#include "test/topic.h"

using namespace fulcrum;
using namespace fulcrum::test;

namespace {

const char* const kVip = "192.0.2.1:80";
std::string client(unsigned port) { return "198.51.100.1:" + std::to_string(port); }
const std::vector<std::string> kDirect = {"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.2.11:80 -g"};

}  // namespace

TEST_CASE("drop_packet: of n packets that would begin a connection the first is dropped; others pass") {
  Story story(kDirect);
  story.exchange(Side::kClient, tcp(client(999), kVip, "S").frame());
  story.shared().defence.drop_packet_rate = 3;
  std::string taken;
  for (unsigned port = 1000; port < 1009; ++port) {
    taken += story.exchange(Side::kClient, tcp(client(port), kVip, "S").frame()).empty() ? '-' : '+';
    // What belongs to a connection, or is refused anyway, is not counted.
    CHECK(story.exchange(Side::kClient, tcp(client(999), kVip, "A").frame()).size() == 1);
    CHECK(story.exchange(Side::kClient, tcp(client(7), kVip, "A").frame()).size() == 1);
    CHECK(story.exchange(Side::kClient, udp(client(7), kVip).frame()).size() == 1);
  }
  CHECK(taken == "-++-++-++");
  CHECK(story.verdict(Verdict::kDropPacket) == 3);
  story.shared().defence.drop_packet_rate = 0;
  CHECK(story.exchange(Side::kClient, tcp(client(1000), kVip, "S").frame()).size() == 1);
  check_accounts(story);
}

TEST_CASE("drop_entry: half-open connections go, a part at a time; established ones that speak stay") {
  for (const uint32_t workers : {1u, 2u}) {
    Story story(kDirect, {.workers = workers});
    for (unsigned port = 1000; port < 3000; ++port) {
      story.exchange(Side::kClient, tcp(client(port), kVip, "S").frame());
      if (port % 2 == 0) story.exchange(Side::kClient, tcp(client(port), kVip, "A").frame());
    }
    const auto left = [&] {
      std::pair<unsigned, unsigned> counts;
      for (const ConnectionInfo& at : story.World::connections())
        ++(static_cast<TcpState>(at.state) == TcpState::kEstablished ? counts.first : counts.second);
      return counts;
    };
    CHECK(left() == std::pair{1000u, 1000u});
    Command drop{};
    drop.kind = Command::Kind::kDropEntries;
    story.command(drop);
    story.run();
    const auto once = left();
    CHECK(once.first == 1000);
    // 1/32 of 2000 entries were looked at, a half of them half open, or a few less or more.
    CHECK(once.second < 1000);
    CHECK(once.second > 1000 - 2 * 63);
    for (int i = 0; i < 600; ++i) {
      story.command(drop);
      story.run();
    }
    CHECK(left().first == 1000);
    CHECK(left().second < 20);
    check_accounts(story);
  }
}
