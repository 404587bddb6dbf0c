// SPDX-License-Identifier: Apache-2.0
// CommandCheck (keepalived's MISC_CHECK): a program that ends with status 0, or with a weight. After the time limit it and
// all that it started get TERM, two seconds later KILL; what it leaves running when it ends is ended too, also what has a
// session of its own.
import type { ChildProcess } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { CommandCheck__Output } from '../../../generated/fulcrum/v1/CommandCheck.js';
import { FulcrumError, joinPath, quote } from '../../../grpc/errors.js';
import { durationText } from '../attempt.js';
import { ownFault } from '../faults.js';
import { fileFault, invalid } from '../fields.js';
import type { Prober, Result, Target } from '../prober.js';
import { beginRun } from './escapees.js';
import { endGroup, environmentOf, graceMs, spawnGroup } from './processes.js';

/** misc_dynamic: status 2 stands for weight 0. */
const statusOfWeightZero = 2;

type Outcome =
  | { readonly kind: 'exit'; readonly status: number }
  | { readonly kind: 'signal'; readonly signal: NodeJS.Signals }
  | { readonly kind: 'late' }
  | { readonly kind: 'aborted' };

export function prepareCommand(check: CommandCheck__Output, path: string): Prober {
  const environment = environmentOf(process.env);
  readCommand(check.command, joinPath(path, 'command'), environment.PATH ?? '');
  return {
    probe: async (target, timeoutMs, signal) => {
      signal.throwIfAborted();
      const begun = performance.now();
      const run = beginRun();
      try {
        const child = start(check.command, { ...environment, ...environmentFor(target), ...run.environment });
        const outcome = await outcomeOf(child, timeoutMs, signal);
        const latencyUs = Math.round((performance.now() - begun) * 1000);
        const killed = await clear(child, outcome);
        signal.throwIfAborted();
        return judge(outcome, killed, check.dynamicWeight, timeoutMs, latencyUs);
      } finally {
        run.end();
      }
    },
  };
}

function readCommand(command: readonly string[], field: string, searchPath: string): void {
  const program = command[0] ?? '';
  if (program === '') throw invalid(field, 'must be given');
  const nul = command.findIndex((word) => word.includes('\0'));
  if (nul !== -1) throw invalid(`${field}[${nul}]`, `${quote(command[nul])} has a NUL character`);
  if (program.includes('/') && !program.startsWith('/'))
    throw invalid(`${field}[0]`, `${quote(program)} is a relative path: the manager has no directory of yours`);
  const places = program.includes('/') ? [program] : searchPath.split(delimiter).map((place) => join(place, program));
  const faults = places.map((place) => programFault(place));
  if (faults.includes(undefined)) return;
  const why = places.length === 1 ? faults[0] : `not found in ${searchPath}`;
  throw invalid(`${field}[0]`, `${quote(program)} cannot be run: ${why}`);
}

function programFault(path: string): string | undefined {
  try {
    if (!statSync(path).isFile()) return 'not a file';
    accessSync(path, constants.X_OK);
    return undefined;
  } catch (error) {
    return fileFault(error);
  }
}

/** A check that a service has for all its servers must know which one it is made of. */
function environmentFor(target: Target): Readonly<Record<string, string>> {
  const source = target.source === undefined ? {} : { FULCRUM_SOURCE: target.source };
  return { FULCRUM_ADDRESS: target.address, FULCRUM_PORT: String(target.port), ...source };
}

function start(command: readonly string[], env: NodeJS.ProcessEnv): ChildProcess {
  try {
    return spawnGroup(command, { cwd: '/', env, stdio: 'ignore' });
  } catch (error) {
    throw cannotRun(command[0], error);
  }
}

function cannotRun(program: string | undefined, error: unknown): FulcrumError {
  const why = ownFault(error)?.message ?? fileFault(error);
  return new FulcrumError({ code: 'FAILED_PRECONDITION', message: `cannot run ${program}: ${why}`, cause: error });
}

function outcomeOf(child: ChildProcess, timeoutMs: number, signal: AbortSignal): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const stopWatching = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
    };
    const abort = (): void => {
      stopWatching();
      resolve({ kind: 'aborted' });
    };
    const timer = setTimeout(() => {
      stopWatching();
      resolve({ kind: 'late' });
    }, timeoutMs);
    signal.addEventListener('abort', abort);
    child.once('error', (error) => {
      stopWatching();
      reject(cannotRun(child.spawnargs[0], error));
    });
    child.once('exit', (status, by) => {
      stopWatching();
      resolve(status === null ? { kind: 'signal', signal: by ?? 'SIGKILL' } : { kind: 'exit', status });
    });
  });
}

/** Nobody of the group is there afterwards, and no zombie either. True if it took KILL. */
async function clear(child: ChildProcess, outcome: Outcome): Promise<boolean> {
  const { pid } = child;
  if (pid === undefined) return false;
  return endGroup(pid, outcome.kind === 'aborted' ? 0 : graceMs);
}

function judge(outcome: Outcome, killed: boolean, dynamic: boolean, timeoutMs: number, latencyUs: number): Result {
  const failure = (reason: string): Result => ({ ok: false, reason, latencyUs });
  if (outcome.kind === 'signal') return failure(`ended by ${outcome.signal}`);
  if (outcome.kind !== 'exit')
    return failure(`ended by the time limit of ${durationText(timeoutMs)}: TERM${killed ? ', then KILL' : ''}`);
  const { status } = outcome;
  if (status === 0) return { ok: true, latencyUs };
  if (!dynamic || status < statusOfWeightZero) return failure(`exit status ${status}`);
  return { ok: true, latencyUs, weight: status - statusOfWeightZero };
}
