// SPDX-License-Identifier: Apache-2.0
// The manager as a process: signals, sockets left behind, damaged state, wrong arguments.
import { existsSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { connectDirector } from '../../src/grpc/client.js';
import { temporaryDirectory, webService } from './support/director.js';
import { startProcess } from './support/processes.js';

function places(t: ExecutionContext) {
  const directory = temporaryDirectory(t);
  const socket = join(directory, 'run', 'manager.sock');
  const state = join(directory, 'state');
  const args = ['--socket', socket, '--dataplane', join(directory, 'dataplane.sock'), '--state-dir', state];
  const start = (...more: string[]) => startProcess(t, 'src/manager/main.js', [...args, ...more]);
  const client = connectDirector(socket);
  t.teardown(client.close);
  return { socket, stateFile: join(state, 'state.json'), state, start, client };
}

test('ready, a socket for owner and group only, SIGTERM, gone', async (t) => {
  const { socket, start } = places(t);
  const child = start();
  t.is((await child.logged('ready')).socket, socket);
  t.is(statSync(socket).mode & 0o777, 0o660);
  t.is(statSync(join(socket, '..')).mode & 0o777, 0o750);
  child.process.kill('SIGTERM');
  t.like(await child.exited, { code: 0, signal: null });
  t.false(existsSync(socket));
});

test('killed with -9: the next one removes the socket and has everything', async (t) => {
  const { socket, start, client } = places(t);
  const first = start();
  await first.logged('ready');
  const deadline = { timeoutMs: 4_000 };
  await client.createVirtualService({ service: webService('192.0.2.1', '10.0.0.1', '10.0.0.2') }, deadline);
  const before = await client.getConfiguration({});
  first.process.kill('SIGKILL');
  await first.exited;
  t.true(existsSync(socket));
  await start().logged('ready');
  const again = connectDirector(socket);
  t.teardown(again.close);
  t.deepEqual(await again.getConfiguration({}), before);
});

test('two managers: the second is refused by the state, or by the socket', async (t) => {
  const { socket, state, start } = places(t);
  await start().logged('ready');
  const second = await start().exited;
  t.is(second.code, 1);
  t.regex(second.stderr, new RegExp(`state directory ${state} is in use by process \\d+`));
  const third = await start('--state-dir', `${state}-2`).exited;
  t.is(third.code, 1);
  t.true(third.stderr.includes(`another process listens on "${socket}"`));
});

test('a file that is no socket is left alone', async (t) => {
  const { start, state } = places(t);
  const file = `${state}-file`;
  writeFileSync(file, 'precious');
  const { code, stderr } = await start('--socket', file).exited;
  t.is(code, 1);
  t.regex(stderr, /is not a socket: left as it is/);
  t.is(readFileSync(file, 'utf8'), 'precious');
});

test('a truncated state file: a precise message, exit code 1, nothing overwritten', async (t) => {
  const { stateFile, start, client } = places(t);
  const first = start();
  await first.logged('ready');
  await client.createVirtualService({ service: webService('192.0.2.1', '10.0.0.1') }, { timeoutMs: 4_000 });
  first.process.kill('SIGTERM');
  await first.exited;
  truncateSync(stateFile, statSync(stateFile).size - 20);
  const damaged = readFileSync(stateFile, 'utf8');
  const { code, stderr } = await start().exited;
  t.is(code, 1);
  t.true(stderr.startsWith(`manager: state file ${stateFile} is cut off: `), stderr);
  t.is(readFileSync(stateFile, 'utf8'), damaged);
});

const wrongArguments: readonly (readonly [string, readonly string[], RegExp])[] = [
  ['an unknown option', ['--bogus'], /Unknown option '--bogus'/],
  ['TCP without TLS', ['--listen', 'localhost:0'], /--listen is served only with mutual TLS: give --tls-cert/],
  ['TLS without TCP', ['--tls-cert', 'x'], /need --listen HOST:PORT/],
  [
    'no port',
    ['--listen', 'localhost', '--tls-cert', 'x', '--tls-key', 'x', '--tls-client-ca', 'x'],
    /is not HOST:PORT/,
  ],
];

for (const [name, args, expected] of wrongArguments) {
  test(`wrong arguments end with 2: ${name}`, async (t) => {
    const { code, stderr } = await places(t).start(...args).exited;
    t.is(code, 2);
    t.regex(stderr, expected);
  });
}
