// SPDX-License-Identifier: Apache-2.0
#include "core/tap.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <rte_mbuf.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/config.h"

namespace fulcrum {

Tap::Tap(const std::string& field, const std::string& name) {
  const auto fail = [&](const std::string& what, int error) {
    if (descriptor_ >= 0) close(descriptor_);
    throw StartError(field + ": " + what + (error != 0 ? std::string(": ") + std::strerror(error) : ""));
  };
  // The kernel would join one that somebody made to stay.
  if (if_nametoindex(name.c_str()) != 0) fail("there is a network interface \"" + name + "\" already", 0);
  descriptor_ = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (descriptor_ < 0) fail("/dev/net/tun cannot be opened", errno);
  ifreq request{};
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  std::copy_n(name.begin(), std::min<size_t>(name.size(), IFNAMSIZ - 1), request.ifr_name);
  if (ioctl(descriptor_, TUNSETIFF, &request) != 0) fail("TAP \"" + name + "\" cannot be made", errno);
  index_ = if_nametoindex(name.c_str());
}

Tap::~Tap() {
  if (descriptor_ >= 0) close(descriptor_);
}

bool Tap::write(const rte_mbuf* frame) {
  // A datagram that came in more pieces than that is copied together first.
  constexpr unsigned kMostSegments = 64;
  iovec segments[kMostSegments];
  int count = 0;
  if (frame->nb_segs > kMostSegments) {
    whole_.resize(rte_pktmbuf_pkt_len(frame));
    if (rte_pktmbuf_read(frame, 0, rte_pktmbuf_pkt_len(frame), whole_.data()) == nullptr) return false;
    segments[count++] = {whole_.data(), whole_.size()};
  } else {
    for (const rte_mbuf* at = frame; at != nullptr; at = at->next)
      segments[count++] = {const_cast<uint8_t*>(rte_pktmbuf_mtod(at, const uint8_t*)), rte_pktmbuf_data_len(at)};
  }
  return writev(descriptor_, segments, count) > 0;
}

uint32_t Tap::read(std::span<uint8_t> room) {
  const ssize_t got = ::read(descriptor_, room.data(), room.size());
  return got <= 0 ? 0 : static_cast<uint32_t>(got);
}

void Tap::set_carrier(bool up) {
  const int carrier = up ? 1 : 0;
  // Kernels before 5.0 have no such request: there the link is always up.
  ioctl(descriptor_, TUNSETCARRIER, &carrier);
}

}  // namespace fulcrum
