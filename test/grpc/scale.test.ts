// SPDX-License-Identifier: Apache-2.0
// Ten thousand services: one call makes them, and what an edit of one costs does not depend on the others.
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { ServiceKey } from '../../src/generated/fulcrum/v1/ServiceKey.js';
import { startRig } from './support/director.js';

const count = 10_000;
const patience = { timeoutMs: 60_000 };

const keyOf = (index: number): ServiceKey => ({
  protocol: 'PROTOCOL_TCP',
  address: `192.0.2.${1 + (index % 200)}`,
  port: 1 + index,
});
const serverKeys = (index: number) => ['10.0.0.1', '10.0.0.2'].map((address) => ({ address, port: 1 + index }));

/** Sizes of the files of the state. */
function sizes(directory: string): { readonly journal: number; readonly stateChanged: number } {
  const state = join(directory, 'state');
  const journals = readdirSync(state).filter((name) => name.startsWith('journal-'));
  const journal = journals.reduce((sum, name) => sum + statSync(join(state, name)).size, 0);
  return { journal, stateChanged: statSync(join(state, 'state.json')).mtimeMs };
}

test('ten thousand services: applied, edited, watched, listed, kept and deleted', async (t) => {
  const { client, dataplane, directory, restartManager } = await startRig(t, { inForceTimeoutMs: 60_000 });
  const services = Array.from({ length: count }, (_, index) => ({
    key: keyOf(index),
    servers: serverKeys(index).map((key) => ({ key })),
  }));
  t.true((await client.apply({ configuration: { services } }, patience)).inForce);
  t.is(dataplane.services.size, count);

  // One edit: one record on disk, one operation to the dataplane, one change to who watches.
  const watching = new AbortController();
  const changes = client.watch({}, { signal: watching.signal })[Symbol.asyncIterator]();
  for (let message = await changes.next(); !message.value.endOfSnapshot; ) message = await changes.next();
  const before = sizes(directory);
  const sent = dataplane.applied.length;
  const server = { key: serverKeys(5_000)[0] ?? null, spec: { weight: 7 } };
  t.true((await client.updateRealServer({ service: keyOf(5_000), server }, patience)).inForce);
  const after = sizes(directory);
  t.is(after.stateChanged, before.stateChanged);
  t.true(after.journal - before.journal < 1_000, `${after.journal - before.journal} bytes`);
  t.is(dataplane.applied.length, sent + 1);
  t.is(dataplane.applied.at(-1)?.operations?.operations?.length, 1);
  t.is((await changes.next()).value.service?.key?.port, 5_001);
  watching.abort();

  // Short pages, each service once.
  const seen: number[] = [];
  for (let pageToken = '', pages = 0; pages === 0 || pageToken !== ''; pages++) {
    const page = await client.listVirtualServices({ pageToken, pageSize: count }, patience);
    t.true(page.services.reduce((sum, service) => sum + 1 + service.servers.length, 0) <= 2_000);
    seen.push(...page.services.map(({ key }) => key?.port ?? 0));
    pageToken = page.nextPageToken;
  }
  t.deepEqual(
    seen,
    Array.from({ length: count }, (_, index) => 1 + index),
  );

  await restartManager();
  const { service } = await client.getVirtualService({ key: keyOf(5_000) }, patience);
  t.deepEqual(
    service?.servers.map(({ spec }) => spec?.weight),
    [1, 7],
  );

  const operations = services.map(({ key }) => ({ deleteService: key }));
  t.true((await client.apply({ operations: { operations } }, patience)).inForce);
  t.is(dataplane.services.size, 0);
  t.is((await client.getStatus({}, patience)).services, 0);
});
