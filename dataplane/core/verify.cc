// SPDX-License-Identifier: Apache-2.0
#include "core/verify.h"

#include <chrono>
#include <thread>

#include "core/engine.h"

namespace fulcrum {

namespace {

// In what a slice reads: some microseconds.
constexpr size_t kServerBudget = 64;
constexpr size_t kCellBudget = 512;
constexpr uint32_t kContradiction = 0x0BADC0DE;
constexpr auto kPatience = std::chrono::seconds(2);

}  // namespace

const char* contradiction(const Snapshot& snapshot, const VirtualService& service, size_t position) {
  const uint32_t* found = snapshot.by_key->find(service.key);
  return found == nullptr || *found != position ? "packets to it do not find it" : nullptr;
}

const char* contradiction(const Snapshot& snapshot, const VirtualService& service, const RealServer& server,
                          const ServerLine* lines) {
  if (server.slot >= Shared::kFirstSpecialSlot) return "its slot is none";
  const ServerLine& line = lines[server.slot];
  if (!(line.address == server.key.address) || line.port != server.key.port || line.service != service.slot)
    return "its slot is another server's";
  if (!line.available.load(std::memory_order_relaxed)) return "packets of its connections take it for deleted";
  if (line.weight.load(std::memory_order_relaxed) != server.weight)
    return "packets of its connections see another weight";
  const auto [upper, lower] = line.thresholds();
  if (upper != server.upper_threshold || lower != server.lower_threshold)
    return "its connections are held against other thresholds";
  if (!(line.tunnel.load(std::memory_order_relaxed) == server.tunnel)) return "packets leave by another tunnel";
  const bool is_known = server.method != ForwardingMethod::kNat || service.key.fwmark != 0 ||
                        snapshot.is_nat_server(server.key.address, server.key.port, service.key.protocol);
  return is_known ? nullptr : "its answers are not recognised";
}

bool Worker::digest_slice() {
  DigestRequest& request = *digesting_;
  if (request.given_up.load(std::memory_order_relaxed) != 0) {
    request.version = 0;
  } else {
    if (!digest_services(request) || !digest_vips(request)) return true;
    request.digests.settings = settings_digests(*snapshot_);
    request.version = snapshot_->version;
  }
  digesting_ = nullptr;
  request.done.store(1, std::memory_order_release);
  return true;
}

// True when all are digested.
bool Worker::digest_services(DigestRequest& request) {
  const ServiceList& services = snapshot_->services;
  ConfigurationDigests& digests = request.digests;
  size_t budget = kServerBudget;
  while (request.service < services.size()) {
    const VirtualService& service = *services[request.service];
    if (request.server == 0) {
      request.current = digest_of(service);
      if (contradiction(*snapshot_, service, request.service) != nullptr) request.current.add(kContradiction);
    }
    for (; request.server < service.servers.size(); ++request.server) {
      if (budget == 0) return false;
      --budget;
      const RealServer& server = service.servers[request.server];
      request.current.add(digest_of(server));
      if (contradiction(*snapshot_, service, server, shared_.servers) != nullptr) request.current.add(kContradiction);
    }
    digests.services.add(request.current);
    // No worker allocates: services that came after the room was made make the report one of another generation.
    if (digests.each.size() < digests.each.capacity()) digests.each.push_back(request.current);
    ++request.service;
    request.server = 0;
    if (budget != 0) --budget;
  }
  return true;
}

bool Worker::digest_vips(DigestRequest& request) {
  const auto& cells = snapshot_->local->cells();
  const size_t end = std::min(cells.size(), request.cell + kCellBudget);
  for (; request.cell < end; ++request.cell) {
    const auto& cell = cells[request.cell];
    if (cell.used && cell.value.is_vip) request.digests.vips.join(digest_of({cell.key, 0}, cell.value));
  }
  if (end < cells.size()) return false;
  for (const LocalPrefix& range : *snapshot_->local_prefixes)
    request.digests.vips.join(digest_of(range.prefix, range.what));
  return true;
}

void Worker::begin_digest() {
  DigestRequest& request = *digesting_;
  request.digests.services = request.digests.vips = {};
  request.digests.each.clear();
  request.service = request.server = request.cell = 0;
}

std::optional<Engine::DigestReport> Engine::digest() {
  const std::lock_guard lock(digest_mutex_);
  digests_ = std::make_unique<DigestRequest[]>(shared_.workers);
  size_t services = 0;
  read_back([&](const Snapshot& snapshot, const ServerLine*) { services = snapshot.services.size(); });
  for (uint32_t worker = 0; worker < shared_.workers; ++worker) {
    digests_[worker].digests.each.reserve(services);
    Command digest{};
    digest.kind = Command::Kind::kDigest;
    digest.digest = &digests_[worker];
    control_->post(worker, digest);
  }
  const auto until = std::chrono::steady_clock::now() + kPatience;
  for (uint32_t worker = 0; worker < shared_.workers; ++worker) {
    while (digests_[worker].done.load(std::memory_order_acquire) == 0) {
      if (!shared_.running.load()) return std::nullopt;
      if (std::chrono::steady_clock::now() >= until) digests_[worker].given_up.store(1);
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  }
  DigestReport report;
  const std::lock_guard apply_lock(apply_mutex_);
  report.generation = generation_;
  for (uint32_t worker = 0; worker < shared_.workers; ++worker) {
    const DigestRequest& request = digests_[worker];
    // What was edited since belongs to another generation.
    const bool is_whole = request.digests.each.size() == publisher_->current().services.size();
    if (request.version == 0 || request.version < generation_version_ || !is_whole) report.generation = 0;
    report.workers.push_back(std::move(digests_[worker].digests));
  }
  return report;
}

void Engine::read_back(const std::function<void(const Snapshot&, const ServerLine*)>& read) const {
  const std::lock_guard lock(apply_mutex_);
  read(publisher_->current(), shared_.servers);
}

bool Engine::flip_byte(const ServiceKey& key, const std::optional<ServerKey>& server_key, uint32_t offset) {
  const std::lock_guard lock(apply_mutex_);
  const VirtualService* service = publisher_->current().find_exactly(key);
  if (service == nullptr) return false;
  if (!server_key) {
    if (offset >= sizeof(uint32_t)) return false;
    reinterpret_cast<uint8_t*>(const_cast<uint32_t*>(&service->persistence_timeout_s))[offset] ^= 1;
    return true;
  }
  for (const RealServer& server : service->servers) {
    if (!(server.key == *server_key)) continue;
    if (offset >= sizeof server) return false;
    reinterpret_cast<uint8_t*>(const_cast<RealServer*>(&server))[offset] ^= 1;
    return true;
  }
  return false;
}

}  // namespace fulcrum
