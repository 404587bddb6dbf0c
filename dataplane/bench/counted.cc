// SPDX-License-Identifier: Apache-2.0
#include "bench/counted.h"

__attribute__((noinline)) void fulcrum_bench_counted(void (*work)(void*), void* on, unsigned times) {
  for (unsigned time = 0; time < times; ++time) work(on);
}
