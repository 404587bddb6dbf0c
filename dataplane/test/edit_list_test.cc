// SPDX-License-Identifier: Apache-2.0
#include "service/edit_list.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <random>

using namespace fulcrum;

namespace {

RealServer server(uint16_t port, uint32_t weight = 1) {
  RealServer server;
  server.key = {.address = Address::from(be32::from_host(0x0a00020b)), .port = port};
  server.slot = port + 1000u;
  server.weight = weight;
  return server;
}

std::vector<int> ports(const VirtualService& service) {
  std::vector<int> ports;
  for (const RealServer& each : service.servers) ports.push_back(each.key.port);
  return ports;
}

}  // namespace

TEST_CASE("edit list: servers stay in order of addition, an edit keeps its place, delete and add moves to the end") {
  VirtualService service;
  {
    EditList edits(service);
    for (uint16_t port = 1; port <= 4; ++port) CHECK(edits.add(server(port)) == EditResult::kDone);
    CHECK(edits.edit(server(2, 7)) == EditResult::kDone);
    CHECK(edits.remove(server(1).key) == EditResult::kDone);
    CHECK(edits.add(server(1)) == EditResult::kDone);
    CHECK(edits.remove(server(3).key) == EditResult::kDone);
    CHECK(edits.size() == 3);
  }
  CHECK(ports(service) == std::vector<int>{2, 4, 1});
  CHECK(service.sequence == 8);
  CHECK(service.edits.size() == 8);
}

TEST_CASE("edit list: a duplicate and an unknown server change and record nothing") {
  VirtualService service;
  EditList edits(service);
  edits.add(server(1, 5));
  const VirtualService before = service;
  CHECK(edits.add(server(1, 6)) == EditResult::kDuplicate);
  CHECK(edits.edit(server(2)) == EditResult::kNotFound);
  CHECK(edits.remove(server(2).key) == EditResult::kNotFound);
  CHECK(service.servers == before.servers);
  CHECK(service.sequence == 1);
  CHECK(service.edits.size() == 1);
  edits.remove(server(1).key);
  CHECK(edits.find(server(1).key) == nullptr);
  CHECK(edits.remove(server(1).key) == EditResult::kNotFound);
  CHECK(edits.edit(server(1)) == EditResult::kNotFound);
}

TEST_CASE("edit list: the same address on another port is another server, the same port on another address too") {
  VirtualService service;
  EditList edits(service);
  RealServer other = server(80);
  other.key.address = Address::from(be32::from_host(0x0a00020c));
  CHECK(edits.add(server(80)) == EditResult::kDone);
  CHECK(edits.add(server(81)) == EditResult::kDone);
  CHECK(edits.add(other) == EditResult::kDone);
  CHECK(edits.find(other.key)->key == other.key);
}

TEST_CASE("edit list: an edit replaces method, weight and thresholds and keeps the slot") {
  VirtualService service;
  EditList edits(service);
  edits.add(server(1, 5));
  RealServer change = server(1, 6);
  change.slot = 77;
  change.method = ForwardingMethod::kTun;
  change.upper_threshold = 10;
  change.lower_threshold = 4;
  edits.edit(change);
  const RealServer* edited = edits.find(change.key);
  CHECK(edited->slot == 1001);
  CHECK(edited->method == ForwardingMethod::kTun);
  CHECK(edited->weight == 6);
  CHECK(edited->upper_threshold == 10);
  CHECK(edited->lower_threshold == 4);
}

TEST_CASE("edit list: last weight is the last that was not 0, or the one given at add") {
  VirtualService service;
  EditList edits(service);
  RealServer added = server(1, 0);
  added.last_weight = 99;
  edits.add(added);
  CHECK(edits.find(added.key)->last_weight == 0);
  edits.edit(server(1, 3));
  CHECK(edits.find(added.key)->last_weight == 3);
  edits.edit(server(1, 0));
  CHECK(edits.find(added.key)->weight == 0);
  CHECK(edits.find(added.key)->last_weight == 3);
}

TEST_CASE("edit list: an edit that changes nothing is recorded") {
  VirtualService service;
  EditList edits(service);
  edits.add(server(1));
  edits.edit(server(1));
  REQUIRE(service.edits.size() == 2);
  CHECK(service.edits[1].kind == ServerEdit::Kind::kEdit);
  CHECK(service.edits[1].slot == 1001);
}

TEST_CASE("edit list: a delete names the server before it in LVS's list, across earlier deletes") {
  VirtualService service;
  EditList edits(service);
  for (uint16_t port = 1; port <= 4; ++port) edits.add(server(port));  // the list: 4 3 2 1
  edits.remove(server(4).key);
  CHECK(service.edits.back().predecessor == kNoSlot);
  edits.remove(server(2).key);
  CHECK(service.edits.back().predecessor == 1003);
  edits.remove(server(1).key);
  CHECK(service.edits.back().predecessor == 1003);
  edits.close();
  edits.add(server(5));
  edits.remove(server(3).key);
  CHECK(service.edits.back().predecessor == 1005);
}

TEST_CASE("edit list: next generation has the list and its number, but no edits") {
  VirtualService service;
  EditList(service).add(server(1, 6));
  const VirtualService next = next_generation(service);
  CHECK(next.servers == service.servers);
  CHECK(next.sequence == 1);
  CHECK(next.greatest_weight == 6);
  CHECK(next.edits.empty());
}

TEST_CASE("edit list: random edits against a plain list, closed and opened again now and then") {
  for (uint32_t seed = 0; seed < 40; ++seed) {
    std::mt19937 random(seed);
    VirtualService service;
    std::vector<RealServer> expected;
    for (int round = 0; round < 30; ++round) {
      service = next_generation(service);
      EditList edits(service);
      for (auto operations = random() % 20; operations > 0; --operations) {
        const RealServer subject =
            server(static_cast<uint16_t>(random() % 12), static_cast<uint32_t>(random() % 4 * 6));
        const auto at = std::find_if(expected.begin(), expected.end(),
                                     [&](const RealServer& each) { return each.key == subject.key; });
        ServerSlot predecessor = kNoSlot;
        if (at == expected.end()) {
          REQUIRE(edits.add(subject) == EditResult::kDone);
          expected.push_back(subject);
        } else if (random() % 2 == 0) {
          REQUIRE(edits.edit(subject) == EditResult::kDone);
          at->weight = subject.weight;
        } else {
          if (std::next(at) != expected.end()) predecessor = std::next(at)->slot;
          REQUIRE(edits.remove(subject.key) == EditResult::kDone);
          expected.erase(at);
        }
        uint32_t greatest = 0, divisor = 0;
        for (const RealServer& each : expected) {
          greatest = std::max(greatest, each.weight);
          divisor = std::gcd(divisor, each.weight);
        }
        const ServerEdit& edit = service.edits.back();
        REQUIRE(edit.slot == subject.slot);
        REQUIRE(edit.predecessor == predecessor);
        REQUIRE(edit.greatest_weight == greatest);
        REQUIRE(edit.weight_divisor == std::max(divisor, 1u));
        REQUIRE(service.greatest_weight == greatest);
        REQUIRE(service.weight_divisor == std::max(divisor, 1u));
        if (random() % 8 == 0) edits.close();
      }
      edits.close();
      REQUIRE(service.servers.size() == expected.size());
      for (size_t i = 0; i < expected.size(); ++i) {
        REQUIRE(service.servers[i].key == expected[i].key);
        REQUIRE(service.servers[i].weight == expected[i].weight);
      }
    }
  }
}

TEST_CASE("edit list: ten thousand servers come and go in one generation") {
  VirtualService service;
  {
    EditList edits(service);
    for (uint16_t port = 1; port <= 10000; ++port) REQUIRE(edits.add(server(port, port)) == EditResult::kDone);
  }
  CHECK(service.servers.size() == 10000);
  CHECK(service.greatest_weight == 10000);
  {
    EditList edits(service);
    for (uint16_t port = 1; port <= 10000; port += 2) REQUIRE(edits.remove(server(port).key) == EditResult::kDone);
  }
  CHECK(service.servers.size() == 5000);
  CHECK(service.weight_divisor == 2);
}
