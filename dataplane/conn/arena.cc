// SPDX-License-Identifier: Apache-2.0
#include "conn/arena.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace fulcrum {

namespace {
constexpr size_t kHugePage = 2u << 20;
constexpr size_t kLine = 64;
}  // namespace

Arena::~Arena() {
  if (base_ != nullptr) munmap(base_, size_);
  if (fd_ >= 0) close(fd_);
}

bool Arena::map(const std::string& name, size_t bytes, bool huge) {
  size_ = (bytes + kHugePage - 1) / kHugePage * kHugePage;
  // Reserved huge pages first: the mapping fails at once, not at the first touch, when there are too few.
  for (const bool want_huge : {true, false}) {
    if (want_huge && !huge) continue;
    fd_ = memfd_create(name.c_str(), MFD_CLOEXEC | (want_huge ? MFD_HUGETLB : 0u));
    if (fd_ < 0) continue;
    if (ftruncate(fd_, static_cast<off_t>(size_)) == 0) {
      // Reserved pages are taken now: to fault one in later would stop the packets for as long as it takes to clear.
      const int populate = want_huge ? MAP_POPULATE : 0;
      void* mapped = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED | populate, fd_, 0);
      if (mapped != MAP_FAILED) {
        base_ = static_cast<std::byte*>(mapped);
        huge_ = want_huge;
        if (!want_huge) madvise(base_, size_, MADV_HUGEPAGE);
        return true;
      }
    }
    error_ = std::strerror(errno);
    close(fd_);
    fd_ = -1;
  }
  if (error_.empty()) error_ = std::strerror(errno);
  return false;
}

void* Arena::take(size_t bytes) {
  const size_t rounded = (bytes + kLine - 1) / kLine * kLine;
  if (rounded > size_ - used_) return nullptr;
  void* taken = base_ + used_;
  used_ += rounded;
  return taken;
}

}  // namespace fulcrum
