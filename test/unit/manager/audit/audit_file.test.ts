// SPDX-License-Identifier: Apache-2.0
// The audit's file: lines in order, a bounded number of bounded files, and a disk that does not take it.
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { AuditFile } from '../../../../src/manager/audit/audit_file.js';

function place(t: ExecutionContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'fulcrum-audit-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  return directory;
}

test('lines are appended to what is there, for the owner only', async (t) => {
  const path = join(place(t), 'audit.jsonl');
  writeFileSync(path, 'before\n', { mode: 0o600 });
  const file = new AuditFile({ path, largestBytes: 1_000, files: 3, failed: (error) => t.fail(String(error)) });
  for (const line of ['a', 'b', 'c']) file.add(line);
  await file.close();
  t.is(readFileSync(path, 'utf8'), 'before\na\nb\nc\n');
  t.is(statSync(path).mode & 0o777, 0o600);
});

test('a full file becomes an older one, the oldest goes; the last lines are all there, in order', async (t) => {
  const directory = place(t);
  const path = join(directory, 'audit.jsonl');
  const file = new AuditFile({ path, largestBytes: 20, files: 4, failed: (error) => t.fail(String(error)) });
  for (let line = 10; line < 30; line++) {
    file.add(`line ${line}`);
    // Each is written by itself.
    if (line % 2 === 0) await file.settle();
  }
  await file.close();
  const names = readdirSync(directory).sort().reverse();
  t.deepEqual(names, ['audit.jsonl.3', 'audit.jsonl.2', 'audit.jsonl.1', 'audit.jsonl']);
  const lines = names.flatMap((name) => readFileSync(join(directory, name), 'utf8').trim().split('\n'));
  const last = Array.from({ length: lines.length }, (_, index) => `line ${30 - lines.length + index}`);
  t.deepEqual(lines, last);
  for (const name of names) t.true(statSync(join(directory, name)).size <= 40);
});

test('what cannot be written is said once', async (t) => {
  const failures: string[] = [];
  const path = join(place(t), 'none', 'audit.jsonl');
  const file = new AuditFile({ path, largestBytes: 1, files: 2, failed: (error) => failures.push(String(error)) });
  file.add('a');
  await file.settle();
  file.add('b');
  await file.close();
  t.is(failures.length, 1);
  t.regex(failures[0] ?? '', /ENOENT/);
});
