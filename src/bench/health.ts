// SPDX-License-Identifier: Apache-2.0
// Health checks at scale: what thousands of TCP checks cost the manager, how well the schedule is kept, how soon many
// failures at once are told, and how many HTTP and HTTPS checks a CPU makes.

import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pass } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import type { Check__Output } from '../generated/fulcrum/v1/Check.js';
import { type Change, Monitor } from '../manager/health/monitor.js';
import { prepareCheck, type ScheduledCheck } from '../manager/health/prepare.js';
import type { Prober, Target } from '../manager/health/prober.js';
import type { Ports } from './health_servers.js';
import { memoryOf } from './memory.js';

export interface HealthOptions {
  readonly targets: number;
  readonly intervalMs: number;
  /** For which the schedule is watched. */
  readonly seconds: number;
  /** How many targets fail at once. */
  readonly failing: number;
  readonly say: (text: string) => void;
}

export interface HealthReport {
  readonly targets: number;
  readonly intervalMs: number;
  readonly seconds: number;
  readonly checks: number;
  readonly missed: number;
  /** Of one CPU, by the process that makes the checks. */
  readonly cpuPercent: number;
  /** Milliseconds after its time at which a check was begun. */
  readonly late: Spread;
  readonly residentMb: number;
  readonly failure: Failure;
  readonly rates: { readonly tcp: Rate; readonly http: Rate; readonly https: Rate };
}

interface Spread {
  readonly p50: number;
  readonly p99: number;
  readonly greatest: number;
}

interface Failure {
  readonly targets: number;
  readonly batches: number;
  /** From the failure until the last of them was told. Checks are spread over the interval. */
  readonly lastMs: number;
  /** From its detection until a failure was told. */
  readonly toldMs: Spread;
}

/** As fast as it goes. */
interface Rate {
  readonly perSecond: number;
  /** Of our own process, microseconds of CPU time. */
  readonly cpuUs: number;
}

const rateMs = 3000;
const atATime = 64;
/** Until everything is compiled and every target has had its first check. */
const warmUpIntervals = 2;

export async function benchHealth(options: HealthOptions): Promise<HealthReport> {
  const directory = mkdtempSync(join(tmpdir(), 'fulcrum-bench-'));
  let servers: ChildProcess | undefined;
  try {
    servers = fork(fileURLToPath(new URL('./health_servers.js', import.meta.url)), makeCertificate(directory));
    const [ports] = (await once(servers, 'message')) as [Ports];
    const watched = await watch(options, ports, servers);
    options.say('as many checks as one CPU makes');
    const rates = {
      tcp: await rateOf(prepared({ tcp: {} }).prober, { address: '127.0.0.1', port: ports.tcp }),
      http: await rateOf(prepared({ http: plainHttp }).prober, { address: '127.0.0.1', port: ports.http }),
      https: await rateOf(prepared({ http: { ...plainHttp, tls } }).prober, {
        address: '127.0.0.1',
        port: ports.https,
      }),
    };
    return { ...watched, rates };
  } finally {
    servers?.disconnect();
    rmSync(directory, { recursive: true, force: true });
  }
}

const tls = { serverName: 'localhost', verify: false, caFile: '', certificateFile: '', keyFile: '' };
const plainHttp = {
  method: '',
  path: '',
  host: '',
  headers: [],
  expectedStatus: [],
  bodyContains: 'well',
  bodyRegex: '',
  bodyRegexNegated: false,
  bodyMd5: '',
  http_1_0: false,
  tls: null,
};

function prepared(kind: Pick<Check__Output, 'tcp' | 'http'>, intervalMs = 0): ScheduledCheck {
  const unset = { name: '', timeoutMs: 0, rise: 0, fall: 0, retryIntervalMs: 0, address: '', port: 0, source: '' };
  return prepareCheck({ ...unset, via: 'CHECK_VIA_UNSPECIFIED', intervalMs, ...kind }, 'check');
}

function makeCertificate(directory: string): string[] {
  const files = ['server.crt', 'server.key'].map((name) => join(directory, name)) as [string, string];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const rest = ['-x509', '-days', '1', '-subj', '/CN=localhost', '-batch', '-out', files[0], '-keyout', files[1]];
  execFileSync('openssl', ['req', ...key, ...rest], { stdio: 'ignore' });
  return files;
}

/** 127.1.0.1, 127.1.0.2, … */
function loopback(index: number): string {
  const host = index + 1;
  return `127.${1 + (host >> 16)}.${(host >> 8) & 255}.${host & 255}`;
}

async function watch(
  options: HealthOptions,
  ports: Ports,
  servers: ChildProcess,
): Promise<Omit<HealthReport, 'rates'>> {
  const { targets, intervalMs, seconds, failing, say } = options;
  const batches: { readonly at: number; readonly changes: readonly Change[] }[] = [];
  let random = 0;
  const monitor = new Monitor({
    random: () => random,
    onChange: (changes) => batches.push({ at: Date.now(), changes }),
  });
  const check = prepared({ tcp: {} }, intervalMs);
  const schedule = new Schedule(intervalMs);
  for (let index = 0; index < targets; index++) {
    random = Math.random();
    const port = index < failing ? ports.failing : ports.tcp;
    const prober = schedule.watch(check.prober, performance.now() + random * intervalMs);
    monitor.set(`${index}`, {
      target: { address: loopback(index), port },
      checks: [{ ...check, prober }],
      initial: 'unknown',
    });
  }
  say(`${targets} targets, TCP, each every ${intervalMs} ms, for ${seconds} s`);
  await pass(warmUpIntervals * intervalMs);
  const before = { ...monitor.counts(), cpu: process.cpuUsage(), at: performance.now() };
  schedule.start();
  await pass(seconds * 1000);
  const late = spreadOf(schedule.stop());
  const cpu = process.cpuUsage(before.cpu);
  const elapsedMs = performance.now() - before.at;
  const after = monitor.counts();
  const { residentMb } = memoryOf(process.pid);
  say(`${failing} of them fail at once`);
  batches.length = 0;
  const failure = await fail(servers, failing, batches);
  await monitor.stop();
  return {
    targets,
    intervalMs,
    seconds,
    checks: after.made - before.made,
    missed: after.missed - before.missed,
    cpuPercent: round(((cpu.user + cpu.system) / 1000 / elapsedMs) * 100),
    late,
    residentMb,
    failure,
  };
}

async function fail(
  servers: ChildProcess,
  targets: number,
  batches: readonly { readonly at: number; readonly changes: readonly Change[] }[],
): Promise<Failure> {
  servers.send('fail');
  await once(servers, 'message');
  const failedAt = Date.now();
  const told = (): number => batches.reduce((sum, { changes }) => sum + changes.length, 0);
  while (told() < targets) await pass(10);
  const waits = batches.flatMap(({ at, changes }) => changes.map((change) => at - change.at));
  return {
    targets: told(),
    batches: batches.length,
    lastMs: (batches.at(-1)?.at ?? failedAt) - failedAt,
    toldMs: spreadOf(waits),
  };
}

/** When checks are begun, compared with when they should have been since the first. */
class Schedule {
  readonly #intervalMs: number;
  #late: number[] | undefined;

  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs;
  }

  watch(prober: Prober, firstDue: number): Prober {
    return {
      probe: (target, timeoutMs, signal) => {
        const since = performance.now() - firstDue;
        // A timer may fire a fraction of a millisecond early.
        this.#late?.push(Math.max(0, since - Math.floor((since + 1) / this.#intervalMs) * this.#intervalMs));
        return prober.probe(target, timeoutMs, signal);
      },
    };
  }

  start(): void {
    this.#late = [];
  }

  stop(): readonly number[] {
    const late = this.#late ?? [];
    this.#late = undefined;
    return late;
  }
}

async function rateOf(prober: Prober, target: Target): Promise<Rate> {
  const runFor = async (milliseconds: number): Promise<number> => {
    const end = performance.now() + milliseconds;
    let made = 0;
    const one = async (): Promise<void> => {
      const { signal } = new AbortController();
      while (performance.now() < end) {
        const result = await prober.probe(target, 5000, signal);
        if (!result.ok) throw new Error(`${target.address}:${target.port}: ${result.reason}`);
        made++;
      }
    };
    await Promise.all(Array.from({ length: atATime }, one));
    return made;
  };
  await runFor(rateMs / 3);
  const [cpuBefore, begun] = [process.cpuUsage(), performance.now()];
  const made = await runFor(rateMs);
  const { user, system } = process.cpuUsage(cpuBefore);
  return {
    perSecond: Math.round((made / (performance.now() - begun)) * 1000),
    cpuUs: round((user + system) / made),
  };
}

function spreadOf(values: readonly number[]): Spread {
  const sorted = Float64Array.from(values).sort();
  const at = (share: number): number => round(sorted[Math.floor((sorted.length - 1) * share)] ?? Number.NaN);
  return { p50: at(0.5), p99: at(0.99), greatest: at(1) };
}

const round = (value: number): number => Math.round(value * 100) / 100;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      targets: { type: 'string', default: '10000' },
      interval: { type: 'string', default: '2' },
      seconds: { type: 'string', default: '30' },
      failing: { type: 'string', default: '2000' },
    },
  });
  const report = await benchHealth({
    targets: positive(values.targets, '--targets'),
    intervalMs: positive(values.interval, '--interval') * 1000,
    seconds: positive(values.seconds, '--seconds'),
    failing: positive(values.failing, '--failing'),
    say: (text) => process.stderr.write(`bench: ${text}\n`),
  });
  process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
}

function positive(text: string, option: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new Error(`${option} ${text} is not a positive number`);
  return value;
}

if (pathToFileURL(process.argv[1] ?? '').href === import.meta.url) await main();
