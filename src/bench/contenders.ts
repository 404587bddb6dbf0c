// SPDX-License-Identifier: Apache-2.0
// What a user would take instead, on a host beside the lab's director: HAProxy in TCP mode, and nftables DNAT. The same
// servers, the same links, the same way back for what is translated.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Task } from '../lab/command.js';
import { addHost, type Lab } from '../lab/lab.js';
import { client, director, onLink, servers } from '../lab/plan.js';

/** The host, called `gateway`, and its VIPs. */
const gateway = { wan: '203.0.113.2', lan: '10.0.0.2' } as const;
export const haproxyVip = '203.0.113.40';
export const nftablesVip = '203.0.113.50';

export interface Contender {
  readonly name: string;
  /** What the client asks. */
  readonly address: string;
  /** To be called before its windows. */
  readonly prepare: () => Promise<void>;
  /** Nanoseconds of CPU that its own process has used; undefined where there is none. */
  readonly cpuNs: () => Promise<number | undefined>;
  readonly version: string;
}

/** Plugs the gateway into the lab, and starts both on it. */
export async function addGateway(lab: Lab, directory: string, workerCpu: number): Promise<readonly Contender[]> {
  const { world } = lab;
  await addHost(world, 'gateway');
  await world.link(
    { namespace: 'gateway', device: 'wan', addresses: [onLink(gateway.wan), `${haproxyVip}/32`, `${nftablesVip}/32`] },
    { namespace: 'net', device: 'wan-gateway', bridge: 'wan' },
  );
  await world.link(
    { namespace: 'gateway', device: 'lan', addresses: [onLink(gateway.lan)] },
    { namespace: 'net', device: 'lan-gateway', bridge: 'lan' },
  );
  await world.sysctl('gateway', { 'net.ipv4.ip_forward': 1, 'net.ipv4.conf.all.rp_filter': 0 });
  const haproxy = await startHaproxy(lab, directory, workerCpu);
  await world.run('gateway', ['nft', '-f', '-'], { input: dnatRules });
  return [
    {
      name: 'HAProxy, TCP mode',
      address: haproxyVip,
      prepare: () => repliesBy(lab, gateway.lan),
      cpuNs: async () => processCpuNs(haproxy.pid ?? 0),
      version: (await world.run('gateway', ['haproxy', '-v'])).split('\n')[0] ?? '',
    },
    {
      name: 'nftables DNAT',
      address: nftablesVip,
      prepare: () => repliesBy(lab, gateway.lan),
      cpuNs: async () => undefined,
      version: (await world.run('gateway', ['nft', '--version'])).trim(),
    },
  ];
}

/** Whom the servers' replies to what was translated go by; as the lab has it, by the director. */
export async function repliesBy({ world }: Lab, address: string = director.lan): Promise<void> {
  for (const { name } of servers) {
    await world.ip(name, [
      `route replace default via ${address} dev lan table 100`,
      `route replace ${client}/32 via ${address} dev lan table 100`,
    ]);
  }
}

const dnatRules = `table ip balance {
  chain prerouting {
    type nat hook prerouting priority dstnat;
    ip daddr ${nftablesVip} tcp dport 80 dnat to numgen inc mod ${servers.length} map {
      ${servers.map(({ lan }, index) => `${index} : ${lan}`).join(', ')}
    }
  }
}
`;

/** One thread, on the CPU that the director's worker has. It runs under `ip netns exec`, which becomes it. */
async function startHaproxy({ world }: Lab, directory: string, workerCpu: number): Promise<Task> {
  const file = join(directory, 'haproxy.cfg');
  const lines = servers.map(({ name, lan }) => `  server ${name} ${lan}:80\n`).join('');
  writeFileSync(
    file,
    `global
  nbthread 1
  maxconn 4096
defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
listen http
  bind ${haproxyVip}:80 backlog 4096
  balance roundrobin
${lines}`,
  );
  const task = world.spawn('gateway', ['taskset', '--cpu-list', String(workerCpu), 'haproxy', '-db', '-f', file]);
  await answers(task, () => world.run('gateway', ['curl', '-sf', '-m', '1', `http://${haproxyVip}/`]));
  return task;
}

async function answers(task: Task, ask: () => Promise<unknown>): Promise<void> {
  for (let tries = 50; ; tries--) {
    try {
      await ask();
      return;
    } catch (error) {
      if (tries === 0 || !task.running) throw new Error(`haproxy: ${task.tail.join('\n')}`, { cause: error });
    }
  }
}

const nsPerTick = 10_000_000;

/** User and system time, proc(5); the kernel counts it in hundredths of a second. */
function processCpuNs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * nsPerTick;
}
