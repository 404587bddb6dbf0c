// SPDX-License-Identifier: Apache-2.0
// The packet's path once more, in the order of director.cc and without its effects: nothing is counted, made, taken or
// sent. What a scheduler would choose is asked of a copy of its state.
#include "core/explain.h"

#include <algorithm>

#include "core/forward.h"
#include "core/masquerade.h"
#include "net/owner.h"

namespace fulcrum {

namespace {

template <Family F>
FlowKey<F> flow_of(const ImaginedPacket& packet) {
  FlowKey<F> key;
  key.tuple.source = packet.source.as<F>();
  key.tuple.destination = packet.destination.as<F>();
  key.tuple.source_port = be16::from_host(packet.source_port);
  key.tuple.destination_port = be16::from_host(packet.destination_port);
  key.protocol = packet.protocol;
  return key;
}

Verdict client_verdict(ForwardingMethod method) {
  switch (method) {
    case ForwardingMethod::kNat:
      return Verdict::kForwardedNat;
    case ForwardingMethod::kTun:
      return Verdict::kForwardedTun;
    case ForwardingMethod::kBypass:
      return Verdict::kForwardedBypass;
    default:
      return Verdict::kForwardedDr;
  }
}

Verdict reply_verdict(ForwardingMethod method) {
  return method == ForwardingMethod::kNat ? Verdict::kForwardedNatReply : Verdict::kForwardedReply;
}

// As Worker::may_start() has it.
bool may_be_first(const ImaginedPacket& packet, bool sloppy) {
  switch (packet.protocol) {
    case IpProtocol::kTcp:
      if (sloppy) return (packet.tcp_flags & kTcpRst) == 0;
      return (packet.tcp_flags & (kTcpSyn | kTcpRst)) == kTcpSyn;
    case IpProtocol::kSctp:
      return packet.sctp_chunk == SctpChunkType::kInit || (sloppy && packet.sctp_chunk != SctpChunkType::kAbort);
    default:
      return true;
  }
}

// As Worker::starts_anew() has it: what may begin anew where there are remains of an old connection.
bool asks_to_start(const ImaginedPacket& packet) {
  if (packet.protocol == IpProtocol::kTcp) return (packet.tcp_flags & kTcpSyn) != 0;
  return packet.protocol == IpProtocol::kSctp && packet.sctp_chunk == SctpChunkType::kInit;
}

}  // namespace

template <Family F>
std::optional<ConnectionInfo> Worker::find_connection(const ImaginedPacket& packet) {
  const FlowKey<F> key = flow_of<F>(packet);
  const Found<F> found = lane<F>().table.find(key, lane<F>().table.hash(key));
  if (!found || is_due(found.entry->deadline, now_) || found.entry->server == Shared::kCondemnedSlot)
    return std::nullopt;
  return info_of(*found.entry, lane<F>().table.record(found.index));
}
template std::optional<ConnectionInfo> Worker::find_connection<Family::kIpv4>(const ImaginedPacket&);
template std::optional<ConnectionInfo> Worker::find_connection<Family::kIpv6>(const ImaginedPacket&);

std::vector<Candidate> candidates_of(const VirtualService& service, const LoadView& loads) {
  std::vector<Candidate> candidates;
  candidates.reserve(service.servers.size());
  for (auto server = service.servers.rbegin(); server != service.servers.rend(); ++server) {
    const ServerLoad load = loads.of(server->slot);
    Candidate candidate{server->key, server->weight, load.active, load.inactive, is_overloaded(*server, loads), {}};
    if (service.rules != nullptr && service.rules->cost != nullptr && server->weight != 0)
      candidate.cost = service.rules->cost(load, server->weight);
    candidates.push_back(candidate);
  }
  return candidates;
}

void Worker::explain(ExplainRequest& request) {
  const bool is_ipv4 = request.packet.destination.family == Family::kIpv4;
  is_ipv4 ? explain_flow<Family::kIpv4>(request) : explain_flow<Family::kIpv6>(request);
  request.done.store(1, std::memory_order_release);
}

template <Family F>
void Worker::explain_flow(ExplainRequest& request) {
  const FlowKey<F> key = flow_of<F>(request.packet);
  Lane<F>& lane = this->lane<F>();
  Found<F> found = lane.table.find(key, lane.table.hash(key));
  if (found && is_due(found.entry->deadline, now_)) found = {};
  request.owner = id_;
  if (!found && shared_.workers > 1)
    if (const auto hash = owner_hash_of(key)) request.owner = owner_of(*hash, shared_.workers);
  if (request.owner != id_) return;
  request.is_answered = true;
  request.answer.worker = id_;
  // Two addresses, and ports that no connection of a client has.
  if (found && !(key.tuple.source_port.raw == 0 && !found.is_reply) && explain_hit(request, key, found)) return;
  explain_miss(request, key);
}

// False: it begins anew, or is taken as if it met nothing.
template <Family F>
bool Worker::explain_hit(ExplainRequest& request, const FlowKey<F>& key, Found<F> found) {
  const Connection<F>& entry = *found.entry;
  Explanation& answer = request.answer;
  const bool is_special = entry.server >= Shared::kFirstSpecialSlot;
  answer.connection = info_of(entry, lane<F>().table.record(found.index));
  answer.is_reply = found.is_reply;
  const auto end = [&](Verdict verdict, std::string reason) {
    answer.verdict = verdict;
    answer.reason = std::move(reason);
    return true;
  };
  if (entry.server == Shared::kCondemnedSlot)
    return end(found.is_reply ? reply_verdict(entry.method()) : client_verdict(entry.method()),
               "its connection was deleted with a reset: the packet goes on as one");
  if (entry.method() == ForwardingMethod::kMasquerade) {
    explain_way(answer, Address::from(found.is_reply ? entry.forward.source : entry.forward.destination));
    return end(found.is_reply ? Verdict::kMasqueradedReply : Verdict::kMasqueraded, "of a flow that is masqueraded");
  }
  const ServerLine& server = shared_.servers[entry.server];
  const bool available = is_special || server.available.load(std::memory_order_relaxed);
  if (!found.is_reply) {
    if (asks_to_start(request.packet) && may_begin_again(entry, key.protocol)) {
      answer.reason = "it begins a new connection: the old one was over";
      answer.connection.reset();
      return false;
    }
    if (!available) {
      if (snapshot_->tunables.expire_nodest_conn != 0) {
        answer.reason = "its server is gone, and expire_nodest_conn lets it begin anew";
        answer.connection.reset();
        return false;
      }
      return end(Verdict::kServerGone, "the real server of its connection was deleted");
    }
    answer.method = entry.method();
    if (!is_special) {
      answer.server = ServerKey{server.address, server.port};
      answer.server_port = entry.reply.source_port.host();
      explain_server_way<F>(request, entry.server);
    } else {
      explain_way(answer, request.packet.destination);
      answer.verdict = Verdict::kForwardedBypass;
    }
    return true;
  }
  answer.method = entry.method();
  explain_way(answer, Address::from(entry.forward.source));
  if (answer.mtu == 0) return end(Verdict::kNetUnreachableSent, "no route leads to the client");
  answer.verdict = reply_verdict(entry.method());
  return true;
}

template <Family F>
void Worker::explain_miss(ExplainRequest& request, const FlowKey<F>& key) {
  Explanation& answer = request.answer;
  const ImaginedPacket& packet = request.packet;
  const auto end = [&](Verdict verdict, const std::string& reason) {
    answer.verdict = verdict;
    answer.reason += (answer.reason.empty() || reason.empty() ? "" : "; ") + reason;
  };
  if (is_martian(key.tuple.source) || is_martian(key.tuple.destination))
    return end(Verdict::kMartian, "its source or destination is no address that a host may have");
  const Mark mark = mark_of(*snapshot_->marks, key);
  answer.mark = mark.value;
  const LocalAddress* own = local(key.tuple.destination);
  if (own == nullptr && !mark.local) return explain_route(request);
  const VirtualService* service =
      snapshot_->find_service(packet.destination, key.protocol, packet.destination_port, mark.value);
  const auto unbalanced = [&](const std::string& why) {
    if (own == nullptr) return end(Verdict::kLocalIgnored, why + ", and no host has this address: nobody answers");
    explain_local(request, *own, why);
  };
  if (service == nullptr) return unbalanced("no virtual service has this address, port and protocol, or its mark");
  answer.service = service->key;
  answer.scheduler = service->scheduler;
  if (service->traffic != nullptr && !service->traffic->clients.takes(*snapshot_->prefix_lists, key.tuple.source))
    return end(Verdict::kClientDenied, "the service's traffic policy does not take this client");
  if (constexpr bool kSloppy = true; !may_be_first(packet, !kSloppy)) {
    const RealServer* known = follows_spread<F>() ? spread_target(*service, key) : nullptr;
    if (known != nullptr) {
      answer.reason = "it belongs to no connection, and goes where one without an entry would (stateless_spread)";
      return explain_server<F>(request, *known, key.tuple.destination_port.host());
    }
    if (!may_be_first(packet, snapshot_->tunables.is_sloppy(key.protocol)))
      return unbalanced("it belongs to no connection, and begins none");
  }
  if (packet.source_port == kFtpDataPort) return unbalanced("what comes from FTP's data port is never scheduled");
  if (lane<F>().table.is_full())
    return end(Verdict::kTableFull, "the connection table of worker " + std::to_string(id_) + " is full");
  if (service->traffic != nullptr) {
    const uint32_t most = service->traffic->policy.max_connections;
    if (most != 0 && shared_.services[service->slot].connections.load(std::memory_order_relaxed) >= most)
      return end(Verdict::kConnectionLimit, "the service has its " + std::to_string(most) + " connections");
  }
  explain_choice(request, key, *service, mark.value, own != nullptr);
}

template <Family F>
void Worker::explain_choice(ExplainRequest& request, const FlowKey<F>& key, const VirtualService& service,
                            uint32_t mark, bool is_own) {
  Explanation& answer = request.answer;
  const auto end = [&](Verdict verdict, const std::string& reason) {
    answer.verdict = verdict;
    answer.reason += (answer.reason.empty() || reason.empty() ? "" : "; ") + reason;
  };
  const RealServer* server = peek_server(service, key, mark, answer);
  if (request.wants_candidates && service.rules != nullptr && service.rules->cost != nullptr &&
      service.servers.size() <= ExplainRequest::kMostCandidates)
    answer.candidates = candidates_of(service, shared_.loads());
  if (server == nullptr) {
    const auto& servers = service.servers;
    const auto quiesced = std::count_if(servers.begin(), servers.end(), [](const auto& of) { return of.weight == 0; });
    const auto overloaded = std::count_if(servers.begin(), servers.end(), [&](const auto& of) {
      return of.weight != 0 && is_overloaded(of, shared_.loads());
    });
    std::string why = "no real server takes it: ";
    if (servers.empty()) {
      why += "the pool is empty";
    } else {
      why += std::to_string(quiesced) + " of " + std::to_string(servers.size()) + " have weight 0, " +
             std::to_string(overloaded) + " have reached their upper threshold";
    }
    if (is_own) return end(Verdict::kNoServer, why);
    return end(snapshot_->tunables.cache_bypass != 0 ? Verdict::kForwardedBypass : Verdict::kErrorWithheld, why);
  }
  explain_server<F>(request, *server, answer.server_port);
}

template <Family F>
void Worker::explain_server(ExplainRequest& request, const RealServer& server, uint16_t port) {
  request.answer.server = server.key;
  request.answer.server_port = port;
  request.answer.method = server.method;
  explain_server_way<F>(request, server.slot);
}

// As choose_server() would; null: none.
template <Family F>
const RealServer* Worker::peek_server(const VirtualService& service, const FlowKey<F>& key, uint32_t mark,
                                      Explanation& answer) {
  const be16 port = key.tuple.destination_port;
  answer.server_port = port.host();
  const RealServer* server = nullptr;
  if (service.persistence_timeout_s != 0) {
    const bool quiesced_counts = snapshot_->tunables.expire_quiescent_template == 0;
    const ServerSlot slot = shared_.templates->find(template_key(service, key, mark), now_);
    if (slot != kNoSlot && shared_.servers[slot].available.load(std::memory_order_relaxed) && service.find(slot) >= 0 &&
        (quiesced_counts || shared_.servers[slot].weight.load(std::memory_order_relaxed) != 0)) {
      server = &service.servers[static_cast<size_t>(service.find(slot))];
      answer.by_template = true;
    }
  } else if (port.host() != service.key.port && service.key.fwmark == 0) {
    return nullptr;
  }
  if (server == nullptr && spreads<F>()) server = spread_target(service, key);
  if (server == nullptr) server = foretell(service, key);
  const bool translates = service.persistence_timeout_s == 0 || port.host() == service.key.port;
  if (server != nullptr && server->key.port != 0 && translates) answer.server_port = server->key.port;
  return server;
}

// What schedule() would answer.
template <Family F>
const RealServer* Worker::foretell(const VirtualService& service, const FlowKey<F>& key) {
  if (service.rules == nullptr) return nullptr;
  const ScheduleRequest request{Address::from(key.tuple.source), Address::from(key.tuple.destination),
                                key.tuple.source_port.host(), now_ms_};
  int chosen;
  if (service.rules->foretell != nullptr) {
    chosen = service.rules->foretell(service, shared_.loads(), request);
  } else {
    SchedulerState state = state_of(service);
    chosen = service.rules->choose(state, service, shared_.loads(), request);
  }
  return chosen < 0 ? nullptr : &service.servers[static_cast<size_t>(chosen)];
}

// By the server's forwarding method, as long as the packet fits.
template <Family F>
void Worker::explain_server_way(ExplainRequest& request, ServerSlot slot) {
  Explanation& answer = request.answer;
  const ServerLine& server = shared_.servers[slot];
  const ImaginedPacket& packet = request.packet;
  const auto end = [&](Verdict verdict, const std::string& reason) {
    answer.verdict = verdict;
    answer.reason += (answer.reason.empty() || reason.empty() ? "" : "; ") + reason;
  };
  explain_way(answer, server.address);
  if (answer.mtu == 0) return end(Verdict::kHostUnreachableSent, "no route leads to " + server.address.text());
  // What may be cut is cut, but for IPv6.
  const bool may_be_cut = F == Family::kIpv4 && !packet.dont_fragment;
  unsigned limit = answer.mtu;
  if (answer.method == ForwardingMethod::kTun) {
    const TunnelSettings tunnel = server.tunnel.load(std::memory_order_relaxed);
    const unsigned overhead = tunnel_overhead(tunnel, server.address.family);
    const unsigned least = server.address.family == Family::kIpv4 ? kIpv4LeastMtu : kIpv6LeastMtu;
    answer.mtu = path_mtu(server, answer.mtu);
    if (answer.mtu < overhead + least)
      return end(Verdict::kTunnelMtu, "a tunnel over a path MTU of " + std::to_string(answer.mtu) + " has no room");
    limit = snapshot_->tunables.pmtu_disc != 0 ? answer.mtu - overhead : 0xffff;
  }
  if (packet.length > limit && !may_be_cut)
    return end(Verdict::kFragmentationNeededSent, std::to_string(packet.length) + " bytes do not fit into " +
                                                      std::to_string(limit) + " on the way to the server");
  end(client_verdict(answer.method),
      answer.mac ? "" : answer.neighbor.text() + " has not answered for its MAC: the packet waits for it");
}

// What is neither balanced nor ours.
void Worker::explain_route(ExplainRequest& request) {
  Explanation& answer = request.answer;
  const Address& destination = request.packet.destination;
  const auto end = [&](Verdict verdict, const char* reason) {
    answer.verdict = verdict;
    answer.reason = reason;
  };
  if (!shared_.forwarding)
    return end(Verdict::kForwardingOff, "it is for no address of the director's, and routing is switched off");
  explain_way(answer, destination);
  if (snapshot_->tunables.nat_icmp_send != 0 &&
      snapshot_->is_nat_server(request.packet.source, request.packet.source_port, request.packet.protocol))
    return end(Verdict::kPortUnreachableSent, "it comes from a NAT server and belongs to no connection");
  const Network& network = *snapshot_->network;
  const bool is_hole = destination.family == Family::kIpv4 ? network.is_blackhole(destination.v4())
                                                           : network.is_blackhole(destination.v6());
  if (answer.mtu == 0 && is_hole) return end(Verdict::kBlackholed, "the route to its destination is a black hole");
  if (answer.mtu == 0) return end(Verdict::kNetUnreachableSent, "no route leads to its destination");
  if (shared_.masquerade != nullptr && shared_.masquerade->find(request.packet.source, answer.interface) != nullptr)
    return end(Verdict::kMasqueraded, "it is for no address of the director's, and its source is masqueraded");
  end(Verdict::kRouted, "it is for no address of the director's: routed");
}

void Worker::explain_way(Explanation& answer, const Address& destination) {
  const Route* route = snapshot_->network->find_route(destination);
  if (route == nullptr) return;
  answer.interface = route->interface;
  answer.neighbor = route->gateway.family == Family::kNone ? destination : route->gateway;
  answer.mtu = snapshot_->network->interface(route->interface).mtu;
  const AdjacencyIndex bound = neighbors_.find(NeighborKey{answer.neighbor, 0, answer.interface});
  if (bound == kNoAdjacency) return;
  const Adjacency& adjacency = (*shared_.adjacencies)[bound];
  if (!adjacency.usable.load(std::memory_order_relaxed)) return;
  answer.mac = adjacency.mac();
}

// To an address of ours that is not balanced. Which way it came in is not said: by that which leads back.
void Worker::explain_local(ExplainRequest& request, const LocalAddress& own, const std::string& why) {
  Explanation& answer = request.answer;
  const ImaginedPacket& packet = request.packet;
  const auto end = [&](Verdict verdict, const std::string& what) {
    answer.verdict = verdict;
    answer.reason += (answer.reason.empty() ? "" : "; ") + why + what;
  };
  const Route* back = snapshot_->network->find_route(packet.source);
  const bool has_kernel =
      back != nullptr && back->interface < shared_.to_kernel.size() && shared_.to_kernel[back->interface] != nullptr;
  if (own.is_own && has_kernel) return end(Verdict::kToKernel, ": the host's");
  if (packet.protocol == IpProtocol::kUdp)
    return end(Verdict::kPortUnreachableSent, ": answered with port unreachable");
  if (packet.protocol == IpProtocol::kSctp)
    return end(Verdict::kProtocolUnreachableSent, ": answered with protocol unreachable");
  if ((packet.tcp_flags & kTcpRst) != 0) return end(Verdict::kLocalIgnored, ": nobody answers a reset");
  end(Verdict::kResetSent, ": answered with a reset");
}

}  // namespace fulcrum
