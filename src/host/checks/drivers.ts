// SPDX-License-Identifier: Apache-2.0
// DPDK's drivers as they are installed: they are loaded when the director starts, and what is missing is missed only then.
import type { StartConfig } from '../../generated/fulcrum/dataplane/v1/StartConfig.js';
import { type Finding, ok, problem, warning } from '../finding.js';
import type { Host } from '../host.js';

/** "net_af_packet", "net_ixgbe", by the directory that they are in. */
export interface DriverFacts {
  readonly directory: string;
  readonly names: ReadonlySet<string>;
}

export function gatherDrivers(host: Host): readonly DriverFacts[] {
  return host.list('/usr/lib').flatMap((triplet) => {
    const places = host.list(`/usr/lib/${triplet}/dpdk`).filter((name) => name.startsWith('pmds-'));
    return places.map((place) => {
      const directory = `/usr/lib/${triplet}/dpdk/${place}`;
      const names = host.list(directory).flatMap((file) => /^librte_(net_\w+)\.so$/.exec(file)?.[1] ?? []);
      return { directory, names: new Set(names) };
    });
  });
}

export function checkDrivers(found: readonly DriverFacts[], start: StartConfig | undefined): readonly Finding[] {
  const names = new Set(found.flatMap((place) => [...place.names]));
  const change = 'apt-get install dpdk libdpdk-dev';
  if (names.size === 0)
    return [warning('DPDK', 'no drivers in /usr/lib/*/dpdk', 'the director finds no device by them', change)];
  const wanted = (start?.ports ?? []).flatMap(({ device = '' }) => /^(net_[a-z_]+?)\d*(?:,|$)/.exec(device)?.[1] ?? []);
  const missing = [...new Set(wanted)].filter((name) => !names.has(name));
  const version = found.map(({ directory }) => directory.split('pmds-')[1]).join(', ');
  if (missing.length === 0) return [ok('DPDK', `ABI ${version}, ${names.size} drivers of network devices`)];
  return [problem('DPDK', `without the driver ${missing.join(', ')}`, 'its ports cannot start', change)];
}
