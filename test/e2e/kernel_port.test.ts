// SPDX-License-Identifier: Apache-2.0
// A director whose kernel is reached by its own addresses, through the ports that DPDK has taken from it.

import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { projectRoot } from '../../src/grpc/loader.js';
import { families, packetDevice } from '../../src/lab/plan.js';
import { Capture } from '../support/capture.js';
import { Scene } from '../support/scene.js';

const vip = '203.0.113.10';
const own = '203.0.113.1';
const own6 = '2001:db8:1::1';
const support = join(projectRoot, 'test/support');

const common = 'memory: { hugepages: off, connections: 65536 }\nidle: sleep\n';

interface Kernel {
  readonly workers?: string;
  readonly limits?: string;
}

const configuration = ({ workers = '', limits = '{}' }: Kernel = {}): string => `${common}${workers}ports:
  wan:
    device: "${packetDevice(0, 'wan0')}"
    kernel: { name: fk0, limits: ${limits} }
    interfaces: [{ addresses: [${own}/24, "${own6}/64"] }]
  lan:
    device: "${packetDevice(1, 'lan0')}"
    kernel: { name: fk1 }
    interfaces: [{ addresses: [10.0.0.1/24] }]
routes:
  - { to: 198.51.100.0/24, via: 203.0.113.200 }
services:
  - address: tcp:${vip}:80
    servers: [ { address: "10.0.0.11:80", method: nat } ]
  - address: udp:${vip}:9
    servers: [ { address: "10.0.0.11:9", method: nat } ]
`;

/** client ── wan ── director ── lan ── rs1, which has the director as its default gateway. */
async function twoArms(t: ExecutionContext, kernel: Kernel = {}): Promise<Scene> {
  const scene = await Scene.empty(t);
  const six = families.includes(6) ? ['2001:db8:1::200/64'] : [];
  await scene.host('client', { device: 'eth0', segment: 'wan', addresses: ['203.0.113.200/24', ...six] });
  await scene.host('director', { device: 'wan0', segment: 'wan' }, { device: 'lan0', segment: 'lan' });
  await scene.host('rs1', { device: 'eth0', segment: 'lan', addresses: ['10.0.0.11/24'] });
  await scene.sh('rs1', 'ip route add default via 10.0.0.1');
  await scene.sh('client', 'ip route add 10.0.0.0/24 via 203.0.113.1');
  await scene.nginx('rs1');
  await scene.startDirector('director', configuration(kernel));
  return scene;
}

const echoServer = async (scene: Scene, port: number): Promise<void> => {
  const listening = scene.start('director', `socat -d -d TCP-LISTEN:${port},bind=${own},reuseaddr,fork PIPE`);
  await listening.line((line) => line.includes('listening on'), 10_000);
};

/** Packets by verdict. */
async function verdicts(scene: Scene): Promise<ReadonlyMap<string, number>> {
  const answer = await scene.api().getStatistics({});
  return new Map(answer.verdicts.map(({ verdict, packets }) => [verdict, Number(packets)]));
}

test.serial("the kernel has the director's MAC and addresses, and they go when it does", async (t) => {
  const scene = await twoArms(t);
  const shown = JSON.parse(await scene.sh('director', 'ip -j address show dev fk0'))[0];
  const mac = await scene.sh('director', 'ip -j link show dev wan0');
  t.is(shown.address, JSON.parse(mac)[0].address);
  t.is(shown.mtu, 1500);
  const addresses = shown.addr_info.map((at: { local: string; prefixlen: number }) => `${at.local}/${at.prefixlen}`);
  t.true(addresses.includes(`${own}/24`));
  if (families.includes(6)) {
    t.true(addresses.includes(`${own6}/64`));
    t.false(shown.addr_info.some((at: { tentative?: boolean }) => at.tentative === true));
  }
  t.regex(
    await scene.sh('director', 'ip route show dev fk0'),
    /^198\.51\.100\.0\/24 via 203\.0\.113\.200 .*metric 4096/m,
  );
  // A dataplane that was killed leaves nothing that is in the next one's way.
  await scene.kill('dataplane');
  t.regex(await scene.sh('client', `ping -c 1 -W 5 ${own}`), /1 received/);
  await scene.director.stop();
  t.is(await scene.sh('director', 'ip -br link show type tun'), '');
});

test.serial(
  'ping and traceroute meet the kernel, which is seen by tcpdump; VIPs are answered without it',
  async (t) => {
    const scene = await twoArms(t);
    const capture = await Capture.start(scene, 'director', 'fk0');
    t.regex(await scene.sh('client', `ping -c 3 -i 0.2 -W 3 ${own}`), /3 received/);
    // Another interface's address, by this port; and what is longer than a frame.
    t.regex(await scene.sh('client', 'ping -c 1 -W 3 10.0.0.1'), /1 received/);
    t.regex(await scene.sh('client', `ping -c 1 -W 3 -s 4000 ${own}`), /1 received/);
    await scene.sh('client', `ip route add ${own}/32 dev eth0 mtu lock 576`);
    t.regex(await scene.sh('client', `ping -c 1 -W 3 -s 60000 ${own}`), /1 received/);
    await scene.sh('client', `ip route del ${own}/32 dev eth0`);
    t.regex(await scene.sh('client', `ping -c 1 -W 3 ${vip}`), /1 received/);
    if (families.includes(6)) t.regex(await scene.sh('client', `ping -c 1 -W 3 ${own6}`), /1 received/);
    // As traceroute does it: the last hop says that the port is not there, the one before that the TTL is over.
    const probe = (target: string): string =>
      `python3 -c "
import socket
probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
probe.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
probe.setsockopt(socket.IPPROTO_IP, 11, 1)
probe.settimeout(5)
probe.connect(('${target}', 33434))
probe.send(b'x')
try: probe.recv(1)
except OSError as error: print(error.errno)
_, told, _, _ = probe.recvmsg(1, 1024, socket.MSG_ERRQUEUE)
print(socket.inet_ntoa(told[0][2][20:24]))"`;
    t.is(await scene.sh('client', probe(own)), `111\n${own}`);
    t.is(await scene.sh('client', probe('10.0.0.11')), `113\n${own}`);
    await capture.stop();
    t.true((await capture.count(`icmp.type == 8 && ip.dst == ${own}`)) >= 4);
    t.true((await capture.count(`icmp.type == 0 && ip.src == ${own}`)) >= 4);
    t.is(await capture.count(`udp.dstport == 33434 && ip.dst == ${own} && !icmp`), 1);
    t.is(await capture.count(`ip.addr == ${vip}`), 0);
    t.deepEqual((await capture.checksums()).wrong, []);
    const seen = await verdicts(scene);
    t.true((seen.get('to_kernel') ?? 0) >= 7);
    t.is(seen.get('icmp_echo_answered'), 1);
    t.is(seen.get('kernel_rate_limited'), 0);
  },
);

test.serial('the host itself speaks through its ports: to servers, to clients, to groups', async (t) => {
  const scene = await twoArms(t);
  await scene.nginx('client');
  t.is(await scene.sh('director', 'curl -sS -m 5 http://10.0.0.11/'), 'rs1');
  t.is(await scene.sh('director', `curl -sS -m 5 --interface ${own} http://203.0.113.200/`), 'client');
  if (families.includes(6)) t.regex(await scene.sh('director', 'ping -c 1 -W 5 2001:db8:1::200'), /1 received/);
  t.regex(
    await scene.sh('director', 'curl -sS -m 5 http://10.0.0.11:81/ 2>&1 || true'),
    /after \d+ ms: (Couldn't connect to server|Could not connect)/,
  );
  // Who is balanced comes through all the same, and asks the kernel nothing.
  const before = Number(
    await scene.sh('director', 'cat /proc/self/net/dev | sed -n "s/.*fk0: *[0-9]* *\\([0-9]*\\).*/\\1/p"'),
  );
  for (let number = 0; number < 10; number++) t.is(await scene.sh('client', `curl -sS -m 3 http://${vip}/`), 'rs1');
  const after = Number(
    await scene.sh('director', 'cat /proc/self/net/dev | sed -n "s/.*fk0: *[0-9]* *\\([0-9]*\\).*/\\1/p"'),
  );
  t.true(after - before < 5, `${after - before} packets`);

  const group = scene.start('director', 'socat -d -d -u UDP4-RECV:9999,ip-add-membership=239.1.2.3:fk0 -');
  await group.line((line) => line.includes('starting data transfer'), 10_000);
  const heard = group.line((line) => line === 'to all of you', 10_000);
  await scene.sh(
    'client',
    'echo to all of you | socat -u - UDP4-DATAGRAM:239.1.2.3:9999,ip-multicast-if=203.0.113.200',
  );
  await heard;
  t.pass();
});

test.serial('a session with the host survives floods on the VIP and on the host', async (t) => {
  t.timeout(180_000);
  const scene = await twoArms(t, { limits: '{ rest: 100 }' });
  await echoServer(scene, 2222);
  const session = `exec python3 ${support}/tcp_session.py ${own} 2222`;
  t.regex(await scene.sh('client', `${session} 20 0.02`), /^20 lines/m);

  const flood = (target: string): string => `python3 ${support}/udp_flows.py ${target} 9 198.51.100.1 2000 10 0`;
  const capture = await Capture.start(scene, 'director', 'fk0', 'tcp port 2222 or icmp');
  const floods = [vip, own].map((target) => scene.sh('client', `exec ${flood(target)}`));
  const ping = scene.sh('client', `ping -c 10 -i 0.2 -W 5 ${own}`);
  const result = await scene.sh('client', `${session} 150 0.02`, { timeoutMs: 60_000 });
  t.log(result.replaceAll('\n', ', '));
  t.regex(result, /^150 lines/m);
  // What the NIC loses for want of room the director never sees, be it ever so important.
  const answered = Number(/(\d+) received/.exec(await ping)?.[1]);
  t.true(answered >= 5, `${answered} of 10 answered`);
  t.log(`floods: ${(await Promise.all(floods)).join(', ')}`);
  await capture.stop();
  // What the session and ping were, the kernel's interface shows, both ways; of the VIP nothing.
  t.true((await capture.count('tcp.dstport == 2222 && tcp.len > 0')) >= 150);
  t.true((await capture.count('tcp.srcport == 2222 && tcp.len > 0')) >= 150);
  // Of what has reached the director nothing is lost: all was carried to the kernel, and every answer back.
  t.is(await capture.count('icmp.type == 8'), answered);
  t.is(await capture.count('icmp.type == 0'), answered);
  t.is(await capture.count(`ip.addr == ${vip}`), 0);

  const seen = await verdicts(scene);
  t.true((seen.get('kernel_rate_limited') ?? 0) > 10_000, `${seen.get('kernel_rate_limited')}`);
  const { ports } = JSON.parse(await scene.fulcrum('port list -o json')) as { ports: readonly Port[] };
  const [kernel] = ports.find(({ name }) => name === 'wan')?.kernel ?? [];
  t.is(kernel?.name, 'fk0');
  const of = (name: string) => kernel?.classes.find((at) => at.name === name);
  t.is(of('rest')?.rate_limited_packets, seen.get('kernel_rate_limited'));
  t.is(of('rest')?.limit_per_second, 100);
  t.is(of('icmp')?.rate_limited_packets, 0);
  t.is(of('icmp')?.queue_full_packets, 0);
  t.is(of('tcp')?.rate_limited_packets, 0);
  t.is(of('tcp')?.queue_full_packets, 0);
  t.true((of('tcp')?.passed_packets ?? 0) >= 170);
  t.true((of('rest')?.passed_packets ?? Number.POSITIVE_INFINITY) <= 256 + 100 * 40);
  t.is(await scene.sh('client', `curl -sS -m 5 http://${vip}/`), 'rs1');
});

interface Port {
  readonly name: string;
  readonly kernel: readonly {
    readonly name: string;
    readonly classes: readonly {
      readonly name: string;
      readonly limit_per_second: number;
      readonly passed_packets: number;
      readonly rate_limited_packets: number;
      readonly queue_full_packets: number;
    }[];
  }[];
}

test.serial('two workers: a session and pings, whichever of them gets their packets', async (t) => {
  const scene = await twoArms(t, { workers: 'cpus: { housekeeping: [0], workers: [0, 1] }\n' });
  await echoServer(scene, 2222);
  const sessions = Array.from({ length: 8 }, () =>
    scene.sh('client', `exec python3 ${support}/tcp_session.py ${own} 2222 20 0.01`),
  );
  for (const text of await Promise.all(sessions)) t.regex(text, /^20 lines/m);
  t.regex(await scene.sh('client', `ping -c 3 -i 0.2 -W 3 ${own}`), /3 received/);
  t.is(await scene.sh('director', 'curl -sS -m 5 http://10.0.0.11/'), 'rs1');
});

test.serial('a VLAN has a kernel interface of its own, without tags', async (t) => {
  const scene = await Scene.empty(t);
  await scene.host('client');
  await scene.world.link(
    { namespace: 'client', device: 'eth0', addresses: ['203.0.113.200/24'] },
    { namespace: 'net', device: 'access-client' },
  );
  await scene.host('director');
  await scene.world.link({ namespace: 'director', device: 'trunk0' }, { namespace: 'net', device: 'trunk' });
  await scene.sh('net', 'for device in trunk access-client; do ip link set $device promisc on; done');
  const vlanSwitch = scene.start('net', `python3 ${support}/vlan_switch.py trunk access-client=100`);
  await vlanSwitch.line((line) => line === 'ready', 10_000);
  await scene.startDirector(
    'director',
    `${common}ports:
  trunk:
    device: "${packetDevice(0, 'trunk0')}"
    kernel: { name: fk0 }
    interfaces: [ { addresses: [192.0.2.1/24] }, { vlan: 100, mtu: 1400, addresses: [${own}/24] } ]
`,
  );
  t.regex(await scene.sh('director', 'ip address show dev fk0.100'), /mtu 1400 [\s\S]*inet 203\.0\.113\.1\/24/);
  const capture = await Capture.start(scene, 'director', 'fk0.100', 'icmp');
  t.regex(await scene.sh('client', `ping -c 3 -i 0.2 -W 3 ${own}`), /3 received/);
  t.regex(await scene.sh('director', 'ping -c 1 -W 3 203.0.113.200'), /1 received/);
  await capture.stop();
  t.is(await capture.count('icmp'), 8);
  t.is(await capture.count('vlan'), 0);
});

test.serial('a name that is taken starts nothing, and the field is named', async (t) => {
  const scene = await Scene.empty(t);
  await scene.host('director', { device: 'wan0', segment: 'wan' });
  await scene.sh('director', 'ip tuntap add fk0 mode tap');
  const error = await t.throwsAsync(
    scene.startDirector(
      'director',
      `${common}ports: { wan: { device: "${packetDevice(0, 'wan0')}", kernel: { name: fk0 } } }\n`,
    ),
  );
  t.regex(String(error), /ports\.wan\.kernel: there is a network interface "fk0" already/);
});
