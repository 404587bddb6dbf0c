// SPDX-License-Identifier: Apache-2.0
// What services take, with real clients and servers: who is denied gets nothing and who is allowed a page, a limit lets in
// as many as it says, and both ends know of shorter segments.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { Task } from '../../src/lab/command.js';
import { client as clientAddress, servers, vipOf } from '../../src/lab/plan.js';
import { Scene } from '../support/scene.js';

const other = '203.0.113.201';
/** Of each segment the kernel takes as many for timestamps. */
const timestamps = 12;

/** What curl gets: a status, or "000" when nobody answers within a second. */
const statusOf = (scene: Scene, vip: string, from = clientAddress): Promise<string> =>
  scene.sh(
    'client',
    `curl -s -o /dev/null -w '%{http_code}' --connect-timeout 1 --interface ${from} http://${vip}/ || true`,
  );

interface Held {
  readonly task: Task;
  /** Asks for the page, and resolves with the answer. */
  readonly finish: () => Promise<string>;
}

/** A connection that is established, and has not asked for anything yet. */
async function hold(scene: Scene, vip: string, from = clientAddress): Promise<Held> {
  const [ask, answer] = [join(scene.directory, `ask ${vip} ${from}`), join(scene.directory, `answer ${vip} ${from}`)];
  await scene.sh('client', `mkfifo '${ask}'`);
  const task = scene.start('client', `socat -d -d -t 1 TCP:${vip}:80,bind=${from} STDIO <>'${ask}' >'${answer}'`);
  await task.line((line) => line.includes('starting data transfer loop'), 10_000);
  const finish = async () => {
    await scene.sh('client', `printf 'GET / HTTP/1.0\\r\\n\\r\\n' >'${ask}'`);
    await task.ended;
    return readFileSync(answer, 'utf8');
  };
  return { task, finish };
}

test('a denied client gets nothing, an allowed one a page; a connection that there is goes on', async (t) => {
  t.timeout(120_000);
  const scene = await Scene.lab(t);
  const vip = vipOf('nat');
  const service = `tcp:${vip}:80`;
  const device = `$(ip -o route get ${vip} | sed 's/.* dev \\([^ ]*\\).*/\\1/')`;
  await scene.sh('client', `ip address add ${other}/24 dev ${device}`);
  t.is(await statusOf(scene, vip), '200');
  t.is(await statusOf(scene, vip, other), '200');

  const held = await hold(scene, vip, other);
  await scene.fulcrum(`prefix-list set bad ${other}`);
  await scene.fulcrum(`service traffic ${service} --deny bad`);
  t.is(await statusOf(scene, vip, other), '000');
  t.is(await statusOf(scene, vip), '200');
  t.regex(await held.finish(), /^HTTP\/1\.1 200 /);

  const { services, verdicts } = await scene.api().getStatistics({});
  const denied = Number(services.find(({ key }) => key?.address === vip)?.refusals?.clientDenied);
  t.true(denied > 0);
  t.is(Number(verdicts.find(({ verdict }) => verdict === 'client_denied')?.packets), denied);
  // ipvsadm has no word for it, and takes none of it away.
  await scene.ipvsadm(`-E -t ${vip}:80 -s rr`);
  t.false((await scene.ipvsadm('-S -n')).includes('bad'));
  t.is(await statusOf(scene, vip, other), '000');

  await scene.fulcrum(`prefix-list remove bad ${other}`);
  t.is(await statusOf(scene, vip, other), '200');
});

test('a limit on connections, and one of segments that both ends know of', async (t) => {
  t.timeout(120_000);
  const scene = await Scene.lab(t);
  const nat = vipOf('nat');
  await scene.fulcrum(`service traffic tcp:${nat}:80 --max-connections 1 --mss 1000`);
  const held = await hold(scene, nat);
  t.is(await statusOf(scene, nat), '000');
  const segments = `mss:${1000 - timestamps} `;
  t.true((await scene.sh('client', `ss -tinH dst ${nat}`)).includes(segments));
  const atServers = await Promise.all(
    servers.map(({ name }) => scene.sh(name, "ss -tinH state established 'sport = :80'")),
  );
  t.true(atServers.join('\n').includes(segments), atServers.join('\n'));
  await scene.fulcrum(`service traffic tcp:${nat}:80 --max-connections 0`);
  t.is(await statusOf(scene, nat), '200');
  t.regex(await held.finish(), /^HTTP\/1\.1 200 /);

  // An outer header of 20 bytes: the server is told to leave room for it.
  const tun = vipOf('tun');
  await scene.fulcrum(`service traffic tcp:${tun}:80 --mss auto`);
  const tunnelled = await hold(scene, tun);
  const told = await Promise.all(servers.map(({ name }) => scene.sh(name, `ss -tinH state established src ${tun}`)));
  t.true(told.join('\n').includes(`mss:${1440 - timestamps} `), told.join('\n'));
  t.regex(await tunnelled.finish(), /^HTTP\/1\.1 200 /);
});
