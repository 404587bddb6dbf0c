// SPDX-License-Identifier: Apache-2.0
// What the dataplane has counted at one moment, as numbers, and what that was a second since the sample before.
import type { GetStateResponse__Output } from '../../generated/fulcrum/dataplane/v1/GetStateResponse.js';
import type { GetStatisticsResponse__Output } from '../../generated/fulcrum/dataplane/v1/GetStatisticsResponse.js';
import type { Counters__Output } from '../../generated/fulcrum/v1/Counters.js';
import type { Port__Output } from '../../generated/fulcrum/v1/Port.js';
import type { ServerStatistics__Output } from '../../generated/fulcrum/v1/ServerStatistics.js';
import type { ServiceStatistics__Output } from '../../generated/fulcrum/v1/ServiceStatistics.js';
import type { WorkerStatistics__Output } from '../../generated/fulcrum/v1/WorkerStatistics.js';
import type { Rates } from '../../web/view.js';
import { serverId, serviceId } from '../nouns.js';
import { readServerKey, readServiceKey } from '../validate.js';

export interface Readings {
  readonly state: GetStateResponse__Output;
  readonly statistics: GetStatisticsResponse__Output;
  readonly ports: readonly Port__Output[];
}

export interface Counted {
  readonly connections: number;
  readonly inPackets: number;
  readonly outPackets: number;
  readonly inBytes: number;
  readonly outBytes: number;
}

export interface ServerSample {
  readonly active: number;
  readonly inactive: number;
  readonly counted: Counted;
  readonly rates: Rates | null;
}

export interface ServiceSample extends ServerSample {
  readonly refused: number;
}

export interface WorkerSample {
  readonly worker: number;
  readonly cpu: number;
  readonly connections: number;
  readonly capacity: number;
  readonly busyNs: number;
  readonly totalNs: number;
  readonly receivedPackets: number;
  readonly handedOverPackets: number;
  readonly busy: number | null;
  readonly received: number | null;
  readonly handedOver: number | null;
}

export interface VerdictSample {
  readonly packets: number;
  readonly drop: boolean;
  readonly rate: number | null;
}

export interface PortSample {
  readonly port: Port__Output;
  readonly inBits: number | null;
  readonly outBits: number | null;
  readonly inPackets: number | null;
  readonly outPackets: number | null;
}

export interface Sample {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly state: GetStateResponse__Output;
  /** When the dataplane was started, milliseconds since 1970. */
  readonly startedAt: number;
  /** By serviceId(). */
  readonly services: ReadonlyMap<string, ServiceSample>;
  readonly workers: readonly WorkerSample[];
  readonly verdicts: ReadonlyMap<string, VerdictSample>;
  readonly ports: readonly PortSample[];
  /** Over all services. */
  readonly active: number;
  readonly inactive: number;
  readonly rates: Rates | null;
  readonly dropped: number | null;
}

/** Real servers of services, by serviceId() and serverId(). */
export type ServerSamples = ReadonlyMap<string, ServersSample>;

export interface ServersSample {
  readonly at: number;
  readonly servers: ReadonlyMap<string, ServerSample>;
}

/** Growth of a counter a second; null if there was none before, or it began anew. */
type PerSecond = (now: number, before: number | undefined) => number | null;

function perSecond(now: number, before: number | undefined): PerSecond {
  const seconds = before === undefined ? 0 : (now - before) / 1000;
  return (value, was) => (was === undefined || seconds <= 0 || value < was ? null : (value - was) / seconds);
}

function countedOf(counters: Counters__Output | null): Counted {
  return {
    connections: Number(counters?.connections ?? 0),
    inPackets: Number(counters?.inPackets ?? 0),
    outPackets: Number(counters?.outPackets ?? 0),
    inBytes: Number(counters?.inBytes ?? 0),
    outBytes: Number(counters?.outBytes ?? 0),
  };
}

function ratesOf(now: Counted, before: Counted | undefined, rate: PerSecond): Rates | null {
  const connections = rate(now.connections, before?.connections);
  const inBytes = rate(now.inBytes, before?.inBytes);
  const outBytes = rate(now.outBytes, before?.outBytes);
  if (connections === null || inBytes === null || outBytes === null) return null;
  return { connections: rounded(connections), inBits: rounded(inBytes * 8), outBits: rounded(outBytes * 8) };
}

/** What is read by people, and compared with what they were told before. */
function rounded(value: number): number {
  return value >= 10 ? Math.round(value) : Math.round(value * 10) / 10;
}

function serviceSample(of: ServiceStatistics__Output, before: ServiceSample | undefined, rate: PerSecond) {
  const counted = countedOf(of.counters);
  const { clientDenied = 0, connectionLimit = 0, connectionRateLimit = 0 } = of.refusals ?? {};
  return {
    active: Number(of.activeConnections),
    inactive: Number(of.inactiveConnections),
    counted,
    rates: ratesOf(counted, before?.counted, rate),
    refused: Number(clientDenied) + Number(connectionLimit) + Number(connectionRateLimit),
  };
}

function serverSample(of: ServerStatistics__Output, before: ServerSample | undefined, rate: PerSecond): ServerSample {
  const counted = countedOf(of.counters);
  return {
    active: Number(of.activeConnections),
    inactive: Number(of.inactiveConnections),
    counted,
    rates: ratesOf(counted, before?.counted, rate),
  };
}

/** `before`: of the same dataplane. */
export function serversSample(
  at: number,
  { servers }: ServiceStatistics__Output,
  before: ServersSample | undefined,
): ServersSample {
  const rate = perSecond(at, before?.at);
  const samples = servers.map((of) => {
    const id = serverId(readServerKey(of.key, 'key'));
    return [id, serverSample(of, before?.servers.get(id), rate)] as const;
  });
  return { at, servers: new Map(samples) };
}

export function sampleOf(at: number, { state, statistics, ports }: Readings, earlier: Sample | undefined): Sample {
  // Another dataplane counts from zero.
  const before = earlier?.state.instanceId === state.instanceId ? earlier : undefined;
  const rate = perSecond(at, before?.at);
  const services = new Map(
    statistics.services.map((of) => {
      const id = serviceId(readServiceKey(of.key, 'key'));
      return [id, serviceSample(of, before?.services.get(id), rate)] as const;
    }),
  );
  const verdicts = verdictSamples(statistics.workers, before, rate);
  return {
    at,
    state,
    // Worked out once: it must not seem to change.
    startedAt: before?.startedAt ?? at - Number(state.uptimeMs),
    services,
    workers: statistics.workers.map((of) => workerSample(of, before?.workers[of.worker], rate)),
    verdicts,
    ports: ports.map((port) => portSample(port, before, rate)),
    ...sumsOf(services.values(), before !== undefined),
    dropped: before === undefined ? null : droppedOf(verdicts.values()),
  };
}

/** What a service was not asked about before, or that began anew, has no rate and adds none. */
function sumsOf(services: Iterable<ServiceSample>, hasRates: boolean): Pick<Sample, 'active' | 'inactive' | 'rates'> {
  let [active, inactive, connections, inBits, outBits] = [0, 0, 0, 0, 0];
  for (const service of services) {
    active += service.active;
    inactive += service.inactive;
    connections += service.rates?.connections ?? 0;
    inBits += service.rates?.inBits ?? 0;
    outBits += service.rates?.outBits ?? 0;
  }
  const rates = { connections: rounded(connections), inBits: rounded(inBits), outBits: rounded(outBits) };
  return { active, inactive, rates: hasRates ? rates : null };
}

function droppedOf(verdicts: Iterable<VerdictSample>): number {
  let sum = 0;
  for (const { drop, rate } of verdicts) if (drop) sum += rate ?? 0;
  return rounded(sum);
}

function workerSample(of: WorkerStatistics__Output, before: WorkerSample | undefined, rate: PerSecond): WorkerSample {
  const [busyNs, totalNs] = [Number(of.busyNs), Number(of.totalNs)];
  const passedNs = before === undefined ? 0 : totalNs - before.totalNs;
  const busy = before === undefined || passedNs <= 0 ? null : Math.max(0, busyNs - before.busyNs) / passedNs;
  const receivedPackets = Number(of.rxPackets);
  const handedOverPackets = Number(of.handedOver);
  return {
    worker: of.worker,
    cpu: of.cpu,
    connections: Number(of.connections),
    capacity: Number(of.connectionCapacity),
    busyNs,
    totalNs,
    receivedPackets,
    handedOverPackets,
    busy: busy === null ? null : Math.round(busy * 1000) / 1000,
    received: roundedOrNull(rate(receivedPackets, before?.receivedPackets)),
    handedOver: roundedOrNull(rate(handedOverPackets, before?.handedOverPackets)),
  };
}

function roundedOrNull(value: number | null): number | null {
  return value === null ? null : rounded(value);
}

function verdictSamples(workers: readonly WorkerStatistics__Output[], before: Sample | undefined, rate: PerSecond) {
  const sums = new Map<string, { packets: number; drop: boolean }>();
  for (const { verdicts } of workers) {
    for (const { verdict, packets, drop } of verdicts) {
      const sum = sums.get(verdict) ?? { packets: 0, drop };
      sum.packets += Number(packets);
      sums.set(verdict, sum);
    }
  }
  const samples = [...sums].map(
    ([verdict, { packets, drop }]) =>
      [verdict, { packets, drop, rate: roundedOrNull(rate(packets, before?.verdicts.get(verdict)?.packets)) }] as const,
  );
  return new Map<string, VerdictSample>(samples);
}

function portSample(port: Port__Output, before: Sample | undefined, rate: PerSecond): PortSample {
  const was = before?.ports.find(({ port: { name } }) => name === port.name)?.port;
  const grown = (field: 'rxBytes' | 'txBytes' | 'rxPackets' | 'txPackets', factor: number): number | null => {
    const value = rate(Number(port[field]), was === undefined ? undefined : Number(was[field]));
    return value === null ? null : rounded(value * factor);
  };
  return {
    port,
    inBits: grown('rxBytes', 8),
    outBits: grown('txBytes', 8),
    inPackets: grown('rxPackets', 1),
    outPackets: grown('txPackets', 1),
  };
}
