// SPDX-License-Identifier: Apache-2.0
#include "core/kernel_silence.h"

#include <fcntl.h>
#include <net/if.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "core/config.h"

extern char** environ;

namespace fulcrum {

namespace {

// What nft says on its two outputs, and its exit status.
struct Said {
  int status = -1;
  std::string text;
};

Said run_nft(const std::string& script) {
  Said said;
  int input[2], output[2];
  if (pipe2(input, O_CLOEXEC) != 0) return said;
  if (pipe2(output, O_CLOEXEC) != 0) {
    close(input[0]);
    close(input[1]);
    return said;
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input[0], 0);
  posix_spawn_file_actions_adddup2(&actions, output[1], 1);
  posix_spawn_file_actions_adddup2(&actions, output[1], 2);
  const char* arguments[] = {"nft", "-f", "-", nullptr};
  pid_t child = 0;
  // Not by PATH first: under npm, node_modules/.bin may hold another program of this name.
  int error = ENOENT;
  for (const char* place : {"/usr/sbin/nft", "/sbin/nft"})
    if (error == ENOENT) error = posix_spawn(&child, place, &actions, nullptr, const_cast<char**>(arguments), environ);
  if (error == ENOENT) error = posix_spawnp(&child, "nft", &actions, nullptr, const_cast<char**>(arguments), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(input[0]);
  close(output[1]);
  if (error == 0) {
    [[maybe_unused]] const ssize_t written = write(input[1], script.data(), script.size());
  }
  close(input[1]);
  if (error != 0) {
    said.text = std::string("nft cannot be run: ") + std::strerror(error);
  } else {
    char buffer[512];
    for (ssize_t got; (got = read(output[0], buffer, sizeof buffer)) > 0;)
      said.text.append(buffer, static_cast<size_t>(got));
    int status = 0;
    waitpid(child, &status, 0);
    said.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  close(output[0]);
  return said;
}

std::string table_of(const std::string& interface) { return "netdev fulcrum_" + interface; }

std::string ipv6_switch(const std::string& interface) {
  return "/proc/sys/net/ipv6/conf/" + interface + "/disable_ipv6";
}

std::string read_word(const std::string& path) {
  std::ifstream file(path);
  std::string word;
  file >> word;
  return word;
}

}  // namespace

std::string kernel_interface(const std::string& device) {
  const std::string name = device.substr(0, device.find(','));
  if (!name.starts_with("net_af_packet") && !name.starts_with("net_af_xdp") && !name.starts_with("net_pcap")) return "";
  for (size_t at = name.size(); at < device.size();) {
    const size_t end = device.find(',', at + 1);
    const std::string argument = device.substr(at + 1, end == std::string::npos ? end : end - at - 1);
    for (const char* key : {"iface=", "rx_iface=", "rx_iface_in="})
      if (argument.starts_with(key)) return argument.substr(std::strlen(key));
    at = end == std::string::npos ? device.size() : end;
  }
  return "";
}

void KernelSilence::impose(const std::vector<Wanted>& wanted) {
  for (const auto& [field, interface] : wanted) {
    if (if_nametoindex(interface.c_str()) == 0)
      throw StartError(field + ": there is no network interface \"" + interface + "\"");
    // A predecessor that was killed left its table, and in a chain's name what IPv6 was before.
    const bool was_off = run_nft("list chain " + table_of(interface) + " ipv6_was_off\n").status == 0;
    const bool was_on = run_nft("list chain " + table_of(interface) + " ipv6_was_on\n").status == 0;
    const std::string now = read_word(ipv6_switch(interface));
    const std::string before = was_off ? "1" : was_on ? "0" : now;
    const std::string table = table_of(interface);
    const Said said = run_nft("table " + table + "\ndelete table " + table + "\ntable " + table + " {\n" +
                              "  chain silence {\n    type filter hook ingress device \"" + interface +
                              "\" priority -500;\n    drop\n  }\n  chain ipv6_was_" + (before == "1" ? "off" : "on") +
                              " {\n  }\n}\n");
    if (said.status != 0)
      throw StartError(field + ": the kernel cannot be silenced on \"" + interface + "\": " + said.text);
    silenced_.push_back({interface, before});
    if (!now.empty()) std::ofstream(ipv6_switch(interface)) << "1";
  }
}

void KernelSilence::lift() {
  for (const Silenced& silenced : silenced_) {
    run_nft("delete table " + table_of(silenced.interface) + "\n");
    if (silenced.ipv6_before == "0") std::ofstream(ipv6_switch(silenced.interface)) << "0";
  }
  silenced_.clear();
}

}  // namespace fulcrum
