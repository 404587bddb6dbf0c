// SPDX-License-Identifier: Apache-2.0
// What a configuration asks for, before EAL runs: whether it can be meant so, and the packet buffers it takes.
#pragma once

#include "core/config.h"
#include "core/eal.h"

namespace fulcrum {

// Throws StartError that begins with the field.
void check(const StartConfig& config);

// An upper bound of what ports and workers will ask for.
uint32_t estimate_buffers(const StartConfig& config);

// For what the kernel sends. 0: no port has a kernel port.
uint32_t estimate_kernel_buffers(const StartConfig& config);

// Data room of a packet buffer: a whole frame, with room before it for a tunnel's headers.
uint16_t data_room(const StartConfig& config);

MemoryNeeds estimate_memory(const StartConfig& config);

}  // namespace fulcrum
