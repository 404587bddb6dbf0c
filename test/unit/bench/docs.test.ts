// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { bars, isMet } from '../../../src/bench/bars.js';
import { docsDirectory, measuredSection, withMeasured, writeDocs, writeHealthDocs } from '../../../src/bench/docs.js';
import { flowsText, linearScale, logarithmicScale, plot, stepFor } from '../../../src/bench/plot.js';
import type { CaseResult, Report } from '../../../src/bench/report.js';

const result = (name: string, ns: number, more: Partial<CaseResult> = {}): CaseResult => ({
  name,
  ns,
  macswapNs: 10,
  ioNs: 9,
  ratio: ns / 10,
  spread: 0.05,
  windows: [ns],
  macswapWindows: [10],
  discarded: 0,
  ...more,
});

const report: Report = {
  machine: {
    cpu: 'a CPU',
    cpus: 2,
    memoryGb: 8,
    kernel: '6.1',
    dpdk: '22.11',
    date: '2026-01-02T00:00:00.000Z',
    memory: 'hugepages',
  },
  cases: [
    result('dr-1k', 27),
    result('dr-1m', 25),
    result('new-dr-2m', 160, { stampNs: 12, firstFillNs: 300 }),
    result('pairs-dr-10k', 15, { singleNs: 27, scaling: 1.8, macswapScaling: 1.9, scalingRatio: 0.89 }),
  ],
};

test('what is measured stands beside its bar, and whether it is met', (t) => {
  const section = measuredSection(report);
  t.true(section.startsWith('2026-01-02, a CPU, 2 CPUs, 8 GB, Linux 6.1, DPDK 22.11, hugepages'));
  t.true(section.includes('| dr-1k | 27.0 | 10.0 | 9.0 | **2.70** | 5 % | 37.0 |'));
  t.true(section.includes('| DR, 1 k flows: ratio to macswap | ≤ 2.8 | 2.7 | yes | 1.8 |'));
  t.true(section.includes('| DR, 1 M flows: ratio to macswap | ≤ 2.4 | 2.5 | **no** | 1.7 |'));
  // Without what stamping costs.
  t.true(section.includes('| new connection, table large enough | ≤ 250 ns | 148 ns | yes | 150 ns, reached |'));
  t.true(section.includes("macswap's | ≥ 0.9 | 0.89 | **no** |  |"));
  // What was not measured is not told.
  t.false(section.includes('TUN'));
  t.false(section.includes('### Latency'));
});

test('the section replaces what stood between its markers, and nothing else', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'docs-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const committed = readFileSync(join(docsDirectory, 'performance.md'), 'utf8');
  writeFileSync(join(directory, 'performance.md'), committed);
  writeDocs(report, directory);
  const once = readFileSync(join(directory, 'performance.md'), 'utf8');
  t.true(once.includes('2026-01-02, a CPU'));
  writeDocs(report, directory);
  t.is(readFileSync(join(directory, 'performance.md'), 'utf8'), once);
  t.is(once.split('<!-- measured')[0], committed.split('<!-- measured')[0]);
  t.is(once.split('<!-- measured: end -->')[1], committed.split('<!-- measured: end -->')[1]);
  t.deepEqual(JSON.parse(readFileSync(join(directory, 'performance.json'), 'utf8')), report);
  t.throws(() => withMeasured('# Performance', 'new'), { message: /^performance\.md: there is no "<!-- measured/ });
});

test("health's figures stand in their own section", (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'docs-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'performance.md');
  const committed = readFileSync(join(docsDirectory, 'performance.md'), 'utf8');
  writeFileSync(file, committed);
  const rate = { perSecond: 5000, cpuUs: 150 };
  writeHealthDocs(
    {
      machine: report.machine,
      targets: 10_000,
      intervalMs: 2000,
      seconds: 30,
      checks: 150_000,
      missed: 0,
      cpuPercent: 41.5,
      late: { p50: 0.5, p99: 3, greatest: 12 },
      residentMb: 150,
      waitedPercent: 1,
      director: { cpuPercent: 50, residentMb: 200, failing: 2000, applies: 37, lastMs: 2100 },
      rates: { tcp: rate, http: rate, https: rate },
    },
    directory,
  );
  const written = readFileSync(file, 'utf8');
  t.true(written.includes('| 10000 TCP checks, each every 2 s, for 30 s: CPU | 41.5 % of one |'));
  t.true(written.includes('| after their time: p50 / p99 / greatest | 0.5 / 3 / 12 ms |'));
  t.true(written.includes('changes of the dataplane | 37, the last one in force after 2100 ms |'));
  t.is(written.split('<!-- health:')[0], committed.split('<!-- health:')[0]);
  t.is(written.split('<!-- health: end -->')[1], committed.split('<!-- health: end -->')[1]);
});

test('at least, and at most', (t) => {
  const named = (what: string): (typeof bars)[number] => {
    const bar = bars.find((one) => one.what.startsWith(what));
    if (bar === undefined) throw new Error(what);
    return bar;
  };
  t.true(isMet(named('DR, 1 k'), 2.8));
  t.false(isMet(named('DR, 1 k'), 2.81));
  t.true(isMet(named('two workers'), 0.9));
  t.false(isMet(named('two workers'), 0.89));
  t.true(isMet(named('packets of established'), 0));
  t.false(isMet(named('packets of established'), 1));
});

test('a plot has a line for each series that has points', (t) => {
  const points = [
    [1, 10],
    [1_000_000, 30],
  ] as const;
  const svg = plot([
    {
      title: 'ns & ratio',
      unit: 'ns',
      series: [
        { name: 'ours', color: '#0969da', points },
        { name: 'old', color: '#8250df', points, dashed: true },
        { name: 'none', color: '#000000', points: [] },
      ],
    },
    { title: 'empty', unit: '', series: [] },
  ]);
  t.is(svg.match(/<polyline/g)?.length, 2);
  t.is(svg.match(/<polyline[^>]*stroke-dasharray/g)?.length, 1);
  t.true(svg.includes('ns &amp; ratio'));
  t.false(svg.includes('empty'));
  t.false(svg.includes('NaN'));
  const [first] = /<polyline points="([^"]+)"/.exec(svg)?.slice(1) ?? [];
  const [[x1, y1], [x2, y2]] = (first ?? '').split(' ').map((at) => at.split(',').map(Number)) as [number[], number[]];
  // To the right with more flows, upwards with more nanoseconds.
  t.true((x1 ?? 0) < (x2 ?? 0));
  t.true((y1 ?? 0) > (y2 ?? 0));
});

test('lines cover what is plotted, and factors are distances on a logarithmic scale', (t) => {
  t.deepEqual(linearScale([10, 28]).levels, [0, 5, 10, 15, 20, 25]);
  const { levels, y } = logarithmicScale([12, 580]);
  t.deepEqual(levels, [10, 20, 50, 100, 200, 500]);
  t.true(Math.abs(y(10) - y(20) - (y(100) - y(200))) < 1e-9);
  t.true(y(200) < y(100));
});

test('steps between lines, and numbers of flows, are round', (t) => {
  t.deepEqual([30, 45, 500, 3.2].map(stepFor), [5, 10, 100, 0.5]);
  t.deepEqual([1, 1_000, 256_000, 1_000_000].map(flowsText), ['1', '1 k', '256 k', '1 M']);
});
