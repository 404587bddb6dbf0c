// SPDX-License-Identifier: Apache-2.0
#include "core/packet_fanout.h"

#include <doctest/doctest.h>
#include <linux/if_packet.h>
#include <sys/socket.h>

#include <cerrno>
#include <thread>

using namespace fulcrum;

TEST_CASE("packet fanout: needed by devices with several queue pairs") {
  CHECK(packet_fanout({"fulcrum", "--vdev=net_null0"}) == PacketFanout::kNoDevices);
  CHECK(packet_fanout({"--vdev=net_af_packet0,iface=eth0"}) == PacketFanout::kNotNeeded);
  CHECK(packet_fanout({"--vdev=net_af_packet0,iface=eth0,qpairs=1,framesz=2048"}) == PacketFanout::kNotNeeded);
  CHECK(packet_fanout({"--vdev=net_af_packet0,iface=eth0,qpairs=1", "--vdev=net_af_packet1,iface=eth1,qpairs=2"}) ==
        PacketFanout::kNeeded);
  CHECK(packet_fanout({"--vdev=net_af_packet0,iface=eth0,qpairs=16"}) == PacketFanout::kNeeded);
}

TEST_CASE("packet fanout: asking for it succeeds, and nothing is done; other options are the kernel's") {
  const auto set = [](int level, int option) {
    const int value = 0;
    return setsockopt(-1, level, option, &value, sizeof(value)) == 0 ? 0 : errno;
  };
  std::thread([&] {
    // A file that is not open: the kernel itself would say so.
    CHECK(set(SOL_PACKET, PACKET_FANOUT) == EBADF);
    CHECK(refuse_packet_fanout() == "");
    CHECK(set(SOL_PACKET, PACKET_FANOUT) == 0);
    CHECK(set(SOL_PACKET, PACKET_VERSION) == EBADF);
    CHECK(set(SOL_SOCKET, PACKET_FANOUT) == EBADF);
    std::thread([&] { CHECK(set(SOL_PACKET, PACKET_FANOUT) == 0); }).join();
  }).join();
  CHECK(set(SOL_PACKET, PACKET_FANOUT) == EBADF);
}
