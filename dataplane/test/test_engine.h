// SPDX-License-Identifier: Apache-2.0
// EAL starts once a process, so all tests share one engine: two workers, memory ports cl and rs with one queue each, a
// clock that stands still. Tests that drive workers by hand (test/world.h) need it for EAL only; those of the engine
// itself launch it.
#pragma once

#include "core/engine.h"

namespace fulcrum::test {

// Not running yet.
Engine& test_engine();
// Its workers and control thread run.
Engine& running_engine();

}  // namespace fulcrum::test
