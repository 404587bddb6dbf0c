// SPDX-License-Identifier: Apache-2.0
// LVS's tunables by their sysctl names and defaults (net.ipv4.vs.*), and those of the director's own small stack by
// Linux's. Plain values in the snapshot; an edit names only what it changes.
#pragma once

#include <cstdint>
#include <optional>

#include "net/flow_key.h"

namespace fulcrum {

// X(name, default)
#define FULCRUM_TUNABLES(X)                                                                                         \
  X(expire_nodest_conn, 0)        /* 1: connections of a deleted real server end, instead of waiting for it */      \
  X(expire_quiescent_template, 0) /* 1: a template whose server has weight 0 no longer holds */                     \
  X(conn_reuse_mode, 1)           /* bit 0: a SYN on TIME_WAIT or CLOSE is a new connection; bit 1: FIN_WAIT too */ \
  X(sloppy_tcp, 0)                /* 1: schedule any segment but RST */                                             \
  X(sloppy_sctp, 0)               /* 1: schedule any packet but ABORT */                                            \
  X(schedule_icmp, 0)             /* 1: errors about unknown connections are scheduled like them */                 \
  X(nat_icmp_send, 0)             /* 1: port unreachable to a NAT server that nobody talks to */                    \
  X(snat_reroute, 1)              /* routing does not look at the source here: no difference */                     \
  X(pmtu_disc, 1)                 /* 0: tunnels neither check the MTU nor copy DF */                                \
  X(cache_bypass, 0)              /* 1: fwmark service without a server: on to the packet's destination */          \
  X(ignore_tunneled, 0)           /* nothing is decapsulated here: no difference */                                 \
  X(backup_only, 0)                                                                                                 \
  X(conntrack, 0)                                                                                                   \
  X(lblc_expiration, 86400)  /* seconds */                                                                          \
  X(lblcr_expiration, 86400) /* seconds */                                                                          \
  X(secure_tcp, 0)           /* defences: 0 off, 1 automatic, 3 always */                                           \
  X(drop_entry, 0)                                                                                                  \
  X(drop_packet, 0)                                                                                                 \
  X(amemthresh, 1024) /* pages of 4 KiB, of room for connections */                                                 \
  X(am_droprate, 10)                                                                                                \
  X(run_estimation, 1)       /* 0: rates and ipvsadm's counters stand still */                                      \
  X(icmp_msgs_per_sec, 1000) /* ICMP errors of the director's own, all workers; 0: no limit */                      \
  X(icmp_msgs_burst, 50)                                                                                            \
  X(new_connections_per_second, 0) /* of all workers, each has its share, and as many at once; 0: no limit */       \
  X(stateless_spread, 1)           /* 1: what finds no room in overload goes to a DR or TUN server without entry */ \
  X(stateless_grace, 1)            /* 1: such flows go on for one ESTABLISHED timeout, also after a start */        \
  X(ipfrag_high_thresh, 4194304)   /* bytes of buffers that a worker holds for incomplete datagrams */              \
  X(ipfrag_time, 30)               /* seconds */                                                                    \
  X(ip6frag_time, 60)              /* seconds */

struct Tunables {
#define X(name, initially) uint32_t name = initially;
  FULCRUM_TUNABLES(X)
#undef X
  bool operator==(const Tunables&) const = default;

  // Any packet of this protocol may begin a connection, but those that end one.
  bool is_sloppy(IpProtocol protocol) const {
    return (protocol == IpProtocol::kTcp && sloppy_tcp != 0) || (protocol == IpProtocol::kSctp && sloppy_sctp != 0);
  }
};

struct TunablesEdit {
#define X(name, initially) std::optional<uint32_t> name;
  FULCRUM_TUNABLES(X)
#undef X
  void apply_to(Tunables& tunables) const {
#define X(name, initially) \
  if (name) tunables.name = *name;
    FULCRUM_TUNABLES(X)
#undef X
  }
  // All of them.
  static TunablesEdit to(const Tunables& tunables) {
    TunablesEdit edit;
#define X(name, initially) edit.name = tunables.name;
    FULCRUM_TUNABLES(X)
#undef X
    return edit;
  }
};

}  // namespace fulcrum
