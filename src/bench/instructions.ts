// SPDX-License-Identifier: Apache-2.0
// Instructions per packet, counted by callgrind: of whole packets, and of each stage of their path. Unlike nanoseconds
// they are the same on every run, so they are what a regression is found by, against a baseline that is committed.

import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../grpc/loader.js';
import { run } from '../lab/command.js';
import type { BenchOptions } from './bench.js';
import { countInstructions, countStage, stageNames, writeCapture } from './engine.js';
import type { Report } from './report.js';
import type { Setup } from './setup.js';

export interface Instructions {
  /** What the figures depend on. */
  readonly compiler: string;
  readonly dpdk: string;
  /** Per packet, receiving and sending included, by case. */
  readonly packets: Readonly<Record<string, number>>;
  /** Per packet, by stage. */
  readonly stages: Readonly<Record<string, number>>;
}

export const tolerance = 0.03;

export const countedCases: readonly string[] = [
  ...['dr-1k', 'tun-1k', 'nat-client-1k', 'nat-server-1k'],
  ...['dr-1k-tcp', 'nat-client-1k-tcp'],
  ...['dr6-1k', 'tun6-1k', 'nat6-client-1k', 'nat6-server-1k'],
  // With what steering takes where there are several workers.
  ...['pairs-dr-1k', 'pairs-nat-server-1k'],
];

export const baselinePath = join(projectRoot, 'dataplane/bench/instructions.json');

export async function countAll(setup: Setup, options: BenchOptions): Promise<Partial<Report>> {
  const packets: Record<string, number> = {};
  const stages: Record<string, number> = {};
  for (const stage of await stageNames(setup)) {
    options.signal.throwIfAborted();
    options.say(`instructions: ${stage}`);
    stages[stage] = round1(await countStage(setup, stage));
  }
  for (const name of countedCases) {
    options.signal.throwIfAborted();
    options.say(`instructions: ${name}`);
    const capture = join(setup.directory, `${name}.pcap`);
    await writeCapture(setup, name, capture);
    packets[name] = round1(await countInstructions(setup, name, capture));
    for (const path of [capture, `${capture}.1`]) rmSync(path, { force: true });
  }
  const compiler = `g++ ${(await run(['g++', '-dumpfullversion'])).trim()}`;
  const dpdk = (await run(['pkg-config', '--modversion', 'libdpdk'])).trim();
  return { instructions: { compiler, dpdk, packets, stages } };
}

export function readBaseline(path: string = baselinePath): Instructions {
  try {
    const baseline = JSON.parse(readFileSync(path, 'utf8')) as Instructions;
    for (const member of ['packets', 'stages'] as const)
      if (typeof baseline[member] !== 'object') throw new Error(`it has no "${member}"`);
    return baseline;
  } catch (error) {
    throw new Error(`${path}: ${error instanceof Error ? error.message : error}`);
  }
}

export function writeBaseline(instructions: Instructions, path: string = baselinePath): void {
  writeFileSync(path, `${JSON.stringify(instructions, null, 2)}\n`);
}

export interface Comparison {
  /** Each names what has regressed, with both figures. */
  readonly regressions: readonly string[];
  /** What the reader should know besides. */
  readonly remarks: readonly string[];
}

export function compareInstructions(baseline: Instructions, now: Instructions): Comparison {
  const regressions: string[] = [];
  const remarks: string[] = [];
  for (const member of ['compiler', 'dpdk'] as const)
    if (baseline[member] !== now[member])
      remarks.push(`the baseline was counted with ${member} ${baseline[member]}, this is ${now[member]}`);
  for (const [kind, before, after] of [
    ['stage', baseline.stages, now.stages],
    ['packet', baseline.packets, now.packets],
  ] as const) {
    for (const [name, count] of Object.entries(after)) {
      const old = before[name];
      if (old === undefined) regressions.push(`${kind} ${name}: ${count} instructions, and the baseline has none`);
      else if (count > old * (1 + tolerance)) regressions.push(`${kind} ${name}: ${changed(old, count)}`);
      else if (count < old * (1 - tolerance)) remarks.push(`${kind} ${name} is better: ${changed(old, count)}`);
    }
    for (const name of Object.keys(before))
      if (after[name] === undefined) regressions.push(`${kind} ${name}: in the baseline, but not counted any more`);
  }
  return { regressions, remarks };
}

const changed = (old: number, count: number): string =>
  `${old} instructions in the baseline, ${count} now (${count >= old ? '+' : ''}${(100 * (count / old - 1)).toFixed(1)} %)`;

const round1 = (value: number): number => Math.round(value * 10) / 10;
