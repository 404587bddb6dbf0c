// SPDX-License-Identifier: Apache-2.0
// A port on a kernel interface: the kernel must neither answer nor forward what the director receives there. An
// nftables netdev table drops at ingress, after AF_PACKET has had its copy, and the interface's IPv6 is switched off.
// Done by the nft command before EAL starts and undone after it has ended, because a process that owns huge pages must
// not fork.
#pragma once

#include <string>
#include <vector>

namespace fulcrum {

// The kernel interface that a device string sits on (iface=NAME of net_af_packet, net_af_xdp and net_pcap); empty:
// none.
std::string kernel_interface(const std::string& device);

class KernelSilence {
 public:
  ~KernelSilence() { lift(); }
  struct Wanted {
    std::string field;  // where the configuration names it
    std::string interface;
  };
  // Throws StartError naming field and interface.
  void impose(const std::vector<Wanted>& wanted);
  void lift();

 private:
  struct Silenced {
    std::string interface;
    std::string ipv6_before;
  };
  std::vector<Silenced> silenced_;
};

}  // namespace fulcrum
