// SPDX-License-Identifier: Apache-2.0
// A director in networks of several kinds: two arms, one arm, VLANs on a trunk, its VIP on the host's own lo.

import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { projectRoot } from '../../src/grpc/loader.js';
import { packetDevice } from '../../src/lab/plan.js';
import { Capture } from '../support/capture.js';
import { Scene } from '../support/scene.js';

const vip = '203.0.113.10';

const common = 'memory: { hugepages: off, connections: 65536 }\nidle: sleep\n';

const twoPorts = `${common}ports:
  wan: { device: "${packetDevice(0, 'wan0')}", interfaces: [{ addresses: [203.0.113.1/24] }] }
  lan: { device: "${packetDevice(1, 'lan0')}", interfaces: [{ addresses: [10.0.0.1/24] }] }
`;

const natService = (scheduler: string, ...servers: readonly string[]): string =>
  `services:\n  - address: tcp:${vip}:80\n    scheduler: ${scheduler}\n    servers:\n${servers
    .map((server) => `      - { address: "${server}:80", method: nat }\n`)
    .join('')}`;

/** client ── wan ── director ── lan ── rs1, which has the director as its default gateway. */
async function twoArms(t: ExecutionContext): Promise<Scene> {
  const scene = await Scene.empty(t);
  await scene.host('client', { device: 'eth0', segment: 'wan', addresses: ['203.0.113.200/24'] });
  await scene.host('director', { device: 'wan0', segment: 'wan' }, { device: 'lan0', segment: 'lan' });
  await scene.host('rs1', { device: 'eth0', segment: 'lan', addresses: ['10.0.0.11/24'] });
  await scene.sh('rs1', 'ip route add default via 10.0.0.1');
  await scene.sh('client', 'ip route add 10.0.0.0/24 via 203.0.113.1');
  await scene.nginx('rs1');
  return scene;
}

const ask = (scene: Scene, address = vip): Promise<string> => scene.sh('client', `curl -sS -m 3 http://${address}/`);

test.serial(
  "the VIP is on the host's lo, too: its kernel is silent while the director runs, and only then",
  async (t) => {
    const scene = await twoArms(t);
    await scene.sh('director', `ip address add ${vip}/32 dev lo; ip address add 203.0.113.1/24 dev wan0`);
    await scene.nginx('director');
    t.is(await ask(scene), 'director');

    const director = await scene.startDirector('director', twoPorts + natService('rr', '10.0.0.11'));
    await scene.sh('client', 'ip neigh flush dev eth0');
    const capture = await Capture.start(scene, 'client', 'eth0', 'arp or tcp or icmp');
    for (let number = 0; number < 10; number++) t.is(await ask(scene), 'rs1');
    await scene.sh('client', `ip neigh flush dev eth0; ! curl -sS -m 3 http://${vip}:81/ 2>/dev/null`);
    await capture.stop();

    t.is(await capture.count(`tcp.flags.reset == 1 && tcp.srcport == 80`), 0);
    // One answer for one question: the kernel has the same addresses, and says nothing.
    const questions = await capture.count(`arp.opcode == 1 && arp.dst.proto_ipv4 == ${vip}`);
    t.true(questions >= 2);
    t.is(await capture.count(`arp.opcode == 2 && arp.src.proto_ipv4 == ${vip}`), questions);
    t.is(await capture.count('tcp.flags.syn == 1 && tcp.flags.ack == 1'), 10);

    await director.stop();
    t.is(await ask(scene), 'director');
  },
);

test.serial('one arm: NAT and DR by a single port', async (t) => {
  const scene = await Scene.empty(t);
  await scene.host('client', { device: 'eth0', segment: 'lan', addresses: ['203.0.113.200/24'] });
  await scene.host('director', { device: 'eth0', segment: 'lan' });
  const addresses = ['10.0.0.11/24', '203.0.113.101/24'];
  await scene.host('rs1', { device: 'eth0', segment: 'lan', addresses });
  await scene.sh(
    'rs1',
    `sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
     sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0
     ip address add 203.0.113.20/32 dev lo
     ip rule add from 10.0.0.11 lookup 100
     ip route add default via 10.0.0.1 dev eth0 table 100`,
  );
  await scene.nginx('rs1');
  await scene.startDirector(
    'director',
    `${common}ports:
  lan: { device: "${packetDevice(0, 'eth0')}", interfaces: [{ addresses: [203.0.113.1/24, 10.0.0.1/24] }] }
${natService('rr', '10.0.0.11')}  - address: tcp:203.0.113.20:80
    servers: [ { address: "10.0.0.11:80", method: dr } ]
`,
  );
  for (const address of [vip, '203.0.113.20', vip]) t.is(await ask(scene, address), 'rs1');
});

test.serial('VLANs: client and server on two of them, both on one trunk', async (t) => {
  const scene = await Scene.empty(t);
  const { world } = scene;
  for (const [name, address] of [
    ['client', '203.0.113.200/24'],
    ['rs1', '10.0.0.11/24'],
  ] as const) {
    await scene.host(name);
    await world.link(
      { namespace: name, device: 'eth0', addresses: [address] },
      { namespace: 'net', device: `access-${name}` },
    );
  }
  await scene.host('director');
  await world.link({ namespace: 'director', device: 'trunk0' }, { namespace: 'net', device: 'trunk' });
  await scene.sh('net', 'for device in trunk access-client access-rs1; do ip link set $device promisc on; done');
  const program = join(projectRoot, 'test/support/vlan_switch.py');
  const vlanSwitch = scene.start('net', `python3 ${program} trunk access-client=100 access-rs1=200`);
  await vlanSwitch.line((line) => line === 'ready', 10_000);
  await scene.sh('rs1', 'ip route add default via 10.0.0.1');
  await scene.sh('client', 'ip route add 10.0.0.0/24 via 203.0.113.1');
  await scene.nginx('rs1');

  await scene.startDirector(
    'director',
    `${common}ports:
  trunk:
    device: "${packetDevice(0, 'trunk0')}"
    interfaces:
      - { vlan: 100, addresses: [203.0.113.1/24] }
      - { vlan: 200, addresses: [10.0.0.1/24] }
${natService('rr', '10.0.0.11')}`,
  );
  const capture = await Capture.start(scene, 'client', 'eth0', 'tcp');
  for (let number = 0; number < 5; number++) t.is(await ask(scene), 'rs1');
  t.regex(await scene.sh('client', 'ping -c 1 -W 3 203.0.113.1'), /1 received/);
  // The server's own traffic, from one VLAN to the other.
  t.regex(await scene.sh('rs1', 'ping -c 1 -W 3 203.0.113.200'), /1 received/);
  await capture.stop();
  t.deepEqual((await capture.checksums('203.0.113.200')).wrong, []);
  t.is(await capture.count('vlan'), 0);
});

test.serial('what is not balanced is routed, with TTL and MTU as a router has them', async (t) => {
  const scene = await twoArms(t);
  await scene.nginx('client');
  await scene.startDirector(
    'director',
    twoPorts.replace('wan: { ', 'wan: { mtu: 1400, ') + natService('rr', '10.0.0.11'),
  );
  t.is(await scene.sh('rs1', 'curl -sS -m 3 http://203.0.113.200/'), 'client');
  t.regex(await scene.sh('rs1', 'ping -c 3 -i 0.2 -W 3 203.0.113.200'), /ttl=63/);
  t.regex(
    await scene.sh('rs1', 'ping -c 1 -W 3 -t 1 203.0.113.200 || true'),
    /From 10\.0\.0\.1 .*Time to live exceeded/,
  );
  t.regex(
    await scene.sh('rs1', 'ping -c 1 -W 3 -M do -s 1400 203.0.113.200 || true'),
    /From 10\.0\.0\.1 .*\(mtu = 1400\)/,
  );
  t.regex(await scene.sh('rs1', 'ping -c 1 -W 3 -M do -s 1372 203.0.113.200'), /1 received/);
});

test.serial('VIPs and own addresses answer echo requests; a service without servers refuses', async (t) => {
  const scene = await twoArms(t);
  await scene.startDirector('director', twoPorts + natService('rr', '10.0.0.11'));
  for (const address of [vip, '203.0.113.1', '10.0.0.1'])
    t.regex(await scene.sh('client', `ping -c 3 -i 0.2 -W 3 ${address}`), /3 received/);
  await scene.fulcrum(`server edit tcp:${vip}:80 10.0.0.11:80 --weight 0`);
  t.regex(
    await scene.sh('client', `curl -sS -m 3 http://${vip}/ 2>&1 || true`),
    /after \d ms: Couldn't connect to server/,
  );
  await scene.fulcrum(`server edit tcp:${vip}:80 10.0.0.11:80 --weight 1`);
  t.is(await ask(scene), 'rs1');
});

test.serial('UDP by NAT: a socket keeps its server, sockets take turns, none goes on without checksum', async (t) => {
  const scene = await twoArms(t);
  await scene.host('rs2', { device: 'eth0', segment: 'lan', addresses: ['10.0.0.12/24'] });
  await scene.sh('rs2', 'ip route add default via 10.0.0.1');
  const program = join(projectRoot, 'test/support/udp_echo.py');
  for (const name of ['rs1', 'rs2'])
    await scene.start(name, `python3 ${program} serve ${name} 5353`).line((line) => line === 'ready', 10_000);
  await scene.startDirector('director', twoPorts);
  await scene.ipvsadm(`-A -u ${vip}:53 -s rr`);
  await scene.ipvsadm(`-a -u ${vip}:53 -r 10.0.0.11:5353 -m`);
  await scene.ipvsadm(`-a -u ${vip}:53 -r 10.0.0.12:5353 -m`);

  const outside = await Capture.start(scene, 'net', 'wan-director');
  const inside = await Capture.start(scene, 'net', 'lan-director');
  const query = (words: string) => scene.sh('client', `python3 ${program} ask ${vip} 53 ${words}`);
  // The server added last is the first in the list.
  t.is(await query('3'), 'rs2\nrs2\nrs2');
  t.is(await query('2 nosum'), 'rs1\nrs1');
  t.is(await query('1'), 'rs2');
  for (const capture of [outside, inside]) {
    await capture.stop();
    const { packets, wrong } = await capture.checksums();
    t.is(packets, 12);
    t.deepEqual(wrong, []);
  }
  // LVS computes the checksum that the client left out.
  t.is(await outside.count('udp.checksum == 0'), 2);
  t.is(await inside.count('udp.checksum == 0'), 0);
});

test.serial('a VIP announces itself; standby is silent but forwards; activating announces it again', async (t) => {
  const scene = await twoArms(t);
  const gratuitous = `arp and arp[14:4] = 0x${vipInHex()} and arp[24:4] = 0x${vipInHex()}`;
  const announced = await Capture.packet(scene, 'client', 'eth0', gratuitous, 60_000);
  await scene.startDirector('director', twoPorts + natService('rr', '10.0.0.11'));
  await announced.seen;
  t.is(await ask(scene), 'rs1');

  await scene.fulcrum(`vip standby ${vip}`);
  const mac = await scene.sh('director', 'cat /sys/class/net/wan0/address');
  await scene.sh('client', `ip neigh flush dev eth0; ip neigh show ${vip}`);
  t.regex(
    await scene.sh('client', `curl -sS -m 4 http://${vip}/ 2>&1 || true`),
    /timed out|No route|Couldn't connect/i,
  );
  await scene.sh('client', `ip neigh replace ${vip} lladdr ${mac} dev eth0 nud permanent`);
  t.is(await ask(scene), 'rs1');
  await scene.sh('client', `ip neigh del ${vip} dev eth0`);

  const again = await Capture.packet(scene, 'client', 'eth0', gratuitous);
  await scene.fulcrum(`vip activate ${vip}`);
  await again.seen;
  t.is(await ask(scene), 'rs1');
});

const vipInHex = (): string =>
  vip
    .split('.')
    .map((part) => Number(part).toString(16).padStart(2, '0'))
    .join('');
