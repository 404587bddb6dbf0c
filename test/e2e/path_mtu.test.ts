// SPDX-License-Identifier: Apache-2.0
// TUN over a path that is narrower than anybody's link: a router behind the director says so, to the director, since the
// tunnel is the director's. The client learns it from there, and a transfer does not stall.
//
//   client ── wan ── director ── lan ── router ── far, MTU 1400 ── rs1 ── wan

import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { formatEndpoint } from '../../src/config/keys.js';
import { thisMachine } from '../../src/config/machine.js';
import { cpusText, packetDevice } from '../../src/lab/plan.js';
import { receiveTunnels } from '../../src/lab/servers.js';
import { Scene } from '../support/scene.js';

const port = 5001;
const pathMtu = 1400;
const megabytes = 4;
const limitMs = 5000;

const families = [
  { title: 'IPv4', vip: '203.0.113.30', server: '10.1.0.11', listen: 'TCP4-LISTEN', outerHeader: 20 },
  { title: 'IPv6', vip: '2001:db8:1::30', server: '2001:db8:3::11', listen: 'TCP6-LISTEN', outerHeader: 40 },
] as const;

const configuration = (
  workers: number,
): string => `${cpusText(workers, thisMachine().cpus)}memory: { hugepages: off, connections: 65536 }
idle: sleep
ports:
  wan: { device: "${packetDevice(0, 'wan0')}", interfaces: [{ addresses: [203.0.113.1/24, "2001:db8:1::1/64"] }] }
  lan: { device: "${packetDevice(1, 'lan0')}", interfaces: [{ addresses: [10.0.0.1/24, "2001:db8:2::1/64"] }] }
routes:
  - { to: 10.1.0.0/24, via: 10.0.0.254 }
  - { to: "2001:db8:3::/64", via: "2001:db8:2::254" }
services:
${families
  .map(
    ({ vip, server }) => `  - address: "tcp:${formatEndpoint(vip, port)}"
    servers: [{ address: "${formatEndpoint(server, port)}", method: tun }]
`,
  )
  .join('')}`;

async function narrowPath(t: ExecutionContext): Promise<Scene> {
  const scene = await Scene.empty(t);
  const leg = (device: string, segment: string, ...addresses: string[]) => ({ device, segment, addresses });
  const narrow = { mtu: pathMtu };
  await scene.host('client', leg('eth0', 'wan', '203.0.113.200/24', '2001:db8:1::200/64'));
  await scene.host('director', leg('wan0', 'wan'), leg('lan0', 'lan'));
  await scene.host('router', leg('near', 'lan', '10.0.0.254/24', '2001:db8:2::254/64'), {
    ...leg('far', 'far', '10.1.0.254/24', '2001:db8:3::254/64'),
    ...narrow,
  });
  await scene.host('rs1', leg('out', 'wan', '203.0.113.101/24', '2001:db8:1::101/64'), {
    ...leg('far', 'far', '10.1.0.11/24', '2001:db8:3::11/64'),
    ...narrow,
  });
  await scene.sh('router', 'sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1');
  await scene.sh(
    'rs1',
    `for name in all default far out; do sysctl -qw net.ipv4.conf.$name.rp_filter=0; done
     sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
     ${families.map(({ vip }) => `ip address add ${vip} dev lo`).join('\n')}`,
  );
  await receiveTunnels(scene.world, 'rs1', { 4: '10.1.0.11', 6: '2001:db8:3::11' });
  return scene;
}

for (const workers of [1, 2])
  test.serial(
    `a transfer through TUN learns the MTU of a path of ${pathMtu} bytes, ${workers} worker${workers === 1 ? '' : 's'}`,
    async (t) => {
      const scene = await narrowPath(t);
      await scene.startDirector('director', configuration(workers));
      // Of a window's worth of errors no more wait for the client's MAC address than a neighbour's queue takes: it is known.
      await scene.sh('client', 'for gateway in 203.0.113.1 2001:db8:1::1; do ping -c 1 -W 3 $gateway; done');
      const sent = join(scene.directory, 'sent');
      writeFileSync(sent, randomBytes(megabytes << 20));

      for (const { title, vip, listen, outerHeader } of families) {
        const received = join(scene.directory, `received by ${title}`);
        const server = scene.start('rs1', `socat -d -d -u ${listen}:${port},reuseaddr 'CREATE:${received}'`);
        await server.line((line) => line.includes('listening on'), 10_000);
        const started = Date.now();
        await scene.sh('client', `socat -u OPEN:${sent} TCP:${formatEndpoint(vip, port)}`, { timeoutMs: limitMs });
        t.is(await server.ended, 'exit code 0');
        t.log(`${title}: ${megabytes} MB in ${Date.now() - started} ms`);
        t.true(Date.now() - started < limitMs);
        t.true(readFileSync(received).equals(readFileSync(sent)), `${title}: what was received is what was sent`);
        t.regex(await scene.sh('client', `ip route get ${vip}`), new RegExp(` mtu ${pathMtu - outerHeader}\\b`));
      }

      const { verdicts } = await scene.api().getStatistics({});
      t.deepEqual(
        verdicts.filter(({ drop, packets }) => drop && packets !== '0'),
        [],
      );
      t.true(
        verdicts.some(({ verdict, packets }) => verdict === 'tunnel_error_taken' && Number(packets) >= families.length),
      );
    },
  );
