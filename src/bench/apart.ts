// SPDX-License-Identifier: Apache-2.0
// What is measured without testpmd: the connection table beside rte_hash, the longest burst under churn, the memory of
// ten million connections, latency.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { BenchOptions } from './bench.js';
import { measureApart, writeCapture } from './engine.js';
import { bytesNeeded } from './machine.js';
import type { Report } from './report.js';
import type { Setup } from './setup.js';

export interface TableComparison {
  readonly sizes: readonly {
    readonly entries: number;
    /** Nanoseconds per lookup, a burst of 32 at a time, the connection's own line touched. */
    readonly ours: { readonly ns: number; readonly oneByOneNs: number; readonly bytesPerEntry: number };
    readonly rteHash: { readonly ns: number; readonly withoutEntryNs: number; readonly bytesPerEntry: number };
  }[];
}

/** In microseconds. */
export interface Percentiles {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly p9999: number;
  readonly max: number;
}

interface Rounds {
  /** While the worker's thread ran, and by the clock on the wall. */
  readonly own: Percentiles;
  readonly wall: Percentiles;
  /** Rounds of more than 100 µs of the thread's own time, and those in which the kernel gave it a page meanwhile. */
  readonly pauses: number;
  readonly pausesWithFaults: number;
}

export interface Churn {
  readonly connections: number;
  readonly begunPerSecond: number;
  /** What the machine's host took of the CPU meanwhile. */
  readonly stolenMs: number;
  /** While nothing begins, while the table grows, and while as many connections begin as end. */
  readonly hits: Rounds;
  readonly growth: Rounds;
  readonly steady: Rounds;
}

export interface Memory {
  readonly connections: number;
  /** Entry, record, and share of the index. */
  readonly bytesPerConnection: number;
  /** By what the process has taken more. */
  readonly residentPerConnection: number;
  readonly residentMb: number;
  /** Per packet of any of them, stamping included. */
  readonly ns: number;
}

export interface Load extends Percentiles {
  /** The share of the time in which the worker had its CPU. */
  readonly workerShare: number;
  readonly workerStolenMs: number;
  readonly senderStolenMs: number;
}

export interface Latency {
  readonly name: string;
  readonly single: Load;
  /** What sender and director can do together. */
  readonly perSecond: number;
  readonly loads: readonly (Load & { readonly percent: number })[];
}

const patienceMs = 600_000;
const churnCase = 'life-dr-8m-tcp';
const memoryCase = 'new-dr-10m';
const latencyCases = ['dr-1k', 'nat-client-1k'] as const;

const huge = (setup: Setup): readonly string[] => ['--hugepages', setup.hugepages ? 'on' : 'off'];
const placed = (setup: Setup): readonly string[] => [
  ...['--worker-cpu', String(setup.workerCpu), '--housekeeping-cpu', String(setup.housekeepingCpu)],
  ...huge(setup),
];

/** Of the greatest of these. */
export const bytesApart: number = bytesNeeded({ frames: 64, connections: 10_000_000, workers: 1 });

export async function measureTable(setup: Setup, options: BenchOptions): Promise<Partial<Report>> {
  options.say('connection table and rte_hash, up to ten million entries');
  const words = ['table', '--cpu', String(setup.workerCpu), ...huge(setup)];
  return { table: await measureApart<TableComparison>(setup, words, patienceMs) };
}

async function withCapture<T>(setup: Setup, name: string, use: (capture: string) => Promise<T>): Promise<T> {
  const capture = join(setup.directory, `${name}.pcap`);
  await writeCapture(setup, name, capture);
  const result = await use(capture);
  rmSync(capture);
  return result;
}

export async function measureChurn(setup: Setup, options: BenchOptions): Promise<Partial<Report>> {
  options.say(`the longest burst under churn (${churnCase})`);
  const churn = await withCapture(setup, churnCase, (capture) =>
    measureApart<Churn>(setup, ['churn', churnCase, capture, ...placed(setup)], patienceMs),
  );
  return { churn };
}

export async function measureMemory(setup: Setup, options: BenchOptions): Promise<Partial<Report>> {
  options.say(`the memory of ten million connections (${memoryCase})`);
  const memory = await withCapture(setup, memoryCase, (capture) =>
    measureApart<Memory>(setup, ['memory', memoryCase, capture, ...placed(setup)], patienceMs),
  );
  return { memory };
}

export async function measureLatency(setup: Setup, options: BenchOptions): Promise<Partial<Report>> {
  const latency: Latency[] = [];
  for (const name of latencyCases) {
    options.signal.throwIfAborted();
    options.say(`latency (${name})`);
    const cpus = ['--worker-cpu', String(setup.workerCpu), '--sender-cpu', String(setup.housekeepingCpu)];
    latency.push(await measureApart<Latency>(setup, ['latency', name, ...cpus, ...huge(setup)], patienceMs));
  }
  return { latency };
}
