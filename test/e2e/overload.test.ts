// SPDX-License-Identifier: Apache-2.0
// More new connections than the director may make: those to DR servers are served all the same, and who is connected
// notices nothing.

import test from 'ava';
import type { DirectorClient } from '../../src/grpc/client.js';
import { builtProgram } from '../../src/lab/director.js';
import { vipOf } from '../../src/lab/plan.js';
import { Scene } from '../support/scene.js';

const perSecond = 5;
const flood = 300;
const established = 20;
const seconds = 20;

/** Kinds of events from now on. */
async function* happenings(api: DirectorClient): AsyncGenerator<string> {
  for await (const { happened } of api.watch({})) if (happened) yield `${happened.kind}: ${happened.message}`;
}

/** Reads on to the first that matches. */
async function first(events: AsyncGenerator<string>, pattern: RegExp): Promise<string> {
  for (;;) {
    const { value, done } = await events.next();
    if (done) throw new Error(`the stream ended without ${pattern}`);
    if (pattern.test(value)) return value;
  }
}

test('a flood beyond the budget is spread without entries; established connections go on', async (t) => {
  t.timeout(180_000);
  const scene = await Scene.lab(t);
  const api = scene.api();
  const events = happenings(api);
  const entered = first(events, /^overload_/);
  const vip = vipOf('dr');
  const connections = async (): Promise<number> => Number((await api.getStatus({})).dataplane?.connections);
  const made = async (): Promise<number> =>
    Number((await api.getStatistics({})).services.find(({ key }) => key?.address === vip)?.counters?.connections);

  const load = scene.sh('client', `wrk -t1 -c${established} -d${seconds}s http://${vip}/`);
  while ((await connections()) < established);
  await scene.fulcrum(`tunable set new_connections_per_second=${perSecond}`);

  const before = await made();
  const program = `'${process.execPath}' ${builtProgram('lab/client')} ${flood} 0 dr=${vip}`;
  const began = performance.now();
  const answers = (await scene.sh('client', program)).split('\n').map((line) => JSON.parse(line) as { error?: string });
  const took = (performance.now() - began) / 1000;
  t.is(answers.length, flood);
  t.deepEqual(
    answers.filter(({ error }) => error !== undefined),
    [],
  );
  t.regex(await entered, /^overload_entered: worker 0 .*new_connection_budget/);
  t.regex(await scene.fulcrum('status'), /^overload: +worker 0: new_connection_budget$/m);

  const { workers } = await api.getStatistics({});
  t.true(workers.reduce((sum, worker) => sum + Number(worker.statelessPackets), 0) > flood);
  // A second's worth at once, and what the flood's own time and that of the looks at it brought.
  const entries = (await made()) - before;
  t.true(entries <= perSecond * (took + 3), `${entries} entries in ${took} s`);

  const report = await load;
  t.notRegex(report, /Socket errors|Non-2xx/);
  t.regex(await first(events, /^overload_/), /^overload_left: worker 0 .*new_connection_budget/);
  t.notRegex(await scene.fulcrum('status'), /^overload/m);
});
