// SPDX-License-Identifier: Apache-2.0
// The measured part of docs/performance.md, its plot, and the report that both are made from.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../grpc/loader.js';
import type { Churn, Latency, Load, Memory, TableComparison } from './apart.js';
import { type Bar, bars, isMet } from './bars.js';
import { parseCase } from './cases.js';
import { type HealthReport, healthTable } from './health.js';
import type { Instructions } from './instructions.js';
import type { Machine } from './machine.js';
import { type Chart, flowsText, plot, type Series } from './plot.js';
import { type CaseResult, notes, type Report } from './report.js';

/** Between them stands what a kind of bench has written. */
interface Markers {
  readonly begin: string;
  readonly end: string;
}

const packets: Markers = {
  begin: '<!-- measured: written by "npm run bench -- --full --write-docs" -->',
  end: '<!-- measured: end -->',
};
const health: Markers = {
  begin: '<!-- health: written by "npm run bench -- --health --write-docs" -->',
  end: '<!-- health: end -->',
};

export const docsDirectory = join(projectRoot, 'docs');

/** Replaces what lies between the markers. */
export function withMeasured(page: string, section: string, { begin, end }: Markers = packets): string {
  const from = page.indexOf(begin);
  const to = page.indexOf(end);
  if (from < 0 || to < from) throw new Error(`performance.md: there is no "${begin}" with "${end}" after it`);
  return `${page.slice(0, from)}${begin}\n${section}\n${page.slice(to)}`;
}

export function writeDocs(report: Report, directory: string = docsDirectory): void {
  const page = join(directory, 'performance.md');
  const written = withMeasured(readFileSync(page, 'utf8'), measuredSection(report));
  writeFileSync(page, written);
  writeFileSync(join(directory, 'performance.svg'), plot(charts(report)));
  writeFileSync(join(directory, 'performance.json'), `${JSON.stringify(report)}\n`);
}

export function writeHealthDocs(report: HealthReport, directory: string = docsDirectory): void {
  const page = join(directory, 'performance.md');
  const section = `${machineLine(report.machine)}; one run of \`npm run bench -- --health\`.\n\n${markdown(['', ''], healthTable(report))}`;
  writeFileSync(page, withMeasured(readFileSync(page, 'utf8'), section, health));
}

export function measuredSection(report: Report): string {
  const parts = [
    machineText(report),
    '![ns per packet and ratio over the number of flows](performance.svg)',
    casesText(report.cases),
    barsText(report),
    report.table && tableText(report.table),
    report.memory && memoryText(report.memory),
    report.churn && churnText(report.churn),
    report.latency && latencyText(report.latency),
    report.instructions && instructionsText(report.instructions),
  ];
  return parts.filter((part) => part !== undefined && part !== '').join('\n\n');
}

type Row = readonly (string | number)[];

function markdown(heading: Row, rows: readonly Row[]): string {
  const lines = [heading, heading.map(() => '---'), ...rows];
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

const machineLine = (machine: Machine): string =>
  `${machine.date.slice(0, 10)}, ${machine.cpu}, ${machine.cpus} CPUs, ${machine.memoryGb} GB, Linux ${machine.kernel}, DPDK ${machine.dpdk}, ${machine.memory}`;

function machineText({ machine }: Report): string {
  return `${machineLine(machine)}; one run of \`npm run bench -- --full\`.`;
}

function casesText(cases: readonly CaseResult[]): string {
  if (cases.length === 0) return '';
  const rows = cases.map((result) => [
    result.name,
    result.ns.toFixed(1),
    result.macswapNs.toFixed(1),
    result.ioNs.toFixed(1),
    `**${result.ratio.toFixed(2)}**`,
    `${(100 * result.spread).toFixed(0)} %`,
    (1000 / result.ns).toFixed(1),
  ]);
  const more = notes(cases).map((text) => `- ${text}`);
  return [
    markdown(['case', 'ns', 'macswap ns', 'io ns', 'ratio', 'spread', 'Mpps'], rows),
    ...(more.length > 0 ? [more.join('\n')] : []),
  ].join('\n\n');
}

function barRow(bar: Bar, measured: number): Row {
  const aim = bar.aim === undefined ? '' : `${bar.aim}${bar.unit}${measured <= bar.aim ? ', reached' : ''}`;
  const wanted = `${bar.atLeast ? '≥' : '≤'} ${bar.bar}${bar.unit}`;
  return [bar.what, wanted, `${Number(measured.toFixed(2))}${bar.unit}`, isMet(bar, measured) ? 'yes' : '**no**', aim];
}

function barsText(report: Report): string {
  const rows = bars.flatMap((bar) => {
    const measured = bar.measured(report);
    return measured === undefined ? [] : [barRow(bar, measured)];
  });
  return rows.length === 0 ? '' : markdown(['', 'bar', 'measured', 'met', 'aim beyond it'], rows);
}

function tableText({ sizes }: TableComparison): string {
  const rows = sizes.map(({ entries, ours, rteHash }) => [
    flowsText(entries),
    ours.ns.toFixed(1),
    rteHash.ns.toFixed(1),
    rteHash.withoutEntryNs.toFixed(1),
    ours.oneByOneNs.toFixed(1),
    ours.bytesPerEntry.toFixed(0),
    rteHash.bytesPerEntry.toFixed(0),
  ]);
  const heading = ['entries', 'ours', 'rte_hash', 'without its entry', 'ours one by one', 'bytes', "rte_hash's bytes"];
  return `### The connection table beside rte_hash

Nanoseconds per lookup in random order, 32 at a time: ours, and \`rte_hash_lookup_bulk_data\` with the connection's own line
prefetched and touched after it, as ours is; without that line; and ours one lookup after the other. Bytes per entry are with
both lines of the connection and the index for ours, and of the index with its keys alone for rte_hash.

${markdown(heading, rows)}`;
}

function memoryText(memory: Memory): string {
  return `### Ten million connections

${memory.connections} IPv4 connections in one process: ${memory.bytesPerConnection.toFixed(1)} bytes each with the index, by the process's own
growth ${memory.residentPerConnection.toFixed(1)}; ${memory.residentMb} MB in all. A packet of any of them, in random order, costs ${memory.ns.toFixed(1)} ns, stamping included.`;
}

const microseconds = ({ p50, p99, p9999, max }: Churn['hits']['own']): readonly string[] =>
  [p50, p99, p9999, max].map((value) => value.toFixed(1));

function churnText(churn: Churn): string {
  const rows = (['hits', 'growth', 'steady'] as const).flatMap((phase) =>
    (['own', 'wall'] as const).map((clock) => [
      phase,
      clock,
      ...microseconds(churn[phase][clock]),
      ...(clock === 'own' ? [churn[phase].pauses, churn[phase].pausesWithFaults] : ['', '']),
    ]),
  );
  const heading = ['', 'time', 'p50', 'p99', 'p99.99', 'longest', 'above 100 µs', 'above it for a new page'];
  return `### The longest burst

Microseconds per round of the worker's loop (a burst of 32 and the timers that are due): while only established connections'
packets arrive, while a new table grows, and while ${Math.round(churn.begunPerSecond)} connections a second begin and as many end, ${churn.connections} alive.
*own* is the time that the thread ran, *wall* has what other processes took of its CPU; the host took ${churn.stolenMs} ms. The last column
is of rounds in which the kernel had to give the thread a page of memory, which it fills with zeros first.

${markdown(heading, rows)}`;
}

function loadRow(name: string, load: string, at: Load): Row {
  const shares = [`${(100 * at.workerShare).toFixed(0)} %`, `${at.workerStolenMs} / ${at.senderStolenMs}`];
  return [name, load, at.p50.toFixed(1), at.p99.toFixed(1), at.p999.toFixed(1), ...shares];
}

function latencyText(latency: readonly Latency[]): string {
  const rows = latency.flatMap(({ name, single, perSecond, loads }) => [
    loadRow(name, 'one at a time', single),
    ...loads.map((at) => loadRow(name, `${at.percent} % of ${(perSecond / 1e6).toFixed(1)} Mpps`, at)),
  ]);
  const heading = ['case', 'load', 'p50', 'p99', 'p99.9', "worker's CPU", 'stolen ms (worker / sender)'];
  return `### Latency

Microseconds from a ring (\`net_ring\`) through the director to another, with a sender on the other CPU that sends at set times; a
packet's age counts from when it was to be sent. One hundred per cent is what sender and director do together.

${markdown(heading, rows)}`;
}

function instructionsText({ compiler, dpdk, packets, stages }: Instructions): string {
  const rows = (counts: Instructions['packets']): readonly Row[] => Object.entries(counts).map((entry) => [...entry]);
  return `### Instructions

Per packet, counted by callgrind (${compiler}, DPDK ${dpdk}); \`npm run bench -- --check\` holds them against
\`dataplane/bench/instructions.json\`. Whole packets, receiving and sending included:

${markdown(['case', 'instructions'], rows(packets))}

Stages by themselves:

${markdown(['stage', 'instructions'], rows(stages))}`;
}

/** Published, or measured by others' programs on such a rig before; never in the same run. */
const published: readonly Series[] = [
  {
    name: 'DPVS 1.10.2 DR (published)',
    color: '#8250df',
    dashed: true,
    points: [
      [1, 82],
      [1_000, 89],
      [10_000, 151],
      [60_000, 195],
      [200_000, 495],
      [500_000, 580],
    ],
  },
  {
    name: 'Katran, BPF alone (published)',
    color: '#bf8700',
    dashed: true,
    points: [
      [1, 58],
      [1_000, 64],
      [10_000, 105],
      [60_000, 150],
      [256_000, 212],
      [1_000_000, 340],
    ],
  },
];

const colors = { dr: '#0969da', tun: '#1a7f37', 'nat-client': '#cf222e', 'nat-server': '#bc4c00' } as const;

function seriesOf(
  cases: readonly CaseResult[],
  method: keyof typeof colors,
  pick: (result: CaseResult) => number,
): Series['points'] {
  return cases
    .map((result) => [parseCase(result.name), result] as const)
    .flatMap(([one, result]) =>
      one?.kind === 'hit' && one.method === method && one.family === 4 && !one.tcp
        ? [[one.flows, pick(result)] as const]
        : [],
    )
    .sort(([a], [b]) => a - b);
}

export function charts({ cases }: Report): readonly Chart[] {
  const names = { dr: 'DR', tun: 'TUN', 'nat-client': 'NAT, client side', 'nat-server': 'NAT, server side' } as const;
  const methods = Object.keys(names) as readonly (keyof typeof names)[];
  const ours = (pick: (result: CaseResult) => number): readonly Series[] =>
    methods.map((method) => ({ name: names[method], color: colors[method], points: seriesOf(cases, method, pick) }));
  const macswap = seriesOf(cases, 'dr', (result) => result.macswapNs);
  return [
    {
      title: 'Nanoseconds per packet, one worker',
      unit: 'ns, logarithmic',
      logarithmic: true,
      series: [
        ...ours((result) => result.ns),
        { name: 'testpmd macswap, same run', color: '#6e7781', points: macswap },
        ...published,
      ],
    },
    { title: "Ratio to testpmd's macswap in the same run", unit: 'ratio', series: ours((result) => result.ratio) },
  ];
}
