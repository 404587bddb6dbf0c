// SPDX-License-Identifier: Apache-2.0

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { AlreadyRunning, identify, isAlive, RunDirectory } from '../../../src/supervisor/run_directory.js';

/** A directory to be claimed, which does not exist yet. */
function place(t: ExecutionContext): string {
  const above = mkdtempSync(join(tmpdir(), 'fulcrum-run-'));
  t.teardown(() => rmSync(above, { recursive: true, force: true }));
  return join(above, 'run');
}

const noOrphans = (): void => {
  throw new Error('there are none');
};

/** A process that lives until it is ended. */
async function sleeper(): Promise<number> {
  const child = spawn(process.execPath, ['-e', 'console.log("up"); setInterval(() => {}, 1000)'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  await new Promise((resolve) => child.stdout.once('data', resolve));
  return child.pid as number;
}

/** What a supervisor that was killed leaves: a process number that means nobody now, and its children. */
function leave(directory: string, children: readonly unknown[]): void {
  writeFileSync(join(directory, 'supervisor.json'), JSON.stringify({ pid: process.pid, started: '1', children }));
}

test('claimed, and gone when it is released', async (t) => {
  const path = place(t);
  const directory = await RunDirectory.claim(path, noOrphans);
  t.is(statSync(path).mode & 0o777, 0o750);
  const socket = join(path, 'manager.sock');
  writeFileSync(socket, '');
  directory.release([socket, join(path, 'never-made.sock')]);
  t.false(existsSync(path));
});

test('a second supervisor is refused and told who runs', async (t) => {
  const path = place(t);
  const directory = await RunDirectory.claim(path, noOrphans);
  const error = await t.throwsAsync(RunDirectory.claim(path, noOrphans), { instanceOf: AlreadyRunning });
  t.is(error?.pid, process.pid);
  t.true(error?.message.includes(path));
  directory.release([]);
});

test('what a killed supervisor left is ended and taken over', async (t) => {
  const path = place(t);
  const first = await RunDirectory.claim(path, noOrphans);
  const orphan = identify(await sleeper());
  t.truthy(orphan);
  leave(path, [orphan]);
  const told: unknown[] = [];
  const second = await RunDirectory.claim(path, (processes) => told.push(...processes));
  t.deepEqual(told, [orphan]);
  t.false(orphan !== undefined && isAlive(orphan));
  second.release([]);
  first.release([]);
});

test('a process that only has the number of an orphan is left alone', async (t) => {
  const path = place(t);
  const first = await RunDirectory.claim(path, noOrphans);
  const pid = await sleeper();
  leave(path, [{ pid, started: '1' }]);
  const second = await RunDirectory.claim(path, noOrphans);
  t.truthy(identify(pid));
  process.kill(pid);
  second.release([]);
  first.release([]);
});

test('a damaged record is no owner', async (t) => {
  const path = place(t);
  const first = await RunDirectory.claim(path, noOrphans);
  writeFileSync(join(path, 'supervisor.json'), '{"pid":');
  await t.notThrowsAsync(RunDirectory.claim(path, noOrphans));
  first.release([]);
});

test('notes the processes that run, and leaves files of others', async (t) => {
  const path = place(t);
  const directory = await RunDirectory.claim(path, noOrphans);
  directory.setChildren([process.pid, 0x7ffffffe]);
  const record = JSON.parse(readFileSync(join(path, 'supervisor.json'), 'utf8'));
  t.deepEqual(record.children, [identify(process.pid)]);
  writeFileSync(join(path, 'note.txt'), 'mine');
  directory.release([]);
  t.true(existsSync(join(path, 'note.txt')));
});
