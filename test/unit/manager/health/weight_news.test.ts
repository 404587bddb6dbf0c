// SPDX-License-Identifier: Apache-2.0
// Weights that change by themselves: a ramp is told in steps of ten seconds, and a crowd by its number.
import test from 'ava';
import { WeightNews } from '../../../../src/manager/health/weight_news.js';
import { FakeClock } from './support/fake_clock.js';

function rig() {
  const clock = new FakeClock();
  const told: string[] = [];
  return { clock, told, news: new WeightNews({ clock, tell: (message) => told.push(message) }) };
}

test('a ramp: at once, then every ten seconds, from what was told to what is; the last step is told', async (t) => {
  const { clock, told, news } = rig();
  for (let weight = 1; weight < 26; weight++) {
    news.changed('a', weight - 1, weight);
    await clock.pass(1_000);
  }
  await clock.pass(20_000);
  t.is(told[0], 'a: weight 0 → 1');
  t.is(told.length, 4);
  t.regex(told.at(-1) ?? '', / → 25$/);
  // Each goes on from the one before.
  const ends = told.map((message) => /weight (\d+) → (\d+)/.exec(message)?.slice(1) ?? []);
  for (const [index, [from]] of ends.entries()) if (index > 0) t.is(from, ends[index - 1]?.[1]);
  t.is(clock.alarms, 0);
});

test('what is back to what it was is not told', async (t) => {
  const { clock, told, news } = rig();
  news.changed('a', 5, 3);
  news.changed('a', 3, 5);
  news.changed('b', 5, 5);
  await clock.pass(60_000);
  t.deepEqual(told, []);
});

test('of a crowd some, and how many more', async (t) => {
  const { clock, told, news } = rig();
  for (let index = 0; index < 1_000; index++) news.changed(`s${index}`, 10, 4);
  await clock.pass(1_000);
  t.is(told.length, 21);
  t.is(told.at(-1), 'weights of 980 more real servers');
  await clock.pass(60_000);
  t.is(told.length, 21);
});
