// SPDX-License-Identifier: Apache-2.0
#include "core/trace.h"

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include <chrono>
#include <stdexcept>
#include <string>

#include "core/forward.h"

namespace fulcrum {

namespace {

FrameBytes bytes_of(const rte_mbuf* packet) {
  FrameBytes bytes;
  bytes.reserve(rte_pktmbuf_pkt_len(packet));
  for (; packet != nullptr; packet = packet->next) {
    const auto* data = rte_pktmbuf_mtod(packet, const uint8_t*);
    bytes.insert(bytes.end(), data, data + rte_pktmbuf_data_len(packet));
  }
  return bytes;
}

uint64_t unix_ns() {
  using namespace std::chrono;
  return static_cast<uint64_t>(duration_cast<nanoseconds>(system_clock::now().time_since_epoch()).count());
}

template <Family F>
ImaginedPacket imagined(const rte_mbuf* frame, const PacketView<F>& view) {
  ImaginedPacket packet;
  packet.source = Address::from(view.key.tuple.source);
  packet.destination = Address::from(view.key.tuple.destination);
  packet.source_port = view.key.tuple.source_port.host();
  packet.destination_port = view.key.tuple.destination_port.host();
  packet.protocol = view.key.protocol;
  packet.tcp_flags = view.tcp_flags;
  if (const auto chunks = chunks_of(frame, view); packet.protocol == IpProtocol::kSctp && !chunks.empty())
    packet.sctp_chunk = static_cast<SctpChunkType>(chunks[0]);
  packet.length = view.total_length;
  if constexpr (F == Family::kIpv4) packet.dont_fragment = (view.header().fragment.host() & kIpv4DontFragment) != 0;
  return packet;
}

}  // namespace

TraceSession::TraceSession(uint64_t id, const TraceFilter& filter, uint64_t now_ms)
    : id_(id), filter_(filter), read_at_ms_(now_ms) {
  ring_ = rte_ring_create(("fulcrum_trace_" + std::to_string(id)).c_str(), kRingSize, SOCKET_ID_ANY, RING_F_SC_DEQ);
  if (ring_ == nullptr) throw std::runtime_error("no memory for a trace");
}

TraceSession::~TraceSession() {
  void* record;
  while (rte_ring_sc_dequeue(ring_, &record) == 0) delete static_cast<TraceRecord*>(record);
  rte_ring_free(ring_);
}

void TraceSession::add(std::unique_ptr<TraceRecord> record) {
  if (taken_.fetch_add(1, std::memory_order_relaxed) >= filter_.most) return;
  if (rte_ring_mp_enqueue(ring_, record.get()) == 0) {
    record.release();
  } else {
    lose();
  }
}

std::vector<std::unique_ptr<TraceRecord>> TraceSession::read(uint64_t now_ms) {
  read_at_ms_.store(now_ms);
  std::vector<std::unique_ptr<TraceRecord>> records;
  void* record;
  while (rte_ring_sc_dequeue(ring_, &record) == 0) records.emplace_back(static_cast<TraceRecord*>(record));
  return records;
}

// Those that nobody wants to see stay bursts.
void Worker::handle_traced(rte_mbuf** packets, unsigned count, Steering steering, TraceSession& session) {
  unsigned first = 0;
  for (unsigned i = 0; i < count && !session.is_over(now_ms_); ++i) {
    const SeenPacket seen = see(packets[i]);
    if (!may_be_wanted(session.filter(), seen)) continue;
    if (!may_trace()) {
      session.lose();
      continue;
    }
    if (first < i) handle_plainly(packets + first, i - first, steering);
    first = i + 1;
    trace_one(packets[i], steering, session, seen);
  }
  if (first < count) handle_plainly(packets + first, count - first, steering);
}

// As a burst of its own, so that what is counted and what goes out is this packet's.
void Worker::trace_one(rte_mbuf* packet, Steering steering, TraceSession& session, const SeenPacket& seen) {
  auto record = std::make_unique<TraceRecord>();
  record->unix_ns = unix_ns();
  record->worker = id_;
  record->port = packet->port;
  record->was_handed_over = steering == Steering::kDone && shared_.workers > 1;
  record->before = bytes_of(packet);
  record->has_flow = seen.has_flow;
  record->packet = seen.packet;
  if (seen.has_flow) {
    ExplainRequest request;
    request.packet = seen.packet;
    request.wants_candidates = true;
    explain(request);
    record->explanation = std::move(request.answer);
  }
  flush_all();
  uint64_t before[kVerdicts];
  std::copy_n(counters_.verdicts, kVerdicts, before);
  const uint64_t handed_away = handed_away_;
  handle_plainly(&packet, 1, steering);
  if (handed_away_ != handed_away) return;  // its owner has it in the trace
  for (const TransmitBuffer& buffer : transmit_)
    for (unsigned sent = 0; sent < buffer.count; ++sent) record->after.push_back(bytes_of(buffer.packets[sent]));
  flush_all();
  for (size_t v = 0; v < kVerdicts; ++v)
    if (counters_.verdicts[v] != before[v]) record->verdict = static_cast<Verdict>(v);
  if (seen.has_flow) record->connection = connection_of(seen.packet);

  const TraceFilter& filter = session.filter();
  if (filter.verdict && record->verdict != filter.verdict) return;
  // It may have begun a connection with another server than the one that is asked for.
  const auto& server = filter.server;
  if (server && !seen.packet.has_end(*server) && !(record->connection && record->connection->server == *server)) return;
  session.add(std::move(record));
}

SeenPacket Worker::see(rte_mbuf* packet) const {
  SeenPacket seen;
  PacketFacts facts;
  const auto read = [&]<Family F>(PacketView<F> view) {
    static_cast<PacketFacts&>(view) = facts;
    parse_network(packet, view);
    seen.has_flow = view.kind == PacketKind::kFlow;
    if (seen.has_flow) seen.packet = imagined(packet, view);
  };
  const Family family = parse_link(packet, shared_.ports[packet->port].mac, facts);
  if (family == Family::kIpv4) read(PacketView<Family::kIpv4>{});
  if (family == Family::kIpv6) read(PacketView<Family::kIpv6>{});
  return seen;
}

// By all that can be known before it is handled.
bool Worker::may_be_wanted(const TraceFilter& filter, const SeenPacket& seen) {
  if (!filter.client && !filter.vip && !filter.server) return true;
  if (!seen.has_flow) return false;
  const ImaginedPacket& packet = seen.packet;
  if (filter.client && !filter.client->contains(packet.source) && !filter.client->contains(packet.destination))
    return false;
  const bool is_at_vip = !filter.vip || packet.has_end(*filter.vip);
  const bool is_at_server = !filter.server || packet.has_end(*filter.server);
  if (is_at_vip && is_at_server) return true;
  const auto connection = connection_of(packet);
  if (!connection) return is_at_vip;  // it may begin one
  return (is_at_vip || connection->vip == *filter.vip) && (is_at_server || connection->server == *filter.server);
}

bool Worker::may_trace() {
  constexpr TokenRate kRate{.per_second = TraceSession::kPerMs * 1000, .burst = TraceSession::kAtOnce};
  if (!tracing_budget_.has(kRate, now_ms_)) return false;
  tracing_budget_.take(kRate);
  return true;
}

std::optional<ConnectionInfo> Worker::connection_of(const ImaginedPacket& packet) {
  return packet.destination.family == Family::kIpv4 ? find_connection<Family::kIpv4>(packet)
                                                    : find_connection<Family::kIpv6>(packet);
}

}  // namespace fulcrum
