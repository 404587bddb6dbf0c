// SPDX-License-Identifier: Apache-2.0
#include "api/fields.h"

#include "api/translate.h"

namespace fulcrum::api {

void bad(const std::string& path, const std::string& why) { throw CallError("INVALID_ARGUMENT", path + ": " + why); }

Address address(const std::string& text, const std::string& path) {
  const auto parsed = Address::parse(text);
  if (!parsed) bad(path, "\"" + text + "\" is not an IP address");
  return *parsed;
}

uint16_t port_number(uint32_t value, const std::string& path) {
  if (value > 65535) bad(path, std::to_string(value) + " is not between 0 and 65535");
  return static_cast<uint16_t>(value);
}
Prefix prefix(const std::string& text, const std::string& path) {
  if (const auto alone = Address::parse(text))
    return {*alone, static_cast<uint8_t>(alone->family == Family::kIpv4 ? 32 : 128)};
  const auto parsed = Prefix::parse(text);
  if (!parsed) bad(path, "\"" + text + "\" is not an address with a prefix length");
  return *parsed;
}

}  // namespace fulcrum::api
