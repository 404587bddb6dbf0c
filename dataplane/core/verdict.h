// SPDX-License-Identifier: Apache-2.0
// Every way in which a packet can leave. Each packet that was received leaves by exactly one verdict, each verdict is
// a counter, each counter a metric.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace fulcrum {

// X(enumerator, name, packet is lost)
#define FULCRUM_VERDICTS(X)                                                                                      \
  /* Balanced. */                                                                                                \
  X(kForwardedNat, "forwarded_nat", false)                                                                       \
  X(kForwardedNatReply, "forwarded_nat_reply", false)                                                            \
  X(kForwardedDr, "forwarded_dr", false)                                                                         \
  X(kForwardedTun, "forwarded_tun", false)                                                                       \
  X(kForwardedReply, "forwarded_reply", false)      /* reply of a DR or TUN server that passes the director */   \
  X(kForwardedBypass, "forwarded_bypass", false)    /* cache_bypass: on to its own destination */                \
  X(kTunnelErrorTaken, "tunnel_error_taken", false) /* ICMP error about a tunnel packet of ours */               \
  X(kReassembled, "fragment_reassembled", false)    /* became part of a datagram, which has its own verdict */   \
  /* Not balanced, not ours. */                                                                                  \
  X(kRouted, "routed", false)                                                                                    \
  /* Ours: the director's own small stack. */                                                                    \
  X(kArpAnswered, "arp_answered", false)                                                                         \
  X(kArpTaken, "arp_taken", false)                                                                               \
  X(kArpIgnored, "arp_ignored", false)                                                                           \
  X(kNeighborAnswered, "nd_answered", false)                                                                     \
  X(kNeighborTaken, "nd_taken", false)                                                                           \
  X(kNeighborIgnored, "nd_ignored", false)                                                                       \
  X(kEchoAnswered, "icmp_echo_answered", false)                                                                  \
  X(kResetSent, "tcp_reset_sent", false)                                                                         \
  X(kPortUnreachableSent, "port_unreachable_sent", false)                                                        \
  X(kNoServer, "no_server", false) /* no real server left: answered with port unreachable */                     \
  X(kTimeExceededSent, "time_exceeded_sent", false)                                                              \
  X(kFragmentationNeededSent, "fragmentation_needed_sent", false)                                                \
  X(kHostUnreachableSent, "host_unreachable_sent", false)                                                        \
  X(kNetUnreachableSent, "net_unreachable_sent", false)                                                          \
  X(kProtocolUnreachableSent, "protocol_unreachable_sent", false)                                                \
  X(kLocalIgnored, "local_ignored", false) /* addressed to us, and nothing is to be said to it */                \
  X(kToKernel, "to_kernel", false)         /* the kernel's, by the kernel port */                                \
  /* Not for us: what a port sees of its segment's other traffic. */                                             \
  X(kOtherHost, "other_host", false)                                                                             \
  X(kUnknownVlan, "unknown_vlan", false)                                                                         \
  X(kMulticast, "multicast_ignored", false)                                                                      \
  X(kUnknownEtherType, "unknown_ether_type", false)                                                              \
  /* Malformed. */                                                                                               \
  X(kTruncated, "malformed_truncated", true)                                                                     \
  X(kBadIpHeader, "malformed_ip_header", true)                                                                   \
  X(kBadIpChecksum, "malformed_ip_checksum", true)                                                               \
  X(kBadTransport, "malformed_transport", true)                                                                  \
  X(kBadArp, "malformed_arp", true)                                                                              \
  X(kBadNeighborDiscovery, "malformed_nd", true)                                                                 \
  X(kFragmentMalformed, "fragment_malformed", true)                                                              \
  X(kFragmentDuplicate, "fragment_duplicate", true)                                                              \
  X(kFragmentOverlap, "fragment_overlap", true)                                                                  \
  X(kMartian, "martian_address", true)                                                                           \
  /* Dropped by a rule of LVS. */                                                                                \
  X(kServerGone, "server_gone", true)         /* connection of a deleted real server (expire_nodest_conn = 0) */ \
  X(kDropPacket, "drop_packet", true)         /* every n-th first packet while drop_packet is in force */        \
  X(kTunnelMtu, "tunnel_mtu_too_small", true) /* the link leaves less than the least MTU for a tunnel */         \
  X(kFragmentTimeout, "fragment_timeout", true)                                                                  \
  X(kErrorWithheld, "error_withheld", true)        /* cannot go on, and no error may or can be sent about it */  \
  X(kErrorRateLimited, "error_rate_limited", true) /* icmp_msgs_per_sec */                                       \
  X(kForwardingOff, "forwarding_off", true)                                                                      \
  /* Dropped by a rule of the service that LVS has no word for. */                                               \
  X(kClientDenied, "client_denied", true)                /* its prefixes do not take this client */              \
  X(kConnectionLimit, "connection_limit", true)          /* max_connections */                                   \
  X(kConnectionRateLimit, "connection_rate_limit", true) /* connections_per_second */                            \
  /* Dropped for want of something. */                                                                           \
  X(kTableFull, "connection_table_full", true)                                                                   \
  X(kNewConnectionBudget, "new_connection_budget", true) /* new_connections_per_second */                        \
  X(kHandoverFull, "handover_full", true)                                                                        \
  X(kTransmitFull, "transmit_full", true)                                                                        \
  X(kNoBuffer, "no_buffer", true)                                                                                \
  X(kFragmentMemory, "fragment_memory", true)                                                                    \
  X(kNeighborQueueFull, "neighbor_queue_full", true)                                                             \
  X(kNeighborFailed, "neighbor_failed", true)                                                                    \
  X(kNeighborTableFull, "neighbor_table_full", true)                                                             \
  X(kNoHeadroom, "no_headroom", true)                                                                            \
  X(kKernelRateLimited, "kernel_rate_limited", true) /* more of its class than the kernel port lets pass */      \
  X(kKernelQueueFull, "kernel_queue_full", true)     /* the kernel port does not come after */                   \
  X(kStopped, "stopped", true)

enum class Verdict : uint8_t {
#define X(enumerator, name, lost) enumerator,
  FULCRUM_VERDICTS(X)
#undef X
      kCount
};
inline constexpr size_t kVerdicts = static_cast<size_t>(Verdict::kCount);

std::string_view verdict_name(Verdict verdict);
bool verdict_is_loss(Verdict verdict);

}  // namespace fulcrum
