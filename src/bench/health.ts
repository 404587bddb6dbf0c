// SPDX-License-Identifier: Apache-2.0
// Health checks at scale: what thousands of TCP checks cost the manager, how well the schedule is kept, how soon many
// failures at once are told, and how many HTTP and HTTPS checks a CPU makes.

import { readFileSync } from 'node:fs';
import { setTimeout as pass } from 'node:timers/promises';
import type { Check__Output } from '../generated/fulcrum/v1/Check.js';
import { Monitor } from '../manager/health/monitor.js';
import { prepareCheck, type ScheduledCheck } from '../manager/health/prepare.js';
import type { Prober, Target } from '../manager/health/prober.js';
import { type DirectorHealth, measureDirector } from './health_director.js';
import { loopback, type Ports, withServers } from './health_rig.js';
import { describeMachine, type Machine } from './machine.js';
import { memoryOf } from './memory.js';

export interface HealthOptions {
  readonly targets: number;
  readonly intervalMs: number;
  /** For which the schedule is watched. */
  readonly seconds: number;
  /** How many targets fail at once. */
  readonly failing: number;
  readonly workerCpu: number;
  readonly housekeepingCpu: number;
  readonly say: (text: string) => void;
  readonly signal: AbortSignal;
}

export interface HealthReport {
  readonly machine: Machine;
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
  /** For which it was kept from its CPU by others: a share of more than some per cent makes the schedule theirs. */
  readonly waitedPercent: number;
  /** The same checks, made by a whole director. */
  readonly director: DirectorHealth;
  readonly rates: { readonly tcp: Rate; readonly http: Rate; readonly https: Rate };
}

interface Spread {
  readonly p50: number;
  readonly p99: number;
  readonly greatest: number;
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
  const machine = await describeMachine('no-huge');
  const own = await withServers([], async ({ ports }) => {
    const watched = await watch(options, ports);
    options.say('as many checks as one CPU makes');
    const target = (port: number): Target => ({ address: loopback(0), port });
    const rates = {
      tcp: await rateOf(prepared({ tcp: {} }).prober, target(ports.tcp), options.signal),
      http: await rateOf(prepared({ http: plainHttp }).prober, target(ports.http), options.signal),
      https: await rateOf(prepared({ http: { ...plainHttp, tls } }).prober, target(ports.https), options.signal),
    };
    return { ...watched, rates };
  });
  return { machine, ...own, director: await measureDirector(options) };
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

async function watch(
  options: HealthOptions,
  ports: Ports,
): Promise<Omit<HealthReport, 'machine' | 'rates' | 'director'>> {
  const { targets, intervalMs, seconds, say, signal } = options;
  let random = 0;
  let down = 0;
  const monitor = new Monitor({
    random: () => random,
    onChange: (changes) => {
      down += changes.filter(({ up }) => !up).length;
    },
  });
  const check = prepared({ tcp: {} }, intervalMs);
  const schedule = new Schedule(intervalMs);
  for (let index = 0; index < targets; index++) {
    random = Math.random();
    const prober = schedule.watch(check.prober, performance.now() + random * intervalMs);
    monitor.set(`${index}`, {
      target: { address: loopback(index), port: ports.tcp },
      checks: [{ ...check, prober }],
      initial: 'unknown',
    });
  }
  try {
    say(`${targets} targets, TCP, each every ${intervalMs} ms, for ${seconds} s`);
    await pass(warmUpIntervals * intervalMs, undefined, { signal });
    const before = { ...monitor.counts(), cpu: process.cpuUsage(), waitedMs: waitedMs(), at: performance.now() };
    schedule.start();
    await pass(seconds * 1000, undefined, { signal });
    const late = spreadOf(schedule.stop());
    const cpu = process.cpuUsage(before.cpu);
    const elapsedMs = performance.now() - before.at;
    const after = monitor.counts();
    const { residentMb } = memoryOf(process.pid);
    if (down > 0) throw new Error(`${down} targets were found to be down, and none is`);
    return {
      targets,
      intervalMs,
      seconds,
      checks: after.made - before.made,
      missed: after.missed - before.missed,
      cpuPercent: round(((cpu.user + cpu.system) / 1000 / elapsedMs) * 100),
      late,
      residentMb,
      waitedPercent: round(((waitedMs() - before.waitedMs) / elapsedMs) * 100),
    };
  } finally {
    await monitor.stop();
  }
}

/** For which the main thread could have run, and others did (/proc/…/schedstat). */
function waitedMs(): number {
  return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ')[1]) / 1e6;
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

async function rateOf(prober: Prober, target: Target, stopping: AbortSignal): Promise<Rate> {
  const runFor = async (milliseconds: number): Promise<number> => {
    const end = performance.now() + milliseconds;
    let made = 0;
    const one = async (): Promise<void> => {
      const { signal } = new AbortController();
      while (performance.now() < end) {
        stopping.throwIfAborted();
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

/** The report for people. */
export function healthTable(report: HealthReport): readonly (readonly [what: string, measured: string])[] {
  const { targets, intervalMs, seconds, late, rates, director } = report;
  const rate = ({ perSecond, cpuUs }: Rate): string => `${perSecond} a second, ${cpuUs} µs of CPU each`;
  const schedule = `${late.p50} / ${late.p99} / ${late.greatest} ms`;
  return [
    [
      `${targets} TCP checks, each every ${intervalMs / 1000} s, for ${seconds} s: CPU`,
      `${report.cpuPercent} % of one`,
    ],
    ['after their time: p50 / p99 / greatest', schedule],
    ['kept from its CPU by others', `${report.waitedPercent} % of the time`],
    ['checks made, left out', `${report.checks}, ${report.missed}`],
    ['resident memory of the process', `${report.residentMb} MB`],
    ['the same by a director: CPU of the manager', `${director.cpuPercent} % of one`],
    ['resident memory of the manager', `${director.residentMb} MB`],
    [
      `${director.failing} of them fail at once: changes of the dataplane`,
      `${director.applies}, the last one in force after ${director.lastMs} ms`,
    ],
    ['TCP checks, as many as go', rate(rates.tcp)],
    ['HTTP checks', rate(rates.http)],
    ['HTTPS checks, a handshake each', rate(rates.https)],
  ];
}
