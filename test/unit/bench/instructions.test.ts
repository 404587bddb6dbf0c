// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import {
  baselinePath,
  compareInstructions,
  countedCases,
  type Instructions,
  readBaseline,
  writeBaseline,
} from '../../../src/bench/instructions.js';

const baseline: Instructions = {
  compiler: 'g++ 12.2.0',
  dpdk: '22.11',
  packets: { 'dr-1k': 500, 'tun-1k': 600 },
  stages: { parse: 40, find: 50 },
};

test('three per cent more is borne, above that the stage is named with both figures', (t) => {
  const now = { ...baseline, packets: { 'dr-1k': 515, 'tun-1k': 620 }, stages: { parse: 42, find: 50 } };
  t.deepEqual(compareInstructions(baseline, now), {
    regressions: [
      'stage parse: 40 instructions in the baseline, 42 now (+5.0 %)',
      'packet tun-1k: 600 instructions in the baseline, 620 now (+3.3 %)',
    ],
    remarks: [],
  });
});

test('what became better is told, for the baseline to follow', (t) => {
  const now = { ...baseline, stages: { parse: 40, find: 45 } };
  t.deepEqual(compareInstructions(baseline, now), {
    regressions: [],
    remarks: ['stage find is better: 50 instructions in the baseline, 45 now (-10.0 %)'],
  });
});

test('a stage that only one of both has is no success', (t) => {
  const now = { ...baseline, stages: { parse: 40, steer: 9 } };
  t.deepEqual(compareInstructions(baseline, now).regressions, [
    'stage steer: 9 instructions, and the baseline has none',
    'stage find: in the baseline, but not counted any more',
  ]);
});

test('another compiler explains what may follow', (t) => {
  const { regressions, remarks } = compareInstructions(baseline, { ...baseline, compiler: 'g++ 14.2.0' });
  t.deepEqual(regressions, []);
  t.deepEqual(remarks, ['the baseline was counted with compiler g++ 12.2.0, this is g++ 14.2.0']);
});

test('a baseline is read as it was written, and what is none is named', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'instructions-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'instructions.json');
  writeBaseline(baseline, path);
  t.deepEqual(readBaseline(path), baseline);
  writeFileSync(path, '{"packets":{}}');
  t.throws(() => readBaseline(path), { message: `${path}: it has no "stages"` });
});

test('the committed baseline has every case that is counted', (t) => {
  t.deepEqual(Object.keys(readBaseline(baselinePath).packets), [...countedCases]);
});
