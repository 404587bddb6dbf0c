// SPDX-License-Identifier: Apache-2.0
// The log of a process: one JSON document a line on standard output.
import { type Logger, pino, stdTimeFunctions } from 'pino';

export type { Logger };

/** A logger that names its process in every line. */
export function createLogger(name: string): Logger {
  return pino({
    name,
    level: process.env.FULCRUM_LOG_LEVEL ?? 'info',
    base: { name, pid: process.pid },
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
  });
}
