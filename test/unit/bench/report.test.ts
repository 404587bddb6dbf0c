// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { type CaseResult, notes, type Report, ReportError, readReport, table } from '../../../src/bench/report.js';

const result = (name: string, ns: number, macswapNs: number): CaseResult => ({
  name,
  ns,
  macswapNs,
  ioNs: 11,
  ratio: ns / macswapNs,
  spread: 0.05,
  windows: [ns, ns, ns],
  macswapWindows: [macswapNs],
  discarded: name === 'tun-1k' ? 2 : 0,
});

const machine: Report['machine'] = {
  cpu: 'a CPU',
  cpus: 2,
  memoryGb: 8,
  kernel: '6.1',
  dpdk: '22.11',
  date: '2026-01-01T00:00:00.000Z',
  memory: 'hugepages',
};

test('a table with a line a case', (t) => {
  t.deepEqual(table([result('dr-1k', 24, 12), result('tun-1k', 30, 12)]), [
    'case      ns  macswap    io  ratio  spread  Mpps         windows',
    'dr-1k   24.0     12.0  11.0   2.00    5.0%  41.7               3',
    'tun-1k  30.0     12.0  11.0   2.50    5.0%  33.3  3, 2 discarded',
  ]);
});

test('beside an older run: its ratio, and how much this one differs', (t) => {
  const older: Report = { machine, cases: [result('dr-1k', 30, 12)] };
  const lines = table([result('dr-1k', 24, 12), result('tun-1k', 30, 12)], older);
  t.regex(lines[0] ?? '', /old ratio +change$/);
  t.regex(lines[1] ?? '', /2\.50 +-20\.0%$/);
  t.regex(lines[2] ?? '', /- +-$/);
});

test('what a case has besides', (t) => {
  const flood = { ...result('flood-dr-1k', 40, 12), stampNs: 4, establishedNs: 30, refusedNs: 50, lost: 0 };
  const pairs = {
    ...result('pairs-dr-1k', 15, 7),
    singleNs: 27,
    scaling: 1.8,
    macswapScaling: 1.9,
    scalingRatio: 0.947,
  };
  t.deepEqual(notes([result('dr-1k', 24, 12), { ...result('new-dr-2m', 150, 16), stampNs: 4, firstFillNs: 300 }]), [
    'new-dr-2m: stamping costs 4.0 ns of it; 300.0 ns in memory never used before',
  ]);
  t.deepEqual(notes([flood, pairs]), [
    "flood-dr-1k: an established connection's packet 30.0 ns, a refused one 50.0 ns (stamping costs 4.0 ns a packet); 0 of established ones lost",
    'pairs-dr-1k: 1.80 times one worker (27.0 ns), macswap 1.90 times: 0.95',
  ]);
});

test('a file that is no report is named', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'report-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'old.json');
  writeFileSync(path, '{"machine":{}}');
  t.throws(() => readReport(path), { instanceOf: ReportError, message: `${path}: it has no "cases"` });
  writeFileSync(path, JSON.stringify({ machine, cases: [result('dr-1k', 24, 12)] }));
  t.is(readReport(path).cases[0]?.name, 'dr-1k');
});
