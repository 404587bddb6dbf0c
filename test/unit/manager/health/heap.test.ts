// SPDX-License-Identifier: Apache-2.0
// The heap of what is due: the order, and taking out of the middle.
import test from 'ava';
import { type Due, DueHeap } from '../../../../src/manager/health/heap.js';
import { afterTry, nextOnGrid, stateOfAll } from '../../../../src/manager/health/standing.js';

/** The same numbers in each run (Numerical Recipes' generator). */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state;
  };
}

test('what is due comes out in its order, whatever else is taken out', (t) => {
  const next = numbers(1);
  for (let round = 0; round < 50; round++) {
    const heap = new DueHeap<Due>();
    const entries = Array.from({ length: 1 + (next() % 100) }, () => ({ due: next() % 50, position: -1 }));
    for (const entry of entries) heap.add(entry);
    const removed = new Set(entries.filter(() => next() % 3 === 0));
    for (const entry of removed) heap.remove(entry);
    for (const entry of removed) heap.remove(entry);
    const out: number[] = [];
    for (let entry = heap.takeDue(49); entry !== undefined; entry = heap.takeDue(49)) {
      t.is(entry.position, -1);
      out.push(entry.due);
    }
    const left = entries.filter((entry) => !removed.has(entry)).map(({ due }) => due);
    t.deepEqual(
      out,
      left.sort((a, b) => a - b),
    );
    t.is(heap.size, 0);
  }
});

test('nothing comes before it is due', (t) => {
  const heap = new DueHeap<Due>();
  heap.add({ due: 10, position: -1 });
  t.is(heap.takeDue(9), undefined);
  t.is(heap.first?.due, 10);
  t.is(heap.takeDue(10)?.due, 10);
  t.is(heap.takeDue(100), undefined);
});

test('the next time is on the grid, and later than now', (t) => {
  t.is(nextOnGrid(100, 1000, 100), 1100);
  t.is(nextOnGrid(100, 1000, 1099), 1100);
  t.is(nextOnGrid(100, 1000, 1100), 2100);
  t.is(nextOnGrid(100, 1000, 7777), 8100);
  t.is(nextOnGrid(100, 1000, 50), 1100, 'a try that was made a little early');
});

test('a target is as its worst check', (t) => {
  t.is(stateOfAll([]), 'unknown');
  t.is(stateOfAll(['up', 'up']), 'up');
  t.is(stateOfAll(['up', 'unknown']), 'unknown');
  t.is(stateOfAll(['unknown', 'down', 'up']), 'down');
});

test('a check that is not known yet rises like one that is down', (t) => {
  const thresholds = { rise: 2, fall: 2 };
  const once = afterTry({ state: 'unknown', streak: 0 }, true, thresholds);
  t.deepEqual(once, { state: 'unknown', streak: 1 });
  t.deepEqual(afterTry(once, true, thresholds), { state: 'up', streak: 0 });
  t.deepEqual(afterTry(once, false, thresholds), { state: 'down', streak: 0 });
});
