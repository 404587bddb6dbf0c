// SPDX-License-Identifier: Apache-2.0
// Results as a table for people and as JSON for programs, and one run beside an older one.

import { readFileSync } from 'node:fs';
import type { Churn, Latency, Memory, TableComparison } from './apart.js';
import type { Instructions } from './instructions.js';
import type { Machine } from './machine.js';

export interface CaseResult {
  readonly name: string;
  /** Nanoseconds per packet, medians. */
  readonly ns: number;
  readonly macswapNs: number;
  readonly ioNs: number;
  /** ns / macswapNs: holds on a noisy machine, the absolute figures do not. */
  readonly ratio: number;
  /** (greatest - least) / median of the engine's windows, over all rounds. */
  readonly spread: number;
  readonly windows: readonly number[];
  readonly macswapWindows: readonly number[];
  /** Windows of the engine that did not count. */
  readonly discarded: number;
  /** Per packet, receiving and sending included; with --instructions. */
  readonly instructions?: number;
  /** new, life, flood: what stamping a packet costs, measured under a macswap of our own. */
  readonly stampNs?: number;
  /** new: while the table's memory is touched for the first time. */
  readonly firstFillNs?: number;
  /** life: alive at once. */
  readonly connections?: number;
  readonly begunPerSecond?: number;
  /** flood: when nothing but established connections' packets arrive. */
  readonly establishedNs?: number;
  /** flood: of a packet that would begin a connection, its stamping included. */
  readonly refusedNs?: number;
  /** flood: packets of established connections that did not get through. */
  readonly lost?: number;
  /** flood: how packets left, of the last round. */
  readonly verdicts?: Readonly<Record<string, number>>;
  /** pairs, handover: one worker with one pair of devices and as many flows as each pair has. */
  readonly singleNs?: number;
  /** How many times as many packets as one worker, macswap's own, and the one by the other. */
  readonly scaling?: number;
  readonly macswapScaling?: number;
  readonly scalingRatio?: number;
  /** handover: share of packets that found the ring to their owner full; they count nowhere else. */
  readonly handoverLost?: number;
}

export interface Report {
  readonly machine: Machine;
  readonly cases: readonly CaseResult[];
  /** What could not be measured, and why. */
  readonly failures?: readonly string[];
  /** With --check and --full. */
  readonly instructions?: Instructions;
  /** With --full; latency with --latency also. */
  readonly table?: TableComparison;
  readonly churn?: Churn;
  readonly memory?: Memory;
  readonly latency?: readonly Latency[];
}

export class ReportError extends Error {}

/** An older run, from a file that --json wrote. */
export function readReport(path: string): Report {
  try {
    const report = JSON.parse(readFileSync(path, 'utf8')) as Report;
    if (!Array.isArray(report.cases)) throw new Error('it has no "cases"');
    return report;
  } catch (error) {
    throw new ReportError(`${path}: ${error instanceof Error ? error.message : error}`);
  }
}

/** One of a table's columns that is there only if a result has it. */
const instructionCells = (result: CaseResult): readonly string[] =>
  result.instructions === undefined ? [] : [result.instructions.toFixed(0)];

const heading = ['case', 'ns', 'macswap', 'io', 'ratio', 'spread', 'Mpps', 'windows'] as const;

function row(result: CaseResult): readonly string[] {
  return [
    result.name,
    result.ns.toFixed(1),
    result.macswapNs.toFixed(1),
    result.ioNs.toFixed(1),
    result.ratio.toFixed(2),
    percent(result.spread),
    (1000 / result.ns).toFixed(1),
    result.discarded === 0 ? `${result.windows.length}` : `${result.windows.length}, ${result.discarded} discarded`,
  ];
}

const percent = (share: number): string => `${(100 * share).toFixed(1)}%`;

const change = (from: number, to: number): string => `${to >= from ? '+' : ''}${percent(to / from - 1)}`;

/** With two more columns where there is an older run: its ratio, and by how much this run's ratio differs. */
export function table(results: readonly CaseResult[], older?: Report): readonly string[] {
  const rows = results.map((result) => {
    const old = older?.cases.find(({ name }) => name === result.name);
    const cells = [...row(result), ...instructionCells(result)];
    if (older === undefined) return cells;
    return [...cells, ...(old ? [old.ratio.toFixed(2), change(old.ratio, result.ratio)] : ['-', '-'])];
  });
  const counted = results.some(({ instructions }) => instructions !== undefined) ? ['instructions'] : [];
  const compared = older === undefined ? [] : ['old ratio', 'change'];
  return align([[...heading, ...counted, ...compared], ...rows]);
}

/** What cases have besides: a line each. */
export function notes(results: readonly CaseResult[]): readonly string[] {
  return results
    .map((result) => [result.name, note(result)])
    .flatMap(([name, text]) => (text ? [`${name}: ${text}`] : []));
}

const ns = (value: number | undefined): string => `${value?.toFixed(1)} ns`;

function note(result: CaseResult): string | undefined {
  const stamped = `stamping costs ${ns(result.stampNs)} of it`;
  if (result.firstFillNs !== undefined) return `${stamped}; ${ns(result.firstFillNs)} in memory never used before`;
  if (result.begunPerSecond !== undefined)
    return `${stamped}; ${result.begunPerSecond} connections begin and end a second, ${result.connections} at once`;
  if (result.refusedNs !== undefined)
    return `an established connection's packet ${ns(result.establishedNs)}, a refused one ${ns(result.refusedNs)} (${stamped.replace('of it', 'a packet')}); ${result.lost} of established ones lost`;
  if (result.scaling === undefined) return undefined;
  const lost = result.handoverLost === undefined ? '' : `; ${percent(result.handoverLost)} more found full rings`;
  return `${result.scaling.toFixed(2)} times one worker (${ns(result.singleNs)}), macswap ${result.macswapScaling?.toFixed(2)} times: ${result.scalingRatio?.toFixed(2)}${lost}`;
}

function align(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((cells) => cells[column]?.length ?? 0)));
  return rows.map((cells) =>
    cells
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  '),
  );
}
