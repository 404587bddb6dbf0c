// SPDX-License-Identifier: Apache-2.0
#include "service/check_path.h"

#include <unordered_set>

namespace fulcrum {

namespace {

CheckFlow question(const CheckPath& path, unsigned port) {
  return {path.service.address, path.port, static_cast<uint16_t>(path.first_port + port), path.service.protocol};
}

// A NAT server speaks for itself, the others for the VIP.
CheckFlow answer(const CheckPath& path, unsigned port) {
  CheckFlow flow = question(path, port);
  if (path.server.method != ForwardingMethod::kNat) return flow;
  flow.peer = path.server.key.address;
  flow.peer_port = path.server_port();
  return flow;
}

}  // namespace

CheckPaths::CheckPaths(std::vector<CheckPath> paths) : paths_(std::move(paths)) {
  size_t flows = 0;
  for (const CheckPath& path : paths_) flows += path.ports;
  questions_.reserve(flows);
  answers_.reserve(flows);
  for (uint32_t at = 0; at < paths_.size(); ++at) {
    for (unsigned port = 0; port < paths_[at].ports; ++port) {
      questions_.at(question(paths_[at], port)) = at;
      answers_.at(answer(paths_[at], port)) = at;
    }
  }
}

std::optional<size_t> ambiguous_path(const std::vector<CheckPath>& paths) {
  std::unordered_set<CheckFlow, CheckFlowHash> questions, answers;
  for (size_t at = 0; at < paths.size(); ++at)
    for (unsigned port = 0; port < paths[at].ports; ++port)
      if (!questions.insert(question(paths[at], port)).second || !answers.insert(answer(paths[at], port)).second)
        return at;
  return std::nullopt;
}

}  // namespace fulcrum
