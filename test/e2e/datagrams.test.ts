// SPDX-License-Identifier: Apache-2.0
// Datagrams that travel in pieces: echoes of 4,000 and 60,000 bytes by every method, over both families, through one
// worker and through two. NAT's answers come back through the director in pieces, too.

import { join } from 'node:path';
import test from 'ava';
import { formatEndpoint } from '../../src/config/keys.js';
import { projectRoot } from '../../src/grpc/loader.js';
import { director, type LabService, type Method, serverAddress, servers, services } from '../../src/lab/plan.js';
import { Scene } from '../support/scene.js';

const port = 7;
const sizes = [4_000, 60_000];
/** Of each size to each service. More than a server has, so that every server answers. */
const sockets = 9;
const program = join(projectRoot, 'test/support/datagrams.py');
const options: Readonly<Record<Method, string>> = { nat: '-m', dr: '-g', tun: '-i' };

/** Echo servers on what the director sends to: a server's own address with NAT, else the VIP. */
async function startEchoes(scene: Scene): Promise<void> {
  for (const server of servers) {
    const addresses = services.map((service) =>
      service.method === 'nat' ? serverAddress(server, service) : service.vip,
    );
    await scene.start(server.name, `python3 ${program} serve ${port} ${addresses.join(' ')}`).line(isReady, 10_000);
  }
}

/** Linux gives up a datagram when too many pieces of others of the same sender come between its own. */
async function allowInterleaving(scene: Scene): Promise<void> {
  for (const host of ['client', ...servers.map(({ name }) => name)])
    await scene.sh(host, 'echo 0 > /proc/sys/net/ipv4/ipfrag_max_dist');
}

const isReady = (line: string): boolean => line === 'ready';

const rules = (service: LabService): readonly string[] => [
  `-A -u ${formatEndpoint(service.vip, port)} -s rr`,
  ...servers.map((server) => {
    const address = formatEndpoint(serverAddress(server, service), port);
    return `-a -u ${formatEndpoint(service.vip, port)} -r ${address} ${options[service.method]}`;
  }),
];

for (const workers of [1, 2])
  test.serial(`echoes in pieces, ${workers} worker${workers === 1 ? '' : 's'}`, async (t) => {
    const scene = await Scene.lab(t, workers);
    await allowInterleaving(scene);
    await startEchoes(scene);
    await scene.ipvsadm(`-R <<'RULES'\n${services.flatMap(rules).join('\n')}\nRULES`);

    const resent = { 4: 0, 6: 0 };
    for (const service of services)
      for (const size of sizes) {
        const again = Number(
          await scene.sh('client', `python3 ${program} ask ${port} ${service.vip} ${size} ${sockets}`),
        );
        // Only IPv6 packets may not be cut on the way: those that fill the client's link are too long for a tunnel.
        if (service.name !== 'tun6') t.is(again, 0, service.name);
        resent[service.family] += again;
      }
    t.true(resent[6] > 0, 'the tunnel over IPv6 told its MTU');

    const { verdicts, workers: counters } = await scene.api().getStatistics({});
    const count = (name: string): number => Number(verdicts.find(({ verdict }) => verdict === name)?.packets ?? 0);
    t.deepEqual(
      verdicts.filter(({ drop, packets }) => drop && packets !== '0'),
      [],
    );
    t.is(count('fragmentation_needed_sent'), resent[6]);
    const datagrams = sockets * sizes.length;
    t.true(count('forwarded_nat') >= 2 * datagrams && count('forwarded_nat_reply') >= 2 * datagrams);
    t.true(count('forwarded_dr') >= 2 * datagrams && count('forwarded_tun') >= 2 * datagrams);
    // Three pieces, and 41 of 60,000 bytes: of each question, and of each answer by NAT.
    t.true(count('fragment_reassembled') >= (2 + 40) * sockets * (services.length + 2));
    for (const worker of counters) t.true(Number(worker.connections) > 0, `worker ${worker.worker} has a share`);
    const { ports } = await scene.api().listPorts({});
    for (const each of ports) t.like(each, { rxErrors: '0', txErrors: '0', rxNoBuffer: '0' });

    // The director is the servers' gateway over IPv6 and answers for it, as a router; its kernel has no IPv6 there.
    const mac = await scene.sh('director', 'cat /sys/class/net/lan0/address');
    for (const { name } of servers) {
      await scene.sh(name, `ip -6 neigh flush dev lan; ping -c 1 -W 3 ${director.lan6}`);
      t.regex(await scene.sh(name, `ip neigh show ${director.lan6} dev lan`), new RegExp(`lladdr ${mac} router`));
    }
  });
