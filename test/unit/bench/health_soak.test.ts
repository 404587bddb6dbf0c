// SPDX-License-Identifier: Apache-2.0
import test from 'ava';
import { type Belongings, leakOf, type SoakReport } from '../../../src/bench/health_soak.js';

const nothing: Belongings = { processes: 0, descriptors: 25, sockets: 6, residentMb: 140 };

const report = (after: Belongings): SoakReport => ({
  minutes: 1,
  checks: 160,
  kinds: 16,
  rounds: 10,
  refused: 60,
  before: nothing,
  after,
  most: { processes: 40, descriptors: 120, sockets: 100, residentMb: 160 },
});

test('what is left of processes, descriptors or sockets is a leak; memory is only told', (t) => {
  t.is(leakOf(report({ ...nothing, residentMb: 150 })), undefined);
  t.is(leakOf(report({ ...nothing, descriptors: 24 })), undefined);
  for (const name of ['processes', 'descriptors', 'sockets'] as const)
    t.regex(leakOf(report({ ...nothing, [name]: nothing[name] + 1 })) ?? '', /^before: 0 processes.*; after: /);
});
