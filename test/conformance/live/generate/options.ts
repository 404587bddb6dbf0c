// SPDX-License-Identifier: Apache-2.0
// What scenarios may make use of; the names of --features.

export const features = [
  'lblc',
  'persistence',
  'ops',
  'thresholds',
  'port0',
  'fwmark',
  'tunables',
  'ipv6',
  'sctp',
  'ipip',
  'gue',
  'gre',
  'fragments',
  'big-packets',
  'icmp',
  'tunnel-icmp',
  'rates',
  'stats',
  'mtu',
  'malformed',
  'routes',
] as const;

export type Feature = (typeof features)[number];
