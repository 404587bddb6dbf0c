// SPDX-License-Identifier: Apache-2.0
// A run of the bench: for each case its capture files, and on them testpmd and the engine, one after the other.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Case, framesOf, pairsOf, singleOf } from './cases.js';
import {
  checkEngine,
  countInstructions,
  type EngineResult,
  measureEngine,
  measureSource,
  writeCapture,
} from './engine.js';
import { bytesNeeded, describeMachine, HugePages, type Needs } from './machine.js';
import type { CaseResult, Report } from './report.js';
import type { Setup } from './setup.js';
import { checkTestpmd, measureTestpmd } from './testpmd.js';
import { median, spread, type WindowPlan } from './windows.js';

export interface BenchOptions {
  readonly cases: readonly Case[];
  readonly rounds: number;
  /** Also count instructions, under valgrind. */
  readonly instructions: boolean;
  /** Of each of the measurements of a round. */
  readonly plan: WindowPlan;
  readonly workerCpu: number;
  readonly housekeepingCpu: number;
  readonly secondCpu: number;
  readonly say: (text: string) => void;
  readonly signal: AbortSignal;
}

/** What is measured besides the cases, with the same set-up; its results are members of the report. */
export type Extra = (setup: Setup, options: BenchOptions) => Promise<Partial<Report>>;

const needsOf = (one: Case): Needs => ({
  frames: framesOf(one) * pairsOf(one),
  connections: one.flows * pairsOf(one),
  workers: pairsOf(one),
});

/** Rejects only when nothing can be measured; what could not be is told in the report. */
export async function bench(
  options: BenchOptions,
  extras: Readonly<Record<string, Extra>> = {},
  extraBytes = 0,
): Promise<Report> {
  checkEngine();
  if (options.cases.length > 0) await checkTestpmd();
  const pages = new HugePages(Math.max(extraBytes, ...options.cases.map((one) => bytesNeeded(needsOf(one)))));
  if (!pages.available) options.say('no huge pages: measured without, which costs more at many flows');
  const directory = mkdtempSync(join(tmpdir(), 'fulcrum-bench-'));
  const setup: Setup = { ...options, directory, hugepages: pages.available, children: new Set() };
  const interrupt = (): void => {
    for (const child of setup.children) child.signal('SIGKILL');
  };
  options.signal.addEventListener('abort', interrupt);
  try {
    const machine = await describeMachine(pages.available ? 'hugepages' : 'no-huge');
    const cases: CaseResult[] = [];
    const failures: string[] = [];
    // What goes wrong with one is no reason to lose the others.
    const attempt = async (what: string, measure: () => Promise<void>): Promise<void> => {
      try {
        await measure();
      } catch (error) {
        options.signal.throwIfAborted();
        failures.push(`${what}: ${error instanceof Error ? error.message : error}`);
        options.say(`not measured: ${failures.at(-1)}`);
      }
    };
    const begun = Date.now();
    for (const [number, one] of options.cases.entries()) {
      const minutes = ((Date.now() - begun) / 60_000).toFixed(1);
      options.say(`${one.name} (${number + 1} of ${options.cases.length}, ${minutes} minutes)`);
      await attempt(one.name, async () => void cases.push(await measureCase(setup, one, options)));
    }
    let report: Report = { machine, cases };
    for (const [what, extra] of Object.entries(extras))
      await attempt(what, async () => {
        report = { ...report, ...(await extra(setup, options)) };
      });
    return failures.length === 0 ? report : { ...report, failures };
  } finally {
    options.signal.removeEventListener('abort', interrupt);
    rmSync(directory, { recursive: true, force: true });
    pages.release();
  }
}

/** Of all rounds, by what was measured. */
interface Measured {
  readonly engine: number[];
  readonly macswap: number[];
  readonly io: number[];
  readonly results: EngineResult[];
  /** What stamping costs. */
  readonly stamping: number[];
  /** One worker with one pair of devices. */
  readonly single: number[];
  readonly singleMacswap: number[];
}

const capturePath = (setup: Setup, name: string): string => join(setup.directory, `${name}.pcap`);
const capturesOf = (setup: Setup, one: Case): readonly string[] => {
  const first = capturePath(setup, one.name);
  return pairsOf(one) === 1 ? [first] : [first, `${first}.1`];
};

/** In rounds, so that what disturbs the machine for a while disturbs all. */
async function measureCase(setup: Setup, one: Case, options: BenchOptions): Promise<CaseResult> {
  const single = pairsOf(one) === 1 ? undefined : singleOf(one);
  const captures = capturesOf(setup, one);
  await writeCapture(setup, one.name, capturePath(setup, one.name));
  if (single !== undefined) await writeCapture(setup, single.name, capturePath(setup, single.name));
  const measured: Measured = {
    engine: [],
    macswap: [],
    io: [],
    results: [],
    stamping: [],
    single: [],
    singleMacswap: [],
  };
  for (let round = 1; round <= options.rounds; round++) {
    options.signal.throwIfAborted();
    await measureRound(setup, one, options.plan, measured);
    if (single !== undefined) await measureSingle(setup, single, options.plan, measured);
  }
  const counts = options.instructions && one.kind === 'hit';
  const instructions = counts ? await countInstructions(setup, one.name, capturePath(setup, one.name)) : undefined;
  for (const path of captures) rmSync(path);
  if (single !== undefined) rmSync(capturePath(setup, single.name));
  return { ...summarize(one, measured), ...(instructions === undefined ? {} : { instructions: round2(instructions) }) };
}

async function measureRound(setup: Setup, one: Case, plan: WindowPlan, measured: Measured): Promise<void> {
  const testpmd = await measureTestpmd(setup, capturesOf(setup, one), needsOf(one), plan);
  measured.io.push(...testpmd.io);
  measured.macswap.push(...testpmd.macswap);
  const engine = await measureEngine(setup, one.name, capturePath(setup, one.name), plan);
  measured.engine.push(...engine.windows);
  measured.results.push(engine);
  if (one.kind !== 'new' && one.kind !== 'life' && one.kind !== 'flood') return;
  const source = await measureSource(setup, one.name, capturePath(setup, one.name), plan);
  measured.stamping.push(median(source.stamped) - median(source.plain));
}

async function measureSingle(setup: Setup, single: Case, plan: WindowPlan, measured: Measured): Promise<void> {
  const testpmd = await measureTestpmd(setup, capturesOf(setup, single), needsOf(single), plan);
  measured.singleMacswap.push(...testpmd.macswap);
  const engine = await measureEngine(setup, single.name, capturePath(setup, single.name), plan);
  measured.single.push(...engine.windows);
}

function summarize(one: Case, measured: Measured): CaseResult {
  const ns = median(measured.engine);
  const macswapNs = median(measured.macswap);
  return {
    name: one.name,
    ns: round2(ns),
    macswapNs: round2(macswapNs),
    ioNs: round2(median(measured.io)),
    ratio: round2(ns / macswapNs),
    spread: round2(spread(measured.engine)),
    windows: measured.engine.map(round2),
    macswapWindows: measured.macswap.map(round2),
    discarded: measured.results.reduce((sum, { discarded }) => sum + discarded, 0),
    ...ofConnections(one, measured),
    ...(pairsOf(one) === 1 ? {} : ofWorkers(ns, macswapNs, measured)),
    ...(one.kind === 'handover' ? { handoverLost: lostByHandover(measured.results) } : {}),
  };
}

function ofConnections(one: Case, { results, stamping }: Measured): Partial<CaseResult> {
  const middle = (pick: (result: EngineResult) => number | undefined): number =>
    round2(median(results.map(pick).filter((value) => value !== undefined)));
  const stampNs = round2(median(stamping));
  if (one.kind === 'new') return { stampNs, firstFillNs: middle((result) => result.firstFillNs) };
  if (one.kind === 'life') {
    const connections = Math.round(middle((result) => result.connections));
    return { stampNs, connections, begunPerSecond: Math.round(middle((result) => result.begunPerSecond)) };
  }
  if (one.kind !== 'flood') return {};
  return {
    stampNs,
    establishedNs: middle((result) => result.establishedNs),
    refusedNs: middle((result) => result.refusedNs),
    lost: results.reduce((sum, { lost = 0 }) => sum + lost, 0),
    verdicts: results.at(-1)?.verdicts ?? {},
  };
}

function ofWorkers(ns: number, macswapNs: number, { single, singleMacswap }: Measured): Partial<CaseResult> {
  const scaling = median(single) / ns;
  const macswapScaling = median(singleMacswap) / macswapNs;
  return {
    singleNs: round2(median(single)),
    scaling: round2(scaling),
    macswapScaling: round2(macswapScaling),
    scalingRatio: round2(scaling / macswapScaling),
  };
}

const lostByHandover = (results: readonly EngineResult[]): number =>
  median(results.map(({ handoverLost = 0 }) => handoverLost));

const round2 = (value: number): number => Math.round(value * 100) / 100;
