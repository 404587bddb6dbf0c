// SPDX-License-Identifier: Apache-2.0
// What is asked of a running engine: its state, edits, statistics, lists of connections and their deletion.
#include <rte_cycles.h>
#include <rte_ethdev.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "core/dpdk_compat.h"
#include "core/engine.h"

namespace fulcrum {

namespace {

// LVS lists the template of a fwmark service with the mark where the address would be.
Address mark_as_address(const TemplateKey& key) {
  Address address;
  address.family = key.vip.family;
  store_unaligned(address.bytes.data(), be32::from_host(key.fwmark));
  return address;
}

}  // namespace

Engine::State Engine::state() const {
  const std::lock_guard lock(apply_mutex_);
  State state;
  state.instance_id = instance_id_;
  state.lineage = lineage_;
  state.generation = generation_;
  state.memory = hugepages_ ? "hugepages" : "no-huge";
  const auto up = std::chrono::steady_clock::now() - started_;
  state.uptime_ms = static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(up).count());
  state.secure_tcp = shared_.defence.secure_tcp.load(std::memory_order_relaxed);
  state.drop_entry = shared_.defence.drop_entry.load(std::memory_order_relaxed);
  state.drop_packet = shared_.defence.drop_packet_rate.load(std::memory_order_relaxed) != 0;
  state.workers = shared_.workers;
  for (const auto& worker : workers_) {
    for (const Shortage shortage : kShortages)
      if (Overload::is_active(worker->overload_changes(shortage))) state.overloads.push_back({worker->id(), shortage});
    state.connections += worker->connections();
    state.connection_capacity += worker->connection_capacity();
  }
  return state;
}

Engine::ApplyOutcome Engine::apply_operations(const std::string& instance, const std::string& lineage, uint64_t base,
                                              uint64_t generation, const std::vector<Operation>& operations,
                                              bool atomic) {
  const std::lock_guard lock(apply_mutex_);
  if (!instance.empty() && instance != instance_id_) return {ApplyError::kWrongInstance, generation_, {}};
  if (base != generation_ || (generation_ != 0 && lineage != lineage_))
    return {ApplyError::kWrongGeneration, generation_, {}};
  AnnouncementChange change;
  ApplyOutcome outcome;
  outcome.results = publisher_->apply(operations, atomic, change);
  const bool undone = atomic && !outcome.results.empty() && outcome.results.back().reason != Reason::kDone;
  if (!undone) {
    generation_ = generation;
    generation_version_ = publisher_->current().version;
    lineage_ = lineage;
    publish_announcements(change);
  }
  outcome.generation = generation_;
  return outcome;
}

Engine::ApplyOutcome Engine::apply_snapshot(const std::string& instance, const std::string& lineage,
                                            uint64_t generation, const Publisher::Wanted& wanted) {
  const std::lock_guard lock(apply_mutex_);
  if (!instance.empty() && instance != instance_id_) return {ApplyError::kWrongInstance, generation_, {}};
  AnnouncementChange change;
  ApplyOutcome outcome;
  outcome.results = publisher_->apply(publisher_->difference(wanted), true, change);
  const bool undone = !outcome.results.empty() && outcome.results.back().reason != Reason::kDone;
  if (!undone) {
    generation_ = generation;
    generation_version_ = publisher_->current().version;
    lineage_ = lineage;
    publish_announcements(change);
  }
  outcome.generation = generation_;
  return outcome;
}

Engine::PlanOutcome Engine::plan(const std::string& instance, uint64_t base,
                                 const std::vector<Operation>& operations) const {
  const std::lock_guard lock(apply_mutex_);
  if (!instance.empty() && instance != instance_id_) return {ApplyError::kWrongInstance, generation_, {}};
  if (base != generation_) return {ApplyError::kWrongGeneration, generation_, {}};
  return {ApplyError::kNone, generation_, publisher_->plan(operations)};
}

Engine::CheckPathsOutcome Engine::set_check_paths(const std::string& instance, std::vector<CheckPath> paths) {
  const std::lock_guard lock(apply_mutex_);
  CheckPathsOutcome outcome;
  outcome.wrong_instance = !instance.empty() && instance != instance_id_;
  if (outcome.wrong_instance) return outcome;
  std::vector<CheckPath> placed;
  std::map<Address, InterfaceId, AddressOrder> vips;
  for (CheckPath& path : paths) {
    outcome.answers.push_back(place_check(path));
    if (!outcome.answers.back().problem.empty()) continue;
    vips[path.service.address] = path.interface;
    placed.push_back(std::move(path));
  }
  const auto fail = [&](const std::string& problem) {
    for (CheckPathAnswer& answer : outcome.answers)
      if (answer.problem.empty()) answer.problem = problem;
  };
  if (!publisher_->set_checks(std::move(placed))) {
    fail("no room for another real server");
  } else if (kernel_ports_ != nullptr) {
    if (const std::string problem = kernel_ports_->lead(vips); !problem.empty()) fail(problem);
  }
  return outcome;
}

// From the side of the clients, where the routes have it; else from any interface that the kernel has.
Engine::CheckPathAnswer Engine::place_check(CheckPath& path) const {
  const Address& vip = path.service.address;
  const std::string family = vip.family == Family::kIpv4 ? "IPv4" : "IPv6";
  const LocalAddress* local = publisher_->current().find_local(vip);
  if (local != nullptr && local->is_own)
    return {{}, vip.text() + " is the director's own address: from there its checks would not leave the host"};
  const auto source_on = [&](const Interface& interface) -> std::optional<Address> {
    if (interface.id >= shared_.to_kernel.size() || shared_.to_kernel[interface.id] == nullptr) return std::nullopt;
    std::optional<Address> best;
    for (const Prefix& own : interface.addresses) {
      if (own.address.family != vip.family || (vip.family == Family::kIpv6 && is_link_local(own.address.v6())))
        continue;
      if (!best || own.contains(vip)) best = own.address;
    }
    return best;
  };
  const auto take = [&](const Interface& interface) {
    const auto source = source_on(interface);
    if (!source) return false;
    path.source = *source;
    path.interface = interface.id;
    return true;
  };
  const Route* route = network_->find_route(vip);
  const auto& interfaces = network_->interfaces();
  if ((route != nullptr && take(network_->interface(route->interface))) ||
      std::any_of(interfaces.begin(), interfaces.end(), take))
    return {path.source, ""};
  return {{}, "no kernel port has an " + family + " address: an interface that has one needs \"kernel\" at its port"};
}

void Engine::publish_announcements(const AnnouncementChange& change) {
  for (const Address& vip : change.became_silent) control_->withdraw(vip);
  for (const Address& vip : change.became_active) control_->announce(vip);
  for (const Address& server : change.servers_added) control_->resolve_towards(server);
  defend();
  if (publisher_->current().tunables.expire_nodest_conn == 0) return;
  // One for all: workers look at every connection anyway.
  if (change.servers_deleted.empty()) return;
  for (const ServerSlot slot : change.servers_deleted) templates_->end_idle(slot, shared_.clock.now());
  Command sweep{};
  sweep.kind = Command::Kind::kSweep;
  control_->post_all(sweep);
}

std::vector<ServiceStatistics> Engine::statistics(const ServiceKey* only, bool estimated) {
  const std::lock_guard lock(apply_mutex_);
  return publisher_->statistics(only, estimated);
}

std::vector<WorkerReport> Engine::workers() const {
  std::vector<WorkerReport> reports;
  const double ns_per_cycle = 1e9 / static_cast<double>(rte_get_tsc_hz());
  for (const auto& worker : workers_) {
    WorkerReport report;
    report.worker = worker->id();
    report.cpu = config_.worker_cpus[worker->id()];
    report.counters = worker->counters();
    report.connections = worker->connections();
    report.capacity = worker->connection_capacity();
    report.busy_ns = static_cast<uint64_t>(static_cast<double>(report.counters.busy_tsc) * ns_per_cycle);
    report.total_ns = static_cast<uint64_t>(static_cast<double>(rte_rdtsc() - started_tsc_) * ns_per_cycle);
    reports.push_back(report);
  }
  return reports;
}

std::shared_ptr<const Network> Engine::network() const {
  const std::lock_guard lock(network_mutex_);
  return network_;
}

// Destinations that there is no room for.
std::vector<Prefix> Engine::change_network(const NetworkChange& change) {
  const std::lock_guard lock(apply_mutex_);
  std::vector<Prefix> without_room;
  const auto next = network_changer_->next(change, without_room);
  AnnouncementChange announced;
  publisher_->change_network(next, !change.addresses.empty(), announced);
  control_->change_network(next);
  {
    const std::lock_guard network_lock(network_mutex_);
    network_ = next;
  }
  network_changer_->catch_up(change, without_room);
  publish_announcements(announced);
  return without_room;
}

std::vector<PortStatistics> Engine::ports() const {
  const auto network = this->network();
  std::vector<PortStatistics> all;
  const auto kernel = kernel_ports_ != nullptr ? kernel_ports_->statistics() : std::vector<KernelInterfaceStatistics>{};
  for (const auto& port : ports_) {
    PortStatistics of;
    of.name = port->config().name;
    of.device = port->config().device;
    of.driver = port->driver();
    of.mac = port->mac();
    of.rss_aligned = port->is_aligned();
    of.rx_queues = port->rx_queues();
    of.tx_queues = port->tx_queues();
    of.mtu = port->config().mtu;
    of.offloads = port->offloads();
    rte_eth_link link{};
    if (rte_eth_link_get_nowait(port->id(), &link) == 0) {
      of.link_up = link.link_status == RTE_ETH_LINK_UP;
      of.speed_mbps = compat::known_speed(link.link_speed);
    }
    rte_eth_stats stats{};
    if (rte_eth_stats_get(port->id(), &stats) == 0) {
      of.rx_packets = stats.ipackets;
      of.tx_packets = stats.opackets;
      of.rx_bytes = stats.ibytes;
      of.tx_bytes = stats.obytes;
      of.rx_missed = stats.imissed;
      of.rx_errors = stats.ierrors;
      of.tx_errors = stats.oerrors;
      of.rx_no_buffer = stats.rx_nombuf;
    }
    for (const Interface& interface : network->interfaces())
      if (interface.port == port->id()) of.interfaces.push_back(interface);
    for (const KernelInterfaceStatistics& at : kernel)
      if (network->interface(at.interface).port == port->id()) of.kernel.push_back(at);
    all.push_back(std::move(of));
  }
  return all;
}

uint64_t Engine::list_connections(ConnectionFilter filter, uint64_t cursor, uint32_t limit,
                                  std::vector<ConnectionInfo>& page) {
  const std::lock_guard lock(list_mutex_);
  name_service(filter);
  auto worker = static_cast<uint32_t>(cursor >> 32);
  auto from = static_cast<uint32_t>(cursor);
  for (; worker < shared_.workers && page.size() < limit; ++worker, from = 0) {
    ListRequest request;
    request.filter = filter;
    request.limit = limit - static_cast<uint32_t>(page.size());
    request.cursor = from;
    request.connections.reserve(request.limit);
    Command list{};
    list.kind = Command::Kind::kList;
    list.list = &request;
    control_->post(worker, list);
    while (request.done.load(std::memory_order_acquire) == 0) {
      if (!shared_.running.load()) return 0;
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
    page.insert(page.end(), request.connections.begin(), request.connections.end());
    if (!request.exhausted) return uint64_t{worker} << 32 | request.cursor;
  }
  if (worker < shared_.workers || page.size() == limit) return uint64_t{worker} << 32;
  return list_templates(filter, from, limit, page);
}

// The request is the engine's: a worker may still be at it when the engine stops.
std::optional<Explanation> Engine::explain(const ImaginedPacket& packet) {
  const std::lock_guard lock(explain_mutex_);
  explained_ = std::make_unique<ExplainRequest>();
  explained_->packet = packet;
  // Whoever is asked first knows whose it is.
  for (uint32_t tries = 0; tries < 2 && !explained_->is_answered; ++tries) {
    explained_->done.store(0);
    Command explain{};
    explain.kind = Command::Kind::kExplain;
    explain.explain = explained_.get();
    control_->post(explained_->owner, explain);
    while (explained_->done.load(std::memory_order_acquire) == 0) {
      if (!shared_.running.load()) return std::nullopt;
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }
  Explanation answer = explained_->answer;
  if (answer.service && !answer.connection) answer.candidates = candidates(*answer.service);
  return answer;
}

// With their connections, over all workers.
std::vector<Candidate> Engine::candidates(const ServiceKey& key) const {
  const std::lock_guard lock(apply_mutex_);
  const VirtualService* service = publisher_->current().find_exactly(key);
  if (service == nullptr) return {};
  std::vector<Candidate> all = candidates_of(*service, shared_.loads());
  const auto counted = publisher_->statistics(&key, false);
  for (size_t i = 0; i < all.size(); ++i) {
    all[i].active = counted.at(0).servers.at(i).active;
    all[i].inactive = counted.at(0).servers.at(i).inactive;
  }
  return all;
}

// Templates come last, behind the workers' connections.
uint64_t Engine::list_templates(const ConnectionFilter& filter, uint64_t cursor, uint32_t limit,
                                std::vector<ConnectionInfo>& page) const {
  const Ticks now = shared_.clock.now();
  const uint64_t next = shared_.templates->list(cursor, [&](const Template& at) {
    const TemplateKey& key = at.key;
    if (at.controlled == 0 && is_due(at.deadline, now)) return true;
    const ServerLine& server = shared_.servers[at.server];
    if (!matches(filter, at, server.address, server.port, server.service)) return true;
    if (page.size() == limit) return false;
    ConnectionInfo info;
    info.protocol = key.protocol;
    info.is_template = true;
    info.state = at.assured;
    info.method = at.method;
    // LVS renames one whose server went, so that nobody finds it: the ports of both its ends, not the client's.
    info.client_port = 0;
    info.virtual_port = at.invalid ? 0xffff : key.port;
    info.server_port = at.invalid ? 0xffff : at.server_port;
    info.expires_ms = ticks_until(at.deadline, now) * (1000 / kTicksPerSecond);
    info.client = key.client;
    info.vip = key.fwmark != 0 ? mark_as_address(key) : key.vip;
    info.fwmark = key.fwmark;
    info.server = server.address;
    page.push_back(info);
    return true;
  });
  return next == 0 ? 0 : uint64_t{shared_.workers} << 32 | next;
}

// Connections know their service by its slot.
void Engine::name_service(ConnectionFilter& filter) const {
  if (!filter.by_service) return;
  const std::lock_guard lock(apply_mutex_);
  filter.service_slot = publisher_->slot_of(filter.service).value_or(kNoServiceSlot);
}

Engine::Purged Engine::purge(ConnectionFilter filter, PurgeRequest::Action action, bool templates) {
  const std::lock_guard lock(purge_mutex_);
  name_service(filter);
  Purged purged;
  // Before the connections, so that none begins by them meanwhile; and those that these controlled after them.
  if (templates) purged.templates = purge_templates(filter, action);
  purges_ = std::make_unique<PurgeRequest[]>(shared_.workers);
  for (uint32_t worker = 0; worker < shared_.workers; ++worker) {
    purges_[worker].filter = filter;
    purges_[worker].action = action;
    Command purge{};
    purge.kind = Command::Kind::kPurge;
    purge.purge = &purges_[worker];
    control_->post(worker, purge);
  }
  for (uint32_t worker = 0; worker < shared_.workers; ++worker) {
    const PurgeRequest& request = purges_[worker];
    while (request.done.load(std::memory_order_acquire) == 0) {
      if (!shared_.running.load()) return purged;
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
    purged.connections += request.connections;
    purged.active += request.active;
    purged.oldest_ms = std::max<uint64_t>(purged.oldest_ms, uint64_t{request.oldest} * (1000 / kTicksPerSecond));
  }
  if (templates) purge_templates(filter, action);
  return purged;
}

uint64_t Engine::purge_templates(const ConnectionFilter& filter, PurgeRequest::Action action) {
  const auto is_meant = [&](const Template& at) {
    const ServerLine& server = shared_.servers[at.server];
    return matches(filter, at, server.address, server.port, server.service);
  };
  const Ticks now = shared_.clock.now();
  if (action != PurgeRequest::Action::kCount)
    return templates_->erase(now, is_meant, [this](const Template& gone) {
      shared_.servers[gone.server].persistent.fetch_sub(1, std::memory_order_relaxed);
    });
  uint64_t count = 0;
  templates_->list(0, [&](const Template& at) {
    count += !at.invalid && (at.controlled != 0 || !is_due(at.deadline, now)) && is_meant(at);
    return true;
  });
  return count;
}

}  // namespace fulcrum
