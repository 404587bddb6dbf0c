// SPDX-License-Identifier: Apache-2.0
// npm run conformance -- DIR [--json] [--workers N] [--jobs N] [NAME…]: replays the scenarios of DIR against the engine
// and the manager, and compares with what Linux did. Exit status 0: all passed, 1: some failed, 2: wrong usage.
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { differenceText } from './compare.js';
import { type Result, replayAll } from './replay.js';
import { scenarioNames } from './scenario.js';

const usage = 'usage: npm run conformance -- DIR [--json] [--workers N] [--jobs N] [NAME…]';

function readArguments() {
  const options = { json: { type: 'boolean' }, workers: { type: 'string' }, jobs: { type: 'string' } } as const;
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  const [directory, ...wanted] = positionals;
  if (directory === undefined) throw new Error('DIR is missing');
  const all = scenarioNames(directory);
  const unknown = wanted.filter((name) => !all.includes(name));
  if (unknown.length > 0) throw new Error(`${directory} has no scenario ${unknown.join(', ')}`);
  return {
    directory,
    names: wanted.length > 0 ? all.filter((name) => wanted.includes(name)) : all,
    json: values.json === true,
    workers: readCount(values.workers, 'workers') ?? 1,
    jobs: readCount(values.jobs, 'jobs') ?? Math.min(4, availableParallelism()),
  };
}

function readCount(text: string | undefined, name: string): number | undefined {
  if (text === undefined) return undefined;
  if (!/^[1-9]\d?$/.test(text)) throw new Error(`--${name} ${text} is not a number from 1 to 99`);
  return Number(text);
}

function print(result: Result): void {
  const lines = result.quirks.map(({ event, quirk, difference }) => {
    const outcome = difference === undefined ? 'as recorded' : differenceText(difference);
    return `quirk ${result.name}: event ${event}: ${outcome} (${quirk})`;
  });
  const [first] = result.differences;
  const place = first?.event === undefined ? '' : `event ${first.event}: `;
  lines.push(first === undefined ? `ok ${result.name}` : `FAIL ${result.name}: ${place}${differenceText(first)}`);
  process.stdout.write(`${lines.join('\n')}\n`);
}

async function main(): Promise<number> {
  let chosen: ReturnType<typeof readArguments>;
  try {
    chosen = readArguments();
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${usage}\n`);
    return 2;
  }
  const { directory, names, json, workers, jobs } = chosen;
  const scenarios = await replayAll(directory, names, { workers, jobs }, json ? () => {} : print);
  const passed = scenarios.filter((result) => result.passed).length;
  const failed = scenarios.length - passed;
  process.stdout.write(
    json
      ? `${JSON.stringify({ passed, failed, workers, scenarios }, null, 2)}\n`
      : `${passed} passed, ${failed} failed\n`,
  );
  return failed === 0 && passed > 0 ? 0 : 1;
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));
process.exitCode = await main();
