// SPDX-License-Identifier: Apache-2.0
// A whole director in the foreground: claims the run directory, starts and keeps both processes, puts the file's
// services into force, and ends everything on a signal.

import { fileURLToPath } from 'node:url';
import { type DirectorConfig, readConfig } from '../config/parse.js';
import { connectDirector } from '../grpc/client.js';
import { createLogger, type Logger } from '../grpc/log.js';
import { defaultStateDirectory, type RunPaths, runPaths } from '../grpc/paths.js';
import type { ChildSpec } from './child.js';
import { type LogFormat, logOutput } from './log_output.js';
import { type Account, accountOf, dataplanePrivileges, handOver, managerPrivileges, share } from './privileges.js';
import { RunDirectory } from './run_directory.js';
import { applyServices } from './services.js';
import { Supervisor } from './supervisor.js';

export interface DirectorOptions {
  readonly config: string;
  readonly runDirectory?: string;
  readonly stateDirectory?: string;
  /** Further arguments of the manager: its TLS listener. */
  readonly managerArguments?: readonly string[];
  /** The manager runs as this user, without privileges. */
  readonly user?: string;
  /** What the dataplane keeps; undefined: all that it is started with. */
  readonly capabilities: readonly string[] | undefined;
  readonly log: LogFormat;
}

/** Runs until a signal; rejects if it cannot start, with everything ended and removed. */
export async function runDirector(options: DirectorOptions): Promise<void> {
  const config = readConfig(options.config);
  const paths = runPaths(options.runDirectory);
  const account = options.user === undefined ? undefined : accountOf(options.user);
  const output = logOutput(options.log);
  const log = createLogger('up', { write: (line: string) => output('up', line.trimEnd()) });
  const directory = await RunDirectory.claim(paths.directory, (orphans) =>
    log.warn({ pids: orphans.map(({ pid }) => pid) }, 'an earlier supervisor was killed: ending the processes it left'),
  );
  if (account) share(paths.directory, account);
  const supervisor = new Supervisor(log, { output, changed: (pids) => directory.setChildren(pids) });
  const stopping = new AbortController();
  const stopped = stopOnSignals(supervisor, stopping, log);
  try {
    await startAll(supervisor, config, paths, { ...options, account }, stopping.signal);
    log.info({ manager: paths.managerSocket }, 'ready');
    await stopped;
  } catch (error) {
    if (!stopping.signal.aborted) throw error;
    await stopped;
  } finally {
    await supervisor.stop();
    directory.release([paths.managerSocket, paths.dataplaneSocket]);
    log.info('stopped');
  }
}

async function startAll(
  supervisor: Supervisor,
  config: DirectorConfig,
  paths: RunPaths,
  options: DirectorOptions & { readonly account: Account | undefined },
  signal: AbortSignal,
): Promise<void> {
  const { account, capabilities } = options;
  const stateDirectory = options.stateDirectory ?? defaultStateDirectory();
  if (account) handOver(stateDirectory, account);
  const cpus = config.start.housekeepingCpus ?? [];
  await supervisor.start({
    name: 'dataplane',
    command: onCpus(cpus, dataplanePrivileges(capabilities, account), [
      'dataplane/main',
      '--socket',
      paths.dataplaneSocket,
    ]),
    input: JSON.stringify(config.start),
  });
  const manager: ChildSpec = {
    name: 'manager',
    command: onCpus(cpus, managerPrivileges(account), [
      'manager/main',
      '--socket',
      paths.managerSocket,
      '--dataplane',
      paths.dataplaneSocket,
      '--state-dir',
      stateDirectory,
      ...(options.managerArguments ?? []),
    ]),
  };
  await supervisor.start(manager);
  const client = connectDirector(paths.managerSocket);
  try {
    await applyServices(client, config, signal);
  } finally {
    client.close();
  }
}

/**
 * Megabytes of V8's young generation: a call about a hundred thousand real servers makes millions of objects that live as
 * long as the call, and with the usual 16 a third of its time goes into moving them about.
 */
const youngMegabytes = 32;

/** A program of this project on the housekeeping CPUs: V8's own threads stay off those of the workers. */
function onCpus(
  cpus: readonly number[],
  privileges: readonly string[],
  [program, ...rest]: readonly [string, ...string[]],
): [string, ...string[]] {
  const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
  const file = fileURLToPath(new URL(`../${program}${extension}`, import.meta.url));
  const node = [process.execPath, `--max-semi-space-size=${youngMegabytes}`, ...process.execArgv];
  return ['taskset', '--cpu-list', cpus.join(','), ...privileges, ...node, file, ...rest];
}

/** Resolves when a signal has ended everything. A second signal does not wait for the processes any longer. */
function stopOnSignals(supervisor: Supervisor, stopping: AbortController, log: Logger): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (signal: NodeJS.Signals): void => {
      log.info({ signal }, 'stopping');
      stopping.abort();
      supervisor.stop().then(resolve, reject);
    };
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop);
  });
}
