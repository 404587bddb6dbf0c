// SPDX-License-Identifier: Apache-2.0
// Programs that are told of a change: started, and not waited for; whoever hangs is ended.
import type { Logger } from '../../grpc/log.js';
import { endGroup, environmentOf, spawnGroup } from './checks/processes.js';

const longestRunMs = 60_000;

/** Starts a program with its arguments. What becomes of it is logged, no more. */
export function runScript(command: readonly string[], log: Logger): void {
  const child = spawnGroup(command, { stdio: 'ignore', env: environmentOf(process.env) });
  const { pid } = child;
  // Its arguments may be secrets.
  const [program] = command;
  const limit = setTimeout(() => {
    log.warn({ program }, `ended after ${longestRunMs / 1000} s`);
    if (pid !== undefined) void endGroup(pid);
  }, longestRunMs);
  limit.unref();
  child.unref();
  child.on('error', ({ message }) => {
    clearTimeout(limit);
    log.error({ err: message, program }, 'a script cannot be run');
  });
  child.on('exit', (status, signal) => {
    clearTimeout(limit);
    if (status !== 0) log.warn({ program, status, signal }, 'a script failed');
  });
}
