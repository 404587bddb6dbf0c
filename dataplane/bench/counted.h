// SPDX-License-Identifier: Apache-2.0
// What valgrind --tool=callgrind --toggle-collect=fulcrum_bench_counted collects in: a fixed amount of work.
#pragma once

#include <type_traits>

extern "C" void fulcrum_bench_counted(void (*work)(void*), void* on, unsigned times);

namespace fulcrum::bench {

template <typename Work>
void counted(Work&& work, unsigned times) {
  fulcrum_bench_counted([](void* on) { (*static_cast<std::remove_reference_t<Work>*>(on))(); }, &work, times);
}

}  // namespace fulcrum::bench
