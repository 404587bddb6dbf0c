// SPDX-License-Identifier: Apache-2.0
// Watch: snapshot, end marker, then changes in order.
import { once } from 'node:events';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { tunableValues } from '../../src/config/tunables.js';
import type { WatchResponse__Output } from '../../src/generated/fulcrum/v1/WatchResponse.js';
import { type DirectorClient, socketTarget } from '../../src/grpc/client.js';
import { loadDirectorService } from '../../src/grpc/loader.js';
import { startRig, tcp, webService } from './support/director.js';

/** "service 192.0.2.1 [10.0.0.1]", "vip 192.0.2.1 1", "end", … */
function short(message: WatchResponse__Output): string {
  switch (message.event) {
    case 'service':
      return `service ${message.service?.key?.address} [${message.service?.servers.map((one) => one.key?.address).join(' ')}]`;
    case 'serviceRemoved':
      return `gone ${message.serviceRemoved?.key?.address}`;
    case 'vip':
      return `vip ${message.vip?.address} ${message.vip?.services}`;
    case 'vipRemoved':
      return `vip gone ${message.vipRemoved?.address}`;
    case 'timeouts':
      return `timeouts ${message.timeouts?.tcpS}`;
    case 'tunables':
      return `tunables ${JSON.stringify(tunableValues(message.tunables ?? {}))}`;
    case 'markRules':
      return `marks ${message.markRules?.rules.map(({ mark }) => mark).join(' ')}`.trimEnd();
    case 'endOfSnapshot':
      return 'end';
    default:
      return `happened ${message.happened?.kind}`;
  }
}

/** Reads on, a number of messages at a time; what happens in the dataplane is left out unless asked for. */
function watcher(t: ExecutionContext, client: DirectorClient, withHappened = false) {
  const controller = new AbortController();
  t.teardown(() => controller.abort());
  const messages = client.watch({}, { signal: controller.signal })[Symbol.asyncIterator]();
  return {
    take: async (count: number): Promise<string[]> => {
      const texts: string[] = [];
      while (texts.length < count) {
        const { value, done } = await messages.next();
        if (done) throw new Error(`the stream ended after ${texts.join(', ')}`);
        if (withHappened || value.event !== 'happened') texts.push(short(value));
      }
      return texts;
    },
  };
}

test('snapshot, end marker, changes as they happen', async (t) => {
  const { client } = await startRig(t);
  await client.createVirtualService({ service: webService('192.0.2.1', '10.0.0.1') });
  await client.setVip({ vip: { address: '192.0.2.7' } });
  const { take } = watcher(t, client);
  t.deepEqual(await take(7), [
    'service 192.0.2.1 [10.0.0.1]',
    'vip 192.0.2.7 0',
    'vip 192.0.2.1 1',
    'timeouts 900',
    'tunables {}',
    'marks',
    'end',
  ]);
  await client.createVirtualService({ service: webService('192.0.2.2') });
  t.deepEqual(await take(2), ['service 192.0.2.2 []', 'vip 192.0.2.2 1']);
  const server = { key: { address: '10.0.0.2', port: 80 }, spec: { method: 'FORWARDING_METHOD_NAT' } } as const;
  await client.createRealServer({ service: tcp('192.0.2.1'), server });
  t.deepEqual(await take(1), ['service 192.0.2.1 [10.0.0.2 10.0.0.1]']);
  await client.deleteVip({ address: '192.0.2.7' });
  await client.apply({ operations: { operations: [{ setTimeouts: { tcpS: 60 } }] } });
  await client.deleteVirtualService({ key: tcp('192.0.2.1') });
  t.deepEqual(await take(4), ['vip gone 192.0.2.7', 'timeouts 60', 'gone 192.0.2.1', 'vip gone 192.0.2.1']);
});

test('tunables and mark rules as they change', async (t) => {
  const { client } = await startRig(t);
  await client.setTunables({ tunables: { sloppyTcp: 1 } });
  const { take } = watcher(t, client);
  t.deepEqual(await take(4), ['timeouts 900', 'tunables {"sloppyTcp":1}', 'marks', 'end']);
  await client.setTunables({ tunables: { sloppyTcp: 0, amDroprate: 5 } });
  await client.setMarkRules({ markRules: { rules: [{ mark: 7 }, { mark: 8 }] } });
  t.deepEqual(await take(2), ['tunables {"amDroprate":5}', 'marks 7 8']);
});

test('a range takes the addresses in it along, and gives them back', async (t) => {
  const { client } = await startRig(t);
  await client.createVirtualService({ service: webService('203.0.113.1') });
  const { take } = watcher(t, client);
  t.deepEqual((await take(6))[1], 'vip 203.0.113.1 1');
  await client.setVip({ vip: { address: '203.0.113.0/24' } });
  t.deepEqual(await take(2), ['vip 203.0.113.0/24 1', 'vip gone 203.0.113.1']);
  await client.createVirtualService({ service: webService('203.0.113.2') });
  t.deepEqual(await take(2), ['service 203.0.113.2 []', 'vip 203.0.113.0/24 2']);
  await client.deleteVip({ address: '203.0.113.0/24' });
  t.deepEqual(await take(3), ['vip 203.0.113.1 1', 'vip 203.0.113.2 1', 'vip gone 203.0.113.0/24']);
});

test('watchers see the same order, and revisions that never go back', async (t) => {
  const { client } = await startRig(t);
  const first = watcher(t, client);
  const second = watcher(t, client);
  await Promise.all([first.take(4), second.take(4)]);
  await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      client.createVirtualService({ service: webService(`192.0.2.${index + 1}`) }),
    ),
  );
  const seen = await first.take(40);
  t.deepEqual(await second.take(40), seen);
  t.is(new Set(seen).size, 40);
});

test('the end of the connection to the dataplane, and its events, are told', async (t) => {
  const { client, dataplane } = await startRig(t);
  await client.createVirtualService({ service: webService('192.0.2.1') });
  const { take } = watcher(t, client, true);
  await take(6);
  dataplane.emit({ event: { kind: 'port_down', message: 'wan' } });
  t.deepEqual(await take(1), ['happened port_down']);
  dataplane.emit({ lost: 3 });
  t.deepEqual(await take(1), ['happened events_lost']);
  await dataplane.restart();
  t.deepEqual(await take(2), ['happened dataplane_lost', 'happened dataplane_connected']);
});

test('a reader that does not read is ended, and others are not held up', async (t) => {
  const { client, socket } = await startRig(t, { watchBound: 3_000 });
  const method = loadDirectorService().Watch;
  const raw = new Client(socketTarget(socket), credentials.createInsecure());
  t.teardown(() => raw.close());
  const stalled = raw.makeServerStreamRequest(
    method.path,
    method.requestSerialize,
    method.responseDeserialize,
    {},
    new Metadata(),
  );
  await once(stalled, 'data');
  stalled.pause();
  const quick = watcher(t, client);
  await quick.take(4);

  const names = Array.from({ length: 200 }, (_, index) => `10.0.0.${index + 1}`);
  await client.createVirtualService({ service: webService('192.0.2.1', ...names) });
  await quick.take(2);
  // More than what the buffers on the way hold.
  for (let round = 0; round < 250; round++) {
    const server = {
      key: { address: '10.0.0.1', port: 8080 },
      spec: { method: 'FORWARDING_METHOD_NAT', weight: round },
    } as const;
    await client.updateRealServer({ service: tcp('192.0.2.1'), server });
    await quick.take(1);
  }
  const ended = once(stalled, 'error');
  stalled.resume();
  const [error] = await ended;
  t.regex(error.message, /RESOURCE_EXHAUSTED: the reader is too slow/);
});

test('a watcher that leaves is forgotten, and the manager stops with one still there', async (t) => {
  const { client, stopManager } = await startRig(t);
  const controller = new AbortController();
  const messages = client.watch({}, { signal: controller.signal });
  const ended = t.throwsAsync(async () => {
    for await (const message of messages) if (message.event === 'endOfSnapshot') controller.abort();
  });
  t.like(await ended, { code: 'CANCELLED' });
  const { take } = watcher(t, client);
  await take(4);
  const begin = performance.now();
  await stopManager();
  t.true(performance.now() - begin < 3_000);
  await t.throwsAsync(take(1));
});
