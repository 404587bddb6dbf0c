// SPDX-License-Identifier: Apache-2.0
// The lab as people start it: what it prints, who answered, and that nothing is left of it.

import test from 'ava';
import { Task } from '../../src/lab/command.js';
import { builtProgram } from '../../src/lab/director.js';
import { traces } from '../support/traces.js';

const prefix = `ftlab${process.pid}`;

const labUp = (...options: readonly string[]): Task =>
  new Task([process.execPath, builtProgram('cli/main'), 'lab', 'up', '--prefix', prefix, ...options]);

test.serial('300 requests a method, none failed, shared as LVS shares them, and nothing left', async (t) => {
  const before = await traces();
  const lab = labUp('--once', '--json');
  t.is(await lab.ended, 'exit code 0', lab.tail.join('\n'));
  t.deepEqual(JSON.parse(lab.tail.at(-1) ?? ''), {
    // rr: one after the other.
    nat: { requests: 300, failed: 0, servers: { rs1: 100, rs2: 100, rs3: 100 } },
    // wrr 3, 2, 1: whole rounds of six.
    dr: { requests: 300, failed: 0, servers: { rs1: 150, rs2: 100, rs3: 50 } },
    // wlc with equal weights: each finished connection weighs on its server for a while.
    tun: { requests: 300, failed: 0, servers: { rs1: 100, rs2: 100, rs3: 100 } },
  });
  t.deepEqual(await traces(), before);
});

test.serial('two workers: none failed', async (t) => {
  const lab = labUp('--once', '--json', '--workers', '2', '--requests', '100');
  t.is(await lab.ended, 'exit code 0', lab.tail.join('\n'));
  const result = JSON.parse(lab.tail.at(-1) ?? '') as Record<string, { requests: number; failed: number }>;
  for (const method of ['nat', 'dr', 'tun']) t.like(result[method], { requests: 100, failed: 0 });
});

/** Lines after which a person may lose patience. */
const moments = [/^lab: namespaces/, /^lab: real servers/, /^lab: director/, /^lab: ready/];

for (const [index, moment] of moments.entries()) {
  const signal = index % 2 === 0 ? 'SIGINT' : 'SIGTERM';
  test.serial(`${signal} after "${moment.source.slice(1)}": nothing left`, async (t) => {
    const before = await traces();
    const lab = labUp();
    await lab.line((line) => moment.test(line), 60_000);
    lab.signal(signal);
    const ending = await lab.ended;
    t.is(ending, moment === moments.at(-1) ? 'exit code 0' : 'exit code 130', lab.tail.join('\n'));
    t.deepEqual(await traces(), before);
  });
}

test.serial('killed with -9: the next one removes what it left', async (t) => {
  const before = await traces();
  const killed = labUp();
  await killed.line((line) => line.startsWith('lab: ready'), 60_000);
  killed.signal('SIGKILL');
  t.is(await killed.ended, 'signal SIGKILL');
  t.notDeepEqual(await traces(), before);
  const next = labUp('--once', '--requests', '3');
  t.is(await next.ended, 'exit code 0', next.tail.join('\n'));
  t.deepEqual(await traces(), before);
});

test.serial('a second one of the same name is refused, and the first goes on', async (t) => {
  const first = labUp();
  await first.line((line) => line.startsWith('lab: ready'), 60_000);
  const second = labUp('--once');
  t.is(await second.ended, 'exit code 1');
  t.regex(second.tail.join('\n'), /another one is running already \(process \d+/);
  await first.line((line) => /^tun .* 0 +[1-9]/.test(line), 10_000);
  t.is(await first.stop(30_000), 'exit code 0');
});
