// SPDX-License-Identifier: Apache-2.0
// The kernel's interfaces of this network namespace: what iproute2, ss and ethtool say. /sys may be another namespace's.

import type { Host } from './host.js';

export interface InterfaceFacts {
  readonly name: string;
  readonly isUp: boolean;
  readonly mtu: number;
  /** "veth", "bridge"; undefined: hardware, or not told. */
  readonly kind: string | undefined;
  readonly addresses: readonly string[];
  readonly isDefaultRoute: boolean;
  /** Addresses of ours that somebody is logged in at by ssh. */
  readonly ssh: readonly string[];
  /** Offloads by ethtool's names that are on and can be switched off; undefined: nobody has looked. */
  readonly offloads: ReadonlySet<string> | undefined;
}

interface LinkJson {
  readonly ifname: string;
  readonly flags?: readonly string[];
  readonly mtu?: number;
  readonly linkinfo?: { readonly info_kind?: string };
  readonly addr_info?: readonly { readonly local?: string; readonly scope?: string }[];
}

/** What merges or splits frames, or takes something out of them, before AF_PACKET sees them. By ethtool -k. */
export const harmfulOffloads = {
  'generic-receive-offload': 'gro',
  'large-receive-offload': 'lro',
  'tcp-segmentation-offload': 'tso',
  'generic-segmentation-offload': 'gso',
  'rx-vlan-offload': 'rxvlan',
} as const;

/** Names of ethtool -K of what is on and must not be. */
export function harmfulOn({ offloads }: InterfaceFacts): readonly string[] {
  return Object.entries(harmfulOffloads).flatMap(([name, short]) => (offloads?.has(name) ? [short] : []));
}

export async function gatherInterfaces(host: Host): Promise<readonly InterfaceFacts[]> {
  const links = json<LinkJson>(await host.ask('ip', '-j', '-d', 'address', 'show'));
  const routes = json<{ dev?: string }>(await host.ask('ip', '-j', 'route', 'show', 'default'));
  const routes6 = json<{ dev?: string }>(await host.ask('ip', '-j', '-6', 'route', 'show', 'default'));
  const defaults = new Set([...routes, ...routes6].map(({ dev }) => dev));
  const ssh = sshAddresses((await host.ask('ss', '-Htn', 'state', 'established', '( sport = :22 )')) ?? '');
  return await Promise.all(
    links.map(async ({ ifname: name, flags = [], mtu = 0, linkinfo, addr_info = [] }) => {
      const addresses = addr_info.flatMap(({ local, scope }) => (local && scope !== 'link' ? [local] : []));
      return {
        name,
        isUp: flags.includes('UP'),
        mtu,
        kind: linkinfo?.info_kind,
        addresses,
        isDefaultRoute: defaults.has(name),
        ssh: addresses.filter((address) => ssh.has(address)),
        offloads: offloadsOf(await host.ask('ethtool', '-k', name)),
      };
    }),
  );
}

function json<T>(text: string | undefined): readonly T[] {
  try {
    return JSON.parse(text ?? '[]') as readonly T[];
  } catch {
    return [];
  }
}

/** ss: Recv-Q Send-Q Local:Port Peer:Port. */
function sshAddresses(text: string): ReadonlySet<string> {
  const locals = text.split('\n').map((line) => line.trim().split(/\s+/)[2] ?? '');
  return new Set(locals.map((local) => local.replace(/:\d+$/, '').replace(/^\[(?:::ffff:)?|\]$/g, '')));
}

/** "generic-receive-offload: on"; what cannot be changed has "[fixed]" behind it. */
function offloadsOf(text: string | undefined): ReadonlySet<string> | undefined {
  if (text === undefined) return undefined;
  return new Set([...text.matchAll(/^\s*([a-z0-9-]+): on$/gm)].map(([, name]) => name ?? ''));
}
