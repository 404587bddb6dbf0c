// SPDX-License-Identifier: Apache-2.0
// Servers that no check looks at, judged by what clients meet there: one that is silent towards new connections and one
// that resets them are ejected for a while, keep what they have, and come back.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { projectRoot } from '../../src/grpc/loader.js';
import type { Task } from '../../src/lab/command.js';
import { servers, vipOf } from '../../src/lab/plan.js';
import { Happenings } from '../support/happenings.js';
import { Scene } from '../support/scene.js';

const vip = vipOf('nat');
const nameOf = (last: number): string => `TCP ${vip}:80 10.0.0.${last}:80`;
const policy = { window: 2, least_connections: 5, unanswered: 50, reset: 50, ejection: 2, most_ejected: 34 };
const perSecond = 60;
/** From the ejection on until no new client meets the server, on a machine that does something else in between. */
const slackMs = 500;

const configuration = `services:
  - address: tcp:${vip}:80
    scheduler: rr
    health:
      passive: ${JSON.stringify(policy)}
    servers:
${servers.map(({ lan }) => `      - { address: "${lan}:80", method: nat, weight: 3 }\n`).join('')}`;

/** npm puts a program called nft, of some package, in front of the system's. */
const nft = (text: string): string => `PATH=/usr/sbin:/usr/bin:/sbin:/bin nft '${text}'`;

/** What the server's kernel does to first packets of connections. */
const refusing = (verdict: string): string =>
  nft(`add table inet bad; add chain inet bad in { type filter hook input priority 0; };
       add rule inet bad in tcp dport 80 tcp flags & (syn|ack) == syn ${verdict}`);
const mended = nft('delete table inet bad');

/** Clients at a steady rate. Resolves when one begun since then got this answer. */
async function untilServedBy(clients: Task, name: string, since: number): Promise<void> {
  await clients.line((line) => {
    const [, begun, from] = line.split(' ');
    return 1000 * Number(begun) >= since && from === name;
  }, 20_000);
}

test('clients’ own connections eject a server that is silent, or resets them, and keep the others', async (t) => {
  t.timeout(120_000);
  const scene = await Scene.lab(t);
  const file = join(scene.directory, 'services.yaml');
  writeFileSync(file, configuration);
  const happenings = await Happenings.watch(scene.api());
  await scene.fulcrum(`config apply --prune --file ${file}`);
  const support = join(projectRoot, 'test/support');
  const held = scene.start('client', `python3 ${support}/held_connection.py ${vip} rs1`);
  await held.line((line) => line === 'held', 10_000);
  const clients = scene.start('client', `python3 ${support}/new_connections.py ${perSecond} ${vip}`);
  const answers: { readonly begun: number; readonly from: string }[] = [];
  clients.onLine((line) => {
    const [, begun, from = line] = line.split(' ');
    answers.push({ begun: 1000 * Number(begun), from });
  });

  await scene.sh('rs1', refusing('drop'));
  await happenings.all([
    new RegExp(`^server_ejected: ${nameOf(11)}: \\d+ of \\d+ SYNs unanswered within 2 s; until \\S+Z$`),
    `weight ${nameOf(11)} 0`,
  ]);
  const ejected = Date.now();
  const listed = await scene.fulcrum(`server list tcp:${vip}:80`);
  t.regex(listed, /10\.0\.0\.11:80 +nat +3 .* 0 +ejected .*SYNs unanswered within 2 s/);
  t.regex(listed, /10\.0\.0\.12:80 +nat +3 .* 3 +unknown .* 0\/\d+ +0\/\d+/);
  // What it has goes on.
  const answer = held.line(() => true, 10_000);
  held.write('\n');
  t.is(await answer, '200');
  // As long as it does not mend its ways it is out again, and longer.
  await happenings.all([`server_returned: ${nameOf(11)}`, new RegExp(`^server_ejected: ${nameOf(11)}: `)]);
  await scene.sh('rs1', mended);
  await happenings.all([`server_returned: ${nameOf(11)}`]);
  await untilServedBy(clients, 'rs1', Date.now());
  const meanwhile = answers.filter(
    ({ begun }) => begun >= ejected + slackMs && begun < ejected + 1000 * policy.ejection - slackMs,
  );
  t.true(meanwhile.length >= (perSecond * (policy.ejection - (2 * slackMs) / 1000)) / 2);
  t.deepEqual([...new Set(meanwhile.map(({ from }) => from))].toSorted(), ['rs2', 'rs3']);

  await scene.sh('rs2', refusing('reject with tcp reset'));
  await happenings.all([
    new RegExp(`^server_ejected: ${nameOf(12)}: \\d+ connections reset, \\d+ begun within 2 s; until `),
    `weight ${nameOf(12)} 0`,
  ]);
  const { servers: rows } = JSON.parse(await scene.fulcrum(`-o json server list tcp:${vip}:80`));
  t.deepEqual(
    rows.map(({ address, state, effective_weight: weight }: Record<string, unknown>) => [address, state, weight]),
    [
      ['10.0.0.13:80', 'unknown', 3],
      ['10.0.0.12:80', 'ejected', 0],
      ['10.0.0.11:80', 'unknown', 3],
    ],
  );
  t.true(rows[1].passive.reset >= 5 && rows[1].passive.unanswered === 0, JSON.stringify(rows[1].passive));
  await scene.sh('rs2', mended);
  await happenings.all([`server_returned: ${nameOf(12)}`]);
  await untilServedBy(clients, 'rs2', Date.now());
});

test('a passive policy that cannot be is refused by its line', async (t) => {
  const scene = await Scene.lab(t);
  const file = join(scene.directory, 'bad.yaml');
  const text = (passive: string, address = `tcp:${vip}:80`): string =>
    `services:\n  - address: ${address}\n    scheduler: rr\n    health:\n      passive: ${passive}\n    servers: []\n`;
  const refusal = async (content: string): Promise<string> => {
    writeFileSync(file, content);
    const error = await t.throwsAsync(scene.fulcrum(`config apply --file ${file}`));
    return error?.message ?? '';
  };
  t.regex(await refusal(text('{ unanswered: 101 }')), /bad\.yaml:5:\d+: .*unanswered/);
  t.regex(await refusal(text('{ unanswered: 50 }', `udp:${vip}:53`)), /bad\.yaml:5:\d+: .*only of TCP connections/);
  t.regex(await refusal(text('{ windw: 5 }')), /bad\.yaml:5:\d+: .*windw/);
});
