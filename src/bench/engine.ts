// SPDX-License-Identifier: Apache-2.0
// The engine's part of a case: dataplane_bench, which prints one JSON object.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../grpc/loader.js';
import { type Setup, withTask } from './setup.js';
import type { WindowPlan } from './windows.js';

export interface EngineResult {
  readonly name: string;
  readonly ns: number;
  readonly spread: number;
  readonly windows: readonly number[];
  readonly packets: number;
  readonly discarded: number;
  readonly memory: string;
  readonly hugeTables: boolean;
}

const program = join(projectRoot, 'dataplane/build/Release/dataplane_bench');

export function checkEngine(): void {
  if (!existsSync(program)) throw new Error('dataplane_bench is not built; "bin/bootstrap --bench" does it');
}

export async function writeCapture(setup: Setup, name: string, capture: string): Promise<void> {
  await lastLine(setup, ['write', name, capture], 120_000);
}

export async function measureEngine(
  setup: Setup,
  name: string,
  capture: string,
  plan: WindowPlan,
): Promise<EngineResult> {
  const words = ['run', name, capture];
  words.push('--worker-cpu', String(setup.workerCpu), '--housekeeping-cpu', String(setup.housekeepingCpu));
  words.push('--hugepages', setup.hugepages ? 'on' : 'off', '--windows', String(plan.wanted));
  words.push('--window-ms', String(plan.milliseconds), '--tries', String(plan.tries));
  return JSON.parse(await lastLine(setup, words, 120_000 + plan.tries * plan.milliseconds)) as EngineResult;
}

/** Runs the program to its end; rejects with what it said when it fails. */
async function lastLine(setup: Setup, words: readonly string[], timeoutMs: number): Promise<string> {
  return withTask(setup, [program, ...words], async (task) => {
    const timer = setTimeout(() => task.signal('SIGKILL'), timeoutMs);
    const ending = await task.ended;
    clearTimeout(timer);
    const last = task.tail.at(-1) ?? '';
    if (ending !== 'exit code 0') throw new Error(last === '' ? `dataplane_bench: ${ending}` : last);
    return last;
  });
}
