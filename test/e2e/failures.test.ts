// SPDX-License-Identifier: Apache-2.0
// Everything that can go wrong with a server, one after the other, while clients come: it is found in time and named,
// clients are sent elsewhere from then on, and when the server is well again it gets its share little by little.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { DirectorClient } from '../../src/grpc/client.js';
import { projectRoot } from '../../src/grpc/loader.js';
import type { Task } from '../../src/lab/command.js';
import { servers, vipOf } from '../../src/lab/plan.js';
import { Happenings } from '../support/happenings.js';
import { Scene } from '../support/scene.js';

const victim = 'rs1';
const address = '10.0.0.11';

/** One that loses its servers, and one that keeps them with weight 0. */
const services = [
  { vip: vipOf('dr'), method: 'dr', inhibit: false },
  { vip: vipOf('nat'), method: 'nat', inhibit: true },
] as const;

const nameOf = (vip: string): string => `TCP ${vip}:80 ${address}:80`;

const seconds = { interval: 0.2, timeout: 0.3, slowStart: 0.5 };
const [rise, fall] = [2, 2];
const weight = 10;
/** For a machine that does something else in between. */
const slackMs = 1000;
/** From a finding on until no new client meets the server. */
const inForceMs = 100;
/** Clients of each service while the server is out. */
const clients = 40;

const configuration = `services:
${services
  .map(
    ({ vip, method, inhibit }) => `  - address: tcp:${vip}:80
    scheduler: rr
    health:
      inhibit_on_failure: ${inhibit}
      slow_start: ${seconds.slowStart}
      checks:
        - { type: http, interval: ${seconds.interval}, timeout: ${seconds.timeout}, rise: ${rise}, fall: ${fall}, warmup: 0 }
    servers:
${servers.map(({ lan }) => `      - { address: "${lan}:80", method: ${method}, weight: ${weight} }\n`).join('')}`,
  )
  .join('')}`;

interface Failure {
  readonly name: string;
  /** Shell text on the server; nginx's directory is $here, its processes are $all. */
  readonly breaks: string;
  readonly mends: string;
  readonly reason: RegExp;
  /** A try that waits for it succeeds as soon as it is mended. */
  readonly answersLate?: boolean;
}

const failures: readonly Failure[] = [
  {
    name: 'it answers with status 500',
    breaks: 'touch $here/broken',
    mends: 'rm $here/broken',
    reason: /^http: status 500, not 200-299$/,
  },
  {
    name: 'it is slow',
    breaks: 'touch $here/slow',
    mends: 'rm $here/slow',
    reason: /^http: connected, but no answer in 300 ms$/,
  },
  {
    name: 'it does not answer',
    breaks: 'kill -STOP $all',
    mends: 'kill -CONT $all',
    answersLate: true,
    reason: /^http: connected, but no answer in 300 ms$/,
  },
  {
    name: 'nothing reaches it',
    breaks:
      "nft 'add table inet hole; add chain inet hole everything { type filter hook prerouting priority -300; policy drop; }'",
    mends: 'nft delete table inet hole',
    reason: /^http: no answer in 300 ms$/,
  },
  {
    name: 'it is killed',
    breaks: 'kill -KILL $all',
    mends: 'setsid nginx -p $here -c $here/nginx.conf -e $here/again.log </dev/null >/dev/null 2>&1 &',
    reason: /^http: connection refused$/,
  },
];

/** npm puts a program called nft, of some package, in front of the system's. */
const path = 'PATH=/usr/sbin:/usr/bin:/sbin:/bin';

/** On the server that fails. Resolves with the time at which it began, milliseconds since 1970. */
async function onVictim(scene: Scene, text: string): Promise<number> {
  const here = `${path}; here=${join(scene.directory, victim)}; master=$(cat $here/nginx.pid)`;
  const all = text.includes('$all') ? 'all="$master $(pgrep -P $master)"; ' : '';
  return Number(await scene.sh(victim, `${here}; ${all}date +%s%3N; ${text}`));
}

/** nginx does worse while files are there. */
async function prepare(scene: Scene): Promise<void> {
  const here = join(scene.directory, victim);
  const worse = `if (-f ${here}/broken) { return 500; } if (-f ${here}/slow) { set $limit_rate 1; }`;
  await onVictim(
    scene,
    `sed -i 's#default_type.*#& ${worse}#' $here/nginx.conf
    worker=$(pgrep -P $master)
    kill -HUP $master
    until ! kill -0 $worker 2>/dev/null; do :; done`,
  );
}

interface Answer {
  readonly vip: string;
  readonly begun: number;
  readonly from: string;
}

/** Clients that come at a steady rate, each with a connection of its own. */
class Clients {
  readonly #answers: Answer[] = [];
  readonly #task: Task;

  constructor(scene: Scene) {
    const program = join(projectRoot, 'test/support/new_connections.py');
    this.#task = scene.start('client', `python3 ${program} 100 ${services.map(({ vip }) => vip).join(' ')}`);
    this.#task.onLine((line) => {
      const [vip = '', begun, from = line] = line.split(' ');
      this.#answers.push({ vip, begun: 1000 * Number(begun), from });
    });
  }

  since(time: number, vip: string, until = Number.POSITIVE_INFINITY): readonly Answer[] {
    return this.#answers.filter((answer) => answer.vip === vip && answer.begun >= time && answer.begun < until);
  }

  /** Returns when so many have come to each address since then, and have been answered or not. */
  async come(count: number, since: number): Promise<void> {
    while (services.some(({ vip }) => this.since(since, vip).length < count)) await this.#task.line(() => true, 10_000);
  }
}

/** How the server stands in a service. */
async function conditionIn(api: DirectorClient, vip: string) {
  const { service } = await api.getVirtualService({
    key: { family: 'ADDRESS_FAMILY_IPV4', protocol: 'PROTOCOL_TCP', address: vip, port: 80 },
  });
  const condition = service?.servers.find(({ key }) => key?.address === address)?.condition;
  if (!condition) throw new Error(`${nameOf(vip)} is not checked`);
  return condition;
}

/** A connection that the server has before it fails. */
async function hold(scene: Scene, vip: string): Promise<Task> {
  const program = join(projectRoot, 'test/support/held_connection.py');
  const task = scene.start('client', `python3 ${program} ${vip} ${victim}`);
  await task.line((line) => line === 'held', 10_000);
  return task;
}

/** A server with weight 0 keeps its connections, one that was removed does not. */
async function established(t: ExecutionContext, held: Task | undefined, inhibit: boolean): Promise<void> {
  const answer = held?.line(() => true, 10_000);
  held?.write('\n');
  t.is(await answer, inhibit ? '500' : 'no answer');
}

interface Story {
  readonly t: ExecutionContext;
  readonly scene: Scene;
  readonly api: DirectorClient;
  readonly happenings: Happenings;
  readonly clients: Clients;
  readonly outages: Outage[];
}

/** Milliseconds since 1970. */
interface Outage {
  readonly name: string;
  readonly found: number;
  readonly until: number;
}

async function failing(
  { t, scene, api, happenings, clients: coming, outages }: Story,
  failure: Failure,
): Promise<void> {
  const begun = await onVictim(scene, failure.breaks);
  await happenings.all(services.map(({ vip }) => new RegExp(`^server_down: ${nameOf(vip)}: `)));
  let found = 0;
  for (const { vip, inhibit } of services) {
    const { state, reason, since, inPool, effectiveWeight } = await conditionIn(api, vip);
    t.is(state, 'SERVER_STATE_DOWN', failure.name);
    t.regex(reason, failure.reason, failure.name);
    t.deepEqual([inPool, effectiveWeight], [inhibit, 0], failure.name);
    const took = Date.parse(since) - begun;
    t.log(`${failure.name}: found after ${took} ms: ${reason}`);
    t.true(took <= fall * 1000 * (seconds.interval + seconds.timeout) + slackMs, `${failure.name}: ${took} ms`);
    found = Math.max(found, Date.parse(since));
  }
  const listed = await scene.fulcrum(`server list tcp:${services[0].vip}:80`);
  t.regex(listed, new RegExp(`${address}:80 .* down .*${failure.reason.source.slice(1)}`, 'm'), failure.name);
  await coming.come(clients, found);
  outages.push({ name: failure.name, found, until: Date.now() });
}

/** In the end, when those who had to wait have given up. */
function compareOutages({ t, clients: coming, outages }: Story): void {
  const met: number[] = [];
  for (const { name, found, until } of outages)
    for (const { vip } of services) {
      const came = coming.since(found, vip, until);
      const unlucky = came.filter(({ from }) => !['rs2', 'rs3'].includes(from));
      const last = Math.max(0, ...unlucky.map(({ begun }) => Math.round(begun - found)));
      t.log(`${name}: ${came.length} clients of ${vip} afterwards, the last one who met it after ${last} ms`);
      t.true(last <= slackMs, `${name}: ${unlucky.map(({ from }) => from).join(' ')}`);
      met.push(last);
    }
  const half = met.toSorted((left, right) => left - right)[Math.floor(met.length / 2)] ?? Number.NaN;
  t.true(half <= inForceMs, `as a rule, clients met it for ${half} ms`);
}

async function recovering({ t, scene, happenings, clients: coming }: Story, failure: Failure): Promise<void> {
  const begun = await onVictim(scene, failure.mends);
  await happenings.all(services.map(({ vip }) => `server_up: ${nameOf(vip)}`));
  const took = Date.now() - begun;
  const sinceFirstTry = took + (failure.answersLate ? 1000 * seconds.timeout : 0);
  t.true(sinceFirstTry >= (rise - 1) * 1000 * seconds.interval, `${failure.name}: back after ${took} ms`);
  t.true(
    took <= rise * 1000 * (seconds.interval + seconds.timeout) + slackMs,
    `${failure.name}: back after ${took} ms`,
  );
  await happenings.all(services.map(({ vip }) => `weight ${nameOf(vip)} ${weight}`));
  const full = Date.now();
  t.true(
    full - begun - took >= 1000 * seconds.slowStart * 0.5,
    `${failure.name}: it had its share after ${full - begun} ms`,
  );
  await coming.come(6, full);
  for (const { vip } of services)
    t.true(
      coming.since(full, vip).some(({ from }) => from === victim),
      `${failure.name}: ${vip} has it back`,
    );
}

test('whatever happens to a server, clients are sent elsewhere until it is well', async (t) => {
  t.timeout(180_000);
  const scene = await Scene.lab(t, 1, true);
  await prepare(scene);
  const file = join(scene.directory, 'services.yaml');
  writeFileSync(file, configuration);
  const api = scene.api();
  const happenings = await Happenings.watch(api);
  await scene.fulcrum(`config apply --prune --file ${file}`);
  await happenings.all(services.map(({ vip }) => `server_up: ${nameOf(vip)}`));
  const story: Story = { t, scene, api, happenings, clients: new Clients(scene), outages: [] };

  const held = await Promise.all(services.map(({ vip }) => hold(scene, vip)));
  for (const [number, failure] of failures.entries()) {
    await failing(story, failure);
    if (number === 0) for (const [index, { inhibit }] of services.entries()) await established(t, held[index], inhibit);
    await recovering(story, failure);
  }
  compareOutages(story);
});
