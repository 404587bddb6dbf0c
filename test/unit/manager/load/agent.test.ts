// SPDX-License-Identifier: Apache-2.0
// Agents against a real TCP server: what counts as an answer, what stays when there is none, and what only the agent takes
// back.
import { once } from 'node:events';
import type { Socket } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { closedPort, tcpServer } from '../health/support/servers.js';
import { agentSource, askOnce, refusal, Watcher } from './support/sources.js';

/** An agent that says this, piece by piece, and then closes. */
const saying = (t: ExecutionContext, ...pieces: readonly string[]) =>
  tcpServer(t, async (socket) => {
    for (const piece of pieces) {
      socket.write(piece);
      await new Promise(setImmediate);
    }
    socket.end();
  });

test('the line counts up to its first CR or LF', async (t) => {
  t.is(await askOnce(agentSource(), await saying(t, '30%\n')), '30%');
  t.is(await askOnce(agentSource(), await saying(t, 'up 100%\r\ndown\n')), 'up 100%');
  t.is(await askOnce(agentSource(), await saying(t, 'up', ' 10', '0%', '\r')), 'up 100%');
  t.is(await askOnce(agentSource(), await saying(t, '\n')), '');
  t.is(await askOnce(agentSource(), await saying(t, 'down #\x1b[31mröd\n')), 'down #?[31mröd');
});

test('without an end of the line nothing was said', async (t) => {
  t.is(await askOnce(agentSource(), await saying(t)), 'connection closed without an answer');
  t.is(await askOnce(agentSource(), await saying(t, '30%')), 'connection closed in the middle of a line');
  t.is(await askOnce(agentSource(), await closedPort()), 'connection refused');
  const silent = await tcpServer(t, (socket) => void socket.resume());
  t.is(await askOnce(agentSource(), silent, 100), 'connected, but no answer in 100 ms');
  const slow = await tcpServer(t, (socket) => void socket.write('30%'));
  t.is(await askOnce(agentSource(), slow, 100), 'no end of the line in 100 ms');
  const endless = await tcpServer(t, (socket) => void socket.write('x'.repeat(20_000)));
  t.is(await askOnce(agentSource(), endless), 'no end of the line in 16384 bytes');
});

test('what is to be sent is sent as it is', async (t) => {
  const echo = await tcpServer(t, (socket) => socket.once('data', (data: Buffer) => socket.end(`up #${data}`)));
  t.is(await askOnce(agentSource({}, 'web\r\n'), echo), 'up #web');
});

/** An agent in the test's hands: each question is answered when the test says how. */
async function agent(t: ExecutionContext) {
  const waiting: Socket[] = [];
  let wake = (): void => {};
  const target = await tcpServer(t, (socket) => {
    waiting.push(socket);
    wake();
  });
  const answer = async (text: string): Promise<void> => {
    while (waiting.length === 0)
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    const socket = waiting.shift() as Socket;
    const closed = once(socket, 'close');
    socket.resume().end(text);
    await closed;
  };
  return { target, answer };
}

test('what an agent says holds until it says something else', async (t) => {
  const { target, answer } = await agent(t);
  const watcher = new Watcher(t);
  watcher.set(target, agentSource({ intervalMs: 100, timeoutMs: 5000, port: target.port }));
  await answer('30%\n');
  t.is(await watcher.next(), '30%');
  // Nothing, half a line and garbage change nothing; the next change is told alone.
  await answer('');
  await answer('90');
  await watcher.problem(/^connection closed in the middle of a line$/);
  await answer('hello\n');
  await watcher.problem(/^does not know "hello"$/);
  await answer('drain\n');
  t.is(await watcher.next(), '30% drain');
  await answer('50%\n');
  t.is(await watcher.next(), '50% drain');
  await answer('down #disk full\n');
  t.is(await watcher.next(), '50% drain agent: down: disk full');
  await answer('maxconn:20\n');
  t.is(await watcher.next(), '50% drain agent: down: disk full most 20');
  await answer('ready\n');
  t.is(await watcher.next(), '50% agent: down: disk full most 20');
  await answer('up 100%\n');
  t.is(await watcher.next(), '100% most 20');
  await answer('0%\n');
  t.is(await watcher.next(), '0% most 20');
  t.is(watcher.monitor.status('a')?.lastReading, '0%');
});

test('who goes on where it was left knows what was said', async (t) => {
  const { target, answer } = await agent(t);
  const watcher = new Watcher(t);
  const source = agentSource({ intervalMs: 100, timeoutMs: 5000, port: target.port });
  const known = {
    kind: 'agent',
    percent: 40,
    admin: 'drain',
    down: null,
    maxConnections: null,
    since: '2026-01-01T00:00:00.000Z',
    reading: '40% drain',
    readAt: '2026-01-01T00:00:00.000Z',
  } as const;
  watcher.set(target, source, known);
  await answer('40%\n');
  await answer('ready\n');
  t.is(await watcher.next(), '40%');
});

test('bounds', async (t) => {
  const { target, answer } = await agent(t);
  const watcher = new Watcher(t);
  const bounds = { leastPercent: 20, greatestPercent: 150 };
  watcher.set(target, agentSource({ intervalMs: 100, timeoutMs: 5000, port: target.port, ...bounds }));
  await answer('5%\n');
  t.is(await watcher.next(), '20%');
  await answer('500%\n');
  t.is(await watcher.next(), '150%');
  await answer('0%\n');
  t.is(await watcher.next(), '0%');
});

test('an expiry, where one is wanted', async (t) => {
  const { target, answer } = await agent(t);
  const watcher = new Watcher(t);
  watcher.set(target, agentSource({ intervalMs: 100, timeoutMs: 5000, port: target.port, expiryMs: 200 }));
  await answer('50% drain\n');
  t.is(await watcher.next(), '50% drain');
  t.is(await watcher.next(), '100% drain');
  await answer('50%\n');
  t.is(await watcher.next(), '50% drain');
});

test('a source that is taken away is asked no more', async (t) => {
  const { target, answer } = await agent(t);
  const watcher = new Watcher(t);
  watcher.set(target, agentSource({ intervalMs: 100, timeoutMs: 5000, port: target.port }));
  await answer('30%\n');
  t.is(await watcher.next(), '30%');
  watcher.monitor.remove('a');
  t.is(watcher.monitor.status('a'), undefined);
  await watcher.monitor.stop();
  t.deepEqual(watcher.told, []);
});

test('what cannot be asked is refused, and the field named', (t) => {
  t.is(refusal({ ...agentSource(), port: 0 }), 'health.load.port: must be given: an agent has a port of its own');
  t.is(refusal(agentSource({ port: 70_000 })), 'health.load.port: 70000 is not in 1 … 65535');
  t.is(refusal(agentSource({ intervalMs: 50 })), 'health.load.interval_ms: 50 is not in 100 … 86400000');
  t.is(refusal(agentSource({ timeoutMs: 5 })), 'health.load.timeout_ms: 5 is not in 10 … 3600000');
  t.is(refusal(agentSource({ idle: 1 })), 'health.load.idle: an agent says by itself what share it wants');
  t.is(refusal(agentSource({ leastPercent: 30_000 })), 'health.load.least_percent: 30000 is not in 0 … 25600');
  t.is(
    refusal(agentSource({ leastPercent: 50, greatestPercent: 40 })),
    'health.load.least_percent: 50 is more than greatest_percent, which is 40',
  );
  t.is(
    refusal(agentSource({ greatestPercent: 0 })),
    'health.load.greatest_percent: with 0 the server would never serve',
  );
  t.is(refusal(agentSource({ deadBandPercent: 101 })), 'health.load.dead_band_percent: 101 is not in 0 … 100');
  t.is(refusal(agentSource({ smoothingMs: 4_000_000 })), 'health.load.smoothing_ms: 4000000 is not in 0 … 3600000');
  t.is(refusal(agentSource({ expiryMs: 90_000_000 })), 'health.load.expiry_ms: 90000000 is not in 0 … 86400000');
  t.is(
    refusal(agentSource({ address: 'localhost' })),
    'health.load.address: "localhost" is not an IPv4 or IPv6 address',
  );
  const { agent: _agent, kind: _kind, ...nothing } = agentSource();
  t.is(refusal(nothing), 'health.load: must have a kind: agent, orca or number');
});
