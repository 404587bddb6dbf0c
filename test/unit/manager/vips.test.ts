// SPDX-License-Identifier: Apache-2.0
// VIP ranges: which addresses they take, and what is counted where.
import test from 'ava';
import type { Operation__Output } from '../../../src/generated/fulcrum/v1/Operation.js';
import { applyOperations, emptyModel } from '../../../src/manager/model.js';
import { vipsOf } from '../../../src/manager/vips.js';
import { addService, refusal, setVip } from './support/operations.js';

/** "203.0.113.0/24 2". */
function shown(...operations: Operation__Output[]): string[] {
  const { model } = applyOperations(emptyModel, operations);
  return [...vipsOf(model).values()].map(({ address, services }) => `${address} ${services}`);
}

test('a service counts for its address if that was declared, else for its narrowest range, else for itself', (t) => {
  const services = ['203.0.113.1', '203.0.113.2', '203.0.113.200', '198.51.100.1'].map((address) =>
    addService(`tcp ${address}:80`),
  );
  t.deepEqual(
    shown(
      setVip('203.0.113.0/24'),
      setVip('203.0.113.128/25'),
      setVip('203.0.113.2'),
      ...services,
      addService('fwm 7'),
    ),
    ['203.0.113.0/24 1', '203.0.113.128/25 1', '203.0.113.2 1', '198.51.100.1 1'],
  );
});

test('ranges of IPv6', (t) => {
  t.deepEqual(shown(setVip('2001:DB8:1::/64'), addService('tcp [2001:db8:1::9]:80'), addService('tcp 192.0.2.1:80')), [
    '2001:db8:1::/64 1',
    '192.0.2.1 1',
  ]);
});

test('a range of one address is that address', (t) => {
  t.deepEqual(shown(setVip('203.0.113.7/32'), setVip('203.0.113.7'), setVip('2001:db8::1/128')), [
    '203.0.113.7 0',
    '2001:db8::1 0',
  ]);
});

test('a range is forgotten by its name', (t) => {
  t.deepEqual(shown(setVip('203.0.113.0/24'), { action: 'deleteVip', deleteVip: '203.0.113.0/24' }), []);
});

for (const [range, why] of [
  ['203.0.113.1/24', /bits set behind its prefix length/],
  ['0.0.0.0/0', /names no host/],
  ['::/0', /names no host/],
  ['224.0.0.0/8', /multicast/],
  ['128.0.0.0/1', /broadcast/],
  ['fe00::/7', /multicast/],
  ['203.0.113.0/33', /is not an address or a prefix/],
  ['0.0.0.0/32', /names no host/],
] as const) {
  test(`not a VIP range: ${range}`, (t) => {
    const attempt = () => applyOperations(emptyModel, [setVip(range)]);
    t.is(refusal(attempt), 'REASON_INVALID operations[0].set_vip.address');
    t.throws(attempt, { message: why });
  });
}
