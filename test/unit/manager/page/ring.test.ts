// SPDX-License-Identifier: Apache-2.0
// Ten minutes of numbers: what is sampled rarely, late, twice or not at all.
import test from 'ava';
import { Ring, ringSeconds } from '../../../../src/manager/page/ring.js';

const begin = 1_000_000;

test('a second each, the newest last', (t) => {
  const ring = new Ring();
  for (let at = 0; at < 3; at++) ring.add(begin + at, at + 1);
  const values = ring.values(begin + 2);
  t.is(values.length, ringSeconds);
  t.deepEqual(values.slice(-4), [null, 1, 2, 3]);
  // Somebody who asks later sees that nothing is known of the time since.
  t.deepEqual(ring.values(begin + 3).slice(-2), [3, null]);
});

test('a sample after five seconds is the mean of all five; after a long gap only of the last ones', (t) => {
  const ring = new Ring();
  ring.add(begin, 10);
  ring.add(begin + 5, 20);
  t.deepEqual(ring.values(begin + 5).slice(-6), [10, 20, 20, 20, 20, 20]);
  ring.add(begin + 105, 30);
  const values = ring.values(begin + 105);
  t.deepEqual(values.slice(-16), [null, ...Array.from({ length: 15 }, () => 30)]);
  t.is(values.at(-101), 20);
});

test('a value that is not known is a gap, and a second is counted once', (t) => {
  const ring = new Ring();
  ring.add(begin, 1);
  ring.add(begin, 7);
  ring.add(begin - 1, 7);
  ring.add(begin + 1, null);
  ring.add(begin + 2, 2);
  t.deepEqual(ring.values(begin + 2).slice(-3), [1, null, 2]);
});

test('what is older than ten minutes is gone, also after a pause that is longer', (t) => {
  const ring = new Ring();
  for (let at = 0; at < 2 * ringSeconds; at++) ring.add(begin + at, at);
  const values = ring.values(begin + 2 * ringSeconds - 1);
  t.is(values[0], ringSeconds);
  t.is(values.at(-1), 1200);
  ring.add(begin + 5 * ringSeconds, 5);
  t.is(ring.values(begin + 5 * ringSeconds).filter((value) => value !== null).length, 15);
});

test('small plots have the means of several seconds', (t) => {
  const ring = new Ring();
  for (let at = 1; at <= 10; at++) ring.add(begin + at, at === 10 ? null : at);
  const values = ring.values(begin + 10, 5);
  t.is(values.length, ringSeconds / 5);
  t.deepEqual(values.slice(-3), [null, 3, 7.5]);
});

test('a part of it is the newest part', (t) => {
  const ring = new Ring();
  for (let at = 1; at <= 20; at++) ring.add(begin + at, at);
  t.deepEqual(ring.values(begin + 20, 5, 3), [8, 13, 18]);
});
