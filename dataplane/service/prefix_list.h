// SPDX-License-Identifier: Apache-2.0
// Prefixes of clients, by their longest match. Prefixes become the ranges between their ends (as in DXR: Zec, Rizzo and
// Mikuc, "Towards a Billion Routing Lookups per Second in Software", 2012), and the ranges a static tree of nodes of a
// cache line: ten prefixes take some hundred bytes, a hundred thousand of IPv4 about a megabyte and five lines a
// lookup.
#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "net/address.h"
#include "net/digest.h"

namespace fulcrum {

__extension__ typedef unsigned __int128 uint128;

// Sorted keys, the first of them 0; at() tells the last one that is not above a key.
template <typename Key>
class KeyTree {
 public:
  explicit KeyTree(const std::vector<Key>& sorted = {Key{0}});

  size_t at(Key key) const {
    size_t found = 0;
    for (const Level& level : levels_) {
      const Node& node = nodes_[level.first + found];
      unsigned not_above = 0;
      for (const Key one : node.keys) not_above += one <= key ? 1u : 0u;
      // The first key of the node is not above: that was said one level higher. What fills a node up may be not above
      // either.
      found = std::min(found * kFan + not_above - 1, level.keys - 1);
    }
    return found;
  }
  size_t bytes() const { return nodes_.size() * sizeof(Node); }

 private:
  static constexpr size_t kFan = 64 / sizeof(Key);
  struct alignas(64) Node {
    Key keys[kFan];
  };
  struct Level {
    size_t first;  // node
    size_t keys;
  };
  std::vector<Level> levels_;  // the root first; each level's keys are the first ones of the nodes below
  std::vector<Node> nodes_;
};

// Immutable.
class PrefixList {
 public:
  // Bits behind a prefix's length do not count; prefixes may be named twice.
  explicit PrefixList(const std::vector<Prefix>& prefixes);

  // Length of the longest prefix that the address is in, and one more; 0: it is in none.
  unsigned match(be32 address) const { return v4_.matches[v4_.starts.at(address.host())]; }
  unsigned match(const Ipv6Address& address) const { return v6_.matches[v6_.starts.at(number(address))]; }
  unsigned match(const Address& address) const {
    return address.family == Family::kIpv4 ? match(address.v4()) : match(address.v6());
  }

  // The same prefixes, in whatever order.
  bool operator==(const PrefixList& other) const { return prefixes_ == other.prefixes_; }
  size_t size() const { return prefixes_.size(); }
  // Calls visit(prefix) of each, without bits behind its length.
  template <typename Visit>
  void visit(const Visit& visit) const {
    for (const PlainPrefix& prefix : prefixes_) visit(prefix_of(prefix));
  }
  // Of the prefixes, without bits behind their lengths, in whatever order.
  const Digest& digest() const { return digest_; }
  // What a lookup may touch.
  size_t bytes() const { return v4_.bytes() + v6_.bytes(); }

 private:
  template <typename Key>
  struct Ranges {
    KeyTree<Key> starts;
    std::vector<uint8_t> matches{0};  // of each range
    size_t bytes() const { return starts.bytes() + matches.size(); }
  };
  struct PlainPrefix {
    uint128 first;
    Family family;
    uint8_t length;
    bool operator==(const PlainPrefix&) const = default;
  };

  static uint128 number(const Ipv6Address& address) {
    return uint128{swap_bytes(address.high)} << 64 | swap_bytes(address.low);
  }
  static PlainPrefix plain(const Prefix& prefix);
  static Prefix prefix_of(const PlainPrefix& plain);
  template <typename Key>
  Ranges<Key> ranges_of(Family family) const;

  std::vector<PlainPrefix> prefixes_;  // those in which others are come before them
  Ranges<uint32_t> v4_;
  Ranges<uint128> v6_;
  Digest digest_;
};

using PrefixListSlot = uint32_t;

// Lists that services refer to, by slot; a slot keeps its name until that is deleted.
struct PrefixLists {
  std::map<std::string, PrefixListSlot> slots;
  std::vector<std::shared_ptr<const PrefixList>> by_slot;  // null: free

  // Null: there is no such list.
  const PrefixList* find(const std::string& name) const;
  void set(const std::string& name, std::shared_ptr<const PrefixList> list);
  bool erase(const std::string& name);
};

}  // namespace fulcrum
