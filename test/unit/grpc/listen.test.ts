// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer as createNetServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { closeServer, createServer, listenUnix } from '../../../src/grpc/listen.js';

function temporaryDirectory(t: ExecutionContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'fulcrum-listen-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

test('the directory is made, the socket is for owner and group, and goes at the end', async (t) => {
  const path = join(temporaryDirectory(t), 'run', 'x.sock');
  const server = createServer();
  await listenUnix(server, path);
  t.is(statSync(path).mode & 0o777, 0o660);
  await closeServer(server, 100);
  t.false(existsSync(path));
});

test('a socket that nobody listens on is taken over', async (t) => {
  const path = join(temporaryDirectory(t), 'x.sock');
  // A process that binds and is killed leaves its socket.
  execFileSync('/usr/bin/python3', ['-c', 'import socket,sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])', path]);
  t.true(lstatSync(path).isSocket());
  const server = createServer();
  await listenUnix(server, path);
  await closeServer(server, 100);
  t.pass();
});

test('a socket that somebody listens on is not', async (t) => {
  const path = join(temporaryDirectory(t), 'x.sock');
  const other = createNetServer();
  await new Promise<void>((done) => {
    other.listen(path, done);
  });
  t.teardown(() => other.close());
  await t.throwsAsync(listenUnix(createServer(), path), { message: `another process listens on "${path}"` });
  t.true(existsSync(path));
});

test('files and links are left alone', async (t) => {
  const directory = temporaryDirectory(t);
  const file = join(directory, 'file');
  const link = join(directory, 'link');
  writeFileSync(file, 'precious');
  symlinkSync(file, link);
  for (const path of [file, link]) {
    await t.throwsAsync(listenUnix(createServer(), path), { message: /is not a socket: left as it is/ });
  }
  t.is(readFileSync(file, 'utf8'), 'precious');
});

test('a path that is too long for a socket is named, not cut', async (t) => {
  const path = join(temporaryDirectory(t), 'x'.repeat(120));
  await t.throwsAsync(listenUnix(createServer(), path), { message: /longer than the 107 bytes/ });
});
