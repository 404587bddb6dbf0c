// SPDX-License-Identifier: Apache-2.0
// fulcrum bench --control, --end-to-end, --health and --soak: a whole director, not the engine alone.

import { benchControl, controlTable } from '../bench/control.js';
import { writeHealthDocs } from '../bench/docs.js';
import { benchEndToEnd, endToEndTable } from '../bench/end_to_end.js';
import { benchHealth, healthTable } from '../bench/health.js';
import { leakOf, soakHealth, soakTable } from '../bench/health_soak.js';
import type { Cli } from './cli.js';
import { CommandError } from './exit_codes.js';

export interface DirectorBenchOptions {
  readonly json?: boolean;
  readonly control?: boolean;
  readonly endToEnd?: boolean;
  readonly health?: boolean;
  readonly targets: number;
  readonly interval: number;
  readonly seconds: number;
  readonly failing: number;
  /** Minutes. */
  readonly soak?: number;
  readonly writeDocs?: boolean;
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
    if (options.health) {
      if (options.failing > options.targets) throw new Error('--failing: there are not so many --targets');
      const health = await benchHealth({ ...settings, intervalMs: 1000 * options.interval });
      reports.health = health;
      await show(cli, options, columns(healthTable(health)));
      if (options.writeDocs) writeHealthDocs(health);
    }
    if (options.soak !== undefined) {
      const soak = await soakHealth({ ...settings, minutes: options.soak });
      reports.soak = soak;
      await show(cli, options, columns(soakTable(soak)));
      const leak = leakOf(soak);
      if (leak !== undefined) throw new Error(`the manager did not give everything back: ${leak}`);
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

function columns(rows: readonly (readonly [string, string])[]): readonly string[] {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`);
}
