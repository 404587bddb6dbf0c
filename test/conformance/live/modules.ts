// SPDX-License-Identifier: Apache-2.0
// Kernel modules of the guest, in an order in which they can be loaded: the agent has no modprobe.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const modulesDirectory = '/usr/lib/uml/modules';

const wanted = [
  ...['tun', 'ipv6', 'ip_vs', 'ip_vs_ftp', 'ip_vs_pe_sip'],
  ...['rr', 'wrr', 'lc', 'wlc', 'lblc', 'lblcr', 'dh', 'sh', 'mh', 'sed', 'nq', 'fo', 'ovf'].map(
    (name) => `ip_vs_${name}`,
  ),
  ...['iptable_mangle', 'ip6table_mangle', 'xt_mark', 'xt_tcpudp', 'xt_sctp', 'xt_multiport'],
];

/** Files of the modules that the test needs, each behind those that it depends on. */
export function modulePaths(): readonly string[] {
  const [release] = readdirSync(modulesDirectory);
  if (release === undefined) throw new Error(`${modulesDirectory} is empty`);
  const directory = join(modulesDirectory, release);
  const dependencies = readDependencies(readFileSync(join(directory, 'modules.dep'), 'utf8'));
  return loadOrder(dependencies, wanted).map((path) => join(directory, path));
}

/** "a/b.ko: a/c.ko a/d.ko" → path of each module with those it depends on. */
export function readDependencies(text: string): ReadonlyMap<string, readonly string[]> {
  const lines = text.split('\n').filter((line) => line.includes(':'));
  return new Map(
    lines.map((line) => {
      const [path = '', needed = ''] = line.split(':');
      return [path, needed.split(' ').filter((word) => word !== '')];
    }),
  );
}

export function loadOrder(
  dependencies: ReadonlyMap<string, readonly string[]>,
  names: readonly string[],
): readonly string[] {
  const pathOf = new Map([...dependencies.keys()].map((path) => [moduleName(path), path]));
  const order = new Set<string>();
  const add = (path: string): void => {
    if (order.has(path)) return;
    for (const needed of dependencies.get(path) ?? []) add(needed);
    order.add(path);
  };
  for (const name of names) {
    const path = pathOf.get(name);
    // What is not a module of this kernel is built in: it will be missed at its first use if it is not.
    if (path !== undefined) add(path);
  }
  return [...order];
}

function moduleName(path: string): string {
  return (path.split('/').at(-1) ?? '').replace(/\.ko.*$/, '').replaceAll('-', '_');
}
