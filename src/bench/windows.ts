// SPDX-License-Identifier: Apache-2.0
// Windows of time in which worker threads are watched: one counts only if the threads had their CPUs all the while.

import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as pass } from 'node:timers/promises';

export interface WindowPlan {
  readonly wanted: number;
  readonly milliseconds: number;
  /** Windows that are tried before the machine is called too busy. */
  readonly tries: number;
  /** Of a window that a thread must have had its CPU for it to count. */
  readonly cpuPercent: number;
}

export const usualCpuPercent = 96;
export const leastWindows = 3;

export class BusyMachine extends Error {}

/** What EAL calls the threads of its worker lcores, in 22.11 and later. */
const workerNames = (lcore: number): readonly string[] => [`rte-worker-${lcore}`, `dpdk-worker${lcore}`];

/** Of the first so many workers. */
export function workerSchedstats(pid: number, workers: number): readonly string[] {
  const threads = readdirSync(`/proc/${pid}/task`).map((thread) => `/proc/${pid}/task/${thread}`);
  return Array.from({ length: workers }, (_, worker) => {
    const names = workerNames(worker + 1);
    const found = threads.find((path) => names.includes(readFileSync(`${path}/comm`, 'utf8').trim()));
    if (found === undefined) throw new Error(`process ${pid} has no thread named ${names.join(' or ')}`);
    return `${found}/schedstat`;
  });
}

export interface Border {
  readonly wallNs: bigint;
  /** For how long each thread had a CPU. */
  readonly cpuNs: readonly bigint[];
}

export function readBorder(schedstats: readonly string[]): Border {
  const cpuNs = schedstats.map((path) => BigInt(readFileSync(path, 'utf8').split(' ')[0] ?? '0'));
  return { wallNs: process.hrtime.bigint(), cpuNs };
}

function hadTheirCpus(from: Border, to: Border, cpuPercent: number): boolean {
  const least = (cpuPercent / 100) * Number(to.wallNs - from.wallNs);
  return to.cpuNs.every((cpuNs, thread) => Number(cpuNs - (from.cpuNs[thread] ?? 0n)) >= least);
}

/** Nanoseconds per packet of each window that counts; `sample` gives those since it was called before. */
export async function measure(
  border: () => Border,
  plan: WindowPlan,
  sample: () => Promise<number>,
): Promise<readonly number[]> {
  const windows: number[] = [];
  let tried = 0;
  await sample();
  for (let from = border(); tried < plan.tries && windows.length < plan.wanted; tried++) {
    await pass(plan.milliseconds);
    const ns = await sample();
    const to = border();
    if (hadTheirCpus(from, to, plan.cpuPercent)) windows.push(ns);
    from = to;
  }
  if (windows.length < Math.min(leastWindows, plan.wanted))
    throw new BusyMachine(`in ${tried - windows.length} of ${tried} windows another process had the worker's CPU`);
  return windows;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  const upper = sorted[half] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[half - 1] ?? Number.NaN)) / 2;
}

/** (greatest - least) / median */
export const spread = (values: readonly number[]): number =>
  (Math.max(...values) - Math.min(...values)) / median(values);
