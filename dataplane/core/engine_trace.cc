// SPDX-License-Identifier: Apache-2.0
// Traces, one at a time: begun, read while they last, ended. A worker that may still look at one is waited for.
#include <thread>

#include "core/engine.h"

namespace fulcrum {

std::optional<uint64_t> Engine::start_trace(const TraceFilter& filter) {
  const std::lock_guard lock(trace_mutex_);
  const uint64_t now = shared_.clock.now_ms();
  if (trace_ != nullptr && !trace_->is_unread(now)) return std::nullopt;
  end_trace();
  trace_ = std::make_unique<TraceSession>(++last_trace_, filter, now);
  Command begin{};
  begin.kind = Command::Kind::kTrace;
  begin.trace = trace_.get();
  control_->post_all(begin);
  barrier();
  return trace_->id();
}

// Waits for the first record at most so long; the caller's thread is a pool's.
std::optional<Engine::Traced> Engine::read_trace(uint64_t id, uint32_t wait_ms) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(wait_ms);
  for (;;) {
    {
      const std::lock_guard lock(trace_mutex_);
      if (trace_ == nullptr || trace_->id() != id) return std::nullopt;
      const bool is_full = trace_->is_full();
      Traced traced{trace_->read(shared_.clock.now_ms()), trace_->lost(), is_full};
      if (!traced.records.empty() || traced.lost != 0 || is_full) return traced;
    }
    if (std::chrono::steady_clock::now() >= until || !shared_.running.load()) return Traced{};
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

bool Engine::stop_trace(uint64_t id) {
  const std::lock_guard lock(trace_mutex_);
  if (trace_ == nullptr || trace_->id() != id) return false;
  end_trace();
  return true;
}

std::string Engine::port_name(PortId id) const {
  for (const auto& port : ports_)
    if (port->id() == id) return port->config().name;
  return "";
}

void Engine::end_trace() {
  if (trace_ == nullptr) return;
  Command end{};
  end.kind = Command::Kind::kTrace;
  control_->post_all(end);
  barrier();
  trace_.reset();
}

}  // namespace fulcrum
