// SPDX-License-Identifier: Apache-2.0
// The lab as people start it: what it prints, who answered, and that nothing is left of it.

import test, { type ExecutionContext } from 'ava';
import { Task } from '../../src/lab/command.js';
import { builtProgram } from '../../src/lab/director.js';
import { Traces } from '../support/traces.js';

let labs = 0;

interface StartedLab {
  readonly task: Task;
  readonly prefix: string;
  readonly traces: Traces;
}

function labUp(
  t: ExecutionContext,
  options: readonly string[] = [],
  prefix = `ftlab${process.pid}-${++labs}`,
): StartedLab {
  const task = new Task([process.execPath, builtProgram('cli/main'), 'lab', 'up', '--prefix', prefix, ...options]);
  t.teardown(() => task.stop(30_000));
  return { task, prefix, traces: new Traces(prefix) };
}

const says = (task: Task, what: RegExp): Promise<string> => task.line((line) => what.test(line), 60_000);

test.serial('300 requests a method and family, none failed, shared as LVS shares them, and nothing left', async (t) => {
  const { task, traces } = labUp(t, ['--once', '--json']);
  await says(task, /^lab: 300 requests/);
  traces.note();
  t.true(traces.left().length > 10, 'the traces of a running lab are seen');
  t.is(await task.ended, 'exit code 0', task.tail.join('\n'));
  // rr: one after the other.
  const nat = { requests: 300, failed: 0, servers: { rs1: 100, rs2: 100, rs3: 100 } };
  // wrr 3, 2, 1: whole rounds of six.
  const dr = { requests: 300, failed: 0, servers: { rs1: 150, rs2: 100, rs3: 50 } };
  // wlc with equal weights: each finished connection weighs on its server for a while.
  const tun = { requests: 300, failed: 0, servers: { rs1: 100, rs2: 100, rs3: 100 } };
  t.deepEqual(JSON.parse(task.tail.at(-1) ?? ''), { nat, dr, tun, nat6: nat, dr6: dr, tun6: tun });
  t.deepEqual(traces.left(), []);
});

test.serial('two workers: none failed', async (t) => {
  const { task } = labUp(t, ['--once', '--json', '--workers', '2', '--requests', '100']);
  t.is(await task.ended, 'exit code 0', task.tail.join('\n'));
  const result = JSON.parse(task.tail.at(-1) ?? '') as Record<string, { requests: number; failed: number }>;
  for (const name of ['nat', 'dr', 'tun', 'nat6', 'dr6', 'tun6']) t.like(result[name], { requests: 100, failed: 0 });
});

/** Lines after which a person may lose patience. */
const moments = [/^lab: namespaces/, /^lab: real servers/, /^lab: director/, /^lab: ready/];

for (const [index, moment] of moments.entries()) {
  const signal = index % 2 === 0 ? 'SIGINT' : 'SIGTERM';
  test.serial(`${signal} after "${moment.source.slice(1)}": nothing left`, async (t) => {
    const { task, traces } = labUp(t);
    await says(task, moment);
    traces.note();
    task.signal(signal);
    const ending = await task.ended;
    t.is(ending, moment === moments.at(-1) ? 'exit code 0' : 'exit code 130', task.tail.join('\n'));
    t.deepEqual(traces.left(), []);
  });
}

test.serial('killed with -9: the next one removes what it left', async (t) => {
  const { task: killed, prefix, traces } = labUp(t);
  await says(killed, /^lab: ready/);
  traces.note();
  killed.signal('SIGKILL');
  t.is(await killed.ended, 'signal SIGKILL');
  t.true(traces.left().length > 10);
  const { task: next } = labUp(t, ['--once', '--requests', '3'], prefix);
  t.is(await next.ended, 'exit code 0', next.tail.join('\n'));
  t.deepEqual(traces.left(), []);
});

test.serial('a second one of the same name is refused, and the first goes on', async (t) => {
  const { task: first, prefix } = labUp(t);
  await says(first, /^lab: ready/);
  const { task: second } = labUp(t, ['--once'], prefix);
  t.is(await second.ended, 'exit code 1');
  t.regex(second.tail.join('\n'), /another one is running already \(process \d+/);
  // Requests by TUN, none failed.
  await says(first, /^tun +\S+ +wlc +\d+ +0 /);
  t.is(await first.stop(30_000), 'exit code 0');
});
