// SPDX-License-Identifier: Apache-2.0
#include "net/digest.h"

namespace fulcrum {

namespace {

uint32_t word_at(const uint8_t* bytes) {
  return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 | bytes[3];
}

}  // namespace

void Digest::add(const Address& address) {
  add(static_cast<uint32_t>(address.family));
  for (size_t at = 0; at < address.bytes.size(); at += 4) add(word_at(address.bytes.data() + at));
}

void Digest::add(const Prefix& prefix) {
  add(prefix.address);
  add(uint32_t{prefix.length});
}

void Digest::add(std::string_view text) {
  add(static_cast<uint32_t>(text.size()));
  for (const char character : text) add(static_cast<uint8_t>(character));
}

}  // namespace fulcrum
