// SPDX-License-Identifier: Apache-2.0
// How an engine begins, keeps watch and ends; engine_calls.cc has what it is asked meanwhile.
#include "core/engine.h"

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_random.h>
#include <rte_ring_elem.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>

#include "core/eal.h"
#include "core/port_alignment.h"
#include "core/service_manager.h"
#include "core/start_network.h"
#include "core/start_plan.h"
#include "net/fragment_limit.h"

namespace fulcrum {

namespace {

constexpr uint32_t kMempoolCache = 256;
constexpr uint32_t kControlBuffers = 1023;
constexpr uint32_t kNeighbors = 16384;
constexpr uint32_t kMostTemplates = 1u << 24;
// The owner hash spreads connections unevenly; a worker's table has so much more than its share.
constexpr uint64_t kShareHeadroomPercent = 10;

std::string random_id() {
  uint8_t bytes[8];
  if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes) throw StartError("no randomness for the instance id");
  std::string text;
  for (const uint8_t byte : bytes) {
    char pair[3];
    std::snprintf(pair, sizeof pair, "%02x", byte);
    text += pair;
  }
  return text;
}

template <typename T>
T* map_array(size_t count) {
  void* mapped = mmap(nullptr, sizeof(T) * count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) throw StartError(std::string("no memory: ") + std::strerror(errno));
  return static_cast<T*>(mapped);
}

rte_ring* make_ring(const std::string& name, uint32_t size, unsigned flags) {
  rte_ring* ring = rte_ring_create(name.c_str(), size, SOCKET_ID_ANY, flags);
  if (ring == nullptr) throw StartError("no memory for ring " + name);
  return ring;
}

rte_ring* make_message_ring(const std::string& name, uint32_t size, uint32_t bytes, unsigned flags) {
  rte_ring* ring = rte_ring_create_elem(name.c_str(), bytes, size, SOCKET_ID_ANY, flags);
  if (ring == nullptr) throw StartError("no memory for ring " + name);
  return ring;
}

int run_worker(void* worker) {
  static_cast<Worker*>(worker)->run();
  return 0;
}

}  // namespace

Engine::Engine(StartConfig config) : config_(std::move(config)) {
  check(config_);
  std::vector<KernelSilence::Wanted> interfaces;
  for (const PortConfig& port : config_.ports)
    if (const std::string name = kernel_interface(port.device); !name.empty())
      interfaces.push_back({"ports." + port.name + ".device", name});
  silence_.impose(interfaces);

  const uint32_t buffers = estimate_buffers(config_), kernel_buffers = estimate_kernel_buffers(config_);
  const EalOptions options = plan_memory(config_, estimate_memory(config_));
  hugepages_ = options.hugepages;
  start_eal(eal_arguments(config_, options));
  eal_started_ = true;

  try {
    shared_.workers = static_cast<uint32_t>(config_.worker_cpus.size());
    shared_.idle = config_.idle;
    shared_.forwarding = config_.forwarding;
    if (config_.testing) shared_.clock.set_ms(1'000'000);

    if (!register_fragment_limit()) throw StartError("no room in packet buffers for what reassembly notes there");
    shared_.buffers =
        rte_pktmbuf_pool_create("fulcrum_buffers", buffers, kMempoolCache, 0, data_room(config_), SOCKET_ID_ANY);
    // The control thread may be preempted in the middle of anything: its buffers are its own.
    control_buffers_ =
        rte_pktmbuf_pool_create("fulcrum_control", kControlBuffers, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    if (shared_.buffers == nullptr || control_buffers_ == nullptr)
      throw StartError("memory: no room for " + std::to_string(buffers) + " packet buffers" +
                       LogTap::instance().recent("mempool"));
    if (kernel_buffers != 0) {
      kernel_buffers_ =
          rte_pktmbuf_pool_create("fulcrum_kernel", kernel_buffers, 0, 0, data_room(config_), SOCKET_ID_ANY);
      if (kernel_buffers_ == nullptr)
        throw StartError("memory: no room for " + std::to_string(kernel_buffers) + " packet buffers of kernel ports" +
                         LogTap::instance().recent("mempool"));
    }

    for (const PortConfig& port_config : config_.ports) {
      ports_.push_back(std::make_unique<Port>(port_config));
      Port& port = *ports_.back();
      if (port.is_memory()) {
        port.create_memory(std::max<uint16_t>(1, port_config.rx_queues), 0);
      } else {
        port.find();
      }
      port.negotiate(shared_.workers);
    }
    steering_ = align_ports(config_, ports_);
    shared_.steering = steering_.get();
    for (const auto& port : ports_) {
      port->configure(shared_.buffers);
      port->start();
      if (shared_.ports.size() <= port->id()) shared_.ports.resize(port->id() + 1u);
      shared_.ports[port->id()] = {port->id(), port->rx_queues(), port->tx_queues(), mac_value(port->mac())};
    }
    make_network();
    masquerade_ = build_masquerade(config_, *network_);
    shared_.masquerade = masquerade_.get();
    make_rings();
    make_kernel_ports();
    shared_.servers = map_array<ServerLine>(Shared::kServerSlots);
    shared_.services = map_array<ServiceLine>(Shared::kServiceSlots);
    shared_.totals = map_array<LoadView::Line>(Shared::kServerSlots);
    shared_.changes = map_array<LoadView::Changes>(Shared::kServerBlocks);
    adjacencies_ = std::make_unique<AdjacencyTable>(kNeighbors);
    shared_.adjacencies = adjacencies_.get();
    templates_ =
        std::make_unique<TemplateTable>(static_cast<uint32_t>(std::min<uint64_t>(config_.connections, kMostTemplates)));
    shared_.templates = templates_.get();
    const size_t bytes = rte_rcu_qsbr_get_memsize(shared_.workers);
    shared_.quiescence = static_cast<rte_rcu_qsbr*>(rte_zmalloc("fulcrum_rcu", bytes, RTE_CACHE_LINE_SIZE));
    if (shared_.quiescence == nullptr || rte_rcu_qsbr_init(shared_.quiescence, shared_.workers) != 0)
      throw StartError("no memory for the workers' quiescent states");

    const uint64_t share = config_.connections / shared_.workers;
    const uint64_t capacity = shared_.workers == 1 ? share : share + share * kShareHeadroomPercent / 100 + 16;
    for (uint32_t id = 0; id < shared_.workers; ++id) {
      workers_.push_back(std::make_unique<Worker>(shared_, id));
      const unsigned socket = rte_lcore_to_socket_id(id + 1);
      if (!workers_[id]->create(static_cast<uint32_t>(capacity), kNeighbors, hugepages_, socket))
        throw StartError("memory.connections: " + workers_[id]->error());
      rte_rcu_qsbr_thread_register(shared_.quiescence, id);
    }
    control_ = std::make_unique<Control>(shared_, network_, control_buffers_, config_.neighbors);
    publisher_ = std::make_unique<Publisher>(shared_, workers_, network_);
    make_follower();
  } catch (...) {
    stop();
    throw;
  }
  instance_id_ = random_id();
  started_ = std::chrono::steady_clock::now();
}

Engine::~Engine() { stop(); }

void Engine::make_rings() {
  const uint32_t workers = shared_.workers;
  shared_.handover.assign(workers * workers, nullptr);
  shared_.transmit.assign(workers * workers, nullptr);
  for (uint32_t from = 0; from < workers; ++from) {
    for (uint32_t to = 0; to < workers; ++to) {
      if (from == to) continue;
      const std::string pair = std::to_string(from) + "_" + std::to_string(to);
      constexpr unsigned kOneToOne = RING_F_SP_ENQ | RING_F_SC_DEQ;
      shared_.handover[from * workers + to] =
          make_ring("fulcrum_handover_" + pair, Shared::kHandoverRingSize, kOneToOne);
      shared_.transmit[from * workers + to] =
          make_ring("fulcrum_transmit_" + pair, Shared::kHandoverRingSize, kOneToOne);
    }
    shared_.mailboxes.push_back(make_message_ring("fulcrum_mailbox_" + std::to_string(from), Shared::kMailboxSize,
                                                  sizeof(Command), RING_F_SP_ENQ | RING_F_SC_DEQ));
  }
  shared_.to_control =
      make_message_ring("fulcrum_control", Shared::kControlRingSize, sizeof(ControlMessage), RING_F_SC_DEQ);
}

void Engine::make_network() {
  auto made = build_network(config_, ports_, routes_);
  // Where routes may change there is a second table, with the same routes in it.
  std::shared_ptr<RouteTable> spare;
  std::vector<std::pair<Prefix, Route>> same_routes;
  if (kernel_buffers_ != nullptr) spare = build_network(config_, ports_, same_routes)->routes();
  network_ = std::move(made);
  network_changer_ = std::make_unique<NetworkChanger>(network_, std::move(spare));
}

void Engine::make_kernel_ports() {
  if (kernel_buffers_ == nullptr) return;
  kernel_ports_ = std::make_unique<KernelPorts>(shared_, kernel_buffers_);
  for (const Interface& interface : network_->interfaces()) {
    const auto port =
        std::find_if(ports_.begin(), ports_.end(), [&](const auto& at) { return at->id() == interface.port; });
    const PortConfig& config = (*port)->config();
    if (!config.kernel) continue;
    std::vector<KernelRoute> routes;
    for (const auto& [prefix, route] : routes_)
      if (route.interface == interface.id) routes.push_back({prefix, route.gateway});
    kernel_ports_->add("ports." + config.name + ".kernel", *config.kernel, interface, routes);
  }
}

void Engine::make_follower() {
  std::vector<FollowedLink> links;
  if (kernel_ports_ != nullptr) links = kernel_ports_->links();
  for (FollowedLink& link : links) {
    const Interface& interface = network_->interface(link.interface);
    link.link_local = link_local_of(interface.mac);
    for (const auto& port : ports_)
      if (port->id() == interface.port) link.largest_mtu = port->config().mtu;
  }
  follower_ = std::make_unique<NetworkFollower>(
      NetworkModel(*network_, routes_, std::move(links)),
      [this](const NetworkChange& change) { return change_network(change); },
      [this](std::string kind, std::string message) { control_->report(std::move(kind), std::move(message)); });
  follower_->on_restored([this] {
    const std::lock_guard lock(apply_mutex_);
    if (std::string problem = kernel_ports_->lead_again(); !problem.empty())
      control_->report("kernel_refused", std::move(problem));
  });
}

void Engine::launch() {
  shared_.running.store(true);
  launched_ = true;
  started_tsc_ = rte_rdtsc();
  for (const auto& worker : workers_) {
    if (const int error = rte_eal_remote_launch(run_worker, worker.get(), worker->id() + 1); error != 0)
      throw StartError("worker " + std::to_string(worker->id()) + " does not start: " + rte_strerror(-error));
  }
  control_->every_second([this](uint64_t now_ms) {
    // An apply that is under way empties the trash a second later.
    if (const std::unique_lock lock(apply_mutex_, std::try_to_lock); lock.owns_lock()) {
      publisher_->empty_trash(now_ms);
      publisher_->estimate(now_ms);
      publisher_->tend_schedulers(now_ms);
      defend();
    }
    if (shared_.defence.drop_entry.load(std::memory_order_relaxed)) drop_entries();
    watch_links();
    watch_overload();
    return expire_templates();
  });
  feed_watchdog();
  control_->start();
  if (kernel_ports_ == nullptr) return;
  kernel_ports_->start();
  follower_->start();
}

// The service manager's, if the process was started by one that keeps a watchdog.
void Engine::feed_watchdog() {
  const ServiceManager manager = ServiceManager::from_environment();
  if (manager.watchdog().count() == 0) return;
  control_->every_round([this, manager, watchdog = Watchdog(manager.watchdog()),
                         rounds = std::vector<uint64_t>(workers_.size())]() mutable {
    for (const auto& worker : workers_) rounds[worker->id()] = worker->rounds();
    const auto now = std::chrono::steady_clock::now();
    if (watchdog.hungers(now, rounds)) manager.tell("WATCHDOG=1");
    if (const auto stuck = watchdog.stuck(now, rounds))
      control_->report("worker_stuck",
                       "worker " + std::to_string(*stuck) + " does not go round: the watchdog is not fed any more");
  });
}

void Engine::stop() {
  if (follower_ != nullptr) follower_->stop();
  shared_.running.store(false);
  if (launched_) rte_eal_mp_wait_lcore();
  launched_ = false;
  if (control_ != nullptr) control_->stop();
  control_.reset();
  kernel_ports_.reset();
  publisher_.reset();
  for (const auto& port : ports_) port->stop();
  ports_.clear();
  workers_.clear();
  trace_.reset();
  network_changer_.reset();
  network_.reset();
  if (shared_.servers != nullptr) munmap(shared_.servers, sizeof(ServerLine) * Shared::kServerSlots);
  if (shared_.services != nullptr) munmap(shared_.services, sizeof(ServiceLine) * Shared::kServiceSlots);
  if (shared_.totals != nullptr) munmap(shared_.totals, sizeof(LoadView::Line) * Shared::kServerSlots);
  if (shared_.changes != nullptr) munmap(shared_.changes, sizeof(LoadView::Changes) * Shared::kServerBlocks);
  shared_.changes = nullptr;
  shared_.servers = nullptr;
  shared_.services = nullptr;
  shared_.totals = nullptr;
  if (eal_started_) stop_eal();
  eal_started_ = false;
  silence_.lift();
}

// A template outlives the connections that it controls, so it must not be looked at before they are: workers first. One
// that is busy may lag by a second.
bool Engine::expire_templates() {
  const Ticks now = shared_.clock.now();
  Ticks reached = now;
  for (const auto& worker : workers_)
    if (static_cast<int32_t>(worker->timers_at() - reached) < 0) reached = worker->timers_at();
  templates_->expire(reached, [this](const Template& gone) {
    shared_.servers[gone.server].persistent.fetch_sub(1, std::memory_order_relaxed);
  });
  return now - reached <= kTicksPerSecond;
}

// LVS looks once a second, and when a value was written, whether memory is short. Memory here is room for connections.
void Engine::defend() {
  constexpr uint64_t kPageBytes = 4096;
  const Tunables& tunables = publisher_->current().tunables;
  uint64_t free = 0;
  for (const auto& worker : workers_)
    free += worker->connection_capacity() - std::min(worker->connections(), worker->connection_capacity());
  const MemoryPressure memory{free * sizeof(Connection<Family::kIpv4>) / kPageBytes, tunables.amemthresh};
  const auto checked_mode = [&](uint32_t written) {
    return checked(defence_mode(written).value_or(DefenceMode::kOff), memory);
  };
  Defence& defence = shared_.defence;
  defence.secure_tcp.store(is_in_force(checked_mode(tunables.secure_tcp)), std::memory_order_relaxed);
  defence.drop_entry.store(is_in_force(checked_mode(tunables.drop_entry)), std::memory_order_relaxed);
  defence.drop_packet_rate.store(drop_interval(checked_mode(tunables.drop_packet), memory, tunables.am_droprate),
                                 std::memory_order_relaxed);
}

void Engine::drop_entries() {
  Command drop{};
  drop.kind = Command::Kind::kDropEntries;
  control_->post_all(drop);
  templates_->drop_entries(shared_.clock.now(), static_cast<uint32_t>(rte_rand()), template_dropper_);
}

void Engine::watch_links() {
  link_was_up_.resize(ports_.size(), true);
  for (size_t i = 0; i < ports_.size(); ++i) {
    rte_eth_link link{};
    if (rte_eth_link_get_nowait(ports_[i]->id(), &link) != 0) continue;
    const bool up = link.link_status == RTE_ETH_LINK_UP;
    if (up != link_was_up_[i])
      control_->report(up ? "port_up" : "port_down",
                       "port " + ports_[i]->config().name + (up ? " has a link" : " has lost its link"));
    if (up != link_was_up_[i] && kernel_ports_ != nullptr) kernel_ports_->set_carrier(ports_[i]->id(), up);
    link_was_up_[i] = up;
  }
}

// Workers count, so that whatever happened since the last look is told, be it over or not.
void Engine::watch_overload() {
  overload_seen_.resize(workers_.size());
  for (const auto& worker : workers_) {
    for (const Shortage shortage : kShortages) {
      uint32_t& seen = overload_seen_[worker->id()][static_cast<size_t>(shortage)];
      const uint32_t changes = worker->overload_changes(shortage);
      while (seen != changes) {
        const bool entered = Overload::is_active(++seen);
        control_->report(entered ? "overload_entered" : "overload_left",
                         "worker " + std::to_string(worker->id()) +
                             (entered ? " has no room for new flows (" : " has room for new flows again (") +
                             std::string(shortage_name(shortage)) + "): " + std::string(shortage_meaning(shortage)));
      }
    }
  }
}

std::optional<unsigned> Engine::inject(const std::string& name, uint16_t queue,
                                       const std::vector<std::string>& frames) {
  for (const auto& port : ports_)
    if (port->config().name == name && port->is_memory()) return port->inject(queue, frames, shared_.buffers);
  return std::nullopt;
}

std::optional<std::vector<std::string>> Engine::drain(const std::string& name) {
  for (const auto& port : ports_) {
    if (port->config().name != name || !port->is_memory()) continue;
    settle();
    return port->drain();
  }
  return std::nullopt;
}

void Engine::barrier() {
  std::atomic<uint32_t> done{0};
  Command command{};
  command.kind = Command::Kind::kBarrier;
  command.done = &done;
  control_->post_all(command);
  while (shared_.running.load() && done.load(std::memory_order_acquire) < shared_.workers)
    std::this_thread::sleep_for(std::chrono::microseconds(20));
}

// Packets beget packets (hand-over, ARP, released ones): settled is when a whole round changed nothing.
void Engine::settle() {
  const auto activity = [this] {
    uint64_t sum = control_->activity() + (kernel_ports_ != nullptr ? kernel_ports_->activity() : 0);
    for (const auto& worker : workers_) sum += worker->activity();
    return sum;
  };
  for (uint64_t before = ~uint64_t{0}; shared_.running.load();) {
    const bool pending =
        std::any_of(ports_.begin(), ports_.end(), [](const auto& port) { return port->has_pending(); }) ||
        (kernel_ports_ != nullptr && kernel_ports_->has_pending());
    const uint64_t now = activity();
    if (!pending && now == before) return;
    control_->await_round();
    barrier();
    barrier();
    // The barriers themselves are two commands a worker.
    before = now + 2 * shared_.workers;
  }
}

bool Engine::set_mtu(const std::string& name, uint16_t mtu) {
  const auto network = this->network();
  for (const Interface& interface : network->interfaces()) {
    if (interface.name != name) continue;
    for (const auto& port : ports_)
      if (port->id() == interface.port && (mtu < kIpv4LeastMtu || mtu > port->config().mtu)) return false;
    NetworkChange change;
    change.mtus.emplace_back(interface.id, mtu);
    change_network(change);
    return true;
  }
  return false;
}

uint64_t Engine::set_clock_ms(uint64_t now_ms) {
  shared_.clock.set_ms(std::max(now_ms, shared_.clock.now_ms()));
  const Ticks now = shared_.clock.now();
  for (const auto& worker : workers_)
    while (shared_.running.load() && !worker->timers_caught_up(now))
      std::this_thread::sleep_for(std::chrono::microseconds(20));
  settle();
  return shared_.clock.now_ms();
}

}  // namespace fulcrum
