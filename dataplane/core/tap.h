// SPDX-License-Identifier: Apache-2.0
// A TAP: an ordinary interface of the kernel, whose link is a file descriptor here. It is there as long as this is.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

struct rte_mbuf;

namespace fulcrum {

class Tap {
 public:
  // Throws StartError that begins with `field`.
  Tap(const std::string& field, const std::string& name);
  ~Tap();
  Tap(const Tap&) = delete;
  Tap& operator=(const Tap&) = delete;

  int descriptor() const { return descriptor_; }
  unsigned index() const { return index_; }
  // Gives the kernel a frame, be it in one buffer or in several. False: it does not take it, for it is down.
  bool write(const rte_mbuf* frame);
  // A frame that the kernel sends: its bytes, 0 if there is none.
  uint32_t read(std::span<uint8_t> room);
  // As `ip link` shows it.
  void set_carrier(bool up);

 private:
  int descriptor_ = -1;
  unsigned index_ = 0;
  std::vector<uint8_t> whole_;
};

}  // namespace fulcrum
