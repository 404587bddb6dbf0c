// SPDX-License-Identifier: Apache-2.0
import test from 'ava';
import { EventFanout, serializeLost } from '../../../src/dataplane/event_fanout.js';
import { loadDataplaneServices } from '../../../src/grpc/loader.js';

const { WatchEvents } = loadDataplaneServices().dataplane;

function event(kind: string): Buffer {
  return WatchEvents.responseSerialize({ event: { kind } });
}

function short(bytes: Uint8Array): string {
  const { event: happened, lost } = WatchEvents.responseDeserialize(Buffer.from(bytes));
  return happened === null ? `lost ${lost}` : (happened?.kind ?? '');
}

async function take(events: AsyncIterator<Uint8Array>, count: number): Promise<string[]> {
  const texts: string[] = [];
  while (texts.length < count) {
    const { value, done } = await events.next();
    if (done) return [...texts, 'end'];
    texts.push(short(value));
  }
  return texts;
}

test('each reader gets each event once, from the call on', async (t) => {
  const fanout = new EventFanout();
  const controller = new AbortController();
  fanout.publish(event('before'));
  const first = fanout.subscribe(controller.signal)[Symbol.asyncIterator]();
  fanout.publish(event('a'));
  const second = fanout.subscribe(controller.signal)[Symbol.asyncIterator]();
  fanout.publish(event('b'));
  t.deepEqual(await take(first, 2), ['a', 'b']);
  t.deepEqual(await take(second, 1), ['b']);
  const waiting = take(first, 1);
  fanout.publish(event('c'));
  t.deepEqual(await waiting, ['c']);
});

test('a slow reader loses the newest, and is told how many before the next', async (t) => {
  const fanout = new EventFanout();
  const slow = fanout.subscribe(new AbortController().signal)[Symbol.asyncIterator]();
  for (let index = 0; index < 1_024 + 300; index++) fanout.publish(event(String(index)));
  const seen = await take(slow, 1_025);
  t.is(seen[0], '0');
  t.is(seen[1_023], '1023');
  t.is(seen[1_024], 'lost 300');
  fanout.publish(event('after'));
  t.deepEqual(await take(slow, 1), ['after']);
});

test('a reader that leaves ends', async (t) => {
  const fanout = new EventFanout();
  const controller = new AbortController();
  const events = fanout.subscribe(controller.signal)[Symbol.asyncIterator]();
  const waiting = take(events, 1);
  controller.abort();
  t.deepEqual(await waiting, ['end']);
});

test('at the end readers get what is queued, then end, also those that come later', async (t) => {
  const fanout = new EventFanout();
  const { signal } = new AbortController();
  const waiting = take(fanout.subscribe(signal)[Symbol.asyncIterator](), 2);
  fanout.publish(event('last'));
  fanout.end();
  t.deepEqual(await waiting, ['last', 'end']);
  t.deepEqual(await take(fanout.subscribe(signal)[Symbol.asyncIterator](), 1), ['end']);
});

test('lost counts of any size', (t) => {
  for (const count of [1, 127, 128, 300, 2 ** 32 + 5]) t.is(short(serializeLost(count)), `lost ${count}`);
});
