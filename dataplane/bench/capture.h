// SPDX-License-Identifier: Apache-2.0
// The capture file that net_pcap replays: one frame of 60 bytes (64 on the wire) a flow, in the order of the flows.
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

// What DPDK's net_pcap calls its first port: the engine takes only frames to its own address.
inline constexpr MacAddress kCapturePortMac = {0x02, 'p', 'c', 'a', 'p', 0x00};

// Throws BenchError when the file cannot be written.
void write_capture(const Scenario& scenario, const std::string& path);

}  // namespace fulcrum::bench
