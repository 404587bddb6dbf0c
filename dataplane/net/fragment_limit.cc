// SPDX-License-Identifier: Apache-2.0
#include "net/fragment_limit.h"

namespace fulcrum {

bool register_fragment_limit() {
  using namespace fragment_limit_parts;
  // DPDK gives the same place to the same name.
  constexpr rte_mbuf_dynfield kField = {"fulcrum_dynfield_fragment_limit", sizeof(FragmentsSeen),
                                        alignof(FragmentsSeen), 0};
  constexpr rte_mbuf_dynflag kFlag = {"fulcrum_dynflag_reassembled", 0};
  const int offset = rte_mbuf_dynfield_register(&kField), bit = rte_mbuf_dynflag_register(&kFlag);
  if (offset < 0 || bit < 0) return false;
  field_offset = offset;
  flag = uint64_t{1} << bit;
  return true;
}

}  // namespace fulcrum
