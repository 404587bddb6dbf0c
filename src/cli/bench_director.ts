// SPDX-License-Identifier: Apache-2.0
// fulcrum bench --control and --end-to-end: a whole director, not the engine alone.

import { benchControl, controlTable } from '../bench/control.js';
import { benchEndToEnd, endToEndTable } from '../bench/end_to_end.js';
import type { Cli } from './cli.js';
import { CommandError } from './exit_codes.js';

export interface DirectorBenchOptions {
  readonly json?: boolean;
  readonly control?: boolean;
  readonly endToEnd?: boolean;
  readonly workerCpu: number;
  readonly housekeepingCpu: number;
}

const httpScale = { rounds: 3, windowS: 3, connections: 32 } as const;
const controlScale = { services: 10_000, serversPerService: 10, edits: 200 } as const;

export async function runDirectorBench(cli: Cli, options: DirectorBenchOptions): Promise<void> {
  const stopping = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stopping.abort());
  const settings = { ...options, say: (text: string) => cli.complain(`bench: ${text}`), signal: stopping.signal };
  try {
    const reports: Record<string, unknown> = {};
    if (options.control) {
      const control = await benchControl({ ...settings, ...controlScale });
      reports.control = control;
      await show(cli, options, controlTable(control));
    }
    if (options.endToEnd) {
      const endToEnd = await benchEndToEnd({ ...settings, ...httpScale });
      reports.endToEnd = endToEnd;
      await show(cli, options, endToEndTable(endToEnd));
    }
    if (options.json) await cli.write(`${JSON.stringify(reports)}\n`);
  } catch (error) {
    if (stopping.signal.aborted) process.exitCode = 130;
    else throw new CommandError(error instanceof Error ? error.message : String(error));
  }
}

/** Where JSON goes to standard output, tables are for who waits. */
async function show(cli: Cli, { json }: DirectorBenchOptions, lines: readonly string[]): Promise<void> {
  if (!json) return await cli.write(`${lines.join('\n')}\n`);
  for (const line of lines) cli.complain(line);
}
