// SPDX-License-Identifier: Apache-2.0
// Builds a snapshot's tables: services by key, addresses that are the director's, NAT servers' endpoints.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/config.h"
#include "core/ledger.h"
#include "service/snapshot.h"

namespace fulcrum {

using DeclaredVips = std::map<std::string, VipSettings>;  // by text

// by_key, and what is said of all services together.
void index_services(Snapshot& next);
// local and local_prefixes.
void index_addresses(Snapshot& next, const DeclaredVips& vips);
// nat_endpoints.
void index_nat_endpoints(Snapshot& next, const Ledger& ledger);

// VIPs in `tables` that answer ARP, and did not, or were not there, in `others`.
std::vector<Address> answering_only_in(const Snapshot& tables, const Snapshot& others);

}  // namespace fulcrum
