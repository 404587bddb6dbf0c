// SPDX-License-Identifier: Apache-2.0
import test from 'ava';
import { endpoint, familyOf, notUnicast, parseAddress } from '../../../src/manager/address.js';

test('one way to write an address', (t) => {
  for (const [text, expected] of [
    ['192.0.2.1', '192.0.2.1'],
    ['0.0.0.0', '0.0.0.0'],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['2001:db8::0:1', '2001:db8::1'],
    ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
    ['::ffff:192.0.2.1', '::ffff:192.0.2.1'],
  ] as const) {
    t.is(parseAddress(text)?.text, expected);
    t.is(parseAddress(expected)?.text, expected);
  }
});

for (const text of [
  '',
  '1',
  '1.2.3',
  '1.2.3.4.5',
  '256.1.1.1',
  '01.2.3.4',
  '1.2.3.4 ',
  '1.2.3.4/24',
  'a.b.c.d',
  ':',
  '1::2::3',
  'fe80::1%eth0',
  '[::1]',
  '12345::',
]) {
  test(`not an address: "${text}"`, (t) => {
    t.is(parseAddress(text), undefined);
  });
}

test('who can be sent to', (t) => {
  const why = (text: string) => {
    const address = parseAddress(text);
    return address && notUnicast(address);
  };
  for (const text of [
    '10.0.0.1',
    '127.0.0.1',
    '223.255.255.255',
    '::1',
    '2001:db8::1',
    'fe80::1',
    'f::ff00',
    'ff0::1',
  ]) {
    t.is(why(text), undefined, text);
  }
  t.is(why('0.0.0.0'), 'names no host');
  t.is(why('0.1.2.3'), 'names no host');
  t.is(why('::'), 'names no host');
  t.is(why('224.0.0.1'), 'is a multicast address');
  t.is(why('239.255.255.255'), 'is a multicast address');
  t.is(why('ff02::1'), 'is a multicast address');
  t.is(why('255.255.255.255'), 'is the broadcast address');
  t.is(why('240.0.0.1'), 'is a reserved address');
});

test('families and endpoints', (t) => {
  t.is(familyOf('192.0.2.1'), 4);
  t.is(familyOf('2001:db8::1'), 6);
  t.is(endpoint('192.0.2.1', 80), '192.0.2.1:80');
  t.is(endpoint('2001:db8::1', 80), '[2001:db8::1]:80');
});
