// SPDX-License-Identifier: Apache-2.0
// Hours with servers and operators that mean no good: checks that hang, lie, fork and never end, set anew while they are
// under way, and configurations that have to be refused. In the end the manager has what it had before: no process, no
// descriptor more.

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as pass } from 'node:timers/promises';
import type { Check } from '../generated/fulcrum/v1/Check.js';
import type { HttpCheck } from '../generated/fulcrum/v1/HttpCheck.js';
import type { VirtualService } from '../generated/fulcrum/v1/VirtualService.js';
import type { DirectorClient } from '../grpc/client.js';
import { FulcrumError } from '../grpc/errors.js';
import { withDirector } from './health_director.js';
import { loopback, type Servers, withServers } from './health_rig.js';
import { memoryOf } from './memory.js';

export interface SoakOptions {
  readonly minutes: number;
  readonly workerCpu: number;
  readonly housekeepingCpu: number;
  readonly say: (text: string) => void;
  readonly signal: AbortSignal;
}

/** What the manager has. */
export interface Belongings {
  readonly processes: number;
  readonly descriptors: number;
  readonly sockets: number;
  readonly residentMb: number;
}

export interface SoakReport {
  readonly minutes: number;
  /** Checks at once, of so many kinds. */
  readonly checks: number;
  readonly kinds: number;
  /** How often all of them were set anew. */
  readonly rounds: number;
  readonly refused: number;
  /** Without checks, before and after. */
  readonly before: Belongings;
  readonly after: Belongings;
  readonly most: Belongings;
}

const intervalMs = 500;
const timeoutMs = 200;
const serversOfEach = 10;
const roundMs = 5000;
const settleMs = 15_000;
const patience = { timeoutMs: 60_000 };

const http = (port: number, more: HttpCheck = {}): Check => ({ port, http: more });
const shell = (text: string): Check => ({ command: { command: ['sh', '-c', text] } });

/** Each by itself is a way to lose a process, a socket or a timer. */
function hostileChecks({ ports, files: [certificate] }: Servers): Readonly<Record<string, Check>> {
  return {
    'nobody listens': { tcp: {}, port: 1 },
    'says nothing': http(ports.silent),
    'never ends': http(ports.endless),
    'letters for an expression that backtracks': http(ports.letters, { bodyRegex: '^(a+)+$' }),
    'plain HTTP where TLS is expected': http(ports.http, { tls: {} }),
    'a certificate that nobody vouches for': http(ports.https, { tls: { verify: true } }),
    'a certificate for another name': http(ports.https, {
      tls: { verify: true, caFile: certificate, serverName: 'example.org' },
    }),
    'no SMTP': { smtp: {}, port: ports.http },
    'no gRPC': { grpc: {}, port: ports.silent },
    'no DNS': { dns: {}, port: ports.garbage },
    'no UDP': { udp: { requireReply: true }, port: 1 },
    'another reply': { udp: { requireReply: true, reply: '00' }, port: ports.garbage },
    'forks, hangs and ignores TERM': shell('trap "" TERM; sleep 600 & sleep 600 & wait; wait'),
    'leaves a process behind': shell('sleep 600 & exit 0'),
    'ends itself': shell('kill -KILL $$'),
    'is well': http(ports.http),
  };
}

interface Mistake {
  readonly check: Check;
  /** In what the director says. */
  readonly names: RegExp;
}

/** What is refused when it is configured. */
const mistakes: readonly Mistake[] = [
  { check: http(80, { bodyRegex: 'a(' }), names: /body_regex: "a\(" is not a regular expression/ },
  { check: http(80, { bodyRegex: '(?=a)' }), names: /body_regex: .*invalid or unsupported Perl syntax/ },
  { check: http(443, { tls: { caFile: '/nonexistent/ca.pem' } }), names: /tls\.ca_file: .*no such file/ },
  { check: http(443, { tls: { caFile: '/etc/hostname' } }), names: /tls\.ca_file: .*no certificate/ },
  { check: { command: { command: ['/nonexistent/check'] } }, names: /command\[0\]: .*no such file/ },
  { check: { command: { command: ['/etc'] } }, names: /command\[0\]: .*not a file/ },
];

export function soakHealth(options: SoakOptions): Promise<SoakReport> {
  return withDirector('soak', options, (client, enter) =>
    withServers(enter, (servers) => soak(client, servers, options)),
  );
}

async function soak(client: DirectorClient, servers: Servers, options: SoakOptions): Promise<SoakReport> {
  const { minutes, say, signal } = options;
  const hostile = hostileChecks(servers);
  const kinds = Object.keys(hostile).length;
  const set = (round: number): Promise<unknown> => apply(client, serviceList(hostile, round));
  const { pid } = await client.getStatus({}, patience);

  // What is loaded with the first use is no leak.
  await set(0);
  await pass(roundMs, undefined, { signal });
  await apply(client, []);
  const before = await settled(pid, undefined, signal);
  say(`without checks: ${text(before)}`);

  let most = before;
  let refused = 0;
  let rounds = 0;
  const end = performance.now() + minutes * 60_000;
  for (let told = performance.now(); performance.now() < end; rounds++) {
    await set(rounds);
    for (const mistake of mistakes) {
      await requireRefusal(client, mistake);
      refused++;
    }
    await pass(Math.min(roundMs, Math.max(0, end - performance.now())), undefined, { signal });
    const now = belongings(pid);
    most = greater(most, now);
    if (performance.now() - told < 60_000) continue;
    told = performance.now();
    say(`${Math.round(minutes - (end - told) / 60_000)} minutes: ${text(now)}`);
  }
  await apply(client, []);
  const after = await settled(pid, before, signal);
  say(`without checks: ${text(after)}`);
  return { minutes, checks: kinds * serversOfEach, kinds, rounds, refused, before, after, most };
}

/** One service for each kind. Rounds differ, so that every check is set anew. */
function serviceList(checks: Readonly<Record<string, Check>>, round: number): VirtualService[] {
  return Object.entries(checks).map(([name, check], kind) => ({
    key: { protocol: 'PROTOCOL_TCP', address: '203.0.113.1', port: 1024 + kind },
    health: { checks: [] },
    servers: Array.from({ length: serversOfEach }, (_, index) => ({
      key: { address: `10.1.${kind}.${index + 1}`, port: 80 },
      spec: { weight: 1 },
      health: {
        checks: [
          {
            ...check,
            name: `${name} ${round % 2}`,
            intervalMs,
            timeoutMs,
            warmupMs: intervalMs,
            address: loopback(index),
          },
        ],
      },
    })),
  }));
}

function apply(client: DirectorClient, services: VirtualService[]): Promise<unknown> {
  return client.apply({ configuration: { services }, prune: true }, patience);
}

/** Throws if the director takes it, or says something else of it. */
async function requireRefusal(client: DirectorClient, { check, names }: Mistake): Promise<void> {
  const services = serviceList({ mistake: check }, 0);
  try {
    await client.apply({ configuration: { services } }, patience);
  } catch (error) {
    if (error instanceof FulcrumError && names.test(error.describe())) return;
    throw error;
  }
  throw new Error(`the director took ${JSON.stringify(check)}`);
}

/** What the manager has when that does not change any more, or is as before. */
async function settled(pid: number, wanted: Belongings | undefined, signal: AbortSignal): Promise<Belongings> {
  const deadline = performance.now() + settleMs;
  for (let same = 0, last = belongings(pid); ; ) {
    await pass(200, undefined, { signal });
    const now = belongings(pid);
    same = hasMore(now, last) || hasMore(last, now) ? 0 : same + 1;
    last = now;
    const isThere = wanted === undefined ? same >= 10 : !hasMore(now, wanted);
    if (isThere || performance.now() > deadline) return now;
  }
}

function belongings(pid: number): Belongings {
  const descriptors = linksOf(`/proc/${pid}/fd`);
  return {
    processes: descendants(pid),
    descriptors: descriptors.length,
    sockets: descriptors.filter((link) => link.startsWith('socket:')).length,
    residentMb: memoryOf(pid).residentMb,
  };
}

/** Of a directory in /proc; what goes meanwhile is left out. */
function linksOf(directory: string): readonly string[] {
  const quietly = <T>(read: () => T, otherwise: T): T => {
    try {
      return read();
    } catch {
      return otherwise;
    }
  };
  const names = quietly(() => readdirSync(directory), []);
  return names.flatMap((name) => quietly(() => [readlinkSync(`${directory}/${name}`)], []));
}

/** Its children, zombies too, and what lost its parent: in its namespace nobody else runs sh or sleep. */
function descendants(manager: number): number {
  const namespace = readlinkSync(`/proc/${manager}/ns/net`);
  const isOrphan = (pid: string, name: string): boolean =>
    ['sh', 'sleep'].includes(name) && linksOf(`/proc/${pid}/ns`).includes(namespace);
  return readdirSync('/proc').filter((pid) => {
    const [, name = '', parent] = /\((.*)\) . (\d+)/.exec(statOf(pid)) ?? [];
    return Number(parent) === manager || isOrphan(pid, name);
  }).length;
}

/** Empty for what is no process, or none any more. */
function statOf(pid: string): string {
  try {
    return /^\d+$/.test(pid) ? readFileSync(`/proc/${pid}/stat`, 'utf8') : '';
  } catch {
    return '';
  }
}

function greater(left: Belongings, right: Belongings): Belongings {
  return {
    processes: Math.max(left.processes, right.processes),
    descriptors: Math.max(left.descriptors, right.descriptors),
    sockets: Math.max(left.sockets, right.sockets),
    residentMb: Math.max(left.residentMb, right.residentMb),
  };
}

function hasMore(one: Belongings, other: Belongings): boolean {
  return one.processes > other.processes || one.descriptors > other.descriptors || one.sockets > other.sockets;
}

/** What was not given back; undefined if nothing. */
export function leakOf({ before, after }: SoakReport): string | undefined {
  return hasMore(after, before) ? `before: ${text(before)}; after: ${text(after)}` : undefined;
}

function text({ processes, descriptors, sockets, residentMb }: Belongings): string {
  return `${processes} processes, ${descriptors} descriptors (${sockets} sockets), ${residentMb} MB`;
}

/** The report for people. */
export function soakTable(report: SoakReport): readonly (readonly [what: string, measured: string])[] {
  const { minutes, checks, kinds, rounds, refused, before, after, most } = report;
  return [
    [
      `${checks} checks of ${kinds} hostile kinds, every ${intervalMs} ms`,
      `${minutes} minutes, set anew ${rounds} times`,
    ],
    ['configurations refused', `${refused}`],
    ['before, without checks', text(before)],
    ['at most', text(most)],
    ['after, without checks', text(after)],
  ];
}
