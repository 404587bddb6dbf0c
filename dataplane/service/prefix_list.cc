// SPDX-License-Identifier: Apache-2.0
#include "service/prefix_list.h"

#include <algorithm>
#include <tuple>

namespace fulcrum {

template <typename Key>
KeyTree<Key>::KeyTree(const std::vector<Key>& sorted) {
  std::vector<std::vector<Key>> upwards{sorted};
  while (upwards.back().size() > kFan) {
    std::vector<Key> firsts;
    for (size_t i = 0; i < upwards.back().size(); i += kFan) firsts.push_back(upwards.back()[i]);
    upwards.push_back(std::move(firsts));
  }
  for (auto level = upwards.rbegin(); level != upwards.rend(); ++level) {
    levels_.push_back({nodes_.size(), level->size()});
    for (size_t i = 0; i < level->size(); i += kFan) {
      Node& node = nodes_.emplace_back();
      std::fill(std::begin(node.keys), std::end(node.keys), static_cast<Key>(~Key{0}));
      std::copy_n(level->begin() + static_cast<std::ptrdiff_t>(i), std::min(kFan, level->size() - i), node.keys);
    }
  }
  nodes_.shrink_to_fit();
}
template class KeyTree<uint32_t>;
template class KeyTree<uint128>;

PrefixList::PlainPrefix PrefixList::plain(const Prefix& prefix) {
  const bool is_v4 = prefix.address.family == Family::kIpv4;
  const uint128 address = is_v4 ? prefix.address.v4().host() : number(prefix.address.v6());
  const unsigned bits = is_v4 ? 32 : 128, behind = bits - prefix.length;
  const uint128 first = behind == 128 ? 0 : address >> behind << behind;
  return {first, prefix.address.family, prefix.length};
}

Prefix PrefixList::prefix_of(const PlainPrefix& plain) {
  if (plain.family == Family::kIpv4)
    return {Address::from(be32::from_host(static_cast<uint32_t>(plain.first))), plain.length};
  const Ipv6Address address{swap_bytes(static_cast<uint64_t>(plain.first >> 64)),
                            swap_bytes(static_cast<uint64_t>(plain.first))};
  return {Address::from(address), plain.length};
}

PrefixList::PrefixList(const std::vector<Prefix>& prefixes) {
  prefixes_.reserve(prefixes.size());
  for (const Prefix& prefix : prefixes) prefixes_.push_back(plain(prefix));
  std::sort(prefixes_.begin(), prefixes_.end(), [](const PlainPrefix& a, const PlainPrefix& b) {
    return std::tie(a.family, a.first, a.length) < std::tie(b.family, b.first, b.length);
  });
  prefixes_.erase(std::unique(prefixes_.begin(), prefixes_.end()), prefixes_.end());
  v4_ = ranges_of<uint32_t>(Family::kIpv4);
  v6_ = ranges_of<uint128>(Family::kIpv6);
  visit([this](const Prefix& prefix) {
    Digest one;
    one.add(prefix);
    digest_.join(one);
  });
}

// Where a prefix begins its range does; where it ends, that of the one around it goes on.
template <typename Key>
PrefixList::Ranges<Key> PrefixList::ranges_of(Family family) const {
  constexpr unsigned kBits = sizeof(Key) * 8;
  struct Open {
    Key last;
    uint8_t match;
  };
  std::vector<Open> open;
  std::vector<Key> starts{0};
  std::vector<uint8_t> matches{0};
  const auto begin = [&](Key start, uint8_t match) {
    if (starts.back() == start) {
      matches.back() = match;
    } else if (matches.back() != match) {
      starts.push_back(start);
      matches.push_back(match);
    }
  };
  const auto close = [&] {
    const Key last = open.back().last;
    open.pop_back();
    if (last != static_cast<Key>(~Key{0}))
      begin(static_cast<Key>(last + 1), open.empty() ? uint8_t{0} : open.back().match);
  };
  for (const PlainPrefix& prefix : prefixes_) {
    if (prefix.family != family) continue;
    const auto first = static_cast<Key>(prefix.first);
    const auto inside = static_cast<Key>(prefix.length == 0 ? ~Key{0} : (Key{1} << (kBits - prefix.length)) - 1);
    while (!open.empty() && open.back().last < first) close();
    const auto match = static_cast<uint8_t>(prefix.length + 1);
    open.push_back({static_cast<Key>(first | inside), match});
    begin(first, match);
  }
  while (!open.empty()) close();
  matches.shrink_to_fit();
  return {KeyTree<Key>(starts), std::move(matches)};
}

const PrefixList* PrefixLists::find(const std::string& name) const {
  const auto slot = slots.find(name);
  return slot == slots.end() ? nullptr : by_slot[slot->second].get();
}

void PrefixLists::set(const std::string& name, std::shared_ptr<const PrefixList> list) {
  const auto known = slots.find(name);
  if (known != slots.end()) {
    by_slot[known->second] = std::move(list);
    return;
  }
  const auto free = std::find(by_slot.begin(), by_slot.end(), nullptr);
  const auto slot = static_cast<PrefixListSlot>(free - by_slot.begin());
  if (free == by_slot.end()) by_slot.emplace_back();
  by_slot[slot] = std::move(list);
  slots.emplace(name, slot);
}

bool PrefixLists::erase(const std::string& name) {
  const auto known = slots.find(name);
  if (known == slots.end()) return false;
  by_slot[known->second].reset();
  slots.erase(known);
  return true;
}

}  // namespace fulcrum
