// SPDX-License-Identifier: Apache-2.0
// Servers behind the director open connections of their own, to hosts that know nothing of their addresses.

import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { projectRoot } from '../../src/grpc/loader.js';
import { families, packetDevice } from '../../src/lab/plan.js';
import { Capture } from '../support/capture.js';
import { Scene } from '../support/scene.js';

const own = '203.0.113.1';
const own6 = '2001:db8:1::1';
const outside = '203.0.113.200';
const outside6 = '2001:db8:1::200';
const vip = '203.0.113.10';
const support = join(projectRoot, 'test/support');

const configuration = `memory: { hugepages: off, connections: 65536 }
idle: sleep
cpus: { housekeeping: [0], workers: [0, 1] }
ports:
  wan:
    device: "${packetDevice(0, 'wan0')}"
    kernel: { name: fk0 }
    interfaces: [{ addresses: [${own}/24, "${own6}/64"] }]
  lan:
    device: "${packetDevice(1, 'lan0')}"
    interfaces: [{ addresses: [10.0.0.1/24, "2001:db8:2::1/64"] }]
masquerade:
  - { source: 10.0.0.0/24, interface: wan }
  - { source: "2001:db8:2::/64", interface: wan }
services:
  - address: tcp:${vip}:80
    servers: [ { address: "10.0.0.11:80", method: nat } ]
`;

/** outside ── wan ── director ── lan ── rs1: nobody outside has a route to the servers. */
async function scene(t: ExecutionContext): Promise<Scene> {
  const made = await Scene.empty(t);
  const six = families.includes(6);
  const with6 = (address: string, other: string): readonly string[] => (six ? [address, other] : [address]);
  const addresses = with6(`${outside}/24`, `${outside6}/64`);
  await made.host('outside', { device: 'eth0', segment: 'wan', addresses });
  await made.host('director', { device: 'wan0', segment: 'wan' }, { device: 'lan0', segment: 'lan' });
  const inside = with6('10.0.0.11/24', '2001:db8:2::b/64');
  await made.host('rs1', { device: 'eth0', segment: 'lan', addresses: inside });
  await made.sh('rs1', 'ip route add default via 10.0.0.1');
  if (six) await made.sh('rs1', 'ip -6 route add default via 2001:db8:2::1');
  await made.nginx('outside');
  await made.nginx('rs1');
  await made.startDirector('director', configuration);
  return made;
}

/** Packets by verdict. */
async function verdicts(made: Scene): Promise<ReadonlyMap<string, number>> {
  const answer = await made.api().getStatistics({});
  return new Map(answer.verdicts.map(({ verdict, packets }) => [verdict, Number(packets)]));
}

test.serial("a server's own traffic leaves as the director's, and its answers find back", async (t) => {
  t.timeout(120_000);
  const made = await scene(t);
  const capture = await Capture.start(made, 'outside', 'eth0');
  const get = `curl -sS -m 10 http://${outside}/`;
  // One far end belongs to one worker, several to both.
  t.is(await made.sh('rs1', `for i in $(seq 20); do ${get}; done`), 'outside\n'.repeat(20).trimEnd());
  const others = [8001, 8002, 8003, 8004, 8005, 8006, 8007, 8008];
  for (const port of others) {
    const echo = made.start('outside', `socat -d -d TCP-LISTEN:${port},reuseaddr,fork PIPE`);
    await echo.line((line) => line.includes('listening on'), 10_000);
  }
  const talks = others.map((port) =>
    made.sh('rs1', `exec python3 ${support}/tcp_session.py ${outside} ${port} 20 0.01`),
  );
  for (const text of await Promise.all(talks)) t.regex(text, /^20 lines/m);

  t.regex(await made.sh('rs1', `ping -c 3 -i 0.2 -W 3 ${outside}`), /3 received/);
  t.regex(await made.sh('rs1', `ping -c 1 -W 3 -s 4000 ${outside}`), /1 received/);
  if (families.includes(6)) {
    t.is(await made.sh('rs1', `curl -sS -m 10 http://[${outside6}]/`), 'outside');
    t.regex(await made.sh('rs1', `ping -c 3 -i 0.2 -W 3 ${outside6}`), /3 received/);
  }
  // What is said about a datagram reaches the socket that sent it.
  const refused = `python3 -c "
import socket
probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
probe.settimeout(5)
probe.connect(('${outside}', 9))
probe.send(b'x')
try: probe.recv(1)
except OSError as error: print(error.errno)"`;
  t.is(await made.sh('rs1', refused), '111');

  await capture.stop();
  t.is(await capture.count('ip.src == 10.0.0.0/24 || ipv6.src == 2001:db8:2::/64'), 0);
  t.true((await capture.count(`ip.src == ${own} && tcp.dstport == 80 && tcp.flags.syn == 1`)) >= 20);
  t.is(await capture.count(`ip.src == ${own} && tcp && (tcp.srcport < 1024 || tcp.srcport > 32767)`), 0);
  t.deepEqual((await capture.checksums()).wrong, []);
  const seen = await verdicts(made);
  t.true((seen.get('masqueraded') ?? 0) > 200);
  t.true((seen.get('masqueraded_reply') ?? 0) > 200);
  t.is(seen.get('masquerade_ports_full'), 0);
  t.is(seen.get('masquerade_no_flow'), 0);
});

test.serial(
  "balanced traffic and the host's own share the address with it; fulcrum lists it, ipvsadm does not",
  async (t) => {
    const made = await scene(t);
    const [fromServer, fromHost, balanced] = await Promise.all([
      made.sh('rs1', `for i in $(seq 10); do curl -sS -m 10 http://${outside}/; done`),
      made.sh('director', `for i in $(seq 10); do curl -sS -m 10 --interface ${own} http://${outside}/; done`),
      made.sh('outside', `for i in $(seq 10); do curl -sS -m 10 http://${vip}/; done`),
    ]);
    t.is(fromServer, 'outside\n'.repeat(10).trimEnd());
    t.is(fromHost, 'outside\n'.repeat(10).trimEnd());
    t.is(balanced, 'rs1\n'.repeat(10).trimEnd());
    t.regex(await made.sh('rs1', `ping -c 1 -W 3 ${outside}`), /1 received/);

    const listed = (await made.fulcrum('connection list -o json')).split('\n').map((line) => JSON.parse(line) as Flow);
    const own80 = listed.filter(({ method, server }) => method === 'masquerade' && server === `${outside}:80`);
    t.is(own80.length, 10);
    for (const { client, virtual } of own80) {
      t.true(client.startsWith('10.0.0.11:'));
      t.regex(virtual, /^203\.0\.113\.1:\d+$/);
    }
    t.is(new Set(own80.map(({ virtual }) => virtual)).size, 10);
    t.is(listed.filter(({ protocol, state }) => protocol === 'icmp' && state === 'ECHO').length, 1);
    const ipvsadm = await made.ipvsadm('-L -c -n');
    t.is(ipvsadm.split('\n').length, 2 + 10);
    t.false(ipvsadm.includes(`${outside}:80`));
  },
);

interface Flow {
  readonly protocol: string;
  readonly client: string;
  readonly virtual: string;
  readonly server: string;
  readonly state: string;
  readonly method: string;
}
