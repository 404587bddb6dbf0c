// SPDX-License-Identifier: Apache-2.0
// A plan foretells what an apply does: to tables, to pools, and to the connections that there are.
#include "core/plan.h"

#include <random>

#include "test/topic.h"

using namespace fulcrum;
using namespace fulcrum::test;

namespace {

const ServicePlan* of(const Plan& plan, const ServiceKey& key) {
  for (const ServicePlan& service : plan.services)
    if (service.key == key) return &service;
  return nullptr;
}

std::vector<ServerSlot> table_slots(const VirtualService* service) {
  std::vector<ServerSlot> slots;
  if (service == nullptr || service->table == nullptr) return slots;
  for (const uint32_t index : *service->table)
    slots.push_back(index < service->servers.size() ? service->servers[index].slot : kNoSlot);
  return slots;
}

struct Counted {
  uint64_t all = 0, lost = 0, quiesced = 0;
};

// Connections by what has become of their servers.
std::map<std::string, Counted> counted(Story& story) {
  std::map<std::string, Counted> by_vip;
  for (const ConnectionInfo& at : story.World::connections()) {
    Counted& of = by_vip[at.vip.text() + ":" + std::to_string(at.virtual_port)];
    ++of.all;
    const VirtualService* service = story.publisher().current().find_exactly({at.vip, at.protocol, at.virtual_port, 0});
    const RealServer* server = nullptr;
    if (service != nullptr)
      for (const RealServer& one : service->servers)
        if (one.key.address == at.server && (one.key.port == at.server_port)) server = &one;
    of.lost += server == nullptr;
    of.quiesced += server != nullptr && server->weight == 0;
  }
  return by_vip;
}

std::string random_edit(std::mt19937& random, bool allow_add_service) {
  const auto pick = [&](unsigned of) { return std::uniform_int_distribution<unsigned>(0, of - 1)(random); };
  const std::string service = "192.0.2." + std::to_string(1 + pick(3)) + ":80";
  const std::string server = "10.0.2." + std::to_string(11 + pick(6)) + ":80";
  const std::string weight = std::to_string(pick(4));
  static const char* const kSchedulers[] = {"sh", "mh", "rr", "wlc"};
  switch (pick(allow_add_service ? 8 : 6)) {
    case 0:
    case 1:
      return "-a -t " + service + " -r " + server + " -m -w " + weight;
    case 2:
    case 3:
      return "-d -t " + service + " -r " + server;
    case 4:
    case 5:
      return "-e -t " + service + " -r " + server + " -m -w " + weight;
    case 6:
      return "-E -t " + service + " -s " + kSchedulers[pick(4)];
    default:
      return pick(2) == 0 ? "-D -t " + service : "-A -t " + service + " -s " + kSchedulers[pick(2)];
  }
}

}  // namespace

TEST_CASE("plan: what it says of tables, pools and connections is what an apply does") {
  std::mt19937 random(7);
  unsigned applied = 0, moved = 0, lost = 0, quiesced = 0, emptied = 0;
  for (int round = 0; round < 60; ++round) {
    Story story({"-A -t 192.0.2.1:80 -s sh", "-A -t 192.0.2.2:80 -s mh", "-A -t 192.0.2.3:80 -s wlc"},
                {.workers = 1 + static_cast<uint32_t>(round % 2)});
    for (unsigned service = 1; service <= 3; ++service)
      for (unsigned server = 11; server <= 14; ++server)
        story.configure({"-a -t 192.0.2." + std::to_string(service) + ":80 -r 10.0.2." + std::to_string(server) +
                         ":80 -m -w " + std::to_string(1 + server % 3)});
    for (unsigned client = 1; client <= 40; ++client)
      story.exchange(Side::kClient, tcp("198.51.100." + std::to_string(client) + ":1000",
                                        "192.0.2." + std::to_string(1 + client % 3) + ":80", "S")
                                        .frame());
    // A group of edits that is whole.
    std::vector<Operation> edits;
    for (int i = 0; i < 6; ++i) {
      edits.push_back(World::parse(random_edit(random, true)));
      const Plan tried = story.publisher().plan(edits);
      if (tried.results.back().reason != Reason::kDone) {
        CHECK(tried.services.empty());
        edits.pop_back();
      }
    }
    if (edits.empty()) continue;
    const uint64_t version = story.publisher().current().version;
    const Plan plan = story.publisher().plan(edits);
    CHECK(story.publisher().current().version == version);
    std::map<std::string, std::vector<ServerSlot>> tables;
    std::map<std::string, uint64_t> had_zero;
    for (const auto& service : story.publisher().current().services)
      tables[service->key.address.text()] = table_slots(service.get());
    story.publish(edits);
    ++applied;
    const auto now = counted(story);
    for (unsigned number = 1; number <= 3; ++number) {
      const ServiceKey key{Endpoint("192.0.2." + std::to_string(number)).address, IpProtocol::kTcp, 80, 0};
      const std::string name = key.address.text();
      const VirtualService* is = story.publisher().current().find_exactly(key);
      const ServicePlan* said = of(plan, key);
      const auto found = now.find(name + ":80");
      const Counted is_now = found == now.end() ? Counted{} : found->second;
      if (said == nullptr) {
        CHECK(is_now.lost == 0);
        CHECK(table_slots(is) == tables[name]);
        continue;
      }
      CHECK((said->change == ServicePlan::Change::kDeleted) == (is == nullptr));
      CHECK(said->connections == is_now.all);
      CHECK(said->active + said->inactive == is_now.lost);
      CHECK(said->quiesced == is_now.quiesced);
      unsigned usable = 0;
      if (is != nullptr)
        for (const RealServer& server : is->servers) usable += server.weight != 0;
      CHECK(said->usable_after == usable);
      lost += static_cast<unsigned>(is_now.lost);
      quiesced += static_cast<unsigned>(is_now.quiesced);
      emptied += usable == 0;
      const auto slots = table_slots(is);
      if (is == nullptr || slots.size() != tables[name].size() || slots.empty()) continue;
      unsigned others = 0;
      for (size_t bucket = 0; bucket < slots.size(); ++bucket) others += slots[bucket] != tables[name][bucket];
      CHECK(said->buckets == slots.size());
      if (said->moved != slots.size()) CHECK(said->moved == others);
      moved += others;
    }
    check_accounts(story);
  }
  // It was about something.
  CHECK(applied > 40);
  CHECK(moved > 1000);
  CHECK(lost > 50);
  CHECK(quiesced > 5);
  CHECK(emptied > 0);
}

TEST_CASE("plan: nothing of it is left behind") {
  Story story({"-A -t 192.0.2.1:80 -s sh", "-a -t 192.0.2.1:80 -r 10.0.2.11:80 -m"});
  for (int round = 0; round < 3; ++round) {
    std::vector<Operation> edits;
    for (unsigned server = 0; server < 60'000; ++server)
      edits.push_back(World::parse("-a -t 192.0.2.1:80 -r 10.1." + std::to_string(server >> 8) + "." +
                                   std::to_string(server & 0xff) + ":8080 -m"));
    const Plan plan = story.publisher().plan(edits);
    REQUIRE(plan.services.size() == 1);
    CHECK(plan.results.back().reason == Reason::kDone);
    CHECK(plan.services[0].usable_after == 60'001);
  }
  CHECK(story.publisher().current().services[0]->servers.size() == 1);
}
