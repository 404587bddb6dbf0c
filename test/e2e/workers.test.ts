// SPDX-License-Identifier: Apache-2.0
// NAT with two workers behind single-queue ports: every flow is found by its owner, whoever received it.

import test from 'ava';
import { builtProgram } from '../../src/lab/director.js';
import { client, servers, vipOf } from '../../src/lab/plan.js';
import { Capture } from '../support/capture.js';
import { Scene } from '../support/scene.js';

const connections = 10_000;
const clients = 2;

test('10,000 connections by NAT, none lost, every checksum right on both sides', async (t) => {
  const scene = await Scene.lab(t, 2);
  const vip = vipOf('nat');
  const captures = await Promise.all(
    ['wan-director', 'lan-director'].map((device) => Capture.start(scene, 'net', device, 'tcp or udp or icmp')),
  );

  const program = `'${process.execPath}' ${builtProgram('lab/client')} ${connections / clients} 0 nat=${vip}`;
  const options = { timeoutMs: 300_000 };
  const answers = await Promise.all(Array.from({ length: clients }, () => scene.sh('client', program, options)));
  const results = answers.flatMap((text) => text.split('\n')).map((line) => JSON.parse(line) as { error?: string });

  t.is(results.length, connections);
  t.deepEqual(
    results.filter(({ error }) => error !== undefined),
    [],
  );

  const statistics = await scene.api().getStatistics({});
  const service = statistics.services.find(({ key }) => key?.address === vip);
  t.is(service?.counters?.connections, String(connections));
  const perServer = service?.servers.map((server) => Number(server.counters?.connections)) ?? [];
  t.is(
    perServer.reduce((sum, count) => sum + count, 0),
    connections,
  );
  // rr on each of the two workers: no server is more than one ahead on either.
  t.true(Math.max(...perServer) - Math.min(...perServer) <= 2, perServer.join(' '));
  const accepted = await Promise.all(servers.map(({ name }) => acceptedBy(scene, name)));
  t.is(
    accepted.reduce((sum, count) => sum + count, 0),
    connections,
  );
  for (const worker of statistics.workers) {
    t.true(Number(worker.connections) > connections / 4, `worker ${worker.worker} has ${worker.connections}`);
  }
  t.true(statistics.workers.some((worker) => Number(worker.handedOver) > connections));
  t.deepEqual(
    statistics.verdicts.filter(({ drop, packets }) => drop && packets !== '0'),
    [],
  );

  for (const capture of captures) {
    await capture.stop();
    const { packets, wrong } = await capture.checksums(client, ...servers.map(({ lan }) => lan));
    t.true(packets > 8 * connections, `${packets} packets`);
    t.deepEqual(wrong.slice(0, 10), []);
  }
});

/** Connections that a server's nginx took, without the one that asks. */
async function acceptedBy(scene: Scene, name: string): Promise<number> {
  const status = await scene.sh(name, 'curl -s http://127.0.0.1/connections');
  return Number(/^ (\d+) \d+ \d+/m.exec(status)?.[1]) - 1;
}
