// SPDX-License-Identifier: Apache-2.0
// How a real server wants its tunnelled packets (ipvsadm --tun-type, --tun-port, --tun-csum). forward/tunnel.h writes
// them.
#pragma once

#include <cstdint>

namespace fulcrum {

enum class TunnelType : uint8_t { kIpip = 0, kGue = 1, kGre = 2 };

// LVS lets a GUE tunnel leave the inner checksum to the receiver (kRemote) if a device was to fill it in. Packets here
// are always complete, for which LVS computes the outer checksum as for kFull. GRE has no such thing: none is computed.
enum class TunnelChecksum : uint8_t { kNone = 0, kFull = 1, kRemote = 2 };

struct TunnelSettings {
  TunnelType type = TunnelType::kIpip;
  TunnelChecksum checksum = TunnelChecksum::kNone;
  uint16_t port = 0;  // GUE: host order

  constexpr bool operator==(const TunnelSettings&) const = default;
};
static_assert(sizeof(TunnelSettings) == 4);

}  // namespace fulcrum
