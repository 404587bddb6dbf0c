// SPDX-License-Identifier: Apache-2.0
// A director that runs its pool by itself: servers that fail their checks leave, the sorry server comes in, and neither a
// restart of the manager nor one of the dataplane changes what was found.
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { DirectorClient } from '../../src/grpc/client.js';
import { vipOf } from '../../src/lab/plan.js';
import { Scene } from '../support/scene.js';

const vip = vipOf('dr');
const service = `tcp:${vip}:80`;

/** The lab's servers, each up while a file is there. */
function configuration(files: readonly string[]): string {
  const servers = files.map(
    (file, index) => `
      - address: 10.0.0.1${index + 1}
        method: dr
        weight: 2
        health: { checks: [{ type: command, interval: 0.1, warmup: 0, command: [test, -e, ${file}] }] }`,
  );
  return `services:
  - address: ${service}
    scheduler: wrr
    health:
      quorum: 3
      omega: true
      quorum_down: [touch, ${files[0]}.gone]
      hysteresis: 1
      sorry_server: { address: 10.0.0.13, method: dr }
    servers:${servers.join('')}
`;
}

/** Reads on to the first event of that kind. */
async function happened(events: AsyncGenerator<string>, pattern: RegExp): Promise<string> {
  for (;;) {
    const { value, done } = await events.next();
    if (done) throw new Error(`the stream ended without ${pattern}`);
    if (pattern.test(value)) return value;
  }
}

async function* happenings(api: DirectorClient): AsyncGenerator<string> {
  for await (const { happened: event } of api.watch({})) if (event) yield `${event.kind}: ${event.message}`;
}

/** The dataplane has all that was found. */
async function inForce(api: DirectorClient): Promise<void> {
  for (;;) {
    const { dataplane } = await api.getStatus({});
    if (dataplane?.generationApplied === dataplane?.generationWanted) return;
  }
}

/** Names of the servers that answer some requests. */
async function answering(scene: Scene): Promise<readonly string[]> {
  const names = await scene.sh('client', `for n in 1 2 3 4 5 6; do curl -sf --max-time 5 http://${vip}/; done`);
  return [...new Set(names.split(/\s+/))].toSorted();
}

/** Servers and weights of the service as ipvsadm lists them. */
async function listed(scene: Scene): Promise<readonly string[]> {
  const lines = (await scene.ipvsadm(`-Ln -t ${vip}:80 --nosort`)).split('\n');
  return lines.flatMap((line) => / {2}-> (\S+):80 +Route +(\d+)/.exec(line)?.slice(1).join('*') ?? []);
}

test('servers leave and come back, quorum and sorry server, restarts', async (t) => {
  t.timeout(180_000);
  const scene = await Scene.lab(t);
  const [one = '', two = ''] = ['one', 'two'].map((name) => join(scene.directory, name));
  for (const file of [one, two]) writeFileSync(file, '');
  const file = join(scene.directory, 'services.yaml');
  writeFileSync(file, configuration([one, two]));
  await scene.fulcrum(`server delete ${service} 10.0.0.13:80`);
  await scene.fulcrum(`config apply --file ${file}`);
  let api = scene.api();
  let events = happenings(api);
  t.deepEqual(await listed(scene), ['10.0.0.12*2', '10.0.0.11*2']);

  rmSync(one);
  t.is(await happened(events, /^server_/), `server_down: TCP ${vip}:80 10.0.0.11:80: command: exit status 1`);
  await inForce(api);
  // 2 is 3 - 1: the quorum holds.
  t.deepEqual(await listed(scene), ['10.0.0.12*2']);
  t.deepEqual(await answering(scene), ['rs2']);
  t.regex(await scene.fulcrum(`server list ${service}`), /10\.0\.0\.11:80 .* out +down .*command: exit status 1/);

  await scene.kill('manager');
  api = scene.api();
  events = happenings(api);
  t.deepEqual(await listed(scene), ['10.0.0.12*2']);
  await scene.kill('dataplane');
  t.deepEqual(await listed(scene), ['10.0.0.12*2']);

  rmSync(two);
  await happened(events, /^quorum_lost/);
  await inForce(api);
  t.deepEqual(await listed(scene), ['10.0.0.13*1']);
  t.deepEqual(await answering(scene), ['rs3']);

  writeFileSync(one, '');
  await happened(events, /^server_up: .*10\.0\.0\.11/);
  await inForce(api);
  t.deepEqual(await listed(scene), ['10.0.0.13*1']);
  writeFileSync(two, '');
  await happened(events, /^quorum_gained/);
  await inForce(api);
  t.deepEqual(await listed(scene), ['10.0.0.12*2', '10.0.0.11*2']);
  t.deepEqual(await answering(scene), ['rs1', 'rs2']);

  rmSync(`${one}.gone`);
  await scene.fulcrum(`service delete ${service}`);
  await scene.sh('director', `until test -e ${one}.gone; do :; done`);
});
