// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { type CaseResult, type Report, ReportError, readReport, table } from '../../../src/bench/report.js';

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

test('a file that is no report is named', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'report-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'old.json');
  writeFileSync(path, '{"machine":{}}');
  t.throws(() => readReport(path), { instanceOf: ReportError, message: `${path}: it has no "cases"` });
  writeFileSync(path, JSON.stringify({ machine, cases: [result('dr-1k', 24, 12)] }));
  t.is(readReport(path).cases[0]?.name, 'dr-1k');
});
