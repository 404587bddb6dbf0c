// SPDX-License-Identifier: Apache-2.0
// The poll loop: receive, take what others hand over, serve the mailbox, run timers, transmit, and say that nothing of
// the old configuration is held any more.
#include "core/worker.h"

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_pause.h>
#include <rte_random.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>
#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/forward.h"
#include "core/verify.h"

namespace fulcrum {

namespace {
// Work between bursts is bounded, so that no packet waits long for it: about 20 microseconds each.
constexpr uint32_t kTimerBudget = 64;
constexpr uint32_t kListBudget = 512;
constexpr uint32_t kSweepBudget = 512;
constexpr uint64_t kDigestRounds = 32;  // while packets come, a slice of a digest has one in so many rounds
constexpr size_t kFollowBudget = 256;   // services and servers of a new snapshot: some microseconds

constexpr uint64_t kMostFragmentBytes = 16 << 20;
constexpr unsigned kCommandBudget = 16;

// An idle worker polls on for a while, then sleeps longer and longer.
constexpr uint32_t kEmptyRoundsBeforeSleep = 64;
constexpr uint32_t kShortestSleepUs = 5;
constexpr uint32_t kLongestSleepUs = 250;

constexpr size_t kServerCounterBytes = sizeof(ServerCounters) * Shared::kServerSlots;
constexpr size_t kServiceCounterBytes = sizeof(ServiceCounters) * Shared::kServiceSlots;

// Touched only where servers and services are: the kernel backs a page when it is first written.
void* map_counters(size_t bytes) {
  void* counters = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return counters == MAP_FAILED ? nullptr : counters;
}
}  // namespace

Worker::~Worker() {
  if (server_counters_ != nullptr) munmap(server_counters_, kServerCounterBytes);
  if (service_counters_ != nullptr) munmap(service_counters_, kServiceCounterBytes);
}

template <Family F>
bool Worker::create_lane(uint32_t connections, bool huge) {
  Lane<F>& lane = this->lane<F>();
  const std::string name = (F == Family::kIpv4 ? "fulcrum-worker-" : "fulcrum-worker6-") + std::to_string(id_);
  if (!lane.arena.map(name, sizeof(ArenaHeader) + 64 + ConnectionTable<F>::bytes_for(connections), huge)) {
    error_ = "no memory for " + std::to_string(connections) + " connections: " + lane.arena.error();
    return false;
  }
  auto* header = static_cast<ArenaHeader*>(lane.arena.take(sizeof(ArenaHeader)));
  if (!lane.table.create(lane.arena, connections, HashSecret{rte_rand() | 1, rte_rand() | 1})) {
    error_ = "the connection table does not fit its arena";
    return false;
  }
  *header = {ArenaHeader::kMagic, ArenaHeader::kLayout, id_, connections, 0, 0};
  __atomic_store_n(&header->committed, 1, __ATOMIC_RELEASE);
  lane.wheel = std::make_unique<TimerWheel<F>>(lane.table, now_);
  return true;
}

bool Worker::create(uint32_t connections, uint32_t neighbors, bool huge, unsigned socket) {
  now_ = shared_.clock.now();
  grace_began_ms_ = shared_.clock.now_ms();
  if (!create_lane<Family::kIpv4>(connections, huge) || !create_lane<Family::kIpv6>(connections, huge)) return false;

  server_counters_ = static_cast<ServerCounters*>(map_counters(kServerCounterBytes));
  service_counters_ = static_cast<ServiceCounters*>(map_counters(kServiceCounterBytes));
  if (server_counters_ == nullptr || service_counters_ == nullptr) {
    error_ = std::string("no memory for the counters of servers and services: ") + std::strerror(errno);
    return false;
  }
  // The arenas are made for the most that ipfrag_high_thresh may become.
  ReassemblySettings reassembly;
  reassembly.memory_bytes = kMostFragmentBytes;
  ip_ids_ = rte_rand();
  reassembly.secret_first = rte_rand();
  reassembly.secret_second = rte_rand();
  if (!reassembler_.create(reassembly)) {
    error_ = "no memory for fragments";
    return false;
  }
  if (!neighbors_.create("fulcrum_neighbors_" + std::to_string(id_), neighbors, socket)) {
    error_ = "no memory for the neighbour cache";
    return false;
  }
  transmit_.resize(shared_.ports.size());
  handover_.resize(shared_.workers);
  scheduler_states_.reserve(Shared::kServiceSlots);  // never moved while packets wait
  // A port with a queue for every worker gives each its own; the queues of others are dealt out in turn.
  uint32_t dealt = 0;
  const Steering first = shared_.workers > 1 ? Steering::kOnMiss : Steering::kDone;
  for (const PortRuntime& port : shared_.ports)
    for (uint16_t queue = 0; queue < port.rx_queues; ++queue) {
      const uint32_t turn = port.rx_queues >= shared_.workers ? queue : dealt++;
      if (turn % shared_.workers == id_) owned_queues_.push_back({port.id, queue, first});
    }
  // What one round over the queues may bring, each burst once more where it makes something for ourselves.
  for (auto& staged : handover_) staged.reserve(2 * kBurst * std::max<size_t>(owned_queues_.size(), 1));
  return true;
}

void Worker::run() {
  rte_rcu_qsbr_thread_online(shared_.quiescence, id_);
  while (shared_.running.load(std::memory_order_relaxed)) {
    const uint64_t start = rte_rdtsc();
    if (poll()) {
      counters_.busy_tsc += rte_rdtsc() - start;
      empty_rounds_ = 0;
    } else {
      idle();
    }
  }
  neighbors_.drop_all();
  counters_.verdicts[static_cast<size_t>(Verdict::kStopped)] += reassembler_.clear();
  flush_all();
  rte_rcu_qsbr_thread_offline(shared_.quiescence, id_);
}

bool Worker::poll() {
  const uint64_t now_ms = shared_.clock.now_ms();
  now_ = static_cast<Ticks>(now_ms * kTicksPerSecond / 1000);
  now_s_ = static_cast<uint32_t>(now_ms / 1000);  // ticks wrap around earlier
  now_ms_ = now_ms;
  tcp_table_ = shared_.defence.secure_tcp.load(std::memory_order_relaxed) ? TcpTable::kSecure : TcpTable::kNormal;
  const Snapshot* current = shared_.snapshot.load(std::memory_order_acquire);
  if (current != snapshot_) adopt(*current);

  bool worked = receive();
  worked |= take_handed_over();
  worked |= take_from_kernel();
  worked |= follow_slice();
  worked |= serve_mailbox();
  if (listing_ != nullptr) worked |= list_slice();
  if (sweeping_) worked |= sweep_slice();
  if (purging_ != nullptr) worked |= purge_slice();
  // It is asked for all the time: packets go before.
  if (digesting_ != nullptr && (!worked || rounds_ % kDigestRounds == 0)) worked |= digest_slice();
  if ((lane4_.drop_left | lane6_.drop_left) != 0) worked |= drop_slice();
  run_timers();
  flush_all();
  rte_rcu_qsbr_quiescent(shared_.quiescence, id_);
  __atomic_store_n(&rounds_, rounds_ + 1, __ATOMIC_RELEASE);
  return worked;
}

bool Worker::receive() {
  bool any = false;
  for (OwnedQueue& owned : owned_queues_) {
    rte_mbuf* packets[kBurst];
    const PortId port = owned.port;
    const uint16_t count = rte_eth_rx_burst(port, owned.queue, packets, kBurst);
    if (count == 0) continue;
    any = true;
    counters_.rx_packets += count;
    ++counters_.bursts[std::bit_width(count - 1u)];
    __atomic_store_n(&activity_, activity_ + count, __ATOMIC_RELAXED);
    // A device shared by rings, or a mirrored buffer, may carry another port's number.
    for (uint16_t i = 0; i < count; ++i) packets[i]->port = port;
    const uint64_t away = handed_away_;
    handle_burst(packets, count, owned.steering);
    // A queue that brings mostly others' packets need not look them up in vain.
    if (owned.steering != Steering::kDone)
      owned.steering = 2 * (handed_away_ - away) > count ? Steering::kBeforeLookup : Steering::kOnMiss;
  }
  send_handover();
  return any;
}

void Worker::send_handover() {
  if (shared_.workers == 1) return;
  for (uint32_t to = 0; to < shared_.workers; ++to) {
    std::vector<rte_mbuf*>& staged = handover_[to];
    if (staged.empty()) continue;
    const auto count = static_cast<unsigned>(staged.size());
    const unsigned sent = rte_ring_sp_enqueue_burst(shared_.handover_ring(id_, to),
                                                    reinterpret_cast<void**>(staged.data()), count, nullptr);
    counters_.handed_over += sent;
    for (unsigned i = sent; i < count; ++i) drop(staged[i], Verdict::kHandoverFull);
    staged.clear();
  }
}

bool Worker::take_handed_over() {
  if (shared_.workers == 1) return false;
  bool any = false;
  rte_mbuf* packets[kBurst];
  auto** objects = reinterpret_cast<void**>(packets);
  for (uint32_t from = 0; from < shared_.workers; ++from) {
    if (from == id_) continue;
    if (const unsigned count = rte_ring_sc_dequeue_burst(shared_.handover_ring(from, id_), objects, kBurst, nullptr)) {
      any = true;
      counters_.taken_over += count;
      __atomic_store_n(&activity_, activity_ + count, __ATOMIC_RELAXED);
      handle_burst(packets, count, Steering::kDone);
      send_handover();  // datagrams that their fragments' home has put together
    }
    // Frames that another worker finished and whose port's queue is ours. Their verdict is counted there.
    if (const unsigned count = rte_ring_sc_dequeue_burst(shared_.transmit_ring(from, id_), objects, kBurst, nullptr)) {
      any = true;
      __atomic_store_n(&activity_, activity_ + count, __ATOMIC_RELAXED);
      for (unsigned i = 0; i < count; ++i) push(packets[i], packets[i]->port, kNoVerdict);
    }
  }
  return any;
}

bool Worker::serve_mailbox() {
  rte_ring* mailbox = shared_.mailboxes[id_];
  if (rte_ring_empty(mailbox)) [[likely]]
    return false;
  Command command;
  for (unsigned i = 0; i < kCommandBudget; ++i) {
    // One listing at a time; the next waits in the mailbox.
    if (listing_ != nullptr) break;
    if (rte_ring_sc_dequeue_elem(mailbox, &command, sizeof command) != 0) break;
    obey(command);
    __atomic_store_n(&activity_, activity_ + 1, __ATOMIC_RELAXED);
  }
  return true;
}

void Worker::obey(const Command& command) {
  switch (command.kind) {
    case Command::Kind::kBindNeighbor: {
      neighbors_.bind(command.key, command.adjacency);
      Adjacency& adjacency = (*shared_.adjacencies)[command.adjacency];
      if (!adjacency.usable.load(std::memory_order_acquire)) return;
      neighbors_.release(command.key, [&](rte_mbuf* packet, uint8_t verdict) {
        send_by(packet, rte_pktmbuf_mtod(packet, uint8_t*), adjacency, verdict);
      });
      return;
    }
    case Command::Kind::kNeighborFailed:
      neighbors_.release(
          command.key, [this](rte_mbuf* packet, uint8_t verdict) { lose(packet, verdict, Verdict::kNeighborFailed); });
      return;
    case Command::Kind::kUnbindNeighbor:
      neighbors_.unbind(command.key);
      ++route_epoch_;
      return;
    case Command::Kind::kTransmit:
      push(command.packet, command.port, kNoVerdict);
      return;
    case Command::Kind::kList:
      listing_ = command.list;
      return;
    case Command::Kind::kSweep:
      sweeping_ = true;
      sweep_cursor_ = 0;
      return;
    case Command::Kind::kDropEntries:
      return drop_entries();
    case Command::Kind::kPurge:
      purging_ = command.purge;
      return;
    case Command::Kind::kDigest:
      digesting_ = command.digest;
      return begin_digest();
    case Command::Kind::kExplain:
      return explain(*command.explain);
    case Command::Kind::kTrace:
      trace_ = command.trace;
      return;
    case Command::Kind::kBarrier:
      flush_all();
      command.done->fetch_add(1, std::memory_order_release);
      return;
  }
}

bool Worker::list_slice() {
  ListRequest& request = *listing_;
  uint32_t budget = kListBudget;
  bool exhausted = false;
  if (request.cursor < kIpv6Cursor && list_lane<Family::kIpv4>(request, budget)) request.cursor = kIpv6Cursor;
  if (request.cursor >= kIpv6Cursor) exhausted = list_lane<Family::kIpv6>(request, budget);
  request.exhausted = exhausted;
  if (exhausted || request.connections.size() >= request.limit) {
    listing_ = nullptr;
    request.done.store(1, std::memory_order_release);
  }
  return true;
}

// As it is listed.
template <Family F>
ConnectionInfo Worker::info_of(const Connection<F>& entry, const ConnectionRecord& record) const {
  ConnectionInfo info;
  info.protocol = entry.protocol;
  info.state = entry.state;
  info.method = entry.method();
  info.active = entry.is_active();
  info.client_port = entry.forward.source_port.host();
  info.virtual_port = entry.forward.destination_port.host();
  info.server_port = info.method == ForwardingMethod::kNat ? entry.reply.source_port.host() : info.virtual_port;
  info.worker = id_;
  info.expires_ms = ticks_until(entry.deadline, now_) * (1000 / kTicksPerSecond);
  info.in_packets = entry.in_packets;
  info.fwmark = record.fwmark;
  info.client = Address::from(entry.forward.source);
  info.vip = Address::from(entry.forward.destination);
  info.server = shared_.servers[entry.server].address;
  if (info.method == ForwardingMethod::kBypass) {  // LVS lists no server for it
    info.server = Address::from(AddressOf<F>{});
    info.server_port = 0;
  }
  if (info.method == ForwardingMethod::kMasquerade) {  // from whom, as whom, to whom
    info.vip = Address::from(entry.reply.destination);
    info.virtual_port = entry.reply.destination_port.host();
    info.server = Address::from(entry.forward.destination);
    info.server_port = entry.forward.destination_port.host();
  }
  return info;
}
template ConnectionInfo Worker::info_of(const Connection<Family::kIpv4>&, const ConnectionRecord&) const;
template ConnectionInfo Worker::info_of(const Connection<Family::kIpv6>&, const ConnectionRecord&) const;

// True at the end of this family's table.
template <Family F>
bool Worker::list_lane(ListRequest& request, uint32_t& budget) {
  const ConnectionTable<F>& table = lane<F>().table;
  const ConnectionFilter& filter = request.filter;
  constexpr uint32_t kBase = F == Family::kIpv4 ? 0 : kIpv6Cursor;
  const uint32_t end = table.high_water();
  for (; request.cursor - kBase < end && budget != 0 && request.connections.size() < request.limit;
       ++request.cursor, --budget) {
    const Connection<F>& entry = table.entry(request.cursor - kBase);
    if (!entry.is_used() || is_due(entry.deadline, now_) || entry.server == Shared::kCondemnedSlot) continue;
    const ServerLine& server = shared_.servers[entry.server];
    const ConnectionRecord& record = table.record(request.cursor - kBase);
    if (!matches(filter, entry, record, server.address, server.port)) continue;
    request.connections.push_back(info_of(entry, record));
  }
  return request.cursor - kBase >= end;
}

// expire_nodest_conn: what deleted servers leave behind, whichever they are, goes in the background.
bool Worker::sweep_slice() {
  for (uint32_t budget = kSweepBudget; budget != 0; --budget) {
    const uint32_t end4 = lane4_.table.high_water(), end6 = lane6_.table.high_water();
    if (sweep_cursor_ < end4) {
      sweep_entry<Family::kIpv4>(sweep_cursor_);
    } else if (sweep_cursor_ - end4 < end6) {
      sweep_entry<Family::kIpv6>(sweep_cursor_ - end4);
    } else {
      sweeping_ = false;
      return true;
    }
    ++sweep_cursor_;
  }
  return true;
}

template <Family F>
void Worker::sweep_entry(ConnectionIndex index) {
  const Connection<F>& entry = lane<F>().table.entry(index);
  if (!entry.is_used() || entry.server >= Shared::kFirstSpecialSlot ||
      shared_.servers[entry.server].available.load(std::memory_order_relaxed))
    return;
  const TemplateIndex controlling = lane<F>().table.record(index).controlling;
  end_connection<F>(index);
  // LVS: the last one takes its template along.
  if (controlling != kNoTemplate) shared_.templates->end_if_idle(controlling, now_);
}

// LVS looks through a part of its buckets; entries lie in no order here, so a stretch of them is as random.
void Worker::drop_entries() {
  const auto begin = [](auto& lane) {
    const uint32_t end = lane.table.high_water();
    lane.drop_left = (end + kDropEntryPart - 1) / kDropEntryPart;
    lane.drop_next = end == 0 ? 0 : static_cast<uint32_t>(rte_rand_max(end));
  };
  begin(lane4_);
  begin(lane6_);
}

bool Worker::drop_slice() {
  uint32_t budget = kSweepBudget;
  drop_some(lane4_, budget);
  drop_some(lane6_, budget);
  return true;
}

template <Family F>
void Worker::drop_some(Lane<F>& lane, uint32_t& budget) {
  const uint32_t end = lane.table.high_water();
  for (; lane.drop_left != 0 && budget != 0; --lane.drop_left, --budget) {
    const ConnectionIndex index = lane.drop_next;
    lane.drop_next = index + 1 == end ? 0 : index + 1;
    const Connection<F>& entry = lane.table.entry(index);
    if (!entry.is_used() || is_due(entry.deadline, now_)) continue;
    EntryFacts facts;
    facts.protocol = entry.protocol;
    facts.state = entry.state;
    facts.in_packets = entry.in_packets;
    const Ticks timeout = snapshot_->timeouts.of(TimeoutTable::row_of(entry.protocol), entry.state);
    const Ticks left = ticks_until(entry.deadline, now_);
    facts.idle_s = left < timeout ? (timeout - left) / kTicksPerSecond : 0;
    if (entry_dropper_.drops(facts)) end_connection<F>(index);
  }
}

// Packets meet the new snapshot at once; what else is to follow its changes does so bit by bit, between bursts.
void Worker::adopt(const Snapshot& snapshot) {
  snapshot_ = &snapshot;
  if (digesting_ != nullptr) begin_digest();
  if (snapshot.network_version != network_version_) ++route_epoch_;
  network_version_ = snapshot.network_version;
  lane4_.known_local = {};
  lane6_.known_local = {};
  const Tunables& tunables = snapshot.tunables;
  reassembler_.tune(tunables.ipfrag_high_thresh, seconds_to_ticks(tunables.ipfrag_time),
                    seconds_to_ticks(tunables.ip6frag_time));
  follows_all_ = snapshot.version != adopted_.load(std::memory_order_relaxed) + 1;
  follow_next_ = 0;
  follow_slice();
}

bool Worker::follow_slice() {
  if (adopted_.load(std::memory_order_relaxed) == snapshot_->version) [[likely]]
    return false;
  const size_t end = follows_all_ ? snapshot_->services.size() : snapshot_->changed.size();
  for (size_t servers = 0; follow_next_ < end && servers < kFollowBudget; ++follow_next_) {
    const VirtualService& service =
        follows_all_ ? *snapshot_->services[follow_next_] : *snapshot_->changed[follow_next_];
    follow(service);
    servers += 1 + service.servers.size();
  }
  if (follow_next_ == end) adopted_.store(snapshot_->version, std::memory_order_release);
  return true;
}

// The service's scheduler state, and whether it and its servers count for the totals.
void Worker::follow(const VirtualService& service) {
  if (scheduler_states_.size() <= service.slot) scheduler_states_.resize(service.slot + 64);
  if (service.rules != nullptr)
    catch_up(scheduler_states_[service.slot], *service.rules, service, id_, shared_.workers);
  count_in_total(service);
  const bool counted = service.rules != nullptr && service.rules->counts_connections;
  for (const RealServer& server : service.servers) {
    const bool wanted = counted || server.upper_threshold != 0;
    ServerCounters& counters = server_counters_[server.slot];
    if (counters.in_totals == wanted) continue;
    counters.in_totals = wanted;
    LoadView::Line& totals = shared_.totals[server.slot];
    __atomic_fetch_add(&totals.active, wanted ? counters.active : 0u - counters.active, __ATOMIC_RELAXED);
    __atomic_fetch_add(&totals.inactive, wanted ? counters.inactive : 0u - counters.inactive, __ATOMIC_RELAXED);
    const uint64_t all = uint64_t{counters.active} + counters.inactive;
    __atomic_fetch_add(&totals.occupancy, wanted ? all : 0u - all, __ATOMIC_RELAXED);
    shared_.totals_changed(server.slot);
  }
}

SchedulerState& Worker::state_of(const VirtualService& service) {
  if (scheduler_states_.size() <= service.slot || is_behind(scheduler_states_[service.slot], service)) follow(service);
  return scheduler_states_[service.slot];
}

void Worker::run_timers() {
  if (timers_at_.load(std::memory_order_relaxed) == now_) [[likely]]
    return;
  const bool caught_up = lane4_.wheel->advance(now_, kTimerBudget,
                                               [this](ConnectionIndex index) { end_connection<Family::kIpv4>(index); });
  const bool caught_up_6 = lane6_.wheel->advance(
      now_, kTimerBudget, [this](ConnectionIndex index) { end_connection<Family::kIpv6>(index); });
  expire_fragments();
  tend_overload();
  if (caught_up && caught_up_6) timers_at_.store(now_, std::memory_order_release);
}

void Worker::idle() {
  ++empty_rounds_;
  if (shared_.idle == IdlePolicy::kPoll || empty_rounds_ < kEmptyRoundsBeforeSleep) {
    rte_pause();
    return;
  }
  const uint32_t microseconds =
      std::min(kLongestSleepUs, kShortestSleepUs * (empty_rounds_ - kEmptyRoundsBeforeSleep + 1));
  const timespec pause{0, static_cast<long>(microseconds) * 1000};
  nanosleep(&pause, nullptr);
}

template <Family F>
bool Worker::preload(const VirtualService& service, const RealServer& server, const FlowKey<F>& key) {
  now_ = shared_.clock.now();
  if (const Snapshot* current = shared_.snapshot.load(std::memory_order_acquire); current != snapshot_) adopt(*current);
  const be16 port = server.key.port != 0 ? be16::from_host(server.key.port) : key.tuple.destination_port;
  const Found<F> made = create_connection(service, take_place_at(server, port), key, service.key.fwmark);
  if (!made) return false;
  Connection<F>& entry = *made.entry;
  if (key.protocol == IpProtocol::kTcp) change_state(entry, static_cast<uint8_t>(TcpState::kEstablished), true, true);
  entry.deadline = now_ + snapshot_->timeouts.of(TimeoutTable::row_of(key.protocol), entry.state);
  lane<F>().wheel->rearm(made.index, entry.deadline);
  return true;
}
template bool Worker::preload(const VirtualService&, const RealServer&, const FlowKey<Family::kIpv4>&);
template bool Worker::preload(const VirtualService&, const RealServer&, const FlowKey<Family::kIpv6>&);

}  // namespace fulcrum
