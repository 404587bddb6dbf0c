// SPDX-License-Identifier: Apache-2.0
// dataplane_bench: writes the capture file of a case, or measures the engine on it and prints one JSON object.
// `npm run bench` runs it beside dpdk-testpmd (src/bench).
#include <charconv>
#include <cstdio>
#include <iostream>
#include <map>

#include "bench/choices.h"
#include "bench/window.h"

namespace {

using namespace fulcrum;
using namespace fulcrum::bench;

constexpr const char* kUsage = R"(usage: dataplane_bench write CASE CAPTURE
       dataplane_bench run CASE CAPTURE [--NAME VALUE]...
       dataplane_bench count CASE CAPTURE [--NAME VALUE]...    for valgrind --tool=callgrind
       dataplane_bench choices    what lc, wlc, sed and nq cost with 10, 100 and 1000 servers
CASE is (dr|tun|nat-client|nat-server)-FLOWS[-tcp], for example dr-10k; CAPTURE is the file that is replayed.
  --worker-cpu N        (1)     --housekeeping-cpu N  (0)    --hugepages on|off|auto  (auto)
  --windows N           (5)     --window-ms N         (500)  --tries N                (50)
  --rounds N            (1000)  of `count`
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
  options.hugepages("--hugepages", rig.hugepages);
  return rig;
}

void count(const Scenario& scenario, const std::string& capture, Options options) {
  RigOptions rig_options = rig_options_from(capture, options);
  unsigned rounds = 1000;
  options.number("--rounds", rounds);
  options.end();
  Rig rig(scenario, rig_options);
  rig.launch();
  std::printf("{\"name\":\"%s\",\"packets\":%lu}\n", scenario.name.c_str(), count_instructions(rig, scenario, rounds));
}

void run(const Scenario& scenario, const std::string& capture, Options options) {
  RigOptions rig_options = rig_options_from(capture, options);
  WindowOptions window_options;
  options.number("--windows", window_options.wanted);
  options.number("--window-ms", window_options.milliseconds);
  options.number("--tries", window_options.most_tries);
  options.end();
  if (window_options.wanted == 0 || window_options.milliseconds == 0) throw UsageError("there must be a window");

  Rig rig(scenario, rig_options);
  rig.launch();
  const Windows windows = measure(rig, scenario, window_options);
  std::printf("{\"name\":\"%s\",\"ns\":%.2f,\"spread\":%.4f,\"windows\":[", scenario.name.c_str(), windows.median(),
              windows.spread());
  for (size_t i = 0; i < windows.ns.size(); ++i) std::printf("%s%.2f", i == 0 ? "" : ",", windows.ns[i]);
  std::printf("],\"packets\":%lu,\"discarded\":%u,\"memory\":\"%s\",\"hugeTables\":%s}\n", windows.packets,
              windows.discarded, rig.memory().c_str(), rig.huge_tables() ? "true" : "false");
}

void obey(int words_given, char** words) {
  if (words_given == 2 && std::string(words[1]) == "choices") return measure_choices();
  if (words_given < 4) throw UsageError("a command, a case and a capture file are needed");
  const std::string command = words[1];
  const auto scenario = Scenario::parse(words[2]);
  if (!scenario) throw UsageError("\"" + std::string(words[2]) + "\" is no case");
  Options options(words_given - 4, words + 4);
  if (command == "run") return run(*scenario, words[3], std::move(options));
  if (command == "count") return count(*scenario, words[3], std::move(options));
  if (command != "write") throw UsageError("\"" + command + "\" is no command");
  options.end();
  write_capture(*scenario, words[3]);
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
