// SPDX-License-Identifier: Apache-2.0
import test from 'ava';
import { type Border, BusyMachine, measure, median } from '../../../src/bench/windows.js';

const windowNs = 1_000_000;

/** A thread that had its CPU for these shares of the windows; the samples are the windows' numbers. */
function thread(shares: readonly number[]): { border: () => Border; sample: () => Promise<number> } {
  let borders = 0;
  let cpuNs = 0;
  let samples = 0;
  return {
    border: () => {
      cpuNs += (shares[borders - 1] ?? 0) * windowNs;
      return { wallNs: BigInt(borders++ * windowNs), cpuNs: [BigInt(Math.round(cpuNs))] };
    },
    sample: () => Promise.resolve(samples++),
  };
}

test('windows in which the thread had not its CPU do not count', async (t) => {
  const { border, sample } = thread([1, 0.95, 0.97, 0.5, 1, 1]);
  t.deepEqual(await measure(border, { wanted: 3, milliseconds: 1, tries: 10, cpuPercent: 96 }, sample), [1, 3, 5]);
});

test('of several threads each must have had its CPU', async (t) => {
  const first = thread([1, 0.9, 1, 1]);
  const second = thread([1, 1, 0.9, 1]);
  const border = (): Border => {
    const { wallNs, cpuNs } = first.border();
    return { wallNs, cpuNs: [...cpuNs, ...second.border().cpuNs] };
  };
  t.deepEqual(await measure(border, { wanted: 2, milliseconds: 1, tries: 4, cpuPercent: 96 }, first.sample), [1, 4]);
});

test('a machine that is too busy is an error', async (t) => {
  const { border, sample } = thread([0.9, 0.9, 1, 0.9]);
  const error = await t.throwsAsync(measure(border, { wanted: 5, milliseconds: 1, tries: 4, cpuPercent: 96 }, sample), {
    instanceOf: BusyMachine,
  });
  t.is(error?.message, "in 3 of 4 windows another process had the worker's CPU");
});

test('the median of an even number of values lies between the middle ones', (t) => {
  t.is(median([5, 1, 3]), 3);
  t.is(median([4, 1, 3, 2]), 2.5);
});
