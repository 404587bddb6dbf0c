// SPDX-License-Identifier: Apache-2.0
// The engine's part of a case: dataplane_bench, which prints one JSON object.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../grpc/loader.js';
import type { Command } from '../lab/command.js';
import { type Setup, withTask } from './setup.js';
import type { WindowPlan } from './windows.js';

/** Times are nanoseconds per packet; what is optional belongs to the kinds of cases that have it. */
export interface EngineResult {
  readonly name: string;
  readonly ns: number;
  readonly windows: readonly number[];
  readonly discarded: number;
  /** new: while the table's memory is touched for the first time. */
  readonly firstFillNs?: number;
  /** life: alive at once. */
  readonly connections?: number;
  readonly begunPerSecond?: number;
  /** flood: when nothing else arrives. */
  readonly establishedNs?: number;
  /** flood: of a packet that would begin a connection, its stamping included. */
  readonly refusedNs?: number;
  /** flood: packets of established connections that did not get through. */
  readonly lost?: number;
  /** flood: how all packets left. */
  readonly verdicts?: Readonly<Record<string, number>>;
  /** handover: share of packets that found the ring to their owner full; they count nowhere else. */
  readonly handoverLost?: number;
}

const program = join(projectRoot, 'dataplane/build/Release/dataplane_bench');

export function checkEngine(): void {
  if (!existsSync(program)) throw new Error('dataplane_bench is not built; "bin/bootstrap --bench" does it');
}

export async function writeCapture(setup: Setup, name: string, capture: string): Promise<void> {
  await lastLine(setup, ['write', name, capture], 120_000);
}

const placed = (setup: Setup): readonly string[] => [
  ...['--worker-cpu', String(setup.workerCpu), '--housekeeping-cpu', String(setup.housekeepingCpu)],
  ...['--second-cpu', String(setup.secondCpu), '--hugepages', setup.hugepages ? 'on' : 'off'],
];

const planned = (plan: WindowPlan): readonly string[] => [
  ...['--windows', String(plan.wanted), '--window-ms', String(plan.milliseconds), '--tries', String(plan.tries)],
  ...['--cpu-percent', String(plan.cpuPercent)],
];

const patienceMs = (plan: WindowPlan): number => 180_000 + plan.tries * plan.milliseconds;

export async function measureEngine(
  setup: Setup,
  name: string,
  capture: string,
  plan: WindowPlan,
): Promise<EngineResult> {
  const words = ['run', name, capture, ...placed(setup), ...planned(plan)];
  return JSON.parse(await lastLine(setup, words, patienceMs(plan))) as EngineResult;
}

export interface SourceResult {
  readonly plain: readonly number[];
  readonly stamped: readonly number[];
}

/** The rig and the source that stamps packets, without the engine: what the stamping costs. */
export async function measureSource(
  setup: Setup,
  name: string,
  capture: string,
  plan: WindowPlan,
): Promise<SourceResult> {
  const words = ['macswap', name, capture, ...placed(setup), ...planned(plan)];
  return JSON.parse(await lastLine(setup, words, patienceMs(plan))) as SourceResult;
}

/** A command of dataplane_bench that measures something by itself and prints one JSON object. */
export async function measureApart<T>(setup: Setup, words: readonly string[], timeoutMs: number): Promise<T> {
  return JSON.parse(await lastLine(setup, words, timeoutMs)) as T;
}

/** What callgrind is to collect in; dataplane_bench's own function around a fixed amount of work. */
const countedFunction = 'fulcrum_bench_counted';

/**
 * The C library chooses memcpy and the like by the CPU that it finds; counts are to be those of its baseline, which every
 * CPU has.
 */
const baselineLibrary =
  'GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX2_Usable,-AVX2,-AVX,-AVX512F,-AVX512VL,-AVX512BW,-ERMS,-FSRM,-SSSE3,-SSE4_1,-SSE4_2';

async function collected(setup: Setup, words: readonly string[]): Promise<{ instructions: number; units: number }> {
  const valgrind: Command = ['env', baselineLibrary, 'valgrind', '--tool=callgrind', '--callgrind-out-file=/dev/null'];
  const lines = await output(setup, [...valgrind, `--toggle-collect=${countedFunction}`, program, ...words], 600_000);
  const found = (pattern: RegExp): string | undefined =>
    lines.map((line) => pattern.exec(line)?.[1]).find((text) => text !== undefined);
  const units = found(/"packets":(\d+)/);
  const instructions = found(/Collected : (\d+)/);
  if (units === undefined || instructions === undefined) throw new Error(`valgrind: ${lines.at(-1) ?? 'no output'}`);
  return { instructions: Number(instructions), units: Number(units) };
}

/** Instructions per packet, receiving and sending included: repeatable where nanoseconds are not. */
export async function countInstructions(setup: Setup, name: string, capture: string): Promise<number> {
  const { instructions, units } = await collected(setup, [
    'count',
    name,
    capture,
    ...placed({ ...setup, hugepages: false }),
  ]);
  return instructions / units;
}

/** Instructions per packet of one stage: parse, find, rewrite, encapsulate and their like, as dataplane_bench has them. */
export async function countStage(setup: Setup, stage: string): Promise<number> {
  const { instructions, units } = await collected(setup, ['count-stage', stage]);
  return instructions / units;
}

export async function stageNames(setup: Setup): Promise<readonly string[]> {
  return output(setup, [program, 'stage-names'], 10_000);
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
