// SPDX-License-Identifier: Apache-2.0
#include "test/buffers.h"

#include "net/fragment_limit.h"
#include "test/test_engine.h"

namespace fulcrum::test {

rte_mempool* test_buffers() {
  static rte_mempool* made = [] {
    test_engine();
    rte_mempool* pool = rte_pktmbuf_pool_create("test_buffers", 8191, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    if (pool == nullptr || !register_fragment_limit()) throw std::runtime_error("no packet buffers: does EAL run?");
    return pool;
  }();
  return made;
}

}  // namespace fulcrum::test
