// SPDX-License-Identifier: Apache-2.0
// The log of a process: one JSON document a line on standard output.
import { type DestinationStream, type Logger, pino, stdTimeFunctions } from 'pino';

export type { Logger };

/** A logger that names its process in every line. Its lines go to standard output, if not told otherwise. */
export function createLogger(name: string, destination: DestinationStream = pino.destination(1)): Logger {
  const options = {
    name,
    level: process.env.FULCRUM_LOG_LEVEL ?? 'info',
    base: { name, pid: process.pid },
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  return pino(options, destination);
}
