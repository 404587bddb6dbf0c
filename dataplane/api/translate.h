// SPDX-License-Identifier: Apache-2.0
// Between the messages of proto/ and the engine's own types. Every refusal names the field.
#pragma once

#include <stdexcept>

#include "core/engine.h"
#include "fulcrum/dataplane/v1/dataplane.pb.h"

namespace fulcrum::api {

namespace v1 = ::fulcrum::v1;
namespace dataplane = ::fulcrum::dataplane::v1;

// A request that cannot be carried out; `code` is the name of a gRPC status.
class CallError : public std::runtime_error {
 public:
  CallError(const char* code, const std::string& message) : std::runtime_error(message), code_(code) {}
  const char* code() const { return code_; }

 private:
  const char* code_;
};

// Throws StartError.
StartConfig start_config(const dataplane::StartConfig& message);

// These throw CallError INVALID_ARGUMENT; `path` is what the message is called in the request.
ServiceKey service_key(const v1::ServiceKey& message, const std::string& path);
Operation operation(const v1::Operation& message, const std::string& path);
Publisher::Wanted wanted(const v1::Configuration& message, const std::string& path);
// Without source and interface.
CheckPath check_path(const dataplane::CheckPath& message, const std::string& path);
ImaginedPacket imagined_packet(const v1::ImaginedPacket& message, const std::string& path);
TraceFilter trace_filter(const dataplane::StartTraceRequest& message);
ConnectionFilter connection_filter(const v1::ConnectionFilter& message, const std::string& path);

v1::ForwardingMethod method_message(ForwardingMethod method);
void write(const ServiceKey& key, v1::ServiceKey* message);
void write(const OperationResult& result, v1::OperationResult* message);
// Without its servers, but for their connections.
void write_sums(const ServiceStatistics& statistics, v1::ServiceStatistics* message);
void write(const ServiceStatistics& statistics, v1::ServiceStatistics* message);
void write(const WorkerReport& report, v1::WorkerStatistics* message);
void write(const OverloadReport& overload, v1::Overload* message);
void write(const ConnectionInfo& connection, v1::Connection* message);
void write(const Explanation& explanation, const Network& network, v1::Explanation* message);
void write(const TraceRecord& record, const std::string& port, const Network& network, v1::TracedPacket* message);
void write(const NeighborInfo& neighbor, const Network& network, v1::Neighbor* message);
void write(const RouteInfo& route, const Network& network, v1::Route* message);
void write(const PortStatistics& port, v1::Port* message);
void write(const Event& event, v1::Event* message);

}  // namespace fulcrum::api
