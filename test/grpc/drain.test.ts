// SPDX-License-Identifier: Apache-2.0
// Drains from their beginning to their end, and the deletion of connections, against a dataplane that only counts.
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import type { DrainEnd } from '../../src/generated/fulcrum/v1/DrainEnd.js';
import type { WatchDrainResponse__Output } from '../../src/generated/fulcrum/v1/WatchDrainResponse.js';
import type { DirectorClient } from '../../src/grpc/client.js';
import { failure, type Rig, type RigOptions, startRig, tcp, webService } from './support/director.js';

const service = tcp('192.0.2.1');
const key = { address: '10.0.0.1', port: 8080 };
const draining = { service, key, intervalMs: 100 };

/** A service with two servers, the first of which has so many connections. */
async function startWith(t: ExecutionContext, active: number, inactive: number, options?: RigOptions): Promise<Rig> {
  const rig = await startRig(t, options);
  await rig.client.createVirtualService({ service: webService('192.0.2.1', '10.0.0.1', '10.0.0.2') });
  count(rig, active, inactive);
  return rig;
}

function count({ dataplane }: Rig, activeConnections: number, inactiveConnections: number): void {
  const servers = [
    { key, activeConnections, inactiveConnections },
    { key: { ...key, address: '10.0.0.2' }, activeConnections: 9, inactiveConnections: 9 },
  ];
  dataplane.statistics = { services: [{ key: service, servers }], workers: [] };
}

async function drain(client: DirectorClient, atEnd: DrainEnd, timeoutMs = 0): Promise<void> {
  await client.apply({ operations: { operations: [{ setDrain: { service, key, drain: { atEnd, timeoutMs } } }] } });
}

async function undrain(client: DirectorClient): Promise<void> {
  await client.apply({ operations: { operations: [{ setDrain: { service, key } }] } });
}

async function* happenings(client: DirectorClient): AsyncGenerator<string> {
  for await (const { happened } of client.watch({}))
    if (happened && /^drain|^conn/.test(happened.kind)) yield `${happened.kind} ${happened.message}`;
}

async function lastOf(progress: AsyncIterable<WatchDrainResponse__Output>): Promise<WatchDrainResponse__Output> {
  let last: WatchDrainResponse__Output | undefined;
  for await (const message of progress) last = message;
  if (last === undefined) throw new Error('the stream has no message');
  return last;
}

test('no new connections at once; when the last one ends, the server is removed', async (t) => {
  const rig = await startWith(t, 2, 1);
  const { client, dataplane } = rig;
  const events = happenings(client);
  const first = events.next();
  await drain(client, 'DRAIN_END_REMOVE');
  t.deepEqual(dataplane.outline(), ['192.0.2.1:80: 10.0.0.1:8080=0 10.0.0.2:8080=1']);
  const name = 'TCP 192.0.2.1:80 10.0.0.1:8080';
  t.is((await first).value, `drain_started ${name}: until no connection is left, then removed`);

  const progress = client.watchDrain(draining)[Symbol.asyncIterator]();
  const now = (await progress.next()).value;
  t.like(now, { activeConnections: '2', inactiveConnections: '1', oldestMs: '1500', outcome: '', completed: false });
  t.is(now?.leftMs, undefined);
  const { server } = await client.getRealServer({ service, key });
  t.is(server?.condition?.state, 'SERVER_STATE_DRAINING');

  count(rig, 0, 1);
  const calls = dataplane.calls.get('GetStatistics') ?? 0;
  await dataplane.until(() => (dataplane.calls.get('GetStatistics') ?? 0) > calls + 1);
  t.is((await client.listRealServers({ service })).servers.length, 2);
  count(rig, 0, 0);
  t.is((await events.next()).value, `drain_ended ${name}: no connection is left; removed`);
  await dataplane.until(() => dataplane.outline()[0] === '192.0.2.1:80: 10.0.0.2:8080=1');
  // Templates would send clients to it.
  t.like(dataplane.deleted, [
    { reset: true, templates: true, filter: { serverAddress: '10.0.0.1', serverPort: 8080 } },
  ]);
  for (let message = await progress.next(); !message.done; message = await progress.next())
    if (message.value.outcome !== '') t.true(message.value.completed);
  // Who asks late is told.
  t.is((await lastOf(client.watchDrain(draining))).outcome, 'no connection is left; removed');
});

test('when time is up, what is left is reset, or let be', async (t) => {
  const { client, dataplane } = await startWith(t, 2, 1);
  await drain(client, 'DRAIN_END_RESET', 300);
  const began = performance.now();
  const last = await lastOf(client.watchDrain(draining));
  t.is(last.outcome, 'time is up with 3 connections left; 3 connections reset, kept with weight 0');
  t.true(performance.now() - began < 900, 'the deadline is met though looks are a second apart');
  t.like(last, { completed: true, leftMs: '0', activeConnections: '0' });
  t.is(dataplane.deleted.length, 1);
  const { server } = await client.getRealServer({ service, key });
  t.like(server?.condition, { state: 'SERVER_STATE_DRAINED', effectiveWeight: 0 });
  t.deepEqual(dataplane.outline(), ['192.0.2.1:80: 10.0.0.1:8080=0 10.0.0.2:8080=1']);
  await undrain(client);
  t.deepEqual(dataplane.outline(), ['192.0.2.1:80: 10.0.0.1:8080=1 10.0.0.2:8080=1']);
  t.is((await client.getRealServer({ service, key })).server?.condition, null);
});

test('kept: nothing is deleted', async (t) => {
  const { client, dataplane } = await startWith(t, 2, 1);
  await drain(client, 'DRAIN_END_KEEP', 200);
  const last = await lastOf(client.watchDrain(draining));
  t.is(last.outcome, 'time is up with 3 connections left; kept with weight 0');
  t.like(last, { activeConnections: '2', inactiveConnections: '1' });
  t.deepEqual(dataplane.deleted, []);
});

test('called off, replaced, deleted meanwhile', async (t) => {
  const { client, dataplane } = await startWith(t, 1, 0);
  await drain(client, 'DRAIN_END_REMOVE', 60_000);
  const called = lastOf(client.watchDrain(draining));
  await undrain(client);
  t.like(await called, { outcome: 'called off', completed: false });
  t.deepEqual(dataplane.outline(), ['192.0.2.1:80: 10.0.0.1:8080=1 10.0.0.2:8080=1']);

  await drain(client, 'DRAIN_END_REMOVE', 60_000);
  const progress = client.watchDrain(draining)[Symbol.asyncIterator]();
  t.true(Number((await progress.next()).value?.leftMs) > 50_000);
  await drain(client, 'DRAIN_END_KEEP');
  const { value } = await progress.next();
  t.is(value?.leftMs, undefined);
  t.is(value?.drain?.atEnd, 'DRAIN_END_KEEP');
  await client.deleteRealServer({ service, key });
  let last = value;
  for (let next = await progress.next(); !next.done; next = await progress.next()) last = next.value;
  t.is(last?.outcome, 'the server was deleted meanwhile');
});

test('it goes on over a restart of the manager, by the clock', async (t) => {
  const rig = await startWith(t, 1, 0);
  await drain(rig.client, 'DRAIN_END_REMOVE', 2_000);
  const { server: before } = await rig.client.getRealServer({ service, key });
  await rig.restartManager();
  const { server: after } = await rig.client.getRealServer({ service, key });
  t.deepEqual(after?.drain, before?.drain);
  await rig.stopManager();
  await sleep(Math.max(0, Date.parse(before?.drain?.deadline ?? '') - Date.now()));
  await rig.restartManager();
  await rig.dataplane.until(() => rig.dataplane.outline()[0] === '192.0.2.1:80: 10.0.0.2:8080=1');
  t.is((await rig.client.listRealServers({ service })).servers.length, 1);
});

test('it does not end before the dataplane has weight 0: connections may still begin', async (t) => {
  const { client, dataplane } = await startWith(t, 0, 0, { inForceTimeoutMs: 20 });
  let open = () => {};
  dataplane.gate = new Promise((done) => {
    open = done;
  });
  await drain(client, 'DRAIN_END_REMOVE');
  let seen = 0;
  let isOpen = false;
  for await (const { outcome } of client.watchDrain(draining)) {
    if (outcome !== '') t.true(isOpen);
    if (++seen !== 15) continue;
    isOpen = true;
    open();
  }
  t.true(isOpen);
});

test('other edits do not put its end off', async (t) => {
  const { client } = await startWith(t, 0, 0);
  await drain(client, 'DRAIN_END_KEEP');
  let isOver = false;
  const last = lastOf(client.watchDrain(draining)).finally(() => {
    isOver = true;
  });
  const update = { service, updateMask: { paths: ['spec.weight'] } };
  for (let weight = 1; !isOver && weight < 1_000; weight++)
    await client.updateRealServer({ ...update, server: { key: { ...key, address: '10.0.0.2' }, spec: { weight } } });
  t.true(isOver);
  t.is((await last).outcome, 'no connection is left; kept with weight 0');
});

test('what WatchDrain refuses', async (t) => {
  const { client } = await startWith(t, 0, 0);
  const refused = (request: object) => failure(lastOf(client.watchDrain({ ...draining, ...request })));
  t.is(await refused({}), 'FAILED_PRECONDITION REASON_UNSPECIFIED key');
  t.is(await refused({ intervalMs: 99 }), 'OUT_OF_RANGE REASON_OUT_OF_RANGE interval_ms');
  t.is(await refused({ service: tcp('192.0.2.9') }), 'NOT_FOUND REASON_SERVICE_NOT_FOUND service');
  t.is(await refused({ key: { address: '10.0', port: 1 } }), 'INVALID_ARGUMENT REASON_INVALID key.address');
});

test('deletion: what is meant goes to the dataplane, and is told', async (t) => {
  const { client, dataplane } = await startWith(t, 3, 2);
  const events = happenings(client);
  const first = events.next();
  await client.getStatus({});
  const filter = { service, serverAddress: '10.0.0.1', serverPort: 8080, state: 'ESTABLISHED', client: '198.51.100.7' };
  t.like(await client.deleteConnections({ filter, validateOnly: true, reset: true }), { connections: '5' });
  t.deepEqual(dataplane.deleted, []);
  t.like(await client.deleteConnections({ filter, reset: true }), { connections: '5', templates: '0' });
  t.like(dataplane.deleted, [{ reset: true, templates: false, filter: { ...filter, client: '198.51.100.7/32' } }]);
  const which = 'service TCP 192.0.2.1:80, server 10.0.0.1 port 8080, client 198.51.100.7/32, state ESTABLISHED';
  t.is((await first).value, `connections_deleted 5 with a reset, and 0 templates, by unix: ${which}`);
});

test('what a deletion refuses', async (t) => {
  const { client, dataplane } = await startWith(t, 3, 2);
  const refused = (request: Parameters<typeof client.deleteConnections>[0]) =>
    failure(client.deleteConnections(request));
  const wrong = 'INVALID_ARGUMENT REASON_INVALID';
  t.is(await refused({}), `${wrong} filter`);
  t.is(await refused({ filter: {}, reset: true }), `${wrong} filter`);
  t.is(await refused({ filter: { state: 'UDP' }, all: true }), `${wrong} all`);
  t.is(await refused({ filter: { state: 'OPEN' } }), `${wrong} filter.state`);
  t.is(await refused({ filter: { serverPort: 80 } }), `${wrong} filter.server_port`);
  t.is(
    await refused({ filter: { serverAddress: '10.0.0.1', serverPort: 65_536 } }),
    'OUT_OF_RANGE REASON_OUT_OF_RANGE filter.server_port',
  );
  t.is(await refused({ filter: { serverAddress: '10.0.0' } }), `${wrong} filter.server_address`);
  t.is(await refused({ filter: { client: '198.51.100.1/24' } }), `${wrong} filter.client`);
  t.is(await refused({ filter: { protocol: 99 as never } }), `${wrong} filter.protocol`);
  t.is(await refused({ filter: { service: { address: '192.0.2.1' } } }), `${wrong} filter.service.protocol`);
  t.deepEqual(dataplane.deleted, []);
  t.is(await refused({ all: true }), 'no failure');
});
