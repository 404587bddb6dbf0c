// SPDX-License-Identifier: Apache-2.0
// fulcrum bench --control and --end-to-end: a whole director, not the engine alone.

import { benchControl, controlTable } from '../bench/control.js';
import type { Cli } from './cli.js';
import { CommandError } from './exit_codes.js';

export interface DirectorBenchOptions {
  readonly json?: boolean;
  readonly control?: boolean;
  readonly endToEnd?: boolean;
  readonly workerCpu: number;
  readonly housekeepingCpu: number;
}

const controlScale = { services: 10_000, serversPerService: 10, edits: 200 } as const;

export async function runDirectorBench(cli: Cli, options: DirectorBenchOptions): Promise<void> {
  const stopping = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stopping.abort());
  const settings = { ...options, say: (text: string) => cli.complain(`bench: ${text}`), signal: stopping.signal };
  try {
    const report = await benchControl({ ...settings, ...controlScale });
    const lines = controlTable(report);
    if (!options.json) return await cli.write(`${lines.join('\n')}\n`);
    for (const line of lines) cli.complain(line);
    await cli.write(`${JSON.stringify(report)}\n`);
  } catch (error) {
    if (stopping.signal.aborted) process.exitCode = 130;
    else throw new CommandError(error instanceof Error ? error.message : String(error));
  }
}
