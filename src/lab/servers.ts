// SPDX-License-Identifier: Apache-2.0
// A real server of the lab: nginx that says its host's name, set up for all three forwarding methods as LVS prescribes.

import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../grpc/loader.js';
import { CommandError } from './command.js';
import { director, type LabServer, prefixLength, vipOf } from './plan.js';
import type { World } from './world.js';

const decapsulator = join(projectRoot, 'src/lab/decapsulate.py');
const tunnelDevice = 'ipip0';

/** Needs the namespace with its legs `lan` and `out`. */
export async function startServer(world: World, server: LabServer, directory: string): Promise<void> {
  const { name, lan } = server;
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
    `route add default via ${director.lan} dev lan`,
    `rule add from ${lan} lookup 100`,
    `route add ${networkOf(lan)} dev lan src ${lan} table 100`,
    `route add default via ${director.lan} dev lan table 100`,
  ]);
  await receiveTunnels(world, server);
  await startNginx(world, server, directory);
}

const networkOf = (address: string): string => `${address.split('.').slice(0, 3).join('.')}.0/${prefixLength}`;

/** The kernel's ipip where it exists, else our own decapsulator. */
async function receiveTunnels(world: World, { name, lan }: LabServer): Promise<void> {
  if (!(await hasKernelTunnel(world, name, lan))) {
    const task = world.spawn(name, ['python3', decapsulator, tunnelDevice]);
    await task.line((line) => line === 'ready', 10_000);
  }
  await world.sysctl(name, { [`net.ipv4.conf.${tunnelDevice}.rp_filter`]: 0 });
  await world.ip(name, [`link set ${tunnelDevice} up`]);
}

async function hasKernelTunnel(world: World, name: string, local: string): Promise<boolean> {
  try {
    await world.ip(name, [`link add ${tunnelDevice} type ipip local ${local}`]);
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
    default_type text/plain;
    add_header X-Server ${name} always;
    location / { return 200 "${name}\\n"; }
    location = /connections { stub_status; }
  }
}
`;
}
