// SPDX-License-Identifier: Apache-2.0
// TCP checks: connections that are made, refused, not answered; and what every check has in common.
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { promisify } from 'node:util';
import test from 'ava';
import { FulcrumError } from '../../../../src/grpc/errors.js';
import { moduleArguments } from '../../../support/program.js';
import { httpCheck, outcome, refusal, rejection, tcpCheck, tryOnce, udpCheck } from './support/checks.js';
import { closedPort, listen, tcpServer } from './support/servers.js';

for (const address of ['127.0.0.1', '::1']) {
  test(`a connection to ${address} is enough, and is closed with a FIN`, async (t) => {
    const server = createServer({ allowHalfOpen: false });
    const ended = once(server, 'connection').then(([socket]: Socket[]) => once(socket as Socket, 'end'));
    server.on('connection', (socket: Socket) => socket.on('error', (error) => t.fail(error.message)).resume());
    const target = await listen(t, server, address);
    const result = await tryOnce(tcpCheck(), target);
    t.true(result.ok);
    t.true(result.latencyUs > 0 && result.latencyUs < 5_000_000);
    await ended;
  });

  test(`nobody listens on ${address}`, async (t) => {
    t.is(await outcome(tcpCheck(), await closedPort(address)), 'connection refused');
  });
}

test('a connection that is not answered ends by the time limit', async (t) => {
  const { target, release } = await fullBacklog();
  t.teardown(release);
  t.is(await outcome(tcpCheck(), target, 250), 'no answer in 250 ms');
});

test('an answer that came while the process was busy is not late', async (t) => {
  const target = await tcpServer(t, () => undefined);
  const trying = outcome(tcpCheck(), target, 20);
  const busyUntil = performance.now() + 60;
  while (performance.now() < busyUntil);
  t.is(await trying, 'passed');
});

test('no route to the target', async (t) => {
  // RFC 6666's prefix of packets that are to be thrown away; nobody routes it.
  const reason = await outcome(tcpCheck(), { address: '100::1', port: 80 }, 300);
  t.regex(reason, /^(network is unreachable|no route to host|no answer in 300 ms)$/);
});

test('a check goes out from the source that it was given', async (t) => {
  const server = createServer();
  const from = once(server, 'connection').then(([socket]: Socket[]) => socket?.remoteAddress);
  const target = await listen(t, server);
  t.true((await tryOnce(tcpCheck(), { ...target, source: '127.0.0.77' })).ok);
  t.is(await from, '127.0.0.77');
});

test('a source that this host does not have is not the fault of the target', async (t) => {
  const target = { ...(await closedPort()), source: '192.0.2.1' };
  const error = await t.throwsAsync(tryOnce(tcpCheck(), target), { instanceOf: FulcrumError });
  t.is(error?.message, 'the source is not an address of this host, or has no free port');
});

test('a source has a port for each target, not for all of them together', async (t) => {
  // Three times as many checks as there are ports, each of which is in TIME-WAIT for a minute afterwards.
  const script = moduleArguments(import.meta.url, './support/from_one_source.js');
  const ports = 'ip link set lo up && sysctl -qw net.ipv4.ip_local_port_range="40000 40199"';
  const unshare = ['unshare', process.getuid?.() === 0 ? '-n' : '-rn', 'sh', '-c'];
  const [program = '', ...parameters] = [...unshare, `${ports} && exec node "$@"`, 'sh', ...script];
  const { stdout } = await promisify(execFile)(program, parameters);
  t.deepEqual(JSON.parse(stdout), { passed: 600 });
});

test('there is no port 0', async (t) => {
  const target = { address: '127.0.0.1', port: 0 };
  for (const check of [tcpCheck(), udpCheck(), httpCheck()])
    for (const from of [target, { ...target, source: '127.0.0.2' }]) {
      const error = await t.throwsAsync(tryOnce(check, from), { instanceOf: FulcrumError });
      t.is(error?.message, 'there is no port to check: give the check one');
    }
});

test('an aborted try rejects, and its connection is gone', async (t) => {
  const { target, release } = await fullBacklog();
  t.teardown(release);
  const abort = new AbortController();
  const before = connecting(target.port);
  const trying = tryOnce(tcpCheck(), target, 60_000, abort.signal);
  await new Promise(setImmediate);
  t.is(connecting(target.port), before + 1);
  abort.abort();
  t.is(await rejection(trying), 'AbortError');
  t.is(await rejection(tryOnce(tcpCheck(), target, 60_000, abort.signal)), 'AbortError');
  t.is(connecting(target.port), before);
});

test('what all checks have in common is read strictly', (t) => {
  t.is(refusal(tcpCheck({ intervalMs: 99 })), 'health.checks[0].interval_ms: 99 is not in 100 … 86400000');
  t.is(refusal(tcpCheck({ timeoutMs: 9 })), 'health.checks[0].timeout_ms: 9 is not in 10 … 3600000');
  t.is(refusal(tcpCheck({ retryIntervalMs: 1 })), 'health.checks[0].retry_interval_ms: 1 is not in 100 … 86400000');
  t.is(refusal(tcpCheck({ warmupMs: 86_400_001 })), 'health.checks[0].warmup_ms: 86400001 is not in 0 … 86400000');
  t.is(refusal(tcpCheck({ port: 65_536 })), 'health.checks[0].port: 65536 is not in 1 … 65535');
  t.is(
    refusal(tcpCheck({ address: 'localhost' })),
    'health.checks[0].address: "localhost" is not an IPv4 or IPv6 address',
  );
  t.is(refusal(tcpCheck({ source: '::g' })), 'health.checks[0].source: "::g" is not an IPv4 or IPv6 address');
  t.is(
    refusal(tcpCheck({ address: '::1', source: '127.0.0.1' })),
    'health.checks[0].source: 127.0.0.1 is not of the family of ::1',
  );
  t.is(refusal(tcpCheck({ name: 'a\nb' })), 'health.checks[0].name: "a\\nb" has a control character');
  t.regex(refusal({ ...tcpCheck(), tcp: null }), /^health\.checks\[0\]: must have a kind: tcp, http/);
});

/** Connections to the port whose SYN is not answered yet (state 2). */
function connecting(port: number): number {
  const digits = port.toString(16).toUpperCase().padStart(4, '0');
  const lines = readFileSync('/proc/self/net/tcp', 'utf8').split('\n');
  return lines.filter((line) => line.includes(`:${digits} 02 `)).length;
}

/** A listener that accepts nobody and has no place left, so that the kernel does not answer further SYNs. */
async function fullBacklog(): Promise<{ readonly target: { address: string; port: number }; release: () => void }> {
  const { Worker } = await import('node:worker_threads');
  // In a thread whose event loop stands still, because Node accepts at once.
  const worker = new Worker(
    `const { createServer } = require('node:net');
     const { parentPort, workerData } = require('node:worker_threads');
     const server = createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
       parentPort.postMessage(server.address().port);
       Atomics.wait(workerData, 0, 0);
       process.exit();
     });`,
    { eval: true, workerData: new Int32Array(new SharedArrayBuffer(4)) },
  );
  const [port] = (await once(worker, 'message')) as [number];
  const { connect } = await import('node:net');
  const fillers = Array.from({ length: 8 }, () => connect(port, '127.0.0.1').on('error', () => undefined));
  await Promise.all(fillers.slice(0, 2).map((socket) => once(socket, 'connect')));
  await new Promise((resolve) => setTimeout(resolve, 50));
  return {
    target: { address: '127.0.0.1', port },
    release: () => {
      for (const socket of fillers) socket.destroy();
      void worker.terminate();
    },
  };
}
