// SPDX-License-Identifier: Apache-2.0
// Explain, between messages and engine.
#include <cstdio>
#include <ctime>

#include "api/fields.h"
#include "api/translate.h"
#include "conn/tcp_state.h"

namespace fulcrum::api {

namespace {

constexpr uint32_t kMostFlags = 0x3f;
constexpr uint32_t kMostChunk = 0xff;

}  // namespace

ImaginedPacket imagined_packet(const v1::ImaginedPacket& message, const std::string& path) {
  ImaginedPacket made;
  const bool is_tcp = message.protocol() == v1::PROTOCOL_TCP, is_sctp = message.protocol() == v1::PROTOCOL_SCTP;
  if (!is_tcp && !is_sctp && message.protocol() != v1::PROTOCOL_UDP)
    bad(path + ".protocol", "must be TCP, UDP or SCTP");
  made.protocol = static_cast<IpProtocol>(message.protocol());
  made.source = address(message.source(), path + ".source");
  made.destination = address(message.destination(), path + ".destination");
  if (made.source.family != made.destination.family)
    bad(path + ".destination", "is of another address family than the source");
  made.source_port = port_number(message.source_port(), path + ".source_port");
  made.destination_port = port_number(message.destination_port(), path + ".destination_port");
  if (!is_tcp && message.has_tcp_flags()) bad(path + ".tcp_flags", "is of TCP");
  if (message.tcp_flags() > kMostFlags) bad(path + ".tcp_flags", std::to_string(message.tcp_flags()) + " is above 63");
  if (is_tcp) made.tcp_flags = message.has_tcp_flags() ? static_cast<uint8_t>(message.tcp_flags()) : uint8_t{kTcpSyn};
  if (!is_sctp && message.has_sctp_chunk()) bad(path + ".sctp_chunk", "is of SCTP");
  if (message.sctp_chunk() > kMostChunk)
    bad(path + ".sctp_chunk", std::to_string(message.sctp_chunk()) + " is above 255");
  if (is_sctp)
    made.sctp_chunk =
        message.has_sctp_chunk() ? static_cast<SctpChunkType>(message.sctp_chunk()) : SctpChunkType::kInit;
  const unsigned headers = is_tcp ? kTcpBytes : is_sctp ? kSctpBytes + sizeof(SctpChunkHeader) : kUdpBytes;
  const uint32_t least = (made.source.family == Family::kIpv4 ? kIpv4Bytes : kIpv6Bytes) + headers;
  if (message.length() != 0 && message.length() < least)
    bad(path + ".length",
        std::to_string(message.length()) + " is less than the headers, which take " + std::to_string(least));
  made.length = message.length() == 0 ? static_cast<uint16_t>(least) : port_number(message.length(), path + ".length");
  made.dont_fragment = !message.may_be_cut();
  return made;
}

TraceFilter trace_filter(const dataplane::StartTraceRequest& message) {
  TraceFilter made;
  const v1::TraceFilter& filter = message.filter();
  if (!filter.client().empty()) made.client = prefix(filter.client(), "filter.client");
  if (!filter.vip().empty()) made.vip = address(filter.vip(), "filter.vip");
  if (!filter.server().empty()) made.server = address(filter.server(), "filter.server");
  for (size_t i = 0; i < kVerdicts; ++i)
    if (verdict_name(static_cast<Verdict>(i)) == filter.verdict()) made.verdict = static_cast<Verdict>(i);
  if (!filter.verdict().empty() && !made.verdict)
    bad("filter.verdict", "there is no verdict \"" + filter.verdict() + "\"");
  made.most = message.count();
  return made;
}

void write(const TraceRecord& record, const std::string& port, const Network& network, v1::TracedPacket* message) {
  const auto seconds = static_cast<time_t>(record.unix_ns / 1'000'000'000);
  tm calendar{};
  gmtime_r(&seconds, &calendar);
  char text[64];
  const size_t size = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &calendar);
  std::snprintf(text + size, sizeof text - size, ".%09uZ", static_cast<unsigned>(record.unix_ns % 1'000'000'000));
  message->set_time(text);
  message->set_worker(record.worker);
  message->set_port(port);
  message->set_handed_over(record.was_handed_over);
  if (record.has_flow) {
    const ImaginedPacket& packet = record.packet;
    auto* to = message->mutable_packet();
    to->set_protocol(static_cast<v1::Protocol>(packet.protocol));
    to->set_source(packet.source.text());
    to->set_source_port(packet.source_port);
    to->set_destination(packet.destination.text());
    to->set_destination_port(packet.destination_port);
    if (packet.protocol == IpProtocol::kTcp) to->set_tcp_flags(packet.tcp_flags);
    if (packet.protocol == IpProtocol::kSctp) to->set_sctp_chunk(static_cast<uint32_t>(packet.sctp_chunk));
    to->set_length(packet.length);
    to->set_may_be_cut(!packet.dont_fragment);
    write(record.explanation, network, message->mutable_explanation());
  }
  if (record.verdict) {
    message->set_verdict(std::string(verdict_name(*record.verdict)));
    message->set_drop(verdict_is_loss(*record.verdict));
  }
  if (record.connection) write(*record.connection, message->mutable_connection());
  message->set_before(record.before.data(), record.before.size());
  for (const FrameBytes& frame : record.after) message->add_after(frame.data(), frame.size());
}

void write(const Explanation& explanation, const Network& network, v1::Explanation* message) {
  const auto write_server = [](const ServerKey& key, v1::ServerKey* to) {
    to->set_address(key.address.text());
    to->set_port(key.port);
  };
  message->set_worker(explanation.worker);
  message->set_fwmark(explanation.mark);
  if (explanation.service) write(*explanation.service, message->mutable_service());
  message->set_scheduler(explanation.scheduler);
  if (explanation.connection) write(*explanation.connection, message->mutable_connection());
  message->set_is_reply(explanation.is_reply);
  message->set_by_template(explanation.by_template);
  for (const Candidate& candidate : explanation.candidates) {
    auto* to = message->add_candidates();
    write_server(candidate.key, to->mutable_key());
    to->set_weight(candidate.weight);
    to->set_active_connections(candidate.active);
    to->set_inactive_connections(candidate.inactive);
    to->set_overloaded(candidate.overloaded);
    if (candidate.cost) to->set_cost(*candidate.cost);
  }
  if (explanation.server) {
    write_server(*explanation.server, message->mutable_server());
    message->set_server_port(explanation.server_port);
    message->set_method(method_message(explanation.method));
  }
  if (explanation.interface != kNoInterface) {
    message->set_interface(network.interface(explanation.interface).name);
    message->set_neighbor(explanation.neighbor.text());
    if (explanation.mac) message->set_mac(mac_text(*explanation.mac));
    message->set_mtu(explanation.mtu);
  }
  message->set_verdict(std::string(verdict_name(explanation.verdict)));
  message->set_drop(verdict_is_loss(explanation.verdict));
  message->set_reason(explanation.reason);
}

}  // namespace fulcrum::api
