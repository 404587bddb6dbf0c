// SPDX-License-Identifier: Apache-2.0
// The memory of one worker's tables: one mapping of a file descriptor (a memfd today), index-only inside, so that it
// can be handed to another process later. Not rte_malloc: its life is not EAL's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace fulcrum {

struct ArenaHeader {
  static constexpr uint64_t kMagic = 0x66756c6372756d31;  // "fulcrum1"
  static constexpr uint32_t kLayout = 1;
  uint64_t magic;
  uint32_t layout;
  uint32_t worker;
  uint64_t capacity;
  uint64_t buckets;
  uint32_t committed;  // written last
};

class Arena {
 public:
  Arena() = default;
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // Zeroed memory, huge pages where asked for and to be had. False when the system refuses; error() says why.
  bool map(const std::string& name, size_t bytes, bool huge);
  // The next `bytes`, aligned to a cache line. Null when the arena is exhausted.
  void* take(size_t bytes);

  const std::string& error() const { return error_; }
  bool huge() const { return huge_; }
  int fd() const { return fd_; }

 private:
  std::string error_;
  std::byte* base_ = nullptr;
  size_t size_ = 0;
  size_t used_ = 0;
  int fd_ = -1;
  bool huge_ = false;
};

}  // namespace fulcrum
