// SPDX-License-Identifier: Apache-2.0
// The capture files that net_pcap replays: one frame a flow, in the order of the flows, or a few frames that the source
// stamps as they are received. As short as they may be: 60 bytes (64 on the wire) where the headers fit.
#pragma once

#include <stdexcept>
#include <string>

#include "bench/scenario.h"
#include "net/address.h"

namespace fulcrum::bench {

class BenchError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// What DPDK's net_pcap calls its ports: the engine takes only frames to its own address.
constexpr MacAddress capture_port_mac(unsigned pair) { return {0x02, 'p', 'c', 'a', 'p', static_cast<uint8_t>(pair)}; }
// The file of a pair of devices.
std::string capture_of_pair(const std::string& path, unsigned pair);

// The frame of a flow on a pair of devices, as its file has it; of what does not preload, the n-th frame.
std::vector<uint8_t> frame_of(const Scenario& scenario, unsigned pair, uint32_t flow);

// Throws BenchError when a file cannot be written.
void write_captures(const Scenario& scenario, const std::string& path);

}  // namespace fulcrum::bench
