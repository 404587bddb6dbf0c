// SPDX-License-Identifier: Apache-2.0
// DPDK's AF_PACKET driver puts its sockets into a fanout group, also a lone one, and asks the kernel to reassemble IPv4
// datagrams for it. Those are longer than the frames of the ring and would arrive cut off; and how large the fragments
// were nobody knows any longer. The driver of DPDK 22.11 has no option against it, so that its request is
// answered with "done", and not done, where one socket takes everything anyway.
#pragma once

#include <string>
#include <vector>

namespace fulcrum {

// Whether EAL's arguments name AF_PACKET devices, and none of them needs its fanout group: each has one queue pair.
enum class PacketFanout { kNoDevices, kNotNeeded, kNeeded };
PacketFanout packet_fanout(const std::vector<std::string>& eal_arguments);

// From now on this thread, and those that it will start, ask in vain to join a fanout group: setsockopt(PACKET_FANOUT)
// succeeds without effect. Empty if it is so; else why not.
std::string refuse_packet_fanout();

}  // namespace fulcrum
