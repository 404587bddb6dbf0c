// SPDX-License-Identifier: Apache-2.0
// Arithmetic of the difference: so many operations, which, and what they lead to.
import test from 'ava';
import { defaultTimeouts, keptTimeouts } from '../../../src/config/timeouts.js';
import type { TunableValues } from '../../../src/config/tunables.js';
import type { Configuration__Output } from '../../../src/generated/fulcrum/v1/Configuration.js';
import type { MarkRule__Output } from '../../../src/generated/fulcrum/v1/MarkRule.js';
import type { Operation__Output } from '../../../src/generated/fulcrum/v1/Operation.js';
import type { ServerSpec__Output } from '../../../src/generated/fulcrum/v1/ServerSpec.js';
import type { ServiceSpec__Output } from '../../../src/generated/fulcrum/v1/ServiceSpec.js';
import { diff } from '../../../src/manager/diff.js';
import { applyOperations, emptyModel, type Model } from '../../../src/manager/model.js';
import {
  markRule,
  outline,
  refusal,
  server,
  serverSpec,
  service,
  serviceSpec,
  setMarkRules,
  setTimeouts,
  setTunables,
} from './support/operations.js';

interface Wanted {
  readonly key: string;
  readonly spec?: Partial<ServiceSpec__Output>;
  readonly servers?: readonly (string | readonly [string, Partial<ServerSpec__Output>])[];
}

function configuration(services: readonly Wanted[], rest: Partial<Configuration__Output> = {}): Configuration__Output {
  return {
    services: services.map(({ key, spec, servers = [] }) => ({
      key: service(key),
      spec: serviceSpec(spec),
      etag: '',
      health: null,
      pool: [],
      traffic: null,
      servers: servers.map((entry) => {
        const [address, given] = typeof entry === 'string' ? [entry, {}] : entry;
        return { key: server(address), spec: serverSpec(given), etag: '', health: null, condition: null, drain: null };
      }),
    })),
    vips: [],
    timeouts: null,
    tunables: null,
    markRules: null,
    prefixLists: [],
    ...rest,
  };
}

function reach(model: Model, wanted: Configuration__Output, prune: boolean): { operations: string[]; model: Model } {
  const operations = diff(model, wanted, prune);
  return { operations: operations.map(short), model: applyOperations(model, operations).model };
}

/** "addServer 10.0.0.1:80". */
function short(operation: Operation__Output): string {
  const change = operation.addServer ?? operation.editServer ?? operation.deleteServer;
  const on = operation.addService?.key ?? operation.editService?.key ?? operation.deleteService ?? change?.key;
  return `${operation.action} ${on ? `${on.address}:${on.port}` : (operation.setVip?.address ?? operation.deleteVip ?? '')}`.trim();
}

const web = 'tcp 192.0.2.1:80';
const [a, b, c, d] = ['10.0.0.1:80', '10.0.0.2:80', '10.0.0.3:80', '10.0.0.4:80'] as const;

function modelOf(...services: Wanted[]): Model {
  return reach(emptyModel, configuration(services), false).model;
}

test('from nothing: services and servers in the order given', (t) => {
  const { operations, model } = reach(emptyModel, configuration([{ key: web, servers: [a, b] }]), true);
  t.deepEqual(operations, ['addService 192.0.2.1:80', 'addServer 10.0.0.1:80', 'addServer 10.0.0.2:80']);
  t.deepEqual(outline(model), ['TCP 192.0.2.1:80: 10.0.0.2:80 10.0.0.1:80']);
});

test('what is there already needs nothing', (t) => {
  const wanted = configuration([{ key: web, spec: { scheduler: 'rr' }, servers: [a, [b, { weight: 3 }]] }]);
  const { model } = reach(emptyModel, wanted, true);
  t.deepEqual(diff(model, wanted, true), []);
  t.deepEqual(diff(model, wanted, false), []);
});

test('one weight of four: one operation', (t) => {
  const model = modelOf({ key: web, servers: [a, b, c, d] });
  const wanted = configuration([{ key: web, servers: [a, [b, { weight: 0 }], c, d] }]);
  t.deepEqual(reach(model, wanted, true).operations, ['editServer 10.0.0.2:80']);
});

test('a changed service spec touches no server', (t) => {
  const model = modelOf({ key: web, servers: [a, b] });
  const wanted = configuration([{ key: web, spec: { scheduler: 'lc' }, servers: [a, b] }]);
  t.deepEqual(reach(model, wanted, true).operations, ['editService 192.0.2.1:80']);
});

test('without prune what is not named stays, and nothing moves', (t) => {
  const model = modelOf({ key: web, servers: [a, b] }, { key: 'tcp 192.0.2.2:80' });
  const { operations, model: after } = reach(model, configuration([{ key: web, servers: [c, b] }]), false);
  t.deepEqual(operations, ['addServer 10.0.0.3:80']);
  t.deepEqual(outline(after), ['TCP 192.0.2.1:80: 10.0.0.3:80 10.0.0.2:80 10.0.0.1:80', 'TCP 192.0.2.2:80:']);
});

test('with prune services and servers that are not named go', (t) => {
  const model = modelOf({ key: web, servers: [a, b] }, { key: 'tcp 192.0.2.2:80', servers: [c] });
  const { operations, model: after } = reach(model, configuration([{ key: web, servers: [b] }]), true);
  t.deepEqual(operations, ['deleteService 192.0.2.2:80', 'deleteServer 10.0.0.1:80']);
  t.deepEqual(outline(after), ['TCP 192.0.2.1:80: 10.0.0.2:80']);
});

const orders: readonly (readonly [string, readonly string[], readonly string[], number])[] = [
  ['appended: one add', [a, b], [a, b, c], 1],
  ['one inserted: it, and those after it, are moved', [a, c], [a, b, c], 3],
  ['the first moved to the end: one move', [a, b, c, d], [b, c, d, a], 2],
  ['the last moved to the front: the others move', [a, b, c, d], [d, a, b, c], 6],
  ['reversed: all but the last move', [a, b, c], [c, b, a], 4],
  ['one in the middle gone: one delete', [a, b, c], [a, c], 1],
];

for (const [name, before, wanted, count] of orders) {
  test(`with prune the order is the one wanted: ${name}`, (t) => {
    const model = modelOf({ key: web, servers: before });
    const target = configuration([{ key: web, servers: wanted }]);
    const { operations, model: after } = reach(model, target, true);
    t.is(operations.length, count, operations.join(', '));
    t.deepEqual([...(after.services.get('TCP 192.0.2.1:80')?.servers.keys() ?? [])], [...wanted]);
    t.deepEqual(diff(after, target, true), []);
  });
}

test('any order can be reached from any other', (t) => {
  let seed = 7;
  const random = (below: number) => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed % below;
  };
  const pool = Array.from({ length: 9 }, (_, index) => `10.0.0.${index + 1}:80`);
  const draw = () =>
    pool
      .map((key) => [random(1000), key] as const)
      .sort(([x], [y]) => x - y)
      .map(([, key]) => key)
      .slice(0, random(10));
  for (let round = 0; round < 300; round++) {
    const wanted = draw();
    const model = modelOf({ key: web, servers: draw() });
    const { model: after } = reach(model, configuration([{ key: web, servers: wanted }]), true);
    t.deepEqual([...(after.services.get('TCP 192.0.2.1:80')?.servers.keys() ?? [])], wanted);
  }
});

test('a VIP is declared before its service, and forgotten after it', (t) => {
  const vip = { address: '192.0.2.1', announce: 'ANNOUNCE_NONE', state: 'VIP_STATE_ACTIVE', services: 0 } as const;
  const wanted = configuration([{ key: web }], { vips: [vip] });
  const { operations, model } = reach(emptyModel, wanted, true);
  t.deepEqual(operations, ['setVip 192.0.2.1', 'addService 192.0.2.1:80']);
  t.deepEqual(diff(model, wanted, true), []);
  t.deepEqual(reach(model, configuration([]), true).operations, ['deleteService 192.0.2.1:80', 'deleteVip 192.0.2.1']);
  t.deepEqual(reach(model, configuration([]), false).operations, []);
});

test('timeouts: 0 keeps, and no change needs nothing', (t) => {
  const timeouts = (tcpS: number, sctpClosedS = 0) =>
    configuration([], { timeouts: { ...keptTimeouts, tcpS, udpS: 300, sctpClosedS } });
  t.deepEqual(diff(emptyModel, timeouts(0), true), []);
  t.deepEqual(diff(emptyModel, timeouts(60, 5), true), [setTimeouts({ tcpS: 60, sctpClosedS: 5 })]);
  t.deepEqual(reach(emptyModel, timeouts(60, 5), true).model.timeouts, {
    ...defaultTimeouts,
    tcpS: 60,
    sctpClosedS: 5,
  });
});

test('tunables: only what changes; what is not named stays, or with prune goes back to its default', (t) => {
  const wanted = (tunables: TunableValues | null) => configuration([], { tunables });
  const { model } = applyOperations(emptyModel, [setTunables({ sloppyTcp: 1, amDroprate: 5 })]);
  t.deepEqual(diff(model, wanted({ sloppyTcp: 1, connReuseMode: 0 }), false), [setTunables({ connReuseMode: 0 })]);
  t.deepEqual(diff(model, wanted({ sloppyTcp: 1 }), true), [setTunables({ amDroprate: 10 })]);
  t.deepEqual(diff(model, wanted(null), false), []);
  t.deepEqual(diff(model, wanted(null), true), [setTunables({ sloppyTcp: 0, amDroprate: 10 })]);
  t.deepEqual(diff(emptyModel, wanted({ sloppyTcp: 0 }), true), []);
});

test('mark rules: the list as a whole, compared in normal form', (t) => {
  const wanted = (...rules: Partial<MarkRule__Output>[]) =>
    configuration([], { markRules: { rules: rules.map(markRule) } });
  const { model } = applyOperations(emptyModel, [setMarkRules({ destination: '192.0.2.1' }, { mark: 8 })]);
  t.deepEqual(diff(model, wanted({ destination: '192.0.2.1/32' }, { mark: 8 }), true), []);
  t.deepEqual(diff(model, wanted({ mark: 8 }, { destination: '192.0.2.1/32' }), false).length, 1);
  t.deepEqual(diff(model, wanted(), false), [setMarkRules()]);
  t.deepEqual(diff(model, configuration([]), true), [setMarkRules()]);
  t.deepEqual(diff(model, configuration([]), false), []);
});

const wrong: readonly (readonly [string, Configuration__Output, string])[] = [
  ['a service twice', configuration([{ key: web }, { key: web }]), 'REASON_SERVICE_EXISTS services[1].key'],
  ['a server twice', configuration([{ key: web, servers: [a, a] }]), 'REASON_SERVER_EXISTS services[0].servers[1].key'],
  ['port 70000', configuration([{ key: 'tcp 192.0.2.1:70000' }]), 'REASON_OUT_OF_RANGE services[0].key.port'],
  [
    'a server 0.0.0.0',
    configuration([{ key: web, servers: ['0.0.0.0:80'] }]),
    'REASON_INVALID services[0].servers[0].key.address',
  ],
  [
    'a persistence engine that is not built',
    configuration([{ key: web, spec: { persistenceEngine: 'sip' } }]),
    'REASON_NOT_SUPPORTED services[0].spec.persistence_engine',
  ],
  [
    'a tunable out of its range',
    configuration([], { tunables: { sloppyTcp: 2 } }),
    'REASON_OUT_OF_RANGE tunables.sloppy_tcp',
  ],
  [
    'a mark rule',
    configuration([], { markRules: { rules: [markRule(), markRule({ source: '10.0.0.1/8' })] } }),
    'REASON_INVALID mark_rules.rules[1].source',
  ],
  [
    'an unknown scheduler',
    configuration([{ key: web, spec: { scheduler: 'bogus' } }]),
    'REASON_SCHEDULER_NOT_FOUND services[0].spec.scheduler',
  ],
  [
    'a VIP twice',
    configuration([], { vips: [vipOf('192.0.2.1'), vipOf('192.0.2.1')] }),
    'REASON_INVALID vips[1].address',
  ],
];

function vipOf(address: string) {
  return { address, announce: 'ANNOUNCE_ARP', state: 'VIP_STATE_ACTIVE', services: 0 } as const;
}

for (const [name, wanted, expected] of wrong) {
  test(`refused with its place: ${name}`, (t) => {
    t.is(
      refusal(() => diff(emptyModel, wanted, true)),
      expected,
    );
  });
}
