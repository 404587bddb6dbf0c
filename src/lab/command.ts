// SPDX-License-Identifier: Apache-2.0
// Runs other programs: short ones for their result, long ones as a task whose lines can be waited for.

import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export type Command = readonly [string, ...string[]];

export class CommandError extends Error {
  readonly output: string;

  constructor(command: Command, ending: string, output: string) {
    super(`${command.join(' ')}: ${ending}${output === '' ? '' : `\n${output}`}`);
    this.output = output;
  }
}

export interface RunOptions {
  readonly input?: string;
  /** After this it is ended, with everything in its process group, and counts as failed. */
  readonly timeoutMs?: number;
}

/** npm puts its packages' programs first, and one of those is called nft too. */
const systemPath = (process.env.PATH ?? '').split(':').filter((place) => !place.includes('/node_modules/'));
const systemEnvironment = { ...process.env, PATH: systemPath.join(':') };

/** Between the signal that asks and the one that does not. */
const killGraceMs = 5000;

/** Runs a program to its end; resolves with its standard output, rejects with CommandError if it fails. */
export function run(command: Command, options: RunOptions = {}): Promise<string> {
  const [file, ...parameters] = command;
  const child = spawn(file, parameters, { stdio: ['pipe', 'pipe', 'pipe'], detached: true, env: systemEnvironment });
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text;
    });
  // A program that ends without reading its input is judged by its exit code.
  child.stdin.on('error', () => {});
  child.stdin.end(options.input ?? '');
  const timers = options.timeoutMs === undefined ? [] : endAfter(child, options.timeoutMs);
  return new Promise((resolve, reject) => {
    const fail = (ending: string): void => {
      const said = [output.stdout, output.stderr].map((text) => text.trim()).filter((text) => text !== '');
      reject(new CommandError(command, ending, said.join('\n')));
    };
    child.once('error', (error) => fail(error.message));
    child.once('close', (code, signal) => {
      timers.forEach(clearTimeout);
      if (code === 0) resolve(output.stdout);
      else fail(signal === null ? `exit code ${code}` : `signal ${signal}`);
    });
  });
}

function endAfter(child: ChildProcess, ms: number): readonly NodeJS.Timeout[] {
  const signal = (name: NodeJS.Signals) => () => {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, name);
  };
  return [setTimeout(signal('SIGTERM'), ms), setTimeout(signal('SIGKILL'), ms + killGraceMs)];
}

/** Lines kept for error messages. */
const keptLines = 40;

/** A program that runs beside us, in a process group of its own so that a Ctrl-C at the terminal is ours alone. */
export class Task {
  readonly ended: Promise<string>;
  readonly #child: ChildProcess;
  readonly #command: Command;
  readonly #listeners = new Set<(line: string) => void>();
  readonly #tail: string[] = [];
  #ending: string | undefined;

  constructor(command: Command) {
    const [file, ...parameters] = command;
    this.#command = command;
    const child = spawn(file, parameters, { stdio: ['pipe', 'pipe', 'pipe'], detached: true, env: systemEnvironment });
    this.#child = child;
    child.stdin.on('error', () => {});
    for (const stream of [child.stdout, child.stderr])
      createInterface({ input: stream }).on('line', (line) => this.#take(line));
    this.ended = new Promise((resolve) => {
      const end = (ending: string): void => {
        this.#ending ??= ending;
        resolve(this.#ending);
      };
      child.once('error', (error) => end(error.message));
      child.once('close', (code, signal) => end(signal === null ? `exit code ${code}` : `signal ${signal}`));
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get running(): boolean {
    return this.#ending === undefined;
  }

  /** Last lines of both outputs. */
  get tail(): readonly string[] {
    return this.#tail;
  }

  /** Calls back with every further line of both outputs. */
  onLine(listener: (line: string) => void): void {
    this.#listeners.add(listener);
  }

  write(text: string): void {
    this.#child.stdin?.write(text);
  }

  /** The first line from now on that the predicate takes; rejects when the program ends before, or takes too long. */
  line(take: (line: string) => boolean, timeoutMs: number): Promise<string> {
    return new Promise((resolve, reject) => {
      const listener = (line: string): void => {
        if (!take(line)) return;
        done();
        resolve(line);
      };
      const fail = (why: string): void => {
        done();
        reject(new CommandError(this.#command, why, this.#tail.join('\n')));
      };
      const timer = setTimeout(() => fail(`nothing of what was expected in ${timeoutMs / 1000} s`), timeoutMs);
      const done = (): void => {
        clearTimeout(timer);
        this.#listeners.delete(listener);
      };
      this.#listeners.add(listener);
      void this.ended.then((ending) => fail(`ended (${ending})`));
    });
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** SIGTERM, and SIGKILL when it still runs after the grace; resolves with how it ended. */
  async stop(graceMs = 5000): Promise<string> {
    this.signal('SIGTERM');
    const timer = setTimeout(() => this.signal('SIGKILL'), graceMs);
    const ending = await this.ended;
    clearTimeout(timer);
    return ending;
  }

  #take(line: string): void {
    this.#tail.push(line);
    if (this.#tail.length > keptLines) this.#tail.shift();
    for (const listener of [...this.#listeners]) listener(line);
  }
}
