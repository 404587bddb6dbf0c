// SPDX-License-Identifier: Apache-2.0
#include "core/start_plan.h"

#include <rte_mbuf.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "core/kernel_ports.h"
#include "core/kernel_silence.h"

namespace fulcrum {

namespace {

constexpr uint32_t kKernelBuffers = 2048;     // of a kernel port, what its port's transmit queue holds aside
constexpr uint32_t kBuffersPerWorker = 8192;  // parked, handed over, waiting to be sent
constexpr uint32_t kMostWorkers = 128;
constexpr uint32_t kBaseMemoryMb = 288;   // routes (70 MB, IPv6 80 MB), rings, hashes
constexpr uint32_t kSpareRoutesMb = 152;  // routes once more, where the kernel's are followed
constexpr uint32_t kWorkerMemoryMb = 8;
constexpr unsigned kBufferOverhead = 5 * RTE_CACHE_LINE_SIZE;  // rte_mbuf, and mempool's own per object

uint16_t largest_mtu(const StartConfig& config) {
  uint16_t largest = 1500;
  for (const PortConfig& port : config.ports) largest = std::max(largest, port.mtu);
  return largest;
}

// Of the port that the interface is on; null: it has none.
const KernelPortConfig* kernel_port_of(const StartConfig& config, const InterfaceConfig& interface) {
  for (const PortConfig& port : config.ports)
    if (port.name == interface.port) return port.kernel ? &*port.kernel : nullptr;
  return nullptr;
}

void check_kernel_ports(const StartConfig& config) {
  constexpr size_t kLongestName = 15;
  std::set<std::string> taken;
  for (const PortConfig& port : config.ports) taken.insert(kernel_interface(port.device));
  for (const PortConfig& port : config.ports) {
    if (!port.kernel) continue;
    const std::string field = "ports." + port.name + ".kernel.name";
    if (port.kernel->name.empty() || port.kernel->name.find('/') != std::string::npos)
      throw StartError(field + ": \"" + port.kernel->name + "\" is no name of a network interface");
    for (const InterfaceConfig& interface : config.interfaces) {
      if (interface.port != port.name) continue;
      const std::string name = KernelPorts::name_of(*port.kernel, interface.vlan);
      if (name.size() > kLongestName)
        throw StartError(field + ": \"" + name + "\" is longer than " + std::to_string(kLongestName) + " characters");
      if (!taken.insert(name).second) throw StartError(field + ": \"" + name + "\" is another interface's name");
    }
  }
}

}  // namespace

uint16_t data_room(const StartConfig& config) {
  const unsigned frame = largest_mtu(config) + 18u + 4u + RTE_PKTMBUF_HEADROOM;
  return static_cast<uint16_t>(std::max<unsigned>(RTE_MBUF_DEFAULT_BUF_SIZE, frame));
}

uint32_t estimate_buffers(const StartConfig& config) {
  if (config.packet_buffers != 0) return config.packet_buffers;
  const auto workers = static_cast<uint32_t>(config.worker_cpus.size());
  uint32_t memory_ports = 0;
  for (const PortConfig& port : config.ports) memory_ports += port.device == "memory";
  uint32_t kernel_interfaces = 0;
  for (const InterfaceConfig& interface : config.interfaces)
    kernel_interfaces += kernel_port_of(config, interface) != nullptr;
  return static_cast<uint32_t>(config.ports.size()) * workers * 2048 + workers * kBuffersPerWorker +
         memory_ports * 16384 +
         kernel_interfaces * workers * static_cast<uint32_t>(kKernelClasses) * KernelQueue::kSize + 4096;
}

uint32_t estimate_kernel_buffers(const StartConfig& config) {
  constexpr uint32_t kUsualDescriptors = 1024;
  uint32_t sum = 0;
  for (const PortConfig& port : config.ports)
    if (port.kernel) sum += kKernelBuffers + std::max<uint32_t>(port.tx_descriptors, kUsualDescriptors);
  return sum;
}

// Without huge pages a mempool lets no object lie across pages that it need not.
MemoryNeeds estimate_memory(const StartConfig& config) {
  const uint64_t buffers = uint64_t{estimate_buffers(config)} + estimate_kernel_buffers(config);
  const uint64_t bytes = data_room(config) + kBufferOverhead, page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const uint64_t bytes_in_pages = bytes <= page ? page / (page / bytes) : (bytes + page - 1) / page * page;
  const bool follows_kernel = estimate_kernel_buffers(config) != 0;
  const auto megabytes = [&](uint64_t pools) {
    return static_cast<uint32_t>(pools >> 20) + 1 + kBaseMemoryMb + (follows_kernel ? kSpareRoutesMb : 0) +
           kWorkerMemoryMb * static_cast<uint32_t>(config.worker_cpus.size());
  };
  return {megabytes(buffers * bytes), megabytes(buffers * bytes_in_pages)};
}

void check(const StartConfig& config) {
  const auto workers = config.worker_cpus.size();
  if (workers == 0 || workers > kMostWorkers)
    throw StartError("worker_cpus: between 1 and " + std::to_string(kMostWorkers) + " workers");
  if (config.housekeeping_cpus.empty()) throw StartError("housekeeping_cpus: at least one CPU");
  if (config.ports.empty()) throw StartError("ports: at least one");
  if (config.connections == 0 || config.connections / workers > 0x7fffffff)
    throw StartError("connections: between 1 and 2147483647 a worker");
  std::set<std::string> names, devices;
  for (const PortConfig& port : config.ports) {
    if (port.name.empty()) throw StartError("ports: a port without a name");
    if (!names.insert(port.name).second) throw StartError("ports." + port.name + ": defined twice");
    if (port.device != "memory" && !devices.insert(device_name(port.device)).second)
      throw StartError("ports." + port.name + ".device: \"" + device_name(port.device) + "\" is another port's too");
    if (port.mtu < 68 || port.mtu > 9600) throw StartError("ports." + port.name + ".mtu: between 68 and 9600");
  }
  std::set<std::string> interface_names;
  std::set<std::pair<std::string, uint16_t>> places;
  for (const InterfaceConfig& interface : config.interfaces) {
    if (!names.contains(interface.port))
      throw StartError("interfaces." + interface.name + ".port: there is no port \"" + interface.port + "\"");
    if (!interface_names.insert(interface.name).second)
      throw StartError("interfaces." + interface.name + ": defined twice");
    if (interface.vlan > 4094) throw StartError("interfaces." + interface.name + ".vlan: between 0 and 4094");
    if (!places.insert({interface.port, interface.vlan}).second)
      throw StartError("interfaces." + interface.name + ".vlan: its port has an interface with that VLAN already");
  }
  check_kernel_ports(config);
}

}  // namespace fulcrum
