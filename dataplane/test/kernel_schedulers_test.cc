// SPDX-License-Identifier: Apache-2.0
// The kernel's choices (Linux 6.1 IPVS, conformance scenarios) by the whole director: edits through the publisher,
// connections by packets, counts over all workers. With several workers the choices stay the same, one by one: counting
// schedulers see totals, hashing ones share their tables.
#include "test/story.h"

using namespace fulcrum;
using namespace fulcrum::test;

namespace {

std::vector<std::string> service(const std::string& scheduler, const std::vector<int>& weights) {
  std::vector<std::string> lines = {"-A -t 192.0.2.1:80 -s " + scheduler};
  for (size_t i = 0; i < weights.size(); ++i)
    lines.push_back("-a -t 192.0.2.1:80 -r 10.0.2." + std::to_string(11 + i) + " -g -w " + std::to_string(weights[i]));
  return lines;
}

// As connections(), from one address after another.
std::string by_address(Story& story, int count, const std::string& network, int first, int port) {
  std::string chosen;
  for (int i = 0; i < count; ++i)
    chosen += (i == 0 ? "" : " ") +
              story.connections(1, network + std::to_string(first + i) + ":" + std::to_string(port), "192.0.2.1:80");
  return chosen;
}

constexpr uint32_t kWorkers[] = {1, 2, 3};

}  // namespace

TEST_CASE("kernel sed-basic") {
  for (const uint32_t workers : kWorkers) {
    Story story(service("sed", {1, 2, 5}), {.workers = workers});
    CHECK(story.connections(10, "198.51.100.1:20000", "192.0.2.1:80", "est") == "13 13 12 13 13 13 12 11 13 13");
    CHECK(story.connections(8, "198.51.100.2:1", "192.0.2.1:80", "half") == "12 12 12 12 12 12 12 12");
    CHECK(story.services() ==
          "TCP 192.0.2.1:80 sed\n"
          "  10.0.2.13:80 Route 5 7 0\n"
          "  10.0.2.12:80 Route 2 2 8\n"
          "  10.0.2.11:80 Route 1 1 0");
  }
}

TEST_CASE("kernel nq-basic") {
  for (const uint32_t workers : kWorkers) {
    Story story(service("nq", {1, 2, 5}), {.workers = workers});
    CHECK(story.connections(10, "198.51.100.1:20000", "192.0.2.1:80", "est") == "13 12 11 13 13 13 13 12 13 13");
  }
}

// Conformance scenarios lblc-basic and lblcr-basic have many destinations; here the one of a service that has no mark.
TEST_CASE("lblc leaves a crowded server for an idle one, the same on every worker") {
  for (const uint32_t workers : kWorkers) {
    Story story(service("lblc", {4, 4}), {.workers = workers});
    CHECK(story.connections(12, "198.51.100.1:20000", "192.0.2.1:80", "est") == "12 12 12 12 12 11 11 11 11 11 11 11");
  }
}

TEST_CASE("lblcr takes another server in when one is crowded, the same on every worker") {
  for (const uint32_t workers : kWorkers) {
    Story story(service("lblcr", {1, 4, 4}), {.workers = workers});
    CHECK(story.connections(14, "198.51.100.1:20000", "192.0.2.1:80", "est") ==
          "13 13 13 13 13 12 12 12 12 12 11 11 12 13");
  }
}

TEST_CASE("kernel fo-basic") {
  for (const uint32_t workers : kWorkers) {
    Story story(service("fo", {5, 10, 10, 1}), {.workers = workers});
    CHECK(story.connections(3, "198.51.100.1:20000", "192.0.2.1:80", "est") == "13 13 13");
    story.configure({"-e -t 192.0.2.1:80 -r 10.0.2.13 -g -w 0"});
    CHECK(story.connections(2, "198.51.100.2:1", "192.0.2.1:80", "est") == "12 12");
    story.configure({"-e -t 192.0.2.1:80 -r 10.0.2.12 -g -w 0"});
    CHECK(story.connections(2, "198.51.100.3:1", "192.0.2.1:80", "est") == "11 11");
    story.configure({"-e -t 192.0.2.1:80 -r 10.0.2.14 -g -w 0", "-e -t 192.0.2.1:80 -r 10.0.2.11 -g -w 0"});
    CHECK(story.connections(1, "198.51.100.4:1", "192.0.2.1:80", "est") == "-");
  }
}

TEST_CASE("kernel ovf-basic") {
  for (const uint32_t workers : kWorkers) {
    Story story(service("ovf", {2, 4, 3}), {.workers = workers});
    CHECK(story.connections(14, "198.51.100.1:20000", "192.0.2.1:80", "est") ==
          "12 12 12 12 12 13 13 13 13 11 11 11 - -");
    CHECK(story.services() ==
          "TCP 192.0.2.1:80 ovf\n"
          "  10.0.2.13:80 Route 3 4 0\n"
          "  10.0.2.12:80 Route 4 5 0\n"
          "  10.0.2.11:80 Route 2 3 0");
  }
}

TEST_CASE("kernel sh-basic") {
  for (const uint32_t workers : kWorkers) {
    Story story(service("sh", {3, 1, 2}), {.workers = workers});
    CHECK(by_address(story, 40, "198.51.100.", 1, 20000) ==
          "13 12 11 13 11 13 11 13 12 11 12 11 11 11 11 11 11 13 11 13 11 11 13 11 13 12 13 12 13 12 "
          "11 13 11 11 11 11 12 11 13 11");
    CHECK(story.connections(8, "198.51.100.7:1", "192.0.2.1:80") == "11 11 11 11 11 11 11 11");
  }
}

TEST_CASE("kernel sh-port") {
  for (const uint32_t workers : kWorkers) {
    Story story(service("sh -b sh-port", {1, 1, 1}), {.workers = workers});
    CHECK(story.connections(40, "198.51.100.1:20000", "192.0.2.1:80") ==
          "12 11 13 11 13 11 12 12 13 12 13 12 11 12 11 12 11 13 11 12 11 13 12 13 11 11 12 11 12 13 "
          "13 11 12 11 13 12 13 11 13 12");
    CHECK(by_address(story, 10, "198.51.100.", 1, 20000) == "12 11 13 11 13 11 12 12 13 12");
  }
}

TEST_CASE("kernel mh-basic") {
  for (const uint32_t workers : kWorkers) {
    Story story(service("mh", {1, 1, 1}), {.workers = workers});
    CHECK(by_address(story, 20, "198.51.100.", 1, 20000) ==
          "13 12 11 11 13 12 12 13 11 11 12 13 11 11 12 13 13 13 12 12");
    CHECK(story.connections(4, "198.51.100.7:1", "192.0.2.1:80") == "12 12 12 12");
  }
}

TEST_CASE("kernel mh-fallback") {
  for (const uint32_t workers : kWorkers) {
    Story story(service("mh -b mh-fallback", {1, 1, 1}), {.workers = workers});
    story.configure({"-e -t 192.0.2.1:80 -r 10.0.2.12 -g -w 0"});
    CHECK(by_address(story, 20, "198.51.100.", 1, 20000) ==
          "13 11 11 11 13 13 13 13 11 11 13 13 11 11 11 13 13 13 13 13");
    story.configure({"-e -t 192.0.2.1:80 -r 10.0.2.11 -g -w 0"});
    CHECK(by_address(story, 8, "198.51.100.", 1, 2) == "13 13 13 13 13 13 13 13");
    story.configure({"-e -t 192.0.2.1:80 -r 10.0.2.13 -g -w 0"});
    CHECK(by_address(story, 2, "198.51.100.", 1, 3) == "- -");
  }
}

TEST_CASE("a service that changes its scheduler has the new one's table, and no edit loses it") {
  Story story(service("rr", {1, 1, 1}));
  story.configure({"-E -t 192.0.2.1:80 -s mh"});
  const std::string chosen = "13 12 11 11 13 12 12 13";
  CHECK(by_address(story, 8, "198.51.100.", 1, 1) == chosen);
  const auto table = story.publisher().current().services[0]->table;
  story.configure({"-E -t 192.0.2.1:80 -s mh -b mh-fallback", "-e -t 192.0.2.1:80 -r 10.0.2.12 -g -w 0",
                   "-e -t 192.0.2.1:80 -r 10.0.2.12 -m -w 1", "-A -t 192.0.2.2:80 -s sh"});
  CHECK(story.publisher().current().services[0]->table == table);
  CHECK(by_address(story, 8, "198.51.100.", 1, 2) == chosen);
  story.configure({"-a -t 192.0.2.1:80 -r 10.0.2.14 -g", "-d -t 192.0.2.1:80 -r 10.0.2.14"});
  CHECK(by_address(story, 8, "198.51.100.", 1, 3) == chosen);
}
