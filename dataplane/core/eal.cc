// SPDX-License-Identifier: Apache-2.0
#include "core/eal.h"

#include <fcntl.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <rte_pci.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <deque>
#include <fstream>
#include <mutex>

#include "core/packet_fanout.h"

namespace fulcrum {

namespace {

constexpr uint32_t kHugePageMb = 2;

uint32_t free_hugepages_mb() {
  std::ifstream file("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
  uint32_t pages = 0;
  file >> pages;
  return pages * kHugePageMb;
}

std::string cpu_set(const std::vector<uint32_t>& cpus) {
  std::string text;
  for (const uint32_t cpu : cpus)
    text.append(text.empty() ? 1 : 0, '(').append(text.size() > 1 ? 1 : 0, ',').append(std::to_string(cpu));
  return text.append(1, ')');
}

std::mutex log_mutex;
std::deque<std::string> log_lines;
std::string log_partial;
constexpr size_t kLinesKept = 400;

// fopencookie's writer: EAL prints pieces of lines; whole ones are kept. A reader that does not read loses lines, never
// blocks the writer.
ssize_t tap_write(void* cookie, const char* text, size_t size) {
  const std::lock_guard lock(log_mutex);
  log_partial.append(text, size);
  for (size_t end; (end = log_partial.find('\n')) != std::string::npos; log_partial.erase(0, end + 1)) {
    log_lines.push_back(log_partial.substr(0, end));
    if (log_lines.size() > kLinesKept) log_lines.pop_front();
    const std::string line = log_lines.back() + "\n";
    [[maybe_unused]] const ssize_t written =
        write(static_cast<int>(reinterpret_cast<intptr_t>(cookie)), line.data(), line.size());
  }
  return static_cast<ssize_t>(size);
}

}  // namespace

LogTap& LogTap::instance() {
  static LogTap tap;
  return tap;
}

LogTap::LogTap() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return;
  read_fd_ = ends[0];
  write_fd_ = ends[1];
  cookie_io_functions_t functions{};
  functions.write = tap_write;
  FILE* stream = fopencookie(reinterpret_cast<void*>(static_cast<intptr_t>(write_fd_)), "w", functions);
  if (stream == nullptr) return;
  setvbuf(stream, nullptr, _IOLBF, 0);
  rte_openlog_stream(stream);
}

std::string LogTap::recent(const std::string& word, size_t most) {
  const std::lock_guard lock(log_mutex);
  std::deque<std::string> chosen;
  for (auto line = log_lines.rbegin(); line != log_lines.rend() && chosen.size() < most; ++line)
    if (word.empty() || line->find(word) != std::string::npos) chosen.push_front(*line);
  std::string text;
  for (const std::string& line : chosen) text += "\n  " + line;
  return text;
}

void LogTap::write_line(const std::string& line) {
  const std::string whole = line + "\n";
  tap_write(reinterpret_cast<void*>(static_cast<intptr_t>(write_fd_)), whole.data(), whole.size());
}

bool is_pci_address(const std::string& device) {
  rte_pci_addr address;
  return rte_pci_addr_parse(device_name(device).c_str(), &address) == 0;
}

std::string device_name(const std::string& device) { return device.substr(0, device.find(',')); }

EalOptions plan_memory(const StartConfig& config, MemoryNeeds needs) {
  const uint32_t free_mb = free_hugepages_mb();
  const uint32_t wanted = config.memory_mb != 0 ? config.memory_mb : needs.in_hugepages;
  if (config.hugepages == Hugepages::kOn && free_mb < wanted)
    throw StartError("memory.hugepages: on, but only " + std::to_string(free_mb) + " MB of huge pages are free and " +
                     std::to_string(wanted) + " MB are needed (see vm.nr_hugepages)");
  const bool huge = config.hugepages != Hugepages::kOff && free_mb >= wanted;
  return {huge, huge || config.memory_mb != 0 ? wanted : needs.in_pages};
}

std::vector<std::string> eal_arguments(const StartConfig& config, const EalOptions& options) {
  std::string lcores = "0@" + cpu_set(config.housekeeping_cpus);
  for (size_t worker = 0; worker < config.worker_cpus.size(); ++worker)
    lcores.append(1, ',')
        .append(std::to_string(worker + 1))
        .append(1, '@')
        .append(std::to_string(config.worker_cpus[worker]));
  std::vector<std::string> arguments = {"fulcrum", "--lcores=" + lcores, "--no-telemetry"};
  if (options.hugepages) {
    arguments.push_back("--in-memory");
  } else {
    // 22.11 refuses --no-huge together with --in-memory.
    arguments.insert(arguments.end(), {"--no-huge", "--no-shconf", "-m", std::to_string(options.memory_mb)});
  }
  bool any_pci = false;
  for (const PortConfig& port : config.ports) {
    if (port.device == "memory") continue;
    if (is_pci_address(port.device)) {
      any_pci = true;
      arguments.insert(arguments.end(), {"-a", port.device});
    } else {
      arguments.push_back("--vdev=" + port.device);
    }
  }
  if (!any_pci) arguments.push_back("--no-pci");
  arguments.insert(arguments.end(), config.eal_arguments.begin(), config.eal_arguments.end());
  return arguments;
}

void start_eal(const std::vector<std::string>& arguments) {
  LogTap& log = LogTap::instance();
  const PacketFanout fanout = packet_fanout(arguments);
  if (fanout == PacketFanout::kNeeded)
    log.write_line(
        "AF_PACKET with several queue pairs: the kernel reassembles IPv4 there, and long datagrams are lost");
  if (fanout == PacketFanout::kNotNeeded) {
    const std::string reason = refuse_packet_fanout();
    if (!reason.empty())
      log.write_line("AF_PACKET: fragmented IPv4 datagrams will be lost, for seccomp says: " + reason);
  }
  // EAL keeps and permutes argv.
  static std::vector<std::string> kept;
  static std::vector<char*> pointers;
  kept = arguments;
  pointers.clear();
  for (std::string& argument : kept) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  if (rte_eal_init(static_cast<int>(kept.size()), pointers.data()) >= 0) return;
  std::string command;
  for (const std::string& argument : arguments) command += " " + argument;
  throw StartError(std::string("DPDK does not start: ") + rte_strerror(rte_errno) + "; arguments:" + command +
                   LogTap::instance().recent(""));
}

void stop_eal() { rte_eal_cleanup(); }

}  // namespace fulcrum
