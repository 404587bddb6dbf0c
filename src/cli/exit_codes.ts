// SPDX-License-Identifier: Apache-2.0
// With what fulcrum ends, and why.
import type { StatusName } from '../grpc/errors.js';

export const exitCodes = {
  done: 0,
  /** The director said no: a value is wrong, there is no such service, a revision is stale … */
  refused: 1,
  usage: 2,
  /** Accepted and stored, but the dataplane has not acknowledged it yet. */
  notInForce: 3,
  /** No director answers, or its dataplane does not. */
  unreachable: 4,
  /** config diff: file and director differ; status, config verify: workers use something else than what is declared. */
  differs: 5,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

export const exitCodesHelp = `
Exit status:
  0  done
  1  refused by the director, or a file that is wrong
  2  wrong usage
  3  stored, but not in force yet
  4  no director answers, or its dataplane does not
  5  config diff: there are differences; status, config verify: a worker does not use what is declared
`;

export function exitCodeOf(code: StatusName): ExitCode {
  return code === 'UNAVAILABLE' || code === 'DEADLINE_EXCEEDED' ? exitCodes.unreachable : exitCodes.refused;
}

/** Ends a command with one line on standard error and an exit code. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly exitCode: ExitCode;

  constructor(message: string, exitCode: ExitCode = exitCodes.refused) {
    super(message);
    this.exitCode = exitCode;
  }
}
