// SPDX-License-Identifier: Apache-2.0
// The table is LVS's (conformance scenario tun-fields).
#include "forward/tunnel.h"

#include <doctest/doctest.h>

#include "test/packet_text.h"

using namespace fulcrum;
using namespace fulcrum::test;

TEST_CASE("tunnel: every field of the outer header") {
  struct Row {
    unsigned tos, ttl;
    bool dont_fragment;
    const char* outer;
  };
  // The inner packet is a SYN of 40 bytes after its TTL was decremented.
  const Row rows[] = {{0x00, 63, true, "4500003c000040003f0423b10a0002010a00020d"},
                      {0xb8, 1, true, "45b8003c00004000010460f90a0002010a00020d"},
                      {0x01, 254, true, "4501003c00004000fe0464af0a0002010a00020d"},
                      {0x02, 63, true, "4502003c000040003f0423af0a0002010a00020d"},
                      {0x03, 63, true, "4502003c000040003f0423af0a0002010a00020d"},
                      {0x2f, 63, false, "452e003c000000003f0463830a0002010a00020d"}};
  for (const Row& row : rows) {
    const Bytes inner = tcp("198.51.100.1:1000", "192.0.2.1:80", "S")
                            .tos(row.tos)
                            .ttl(row.ttl)
                            .dont_fragment(row.dont_fragment)
                            .packet();
    Bytes outer(kIpipBytes);
    write_ipip(*reinterpret_cast<Ipv4Header*>(outer.data()), *reinterpret_cast<const Ipv4Header*>(inner.data()),
               Endpoint("10.0.2.1").address.v4(), Endpoint("10.0.2.13").address.v4(), be16{});
    CHECK(to_hex(outer) == row.outer);
  }
}

TEST_CASE("tunnel: the id is the caller's where the packet may be cut, and 0 where it may not") {
  for (const bool dont_fragment : {false, true}) {
    const Bytes inner = tcp("198.51.100.1:1", "192.0.2.1:80", "S").dont_fragment(dont_fragment).packet();
    Bytes outer(kIpipBytes);
    write_ipip(*reinterpret_cast<Ipv4Header*>(outer.data()), *reinterpret_cast<const Ipv4Header*>(inner.data()),
               Endpoint("10.0.2.1").address.v4(), Endpoint("10.0.2.13").address.v4(), be16::from_host(0xabcd));
    CHECK(get16(outer, 4) == (dont_fragment ? 0 : 0xabcd));
    CHECK(slow_checksum(outer) == 0);
  }
}
