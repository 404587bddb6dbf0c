// SPDX-License-Identifier: Apache-2.0
// A build step: runs when the content of its inputs differs from the stamp that its last success left in its output.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath, pathToFileURL } from 'node:url';

export interface Step {
  readonly name: string;
  /** Where the stamp lies: inside the output, so that removing the output removes the stamp. */
  readonly stamp: string;
  /** Files whose content decides. */
  readonly inputs: readonly string[];
  /** Versions of tools and arguments that decide as well. */
  readonly facts?: readonly string[];
  readonly run: () => Promise<void>;
}

export class BuildError extends Error {}

/** The checkout: the nearest directory above this file that holds binding.gyp's folder and package.json. */
export const root = findRoot(dirname(fileURLToPath(import.meta.url)));

function findRoot(from: string): string {
  for (let directory = from; directory !== '/'; directory = dirname(directory)) {
    const names = readdirSync(directory);
    if (names.includes('package.json') && names.includes('proto')) return directory;
  }
  throw new BuildError(`no checkout found above ${from}`);
}

export const say = (text: string): void => {
  process.stderr.write(`build: ${text}\n`);
};

/** Files below a directory of the checkout whose names the filter takes, in a stable order. */
export function filesBelow(directory: string, take: (path: string) => boolean): readonly string[] {
  const found: string[] = [];
  const walk = (path: string): void => {
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      const child = join(path, entry.name);
      if (entry.isDirectory()) walk(child);
      else if (take(relative(root, child))) found.push(child);
    }
  };
  walk(join(root, directory));
  return found.sort();
}

function fingerprint(step: Step): string {
  const hash = createHash('sha256');
  for (const fact of step.facts ?? []) hash.update(`${fact}\n`);
  for (const path of step.inputs) {
    hash.update(`${relative(root, path)}\n`);
    hash.update(readFileSync(path));
  }
  return hash.digest('hex');
}

const stampOf = (step: Step): string => {
  try {
    return readFileSync(step.stamp, 'utf8');
  } catch {
    return '';
  }
};

/** Runs the steps that are stale, in order. */
export async function build(steps: readonly Step[]): Promise<void> {
  for (const step of steps) {
    const wanted = fingerprint(step);
    if (stampOf(step) === wanted) continue;
    const started = Date.now();
    say(step.name);
    rmSync(step.stamp, { force: true });
    await step.run();
    mkdirSync(dirname(step.stamp), { recursive: true });
    writeFileSync(step.stamp, wanted);
    say(`${step.name}: done in ${((Date.now() - started) / 1000).toFixed(1)} s`);
  }
}

/** Runs a tool in the checkout. Its output goes through `show` line by line (null: not shown) and is told in full when it fails. */
export async function tool(
  command: readonly [string, ...string[]],
  options: {
    readonly cwd?: string;
    readonly environment?: Readonly<Record<string, string>>;
    readonly show?: (line: string) => string | null;
    /** Lines that explain nothing when it fails. */
    readonly noise?: RegExp;
  } = {},
): Promise<void> {
  const [file, ...parameters] = command;
  const child = spawn(file, parameters, {
    cwd: options.cwd ?? root,
    env: { ...process.env, ...options.environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      if (!options.noise?.test(line)) lines.push(line);
      const shown = options.show?.(line) ?? null;
      if (shown !== null) say(shown);
    });
  }
  const ended = await new Promise<number | NodeJS.Signals | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve(code ?? signal));
  });
  if (ended !== 0) throw new BuildError(`${lines.join('\n')}\n${command.join(' ')} failed (${ended})`);
}

/** Output of a short command, or '' when it is not there. */
export async function answer(file: string, ...parameters: readonly string[]): Promise<string> {
  const child = spawn(file, parameters, { cwd: root, stdio: ['ignore', 'pipe', 'ignore'] });
  let text = '';
  child.stdout.on('data', (data: Buffer) => {
    text += data.toString();
  });
  return new Promise((resolve) => {
    child.once('error', () => resolve(''));
    child.once('close', () => resolve(text.trim()));
  });
}

export const exists = (path: string): boolean => statSync(path, { throwIfNoEntry: false }) !== undefined;

export const binary = (name: string): string => join(root, 'node_modules/.bin', name);

/** Runs `steps` when the module that calls was started by itself (`node src/build/proto.ts`). */
export async function runIfMain(module: string, steps: () => Promise<readonly Step[]>): Promise<void> {
  if (module !== pathToFileURL(process.argv[1] ?? '').href) return;
  try {
    await build(await steps());
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    say(error.message);
    process.exitCode = 1;
  }
}
