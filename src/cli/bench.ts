// SPDX-License-Identifier: Apache-2.0
// fulcrum bench: what a packet costs in the engine, beside what dpdk-testpmd takes for receiving and sending alone.

import { availableParallelism } from 'node:os';
import { type Command, InvalidArgumentError } from 'commander';
import { bytesApart, measureChurn, measureLatency, measureMemory, measureTable } from '../bench/apart.js';
import { type BenchOptions, bench, type Extra } from '../bench/bench.js';
import { type Case, parseCase, standardCases } from '../bench/cases.js';
import { writeDocs } from '../bench/docs.js';
import {
  compareInstructions,
  countAll,
  type Instructions,
  readBaseline,
  tolerance,
  writeBaseline,
} from '../bench/instructions.js';
import { notes, type Report, readReport, table } from '../bench/report.js';
import { usualCpuPercent } from '../bench/windows.js';
import { type DirectorBenchOptions, runDirectorBench } from './bench_director.js';
import { type Cli, wholeNumber } from './cli.js';
import { CommandError } from './exit_codes.js';

interface Options extends DirectorBenchOptions {
  readonly json?: boolean;
  readonly all?: boolean;
  readonly case: readonly Case[];
  readonly rounds: number;
  readonly instructions?: boolean;
  readonly full?: boolean;
  readonly latency?: boolean;
  readonly writeDocs?: boolean;
  readonly from?: string;
  readonly check?: boolean;
  readonly updateBaseline?: boolean;
  readonly windows: number;
  readonly windowMs: number;
  readonly cpuPercent: number;
  readonly workerCpu: number;
  readonly housekeepingCpu: number;
  readonly secondCpu: number;
  readonly compare?: string;
}

/** So many windows are tried for each one that is wanted. */
const triesPerWindow = 10;

const lastCpu = availableParallelism() - 1;

export function register(program: Command, cli: Cli): void {
  program
    .command('bench')
    .description('nanoseconds per packet of the engine beside dpdk-testpmd, on this machine, without a NIC')
    .option('--json', 'JSON on standard output')
    .option('--all', 'every case: IPv6, new connections, floods, two workers, a million flows (4 GB of memory)')
    .option(
      '--case <name>',
      'only this, e.g. dr-1k, tun6-1m-tcp, new-dr-2m; repeatable (docs/performance.md has the grammar)',
      addCase,
      [],
    )
    .option('--rounds <number>', 'rounds of testpmd and engine in turn', wholeNumber(1, 100), 3)
    .option('--windows <number>', 'windows of each in a round', wholeNumber(1, 1000), 3)
    .option('--window-ms <milliseconds>', 'how long each is', wholeNumber(50, 60_000), 300)
    .option(
      '--cpu-percent <number>',
      'of a window that a worker must have had its CPU',
      wholeNumber(1, 100),
      usualCpuPercent,
    )
    .option('--full', 'every case, table, memory, churn, latency and instructions (some 25 minutes, 4 GB of memory)')
    .option('--latency', 'how long packets are on their way')
    .option('--write-docs', 'the report into docs/performance.md, with its plot and its JSON')
    .option('--from <file>', 'a report that --json wrote, in place of measuring')
    .option(
      '--check',
      'count instructions per packet and stage (valgrind); fail where the committed baseline is exceeded',
    )
    .option('--update-baseline', 'count them and write the baseline')
    .option('--instructions', 'also count instructions per packet (valgrind)')
    .option('--worker-cpu <number>', 'CPU that is measured', wholeNumber(0, 1023), lastCpu)
    .option('--housekeeping-cpu <number>', 'CPU for everything else', wholeNumber(0, 1023), 0)
    .option('--second-cpu <number>', "a second worker's CPU", wholeNumber(0, 1023), lastCpu > 1 ? 1 : 0)
    .option('--compare <file>', 'beside an older run that --json wrote')
    .option('--control', 'instead: what calls of the API cost with 10,000 services of 10 real servers')
    .option('--end-to-end', 'instead: HTTP through Fulcrum, HAProxy and nftables, side by side, in namespaces')
    .option('--health', 'instead: what health checks cost, how well their schedule is kept, how soon failures are told')
    .option('--targets <number>', 'with --health: real servers', wholeNumber(100, 60_000), 10_000)
    .option('--interval <seconds>', 'with --health: from one check of each to the next', wholeNumber(1, 3600), 2)
    .option('--seconds <number>', 'with --health: how long they are watched', wholeNumber(1, 86_400), 30)
    .option('--failing <number>', 'with --health: how many fail at once', wholeNumber(1, 60_000), 2000)
    .option(
      '--soak <minutes>',
      'instead: hostile checks and configurations; fails if anything is left behind',
      wholeNumber(1, 10_080),
    )
    .action((options: Options) => (isOfDirector(options) ? runDirectorBench(cli, options) : runBench(cli, options)));
}

const isOfDirector = ({ control, endToEnd, health, soak }: Options): boolean =>
  control === true || endToEnd === true || health === true || soak !== undefined;

function addCase(text: string, before: readonly Case[]): readonly Case[] {
  const parsed = parseCase(text);
  if (parsed === undefined)
    throw new InvalidArgumentError(
      'a case is [new-|life-|flood-|pairs-|handover-](dr|tun|nat)[6]-[client-|server-]FLOWS[-tcp], e.g. dr-1k.',
    );
  return [...before, parsed];
}

function extrasOf(options: Options): Readonly<Record<string, Extra>> {
  const counts = options.full || options.check || options.updateBaseline;
  return {
    ...(options.full ? { table: measureTable, memory: measureMemory, churn: measureChurn } : {}),
    ...(options.full || options.latency ? { latency: measureLatency } : {}),
    ...(counts ? { instructions: countAll } : {}),
  };
}

/** Named ones; else none if something else is asked for by itself. */
function casesOf(options: Options): readonly Case[] {
  const all = options.all === true || options.full === true;
  if (options.case.length > 0) return options.case;
  return all || Object.keys(extrasOf(options)).length === 0 ? standardCases(all) : [];
}

async function runBench(cli: Cli, options: Options): Promise<void> {
  if (options.workerCpu === options.housekeepingCpu)
    throw new CommandError('the worker needs a CPU of its own: --worker-cpu and --housekeeping-cpu are the same');
  const stopping = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stopping.abort());
  const settings: BenchOptions = {
    cases: casesOf(options),
    rounds: options.rounds,
    instructions: options.instructions === true,
    plan: {
      wanted: options.windows,
      milliseconds: options.windowMs,
      tries: triesPerWindow * options.windows,
      cpuPercent: options.cpuPercent,
    },
    workerCpu: options.workerCpu,
    housekeepingCpu: options.housekeepingCpu,
    secondCpu: options.secondCpu,
    say: (text) => cli.complain(`bench: ${text}`),
    signal: stopping.signal,
  };
  try {
    const older = options.compare === undefined ? undefined : readReport(options.compare);
    const extras = extrasOf(options);
    const bytes = options.full ? bytesApart : 0;
    const report = options.from === undefined ? await bench(settings, extras, bytes) : readReport(options.from);
    await show(cli, options, report, older);
    if (report.failures !== undefined) throw new Error(['not measured:', ...report.failures].join('\n  '));
    if (options.writeDocs) writeDocs(report);
    if (report.instructions !== undefined) checkInstructions(cli, options, report.instructions);
  } catch (error) {
    if (stopping.signal.aborted) process.exitCode = 130;
    else throw new CommandError(error instanceof Error ? error.message : String(error));
  }
}

/** Throws, naming what has regressed. */
function checkInstructions(cli: Cli, options: Options, counted: Instructions): void {
  if (options.updateBaseline) writeBaseline(counted);
  if (!options.check) return;
  const { regressions, remarks } = compareInstructions(readBaseline(), counted);
  for (const remark of remarks) cli.complain(`bench: ${remark}`);
  if (regressions.length > 0)
    throw new Error(['more instructions than the baseline allows', ...regressions].join('\n  '));
  cli.complain(`bench: no stage and no packet takes ${100 * tolerance} % more instructions than in the baseline`);
}

/** A line each; docs/performance.md has them as tables. */
const apartLines = ({ table: compared, memory, churn, latency }: Report): readonly string[] =>
  Object.entries({ table: compared, memory, churn, latency }).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}: ${JSON.stringify(value)}`],
  );

async function show(cli: Cli, options: Options, report: Report, older: Report | undefined): Promise<void> {
  const cases = report.cases.length > 0 ? [...table(report.cases, older), ...notes(report.cases)] : [];
  const lines = [...cases, ...apartLines(report)];
  if (!options.json) return cli.write(lines.map((line) => `${line}\n`).join(''));
  for (const line of lines) cli.complain(line);
  await cli.write(`${JSON.stringify(report)}\n`);
}
