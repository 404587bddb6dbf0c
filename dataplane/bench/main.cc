// SPDX-License-Identifier: Apache-2.0
// dataplane_bench: writes the capture file of a case, or measures the engine on it and prints one JSON object.
// `npm run bench` runs it beside dpdk-testpmd (src/bench).
#include <rte_random.h>

#include <charconv>
#include <cstdio>
#include <iostream>
#include <map>

#include "bench/choices.h"
#include "bench/churn.h"
#include "bench/clients.h"
#include "bench/connections.h"
#include "bench/json.h"
#include "bench/latency.h"
#include "bench/stages.h"
#include "bench/table.h"

namespace {

using namespace fulcrum;
using namespace fulcrum::bench;

constexpr const char* kUsage = R"(usage: dataplane_bench write CASE CAPTURE
       dataplane_bench run CASE CAPTURE [--NAME VALUE]...
       dataplane_bench macswap CASE CAPTURE [--NAME VALUE]...  the rig and its source without the engine
       dataplane_bench count CASE CAPTURE [--NAME VALUE]...    for valgrind --tool=callgrind
       dataplane_bench stages     nanoseconds of parse, find, rewrite, encapsulate, each by itself
       dataplane_bench stage-names
       dataplane_bench count-stage STAGE                       for valgrind --tool=callgrind
       dataplane_bench table [--cpu N] [--most ENTRIES] [--hugepages …]     the connection table beside rte_hash
       dataplane_bench churn CASE CAPTURE [--seconds N] [--NAME VALUE]...   the longest burst; of a life- case
       dataplane_bench memory CASE CAPTURE [--NAME VALUE]...                all of a new- case's connections at once
       dataplane_bench latency CASE [--seconds N] [--worker-cpu N] [--sender-cpu N] [--hugepages …]
       dataplane_bench choices    what lc, wlc, sed and nq cost with 10, 100 and 1000 servers
       dataplane_bench clients    what it costs to hold a client against prefixes
CASE is [new-|life-|flood-|pairs-|handover-](dr|tun|nat)[6]-[client-|server-]FLOWS[-tcp], for example dr-10k, new-tun6-2m
or flood-nat-client-1k-tcp; CAPTURE is the file that is replayed (CAPTURE.1 as well, where there are two).
  --worker-cpu N        (1)     --housekeeping-cpu N  (0)    --hugepages on|off|auto  (auto)
  --second-cpu N        (0)     the second worker's
  --windows N           (5)     --window-ms N         (500)  --tries N                (50)
  --cpu-percent N       (96)    of a window that a worker must have had its CPU
  --rounds N            (1000)  of `count`
  --prefixes N          (0)     that clients are held against, and are in none of
)";

struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Options {
 public:
  Options(int count, char** words) {
    for (int at = 0; at < count; at += 2) {
      const std::string name = words[at];
      if (!name.starts_with("--")) throw UsageError("\"" + name + "\" is no option");
      if (at + 1 == count) throw UsageError(name + " needs a value");
      values_[name] = words[at + 1];
    }
  }
  void number(const std::string& name, unsigned& value) {
    const auto found = values_.extract(name);
    if (found.empty()) return;
    const std::string& text = found.mapped();
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) throw UsageError(name + " needs a number");
  }
  void hugepages(const std::string& name, Hugepages& value) {
    const auto found = values_.extract(name);
    if (found.empty()) return;
    static const std::map<std::string, Hugepages> kWords = {
        {"on", Hugepages::kOn}, {"off", Hugepages::kOff}, {"auto", Hugepages::kAuto}};
    const auto word = kWords.find(found.mapped());
    if (word == kWords.end()) throw UsageError(name + " needs on, off or auto");
    value = word->second;
  }
  void end() const {
    if (!values_.empty()) throw UsageError("there is no option " + values_.begin()->first);
  }

 private:
  std::map<std::string, std::string> values_;
};

RigOptions rig_options_from(const std::string& capture, Options& options) {
  RigOptions rig;
  rig.capture = capture;
  options.number("--worker-cpu", rig.worker_cpu);
  options.number("--housekeeping-cpu", rig.housekeeping_cpu);
  options.number("--second-cpu", rig.second_cpu);
  options.number("--prefixes", rig.prefixes);
  options.hugepages("--hugepages", rig.hugepages);
  return rig;
}

WindowOptions window_options_from(Options& options) {
  WindowOptions window;
  options.number("--windows", window.wanted);
  options.number("--window-ms", window.milliseconds);
  options.number("--tries", window.most_tries);
  options.number("--cpu-percent", window.cpu_percent);
  if (window.wanted == 0 || window.milliseconds == 0) throw UsageError("there must be a window");
  return window;
}

void count(const Scenario& scenario, const std::string& capture, Options options) {
  const RigOptions rig_options = rig_options_from(capture, options);
  unsigned rounds = 1000;
  options.number("--rounds", rounds);
  options.end();
  if (scenario.traffic != Traffic::kHit || scenario.layout == Layout::kHandOver)
    throw UsageError("instructions are counted of hits, where each worker has its own flows");
  // The tables' secrets come from here: the same on every run, so that the count is.
  rte_srand(1);
  Rig rig(scenario, rig_options);
  rig.launch();
  JsonObject().add("name", scenario.name).add("packets", count_instructions(rig, rounds)).print();
}

void add_windows(JsonObject& json, const Windows& windows) {
  json.add("ns", windows.median()).add("spread", windows.spread()).add("windows", windows.ns);
  json.add("packets", windows.packets).add("discarded", windows.discarded);
}

void add_hits(JsonObject& json, const Windows& windows, Layout layout) {
  add_windows(json, windows);
  if (layout == Layout::kHandOver) json.add("handoverLost", windows.handover_lost);
}

void add_flood(JsonObject& json, const FloodResult& result) {
  add_windows(json, result.mixed);
  JsonObject verdicts;
  for (const auto& [name, packets] : result.verdicts) verdicts.add(name, packets);
  json.add("establishedNs", result.established.median()).add("refusedNs", result.refused_ns());
  json.add("sent", result.sent).add("lost", static_cast<double>(result.lost)).add("verdicts", verdicts);
}

void run(const Scenario& scenario, const std::string& capture, Options options) {
  const RigOptions rig_options = rig_options_from(capture, options);
  const WindowOptions window_options = window_options_from(options);
  options.end();
  Rig rig(scenario, rig_options);
  rig.launch();
  JsonObject json;
  json.add("name", scenario.name).add("memory", rig.memory()).add("hugeTables", rig.huge_tables());
  switch (scenario.traffic) {
    case Traffic::kHit:
      add_hits(json, measure_hits(rig, window_options), scenario.layout);
      break;
    case Traffic::kNew: {
      const NewResult result = measure_new(rig, window_options);
      add_windows(json, result.windows);
      json.add("firstFillNs", result.first_fill_ns);
      break;
    }
    case Traffic::kLife: {
      const LifeResult result = measure_life(rig, window_options);
      add_windows(json, result.windows);
      json.add("connections", result.connections).add("begunPerSecond", result.begun_per_second);
      break;
    }
    case Traffic::kFlood:
      add_flood(json, measure_flood(rig, window_options));
      break;
  }
  json.print();
}

void macswap(const Scenario& scenario, const std::string& capture, Options options) {
  const RigOptions rig_options = rig_options_from(capture, options);
  const WindowOptions window_options = window_options_from(options);
  options.end();
  if (scenario.workers() != 1) throw UsageError("macswap is of one worker");
  Rig rig(scenario, rig_options);
  const MacswapResult result = measure_macswap(rig, window_options);
  JsonObject json;
  json.add("name", scenario.name).add("plain", result.plain.ns).add("stamped", result.stamped.ns).print();
}

Scenario scenario_named(const std::string& name) {
  const auto scenario = Scenario::parse(name);
  if (!scenario) throw UsageError("\"" + name + "\" is no case");
  return *scenario;
}

void table(Options options) {
  TableOptions table_options;
  unsigned most = table_options.sizes.back();
  options.number("--cpu", table_options.cpu);
  options.number("--most", most);
  options.hugepages("--hugepages", table_options.hugepages);
  options.end();
  std::erase_if(table_options.sizes, [most](uint32_t size) { return size > most; });
  if (table_options.sizes.empty()) throw UsageError("--most is at least 1000");
  compare_tables(table_options);
}

void latency(const Scenario& scenario, Options options) {
  LatencyOptions latency_options;
  options.number("--worker-cpu", latency_options.worker_cpu);
  options.number("--sender-cpu", latency_options.sender_cpu);
  options.number("--seconds", latency_options.seconds);
  options.hugepages("--hugepages", latency_options.hugepages);
  options.end();
  if (scenario.traffic != Traffic::kHit || scenario.workers() != 1) throw UsageError("latency is of one worker's hits");
  measure_latency(scenario, latency_options);
}

void churn(const Scenario& scenario, const std::string& capture, Options options) {
  const RigOptions rig_options = rig_options_from(capture, options);
  ChurnOptions churn_options;
  churn_options.cpu = rig_options.worker_cpu;
  options.number("--seconds", churn_options.seconds);
  options.end();
  if (scenario.traffic != Traffic::kLife) throw UsageError("churn is of a life- case");
  if (churn_options.seconds == 0) throw UsageError("--seconds is at least 1");
  Rig rig(scenario, rig_options);
  measure_churn(rig, churn_options);
}

void memory(const Scenario& scenario, const std::string& capture, Options options) {
  const RigOptions rig_options = rig_options_from(capture, options);
  const WindowOptions window_options = window_options_from(options);
  options.end();
  if (scenario.traffic != Traffic::kNew) throw UsageError("memory is of a new- case");
  Rig rig(scenario, rig_options);
  measure_memory(rig, window_options);
}

void obey(int words_given, char** words) {
  const std::string first = words_given > 1 ? words[1] : "";
  if (words_given == 2 && first == "choices") return measure_choices();
  if (words_given == 2 && first == "clients") return measure_clients();
  if (words_given == 2 && first == "stages") return measure_stages();
  if (words_given == 2 && first == "stage-names") return print_stage_names();
  if (words_given == 3 && first == "count-stage") return count_stage(words[2]);
  if (first == "table") return table(Options(words_given - 2, words + 2));
  if (words_given > 2 && first == "latency")
    return latency(scenario_named(words[2]), Options(words_given - 3, words + 3));
  if (words_given < 4) throw UsageError("a command, a case and a capture file are needed");
  const std::string command = words[1];
  const Scenario scenario = scenario_named(words[2]);
  Options options(words_given - 4, words + 4);
  if (command == "run") return run(scenario, words[3], std::move(options));
  if (command == "count") return count(scenario, words[3], std::move(options));
  if (command == "churn") return churn(scenario, words[3], std::move(options));
  if (command == "memory") return memory(scenario, words[3], std::move(options));
  if (command == "macswap") return macswap(scenario, words[3], std::move(options));
  if (command != "write") throw UsageError("\"" + command + "\" is no command");
  options.end();
  write_captures(scenario, words[3]);
}

}  // namespace

int main(int count, char** words) {
  try {
    obey(count, words);
    return 0;
  } catch (const UsageError& error) {
    std::cerr << "dataplane_bench: " << error.what() << "\n" << kUsage;
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "dataplane_bench: " << error.what() << "\n";
    return 1;
  }
}
