// SPDX-License-Identifier: Apache-2.0
// Configurations that there were: who made them, what is different, and the way back, over restarts and damage.
import { appendFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { connectDirector } from '../../src/grpc/client.js';
import { runFulcrum } from './support/command.js';
import { type Rig, startRig } from './support/director.js';

async function done(t: ExecutionContext, rig: Rig, line: string): Promise<string> {
  const { output, status } = await runFulcrum(rig, line);
  t.is(status, 0, `${line}: ${output}`);
  return output;
}

interface Told {
  readonly revision: string;
  readonly time: string;
  readonly author: string;
  readonly method: string;
  readonly changes: readonly string[];
}

const historyOf = async (t: ExecutionContext, rig: Rig): Promise<readonly Told[]> =>
  JSON.parse(await done(t, rig, 'config history -o json')).revisions;

const stateOf = ({ directory }: Rig): string => join(directory, 'state');

/** With what is done to its files while it does not run. */
async function restarted(rig: Rig, meanwhile: () => void): Promise<void> {
  await rig.stopManager();
  meanwhile();
  await rig.restartManager();
}

const web = 'tcp:192.0.2.1:80';

test('who changed what, what is different, and back', async (t) => {
  const rig = await startRig(t);
  await done(t, rig, `service add ${web} --scheduler wrr`);
  await done(t, rig, `server add ${web} 10.0.0.1:80 --method nat --weight 5`);
  await done(t, rig, `server edit ${web} 10.0.0.1:80 --weight 7`);
  await done(t, rig, `server add ${web} 10.0.0.2:80`);
  const told = await historyOf(t, rig);
  t.deepEqual(
    told.map(({ author, method, changes }) => [author, method, changes]),
    [
      ['unix', 'CreateRealServer', ['add_server TCP 192.0.2.1:80 10.0.0.2:80']],
      ['unix', 'UpdateRealServer', ['edit_server TCP 192.0.2.1:80 10.0.0.1:80']],
      ['unix', 'CreateRealServer', ['add_server TCP 192.0.2.1:80 10.0.0.1:80']],
      ['unix', 'CreateVirtualService', ['add_service TCP 192.0.2.1:80']],
      ['', '', []],
    ],
  );
  t.true(told.slice(0, 4).every(({ time }) => Math.abs(Date.parse(time) - Date.now()) < 60_000));
  t.is(JSON.parse(await done(t, rig, 'config history --limit 2 -o json')).revisions.length, 2);
  const [, , first] = told.map(({ revision }) => revision);

  const differs = await runFulcrum(rig, `config diff ${first}`);
  t.is(differs.status, 5);
  t.regex(differs.output, /^~ edit_server .*10\.0\.0\.1:80 .*weight=7/m);
  t.regex(differs.output, /^\+ add_server .*10\.0\.0\.2:80/m);
  t.is((await runFulcrum(rig, `config diff ${told[0]?.revision}`)).output, '');
  t.regex(await done(t, rig, `config show ${first}`), /weight: 5/);

  t.regex(await done(t, rig, `config rollback ${first} --dry-run`), /^- delete_server .*10\.0\.0\.2:80/m);
  t.is((await historyOf(t, rig)).length, 5);
  await done(t, rig, `config rollback ${first}`);
  t.is(await done(t, rig, 'config show'), await done(t, rig, `config show ${first}`));
  t.deepEqual(rig.dataplane.outline(), ['192.0.2.1:80: 10.0.0.1:80=5']);
  t.is((await historyOf(t, rig))[0]?.method, 'Apply');

  await rig.restartManager();
  const after = await historyOf(t, rig);
  t.is(after.length, 6);
  t.deepEqual(after[1], told[0]);
  t.regex(await done(t, rig, `config show ${told[0]?.revision}`), /10\.0\.0\.2:80/);
});

test('what is no revision is refused by its field', async (t) => {
  const rig = await startRig(t);
  await done(t, rig, `service add ${web}`);
  const [now] = await historyOf(t, rig);
  const lineage = now?.revision.split('-')[0];
  t.regex(
    (await runFulcrum(rig, 'config show nonsense')).output,
    /revision: "nonsense" is no revision of this director/,
  );
  t.regex((await runFulcrum(rig, 'config show 00000000-1')).output, /revision: "00000000-1" is no revision/);
  t.regex(
    (await runFulcrum(rig, `config rollback ${lineage}-999`)).output,
    /revision: revision \S+-999 is not known any more, or not yet/,
  );
  t.regex(
    (await runFulcrum(rig, `config diff ${now?.revision} 77`)).output,
    /to: revision 77 is not known any more, or not yet/,
  );
  t.regex((await runFulcrum(rig, 'config diff')).output, /name either a file \(-f\) or a revision/);
  t.regex(await done(t, rig, `config show ${now?.revision.split('-')[1]}`), /192\.0\.2\.1:80/);
});

test('the last hundred at least, in two segments, over a restart', async (t) => {
  const rig = await startRig(t);
  await done(t, rig, `service add ${web} --scheduler wrr`);
  await done(t, rig, `server add ${web} 10.0.0.1:80`);
  const client = connectDirector(rig.socket);
  t.teardown(() => client.close());
  const service = { protocol: 'PROTOCOL_TCP', address: '192.0.2.1', port: 80 } as const;
  for (let weight = 2; weight < 252; weight++) {
    const server = { key: { address: '10.0.0.1', port: 80 }, spec: { weight } };
    await client.updateRealServer({ service, server, updateMask: { paths: ['spec.weight'] } });
  }
  const before = await historyOf(t, rig);
  t.is(before.length, 200);
  await rig.restartManager();
  const after = await historyOf(t, rig);
  t.true(after.length > 100, `${after.length}`);
  // Of the oldest one it is not known any more who made it.
  t.deepEqual(after.slice(0, -1), before.slice(0, after.length - 1));
  t.regex(await done(t, rig, `config show ${after[100]?.revision}`), /weight: 151/);
  t.true(readdirSync(stateOf(rig)).filter((name) => name.startsWith('history-')).length <= 4);
});

test('an edit of thousands is told, and what was before it until the manager ends', async (t) => {
  const rig = await startRig(t);
  await done(t, rig, `service add ${web}`);
  const service = { protocol: 'PROTOCOL_TCP', address: '192.0.2.1', port: 80 } as const;
  const operations = Array.from({ length: 3_000 }, (_, index) => ({
    addServer: { service, key: { address: `10.1.${index >> 8}.${index & 255}`, port: 80 }, spec: { weight: 1 } },
  }));
  await rig.client.apply({ operations: { operations } });
  await done(t, rig, `server edit ${web} 10.1.0.0:80 --weight 9`);
  const before = await historyOf(t, rig);
  t.is(before.length, 4);
  t.regex(await done(t, rig, 'config history'), /add_server TCP 192\.0\.2\.1:80 10\.1\.0\.0:80, and 2999 more/);
  await rig.restartManager();
  const after = await historyOf(t, rig);
  t.deepEqual(
    after.map(({ revision }) => revision),
    before.slice(0, 2).map(({ revision }) => revision),
  );
});

test('a history that is damaged begins anew, half a line is passed over, and neither stops the manager', async (t) => {
  const rig = await startRig(t);
  await done(t, rig, `service add ${web}`);
  await done(t, rig, `server add ${web} 10.0.0.1:80`);
  const files = () => readdirSync(stateOf(rig)).filter((name) => /^history-.*\.jsonl$/.test(name));
  const file = () => join(stateOf(rig), files()[0] ?? '');
  await restarted(rig, () => appendFileSync(file(), '{"revision":9,"operations":[{"addServ'));
  t.is((await historyOf(t, rig)).length, 3);
  await restarted(rig, () => writeFileSync(file(), 'nonsense\n'));
  t.is((await historyOf(t, rig)).length, 1);
  await done(t, rig, `server add ${web} 10.0.0.2:80`);
  await restarted(rig, () => rmSync(file()));
  const told = await historyOf(t, rig);
  t.is(told.length, 1);
  t.regex(await done(t, rig, `config show ${told[0]?.revision}`), /10\.0\.0\.2:80/);
});
