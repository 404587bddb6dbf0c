// SPDX-License-Identifier: Apache-2.0
// What is left of root's powers behind the words that start a director's processes: asked of the kernel, by a process that
// was started with them.

import { execFileSync } from 'node:child_process';
import { chmodSync, linkSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import {
  accountOf,
  dataplaneCapabilities,
  dataplanePrivileges,
  handOver,
  managerPrivileges,
  readCapabilities,
  share,
} from '../../../src/supervisor/privileges.js';

const asRoot = process.geteuid?.() === 0 ? test : test.skip;

function statusBehind(words: readonly string[]): ReadonlyMap<string, string> {
  const [file = '', ...rest] = [...words, 'cat', '/proc/self/status'];
  const lines = execFileSync(file, rest, { encoding: 'utf8' }).split('\n');
  return new Map(lines.map((line) => line.split(/:\s*/, 2) as [string, string]));
}

function temporary(t: ExecutionContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'fulcrum-privileges-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  return directory;
}

asRoot('the dataplane keeps three capabilities, or those that are named, or all', (t) => {
  const status = statusBehind(dataplanePrivileges(dataplaneCapabilities, undefined));
  const expected = (1 << 12) | (1 << 13) | (1 << 14);
  for (const set of ['CapEff', 'CapPrm', 'CapBnd']) t.is(Number.parseInt(status.get(set) ?? '', 16), expected, set);
  t.is(status.get('NoNewPrivs'), '1');
  const named = statusBehind(dataplanePrivileges(readCapabilities('CAP_NET_RAW,sys_rawio'), undefined));
  t.is(Number.parseInt(named.get('CapEff') ?? '', 16), (1 << 13) | (1 << 17));
  t.deepEqual(dataplanePrivileges(readCapabilities('all'), undefined), []);
});

asRoot('the manager is who it is to be, and may nothing else; the dataplane has its group', (t) => {
  const nobody = accountOf('nobody');
  const status = statusBehind(managerPrivileges(nobody));
  t.is(status.get('Uid')?.split('\t')[0], String(nobody.user));
  for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
    t.is(Number.parseInt(status.get(set) ?? '', 16), 0, set);
  t.is(status.get('NoNewPrivs'), '1');
  const dataplane = statusBehind(dataplanePrivileges(dataplaneCapabilities, nobody));
  t.regex(dataplane.get('Uid') ?? '', /^0\b/);
  t.is(dataplane.get('Gid')?.split('\t')[0], String(nobody.group));
  t.deepEqual(managerPrivileges(undefined), []);
});

asRoot('what root left in the state directory is handed over; what somebody put there for that is not', (t) => {
  const directory = temporary(t);
  chmodSync(directory, 0o755);
  const [state, secret] = [join(directory, 'state'), join(directory, 'secret')];
  mkdirSync(state);
  for (const file of [join(state, 'state.json'), secret]) writeFileSync(file, '');
  linkSync(secret, join(state, 'linked'));
  symlinkSync(secret, join(state, 'link'));
  const nobody = accountOf('nobody');
  handOver(state, nobody);
  const owner = (path: string): number => statSync(path).uid;
  t.deepEqual([state, join(state, 'state.json'), secret].map(owner), [nobody.user, nobody.user, 0]);
  const run = join(directory, 'run');
  share(run, nobody);
  const { uid, gid, mode } = statSync(run);
  t.deepEqual([uid, gid, mode & 0o7777], [0, nobody.group, 0o1770]);
});

test('what is refused', (t) => {
  t.throws(() => accountOf('no-such-user-here'), { message: /^--user no-such-user-here: / });
  t.throws(() => readCapabilities('net_admin,'), { message: '--dataplane-capabilities: "" is no capability' });
  t.throws(() => readCapabilities('all,net_raw'), { message: '--dataplane-capabilities: "all" is no capability' });
});
