// SPDX-License-Identifier: Apache-2.0
// Two hundred thousand connections are listed while packets of all of them pass: nothing is dropped for it. And what the
// director counts is what the servers count.

import { join } from 'node:path';
import test from 'ava';
import { projectRoot } from '../../src/grpc/loader.js';
import { servers, services, urlOf, vipOf } from '../../src/lab/plan.js';
import { Scene } from '../support/scene.js';

const flows = 200_000;
const port = 9;
const options = { timeoutMs: 180_000 };

test.serial('200,000 connections are listed at half of capacity, and every drop counter stays at 0', async (t) => {
  const scene = await Scene.lab(t);
  const vip = vipOf('nat');
  for (const { name } of servers) scene.start(name, `socat -u UDP-RECV:${port},rcvbuf=4194304 OPEN:/dev/null`);
  await scene.fulcrum(`service add udp:${vip}:${port} --scheduler rr`);
  for (const { lan } of servers) await scene.fulcrum(`server add udp:${vip}:${port} ${lan}:${port} --method nat`);
  const send = (seconds: number, rate: number): Promise<string> =>
    scene.sh(
      'client',
      `python3 ${join(projectRoot, 'test/support/udp_flows.py')} ${vip} ${port} 198.51.100.1 ${flows} ${seconds} ${rate}`,
      options,
    );

  // At full speed the sender may outrun a ring on the way: again, gently, for those that were lost.
  const api = scene.api();
  const known = async (): Promise<number> => Number((await api.getStatus({})).dataplane?.connections);
  const capacity = Number(await send(0, 0));
  for (let round = 0; round < 10 && (await known()) < flows; round++) await send(0, capacity / 4);
  const before = await api.getStatistics({});

  const passing = send(8, capacity / 2);
  const listed = await scene.sh('director', `${projectRoot}/bin/fulcrum connection list -o json | wc -l`, options);
  const reached = Number(await passing);
  t.log(`capacity ${capacity} packets/s, ${reached} while listing`);

  t.true(Number(listed) >= flows, `${listed} listed`);
  t.true(reached > capacity / 3, `${reached} of ${capacity} packets/s`);
  const after = await api.getStatistics({});
  const dropped = (statistics: typeof after): readonly string[] =>
    statistics.verdicts
      .filter(({ drop, packets }) => drop && packets !== '0')
      .map((at) => `${at.verdict} ${at.packets}`);
  t.deepEqual(dropped(after), []);
  const { ports } = await api.listPorts({});
  t.deepEqual(
    ports.map(({ rxErrors, txErrors, rxNoBuffer }) => [rxErrors, txErrors, rxNoBuffer]),
    ports.map(() => ['0', '0', '0']),
  );
  const received = (statistics: typeof after): number =>
    statistics.workers.reduce((sum, worker) => sum + Number(worker.rxPackets), 0);
  t.true(received(after) - received(before) >= 8 * reached * 0.95, 'what was sent while listing arrived');
});

test.serial('statistics add up with what nginx counted', async (t) => {
  const scene = await Scene.lab(t);
  const requests = 200;
  for (const service of services) {
    await scene.sh(
      'client',
      `for i in $(seq ${requests}); do curl -sf -m 5 ${urlOf(service)} >/dev/null; done`,
      options,
    );
  }
  const { services: counted } = await scene.api().getStatistics({});
  let byDirector = 0;
  for (const service of counted) {
    const perServer = service.servers.reduce((sum, server) => sum + Number(server.counters?.connections), 0);
    t.is(service.counters?.connections, String(requests));
    t.is(perServer, requests);
    byDirector += perServer;
  }
  let byNginx = 0;
  for (const { name } of servers) {
    const status = await scene.sh(name, 'curl -s http://127.0.0.1/connections');
    // Handled connections, without the one that asks.
    byNginx += Number(/^ \d+ (\d+) \d+/m.exec(status)?.[1]) - 1;
  }
  t.is(byNginx, byDirector);
});
