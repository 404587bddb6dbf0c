// SPDX-License-Identifier: Apache-2.0

import test from 'ava';
import type { Logger } from '../../../src/grpc/log.js';
import { createLogger } from '../../../src/grpc/log.js';
import type { ChildSpec } from '../../../src/supervisor/child.js';
import { parseEntry } from '../../../src/supervisor/child.js';
import { StartError, Supervisor } from '../../../src/supervisor/supervisor.js';

/** A process that says it is ready, then waits for a signal and says goodbye. */
const obedient = `
process.on('SIGTERM', () => { console.log('bye'); process.exit(0); });
console.log(JSON.stringify({ level: 'info', msg: 'ready' }));
setInterval(() => {}, 1000);`;

const spec = (name: string, script: string, input = ''): ChildSpec => ({
  name,
  command: [process.execPath, '-e', script],
  input,
});

/** A supervisor whose output can be waited for. */
function watched() {
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  const pids: (readonly number[])[] = [];
  const note = (line: string): void => {
    lines.push(line);
    for (const check of waiting) check();
  };
  const log: Logger = createLogger('up', { write: (line: string) => note(`up ${line.trim()}`) });
  const supervisor = new Supervisor(log, {
    output: (name, line) => note(`${name} ${line}`),
    changed: (running) => pids.push(running),
  });
  /** Resolves when that many lines contain the text. */
  const seen = (text: string, times = 1): Promise<void> =>
    new Promise((resolve) => {
      const check = (): void => {
        if (lines.filter((line) => line.includes(text)).length < times) return;
        waiting.delete(check);
        resolve();
      };
      waiting.add(check);
      check();
    });
  return { supervisor, lines, seen, running: () => pids.at(-1) ?? [] };
}

test('a process that is killed is started again at once', async (t) => {
  const { supervisor, seen, running } = watched();
  await supervisor.start(spec('engine', obedient));
  const [first] = running();
  process.kill(first as number, 'SIGKILL');
  await seen('engine {"level":"info","msg":"ready"}', 2);
  t.is(running().length, 1);
  t.not(running()[0], first);
  await supervisor.stop();
  t.deepEqual(running(), []);
});

test('one that keeps dying is started with growing pauses', async (t) => {
  const { supervisor, lines, seen } = watched();
  // Ready for a moment, then gone.
  await supervisor.start(spec('engine', `console.log('{"level":"info","msg":"ready"}'); setTimeout(() => {}, 1)`));
  await seen('starting it again', 4);
  await supervisor.stop();
  const pauses = lines.flatMap((line) => parseEntry(line.slice('up '.length))?.pauseMs ?? []);
  t.deepEqual(pauses.slice(0, 4), [0, 250, 500, 1000]);
});

test('one that never becomes ready is an error with its own words', async (t) => {
  const { supervisor, running } = watched();
  const script = `console.log('{"level":"fatal","msg":"port wan: no such device"}'); process.exit(3)`;
  const error = await t.throwsAsync(supervisor.start(spec('engine', script)), { instanceOf: StartError });
  t.is(error?.message, 'the engine did not start (exit code 3): port wan: no such device');
  t.deepEqual(running(), []);
  await supervisor.stop();
});

test('a program that cannot be run is an error, too', async (t) => {
  const { supervisor } = watched();
  const start = supervisor.start({ name: 'engine', command: ['/nonexistent/program'] });
  await t.throwsAsync(start, {
    instanceOf: StartError,
    message: /did not start \(spawn \/nonexistent\/program ENOENT\)/,
  });
});

test('the input arrives', async (t) => {
  const { supervisor, lines } = watched();
  const script = `const text = require('fs').readFileSync(0, 'utf8'); console.log('got ' + text);${obedient}`;
  await supervisor.start(spec('engine', script, 'a configuration'));
  await supervisor.stop();
  t.true(lines.includes('engine got a configuration'));
});

test('stopped in reverse order, also when the first has been started again meanwhile', async (t) => {
  const { supervisor, lines, seen, running } = watched();
  await supervisor.start(spec('engine', obedient));
  await supervisor.start(spec('manager', obedient));
  process.kill(running()[0] as number, 'SIGKILL');
  await seen('engine {"level":"info","msg":"ready"}', 2);
  await supervisor.stop();
  t.deepEqual(
    lines.filter((line) => line.endsWith(' bye')),
    ['manager bye', 'engine bye'],
  );
});

test('stopped while it starts: no further attempt', async (t) => {
  const { supervisor, running } = watched();
  const start = supervisor.start(spec('engine', 'setInterval(() => {}, 1000)'));
  const stop = supervisor.stop();
  await t.throwsAsync(start, { instanceOf: StartError, message: 'stopped while the engine was starting' });
  await stop;
  t.deepEqual(running(), []);
});
