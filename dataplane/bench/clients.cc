// SPDX-License-Identifier: Apache-2.0
#include "bench/clients.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <random>
#include <set>

#include "service/traffic.h"

namespace fulcrum::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr unsigned kWindows = 50, kColdClients = 30;
constexpr size_t kClients = 1 << 16;

double nanoseconds_since(Clock::time_point begun) {
  return std::chrono::duration<double, std::nano>(Clock::now() - begun).count();
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

Address random_address(Family family, std::mt19937& random) {
  Address address;
  address.family = family;
  for (unsigned i = 0; i < (family == Family::kIpv4 ? 4u : 16u); ++i) address.bytes[i] = static_cast<uint8_t>(random());
  // Global unicast (RFC 4291 section 2.4).
  if (family == Family::kIpv6) address.bytes[0] = static_cast<uint8_t>(0x20 | (address.bytes[0] & 0x1f));
  return address;
}

class Clients {
 public:
  Clients(Family family, size_t prefixes) : list_(random_prefixes(family, prefixes)) {
    std::mt19937 random(2);
    // As many of them in a prefix as not: a guess by the branch predictor is worth nothing.
    const std::vector<Prefix> denied = random_prefixes(family, prefixes);
    for (size_t i = 0; i < kClients; ++i)
      clients_.push_back(i % 2 == 0 || denied.empty() ? random_address(family, random)
                                                      : denied[random() % denied.size()].address);
  }

  size_t bytes() const { return list_.bytes(); }
  // Each waits for the one before, as a packet waits for the verdict.
  double one_after_the_other() {
    std::vector<double> windows;
    for (unsigned window = 0; window < kWindows; ++window) {
      const auto begun = Clock::now();
      size_t at = window;
      for (size_t i = 0; i < kClients; ++i) at = (at + 1 + list_.match(clients_[at])) % kClients;
      asm volatile("" : : "r"(at));
      windows.push_back(nanoseconds_since(begun) / kClients);
    }
    return median(std::move(windows));
  }
  double cold(std::vector<uint64_t>& memory) {
    std::vector<double> asked;
    for (unsigned i = 0; i < kColdClients; ++i) {
      for (size_t at = 0; at < memory.size(); at += 8) ++memory[at];
      asm volatile("" : : "r"(memory.data()) : "memory");
      const Address client = clients_[i];
      const auto begun = Clock::now();
      const unsigned match = list_.match(client);
      asm volatile("" : : "r"(match));
      asked.push_back(nanoseconds_since(begun));
    }
    return median(std::move(asked));
  }

 private:
  PrefixList list_;
  std::vector<Address> clients_;
};

}  // namespace

std::vector<Prefix> random_prefixes(Family family, size_t count) {
  std::mt19937 random(1);
  std::set<std::array<uint8_t, 16>> known;
  std::vector<Prefix> made;
  while (made.size() < count) {
    Prefix prefix;
    prefix.address = random_address(family, random);
    const bool is_v4 = family == Family::kIpv4;
    prefix.length = static_cast<uint8_t>(is_v4 ? (random() % 5 == 0 ? 16 + random() % 8 : 24)
                                               : (random() % 5 == 0 ? 32 + random() % 16 : 48));
    for (unsigned bit = prefix.length; bit < (is_v4 ? 32u : 128u); ++bit)
      prefix.address.bytes[bit / 8] &= static_cast<uint8_t>(~(0x80u >> bit % 8));
    const auto& bytes = prefix.address.bytes;
    // RFC 2544, RFC 5180.
    const bool is_ours = is_v4 ? bytes[0] == 198 && (bytes[1] & 0xfe) == 18
                               : bytes[0] == 0x20 && bytes[1] == 0x01 && bytes[2] == 0 && bytes[3] == 2;
    if (!is_ours && known.insert(bytes).second) made.push_back(prefix);
  }
  return made;
}

void measure_clients() {
  std::vector<uint64_t> memory((size_t{96} << 20) / sizeof(uint64_t));
  std::printf("| prefixes | IPv4 KiB | ns | cold ns | IPv6 KiB | ns | cold ns |\n|---|---|---|---|---|---|---|\n");
  for (const size_t prefixes : {size_t{10}, size_t{1'000}, size_t{100'000}, size_t{1'000'000}}) {
    std::printf("| %zu |", prefixes);
    for (const Family family : {Family::kIpv4, Family::kIpv6}) {
      Clients clients(family, prefixes);
      const double warm = clients.one_after_the_other();
      std::printf(" %.1f | %.1f | %.0f |", static_cast<double>(clients.bytes()) / 1024, warm, clients.cold(memory));
    }
    std::printf("\n");
  }
}

}  // namespace fulcrum::bench
