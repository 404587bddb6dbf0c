// SPDX-License-Identifier: Apache-2.0
#include "api/calls.h"

#include <rte_version.h>
#include <unistd.h>

#include <algorithm>
#include <unordered_map>

#include "api/fields.h"
#include "api/read_back.h"

namespace fulcrum::api {

namespace {

constexpr uint32_t kLongestPage = 10'000;
constexpr uint32_t kDefaultPage = 1'000;
constexpr uint32_t kLongestWaitMs = 1'000;  // of a call that waits for something to happen

template <typename Request, typename Response>
std::string answer(Engine& engine, const std::string& bytes, void (*handle)(Engine&, const Request&, Response&)) {
  Request request;
  if (!request.ParseFromString(bytes))
    throw CallError("INVALID_ARGUMENT", "the request is not a " + request.GetTypeName());
  Response response;
  handle(engine, request, response);
  return response.SerializeAsString();
}

void get_state(Engine& engine, const dataplane::GetStateRequest&, dataplane::GetStateResponse& response) {
  const Engine::State state = engine.state();
  response.set_instance_id(state.instance_id);
  response.set_generation(state.generation);
  response.set_lineage(state.lineage);
  response.set_pid(static_cast<uint32_t>(getpid()));
  response.set_workers(state.workers);
  response.set_memory(state.memory);
  response.set_uptime_ms(state.uptime_ms);
  response.set_connections(state.connections);
  response.set_connection_capacity(state.connection_capacity);
  response.set_secure_tcp_active(state.secure_tcp);
  response.set_drop_entry_active(state.drop_entry);
  response.set_drop_packet_active(state.drop_packet);
  for (const OverloadReport& overload : state.overloads) write(overload, response.add_overloads());
  const std::string version = rte_version();  // "DPDK 22.11.11"
  response.set_dpdk_version(version.substr(version.find(' ') + 1));
}

[[noreturn]] void wrong_instance(const Engine& engine) {
  throw CallError("FAILED_PRECONDITION", "instance_id: this is instance " + engine.state().instance_id);
}

[[noreturn]] void wrong_generation(uint64_t current) {
  throw CallError("FAILED_PRECONDITION", "base_generation: the current one is " + std::to_string(current));
}

std::vector<Operation> operations(const v1::Operations& message, const std::string& path) {
  std::vector<Operation> made;
  made.reserve(static_cast<size_t>(message.operations_size()));
  for (int i = 0; i < message.operations_size(); ++i)
    made.push_back(operation(message.operations(i), path + "[" + std::to_string(i) + "]"));
  return made;
}

void apply(Engine& engine, const dataplane::ApplyRequest& request, dataplane::ApplyResponse& response) {
  Engine::ApplyOutcome outcome;
  bool atomic = true;
  if (request.has_snapshot()) {
    outcome = engine.apply_snapshot(request.instance_id(), request.lineage(), request.generation(),
                                    wanted(request.snapshot(), "snapshot"));
  } else {
    atomic = request.mode() != v1::APPLY_MODE_RESTORE;
    outcome = engine.apply_operations(request.instance_id(), request.lineage(), request.base_generation(),
                                      request.generation(), operations(request.operations(), "operations"), atomic);
  }
  switch (outcome.error) {
    case ApplyError::kWrongInstance:
      wrong_instance(engine);
    case ApplyError::kWrongGeneration:
      wrong_generation(outcome.generation);
    case ApplyError::kNone:
      break;
  }
  response.set_generation(outcome.generation);
  for (const OperationResult& result : outcome.results) write(result, response.add_results());
}

void plan(Engine& engine, const dataplane::PlanRequest& request, dataplane::PlanResponse& response) {
  const auto outcome =
      engine.plan(request.instance_id(), request.base_generation(), operations(request.operations(), "operations"));
  if (outcome.error == ApplyError::kWrongInstance) wrong_instance(engine);
  if (outcome.error == ApplyError::kWrongGeneration) wrong_generation(outcome.generation);
  const auto& results = outcome.plan.results;
  if (!results.empty() && results.back().reason != Reason::kDone)
    throw CallError("INVALID_ARGUMENT", "operations[" + std::to_string(results.size() - 1) + "]." +
                                            results.back().field + ": " + results.back().message);
  for (const ServicePlan& service : outcome.plan.services) write(service, response.add_services());
}

void digest(Engine& engine, const dataplane::DigestRequest& request, dataplane::DigestResponse& response) {
  const auto report = engine.digest();
  if (!report) throw CallError("UNAVAILABLE", "the dataplane is stopping");
  response.set_generation(report->generation);
  for (size_t worker = 0; worker < report->workers.size(); ++worker)
    write(report->workers[worker], static_cast<uint32_t>(worker), request.with_services(), response.add_workers());
}

void read_back(Engine& engine, const dataplane::ReadBackRequest& request, dataplane::ReadBackResponse& response) {
  engine.read_back([&](const Snapshot& snapshot, const ServerLine* lines) {
    if (!request.has_service()) return write_settings(snapshot, response.mutable_configuration());
    if (request.service() >= snapshot.services.size())
      throw CallError("NOT_FOUND", "service: there are " + std::to_string(snapshot.services.size()));
    write(*snapshot.services[request.service()], response.mutable_configuration()->add_services());
    for (std::string& what : contradictions(snapshot, request.service(), lines))
      response.add_contradictions(std::move(what));
  });
}

void get_statistics(Engine& engine, const dataplane::GetStatisticsRequest& request,
                    dataplane::GetStatisticsResponse& response) {
  std::vector<ServiceStatistics> services;
  if (request.has_service()) {
    const ServiceKey only = service_key(request.service(), "service");
    services = engine.statistics(&only, request.estimated());
    if (services.empty()) throw CallError("NOT_FOUND", "service: does not exist");
  } else {
    services = engine.statistics(nullptr, request.estimated());
    for (const WorkerReport& report : engine.workers()) write(report, response.add_workers());
  }
  for (const ServiceStatistics& service : services) write(service, response.add_services());
}

void list_connections(Engine& engine, const dataplane::ListConnectionsRequest& request,
                      dataplane::ListConnectionsResponse& response) {
  const uint32_t limit = request.page_size() == 0 ? kDefaultPage : std::min(request.page_size(), kLongestPage);
  std::vector<ConnectionInfo> page;
  const ConnectionFilter filter = connection_filter(request.filter(), "filter");
  response.set_next_cursor(engine.list_connections(filter, request.cursor(), limit, page));
  for (const ConnectionInfo& connection : page) write(connection, response.add_connections());
}

void delete_connections(Engine& engine, const dataplane::DeleteConnectionsRequest& request,
                        dataplane::DeleteConnectionsResponse& response) {
  const auto action = request.count_only() ? PurgeRequest::Action::kCount
                      : request.reset()    ? PurgeRequest::Action::kReset
                                           : PurgeRequest::Action::kDelete;
  const Engine::Purged purged =
      engine.purge(connection_filter(request.filter(), "filter"), action, request.templates());
  response.set_connections(purged.connections);
  response.set_active(purged.active);
  response.set_templates(purged.templates);
  response.set_oldest_ms(purged.oldest_ms);
}

void explain(Engine& engine, const dataplane::ExplainRequest& request, dataplane::ExplainResponse& response) {
  const auto explanation = engine.explain(imagined_packet(request.packet(), "packet"));
  if (!explanation) throw CallError("UNAVAILABLE", "the dataplane is stopping");
  write(*explanation, *engine.network(), response.mutable_explanation());
}

void start_trace(Engine& engine, const dataplane::StartTraceRequest& request, dataplane::StartTraceResponse& response) {
  const auto id = engine.start_trace(trace_filter(request));
  if (!id) throw CallError("RESOURCE_EXHAUSTED", "somebody else traces just now");
  response.set_id(*id);
}

void read_trace(Engine& engine, const dataplane::ReadTraceRequest& request, dataplane::ReadTraceResponse& response) {
  const auto traced = engine.read_trace(request.id(), std::min(request.wait_ms(), kLongestWaitMs));
  if (!traced) throw CallError("NOT_FOUND", "id: that trace has ended");
  response.set_lost(traced->lost);
  response.set_done(traced->is_full);
  const auto network = engine.network();
  for (const auto& record : traced->records)
    write(*record, engine.port_name(record->port), *network, response.add_packets());
}

void stop_trace(Engine& engine, const dataplane::StopTraceRequest& request, dataplane::StopTraceResponse&) {
  if (!engine.stop_trace(request.id())) throw CallError("NOT_FOUND", "id: that trace has ended");
}

void list_neighbors(Engine& engine, const dataplane::ListNeighborsRequest&,
                    dataplane::ListNeighborsResponse& response) {
  const auto network = engine.network();
  for (const NeighborInfo& neighbor : engine.neighbors()) write(neighbor, *network, response.add_neighbors());
}

void list_ports(Engine& engine, const dataplane::ListPortsRequest&, dataplane::ListPortsResponse& response) {
  for (const PortStatistics& port : engine.ports()) write(port, response.add_ports());
}

void list_routes(Engine& engine, const dataplane::ListRoutesRequest&, dataplane::ListRoutesResponse& response) {
  const auto network = engine.network();
  const RouteList list = engine.routes();
  for (const RouteInfo& route : list.routes) write(route, *network, response.add_routes());
  response.set_without_room(list.without_room);
  response.set_not_followed(list.not_followed);
}

void set_check_paths(Engine& engine, const dataplane::SetCheckPathsRequest& request,
                     dataplane::SetCheckPathsResponse& response) {
  std::vector<CheckPath> paths;
  paths.reserve(static_cast<size_t>(request.paths_size()));
  const auto field = [](size_t index) { return "paths[" + std::to_string(index) + "]"; };
  for (int i = 0; i < request.paths_size(); ++i)
    paths.push_back(check_path(request.paths(i), field(static_cast<size_t>(i))));
  if (const auto index = ambiguous_path(paths))
    throw CallError("INVALID_ARGUMENT", field(*index) + ": its packets could be those of a path before it");
  const auto outcome = engine.set_check_paths(request.instance_id(), std::move(paths));
  if (outcome.wrong_instance) wrong_instance(engine);
  for (const auto& [source, problem] : outcome.answers) {
    dataplane::CheckPathAnswer* answer = response.add_answers();
    if (problem.empty()) answer->set_source(source.text());
    answer->set_problem(problem);
  }
}

void require_testing(const Engine& engine) {
  if (!engine.testing()) throw CallError("PERMISSION_DENIED", "only for a dataplane that was started with testing");
}

void inject(Engine& engine, const dataplane::InjectRequest& request, dataplane::InjectResponse& response) {
  require_testing(engine);
  const std::vector<std::string> frames(request.frames().begin(), request.frames().end());
  const auto accepted = engine.inject(request.port(), static_cast<uint16_t>(request.queue()), frames);
  if (!accepted) throw CallError("NOT_FOUND", "port: there is no memory port \"" + request.port() + "\"");
  response.set_accepted(*accepted);
}

void drain(Engine& engine, const dataplane::DrainRequest& request, dataplane::DrainResponse& response) {
  require_testing(engine);
  const auto frames = engine.drain(request.port());
  if (!frames) throw CallError("NOT_FOUND", "port: there is no memory port \"" + request.port() + "\"");
  for (const std::string& frame : *frames) response.add_frames(frame);
}

void set_clock(Engine& engine, const dataplane::SetClockRequest& request, dataplane::SetClockResponse& response) {
  require_testing(engine);
  const uint64_t to = request.has_now_ms() ? request.now_ms() : engine.now_ms() + request.advance_ms();
  response.set_now_ms(engine.set_clock_ms(to));
}

void set_mtu(Engine& engine, const dataplane::SetMtuRequest& request, dataplane::SetMtuResponse&) {
  require_testing(engine);
  if (request.mtu() > 0xffff || !engine.set_mtu(request.interface(), static_cast<uint16_t>(request.mtu())))
    throw CallError("INVALID_ARGUMENT", "mtu: " + std::to_string(request.mtu()) + " is not what \"" +
                                            request.interface() + "\" and its port can carry");
}

void flip_byte(Engine& engine, const dataplane::FlipByteRequest& request, dataplane::FlipByteResponse&) {
  require_testing(engine);
  std::optional<ServerKey> server;
  if (request.has_server())
    server = ServerKey{address(request.server().address(), "server.address"),
                       port_number(request.server().port(), "server.port")};
  if (!engine.flip_byte(service_key(request.service(), "service"), server, request.offset()))
    throw CallError("NOT_FOUND", "there is no such service, real server or byte");
}

template <auto kHandle>
std::string handle_bytes(Engine& engine, const std::string& bytes) {
  return answer(engine, bytes, kHandle);
}

}  // namespace

std::string call(Engine& engine, const std::string& method, const std::string& request) {
  using Handler = std::string (*)(Engine&, const std::string&);
  static const std::unordered_map<std::string, Handler> kMethods = {
      {"GetState", handle_bytes<get_state>},
      {"Apply", handle_bytes<apply>},
      {"GetStatistics", handle_bytes<get_statistics>},
      {"ListConnections", handle_bytes<list_connections>},
      {"DeleteConnections", handle_bytes<delete_connections>},
      {"Plan", handle_bytes<plan>},
      {"Digest", handle_bytes<digest>},
      {"ReadBack", handle_bytes<read_back>},
      {"Explain", handle_bytes<explain>},
      {"StartTrace", handle_bytes<start_trace>},
      {"ReadTrace", handle_bytes<read_trace>},
      {"StopTrace", handle_bytes<stop_trace>},
      {"ListNeighbors", handle_bytes<list_neighbors>},
      {"ListPorts", handle_bytes<list_ports>},
      {"ListRoutes", handle_bytes<list_routes>},
      {"SetCheckPaths", handle_bytes<set_check_paths>},
      {"Inject", handle_bytes<inject>},
      {"Drain", handle_bytes<drain>},
      {"SetClock", handle_bytes<set_clock>},
      {"SetMtu", handle_bytes<set_mtu>},
      {"FlipByte", handle_bytes<flip_byte>},
  };
  const auto found = kMethods.find(method);
  if (found == kMethods.end()) throw CallError("UNIMPLEMENTED", "there is no method " + method);
  return found->second(engine, request);
}

std::string event_bytes(const Event& event) {
  dataplane::WatchEventsResponse response;
  write(event, response.mutable_event());
  return response.SerializeAsString();
}

}  // namespace fulcrum::api
