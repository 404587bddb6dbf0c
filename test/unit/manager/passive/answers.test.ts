// SPDX-License-Identifier: Apache-2.0
import test from 'ava';
import { AnswersWindow } from '../../../../src/manager/passive/answers.js';

const counted = (opened: number, answered: number, reset = 0) => ({ opened, answered, reset });

test('what a window has seen is what was counted since it begins', (t) => {
  const window = new AnswersWindow(10_000);
  t.deepEqual(window.signals(), { opened: 0, unanswered: 0, reset: 0 });
  window.add(0, counted(1000, 900, 7));
  t.deepEqual(window.signals(), { opened: 0, unanswered: 0, reset: 0 });
  window.add(5_000, counted(1100, 980, 8));
  t.deepEqual(window.signals(), { opened: 100, unanswered: 20, reset: 1 });
  window.add(10_000, counted(1200, 1080, 8));
  t.deepEqual(window.signals(), { opened: 200, unanswered: 20, reset: 1 });
  window.add(15_000, counted(1300, 1180, 8));
  t.deepEqual(window.signals(), { opened: 200, unanswered: 0, reset: 0 });
});

test('answers to what began before are not too many', (t) => {
  const window = new AnswersWindow(10_000);
  window.add(0, counted(1000, 900));
  window.add(1_000, counted(1010, 950));
  t.deepEqual(window.signals(), { opened: 10, unanswered: 0, reset: 0 });
});

test('counters run over 2^32', (t) => {
  const window = new AnswersWindow(10_000);
  window.add(0, counted(2 ** 32 - 10, 2 ** 32 - 20, 2 ** 32 - 1));
  window.add(1_000, counted(30, 10, 1));
  t.deepEqual(window.signals(), { opened: 40, unanswered: 10, reset: 2 });
});

test('counters that begin anew are no connections: after -Z, or after a restart of the dataplane', (t) => {
  const window = new AnswersWindow(10_000);
  window.add(0, counted(1000, 900));
  window.add(1_000, counted(1500, 1000));
  window.add(2_000, null);
  t.deepEqual(window.signals(), { opened: 0, unanswered: 0, reset: 0 });
  window.add(3_000, counted(20, 5));
  t.deepEqual(window.signals(), { opened: 20, unanswered: 15, reset: 0 });
  // By the next look more were begun than ever before, but fewer were reset.
  window.add(4_000, counted(25, 10, 9));
  window.add(5_000, counted(60, 55, 2));
  t.deepEqual(window.signals(), { opened: 0, unanswered: 0, reset: 0 });
  window.clear();
  t.deepEqual(window.signals(), { opened: 0, unanswered: 0, reset: 0 });
});
