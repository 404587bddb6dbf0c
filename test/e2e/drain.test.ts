// SPDX-License-Identifier: Apache-2.0
// A server is drained while a client downloads from it: it gets nobody new, the download goes on; then the server goes.
// When time is up before that, both ends are told.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { DirectorClient } from '../../src/grpc/client.js';
import { projectRoot } from '../../src/grpc/loader.js';
import type { Task } from '../../src/lab/command.js';
import { type Method, vipOf } from '../../src/lab/plan.js';
import { Scene } from '../support/scene.js';

const port = 8080;
const lan = { rs1: '10.0.0.11', rs2: '10.0.0.12' } as const;
type Name = keyof typeof lan;
const names = Object.keys(lan) as Name[];
const serviceOf = (method: Method) => `tcp:${vipOf(method)}:${port}`;

/** A service by each method in front of two servers that take their time. */
async function slowServers(scene: Scene, methods: readonly Method[]): Promise<Record<Name, Task>> {
  const program = join(projectRoot, 'test/support/slow_http.py');
  const start = async (name: Name): Promise<Task> => {
    const task = scene.start(name, `python3 ${program} ${name} ${port}`);
    await task.line((line) => line === 'ready', 20_000);
    return task;
  };
  const [rs1, rs2] = await Promise.all([start('rs1'), start('rs2')]);
  for (const method of methods) {
    await scene.fulcrum(`service add ${serviceOf(method)} --scheduler rr`);
    for (const name of names)
      await scene.fulcrum(`server add ${serviceOf(method)} ${lan[name]}:${port} --method ${method}`);
  }
  return { rs1, rs2 };
}

const urlOf = (method: Method, lines: number | string) => `http://${vipOf(method)}:${port}/${lines}`;

/** Who serves the one connection that a service has. */
async function serving(api: DirectorClient, method: Method): Promise<Name> {
  const service = { protocol: 'PROTOCOL_TCP', address: vipOf(method), port } as const;
  for (;;) {
    const { connections } = await api.listConnections({ filter: { service, state: 'ESTABLISHED' } });
    const name = names.find((each) => lan[each] === connections[0]?.serverAddress);
    if (name !== undefined) return name;
  }
}

test('a download goes on while its server is drained, and the server is removed behind it', async (t) => {
  t.timeout(180_000);
  const scene = await Scene.lab(t, 2);
  const api = scene.api();
  await slowServers(scene, ['nat']);
  // What is closed is over soon.
  await scene.fulcrum('timeout set tcp_time_wait=1 tcp_fin=1 tcp_close=1');
  const service = serviceOf('nat');

  const go = join(scene.directory, 'go');
  const download = scene.sh('client', `curl -sf ${urlOf('nat', go.slice(1))}`);
  const drained = await serving(api, 'nat');
  const other = drained === 'rs1' ? 'rs2' : 'rs1';
  const server = `${lan[drained]}:${port}`;
  const drain = scene.start(
    'director',
    `${projectRoot}/bin/fulcrum server drain ${service} ${server} --then remove -o json`,
  );
  const first: unknown = JSON.parse(await drain.line((line) => line.startsWith('{'), 20_000));
  t.like(first, { active_connections: 1, inactive_connections: 0 });
  const answers = await scene.sh('client', `for n in 1 2 3 4; do curl -sf ${urlOf('nat', 1)}; done`);
  t.deepEqual(new Set(answers.split('\n')), new Set([other]));
  t.regex(await scene.fulcrum(`server list ${service}`), new RegExp(`${server} .* draining .*then removed`));

  const ended = drain.line((line) => line.includes('outcome'), 60_000);
  writeFileSync(go, '');
  const lines = (await download).split('\n');
  t.is(lines.pop(), 'end');
  t.deepEqual(new Set(lines), new Set([drained]));
  t.like(JSON.parse(await ended), { outcome: 'no connection is left; removed', completed: true });
  t.is(await drain.ended, 'exit code 0');
  t.notRegex(await scene.fulcrum(`server list ${service}`), new RegExp(server));
});

test('when time is up both ends of a connection are reset, by whichever method', async (t) => {
  t.timeout(180_000);
  const methods = ['nat', 'dr', 'tun'] as const;
  const scene = await Scene.lab(t);
  const api = scene.api();
  const tasks = await slowServers(scene, methods);
  for (const method of methods) {
    const download = scene.sh('client', `curl -s ${urlOf(method, 1200)} > /dev/null || echo $?`);
    const name = await serving(api, method);
    const cut = tasks[name].line((line) => line === 'cut', 20_000);
    const outcome = await scene.fulcrum(
      `server drain ${serviceOf(method)} ${lan[name]}:${port} --timeout 1s --then reset`,
    );
    t.regex(outcome, /time is up with 1 connection left; 1 connection reset, kept with weight 0$/, method);
    // curl: 56 is "failure in receiving network data".
    t.is(await download, '56', method);
    await cut;
    await scene.fulcrum(`server undrain ${serviceOf(method)} ${lan[name]}:${port}`);
    const answers = await scene.sh('client', `for n in 1 2 3 4; do curl -sf ${urlOf(method, 1)}; done`);
    t.deepEqual([...new Set(answers.split('\n'))].toSorted(), [...names], method);
  }

  // Without a drain likewise.
  const deleted = scene.sh('client', `curl -s ${urlOf('nat', 1200)} > /dev/null || echo $?`);
  const name = await serving(api, 'nat');
  const command = `connection delete --server ${lan[name]}:${port} --state established --reset`;
  t.is(await scene.fulcrum(command), 'deleted 1 connection');
  t.is(await deleted, '56');

  // The deadline outlives the manager.
  const download = scene.sh('client', `curl -s ${urlOf('nat', 1200)} > /dev/null || echo $?`);
  const server = `${lan[await serving(api, 'nat')]}:${port}`;
  await scene.fulcrum(`server drain ${serviceOf('nat')} ${server} --timeout 4s --then remove --detach`);
  await scene.kill('manager');
  t.is(await download, '56');
  const list = `${projectRoot}/bin/fulcrum server list ${serviceOf('nat')}`;
  await scene.sh('director', `while ${list} | grep -q ${server}; do :; done`);
});
