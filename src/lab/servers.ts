// SPDX-License-Identifier: Apache-2.0
// A real server of the lab: nginx that says its host's name, set up for all three forwarding methods as LVS prescribes.

import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../grpc/loader.js';
import { CommandError } from './command.js';
import { director, type Family, families, type LabServer, lanNetworks, vipOf } from './plan.js';
import type { World } from './world.js';

const decapsulator = join(projectRoot, 'src/lab/decapsulate.py');
/** Where what was in a tunnel comes out; by the family of the outer packets. */
const tunnelDevices: Readonly<Record<Family, string>> = { 4: 'ipip0', 6: 'ip6ip60' };

/** Needs the namespace with its legs `lan` and `out`. */
export async function startServer(world: World, server: LabServer, directory: string): Promise<void> {
  const { name, lan, lan6 } = server;
  // The VIPs are on lo and nowhere announced; a reply may leave by another leg than the request came in by.
  await world.sysctl(name, {
    'net.ipv4.conf.all.arp_ignore': 1,
    'net.ipv4.conf.all.arp_announce': 2,
    'net.ipv4.conf.all.rp_filter': 0,
    'net.ipv4.conf.default.rp_filter': 0,
    'net.ipv4.conf.lan.rp_filter': 0,
    'net.ipv4.conf.out.rp_filter': 0,
  });
  await world.ip(name, [
    `address add ${vipOf('dr')}/32 dev lo`,
    `address add ${vipOf('tun')}/32 dev lo`,
    ...routesByDirector(lan, lanNetworks[4], director.lan),
  ]);
  // No arp_ignore is needed: neighbour discovery answers for an address only where it is.
  if (families.includes(6))
    await world.ip6(name, [
      `address add ${vipOf('dr6')}/128 dev lo`,
      `address add ${vipOf('tun6')}/128 dev lo`,
      ...routesByDirector(lan6, lanNetworks[6], director.lan6),
    ]);
  await receiveTunnels(world, name, { 4: lan, 6: lan6 });
  await startNginx(world, server, directory);
}

/** What has the server's own address as source goes to the director (NAT's replies); the rest by its destination. */
const routesByDirector = (own: string, network: string, gateway: string): readonly string[] => [
  `route add default via ${gateway} dev lan`,
  `rule add from ${own} lookup 100`,
  `route add ${network} dev lan src ${own} table 100`,
  `route add default via ${gateway} dev lan table 100`,
];

/** Decapsulates what is addressed to a host: the kernel's ipip and ip6tnl where they exist, else our own decapsulator. */
export async function receiveTunnels(
  world: World,
  name: string,
  own: Readonly<Partial<Record<Family, string>>>,
): Promise<void> {
  const wanted = families.filter((family) => own[family] !== undefined);
  const byKernel: Family[] = [];
  for (const family of wanted) if (await hasKernelTunnel(world, name, family, own[family] ?? '')) byKernel.push(family);
  const others = wanted.filter((family) => !byKernel.includes(family));
  const devices = byKernel.map((family) => tunnelDevices[family]);
  if (others.length > 0) {
    const device = tunnelDevices[others[0] ?? 4];
    const task = world.spawn(name, ['python3', decapsulator, device, ...others.map(String)]);
    await task.line((line) => line === 'ready', 10_000);
    devices.push(device);
  }
  for (const device of devices) {
    await world.sysctl(name, { [`net.ipv4.conf.${device}.rp_filter`]: 0 });
    await world.ip(name, [`link set ${device} up`]);
  }
}

async function hasKernelTunnel(world: World, name: string, family: Family, local: string): Promise<boolean> {
  const kind = family === 4 ? 'ipip' : 'ip6tnl mode ip6ip6';
  try {
    await world.ip(name, [`link add ${tunnelDevices[family]} type ${kind} local ${local}`]);
    return true;
  } catch (error) {
    if (error instanceof CommandError) return false;
    throw error;
  }
}

/** Returns when nginx listens: it has workers only then. */
export async function startNginx(world: World, { name }: { readonly name: string }, directory: string): Promise<void> {
  const prefix = join(directory, name);
  mkdirSync(prefix);
  chmodSync(prefix, 0o755);
  const file = join(prefix, 'nginx.conf');
  writeFileSync(file, nginxConfiguration(name, prefix));
  const task = world.spawn(name, ['nginx', '-p', prefix, '-c', file, '-e', 'stderr']);
  await task.line((line) => line.includes('start worker process '), 10_000);
}

function nginxConfiguration(name: string, prefix: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  return `daemon off;
error_log stderr notice;
worker_processes 1;
pid ${prefix}/nginx.pid;
events { worker_connections 4096; }
http {
  access_log off;
  keepalive_requests 100;
${temporary.map((kind) => `  ${kind}_temp_path ${prefix}/${kind};\n`).join('')}  server {
    listen 80 reuseport backlog=4096;
${families.includes(6) ? '    listen [::]:80 reuseport backlog=4096 ipv6only=on;\n' : ''}    default_type text/plain;
    add_header X-Server ${name} always;
    location / { return 200 "${name}\\n"; }
    location = /connections { stub_status; }
  }
}
`;
}
