// SPDX-License-Identifier: Apache-2.0
// One process of the director while it lives: started in a process group of its own (a Ctrl-C at the terminal is for
// the supervisor, which stops them in order), ready when its log says so, stopped with a deadline.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

export interface ChildSpec {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
  /** Written to standard input, which is then closed. */
  readonly input?: string;
}

export type OutputLine = (name: string, line: string) => void;

/** "exit code 1", "signal SIGKILL", "spawn taskset ENOENT". */
export type Ending = string;

export class Child {
  readonly name: string;
  readonly pid: number | undefined;
  /** Resolves with true when it is ready, with false when it ends before. */
  readonly ready: Promise<boolean>;
  readonly ended: Promise<Ending>;
  /** The last thing it said of a failure; '' if nothing. */
  lastWords = '';
  readonly #kill: (signal: NodeJS.Signals) => void;

  constructor(spec: ChildSpec, output: OutputLine) {
    const [file, ...parameters] = spec.command;
    const child = spawn(file, parameters, { stdio: ['pipe', 'pipe', 'pipe'], detached: true, env: environment() });
    this.name = spec.name;
    this.pid = child.pid;
    this.#kill = (signal) => child.kill(signal);
    // It may end before it has read its input; its end is what counts then.
    child.stdin.on('error', () => {});
    child.stdin.end(spec.input ?? '');
    this.ended = new Promise((resolve) => {
      child.once('error', (error) => resolve(error.message));
      child.once('close', (code, signal) => resolve(signal === null ? `exit code ${code}` : `signal ${signal}`));
    });
    this.ready = new Promise((resolve) => {
      readLines(child.stdout, (line) => {
        output(spec.name, line);
        const entry = parseEntry(line);
        if (entry?.msg === 'ready') resolve(true);
        if (entry?.level === 'fatal') this.lastWords = entry.msg;
      });
      void this.ended.then(() => resolve(false));
    });
    readLines(child.stderr, (line) => {
      if (!this.#saidAlready(line)) output(spec.name, line);
      if (this.lastWords === '') this.lastWords = line;
    });
  }

  /** The hosts repeat their fatal message here for those who run them by hand. */
  #saidAlready(line: string): boolean {
    return this.lastWords.split('\n').includes(line.replace(`${this.name}: `, ''));
  }

  /** SIGTERM, and SIGKILL when it still runs after the grace. */
  async stop(graceMs: number): Promise<void> {
    this.#kill('SIGTERM');
    const timer = setTimeout(() => this.#kill('SIGKILL'), graceMs);
    await this.ended;
    clearTimeout(timer);
  }

  kill(): void {
    this.#kill('SIGKILL');
  }
}

/** The word "ready" is an info line: a coarser level would hide it. */
function environment(): NodeJS.ProcessEnv {
  const level = process.env.FULCRUM_LOG_LEVEL ?? 'info';
  return { ...process.env, FULCRUM_LOG_LEVEL: ['debug', 'trace'].includes(level) ? level : 'info' };
}

function readLines(stream: Readable, take: (line: string) => void): void {
  createInterface({ input: stream }).on('line', take);
}

export interface LogEntry {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** A line of a log as src/grpc/log.ts writes it; undefined for anything else. */
export function parseEntry(line: string): LogEntry | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const entry: unknown = JSON.parse(line);
    return typeof entry === 'object' && entry !== null && 'msg' in entry && 'level' in entry
      ? ({ ...entry, level: String(entry.level), msg: String(entry.msg) } as LogEntry)
      : undefined;
  } catch {
    return undefined;
  }
}
