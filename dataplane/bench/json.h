// SPDX-License-Identifier: Apache-2.0
// One JSON object, member by member, as the programs that run the bench read it.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

namespace fulcrum::bench {

class JsonObject {
 public:
  JsonObject& add(const std::string& name, const std::string& text) { return raw(name, "\"" + text + "\""); }
  JsonObject& add(const std::string& name, const char* text) { return add(name, std::string(text)); }
  JsonObject& add(const std::string& name, bool value) { return raw(name, value ? "true" : "false"); }
  JsonObject& add(const std::string& name, double value) { return raw(name, number(value)); }
  JsonObject& add(const std::string& name, uint64_t value) { return raw(name, std::to_string(value)); }
  JsonObject& add(const std::string& name, unsigned value) { return raw(name, std::to_string(value)); }
  JsonObject& add(const std::string& name, const JsonObject& value) { return raw(name, value.text()); }
  JsonObject& add(const std::string& name, const std::vector<double>& values) {
    std::string list;
    for (const double value : values) list += (list.empty() ? "" : ",") + number(value);
    return raw(name, "[" + list + "]");
  }
  JsonObject& add(const std::string& name, const std::vector<JsonObject>& values) {
    std::string list;
    for (const JsonObject& value : values) list += (list.empty() ? "" : ",") + value.text();
    return raw(name, "[" + list + "]");
  }

  std::string text() const { return "{" + members_ + "}"; }
  void print() const { std::printf("%s\n", text().c_str()); }

 private:
  static std::string number(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.2f", value);
    return text;
  }
  JsonObject& raw(const std::string& name, const std::string& value) {
    members_ += (members_.empty() ? "\"" : ",\"") + name + "\":" + value;
    return *this;
  }

  std::string members_;
};

}  // namespace fulcrum::bench
