// SPDX-License-Identifier: Apache-2.0
// The project's processes as children of a test, and other people's programs to talk to them.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import type { ExecutionContext } from 'ava';
import { projectRoot } from '../../../src/grpc/loader.js';
import { moduleArguments } from '../../support/program.js';

export const run = promisify(execFile);

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stderr: string;
  /** Log lines of standard output. */
  readonly lines: readonly Record<string, unknown>[];
}

export interface Child {
  readonly process: ChildProcess;
  /** Resolves with the log line that has this message; rejects if the process ends without it. */
  readonly logged: (message: string) => Promise<Record<string, unknown>>;
  readonly exited: Promise<Exit>;
}

/** Starts a program of the project, 'src/manager/main.js'. It is killed, if it still runs, when the test ends. */
export function startProcess(
  t: ExecutionContext,
  main: string,
  args: readonly string[],
  input = '',
  environment: NodeJS.ProcessEnv = {},
): Child {
  const process_ = spawn(process.execPath, [...moduleArguments(import.meta.url, `../../../${main}`), ...args], {
    cwd: projectRoot,
    env: { ...process.env, ...environment },
  });
  const lines: Record<string, unknown>[] = [];
  const stderr: string[] = [];
  const reader = createInterface({ input: process_.stdout });
  reader.on('line', (line) => lines.push(JSON.parse(line)));
  process_.stderr.on('data', (data) => stderr.push(String(data)));
  process_.stdin.on('error', () => {}); // It ended without reading.
  process_.stdin.end(input);
  const exited = Promise.all([once(process_, 'close'), once(reader, 'close')]).then(
    ([[code, signal]]): Exit => ({ code, signal, stderr: stderr.join(''), lines }),
  );
  t.teardown(async () => {
    if (process_.exitCode === null) process_.kill('SIGKILL');
    await exited;
  });
  const logged = async (message: string) => {
    for (;;) {
      const found = lines.find((line) => line.msg === message);
      if (found !== undefined) return found;
      const ended = await Promise.race([once(reader, 'line').then(() => undefined), exited]);
      if (ended !== undefined) throw new Error(`ended with ${ended.code} before "${message}": ${ended.stderr}`);
    }
  };
  return { process: process_, logged, exited };
}

const buf = join(projectRoot, 'node_modules', '.bin', 'buf');

function bufArguments(socket: string, method: string, request: object | undefined): string[] {
  const base = ['curl', '--unix-socket', socket, '--http2-prior-knowledge', '--protocol', 'grpc'];
  if (request === undefined) return [...base, method, 'http://localhost'];
  return [...base, '-d', JSON.stringify(request), `http://localhost/${method}`];
}

/** Runs `buf curl` (an independent client, in Go) against a socket; returns what it printed. */
export async function bufCurl(socket: string, method: string, request?: object): Promise<string> {
  const { stdout } = await run(buf, bufArguments(socket, method, request));
  return stdout;
}

/** Starts `buf curl`, for a stream. */
export function startBufCurl(socket: string, method: string, request: object) {
  return spawn(buf, bufArguments(socket, method, request), { stdio: ['ignore', 'pipe', 'ignore'] });
}
