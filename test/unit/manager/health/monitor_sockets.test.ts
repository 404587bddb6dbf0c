// SPDX-License-Identifier: Apache-2.0
// The monitor with real time and real connections: hundreds of servers that fail and come back together.
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import test from 'ava';
import { type Change, Monitor } from '../../../../src/manager/health/monitor.js';
import { prepareCheck } from '../../../../src/manager/health/prepare.js';
import { commandCheck, path, tcpCheck } from './support/checks.js';

const targets = 300;
const intervalMs = 200;

/** 127.77.0.1, 127.77.0.2, … */
const addressOf = (index: number): string => `127.77.${(index + 1) >> 8}.${(index + 1) & 255}`;

async function listening(port: number): Promise<Server> {
  const server = createServer((socket) => void socket.on('error', () => undefined).resume());
  server.listen({ port, host: '0.0.0.0', backlog: 1024 });
  await once(server, 'listening');
  return server;
}

const openFiles = (): number => readdirSync('/proc/self/fd').length;

/** Changes as they come, and a way to wait until there were so many. */
class Told {
  readonly batches: (readonly Change[])[] = [];
  #seen: (() => void) | undefined;

  readonly take = (batch: readonly Change[]): void => {
    this.batches.push(batch);
    this.#seen?.();
  };

  async next(count: number): Promise<readonly (readonly Change[])[]> {
    while (this.batches.flat().length < count)
      await new Promise<void>((resolve) => {
        this.#seen = resolve;
      });
    return this.batches.splice(0);
  }
}

test('hundreds of servers that fail at once are told in few batches, and so is their return', async (t) => {
  let server = await listening(0);
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  const filesBefore = openFiles();
  const told = new Told();
  const monitor = new Monitor({ onChange: told.take });
  // All at the same time: what one rack's switch does.
  const check = prepareCheck(tcpCheck({ intervalMs, warmupMs: 0, fall: 2, retryIntervalMs: 100 }), path);
  for (let index = 0; index < targets; index++)
    monitor.set(`${index}`, { target: { address: addressOf(index), port }, checks: [check], initial: 'unknown' });
  const up = await told.next(targets);
  t.true(up.flat().every((change) => change.up && change.latencyUs > 0));
  server.close();
  const down = await told.next(targets);
  t.true(down.flat().every(({ up, reason }) => !up && reason === 'tcp: connection refused'));
  t.is(new Set(down.flat().map(({ targetId }) => targetId)).size, targets);
  t.true(down.length <= targets / 10, `${down.length} batches`);
  server = await listening(port);
  const back = await told.next(targets);
  t.true(back.flat().every((change) => change.up));
  await monitor.stop();
  // The server's sides of the last connections end as soon as it has heard of it.
  while (openFiles() > filesBefore) await new Promise((resolve) => setTimeout(resolve, 10));
  t.is(openFiles(), filesBefore);
});

test('stop ends commands that are under way', async (t) => {
  const told = new Told();
  const monitor = new Monitor({ onChange: told.take });
  const check = prepareCheck({ ...commandCheck(['/bin/sleep', '67']), warmupMs: 0, timeoutMs: 60_000 }, path);
  monitor.set('a', { target: { address: '127.0.0.1', port: 1 }, checks: [check], initial: 'unknown' });
  while (monitor.counts().underWay === 0) await new Promise(setImmediate);
  const begun = performance.now();
  await monitor.stop();
  t.true(performance.now() - begun < 10_000);
  t.is(monitor.counts().underWay, 0);
  t.deepEqual(told.batches, []);
});
