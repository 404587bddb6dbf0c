// SPDX-License-Identifier: Apache-2.0
// Traffic policies and prefix lists through the API of a manager that runs.
import test from 'ava';
import { failure, startRig, tcp, webService } from './support/director.js';

const key = tcp('192.0.2.1');
const list = { name: 'bad', prefixes: ['203.0.113.0/24', '198.51.100.7/32'] };
const policy = {
  allow: [],
  deny: ['bad', '10.0.0.0/8'],
  maxConnections: 9,
  connectionsPerSecond: 5,
  connectionsBurst: 7,
  mss: 0,
  mssAuto: true,
};

test('a policy and a list: sent on, read, listed, kept over a restart, and part of a snapshot', async (t) => {
  const { client, dataplane, restartManager } = await startRig(t);
  await client.apply({ operations: { operations: [{ setPrefixList: list }] } });
  const { service } = await client.createVirtualService({ service: { ...webService('192.0.2.1'), traffic: policy } });
  t.deepEqual(service?.traffic, policy);
  const sent = dataplane.applied.at(-1)?.operations?.operations;
  t.deepEqual(
    sent?.map(({ action }) => action),
    ['addService', 'setTraffic'],
  );
  t.deepEqual(sent?.[1]?.setTraffic?.traffic, policy);

  await restartManager();
  const { configuration } = await client.getConfiguration({});
  t.deepEqual(configuration?.services[0]?.traffic, policy);
  t.deepEqual(configuration?.prefixLists, [list]);
  const { lists } = await client.listPrefixLists({ namesOnly: true });
  t.like(lists[0], { prefixes: 2, list: { name: 'bad', prefixes: [] } });
  t.is(lists[0]?.services[0]?.address, '192.0.2.1');
  t.is(await failure(client.listPrefixLists({ name: 'worse' })), 'NOT_FOUND REASON_PREFIX_LIST_NOT_FOUND name');

  const before = dataplane.applied.length;
  await dataplane.restart();
  await dataplane.until(() => dataplane.applied.length > before);
  const snapshot = dataplane.applied.at(-1)?.snapshot;
  t.deepEqual(snapshot?.services[0]?.traffic, policy);
  t.deepEqual(snapshot?.prefixLists, [list]);
});

test('an edit of the spec leaves the policy alone; refusals name the field of the request', async (t) => {
  const { client } = await startRig(t);
  await client.createVirtualService({ service: { ...webService('192.0.2.1'), traffic: { mss: 1360 } } });
  const { service } = await client.updateVirtualService({ service: { key, spec: { scheduler: 'lc' } } });
  t.is(service?.traffic?.mss, 1360);
  t.is(
    await failure(
      client.createVirtualService({
        service: { ...webService('192.0.2.2'), traffic: { deny: ['10.0.0.0/8', 'worse'] } },
      }),
    ),
    'NOT_FOUND REASON_PREFIX_LIST_NOT_FOUND service.traffic.deny[1]',
  );
  await client.apply({ configuration: { services: [{ key, traffic: { deny: ['bad'] } }], prefixLists: [list] } });
  t.is(
    await failure(client.apply({ operations: { operations: [{ deletePrefixList: 'bad' }] } })),
    'FAILED_PRECONDITION REASON_PREFIX_LIST_IN_USE operations[0].delete_prefix_list',
  );
});

test('a watcher is told of lists as they are made, replaced and deleted', async (t) => {
  const { client } = await startRig(t);
  await client.apply({ operations: { operations: [{ setPrefixList: list }] } });
  const seen: string[] = [];
  for await (const { prefixList, prefixListRemoved, endOfSnapshot } of client.watch({})) {
    if (prefixList) seen.push(`${prefixList.name} ${prefixList.prefixes.length}`);
    if (endOfSnapshot) {
      await client.apply({ operations: { operations: [{ setPrefixList: { ...list, prefixes: [] } }] } });
      await client.apply({ operations: { operations: [{ deletePrefixList: 'bad' }] } });
    }
    if (prefixListRemoved) {
      seen.push(`- ${prefixListRemoved}`);
      break;
    }
  }
  t.deepEqual(seen, ['bad 2', 'bad 0', '- bad']);
});
