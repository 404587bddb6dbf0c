// SPDX-License-Identifier: Apache-2.0
#include "bench/table.h"

#include <rte_hash.h>
#include <rte_hash_crc.h>
#include <rte_malloc.h>
#include <rte_random.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <numeric>
#include <random>

#include "bench/capture.h"
#include "bench/json.h"
#include "conn/connection_table.h"
#include "core/eal.h"

namespace fulcrum::bench {

namespace {

constexpr unsigned kBurst = 32;
constexpr unsigned kLookupWindows = 7;
constexpr uint32_t kLeastLookups = 2'000'000;
using Key = FlowKey<Family::kIpv4>;
using Found = ConnectionTable<Family::kIpv4>::Found;

// Keys as rte_hash takes them: of one length, nothing between.
struct alignas(4) PlainKey {
  Tuple<Family::kIpv4> tuple;
  uint8_t protocol;
  uint8_t zero[3];
};
static_assert(sizeof(PlainKey) == 16);

Key key_of(uint32_t number) {
  return {{be32::from_host(0x14000000 + (number >> 15)), be32::from_host(0xc633640a),
           be16::from_host(static_cast<uint16_t>(0x8000 | (number & 0x7fff))), be16::from_host(80)},
          IpProtocol::kUdp};
}

// Bursts of numbers in random order: every lookup is somewhere else in memory.
std::vector<uint32_t> random_order(uint32_t size) {
  std::vector<uint32_t> order(std::max(size, kLeastLookups) / size * size);
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<uint32_t>(i % size);
  std::shuffle(order.begin(), order.end(), std::mt19937(1));
  order.resize(order.size() / kBurst * kBurst);
  return order;
}

template <typename LookupBurst>
double nanoseconds_per_lookup(const std::vector<uint32_t>& order, LookupBurst&& lookup_burst) {
  std::vector<double> windows;
  for (unsigned window = 0; window < kLookupWindows; ++window) {
    const auto begun = std::chrono::steady_clock::now();
    uint64_t found = 0;
    for (size_t at = 0; at < order.size(); at += kBurst) found += lookup_burst(&order[at]);
    if (found != order.size()) throw BenchError("a table does not find what was put in");
    const std::chrono::duration<double, std::nano> passed = std::chrono::steady_clock::now() - begun;
    windows.push_back(passed.count() / static_cast<double>(order.size()));
  }
  std::nth_element(windows.begin(), windows.begin() + kLookupWindows / 2, windows.end());
  return windows[kLookupWindows / 2];
}

// What making a key costs is in both tables' figures: packets bring theirs, and this reads like parsing does.
JsonObject measure_ours(uint32_t size, const std::vector<uint32_t>& order, bool huge) {
  Arena arena;
  ConnectionTable<Family::kIpv4> table;
  const size_t bytes = ConnectionTable<Family::kIpv4>::bytes_for(size);
  if (!arena.map("fulcrum-bench-table", bytes, huge) ||
      !table.create(arena, size, HashSecret{rte_rand() | 1, rte_rand() | 1}))
    throw BenchError("no memory for " + std::to_string(size) + " connections: " + arena.error());
  std::vector<uint32_t> numbers(size);
  std::iota(numbers.begin(), numbers.end(), 0u);
  std::shuffle(numbers.begin(), numbers.end(), std::mt19937(2));
  for (const uint32_t number : numbers) {
    const ConnectionIndex index = table.allocate();
    auto& entry = table.entry(index);
    entry.forward = key_of(number).tuple;
    entry.reply = entry.forward.reversed();
    entry.protocol = IpProtocol::kUdp;
    if (!table.insert(index)) throw BenchError("the connection table is full before its time");
  }
  const double ns = nanoseconds_per_lookup(order, [&](const uint32_t* burst) {
    Key keys[kBurst];
    uint64_t hashes[kBurst];
    ConnectionIndex candidates[kBurst];
    for (unsigned i = 0; i < kBurst; ++i) {
      keys[i] = key_of(burst[i]);
      hashes[i] = table.hash(keys[i]);
      table.prefetch_bucket(hashes[i]);
    }
    for (unsigned i = 0; i < kBurst; ++i) candidates[i] = table.candidate(hashes[i]);
    uint64_t found = 0;
    for (unsigned i = 0; i < kBurst; ++i) {
      Found at;
      if (candidates[i] != kNoConnection) [[likely]]
        at = table.check(candidates[i], keys[i]);
      if (!at) [[unlikely]]
        at = table.find(keys[i], hashes[i]);
      found += at ? (++at.entry->in_packets, 1u) : 0u;
    }
    return found;
  });
  const double one_by_one = nanoseconds_per_lookup(order, [&](const uint32_t* burst) {
    uint64_t found = 0;
    for (unsigned i = 0; i < kBurst; ++i) {
      const Found at = table.find(key_of(burst[i]));
      found += at ? (++at.entry->in_packets, 1u) : 0u;
    }
    return found;
  });
  return JsonObject()
      .add("ns", ns)
      .add("oneByOneNs", one_by_one)
      .add("bytesPerEntry", static_cast<double>(bytes) / size)
      .add("hugepages", arena.huge());
}

size_t allocated_bytes() {
  rte_malloc_socket_stats stats{};
  rte_malloc_get_socket_stats(0, &stats);
  return stats.heap_allocsz_bytes;
}

// rte_hash finds an index; what a packet needs of its connection lies in a line of its own, as in our table, and is
// prefetched as ours is.
JsonObject measure_rte_hash(uint32_t size, const std::vector<uint32_t>& order, bool huge) {
  const size_t before = allocated_bytes();
  rte_hash_parameters parameters{};
  parameters.name = "bench";
  parameters.entries = size;
  parameters.key_len = sizeof(PlainKey);
  parameters.hash_func = rte_hash_crc;
  parameters.hash_func_init_val = static_cast<uint32_t>(rte_rand());
  const std::unique_ptr<rte_hash, void (*)(rte_hash*)> hash(rte_hash_create(&parameters), rte_hash_free);
  if (hash == nullptr) throw BenchError("no memory for an rte_hash of " + std::to_string(size));
  const size_t bytes = allocated_bytes() - before;
  Arena arena;
  if (!arena.map("fulcrum-bench-entries", sizeof(Connection<Family::kIpv4>) * size, huge))
    throw BenchError("no memory for connections: " + arena.error());
  auto* entries = static_cast<Connection<Family::kIpv4>*>(arena.take(sizeof(Connection<Family::kIpv4>) * size));
  const auto plain_key = [](uint32_t number) { return PlainKey{key_of(number).tuple, 17, {}}; };
  std::vector<uint32_t> numbers(size);
  std::iota(numbers.begin(), numbers.end(), 0u);
  std::shuffle(numbers.begin(), numbers.end(), std::mt19937(2));
  uint64_t stored = 0;
  for (const uint32_t number : numbers) {
    const PlainKey key = plain_key(number);
    stored += rte_hash_add_key_data(hash.get(), &key, reinterpret_cast<void*>(uint64_t{number})) == 0;
  }
  // Cuckoo hashing may find no place for some before it is full; these are left out.
  PlainKey keys[kBurst];
  const void* pointers[kBurst];
  for (unsigned i = 0; i < kBurst; ++i) pointers[i] = &keys[i];
  const auto lookup = [&](const uint32_t* burst, bool entry_too) {
    void* data[kBurst];
    uint64_t hits = 0;
    for (unsigned i = 0; i < kBurst; ++i) keys[i] = plain_key(burst[i]);
    rte_hash_lookup_bulk_data(hash.get(), pointers, kBurst, &hits, data);
    if (entry_too) {
      for (uint64_t left = hits; left != 0; left &= left - 1)
        __builtin_prefetch(&entries[reinterpret_cast<uint64_t>(data[__builtin_ctzll(left)])], 1);
      for (uint64_t left = hits; left != 0; left &= left - 1)
        ++entries[reinterpret_cast<uint64_t>(data[__builtin_ctzll(left)])].in_packets;
    }
    return kBurst;
  };
  const double alone = nanoseconds_per_lookup(order, [&](const uint32_t* burst) { return lookup(burst, false); });
  const double ns = nanoseconds_per_lookup(order, [&](const uint32_t* burst) { return lookup(burst, true); });
  return JsonObject()
      .add("ns", ns)
      .add("withoutEntryNs", alone)
      .add("bytesPerEntry", static_cast<double>(bytes) / size)
      .add("notStored", size - stored);
}

}  // namespace

void compare_tables(const TableOptions& options) {
  StartConfig config;
  config.housekeeping_cpus = {options.cpu};
  config.worker_cpus = {options.cpu};
  config.hugepages = options.hugepages;
  const uint32_t greatest = *std::max_element(options.sizes.begin(), options.sizes.end());
  const auto megabytes = static_cast<uint32_t>(64 + uint64_t{greatest} * 128 / (1 << 20));
  const EalOptions memory = plan_memory(config, {megabytes, megabytes});
  start_eal(eal_arguments(config, memory));
  std::vector<JsonObject> results;
  for (const uint32_t size : options.sizes) {
    const std::vector<uint32_t> order = random_order(size);
    JsonObject& result = results.emplace_back();
    result.add("entries", size);
    result.add("ours", measure_ours(size, order, memory.hugepages));
    result.add("rteHash", measure_rte_hash(size, order, memory.hugepages));
  }
  JsonObject().add("memory", memory.hugepages ? "hugepages" : "no-huge").add("sizes", results).print();
}

}  // namespace fulcrum::bench
