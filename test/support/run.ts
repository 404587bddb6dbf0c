// SPDX-License-Identifier: Apache-2.0
// npm test: every check and test of the project, one after another, with one closing line `N passed, N failed`.
// `npm test -- NAME…` runs only these steps; names are those printed at the beginning of each. With `--full` there are also
// those that take long: a browser, images, packages, every command of the documentation.

import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { filesBelow, root } from '../../src/build/step.js';
import { type Outcome, readJunit, TapReader } from './report.js';

type Take = (outcome: Outcome) => void;

interface Step {
  readonly name: string;
  readonly run: (take: Take) => Promise<void>;
}

const steps: readonly Step[] = [
  { name: 'lint', run: (take) => check(take, 'biome check', ['node_modules/.bin/biome', 'check', '.']) },
  { name: 'proto', run: (take) => check(take, 'buf lint', ['node_modules/.bin/buf', 'lint', 'proto']) },
  { name: 'format', run: clangFormat },
  { name: 'engine', run: engine },
  { name: 'fuzz', run: fuzz },
  { name: 'unit', run: (take) => ava(take, ['unit', 'grpc'], ['--concurrency=2']) },
  { name: 'conformance', run: conformance },
  // Each story has the CPUs and the machine's network for itself.
  { name: 'e2e', run: (take) => ava(take, ['e2e'], ['--serial', '--concurrency=1']) },
];

const longSteps: readonly Step[] = [
  { name: 'full', run: (take) => ava(take, ['full'], ['--serial', '--concurrency=1']) },
];

/** Frames that the fuzz program makes: random ones, truncated ones, mutated valid ones. */
const fuzzFrames = 200_000;

interface Ending {
  readonly code: number;
  readonly stdout: string;
  readonly output: string;
}

/** Runs a program of the checkout to its end; lines of standard output are also given to `onLine`. */
function run(command: readonly [string, ...string[]], onLine?: (line: string) => void): Promise<Ending> {
  const [file, ...parameters] = command;
  const child = spawn(file, parameters, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  if (onLine) createInterface({ input: child.stdout }).on('line', onLine);
  return new Promise((resolve) => {
    child.once('error', (error) => resolve({ code: 127, stdout, output: error.message }));
    child.once('close', (code, signal) =>
      resolve({ code: code ?? 128, stdout, output: signal === null ? output : `${output}\nended by ${signal}` }),
    );
  });
}

/** A program whose exit code is the outcome. */
async function check(take: Take, title: string, command: readonly [string, ...string[]]): Promise<void> {
  const { code, output } = await run(command);
  take({ title, passed: code === 0, detail: output.trim() });
}

async function clangFormat(take: Take): Promise<void> {
  const isOurs = (path: string): boolean =>
    /\.(cc|h)$/.test(path) && !path.startsWith('dataplane/build/') && !path.startsWith('dataplane/generated/');
  await check(take, 'clang-format', ['clang-format', '--dry-run', '-Werror', ...filesBelow('dataplane', isOurs)]);
}

async function engine(take: Take): Promise<void> {
  const { code, stdout, output } = await run([join(root, 'dataplane/build/Release/dataplane_test'), '-r=junit']);
  const outcomes = readJunit(stdout);
  outcomes.forEach(take);
  const explained = outcomes.length > 0 && (code === 0 || outcomes.some(({ passed }) => !passed));
  if (!explained) take({ title: `dataplane_test ended with exit code ${code}`, passed: false, detail: output.trim() });
}

async function fuzz(take: Take): Promise<void> {
  const program = join(root, 'dataplane/build/Sanitized/dataplane_fuzz');
  await check(take, `${fuzzFrames} frames under sanitizers`, [program, '--frames', String(fuzzFrames)]);
}

interface ScenarioNames {
  /** They need one order of rr or wrr over the whole director; workers have one each. */
  readonly oneWorkerOnly: readonly string[];
}

/** All recorded scenarios, and once more with two workers those that do not depend on one order of connections. */
async function conformance(take: Take): Promise<void> {
  const directory = join(root, 'test/conformance');
  const { oneWorkerOnly }: ScenarioNames = JSON.parse(readFileSync(join(directory, 'workers.json'), 'utf8'));
  const all = readdirSync(join(directory, 'scenarios')).map((file) => basename(file, '.json'));
  // Their clocks are the scenarios' own: who has the CPU does not matter.
  await Promise.all([
    replay(take, 1, all),
    replay(
      take,
      2,
      all.filter((name) => !oneWorkerOnly.includes(name)),
    ),
  ]);
}

async function replay(take: Take, workers: number, names: readonly string[]): Promise<void> {
  const main = join(root, 'dist/test/conformance/main.js');
  const command = [process.execPath, main, 'test/conformance', `--workers=${workers}`, ...names] as const;
  const { stdout, output } = await run(command);
  const expected = new Set(names);
  for (const [line, word, name = ''] of stdout.matchAll(/^(ok|FAIL) ([^\s:]+).*$/gm)) {
    const title = `${name}, ${workers} worker${workers === 1 ? '' : 's'}`;
    if (expected.delete(name)) take({ title, passed: word === 'ok', detail: line });
  }
  for (const name of expected) take({ title: `${name} was not played`, passed: false, detail: output.trim() });
}

/** The tests as the build has compiled them: no process of theirs compiles anything again. */
async function ava(take: Take, folders: readonly string[], options: readonly string[]): Promise<void> {
  const files = folders.map((folder) => `dist/test/${folder}/**/*.test.js`);
  let failed = 0;
  let seen = 0;
  const reader = new TapReader((outcome) => {
    seen++;
    if (!outcome.passed) failed++;
    take(outcome);
  });
  const command = [
    join(root, 'node_modules/.bin/ava'),
    '--tap',
    '--config=ava.built.config.js',
    ...options,
    ...files,
  ] as const;
  const { code, output } = await run(command, (line) => reader.line(line));
  reader.end();
  if (seen > 0 && (code === 0) === (failed === 0)) return;
  take({ title: `ava ended with exit code ${code}`, passed: false, detail: output.trim() });
}

const tail = (text: string): string => {
  const lines = text.split('\n');
  const shown = lines.length > 200 ? [`… ${lines.length - 200} lines above`, ...lines.slice(-200)] : lines;
  return shown.map((line) => `      ${line}`).join('\n');
};

async function main(words: readonly string[]): Promise<number> {
  const known = words.includes('--full') ? [...steps, ...longSteps] : steps;
  const names = words.filter((word) => word !== '--full');
  const unknown = names.filter((name) => !known.some((step) => step.name === name));
  if (unknown.length > 0) {
    process.stderr.write(
      `no such step: ${unknown.join(', ')}; there are ${known.map(({ name }) => name).join(', ')}\n`,
    );
    return 2;
  }
  const failures: string[] = [];
  let passed = 0;
  for (const step of known.filter(({ name }) => names.length === 0 || names.includes(name))) {
    const started = Date.now();
    process.stdout.write(`${step.name}\n`);
    await step.run(({ title, passed: good, detail }) => {
      process.stdout.write(`  ${good ? 'ok  ' : 'FAIL'} ${title}\n`);
      if (good) passed++;
      else {
        failures.push(`${step.name}: ${title}`);
        if (detail !== undefined) process.stdout.write(`${tail(detail)}\n`);
      }
    });
    process.stdout.write(`  ${((Date.now() - started) / 1000).toFixed(1)} s\n`);
  }
  if (failures.length > 0) process.stdout.write(`\nfailed:\n${failures.map((title) => `  ${title}\n`).join('')}`);
  process.stdout.write(`\n${passed} passed, ${failures.length} failed\n`);
  return failures.length === 0 && passed > 0 ? 0 : 1;
}

if (!existsSync(join(root, 'dist/src'))) throw new Error('nothing is built here: run bin/bootstrap --test first');
process.exitCode = await main(process.argv.slice(2));
