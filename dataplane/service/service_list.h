// SPDX-License-Identifier: Apache-2.0
// The virtual services of a snapshot, in order of creation. Copies share what they have in common, a chunk of services
// at a time, so that a snapshot which differs in one of ten thousand services costs a few kilobytes.
#pragma once

#include <algorithm>
#include <array>
#include <iterator>
#include <memory>
#include <vector>

#include "service/service.h"

namespace fulcrum {

class ServiceList {
 public:
  using Entry = std::shared_ptr<const VirtualService>;
  static constexpr size_t kChunk = 128;

  class Iterator {
   public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = Entry;
    using difference_type = std::ptrdiff_t;
    using pointer = const Entry*;
    using reference = const Entry&;

    Iterator() = default;
    Iterator(const ServiceList& list, size_t at) : list_(&list), at_(at) {}
    reference operator*() const { return (*list_)[at_]; }
    pointer operator->() const { return &(*list_)[at_]; }
    Iterator& operator++() {
      ++at_;
      return *this;
    }
    Iterator operator++(int) {
      const Iterator before = *this;
      ++at_;
      return before;
    }
    bool operator==(const Iterator& other) const { return at_ == other.at_; }

   private:
    const ServiceList* list_ = nullptr;
    size_t at_ = 0;
  };

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  const Entry& operator[](size_t at) const { return (*chunks_[at / kChunk])[at % kChunk]; }
  Iterator begin() const { return {*this, 0}; }
  Iterator end() const { return {*this, size_}; }

  void push_back(Entry service) {
    if (size_ % kChunk == 0) chunks_.push_back(std::make_shared<Chunk>());
    own(size_++) = std::move(service);
  }
  void replace(size_t at, Entry service) { own(at) = std::move(service); }
  void clear() { *this = {}; }
  // Chunks that this list has in common with `other`: what a copy of it did not cost.
  size_t chunks_shared_with(const ServiceList& other) const {
    size_t shared = 0;
    for (size_t i = 0; i < std::min(chunks_.size(), other.chunks_.size()); ++i)
      shared += chunks_[i] == other.chunks_[i];
    return shared;
  }
  size_t chunks() const { return chunks_.size(); }

 private:
  using Chunk = std::array<Entry, kChunk>;

  // The place, in a chunk that no other list has.
  Entry& own(size_t at) {
    std::shared_ptr<Chunk>& chunk = chunks_[at / kChunk];
    if (chunk.use_count() != 1) chunk = std::make_shared<Chunk>(*chunk);
    return (*chunk)[at % kChunk];
  }

  std::vector<std::shared_ptr<Chunk>> chunks_;
  size_t size_ = 0;
};

}  // namespace fulcrum
