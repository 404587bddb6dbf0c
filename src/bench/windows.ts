// SPDX-License-Identifier: Apache-2.0
// Windows of time in which a worker thread is watched: one counts only if the thread had its CPU all the while.

import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as pass } from 'node:timers/promises';

export interface WindowPlan {
  readonly wanted: number;
  readonly milliseconds: number;
  /** Windows that are tried before the machine is called too busy. */
  readonly tries: number;
}

export const leastCpuShare = 0.96;
export const leastWindows = 3;

export class BusyMachine extends Error {}

/** What EAL calls the thread of its first worker lcore, in 22.11 and later. */
const workerNames = ['rte-worker-1', 'dpdk-worker1'];

export function workerSchedstat(pid: number): string {
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const path = `/proc/${pid}/task/${thread}`;
    if (workerNames.includes(readFileSync(`${path}/comm`, 'utf8').trim())) return `${path}/schedstat`;
  }
  throw new Error(`process ${pid} has no thread with the name that EAL gives to its first worker`);
}

export interface Border {
  readonly wallNs: bigint;
  /** For how long the thread had a CPU. */
  readonly cpuNs: bigint;
}

export function readBorder(schedstat: string): Border {
  const cpuNs = BigInt(readFileSync(schedstat, 'utf8').split(' ')[0] ?? '0');
  return { wallNs: process.hrtime.bigint(), cpuNs };
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
    if (Number(to.cpuNs - from.cpuNs) >= leastCpuShare * Number(to.wallNs - from.wallNs)) windows.push(ns);
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
