// SPDX-License-Identifier: Apache-2.0
// The topology in which the kernel tests its own LVS: a client with a bridge, a director, a server with a leg on each side.
// Rules by ipvsadm, and 32 bytes through them at once. Addresses are on the director's kernel as well.
//
//   ns0 br0 10.0.0.2 ──┬── 10.0.0.1 veth10  ns1  veth12 172.16.0.1 ── 172.16.0.2 veth21 ┐
//                      └─────────────────────────────────── 10.0.0.3 veth20 ────────── ns2

import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { projectRoot } from '../../src/grpc/loader.js';
import { packetDevice } from '../../src/lab/plan.js';
import { receiveTunnels } from '../../src/lab/servers.js';
import { Scene } from '../support/scene.js';

const vip = '207.175.44.110';
const port = 8080;
/** From the rule to the last byte. */
const limitMs = 2000;

const configuration = `memory: { hugepages: off, connections: 65536 }
idle: sleep
ports:
  client: { device: "${packetDevice(0, 'veth10')}", interfaces: [{ addresses: [10.0.0.1/24] }] }
  server: { device: "${packetDevice(1, 'veth12')}", interfaces: [{ addresses: [172.16.0.1/24] }] }
`;

async function threeHosts(t: ExecutionContext): Promise<Scene> {
  const scene = await Scene.empty(t);
  const { world } = scene;
  for (const name of ['ns0', 'ns1', 'ns2']) await scene.host(name);
  await world.addBridge('ns0', 'br0');
  const end = (namespace: string, device: string, ...addresses: string[]) => ({ namespace, device, addresses });
  await world.link({ ...end('ns0', 'veth01'), bridge: 'br0' }, end('ns1', 'veth10', '10.0.0.1/24'));
  await world.link({ ...end('ns0', 'veth02'), bridge: 'br0' }, end('ns2', 'veth20', '10.0.0.3/24'));
  await world.link(end('ns1', 'veth12', '172.16.0.1/24'), end('ns2', 'veth21', '172.16.0.2/24'));
  await world.ip('ns0', ['address add 10.0.0.2/24 dev br0', `route add ${vip} via 10.0.0.1`]);
  await world.ip('ns1', [`address add ${vip}/32 dev lo label lo:1`]);
  return scene;
}

const vipOnServer = `ip address add ${vip}/32 dev lo
sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
for name in all default veth20 veth21; do sysctl -qw net.ipv4.conf.$name.rp_filter=0; done`;

interface Method {
  readonly title: string;
  /** Option of ipvsadm; DR is what it does without one. */
  readonly option: string;
  readonly ipForward: number;
  readonly prepareServer: (scene: Scene) => Promise<unknown>;
}

const methods: readonly Method[] = [
  { title: 'DR', option: '', ipForward: 1, prepareServer: (scene) => scene.sh('ns2', vipOnServer) },
  {
    title: 'NAT',
    option: '-m',
    ipForward: 1,
    prepareServer: (scene) => scene.sh('ns2', 'ip link delete veth20; ip route add default via 172.16.0.1 dev veth21'),
  },
  {
    title: 'TUN',
    option: '-i',
    ipForward: 0,
    prepareServer: async (scene) => {
      await scene.sh('ns2', vipOnServer);
      await receiveTunnels(scene.world, 'ns2', { 4: '172.16.0.2' });
    },
  },
];

for (const { title, option, ipForward, prepareServer } of methods) {
  test.serial(`${title}: 32 bytes arrive within ${limitMs / 1000} seconds of the rule`, async (t) => {
    const scene = await threeHosts(t);
    await scene.world.sysctl('ns1', { 'net.ipv4.ip_forward': ipForward });
    await prepareServer(scene);
    const sent = join(scene.directory, 'sent');
    const received = join(scene.directory, 'received');
    writeFileSync(sent, randomBytes(32));
    const server = scene.start('ns2', `socat -d -d -u -4 TCP-LISTEN:${port},reuseaddr CREATE:${received}`);
    await server.line((line) => line.includes('listening on'), 10_000);

    await scene.startDirector('ns1', configuration);
    await scene.sh(
      'ns1',
      `PATH=${projectRoot}/bin:$PATH
       ipvsadm -v >/dev/null
       ipvsadm -A -t ${vip}:${port} -s rr
       ipvsadm -a -t ${vip}:${port} -r 172.16.0.2:${port} ${option}`,
    );
    const ruleMade = Date.now();
    await scene.sh('ns0', `socat -u -4 STDIN TCP:${vip}:${port} <${sent}`, { timeoutMs: limitMs });
    t.is(await server.ended, 'exit code 0');
    const elapsed = Date.now() - ruleMade;

    t.deepEqual(readFileSync(received), readFileSync(sent));
    t.log(`${elapsed} ms`);
    t.true(elapsed < limitMs, `${elapsed} ms`);
    // It went through the director: there is its connection.
    t.regex(
      await scene.ipvsadm('-Lnc', 'ns1'),
      new RegExp(`TCP .* 10\\.0\\.0\\.2:\\d+ +${vip}:${port} +172\\.16\\.0\\.2:${port}`),
    );
  });
}
