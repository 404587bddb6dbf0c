// SPDX-License-Identifier: Apache-2.0
// fulcrum bench: what a packet costs in the engine, beside what dpdk-testpmd takes for receiving and sending alone.

import { availableParallelism } from 'node:os';
import { type Command, InvalidArgumentError } from 'commander';
import { type BenchOptions, bench } from '../bench/bench.js';
import { type Case, parseCase, standardCases } from '../bench/cases.js';
import { type Report, readReport, table } from '../bench/report.js';
import { runDirectorBench } from './bench_director.js';
import { type Cli, wholeNumber } from './cli.js';
import { CommandError } from './exit_codes.js';

interface Options {
  readonly json?: boolean;
  readonly all?: boolean;
  readonly case: readonly Case[];
  readonly rounds: number;
  readonly instructions?: boolean;
  readonly windows: number;
  readonly windowMs: number;
  readonly workerCpu: number;
  readonly housekeepingCpu: number;
  readonly compare?: string;
  readonly control?: boolean;
  readonly endToEnd?: boolean;
}

/** So many windows are tried for each one that is wanted. */
const triesPerWindow = 10;

const lastCpu = availableParallelism() - 1;

export function register(program: Command, cli: Cli): void {
  program
    .command('bench')
    .description('nanoseconds per packet of the engine beside dpdk-testpmd, on this machine, without a NIC')
    .option('--json', 'JSON on standard output')
    .option('--all', 'also with a million flows (3 GB of memory)')
    .option(
      '--case <name>',
      'only this: dr, tun, nat-client or nat-server, "-", flows, e.g. dr-1k; repeatable',
      addCase,
      [],
    )
    .option('--rounds <number>', 'rounds of testpmd and engine in turn', wholeNumber(1, 100), 3)
    .option('--windows <number>', 'windows of each in a round', wholeNumber(1, 1000), 3)
    .option('--window-ms <milliseconds>', 'how long each is', wholeNumber(50, 60_000), 300)
    .option('--instructions', 'also count instructions per packet (valgrind)')
    .option('--worker-cpu <number>', 'CPU that is measured', wholeNumber(0, 1023), lastCpu)
    .option('--housekeeping-cpu <number>', 'CPU for everything else', wholeNumber(0, 1023), 0)
    .option('--compare <file>', 'beside an older run that --json wrote')
    .option('--control', 'instead: what calls of the API cost with 10,000 services of 10 real servers')
    .option('--end-to-end', 'instead: HTTP through Fulcrum, HAProxy and nftables, side by side, in namespaces')
    .action((options: Options) =>
      options.control || options.endToEnd ? runDirectorBench(cli, options) : runBench(cli, options),
    );
}

function addCase(text: string, before: readonly Case[]): readonly Case[] {
  const parsed = parseCase(text);
  if (parsed === undefined)
    throw new InvalidArgumentError(
      'dr, tun, nat-client or nat-server is needed, "-" and the flows: dr-1k, tun-1m-tcp.',
    );
  return [...before, parsed];
}

async function runBench(cli: Cli, options: Options): Promise<void> {
  if (options.workerCpu === options.housekeepingCpu)
    throw new CommandError('the worker needs a CPU of its own: --worker-cpu and --housekeeping-cpu are the same');
  const stopping = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stopping.abort());
  const settings: BenchOptions = {
    cases: options.case.length > 0 ? options.case : standardCases(options.all === true),
    rounds: options.rounds,
    instructions: options.instructions === true,
    plan: { wanted: options.windows, milliseconds: options.windowMs, tries: triesPerWindow * options.windows },
    workerCpu: options.workerCpu,
    housekeepingCpu: options.housekeepingCpu,
    say: (text) => cli.complain(`bench: ${text}`),
    signal: stopping.signal,
  };
  try {
    const older = options.compare === undefined ? undefined : readReport(options.compare);
    await show(cli, options, await bench(settings), older);
  } catch (error) {
    if (stopping.signal.aborted) process.exitCode = 130;
    else throw new CommandError(error instanceof Error ? error.message : String(error));
  }
}

async function show(cli: Cli, options: Options, report: Report, older: Report | undefined): Promise<void> {
  const lines = table(report.cases, older);
  if (!options.json) return cli.write(`${lines.join('\n')}\n`);
  for (const line of lines) cli.complain(line);
  await cli.write(`${JSON.stringify(report)}\n`);
}
