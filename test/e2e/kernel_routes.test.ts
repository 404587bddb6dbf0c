// SPDX-License-Identifier: Apache-2.0
// What the operator (or FRR, BIRD, keepalived) does to a kernel port's interface, the director does too: addresses, routes,
// MTU, by `ip` alone, while traffic flows.

import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { projectRoot } from '../../src/grpc/loader.js';
import { families, packetDevice } from '../../src/lab/plan.js';
import { parseEntry } from '../../src/supervisor/child.js';
import { Scene } from '../support/scene.js';

const own = '203.0.113.1';
const vip = '203.0.113.10';
const remote = '192.0.2.1';
const support = join(projectRoot, 'test/support');

const configuration = `memory: { hugepages: off, connections: 65536 }
idle: sleep
ports:
  wan:
    device: "${packetDevice(0, 'wan0')}"
    kernel: { name: fk0 }
    interfaces: [{ addresses: [${own}/24] }]
  lan:
    device: "${packetDevice(1, 'lan0')}"
    kernel: { name: fk1 }
    interfaces: [{ addresses: [10.0.0.1/24] }]
routes:
  - { to: 198.51.100.0/24, via: 203.0.113.200 }
services:
  - address: tcp:${vip}:80
    servers: [ { address: "${remote}:80", method: nat } ]
`;

/** client ── wan ── director ── lan ── two routers, who both have 192.0.2.1 behind them, each a web server of its own. */
async function twoRouters(t: ExecutionContext): Promise<Scene> {
  const scene = await Scene.empty(t);
  const six = families.includes(6) ? ['2001:db8:1::200/64'] : [];
  await scene.host('client', { device: 'eth0', segment: 'wan', addresses: ['203.0.113.200/24', ...six] });
  await scene.host('director', { device: 'wan0', segment: 'wan' }, { device: 'lan0', segment: 'lan' });
  for (const [number, router] of ['first', 'second'].entries()) {
    await scene.host(router, { device: 'eth0', segment: 'lan', addresses: [`10.0.0.${11 + number}/24`] });
    await scene.sh(router, `ip address add ${remote}/32 dev lo; ip route add default via 10.0.0.1`);
    await scene.nginx(router);
  }
  await scene.sh('client', `ip route add ${remote}/32 via ${own}; ip route add 10.9.9.9/32 via ${own}`);
  await scene.startDirector('director', configuration);
  return scene;
}

/** Runs shell text on the director and returns the message of the event that it causes. */
async function event(scene: Scene, kind: string, shell: string): Promise<string> {
  const seen = scene.director.task.line((line) => parseEntry(line)?.kind === kind, 10_000);
  await scene.sh('director', shell);
  return parseEntry(await seen)?.msg ?? '';
}

interface Routes {
  readonly routes: readonly {
    readonly destination: string;
    readonly via: string;
    readonly interface: string;
    readonly metric: number;
    readonly protocol: string;
    readonly from_kernel: boolean;
    readonly in_force: boolean;
  }[];
  readonly without_room: number;
  readonly not_followed: number;
}

const routes = async (scene: Scene): Promise<Routes> => JSON.parse(await scene.fulcrum('route list -o json'));

async function addresses(scene: Scene, port: string): Promise<readonly string[]> {
  const { ports } = JSON.parse(await scene.fulcrum('port list -o json'));
  return ports.find(({ name }: { name: string }) => name === port).interfaces[0].addresses;
}

const curl = (host: string): string => `curl -sS -m 3 http://${host}/ 2>&1 || true`;

test.serial(
  'an address that is added to the interface is the director’s at once, and as long as it is there',
  async (t) => {
    const scene = await twoRouters(t);
    t.regex(await scene.sh('client', 'ping -c 1 -W 1 203.0.113.77 || true'), /0 received/);
    t.is(await event(scene, 'address_added', 'ip address add 203.0.113.77/24 dev fk0'), '203.0.113.77/24 on wan (fk0)');
    t.deepEqual(await addresses(scene, 'wan'), [`${own}/24`, '203.0.113.77/24']);
    t.regex(await scene.sh('client', 'ip neighbor flush all; ping -c 2 -i 0.2 -W 3 203.0.113.77'), /2 received/);
    // Not of any link: who has a route there reaches it, too.
    await event(scene, 'address_added', 'ip address add 10.9.9.9/32 dev fk1');
    t.regex(await scene.sh('client', 'ping -c 2 -i 0.2 -W 3 10.9.9.9'), /2 received/);
    // With its subnet.
    await event(scene, 'route_added', 'ip address add 10.7.0.1/24 dev fk1');
    await scene.sh('first', 'ip address add 10.7.0.11/24 dev eth0');
    await scene.sh('client', `ip route add 10.7.0.0/24 via ${own}`);
    t.regex(await scene.sh('client', 'ping -c 2 -i 0.2 -W 3 10.7.0.11'), /2 received/);

    await event(scene, 'address_removed', 'ip address del 203.0.113.77/24 dev fk0');
    t.deepEqual(await addresses(scene, 'wan'), [`${own}/24`]);
    t.regex(await scene.sh('client', 'ip neighbor flush all; ping -c 1 -W 1 203.0.113.77 || true'), /0 received/);
    t.regex(await scene.sh('client', `ping -c 1 -W 3 ${own}`), /1 received/);
  },
);

test.serial('IPv6: an address counts once it is known to be nobody else’s', async (t) => {
  if (!families.includes(6)) return t.pass('this kernel has no IPv6');
  const scene = await twoRouters(t);
  const ofLink = scene.director.task.line((line) => /"address_added".*fe80::/.test(line), 20_000);
  const dad = 'echo 1 > /proc/sys/net/ipv6/conf/fk0/accept_dad; echo 0 > /proc/sys/net/ipv6/conf/fk0/disable_ipv6';
  const seen = await event(scene, 'address_added', `${dad}; ip -6 address add 2001:db8:1::77/64 dev fk0`);
  t.is(seen, '2001:db8:1::77/64 on wan (fk0)');
  t.regex(await scene.sh('client', 'ping -c 2 -i 0.2 -W 3 2001:db8:1::77'), /2 received/);
  // And so it speaks with its neighbours.
  await ofLink;
  t.true((await addresses(scene, 'wan')).some((address) => address.startsWith('fe80::')));
  // The client has this one.
  const monitor = scene.start('director', 'ip -6 monitor address');
  const refused = monitor.line((line) => line.includes('dadfailed'), 20_000);
  await scene.sh('director', 'ip -6 address add 2001:db8:1::200/64 dev fk0');
  await refused;
  t.false((await addresses(scene, 'wan')).includes('2001:db8:1::200/64'));
});

test.serial('routes: added, replaced by the second gateway, by metric, deleted; connections go along', async (t) => {
  const scene = await twoRouters(t);
  t.regex(await scene.sh('client', curl(remote)), /No route to host|unreachable|Could not connect|Couldn't connect/i);
  t.is(
    await event(scene, 'route_added', `ip route add 192.0.2.0/24 via 10.0.0.11 dev fk1 proto bgp metric 20`),
    '192.0.2.0/24 via 10.0.0.11 on lan (bgp, metric 20)',
  );
  t.is(await scene.sh('client', curl(remote)), 'first');
  t.is(await scene.sh('client', curl(vip)), 'first');

  t.is(
    await event(scene, 'route_changed', `ip route replace 192.0.2.0/24 via 10.0.0.12 dev fk1 proto bgp metric 20`),
    '192.0.2.0/24 via 10.0.0.12 on lan (bgp, metric 20)',
  );
  t.is(await scene.sh('client', curl(remote)), 'second');
  t.is(await scene.sh('client', curl(vip)), 'second');

  // A better one, a longer one, and one that is worse.
  await event(scene, 'route_changed', 'ip route add 192.0.2.0/24 via 10.0.0.11 dev fk1 metric 10');
  t.is(await scene.sh('client', curl(vip)), 'first');
  await event(
    scene,
    'route_added',
    'ip route add 192.0.2.1/32 via 10.0.0.12 dev fk1; ip route add 192.0.2.0/24 via 10.0.0.12 dev fk1 metric 50',
  );
  t.is(await scene.sh('client', curl(vip)), 'second');
  const listed = (await routes(scene)).routes.filter(({ destination }) => destination.startsWith('192.0.2.'));
  t.deepEqual(
    listed.map(({ destination, via, metric, protocol, from_kernel }) => ({
      destination,
      via,
      metric,
      protocol,
      from_kernel,
    })),
    [
      { destination: '192.0.2.0/24', via: '10.0.0.11', metric: 10, protocol: 'boot', from_kernel: true },
      { destination: '192.0.2.1/32', via: '10.0.0.12', metric: 0, protocol: 'boot', from_kernel: true },
    ],
  );
  await event(scene, 'route_removed', 'ip route del 192.0.2.1/32');
  t.is(await scene.sh('client', curl(vip)), 'first');

  // Nowhere, and nobody is told.
  await event(scene, 'route_added', 'ip route add blackhole 192.0.2.1/32');
  t.regex(await scene.sh('client', curl(remote)), /timed out/i);
  const answer = await scene.api().getStatistics({});
  t.true(Number(answer.verdicts.find(({ verdict }) => verdict === 'route_blackhole')?.packets) > 0);
  await event(scene, 'route_removed', 'ip route del blackhole 192.0.2.1/32');

  t.regex(
    await event(
      scene,
      'route_multipath',
      'ip route add 10.50.0.0/16 nexthop via 10.0.0.11 dev fk1 nexthop via 10.0.0.12 dev fk1',
    ),
    /^the route to 10\.50\.0\.0\/16 has 2 next hops/,
  );
  // What was configured and is deleted is gone; other tables are not looked at.
  await event(scene, 'route_removed', 'ip route del 198.51.100.0/24');
  await scene.sh('director', 'ip route add 192.0.77.0/24 via 10.0.0.11 dev fk1 table 77');
  await event(scene, 'route_added', 'ip route add 192.0.78.0/24 via 10.0.0.11 dev fk1');
  const destinations = (await routes(scene)).routes.map(({ destination }) => destination);
  t.true(destinations.includes('192.0.78.0/24'));
  t.false(destinations.includes('192.0.77.0/24'));
  t.false(destinations.includes('198.51.100.0/24'));
});

test.serial(
  'thousands of routes come and go at once, more than may wait in a socket, and a session lives on',
  async (t) => {
    const scene = await twoRouters(t);
    const count = 20_000;
    const batch = (verb: string): string =>
      `python3 -c "
for n in range(${count}): print(f'route ${verb} 172.{16 + (n >> 12)}.{n >> 4 & 255}.{(n & 15) << 4}/28 via 10.0.0.11 dev fk1 proto bgp')" | ip -batch -`;
    await scene.sh('director', `ip route add ${remote}/32 via 10.0.0.11 dev fk1`);
    await scene
      .start('first', `socat -d -d TCP-LISTEN:2222,bind=${remote},fork PIPE`)
      .line((line) => line.includes('listening on'), 10_000);
    const session = scene.sh('client', `exec python3 ${support}/tcp_session.py ${remote} 2222 200 0.02`);
    const in_force = async (wanted: number): Promise<Routes> => {
      for (let tries = 0; ; tries++) {
        const list = await routes(scene);
        const bgp = list.routes.filter(({ protocol }) => protocol === 'bgp').length;
        if (bgp === wanted || tries === 60) return list;
        await scene.sh('director', 'sleep 0.2');
      }
    };
    await scene.sh('director', batch('add'));
    const full = await in_force(count);
    t.is(full.routes.filter(({ protocol }) => protocol === 'bgp').length, count);
    t.is(full.without_room, 0);
    t.true(full.routes.every((route) => route.in_force));
    await scene.sh('director', batch('del'));
    t.is((await in_force(0)).routes.filter(({ protocol }) => protocol === 'bgp').length, 0);
    const result = await session;
    t.log(result.replaceAll('\n', ', '));
    t.regex(result, /^200 lines/m);
  },
);

test.serial(
  'the interface goes down, up and away: balancing goes on, and what was configured is there when it comes up',
  async (t) => {
    const scene = await twoRouters(t);
    await event(scene, 'route_added', `ip route add 192.0.2.0/24 via 10.0.0.11 dev fk1`);
    t.is(await scene.sh('client', curl(vip)), 'first');
    await event(scene, 'kernel_interface_down', 'ip link set fk1 down');
    t.is(await scene.sh('client', curl(vip)), 'first');
    t.is(await scene.sh('director', 'ip route show dev fk1'), '');
    // As for every interface of Linux: what somebody added is his to add again.
    const gone = scene.director.task.line((line) => parseEntry(line)?.kind === 'route_removed', 10_000);
    await event(scene, 'kernel_interface_up', 'ip link set fk1 up');
    await gone;
    t.regex(await scene.sh('director', 'ip route show dev fk1'), /^10\.0\.0\.0\/24 /m);

    await event(scene, 'mtu_changed', 'ip link set fk0 mtu 1400');
    t.regex(await scene.fulcrum('port list'), /^wan .* 1400 /m);
    t.regex(await scene.sh('client', `ping -c 1 -W 3 -s 1400 ${own}`), /1 received/);
    t.regex(await event(scene, 'mtu_refused', 'ip link set fk0 mtu 4000'), /fk0 has MTU 4000, its port carries 1500/);

    // Deleted, it is gone until the next start; nobody else minds, and nobody waits for it at full speed.
    await event(scene, 'route_added', `ip route add 192.0.2.0/24 via 10.0.0.11 dev fk1`);
    await event(scene, 'kernel_interface_gone', 'ip link del fk1');
    t.is(await scene.sh('client', curl(vip)), 'first');
    const pid = await scene.pidOf('dataplane');
    const ticks = async (): Promise<number> => {
      const thread = `for t in /proc/${pid}/task/*; do grep -q fulcrum-kernel $t/comm && cut -d ' ' -f 14,15 $t/stat; done`;
      const [user, system] = (await scene.sh('director', `${thread} || true`)).split(' ');
      return Number(user) + Number(system);
    };
    const before = await ticks();
    t.true(before > 0);
    await scene.sh('director', 'sleep 1');
    t.true((await ticks()) - before < 50, `${(await ticks()) - before} hundredths of a second in one`);
  },
);
