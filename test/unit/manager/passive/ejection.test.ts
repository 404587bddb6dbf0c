// SPDX-License-Identifier: Apache-2.0
// Who is ejected, for how long, and how many at most.
import test from 'ava';
import type { Server, ServiceKey } from '../../../../src/manager/nouns.js';
import type { Signals } from '../../../../src/manager/passive/answers.js';
import { type Ejection, ejectionChanges, type Past } from '../../../../src/manager/passive/ejection.js';
import { readPassiveHealth } from '../../../../src/manager/passive/policy.js';
import { firstCondition } from '../../../../src/manager/pool.js';
import { serverSpec } from '../support/operations.js';

const service: ServiceKey = {
  protocol: 'PROTOCOL_TCP',
  address: '192.0.2.1',
  port: 80,
  fwmark: 0,
  family: 'ADDRESS_FAMILY_IPV4',
};
const unset = {
  windowMs: 0,
  leastConnections: 0,
  unansweredPercent: 0,
  resetPercent: 0,
  ejectionMs: 0,
  mostEjectedPercent: 0,
};
const start = Date.parse('2026-05-01T12:00:00Z');

type Given = Partial<Pick<Server, 'drain'>> & {
  readonly weight?: number;
  readonly ejection?: Ejection;
  readonly down?: boolean;
};

function pool(count: number, given: Readonly<Record<number, Given>> = {}): Map<string, Server> {
  const servers = Array.from({ length: count }, (_, index): Server => {
    const { weight = 1, drain = null, ejection, down = false } = given[index + 1] ?? {};
    return {
      key: { address: `10.0.0.${index + 1}`, port: 80 },
      spec: serverSpec({ weight }) as Server['spec'],
      sequence: index,
      version: 1,
      health: null,
      condition: {
        ...firstCondition(false, '2026-05-01T11:00:00Z'),
        up: !down,
        checked: true,
        ...(ejection && { ejection }),
      },
      drain,
    };
  });
  return new Map(servers.map((server) => [`${server.key.address}:80`, server]));
}

const id = (last: number): string => `10.0.0.${last}:80`;

function changes(
  servers: ReadonlyMap<string, Server>,
  signals: Readonly<Record<number, Partial<Signals>>>,
  policy: Partial<typeof unset> = { unansweredPercent: 50 },
  { at = 0, past = {} }: { readonly at?: number; readonly past?: Readonly<Record<number, Past>> } = {},
): string[] {
  const found = ejectionChanges(servers, readPassiveHealth({ ...unset, ...policy }, service, 'passive'), {
    signals: new Map(
      Object.entries(signals).map(([last, some]) => [
        id(Number(last)),
        { opened: 0, unanswered: 0, reset: 0, ...some },
      ]),
    ),
    past: new Map(Object.entries(past).map(([last, known]) => [id(Number(last)), known])),
    now: start + at,
  });
  return found.map(({ server, ejection }) => {
    const seconds = ejection && (Date.parse(ejection.until) - Date.parse(ejection.since)) / 1000;
    const fate = ejection === null ? 'back' : `${ejection.reason}, ${seconds} s, ${ejection.times}`;
    return `${server.key.address}: ${fate}`;
  });
}

const out = (untilMs: number, times = 1): Ejection => ({
  since: new Date(start - 30_000).toISOString(),
  until: new Date(start + untilMs).toISOString(),
  reason: 'bad',
  times,
});
const bad = { opened: 100, unanswered: 60 };

test('a share that reaches the limit ejects, one below does not, and few connections say nothing', (t) => {
  const of = (signals: Partial<Signals>) => changes(pool(3), { 2: signals });
  t.deepEqual(of({ opened: 40, unanswered: 20 }), ['10.0.0.2: 20 of 40 SYNs unanswered within 10 s, 30 s, 1']);
  t.deepEqual(of({ opened: 40, unanswered: 19 }), []);
  t.deepEqual(of({ opened: 19, unanswered: 19 }), []);
  t.deepEqual(of({ opened: 40, reset: 40 }), []);
});

test('resets of connections that are older count, too', (t) => {
  const policy = { resetPercent: 20, windowMs: 5_000, ejectionMs: 60_000, leastConnections: 10 };
  t.deepEqual(changes(pool(3), { 1: { opened: 10, reset: 30 } }, policy), [
    '10.0.0.1: 30 connections reset, 10 begun within 5 s, 60 s, 1',
  ]);
});

test('without limits nobody is ejected', (t) => {
  t.deepEqual(changes(pool(3), { 1: { opened: 100, unanswered: 100, reset: 100 } }, {}), []);
});

test('at most the configured share of the servers, but at least one; the worst first; never the last that serves', (t) => {
  const signals = { 1: { opened: 100, unanswered: 60 }, 2: { opened: 100, unanswered: 90 }, 3: bad };
  const who = (found: readonly string[]) => found.map((line) => line.split(':')[0]);
  t.deepEqual(who(changes(pool(5), signals)), ['10.0.0.2']);
  t.deepEqual(who(changes(pool(5), signals, { unansweredPercent: 50, mostEjectedPercent: 40 })), [
    '10.0.0.2',
    '10.0.0.1',
  ]);
  t.deepEqual(who(changes(pool(5, { 4: { ejection: out(1) } }), signals)), []);
  const all = { unansweredPercent: 50, mostEjectedPercent: 100 };
  t.deepEqual(who(changes(pool(3), signals, all)), ['10.0.0.2', '10.0.0.1']);
  t.deepEqual(who(changes(pool(3, { 1: { down: true } }), signals, all)), ['10.0.0.2']);
  t.deepEqual(changes(pool(1), { 1: bad }, all), []);
});

test('who serves nobody anyway is left alone', (t) => {
  const drain = { atEnd: 'DRAIN_END_KEEP', deadline: '', since: '', ended: '' } as const;
  t.deepEqual(changes(pool(9, { 1: { weight: 0 }, 2: { down: true }, 3: { drain } }), { 1: bad, 2: bad, 3: bad }), []);
});

test('who comes back makes room, and is not judged at once', (t) => {
  const servers = pool(3, { 1: { ejection: out(0) } });
  t.deepEqual(changes(servers, { 1: bad, 2: bad }), [
    '10.0.0.1: back',
    '10.0.0.2: 60 of 100 SYNs unanswered within 10 s, 30 s, 1',
  ]);
  t.deepEqual(changes(servers, {}, { unansweredPercent: 50 }, { at: -1 }), []);
});

test('again in a row: longer each time, up to ten times; who behaved for as long as he was out begins anew', (t) => {
  const length = (times: number, behavedMs: number) =>
    /(\d+) s, (\d+)$/
      .exec(changes(pool(3), { 1: bad }, undefined, { past: { 1: { times, returnedAt: start - behavedMs } } })[0] ?? '')
      ?.slice(1);
  t.deepEqual(length(1, 29_999), ['60', '2']);
  t.deepEqual(length(1, 30_000), ['30', '1']);
  t.deepEqual(length(3, 89_999), ['120', '4']);
  t.deepEqual(length(10, 1_000), ['300', '10']);
});

test('what cannot be is refused by its field', (t) => {
  const refusal = (policy: Partial<typeof unset>, key: Partial<ServiceKey> = {}): string => {
    const error = t.throws(() =>
      readPassiveHealth({ ...unset, ...policy }, { ...service, ...key }, 'set_health.health.passive'),
    );
    return (error as Error & { field: string }).field.replace('set_health.health.passive', '');
  };
  t.is(refusal({}, { protocol: 'PROTOCOL_UDP' }), '');
  t.is(refusal({ windowMs: 999 }), '.window_ms');
  t.is(refusal({ unansweredPercent: 101 }), '.unanswered_percent');
  t.is(refusal({ resetPercent: 101 }), '.reset_percent');
  t.is(refusal({ ejectionMs: 86_400_001 }), '.ejection_ms');
  t.is(refusal({ mostEjectedPercent: 101 }), '.most_ejected_percent');
  t.is(refusal({ leastConnections: 1_000_001 }), '.least_connections');
  t.notThrows(() => readPassiveHealth(unset, { ...service, fwmark: 7, protocol: 'PROTOCOL_UNSPECIFIED' }, 'passive'));
});
