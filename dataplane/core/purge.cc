// SPDX-License-Identifier: Apache-2.0
// Connections that an operator deletes: each worker looks through its own tables, a slice between bursts. With a reset
// a TCP connection leaves its server's counts at once, but its entry stays for a minute: sequence numbers are not
// tracked, so the next segment of either end brings the numbers that both ends accept (RFC 5961 section 3.2).
#include <algorithm>

#include "core/forward.h"
#include "net/chain.h"
#include "net/checksum.h"

namespace fulcrum {

namespace {

constexpr uint32_t kPurgeBudget = 512;
// Below the time that a server without connections stays in the trash: its slot still means that server.
constexpr uint32_t kCondemnedSeconds = 60;

// A segment without data that resets; its addresses, ports, sequence and acknowledgement numbers stay.
template <Family F>
void become_reset(rte_mbuf* packet, PacketView<F>& view) {
  auto& ip = view.header();
  auto& tcp = *reinterpret_cast<TcpHeader*>(view.transport());
  view.total_length = static_cast<uint16_t>(view.transport_offset + kTcpBytes);
  if constexpr (F == Family::kIpv4) {
    ip.total_length = be16::from_host(view.total_length);
    ip.checksum = be16{};
    ip.checksum = internet_checksum(&ip, ip.header_bytes());
  } else {
    ip.payload_length = be16::from_host(static_cast<uint16_t>(view.total_length - kIpv6Bytes));
  }
  view.tcp_flags = tcp.flags = kTcpRst | kTcpAck;
  tcp.data_offset = kTcpBytes / 4 << 4;
  tcp.urgent = tcp.checksum = be16{};
  const auto& tuple = view.key.tuple;
  tcp.checksum = transport_checksum(tuple.source, tuple.destination, IpProtocol::kTcp, &tcp, kTcpBytes);
  shorten(packet, static_cast<uint32_t>(view.ip - rte_pktmbuf_mtod(packet, uint8_t*)) + view.total_length);
}

}  // namespace

bool Worker::purge_slice() {
  PurgeRequest& request = *purging_;
  uint32_t budget = kPurgeBudget;
  if (request.cursor < kIpv6Cursor && purge_lane<Family::kIpv4>(request, budget)) request.cursor = kIpv6Cursor;
  if (request.cursor >= kIpv6Cursor && purge_lane<Family::kIpv6>(request, budget)) {
    purging_ = nullptr;
    request.done.store(1, std::memory_order_release);
  }
  return true;
}

// True at the end of this family's table.
template <Family F>
bool Worker::purge_lane(PurgeRequest& request, uint32_t& budget) {
  const ConnectionTable<F>& table = lane<F>().table;
  constexpr uint32_t kBase = F == Family::kIpv4 ? 0 : kIpv6Cursor;
  const uint32_t end = table.high_water();
  for (; request.cursor - kBase < end && budget != 0; ++request.cursor, --budget) {
    const ConnectionIndex index = request.cursor - kBase;
    const Connection<F>& entry = table.entry(index);
    if (!entry.is_used() || is_due(entry.deadline, now_) || entry.server == Shared::kCondemnedSlot) continue;
    const ConnectionRecord& record = table.record(index);
    const ServerLine& server = shared_.servers[entry.server];
    if (!matches(request.filter, entry, record, server.address, server.port)) continue;
    ++request.connections;
    request.active += entry.is_active();
    request.oldest = std::max(request.oldest, static_cast<Ticks>(now_ - record.created));
    if (request.action == PurgeRequest::Action::kCount) continue;
    ++counters_.deleted;
    if (request.action == PurgeRequest::Action::kReset && can_be_reset(entry)) {
      condemn<F>(index);
    } else {
      end_connection<F>(index);
    }
  }
  return request.cursor - kBase >= end;
}

// Of the others either no end is there any more, or nothing tells it.
template <Family F>
bool Worker::can_be_reset(const Connection<F>& entry) const {
  const auto state = static_cast<TcpState>(entry.state);
  return entry.protocol == IpProtocol::kTcp && entry.method() != ForwardingMethod::kBypass &&
         entry.method() != ForwardingMethod::kMasquerade && state != TcpState::kTimeWait && state != TcpState::kClose;
}

// From here on nobody counts it, and its packets meet a server that is never available.
template <Family F>
void Worker::condemn(ConnectionIndex index) {
  Lane<F>& lane = this->lane<F>();
  leave_server<F>(index);
  Connection<F>& entry = lane.table.entry(index);
  ConnectionRecord& record = lane.table.record(index);
  record.extension = entry.server;
  record.controlling = kNoTemplate;
  entry.server = Shared::kCondemnedSlot;
  entry.flags = (entry.flags & ~kFlagControlled) | kFlagInactive;
  entry.deadline = now_ + std::min(ticks_until(entry.deadline, now_), seconds_to_ticks(kCondemnedSeconds));
  lane.wheel->rearm(index, entry.deadline);
  ++server_counters_[Shared::kCondemnedSlot].inactive;
}

// A packet of a condemned connection. Its numbers are those that its sender expects in a reset, and, if nothing was
// lost on the way, those that its receiver does; a receiver that misses something answers, and that answer is the next
// such packet. What a DR or TUN server sends past the client's acknowledgements waits for these.
template <Family F, bool kIsReply>
void Worker::reset_flow(rte_mbuf* packet, PacketView<F>& view, Found<F> found) {
  if (is_due(found.entry->deadline, now_)) {
    end_connection<F>(found.index);
    return handle_miss(packet, view);
  }
  if constexpr (kIsReply) {
    if (view.ttl() <= 1) return refuse(packet, view, Refusal::kTimeExceeded, Verdict::kTimeExceededSent);
  } else {
    if (view.key.tuple.source_port.raw == 0) return handle_miss(packet, view);
    if ((view.tcp_flags & (kTcpSyn | kTcpAck | kTcpRst)) == kTcpSyn) return replace(packet, view, found.index);
  }
  Connection<F> entry = *found.entry;
  entry.server = lane<F>().table.record(found.index).extension;
  entry.route_epoch = route_epoch_ - 1;
  const bool has_numbers = (view.tcp_flags & (kTcpAck | kTcpRst)) == kTcpAck;
  if (has_numbers && (!kIsReply || entry.method() == ForwardingMethod::kNat)) {
    if (const Verdict sent = send_reset(packet, view); sent != Verdict::kResetSent) return drop(packet, sent);
    ++counters_.resets;
    become_reset(packet, view);
  }
  kIsReply ? forward_to_client(packet, view, entry) : forward_to_server(packet, view, entry);
}

#define INSTANTIATE(F)                                                             \
  template void Worker::reset_flow<F, false>(rte_mbuf*, PacketView<F>&, Found<F>); \
  template void Worker::reset_flow<F, true>(rte_mbuf*, PacketView<F>&, Found<F>)
INSTANTIATE(Family::kIpv4);
INSTANTIATE(Family::kIpv6);

}  // namespace fulcrum
