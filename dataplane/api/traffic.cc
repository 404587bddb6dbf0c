// SPDX-License-Identifier: Apache-2.0
#include "api/traffic.h"

#include "api/fields.h"
#include "api/translate.h"

namespace fulcrum::api {

namespace {

using Texts = google::protobuf::RepeatedPtrField<std::string>;

// A name has no dot and no colon, an address has some.
ClientPrefixes client_prefixes(const Texts& entries, const std::string& path) {
  ClientPrefixes made;
  for (int i = 0; i < entries.size(); ++i) {
    if (entries[i].find_first_of(".:/") == std::string::npos) {
      made.lists.push_back(entries[i]);
    } else {
      made.own.push_back(prefix(entries[i], path + "[" + std::to_string(i) + "]"));
    }
  }
  return made;
}

uint16_t segment_limit(const v1::TrafficPolicy& message, const std::string& path) {
  if (message.mss_auto()) return kAutoSegmentLimit;
  if (message.mss() == 0) return kNoSegmentLimit;
  if (message.mss() < kLeastSegmentLimit || message.mss() >= kAutoSegmentLimit)
    bad(path + ".mss", std::to_string(message.mss()) + " is no maximum segment size");
  return static_cast<uint16_t>(message.mss());
}

}  // namespace

std::shared_ptr<const TrafficPolicy> traffic_policy(const v1::TrafficPolicy& message, const std::string& path) {
  auto made = std::make_shared<TrafficPolicy>();
  made->allow = client_prefixes(message.allow(), path + ".allow");
  made->deny = client_prefixes(message.deny(), path + ".deny");
  made->max_connections = message.max_connections();
  if (message.connections_per_second() > ConnectionRate::kMostPerSecond)
    bad(path + ".connections_per_second", "more than " + std::to_string(ConnectionRate::kMostPerSecond));
  made->connections_per_second = message.connections_per_second();
  made->connections_burst = message.connections_burst();
  made->mss = segment_limit(message, path);
  return made;
}

NamedPrefixList prefix_list(const v1::PrefixList& message, const std::string& path) {
  std::vector<Prefix> prefixes;
  prefixes.reserve(static_cast<size_t>(message.prefixes_size()));
  for (int i = 0; i < message.prefixes_size(); ++i)
    prefixes.push_back(prefix(message.prefixes(i), path + ".prefixes[" + std::to_string(i) + "]"));
  return {message.name(), std::make_shared<const PrefixList>(prefixes)};
}

void write(const RefusalValues& refusals, v1::Refusals* message) {
  message->set_client_denied(refusals.denied);
  message->set_connection_limit(refusals.over_limit);
  message->set_connection_rate_limit(refusals.over_rate);
}

}  // namespace fulcrum::api
