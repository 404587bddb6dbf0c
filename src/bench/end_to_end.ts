// SPDX-License-Identifier: Apache-2.0
// HTTP from a client to three nginx, through Fulcrum and through what a user would take instead, in the lab's network
// namespaces: an AF_PACKET comparison on veths, where every packet costs the kernel what it would on a small NIC.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pass } from 'node:timers/promises';
import { connectDirector, type DirectorClient } from '../grpc/client.js';
import { Lab, temporaryDirectory } from '../lab/lab.js';
import { servers, services, urlOf } from '../lab/plan.js';
import { addGateway, type Contender, repliesBy } from './contenders.js';
import { describeMachine, type Machine } from './machine.js';
import { median } from './windows.js';

export interface EndToEndOptions {
  readonly rounds: number;
  readonly windowS: number;
  readonly connections: number;
  readonly workerCpu: number;
  readonly say: (text: string) => void;
  readonly signal: AbortSignal;
}

/** keep-alive: a hundred requests a connection. close: one. */
type Load = 'keep-alive' | 'close';
const loads: readonly Load[] = ['keep-alive', 'close'];

/** CPUs busy at rest above which others are at work, and what the machine spends on a request cannot be told. */
const quietCpus = 0.3;

export interface EndToEndResult {
  readonly contender: string;
  readonly load: Load;
  readonly requestsPerS: number;
  readonly windows: readonly number[];
  readonly p99Ms: number;
  readonly errors: number;
  /** Of one CPU: what its worker or process did for it. Undefined: in the kernel, on behalf of others. */
  readonly cpuShare?: number;
  /** Of the whole machine, clients and servers included, beyond what it does at rest; where nobody else works on it. */
  readonly machineUsPerRequest?: number;
}

export interface EndToEndReport {
  readonly kind: 'AF_PACKET comparison';
  readonly machine: Machine;
  /** Load of the machine when the run began. */
  readonly loadBefore: number;
  /** CPUs busy at rest: with director, servers and gateway idle. */
  readonly busyAtRest: number;
  readonly versions: readonly string[];
  readonly results: readonly EndToEndResult[];
}

export async function benchEndToEnd(options: EndToEndOptions): Promise<EndToEndReport> {
  const { say, signal } = options;
  const loadBefore = Number(readFileSync('/proc/loadavg', 'utf8').split(' ')[0]);
  const lab = await Lab.start({ prefix: `bench-http-${process.pid}`, workers: 1, say, signal });
  const client = connectDirector(join(lab.director.runDirectory, 'manager.sock'));
  const end = (): void => void lab.world.destroy();
  signal.addEventListener('abort', end, { once: true });
  try {
    say('HAProxy and nftables beside the director');
    // A server that still waits for segments of a client's port takes a new connection from it only with newer timestamps:
    // 2 is a clock for all VIPs, where 1 adds something random for each.
    await lab.world.sysctl('client', { 'net.ipv4.tcp_timestamps': 2 });
    const others = await addGateway(lab, temporaryDirectory(lab.world), options.workerCpu);
    const contenders = [direct(lab), ...others, ...fulcrum(lab, client)];
    const busyAtRest = await restingCpus();
    const results = await measureAll(lab, contenders, options, busyAtRest);
    const versions = others.map(({ version }) => version);
    return {
      kind: 'AF_PACKET comparison',
      machine: await describeMachine('no-huge'),
      loadBefore,
      busyAtRest,
      versions,
      results,
    };
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener('abort', end);
    client.close();
    await lab.destroy();
  }
}

/** Nobody between: what the rest of the machine can do at all. */
function direct(lab: Lab): Contender {
  return {
    name: 'no balancer, one server',
    address: servers[0]?.out ?? '',
    prepare: () => repliesBy(lab),
    cpuNs: async () => undefined,
    version: '',
  };
}

function fulcrum(lab: Lab, client: DirectorClient): readonly Contender[] {
  return services
    .filter(({ family }) => family === 4)
    .map((service) => ({
      name: `Fulcrum ${service.method.toUpperCase()}`,
      address: new URL(urlOf(service)).hostname,
      prepare: () => repliesBy(lab),
      cpuNs: async () => {
        const { workers } = await client.getStatistics({});
        return workers.reduce((sum, { busyNs }) => sum + Number(busyNs), 0);
      },
      version: '',
    }));
}

interface Window {
  readonly requestsPerS: number;
  readonly p99Ms: number;
  readonly errors: number;
  readonly cpuShare: number | undefined;
  readonly machineUsPerRequest: number;
}

/** In rounds, so that what disturbs the machine for a while disturbs all. */
async function measureAll(
  lab: Lab,
  contenders: readonly Contender[],
  options: EndToEndOptions,
  busyAtRest: number,
): Promise<readonly EndToEndResult[]> {
  const cases = loads.flatMap((load) => contenders.map((contender) => ({ contender, load, windows: [] as Window[] })));
  for (let round = 1; round <= options.rounds; round++) {
    for (const { contender, load, windows } of cases) {
      options.signal.throwIfAborted();
      options.say(`round ${round} of ${options.rounds}: ${contender.name}, ${load}`);
      await contender.prepare();
      windows.push(await measureWindow(lab, contender, load, options, busyAtRest));
    }
  }
  const quiet = busyAtRest <= quietCpus;
  return cases.map(({ contender, load, windows }) => resultOf(contender.name, load, windows, quiet));
}

function resultOf(contender: string, load: Load, windows: readonly Window[], quiet: boolean): EndToEndResult {
  const middle = (of: (window: Window) => number): number => round2(median(windows.map(of)));
  const shares = windows.map(({ cpuShare }) => cpuShare).filter((share) => share !== undefined);
  return {
    contender,
    load,
    requestsPerS: middle(({ requestsPerS }) => requestsPerS),
    windows: windows.map(({ requestsPerS }) => round2(requestsPerS)),
    p99Ms: middle(({ p99Ms }) => p99Ms),
    errors: windows.reduce((sum, { errors }) => sum + errors, 0),
    ...(shares.length === 0 ? {} : { cpuShare: round2(median(shares)) }),
    ...(quiet ? { machineUsPerRequest: middle(({ machineUsPerRequest }) => machineUsPerRequest) } : {}),
  };
}

async function measureWindow(
  lab: Lab,
  { address, cpuNs }: Contender,
  load: Load,
  { connections, windowS }: EndToEndOptions,
  busyAtRest: number,
): Promise<Window> {
  const [own, machine, begun] = [await cpuNs(), busyCpuS(), performance.now()];
  const header = load === 'close' ? ['-H', 'Connection: close'] : [];
  const numbers = ['-t', '1', '-c', String(connections), '-d', `${windowS}s`, '--latency', '--timeout', '5s'];
  const output = await lab.world.run('client', ['wrk', ...numbers, ...header, `http://${address}/`]);
  const elapsedS = (performance.now() - begun) / 1000;
  const machineS = busyCpuS() - machine - busyAtRest * elapsedS;
  const ownAfter = await cpuNs();
  const { requests, ...figures } = parseWrk(output);
  return {
    ...figures,
    cpuShare: own === undefined || ownAfter === undefined ? undefined : (ownAfter - own) / 1e9 / elapsedS,
    machineUsPerRequest: (machineS * 1e6) / requests,
  };
}

/** What wrk says at its end. Throws when it has no figures. */
export function parseWrk(output: string) {
  const figure = (pattern: RegExp): string | undefined => pattern.exec(output)?.[1];
  const requestsPerS = Number(figure(/^Requests\/sec:\s+([\d.]+)/m));
  const requests = Number(figure(/^\s+(\d+) requests in /m));
  const p99 = /^\s+99%\s+([\d.]+)(us|ms|s|m)$/m.exec(output);
  if (!(requests > 0) || p99 === null) throw new Error(`wrk measured nothing:\n${output}`);
  const socketErrors = /connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(output)?.slice(1).map(Number) ?? [];
  const refused = Number(figure(/^\s+Non-2xx or 3xx responses: (\d+)/m) ?? 0);
  return {
    requests,
    requestsPerS,
    p99Ms: Number(p99[1]) * (millisecondsIn[p99[2] ?? ''] ?? Number.NaN),
    errors: socketErrors.reduce((sum, count) => sum + count, refused),
  };
}

const millisecondsIn: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1000, m: 60_000 };

const restS = 2;

async function restingCpus(): Promise<number> {
  const before = busyCpuS();
  await pass(restS * 1000);
  return round2((busyCpuS() - before) / restS);
}

const ticksPerS = 100;

/** Seconds of CPU that the machine has worked, interrupts included; proc(5). Stolen time is not ours. */
function busyCpuS(): number {
  const [, user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] =
    readFileSync('/proc/stat', 'utf8').split('\n')[0]?.split(/\s+/).map(Number) ?? [];
  return (user + nice + system + irq + softirq) / ticksPerS;
}

const round2 = (value: number): number => Math.round(value * 100) / 100;

/** The report for people. */
export function endToEndTable(report: EndToEndReport): readonly string[] {
  const { machine, loadBefore, versions, results } = report;
  const rows = results.map((result) => [
    result.contender,
    result.load,
    result.requestsPerS.toFixed(0),
    result.p99Ms.toFixed(2),
    result.cpuShare === undefined ? 'kernel' : `${(100 * result.cpuShare).toFixed(0)}%`,
    result.machineUsPerRequest?.toFixed(1) ?? '-',
    String(result.errors),
  ]);
  return [
    `${report.kind}: ${machine.cpus} CPUs, ${machine.cpu}, Linux ${machine.kernel}, load before ${loadBefore}`,
    versions.join('; '),
    `${report.busyAtRest} CPUs busy at rest${report.busyAtRest > quietCpus ? ': others are at work, so take no figure for more than it is' : ''}`,
    ...columns([['through', 'load', 'requests/s', 'p99 ms', 'own CPU', 'machine us/request', 'errors'], ...rows]),
  ];
}

function columns(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  return rows.map((row) =>
    row
      .map((cell, column) => (column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  '),
  );
}
