// SPDX-License-Identifier: Apache-2.0
// What the page's lists say: states in words, shares, parts of long lists, and what a page may ask for.
import test from 'ava';
import type { HealthPolicy__Output } from '../../../../src/generated/fulcrum/v1/HealthPolicy.js';
import type { Operation__Output } from '../../../../src/generated/fulcrum/v1/Operation.js';
import { applyConditions, applyOperations, emptyModel, type Model } from '../../../../src/manager/model.js';
import type { Service } from '../../../../src/manager/nouns.js';
import { attention, serverList, serviceList } from '../../../../src/manager/page/lists.js';
import { pageSize, readParameters } from '../../../../src/manager/page/parameters.js';
import type { Sample, ServerSample } from '../../../../src/manager/page/sample.js';
import { settingsOf } from '../../../../src/manager/page/settings.js';
import { addServer, addService, server, serverSpec, service, setDrain } from '../support/operations.js';

const web = 'tcp 192.0.2.1:80';
const id = 'TCP 192.0.2.1:80';
const [one, two] = ['10.0.0.1:80', '10.0.0.2:80'] as const;
const whole = { sort: 'order', descending: false, filter: '', from: 0 } as const;
const liveOf = () => ({ latencyUs: 0, load: undefined, signals: undefined });

const policy: HealthPolicy__Output = {
  checks: [
    {
      name: '',
      intervalMs: 2000,
      timeoutMs: 0,
      rise: 0,
      fall: 0,
      retryIntervalMs: 0,
      address: '',
      port: 0,
      source: '',
      via: 'CHECK_VIA_UNSPECIFIED',
      kind: 'command',
      command: { command: ['/bin/true', 'a-secret'], dynamicWeight: false },
    },
  ],
  alpha: false,
  inhibitOnFailure: false,
  quorum: 0,
  hysteresis: 0,
  quorumUp: [],
  quorumDown: [],
  sorryServer: null,
  sorryServerInhibit: false,
  slowStartMs: 0,
  mostOutPercent: 0,
  notifyUp: [],
  notifyDown: [],
  omega: false,
  load: null,
  passive: null,
};

const checked = (given: Partial<HealthPolicy__Output> = {}): Operation__Output => ({
  action: 'setHealth',
  setHealth: { service: service(web), health: { ...policy, ...given } },
});

const modelOf = (...edits: Operation__Output[]): Model => applyOperations(emptyModel, edits).model;

function found(model: Model, which: string, up: boolean): Model {
  const reason = up ? '' : 'connection refused';
  const condition = { up, checked: true, reason, since: '2026-05-01T12:00:00.000Z', weight: null, share: 100 };
  return applyConditions(model, [{ service: serviceIn(model).key, key: server(which), condition }]).model;
}

const serviceIn = (model: Model): Service => model.services.get(id) as Service;

const standing = (model: Model): string => {
  const [row] = serviceList(model, undefined, whole).list.rows;
  return `${row?.state} ${row?.tone} ${row?.up}/${row?.servers} ${row?.strip}`;
};

const servers = (model: Model): readonly string[] =>
  serverList({ service: serviceIn(model), counted: undefined, liveOf }, whole, 1).rows.map(
    ({ id: name, state, tone, reason, weight, effective, share }) =>
      [name, state, tone, `${effective ?? 'out'} of ${weight}`, `${share} %`, reason].join('|'),
  );

test('how services and their servers stand, in words', (t) => {
  const plain = modelOf(addService(web), addServer(web, one), addServer(web, two, { weight: 3 }));
  t.is(standing(modelOf(addService(web))), 'empty warn 0/0 ');
  t.is(standing(plain), 'unchecked quiet 2/2 qq');
  t.is(standing(modelOf(addService(web), addServer(web, one, { weight: 0 }))), 'quiesced warn 0/1 q');
  t.deepEqual(servers(plain), ['10.0.0.2:80|unchecked|quiet|3 of 3|75 %|', '10.0.0.1:80|unchecked|quiet|1 of 1|25 %|']);

  const watched = applyOperations(plain, [checked()]).model;
  const bothUp = found(found(watched, one, true), two, true);
  t.is(standing(bothUp), 'up good 2/2 gg');
  const oneDown = found(bothUp, one, false);
  t.is(standing(oneDown), 'degraded warn 1/2 gb');
  t.deepEqual(servers(oneDown), [
    '10.0.0.2:80|up|good|3 of 3|100 %|',
    '10.0.0.1:80|down|bad|out of 1|0 %|connection refused',
  ]);
  t.is(standing(found(oneDown, two, false)), 'down bad 0/2 bb');

  const drained = applyOperations(bothUp, [setDrain(web, one, {})]).model;
  t.is(standing(drained), 'up good 1/2 gq');
  t.regex(servers(drained)[1] ?? '', /^10\.0\.0\.1:80\|draining\|quiet\|0 of 1\|0 %\|/);
});

test('a sorry server is in the list while it serves', (t) => {
  const sorryServer = { key: server('10.0.0.9:80'), spec: serverSpec({ method: 'FORWARDING_METHOD_NAT' }) };
  const model = modelOf(addService(web), addServer(web, one), checked({ sorryServer }));
  t.is(servers(found(model, one, true)).length, 1);
  const down = found(found(model, one, true), one, false);
  t.is(standing(down), 'sorry server bad 0/1 b');
  t.regex(servers(down)[0] ?? '', /^10\.0\.0\.9:80\|sorry server\|warn\|1 of 1\|100 %\|serves while/);
});

test('what is wrong is told with its reason, the first of many', (t) => {
  t.deepEqual(attention(emptyModel), { services: { good: 0, warn: 0, bad: 0, quiet: 0 }, servers: [], more: 0 });
  const names = Array.from({ length: 30 }, (_, at) => `10.0.1.${at + 1}:80`);
  const model = modelOf(addService(web), ...names.map((name) => addServer(web, name)), checked());
  const down = names.slice(1).reduce((before, name) => found(before, name, false), found(model, names[0] ?? '', true));
  const told = attention(down);
  t.deepEqual(told.services, { good: 0, warn: 1, bad: 0, quiet: 0 });
  t.is(told.servers.length, 20);
  t.is(told.more, 9);
  t.deepEqual(told.servers[0], {
    service: 'tcp:192.0.2.1:80',
    id: '10.0.1.2:80',
    state: 'down',
    tone: 'bad',
    reason: 'connection refused',
    since: '2026-05-01T12:00:00.000Z',
  });
});

test('settings in words, without what checks are given to show', (t) => {
  const service = serviceIn(
    modelOf(addService(web, { scheduler: 'wlc', persistenceTimeoutS: 300 }), checked({ quorum: 2 })),
  );
  t.deepEqual(settingsOf(service), [
    ['scheduler', 'wlc'],
    ['persistence', '300 s'],
    ['checks', 'command every 2 s'],
    ['quorum', '2'],
  ]);
});

/** As if the n-th service had n active connections. */
function sampleOf(model: Model): Sample {
  const counted = { connections: 0, inPackets: 0, outPackets: 0, inBytes: 0, outBytes: 0 };
  const entries = [...model.services.keys()].map((key, at) => {
    const rates = { connections: at % 7, inBits: at, outBits: at };
    return [key, { active: at, inactive: 0, counted, rates, refused: 0 }] as const;
  });
  return { services: new Map<string, ServerSample>(entries) } as unknown as Sample;
}

test('of many services a part is sent, filtered and sorted', (t) => {
  const keys = Array.from({ length: 250 }, (_, at) => `tcp 192.0.2.1:${at + 1}`);
  const model = modelOf(...keys.map((key, at) => addService(key, { scheduler: at % 50 === 0 ? 'wlc' : 'rr' })));
  const sample = sampleOf(model);
  const list = (part: Partial<Parameters<typeof serviceList>[2]>) => {
    const { rows, from, found: all, total } = serviceList(model, sample, { ...whole, ...part }).list;
    return { ports: rows.map(({ key }) => Number(key.split(':').at(-1))), from, found: all, total };
  };
  const first = list({});
  t.is(first.ports.length, pageSize);
  t.deepEqual([first.ports[0], first.found, first.total], [1, 250, 250]);
  t.deepEqual(
    list({ from: 200 }).ports,
    Array.from({ length: 50 }, (_, at) => 201 + at),
  );
  t.deepEqual(list({ from: 1000 }).ports, []);
  t.deepEqual(list({ filter: 'wlc' }), { ports: [1, 51, 101, 151, 201], from: 0, found: 5, total: 250 });
  t.deepEqual(list({ filter: ':250' }).ports, [250]);
  t.deepEqual(list({ sort: 'active', descending: true }).ports.slice(0, 3), [250, 249, 248]);
  t.deepEqual(list({ sort: 'key' }).ports.slice(8, 11), [9, 10, 11]);
  // Among equals the order stays.
  t.deepEqual(list({ sort: 'rate', descending: true }).ports.slice(0, 2), [7, 14]);
  t.deepEqual(list({ sort: 'order', descending: true }).ports.slice(0, 2), [250, 249]);
});

test('what a page asks for, and what it may not', (t) => {
  const read = (query: string) => readParameters(new URLSearchParams(query));
  t.deepEqual(read(''), { page: 'overview', list: { ...whole } });
  t.deepEqual(read('sort=-rate&filter=%20Web&from=100').list, {
    sort: 'rate',
    descending: true,
    filter: 'web',
    from: 100,
  });
  t.like(read('service=tcp:[2001:db8::1]:80&sort=id'), { page: 'service', id: 'TCP [2001:db8::1]:80' });
  const refused = (query: string): string => t.throws(() => read(query))?.message ?? '';
  t.regex(refused('service=web'), /^service: "web" is not a virtual service/);
  t.regex(refused('service=tcp:224.0.0.300:80'), /^service: /);
  t.regex(refused('sort=id'), /^sort: one of order, key, /);
  t.regex(refused('service=fwmark:7&sort=key'), /^sort: one of order, id, /);
  t.regex(refused(`filter=${'x'.repeat(101)}`), /^filter: at most 100/);
  t.regex(refused('from=-1'), /^from: a number/);
  t.is(refused('colour=red'), 'there is no parameter "colour"');
});
