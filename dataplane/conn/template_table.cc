// SPDX-License-Identifier: Apache-2.0
#include "conn/template_table.h"

namespace fulcrum {

namespace {
constexpr unsigned kPlaceBits = 24;
constexpr uint32_t kPlaceMask = (1u << kPlaceBits) - 1;
}  // namespace

TemplateTable::Stick TemplateTable::stick(const TemplateKey& key, Ticks timeout, Ticks now,
                                          const std::function<bool(ServerSlot)>& is_usable,
                                          const std::function<Choice()>& choose) {
  const uint32_t number = shard_of(key);
  Shard& shard = shards_[number];
  const std::lock_guard lock(shard.mutex);
  if (const auto found = shard.by_key.find(key); found != shard.by_key.end()) {
    Template& known = shard.templates[found->second];
    const bool expired = known.controlled == 0 && is_due(known.deadline, now);
    if (!expired && is_usable(known.server)) {
      ++known.controlled;
      known.deadline = now + known.timeout;
      return {number << kPlaceBits | found->second, known.server, known.server_port, false, false};
    }
    known.invalid = true;
    shard.by_key.erase(found);
  }
  if (shard.free.empty() && shard.templates.size() >= capacity_ / kShards + 1) return {.full = true};
  const Choice choice = choose();
  if (choice.server == kNoSlot) return {};
  uint32_t place;
  if (shard.free.empty()) {
    place = static_cast<uint32_t>(shard.templates.size());
    shard.templates.emplace_back();
  } else {
    place = shard.free.back();
    shard.free.pop_back();
  }
  Template& made = shard.templates[place];
  made = Template{};
  made.key = key;
  made.server = choice.server;
  made.server_port = choice.port;
  made.method = choice.method;
  made.used = true;
  made.controlled = 1;
  made.timeout = timeout;
  made.deadline = now + timeout;
  shard.by_key.emplace(key, place);
  return {number << kPlaceBits | place, choice.server, choice.port, true, false};
}

ServerSlot TemplateTable::find(const TemplateKey& key, Ticks now) const {
  const Shard& shard = shards_[shard_of(key)];
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.by_key.find(key);
  if (found == shard.by_key.end()) return kNoSlot;
  const Template& known = shard.templates[found->second];
  return known.controlled == 0 && is_due(known.deadline, now) ? kNoSlot : known.server;
}

void TemplateTable::let_go(TemplateIndex index) {
  Shard& shard = shards_[index >> kPlaceBits];
  const std::lock_guard lock(shard.mutex);
  --shard.templates[index & kPlaceMask].controlled;
}

void TemplateTable::assure(TemplateIndex index) {
  Shard& shard = shards_[index >> kPlaceBits];
  const std::lock_guard lock(shard.mutex);
  shard.templates[index & kPlaceMask].assured = true;
}

void TemplateTable::end_if_idle(TemplateIndex index, Ticks now) {
  Shard& shard = shards_[index >> kPlaceBits];
  const std::lock_guard lock(shard.mutex);
  Template& at = shard.templates[index & kPlaceMask];
  if (at.used && at.controlled == 0) at.deadline = now;
}

void TemplateTable::end_idle(ServerSlot server, Ticks now) {
  for (Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    for (Template& at : shard.templates)
      if (at.used && at.server == server && at.controlled == 0) at.deadline = now;
  }
}

void TemplateTable::expire(Ticks now, const std::function<void(const Template&)>& gone) {
  for (Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    for (uint32_t place = 0; place < shard.templates.size(); ++place) {
      Template& at = shard.templates[place];
      if (!at.used || !is_due(at.deadline, now)) continue;
      if (at.controlled != 0) {
        // LVS: re-armed with 60 s, and from then on its timeout is 60 s, whatever the service says.
        at.timeout = kControllingTimeout;
        at.deadline = now + at.timeout;
        continue;
      }
      release(shard, place, gone);
    }
  }
}

// It controls nothing.
void TemplateTable::release(Shard& shard, uint32_t place, const std::function<void(const Template&)>& gone) {
  Template& at = shard.templates[place];
  gone(at);
  if (!at.invalid) shard.by_key.erase(at.key);
  at = Template{};
  shard.free.push_back(place);
}

uint64_t TemplateTable::erase(Ticks now, const std::function<bool(const Template&)>& matches,
                              const std::function<void(const Template&)>& gone) {
  uint64_t erased = 0;
  for (Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    for (uint32_t place = 0; place < shard.templates.size(); ++place) {
      Template& at = shard.templates[place];
      if (!at.used || !matches(at)) continue;
      const bool is_idle = at.controlled == 0;
      erased += !at.invalid && !(is_idle && is_due(at.deadline, now));
      if (is_idle) {
        release(shard, place, gone);
        continue;
      }
      if (!at.invalid) shard.by_key.erase(at.key);
      at.invalid = true;
      at.deadline = now;
    }
  }
  return erased;
}

void TemplateTable::drop_entries(Ticks now, uint32_t random, EntryDropper& dropper) {
  constexpr uint32_t kPart = kShards / kDropEntryPart;
  for (uint32_t i = 0; i < kPart; ++i) {
    Shard& shard = shards_[(random + i) % kShards];
    const std::lock_guard lock(shard.mutex);
    for (Template& at : shard.templates) {
      if (!at.used || is_due(at.deadline, now)) continue;
      EntryFacts facts;
      facts.protocol = at.key.protocol;
      facts.is_template = true;
      facts.is_assured = at.assured;
      facts.controls_others = at.controlled != 0;
      if (dropper.drops(facts)) at.deadline = now;
    }
  }
}

uint64_t TemplateTable::list(uint64_t cursor, const std::function<bool(const Template&)>& take) const {
  auto number = static_cast<uint32_t>(cursor >> kPlaceBits);
  auto place = static_cast<uint32_t>(cursor & kPlaceMask);
  for (; number < kShards; ++number, place = 0) {
    const Shard& shard = shards_[number];
    const std::lock_guard lock(shard.mutex);
    for (; place < shard.templates.size(); ++place)
      if (shard.templates[place].used && !take(shard.templates[place])) return uint64_t{number} << kPlaceBits | place;
  }
  return 0;
}

}  // namespace fulcrum
