// SPDX-License-Identifier: Apache-2.0
// Clients notice nothing while the manager dies, a service is edited, and a server is drained and comes back; and
// little when the dataplane dies.

import test from 'ava';
import type { DirectorClient } from '../../src/grpc/client.js';
import { type LabServer, type LabService, serverAddress, servers, services, urlOf, vipOf } from '../../src/lab/plan.js';
import { Scene } from '../support/scene.js';

const seconds = 6;
const methodOf = { nat: 'FORWARDING_METHOD_NAT', dr: 'FORWARDING_METHOD_DR', tun: 'FORWARDING_METHOD_TUN' } as const;

/** wrk reports what went wrong only if something did. */
const troubles = (report: string): readonly string[] =>
  report.split('\n').filter((line) => /Socket errors|Non-2xx|unable to/.test(line));

/** Another scheduler; a server that is quiesced, removed, and added again with another weight. */
async function edit(api: DirectorClient, lab: LabService, server: LabServer): Promise<void> {
  const service = { protocol: 'PROTOCOL_TCP', address: lab.vip, port: 80 } as const;
  const key = { address: serverAddress(server, lab), port: 80 };
  const weighted = (weight: number) => ({ key, spec: { method: methodOf[lab.method], weight } });
  const weightOnly = { updateMask: { paths: ['spec.weight'] } };
  const schedulerOnly = { updateMask: { paths: ['spec.scheduler'] } };
  const edits = [
    await api.updateVirtualService({ service: { key: service, spec: { scheduler: 'lc' } }, ...schedulerOnly }),
    await api.updateRealServer({ service, server: weighted(0), ...weightOnly }),
    await api.deleteRealServer({ service, key }),
    await api.createRealServer({ service, server: weighted(2) }),
  ];
  if (!edits.every(({ inForce }) => inForce)) throw new Error(`${lab.name}: an edit is not in force`);
}

test.serial('no socket error by any method while everything but the dataplane changes', async (t) => {
  const scene = await Scene.lab(t);
  const loads = services.map((lab) => scene.sh('client', `wrk -t1 -c20 -d${seconds}s ${urlOf(lab)}`));
  await scene.kill('manager');
  const api = scene.api();
  for (const lab of services) for (const server of servers.slice(1, 2)) await edit(api, lab, server);
  for (const [at, load] of loads.entries()) {
    const report = await load;
    t.deepEqual(troubles(report), [], report);
    t.true(Number(/(\d+) requests in/.exec(report)?.[1]) > 100 * seconds, report);
    t.log(`${services[at]?.name}: ${/Requests\/sec.*/.exec(report)?.[0]}`);
  }
});

test.serial('a connection stays as it is while the manager is killed', async (t) => {
  const scene = await Scene.lab(t);
  const vip = vipOf('nat');
  // Kept open by both sides after its first request.
  const program = `import socket, time
connection = socket.create_connection(("${vip}", 80))
connection.send(b"GET / HTTP/1.1\\r\\nHost: lab\\r\\n\\r\\n")
print(connection.recv(4096)[:12].decode(), flush=True)
time.sleep(600)`;
  const client = scene.start('client', `python3 -c '${program}'`);
  await client.line((line) => line === 'HTTP/1.1 200', 10_000);
  const api = scene.api();
  const list = async () => (await api.listConnections({})).connections;
  const before = await list();
  await scene.kill('manager');
  const after = await list();
  t.is(before.length, 1);
  const unchanged = ({ clientPort, serverAddress, state, worker, inPackets }: (typeof after)[number]) => ({
    clientPort,
    serverAddress,
    state,
    worker,
    inPackets,
  });
  t.deepEqual(after.map(unchanged), before.map(unchanged));
});

test.serial('the dataplane is killed: new connections work within 3 seconds, with everything restored', async (t) => {
  const scene = await Scene.lab(t);
  await scene.fulcrum(`service edit tcp:${vipOf('nat')}:80 --scheduler wlc`);
  const before = await scene.ipvsadm('-Sn');

  process.kill(await scene.pidOf('dataplane'), 'SIGKILL');
  const killed = Date.now();
  await scene.sh('client', `until curl -sf -m 0.2 http://${vipOf('nat')}/; do :; done`);
  const elapsed = Date.now() - killed;

  t.log(`${elapsed} ms`);
  t.true(elapsed < 3000, `${elapsed} ms`);
  for (const service of services) t.regex(await scene.sh('client', `curl -sf -m 2 ${urlOf(service)}`), /^rs[123]$/);
  t.is(await scene.ipvsadm('-Sn'), before);
});
