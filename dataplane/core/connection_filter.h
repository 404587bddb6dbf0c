// SPDX-License-Identifier: Apache-2.0
// Which connections a listing or a deletion is about. What is not set matches everything.
#pragma once

#include <optional>
#include <string_view>

#include "conn/template_table.h"

namespace fulcrum {

inline constexpr ServiceSlot kNoServiceSlot = 0xffffffff;

// States by their names, a bit a number: two protocols may have a state of one name.
struct StateSet {
  uint32_t tcp = ~0u;
  uint32_t sctp = ~0u;
  bool udp = true;
  uint32_t templates = ~0u;  // bit 0: not assured, bit 1: assured

  // None: no protocol has a state of this name.
  static std::optional<StateSet> named(std::string_view name);

  bool has(IpProtocol protocol, uint8_t state) const {
    if (protocol == IpProtocol::kTcp) return (tcp >> state & 1) != 0;
    if (protocol == IpProtocol::kSctp) return (sctp >> state & 1) != 0;
    return udp;
  }
};

struct ConnectionFilter {
  bool by_service = false;
  ServiceKey service;                         // which the engine names by its slot
  ServiceSlot service_slot = kNoServiceSlot;  // none: no service has, or had, this key
  Address server;
  std::optional<uint16_t> server_port;  // as the server was configured
  Prefix client;                        // of templates: of what they are for, which may be masked
  IpProtocol protocol{};
  StateSet states;

  // By what connections and templates have in common.
  bool matches_server(const Address& address, uint16_t port) const {
    if (server.family != Family::kNone && !(server == address)) return false;
    return !server_port || *server_port == port;
  }
  bool matches_client(const Address& address) const {
    return client.address.family == Family::kNone || client.contains(address);
  }
};

template <Family F>
inline bool matches(const ConnectionFilter& filter, const Connection<F>& entry, const ConnectionRecord& record,
                    const Address& server, uint16_t server_port) {
  if (filter.protocol != IpProtocol{} && filter.protocol != entry.protocol) return false;
  if (!filter.states.has(entry.protocol, entry.state)) return false;
  if (filter.by_service && filter.service_slot != record.service) return false;
  return filter.matches_server(server, server_port) && filter.matches_client(Address::from(entry.forward.source));
}

// `service`: its server's. Several services may have templates with one key (an FTP service's have port 0).
inline bool matches(const ConnectionFilter& filter, const Template& at, const Address& server, uint16_t server_port,
                    ServiceSlot service) {
  const TemplateKey& key = at.key;
  if (filter.protocol != IpProtocol{} && filter.protocol != key.protocol) return false;
  if ((filter.states.templates >> at.assured & 1) == 0) return false;
  if (filter.by_service && filter.service_slot != service) return false;
  return filter.matches_server(server, server_port) && filter.matches_client(key.client);
}

}  // namespace fulcrum
