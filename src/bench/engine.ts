// SPDX-License-Identifier: Apache-2.0
// The engine's part of a case: dataplane_bench, which prints one JSON object.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../grpc/loader.js';
import type { Command } from '../lab/command.js';
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

/** What callgrind is to collect in; dataplane_bench's own function around a fixed amount of work. */
const countedFunction = 'fulcrum_bench_counted';

/** Instructions per packet, receiving and sending included: repeatable where nanoseconds are not. */
export async function countInstructions(setup: Setup, name: string, capture: string): Promise<number> {
  const valgrind: Command = ['valgrind', '--tool=callgrind', '--callgrind-out-file=/dev/null'];
  const placed = ['--worker-cpu', String(setup.workerCpu), '--housekeeping-cpu', String(setup.housekeepingCpu)];
  const counted = [`--toggle-collect=${countedFunction}`, program, 'count', name, capture, '--hugepages', 'off'];
  const lines = await output(setup, [...valgrind, ...counted, ...placed], 600_000);
  const packets = lines.map((line) => /"packets":(\d+)/.exec(line)?.[1]).find((found) => found !== undefined);
  const instructions = lines.map((line) => /Collected : (\d+)/.exec(line)?.[1]).find((found) => found !== undefined);
  if (packets === undefined || instructions === undefined) throw new Error(`valgrind: ${lines.at(-1) ?? 'no output'}`);
  return Number(instructions) / Number(packets);
}

async function lastLine(setup: Setup, words: readonly string[], timeoutMs: number): Promise<string> {
  return (await output(setup, [program, ...words], timeoutMs)).at(-1) ?? '';
}

/** Runs a program to its end; rejects with what it said last when it fails. */
function output(setup: Setup, command: Command, timeoutMs: number): Promise<readonly string[]> {
  return withTask(setup, command, async (task) => {
    const timer = setTimeout(() => task.signal('SIGKILL'), timeoutMs);
    const ending = await task.ended;
    clearTimeout(timer);
    if (ending !== 'exit code 0') throw new Error(task.tail.at(-1) ?? `${command[0]}: ${ending}`);
    return task.tail;
  });
}
