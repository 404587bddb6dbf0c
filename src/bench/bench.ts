// SPDX-License-Identifier: Apache-2.0
// A run of the bench: for each case one capture file, and on it testpmd and the engine, one after the other.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Case } from './cases.js';
import { checkEngine, countInstructions, measureEngine, writeCapture } from './engine.js';
import { bytesNeeded, describeMachine, HugePages } from './machine.js';
import type { CaseResult, Report } from './report.js';
import type { Setup } from './setup.js';
import { checkTestpmd, measureTestpmd } from './testpmd.js';
import { median, type WindowPlan } from './windows.js';

export interface BenchOptions {
  readonly cases: readonly Case[];
  readonly rounds: number;
  /** Also count instructions, under valgrind. */
  readonly instructions: boolean;
  /** Of each of the three measurements of a round. */
  readonly plan: WindowPlan;
  readonly workerCpu: number;
  readonly housekeepingCpu: number;
  readonly say: (text: string) => void;
  readonly signal: AbortSignal;
}

export async function bench(options: BenchOptions): Promise<Report> {
  checkEngine();
  await checkTestpmd();
  const pages = new HugePages(Math.max(...options.cases.map(({ flows }) => bytesNeeded(flows))));
  if (!pages.available) options.say('no huge pages: measured without, which costs more at many flows');
  const directory = mkdtempSync(join(tmpdir(), 'fulcrum-bench-'));
  const setup: Setup = { ...options, hugepages: pages.available, children: new Set() };
  const interrupt = (): void => {
    for (const child of setup.children) child.signal('SIGKILL');
  };
  options.signal.addEventListener('abort', interrupt);
  try {
    const machine = await describeMachine(pages.available ? 'hugepages' : 'no-huge');
    const cases: CaseResult[] = [];
    for (const one of options.cases) cases.push(await measureCase(setup, one, options, directory));
    return { machine, cases };
  } finally {
    options.signal.removeEventListener('abort', interrupt);
    rmSync(directory, { recursive: true, force: true });
    pages.release();
  }
}

/** In rounds, so that what disturbs the machine for a while disturbs both. */
async function measureCase(setup: Setup, one: Case, options: BenchOptions, directory: string): Promise<CaseResult> {
  const capture = join(directory, `${one.name}.pcap`);
  await writeCapture(setup, one.name, capture);
  const windows = { engine: [] as number[], macswap: [] as number[], io: [] as number[] };
  let discarded = 0;
  for (let round = 1; round <= options.rounds; round++) {
    options.signal.throwIfAborted();
    options.say(`${one.name}: round ${round} of ${options.rounds}`);
    const testpmd = await measureTestpmd(setup, capture, one.flows, options.plan);
    const engine = await measureEngine(setup, one.name, capture, options.plan);
    windows.io.push(...testpmd.io);
    windows.macswap.push(...testpmd.macswap);
    windows.engine.push(...engine.windows);
    discarded += engine.discarded;
  }
  if (options.instructions) options.say(`${one.name}: instructions`);
  const instructions = options.instructions ? await countInstructions(setup, one.name, capture) : undefined;
  rmSync(capture);
  const ns = median(windows.engine);
  const macswapNs = median(windows.macswap);
  return {
    name: one.name,
    ns: round2(ns),
    macswapNs: round2(macswapNs),
    ioNs: round2(median(windows.io)),
    ratio: round2(ns / macswapNs),
    spread: round2((Math.max(...windows.engine) - Math.min(...windows.engine)) / ns),
    windows: windows.engine.map(round2),
    macswapWindows: windows.macswap.map(round2),
    discarded,
    ...(instructions === undefined ? {} : { instructions: round2(instructions) }),
  };
}

const round2 = (value: number): number => Math.round(value * 100) / 100;
