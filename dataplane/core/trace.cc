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
ImaginedPacket imagined(const PacketView<F>& view) {
  ImaginedPacket packet;
  packet.source = Address::from(view.key.tuple.source);
  packet.destination = Address::from(view.key.tuple.destination);
  packet.source_port = view.key.tuple.source_port.host();
  packet.destination_port = view.key.tuple.destination_port.host();
  packet.protocol = view.key.protocol;
  packet.tcp_flags = view.tcp_flags;
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
    lost_.fetch_add(1, std::memory_order_relaxed);
  }
}

std::vector<std::unique_ptr<TraceRecord>> TraceSession::read(uint64_t now_ms) {
  read_at_ms_.store(now_ms);
  std::vector<std::unique_ptr<TraceRecord>> records;
  void* record;
  while (rte_ring_sc_dequeue(ring_, &record) == 0) records.emplace_back(static_cast<TraceRecord*>(record));
  return records;
}

// Each packet as a burst of its own, so that what is counted and what goes out is that packet's.
void Worker::handle_traced(rte_mbuf** packets, unsigned count, Steering steering, TraceSession& session) {
  for (unsigned i = 0; i < count; ++i) {
    if (session.is_over(now_ms_)) {
      handle_plainly(packets + i, count - i, steering);
      return;
    }
    auto record = look_at(packets[i], steering, session.filter());
    if (record == nullptr) {
      handle_plainly(packets + i, 1, steering);
      continue;
    }
    flush_all();
    uint64_t before[kVerdicts];
    std::copy_n(counters_.verdicts, kVerdicts, before);
    const uint64_t handed_over = handed_away_;
    handle_plainly(packets + i, 1, steering);
    if (handed_away_ != handed_over) continue;  // who it was handed to has it in its trace
    for (const TransmitBuffer& buffer : transmit_)
      for (unsigned sent = 0; sent < buffer.count; ++sent) record->after.push_back(bytes_of(buffer.packets[sent]));
    flush_all();
    for (size_t v = 0; v < kVerdicts; ++v)
      if (counters_.verdicts[v] != before[v]) record->verdict = static_cast<Verdict>(v);
    if (session.filter().verdict && record->verdict != session.filter().verdict) continue;
    if (record->has_flow) record->connection = connection_of(record->packet);
    session.add(std::move(record));
  }
}

// Null: it is none of those that are asked for.
std::unique_ptr<TraceRecord> Worker::look_at(rte_mbuf* packet, Steering steering, const TraceFilter& filter) {
  auto record = std::make_unique<TraceRecord>();
  const uint64_t mac = shared_.ports[packet->port].mac;
  PacketFacts facts;
  const auto read = [&]<Family F>(PacketView<F> view) {
    static_cast<PacketFacts&>(view) = facts;
    parse_network(packet, view);
    record->has_flow = view.kind == PacketKind::kFlow &&
                       (view.key.protocol == IpProtocol::kTcp || view.key.protocol == IpProtocol::kUdp);
    if (view.kind == PacketKind::kFlow) record->packet = imagined(view);
    return view.kind == PacketKind::kFlow;
  };
  bool has_addresses = false;
  const Family family = parse_link(packet, mac, facts);
  if (family == Family::kIpv4) has_addresses = read(PacketView<Family::kIpv4>{});
  if (family == Family::kIpv6) has_addresses = read(PacketView<Family::kIpv6>{});
  const bool is_any = !filter.client && !filter.vip && !filter.server;
  if (!is_any && (!has_addresses || !is_traced(filter, record->packet))) return nullptr;

  record->unix_ns = unix_ns();
  record->worker = id_;
  record->port = packet->port;
  record->was_handed_over = steering == Steering::kDone && shared_.workers > 1;
  record->before = bytes_of(packet);
  if (record->has_flow) {
    ExplainRequest request;
    request.packet = record->packet;
    explain(request);
    record->explanation = std::move(request.answer);
  }
  return record;
}

// A NAT server's packets have the server's address and the client's, a client's have the VIP's.
bool Worker::is_traced(const TraceFilter& filter, const ImaginedPacket& packet) {
  const auto has = [&](const Address& address) { return packet.source == address || packet.destination == address; };
  if (filter.client && !filter.client->contains(packet.source) && !filter.client->contains(packet.destination))
    return false;
  if (!filter.vip && !filter.server) return true;
  if ((filter.vip && has(*filter.vip)) || (filter.server && has(*filter.server))) return true;
  // Of a connection with the other of the two.
  const auto connection = connection_of(packet);
  return connection &&
         ((filter.vip && connection->vip == *filter.vip) || (filter.server && connection->server == *filter.server));
}

std::optional<ConnectionInfo> Worker::connection_of(const ImaginedPacket& packet) {
  return packet.destination.family == Family::kIpv4 ? find_connection<Family::kIpv4>(packet)
                                                    : find_connection<Family::kIpv6>(packet);
}

}  // namespace fulcrum
