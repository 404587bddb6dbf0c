// SPDX-License-Identifier: Apache-2.0
#include "core/packet_fanout.h"

#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string_view>

namespace fulcrum {

namespace {

constexpr unsigned argument_at(unsigned number) {
  // The lower half of 64 bits.
  constexpr unsigned kLower = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 0 : 4;
  return static_cast<unsigned>(offsetof(seccomp_data, args)) + 8 * number + kLower;
}

constexpr sock_filter load(unsigned at) { return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at); }
// Else the program goes on `skip` instructions later.
constexpr sock_filter require(unsigned value, uint8_t skip) {
  return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip);
}
constexpr sock_filter answer(unsigned value) { return BPF_STMT(BPF_RET | BPF_K, value); }

long install(const sock_fprog& program) {
  // Without the flag kernels before 5.16 would slow the thread down.
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program);
}

}  // namespace

PacketFanout packet_fanout(const std::vector<std::string>& eal_arguments) {
  constexpr std::string_view kDevice = "--vdev=net_af_packet", kQueuePairs = ",qpairs=";
  PacketFanout found = PacketFanout::kNoDevices;
  for (const std::string& argument : eal_arguments) {
    if (!argument.starts_with(kDevice)) continue;
    const size_t at = argument.find(kQueuePairs);
    const std::string pairs =
        at == std::string::npos
            ? "1"
            : argument.substr(at + kQueuePairs.size(), argument.find(',', at + 1) - at - kQueuePairs.size());
    if (pairs != "1") return PacketFanout::kNeeded;
    found = PacketFanout::kNotNeeded;
  }
  return found;
}

std::string refuse_packet_fanout() {
  sock_filter filter[] = {
      load(offsetof(seccomp_data, nr)),
      require(SYS_setsockopt, 5),  //
      load(argument_at(1)),
      require(SOL_PACKET, 3),  //
      load(argument_at(2)),
      require(PACKET_FANOUT, 1),  //
      answer(SECCOMP_RET_ERRNO | 0),
      answer(SECCOMP_RET_ALLOW),
  };
  const sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};
  if (install(program) == 0) return "";
  // Without CAP_SYS_ADMIN, only for those who will never have more rights than now.
  if (errno == EACCES && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && install(program) == 0) return "";
  return std::strerror(errno);
}

}  // namespace fulcrum
