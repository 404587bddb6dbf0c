// SPDX-License-Identifier: Apache-2.0
// A configuration in a few numbers, worked out from what the packet path reads. The manager works out the same from
// what it declared (src/manager/verify/configuration_digest.ts): whatever is changed here is changed there.
#pragma once

#include "net/digest.h"
#include "service/snapshot.h"

namespace fulcrum {

// Of the service itself; its servers' are added to it one by one, in order of addition.
Digest digest_of(const VirtualService& service);
Digest digest_of(const RealServer& server);

// Of a VIP, or with a length of a range.
Digest digest_of(const Prefix& vip, const LocalAddress& what);

// What belongs to no service, but for VIPs.
struct SettingsDigests {
  Digest timeouts;
  Digest tunables;
  Digest mark_rules;
  Digest prefix_lists;
};
SettingsDigests settings_digests(const Snapshot& snapshot);

// Calls visit(name, seconds) of each timeout, by its name in the API.
template <typename Visit>
void visit_timeouts(const TimeoutTable& table, const Visit& visit) {
  const auto of = [&](std::string_view name, TimeoutTable::Row row, auto state) {
    visit(name, table.of(row, static_cast<uint8_t>(state)) / kTicksPerSecond);
  };
  of("udp", TimeoutTable::kUdp, 0);
  of("tcp", TimeoutTable::kTcp, TcpState::kEstablished);
  of("tcp_fin", TimeoutTable::kTcp, TcpState::kFinWait);
  of("tcp_none", TimeoutTable::kTcp, TcpState::kNone);
  of("tcp_syn_sent", TimeoutTable::kTcp, TcpState::kSynSent);
  of("tcp_syn_recv", TimeoutTable::kTcp, TcpState::kSynReceived);
  of("tcp_time_wait", TimeoutTable::kTcp, TcpState::kTimeWait);
  of("tcp_close", TimeoutTable::kTcp, TcpState::kClose);
  of("tcp_close_wait", TimeoutTable::kTcp, TcpState::kCloseWait);
  of("tcp_last_ack", TimeoutTable::kTcp, TcpState::kLastAck);
  of("tcp_listen", TimeoutTable::kTcp, TcpState::kListen);
  of("tcp_synack", TimeoutTable::kTcp, TcpState::kSynAck);
  of("sctp_none", TimeoutTable::kSctp, SctpState::kNone);
  of("sctp_init1", TimeoutTable::kSctp, SctpState::kInit1);
  of("sctp_init", TimeoutTable::kSctp, SctpState::kInit);
  of("sctp_cookie_sent", TimeoutTable::kSctp, SctpState::kCookieSent);
  of("sctp_cookie_replied", TimeoutTable::kSctp, SctpState::kCookieReplied);
  of("sctp_cookie_wait", TimeoutTable::kSctp, SctpState::kCookieWait);
  of("sctp_cookie", TimeoutTable::kSctp, SctpState::kCookie);
  of("sctp_cookie_echoed", TimeoutTable::kSctp, SctpState::kCookieEchoed);
  of("sctp_established", TimeoutTable::kSctp, SctpState::kEstablished);
  of("sctp_shutdown_sent", TimeoutTable::kSctp, SctpState::kShutdownSent);
  of("sctp_shutdown_received", TimeoutTable::kSctp, SctpState::kShutdownReceived);
  of("sctp_shutdown_ack_sent", TimeoutTable::kSctp, SctpState::kShutdownAckSent);
  of("sctp_rejected", TimeoutTable::kSctp, SctpState::kRejected);
  of("sctp_closed", TimeoutTable::kSctp, SctpState::kClosed);
}

}  // namespace fulcrum
