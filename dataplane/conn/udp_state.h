// SPDX-License-Identifier: Apache-2.0
// The state of a UDP connection: there is one, which packets of either direction refresh. It never counts as active.
#pragma once

#include <cstdint>
#include <string_view>

namespace fulcrum {

enum class UdpState : uint8_t { kNormal = 0 };  // LVS's number in listings' order and on the synchronisation wire

inline constexpr std::string_view kUdpStateName = "UDP";
inline constexpr uint32_t kUdpTimeoutSeconds = 300;

}  // namespace fulcrum
