// SPDX-License-Identifier: Apache-2.0
import test from 'ava';
import type { Configuration__Output } from '../../../src/generated/fulcrum/v1/Configuration.js';
import type { TrafficPolicy__Output } from '../../../src/generated/fulcrum/v1/TrafficPolicy.js';
import { diff } from '../../../src/manager/diff.js';
import { configurationMessage, inForceMessage } from '../../../src/manager/messages.js';
import { applyOperations, emptyModel, type Model } from '../../../src/manager/model.js';
import { parseState, serializeState } from '../../../src/manager/state_file.js';
import {
  addService,
  deletePrefixList,
  deleteService,
  editService,
  refusal,
  setPrefixList,
  setTraffic,
} from './support/operations.js';

const web = 'tcp 192.0.2.1:80';
const begin = applyOperations(emptyModel, [
  addService(web),
  addService('udp 192.0.2.1:53'),
  addService('tcp [2001:db8::1]:80'),
  addService('fwm 7'),
  setPrefixList('bad', '203.0.113.0/24', '2001:db8:bad::/48'),
]).model;

function policyOf(policy: Partial<TrafficPolicy__Output>, of = web): TrafficPolicy__Output | null | undefined {
  const { model } = applyOperations(begin, [setTraffic(of, policy)]);
  return [...model.services.values()].find(({ traffic }) => traffic !== null)?.traffic;
}

test('clients are names and prefixes; prefixes have their length, each stands once', (t) => {
  t.deepEqual(policyOf({ deny: ['bad', '198.51.100.7', '198.51.100.7/32', '10.0.0.0/8'] })?.deny, [
    'bad',
    '198.51.100.7/32',
    '10.0.0.0/8',
  ]);
  t.deepEqual(policyOf({ allow: ['2001:DB8:0::/48'] }, 'tcp [2001:db8::1]:80')?.allow, ['2001:db8::/48']);
});

test('a policy that says nothing is none', (t) => {
  const { model } = applyOperations(begin, [setTraffic(web, { maxConnections: 5 }), setTraffic(web, {})]);
  t.true([...model.services.values()].every(({ traffic }) => traffic === null));
});

const refusals: readonly (readonly [string, Partial<TrafficPolicy__Output>, string, string?])[] = [
  ['a list that is not there', { deny: ['bad', 'worse'] }, 'REASON_PREFIX_LIST_NOT_FOUND deny[1]'],
  ['what is neither name nor prefix', { allow: ['?'] }, 'REASON_PREFIX_LIST_NOT_FOUND allow[0]'],
  ['a prefix of 33 bits', { allow: ['10.0.0.0/33'] }, 'REASON_INVALID allow[0]'],
  ['bits behind the length', { allow: ['10.0.0.1/8'] }, 'REASON_INVALID allow[0]'],
  ['the other family', { deny: ['2001:db8::/32'] }, 'REASON_INVALID deny[0]'],
  ['ten million and one a second', { connectionsPerSecond: 10_000_001 }, 'REASON_OUT_OF_RANGE connections_per_second'],
  ['a burst without a rate', { connectionsBurst: 5 }, 'REASON_INVALID connections_burst'],
  ['an MSS of 87', { mss: 87 }, 'REASON_OUT_OF_RANGE mss'],
  ['an MSS of 65496', { mss: 65_496 }, 'REASON_OUT_OF_RANGE mss'],
  ['an MSS that is also worked out', { mss: 1400, mssAuto: true }, 'REASON_INVALID mss'],
  ['an MSS of UDP', { mss: 1400 }, 'REASON_INVALID mss', 'udp 192.0.2.1:53'],
  ['a worked out MSS of UDP', { mssAuto: true }, 'REASON_INVALID mss_auto', 'udp 192.0.2.1:53'],
];

for (const [title, policy, expected, of = web] of refusals) {
  test(`refused: ${title}`, (t) => {
    const [reason, field] = expected.split(' ');
    t.is(
      refusal(() => applyOperations(begin, [setTraffic(of, policy)])),
      `${reason} operations[0].set_traffic.traffic.${field}`,
    );
  });
}

test('a fwmark service may be of TCP', (t) => {
  t.true(policyOf({ mssAuto: true }, 'fwm 7')?.mssAuto);
});

test('prefix lists: names and prefixes are checked, a list is replaced as a whole', (t) => {
  for (const name of ['', '1', 'a.b', 'a b', 'x'.repeat(65)])
    t.is(
      refusal(() => applyOperations(begin, [setPrefixList(name)])),
      'REASON_INVALID operations[0].set_prefix_list.name',
    );
  const field = 'operations[0].set_prefix_list.prefixes[1]';
  for (const prefix of ['lan', '10.0.0.0/33', '10.0.0.1/8', '256.0.0.0/8', '010.0.0.0/8'])
    t.is(
      refusal(() => applyOperations(begin, [setPrefixList('a', '10.0.0.0/8', prefix)])),
      `REASON_INVALID ${field}`,
      prefix,
    );
  const { model } = applyOperations(begin, [
    setPrefixList('bad', '10.0.0.0/8', '10.0.0.0/8', '198.51.100.7', '0.0.0.0/0'),
  ]);
  t.deepEqual(model.prefixLists.get('bad')?.prefixes, ['10.0.0.0/8', '198.51.100.7/32', '0.0.0.0/0']);
});

test('a list goes when no service refers to it any more', (t) => {
  const { model } = applyOperations(begin, [setTraffic(web, { deny: ['bad'] })]);
  const field = 'operations[0].delete_prefix_list';
  t.is(
    refusal(() => applyOperations(model, [deletePrefixList('bad')])),
    `REASON_PREFIX_LIST_IN_USE ${field}`,
  );
  t.is(
    refusal(() => applyOperations(model, [deletePrefixList('worse')])),
    `REASON_PREFIX_LIST_NOT_FOUND ${field}`,
  );
  const { model: gone, touched } = applyOperations(model, [deleteService(web), deletePrefixList('bad')]);
  t.is(gone.prefixLists.size, 0);
  t.deepEqual([...touched.prefixLists], ['bad']);
});

test('ipvsadm -E leaves the policy alone, and -C the lists', (t) => {
  const { model } = applyOperations(begin, [setTraffic(web, { deny: ['bad'] }), editService(web, { scheduler: 'rr' })]);
  t.deepEqual([...model.services.values()][0]?.traffic?.deny, ['bad']);
  t.is(applyOperations(model, [{ action: 'flush', flush: {} }]).model.prefixLists.size, 1);
});

/** As it comes back from a client that was told of it. */
function told(model: Model): Configuration__Output {
  const services = configurationMessage(model).services?.map((service) => ({ pool: [], etag: '', ...service }));
  return { ...configurationMessage(model), services } as unknown as Configuration__Output;
}

test('a configuration: lists before the services that refer to them, deletions after', (t) => {
  const wanted = applyOperations(begin, [
    setPrefixList('office', '198.51.100.0/24'),
    setTraffic(web, { allow: ['office'], mssAuto: true }),
    deletePrefixList('bad'),
  ]).model;
  const edits = diff(begin, told(wanted), true);
  t.deepEqual(
    edits.map(({ action }) => action),
    ['setPrefixList', 'setTraffic', 'deletePrefixList'],
  );
  const reached = applyOperations(begin, edits).model;
  t.deepEqual(configurationMessage(reached), configurationMessage(wanted));
  t.deepEqual(diff(reached, told(wanted), true), []);
  t.is(inForceMessage(reached).services?.[0]?.traffic?.allow?.[0], 'office');
});

test('a configuration that refers to a list that it takes away, or never had', (t) => {
  const { model } = applyOperations(begin, [setTraffic(web, { deny: ['bad'] })]);
  const without = { ...told(model), prefixLists: [] };
  t.deepEqual(diff(model, without, false), []);
  const expected = 'REASON_PREFIX_LIST_NOT_FOUND services[0].traffic.deny[0]';
  t.is(
    refusal(() => diff(model, without, true)),
    expected,
  );
  t.is(
    refusal(() => diff(emptyModel, without, false)),
    expected,
  );
});

test('the state file keeps policies and lists; one of before them has none', (t) => {
  const { model } = applyOperations(begin, [setTraffic(web, { deny: ['bad'], maxConnections: 9 })]);
  const text = serializeState({ lineage: 'x', generation: 3, model });
  t.deepEqual(parseState(Buffer.from(text)).model, model);
});
