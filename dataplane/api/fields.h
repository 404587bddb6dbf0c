// SPDX-License-Identifier: Apache-2.0
// Fields of requests that more than one kind of message has. What is wrong is refused by the field's path.
#pragma once

#include <string>

#include "net/address.h"

namespace fulcrum::api {

// Throws CallError INVALID_ARGUMENT.
[[noreturn]] void bad(const std::string& path, const std::string& why);
Address address(const std::string& text, const std::string& path);
// 0 … 65535: a port, and whatever has as many bits.
uint16_t port_number(uint32_t value, const std::string& path);
// An address alone stands for itself.
Prefix prefix(const std::string& text, const std::string& path);

}  // namespace fulcrum::api
