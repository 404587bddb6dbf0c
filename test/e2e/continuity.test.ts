// SPDX-License-Identifier: Apache-2.0
// Clients notice nothing while the manager dies, a service is edited, and a server is drained and comes back; and
// little when the dataplane dies.

import test from 'ava';
import { formatEndpoint } from '../../src/config/keys.js';
import { serverAddress, servers, services, urlOf, vipOf } from '../../src/lab/plan.js';
import { Scene } from '../support/scene.js';

const seconds = 6;

/** wrk reports what went wrong only if something did. */
const troubles = (report: string): readonly string[] =>
  report.split('\n').filter((line) => /Socket errors|Non-2xx|unable to/.test(line));

for (const lab of services) {
  test.serial(`${lab.name}: no socket error while everything but the dataplane changes`, async (t) => {
    const scene = await Scene.lab(t);
    const service = `tcp:${formatEndpoint(lab.vip, 80)}`;
    const server = servers.map((each) => formatEndpoint(serverAddress(each, lab), 80))[1];

    const load = scene.sh('client', `wrk -t2 -c50 -d${seconds}s ${urlOf(lab)}`);
    await scene.kill('manager');
    await scene.fulcrum(`service edit ${service} --scheduler lc`);
    await scene.fulcrum(`server edit ${service} ${server} --weight 0`);
    await scene.fulcrum(`server delete ${service} ${server}`);
    await scene.fulcrum(`server add ${service} ${server} --method ${lab.method} --weight 2`);
    const report = await load;

    t.deepEqual(troubles(report), [], report);
    t.true(Number(/(\d+) requests in/.exec(report)?.[1]) > 100 * seconds, report);
    t.log(/Requests\/sec.*/.exec(report)?.[0]);
  });
}

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
