// SPDX-License-Identifier: Apache-2.0
import test from 'ava';
import type { MarkRule__Output } from '../../../src/generated/fulcrum/v1/MarkRule.js';
import { applyOperations, emptyModel } from '../../../src/manager/model.js';
import { markRule, refusal, setMarkRules } from './support/operations.js';

function normalized(rule: Partial<MarkRule__Output>) {
  return applyOperations(emptyModel, [setMarkRules(rule)]).model.markRules[0];
}

test('the family is that of the prefixes, and prefixes have their length', (t) => {
  t.like(normalized({ source: '198.51.100.7', destination: '203.0.113.0/24' }), {
    family: 'ADDRESS_FAMILY_IPV4',
    source: '198.51.100.7/32',
    destination: '203.0.113.0/24',
  });
  t.like(normalized({ destination: '2001:DB8:0::/48' }), {
    family: 'ADDRESS_FAMILY_IPV6',
    source: '',
    destination: '2001:db8::/48',
  });
  t.like(normalized({}), { family: 'ADDRESS_FAMILY_UNSPECIFIED', source: '', destination: '' });
  t.like(normalized({ family: 'ADDRESS_FAMILY_IPV6' }), { family: 'ADDRESS_FAMILY_IPV6' });
  t.like(normalized({ source: '0.0.0.0/0' }), { family: 'ADDRESS_FAMILY_IPV4', source: '0.0.0.0/0' });
});

test('port ranges have both ends, and any port is none', (t) => {
  const protocol = 'PROTOCOL_TCP';
  t.deepEqual(normalized({ protocol, destinationPorts: { first: 80, last: 0 } })?.destinationPorts, {
    first: 80,
    last: 80,
  });
  t.deepEqual(normalized({ protocol, sourcePorts: { first: 0, last: 1023 } })?.sourcePorts, { first: 0, last: 1023 });
  t.is(normalized({ sourcePorts: { first: 0, last: 0 } })?.sourcePorts, null);
});

test('the list is replaced as a whole, in order', (t) => {
  const { model } = applyOperations(emptyModel, [setMarkRules({ mark: 1 }, { mark: 2 }), setMarkRules({ mark: 3 })]);
  t.deepEqual(
    model.markRules.map(({ mark }) => mark),
    [3],
  );
  const { model: none, touched } = applyOperations(model, [setMarkRules()]);
  t.deepEqual(none.markRules, []);
  t.true(touched.markRules);
});

test('the largest mark, no mark, and an address of its own', (t) => {
  t.is(normalized({ mark: 4_294_967_295, local: true })?.mark, 4_294_967_295);
  t.is(normalized({ mark: 0 })?.mark, 0);
  t.true(normalized({ local: true })?.local);
});

const wrong: readonly (readonly [string, Partial<MarkRule__Output>, string])[] = [
  ['text that is no prefix', { source: 'lan' }, 'REASON_INVALID source'],
  ['a prefix of 33 bits', { destination: '10.0.0.0/33' }, 'REASON_INVALID destination'],
  ['two lengths', { destination: '10.0.0.0/8/8' }, 'REASON_INVALID destination'],
  ['bits behind the length', { destination: '10.0.0.1/8' }, 'REASON_INVALID destination'],
  ['two families', { source: '10.0.0.0/8', destination: '2001:db8::/32' }, 'REASON_INVALID destination'],
  ['another family', { family: 'ADDRESS_FAMILY_IPV6', source: '10.0.0.0/8' }, 'REASON_INVALID family'],
  ['ports without protocol', { destinationPorts: { first: 80, last: 80 } }, 'REASON_INVALID destination_ports'],
  [
    'a port of 65536',
    { protocol: 'PROTOCOL_UDP', sourcePorts: { first: 65_536, last: 0 } },
    'REASON_OUT_OF_RANGE source_ports.first',
  ],
  [
    'a range that ends before it begins',
    { protocol: 'PROTOCOL_UDP', sourcePorts: { first: 81, last: 80 } },
    'REASON_OUT_OF_RANGE source_ports.last',
  ],
];

for (const [name, rule, expected] of wrong) {
  test(`refused with its place: ${name}`, (t) => {
    const [reason, field] = expected.split(' ');
    t.is(
      refusal(() => applyOperations(emptyModel, [setMarkRules({}, rule)])),
      `${reason} operations[0].set_mark_rules.rules[1].${field}`,
    );
  });
}

test('more than a thousand rules are refused', (t) => {
  const rules = (count: number) => setMarkRules(...Array.from({ length: count }, () => markRule()));
  t.is(applyOperations(emptyModel, [rules(1_000)]).model.markRules.length, 1_000);
  t.is(
    refusal(() => applyOperations(emptyModel, [rules(1_001)])),
    'REASON_NO_ROOM operations[0].set_mark_rules.rules',
  );
});
