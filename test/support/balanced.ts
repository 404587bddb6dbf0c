// SPDX-License-Identifier: Apache-2.0
// What a packaged director is asked to do: a client, two real servers with nginx, and in front of them a namespace without
// links, in which a container or an installed package is to balance by NAT and by DR.

import { cpus } from 'node:os';
import type { ExecutionContext } from 'ava';
import type { Task } from '../../src/lab/command.js';
import { isReady } from '../../src/lab/director.js';
import { cpusText, families, packetDevice } from '../../src/lab/plan.js';
import { Scene } from './scene.js';

/** Those of the families that this machine's kernel has. */
const addresses = (...all: readonly [string, string]): readonly string[] => all.slice(0, families.length);

const ipv6Service = `  - address: "tcp:[2001:db8:1::20]:80"
    scheduler: rr
    servers: [{ address: "[2001:db8:1::101]:80", method: dr }, { address: "[2001:db8:1::102]:80", method: dr }]
`;

/** The director's file; its ports are the links eth1 and eth2. */
export const configuration = `${cpusText(1, [...cpus().keys()])}memory: { hugepages: off, connections: 65536 }
ports:
  wan: { device: "${packetDevice(0, 'eth1')}", interfaces: [{ addresses: [${addresses('203.0.113.1/24', '2001:db8:1::1/64')}] }] }
  lan: { device: "${packetDevice(1, 'eth2')}", interfaces: [{ addresses: [10.0.0.1/24] }] }
services:
  - address: tcp:203.0.113.10:80
    scheduler: rr
    servers: [{ address: "10.0.0.11:80", method: nat }, { address: "10.0.0.12:80", method: nat }]
  - address: tcp:203.0.113.20:80
    scheduler: rr
    servers: [{ address: "203.0.113.101:80", method: dr }, { address: "203.0.113.102:80", method: dr }]
${families.includes(6) ? ipv6Service : ''}`;

/** Client and two real servers, for NAT and for DR; the director's host has no links yet. */
export async function buildScene(t: ExecutionContext): Promise<Scene> {
  const scene = await Scene.empty(t);
  await scene.host('client', {
    device: 'wan0',
    segment: 'wan',
    addresses: addresses('203.0.113.200/24', '2001:db8:1::200/64'),
  });
  for (const number of [1, 2]) {
    const name = `rs${number}`;
    const own = addresses(`203.0.113.10${number}/24`, `2001:db8:1::10${number}/64`);
    const lan = { device: 'lan', segment: 'lan', addresses: [`10.0.0.1${number}/24`] };
    await scene.host(name, { device: 'out', segment: 'wan', addresses: own }, lan);
    const settings = {
      'all.arp_ignore': 1,
      'all.arp_announce': 2,
      'all.rp_filter': 0,
      'out.rp_filter': 0,
      'lan.rp_filter': 0,
    };
    const named = Object.entries(settings).map(([setting, value]) => [`net.ipv4.conf.${setting}`, value] as const);
    await scene.world.sysctl(name, Object.fromEntries(named));
    await scene.world.ip(name, [
      'address add 203.0.113.20/32 dev lo',
      `rule add from 10.0.0.1${number} lookup 100`,
      'route add default via 10.0.0.1 dev lan table 100',
    ]);
    if (families.includes(6)) await scene.world.ip6(name, ['address add 2001:db8:1::20/128 dev lo']);
    await scene.nginx(name);
  }
  await scene.world.addNamespace('director');
  return scene;
}

/** A link from the director's namespace into a segment, made while the container runs. */
export async function plug(scene: Scene, device: string, segment: string): Promise<void> {
  const other = { namespace: 'net', device: `${segment}-director`, bridge: segment };
  await scene.world.link({ namespace: 'director', device }, other);
}

const vips = ['203.0.113.10', '203.0.113.20', '[2001:db8:1::20]'].slice(0, families.length + 1);

/** Four requests to each VIP: both servers answer, in turn. */
export async function requests(t: ExecutionContext, scene: Scene): Promise<void> {
  for (const vip of vips) {
    const urls = Array.from({ length: 4 }, () => `http://${vip}/`).join(' ');
    const answers = await scene.sh('client', `for url in ${urls}; do curl -sgf -m 5 "$url"; done`);
    t.is(answers.replaceAll('\n', ' ').replace(/^rs2 (.*)$/, '$1 rs2'), 'rs1 rs2 rs1 rs2', vip);
  }
}

export const isUp = (line: string): boolean => isReady(line, 'up');

/** From start to ready, and to the first answer: in milliseconds. */
export async function startTimes(
  scene: Scene,
  start: () => Task,
): Promise<{ readonly task: Task; readonly text: string }> {
  const began = Date.now();
  const task = start();
  await task.line(isUp, 60_000);
  const ready = Date.now() - began;
  await scene.sh('client', `curl -sgf -m 5 http://${vips[0]}/`);
  return { task, text: `ready after ${ready} ms, first answer after ${Date.now() - began} ms` };
}
