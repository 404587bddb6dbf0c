// SPDX-License-Identifier: Apache-2.0
// Control at scale: what calls of the API cost a whole director (both processes, gRPC, state on disk) that has ten
// thousand services of ten real servers, from the call to the workers' acknowledgement.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pass } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { Operation } from '../generated/fulcrum/v1/Operation.js';
import type { ServiceKey } from '../generated/fulcrum/v1/ServiceKey.js';
import type { VirtualService } from '../generated/fulcrum/v1/VirtualService.js';
import { connectDirector, type DirectorClient } from '../grpc/client.js';
import { builtProgram, LabDirector } from '../lab/director.js';
import { temporaryDirectory } from '../lab/lab.js';
import { World } from '../lab/world.js';
import { type Flow, writeFlows } from './flows.js';
import { type MemoryUse, memoryOf } from './memory.js';
import { median } from './windows.js';

export interface ControlOptions {
  readonly services: number;
  readonly serversPerService: number;
  readonly edits: number;
  readonly workerCpu: number;
  readonly housekeepingCpu: number;
  readonly say: (text: string) => void;
  readonly signal: AbortSignal;
}

export interface ControlReport {
  readonly services: number;
  readonly servers: number;
  /** Milliseconds from the call to the answer, in force. */
  readonly applyMs: number;
  readonly edits: number;
  readonly editMs: Spread;
  /** From the call to the watcher's event. */
  readonly watchMs: Spread;
  readonly listMs: number;
  readonly listPages: number;
  readonly getMs: number;
  /** Edits the weights of all servers in one call; what other calls had to wait meanwhile at most. */
  readonly editAllMs: number;
  readonly longestWaitMs: number;
  readonly deleteMs: number;
  readonly memory: { readonly empty: Memory; readonly full: Memory };
  readonly underLoad: UnderLoad;
  /** With a thousand flows, that are of a thousand services where there are all. */
  readonly packetNs: PacketNs;
  /** With two hundred thousand, that are of all services. */
  readonly packetNsManyFlows: PacketNs;
}

/** Nanoseconds of the worker's CPU time per packet. */
interface PacketNs {
  readonly oneService: number;
  readonly allServices: number;
}

interface Memory {
  readonly manager: MemoryUse;
  readonly dataplane: MemoryUse;
}

interface Spread {
  readonly median: number;
  readonly p99: number;
  readonly greatest: number;
}

/** Ten thousand real servers in one call while the worker forwards as fast as it can. */
interface UnderLoad {
  readonly servers: number;
  /** The first such call that client, manager and dataplane ever saw. */
  readonly firstMs: number;
  /** Then, with all of them deleted in between. */
  readonly applyMs: Spread;
  readonly packets: number;
  readonly drops: Readonly<Record<string, number>>;
}

const timeoutMs = 60_000;
const patience = { timeoutMs };
const serversUnderLoad = 10_000;
const appliesUnderLoad = 5;
const flowCount = 1_000;
const manyFlows = 200_000;

export async function benchControl(options: ControlOptions): Promise<ControlReport> {
  const world = await World.create(`bench-control-${process.pid}`);
  const end = (): void => void world.destroy();
  options.signal.addEventListener('abort', end, { once: true });
  try {
    await world.addNamespace('director');
    const oneServices = flowsAmong(flowCount, 1, 1);
    const one = await withDirector(world, options, oneServices, (client) => measureUnderLoad(client, options));
    const stride = Math.max(1, Math.floor(options.services / flowCount));
    const flows = flowsAmong(flowCount, Math.min(flowCount, options.services), stride);
    const all = await withDirector(world, options, flows, (client, socket) => measureAll(client, socket, options));
    const { allServicesNs, ...figures } = all;
    const packetNs = { oneService: one.ns, allServices: allServicesNs };
    const packetNsManyFlows = {
      oneService: await measureManyFlows(world, options, 1),
      allServices: await measureManyFlows(world, options, options.services),
    };
    return { ...figures, underLoad: one.underLoad, packetNs, packetNsManyFlows };
  } catch (error) {
    options.signal.throwIfAborted();
    throw error;
  } finally {
    options.signal.removeEventListener('abort', end);
    await world.destroy();
  }
}

/** A fresh director, that is sent these flows over and over. */
async function withDirector<T>(
  world: World,
  options: ControlOptions,
  flows: readonly Flow[],
  use: (client: DirectorClient, socket: string) => Promise<T>,
): Promise<T> {
  const directory = temporaryDirectory(world);
  const capture = join(directory, 'flows.pcap');
  writeFlows(capture, flows);
  const place = { world, namespace: 'director', directory, signal: options.signal };
  const director = await LabDirector.start(place, configuration(options, capture, flows.length));
  const socket = join(director.runDirectory, 'manager.sock');
  const client = connectDirector(socket);
  try {
    return await use(client, socket);
  } finally {
    client.close();
    await director.stop();
  }
}

/** Buffers beside those that net_pcap keeps the file's frames in. */
const spareBuffers = 32_768;

/** Frames come from a file without end; everything leaves to a gateway whose address is known. */
function configuration({ workerCpu, housekeepingCpu }: ControlOptions, capture: string, flows: number): string {
  return `cpus: { housekeeping: [${housekeepingCpu}], workers: [${workerCpu}] }
memory: { hugepages: off, connections: 400000, packet_buffers: ${flows + spareBuffers} }
forwarding: false
ports:
  source: { device: "net_pcap0,rx_pcap=${capture},infinite_rx=1", interfaces: [{ addresses: [198.51.100.1/24] }] }
  sink: { device: "net_null0,no-rx=1", interfaces: [{ addresses: [10.1.0.1/16] }] }
routes: [{ to: default, via: 10.1.0.254 }]
neighbors: [{ address: 10.1.0.254, interface: sink, mac: "02:00:00:00:01:fe" }]
`;
}

/** Flows to so many services, every so-manieth of the list. Clients are of RFC 2544's network. */
function flowsAmong(count: number, services: number, stride: number): readonly Flow[] {
  return Array.from({ length: count }, (_, flow) => {
    const { address = '', port = 0 } = keyOf((flow % services) * stride);
    const from = `198.${18 + ((flow >> 16) & 1)}.${(flow >> 8) & 255}.${flow & 255}`;
    return { from, fromPort: 1024 + (flow % 60_000), to: address, toPort: port };
  });
}

function measureManyFlows(world: World, options: ControlOptions, services: number): Promise<number> {
  options.say(`what a packet of ${manyFlows} flows costs with ${services} services`);
  return withDirector(world, options, flowsAmong(manyFlows, services, 1), async (client) => {
    await inForce(client, { configuration: { services: serviceList(services, options.serversPerService) } });
    return await packetNs(client, manyFlows);
  });
}

async function measureUnderLoad(client: DirectorClient, { say, services }: ControlOptions) {
  say(`what a packet costs with one service`);
  const one = serviceList(1, 10);
  await inForce(client, { configuration: { services: one } });
  const ns = await packetNs(client, flowCount);
  say(`${serversUnderLoad} real servers in one call, under full load`);
  const others = serviceList(serversUnderLoad / 10 + 1, 10).slice(1);
  if (others.length > services) throw new Error(`at least ${others.length} services are needed`);
  const before = await verdicts(client);
  const deletions = others.map(({ key: of }): Operation => ({ deleteService: of ?? null }));
  const apply = () => elapsed(() => inForce(client, { configuration: { services: others } }));
  const firstMs = await apply();
  const againMs = await repeat(appliesUnderLoad, async () => {
    await inForce(client, { operations: { operations: deletions } });
    return await apply();
  });
  const after = await verdicts(client);
  const grown = after.map(({ verdict, drop, packets }, index) => ({
    verdict,
    drop,
    packets: packets - (before[index]?.packets ?? 0),
  }));
  const dropped = grown.filter(({ drop, packets }) => drop && packets > 0);
  const drops = Object.fromEntries(dropped.map(({ verdict, packets }) => [verdict, packets]));
  const packets = grown.filter(({ drop }) => !drop).reduce((sum, { packets: of }) => sum + of, 0);
  return { ns, underLoad: { servers: serversUnderLoad, firstMs, applyMs: spread(againMs), packets, drops } };
}

async function measureAll(client: DirectorClient, socket: string, options: ControlOptions) {
  const { say, services, serversPerService, edits } = options;
  const servers = services * serversPerService;
  await inForce(client, { configuration: { services: [] } });
  const empty = await memory(client);

  say(`${services} services with ${servers} real servers in one call`);
  const wanted = serviceList(services, serversPerService);
  const applyMs = await elapsed(() => inForce(client, { configuration: { services: wanted } }));

  say('what a packet costs with all of them');
  const allServicesNs = await packetNs(client, flowCount);

  say(`${edits} edits of one weight`);
  const { editMs, watchMs } = await measureEdits(client, wanted, edits);

  say('lists');
  let listPages = 0;
  const listMs = await elapsed(async () => {
    listPages = await listAll(client);
  });
  const key = keyOf(Math.floor(services / 2));
  const gets = await repeat(50, () => elapsed(() => client.getVirtualService({ key }, patience)));

  say('all weights in one call, and somebody else meanwhile');
  const poller = await Poller.start(socket, key);
  const heavier = serviceList(services, serversPerService, 5);
  const editAllMs = await elapsed(() => inForce(client, { configuration: { services: heavier } }));
  const longestWaitMs = await poller.stop();

  const full = await memory(client);
  say('all deleted in one call');
  const deletions = wanted.map(({ key: of }): Operation => ({ deleteService: of ?? null }));
  const deleteMs = await elapsed(() => inForce(client, { operations: { operations: deletions } }));

  return {
    services,
    servers,
    applyMs,
    edits,
    editMs,
    watchMs,
    listMs,
    listPages,
    getMs: median(gets),
    editAllMs,
    longestWaitMs,
    deleteMs,
    memory: { empty, full },
    allServicesNs,
  };
}

function keyOf(service: number): ServiceKey {
  const address = `203.0.${112 + Math.floor(service / 5000)}.${1 + (Math.floor(service / 50) % 100)}`;
  return { protocol: 'PROTOCOL_UDP', address, port: 8000 + (service % 50) };
}

/** `first` services, each with real servers of its own. */
function serviceList(services: number, serversPerService: number, weight = 1): VirtualService[] {
  return Array.from({ length: services }, (_, service) => ({
    key: keyOf(service),
    servers: Array.from({ length: serversPerService }, (_, index) => ({
      key: serverKey(service, service * serversPerService + index),
      spec: { weight },
    })),
  }));
}

/** Behind the gateway. */
function serverKey(service: number, server: number) {
  const address = `10.${2 + (server >> 16)}.${(server >> 8) & 255}.${server & 255}`.replace(/\.(0|255)$/, '.128');
  return { address, port: keyOf(service).port as number };
}

const windows = 5;
const windowMs = 400;

/**
 * Of the worker's own CPU time, so that a worker that was kept waiting is not called slow. Windows begin when every flow
 * has its connection: no packet is refused any more.
 */
async function packetNs(client: DirectorClient, flows: number): Promise<number> {
  const { dataplane } = await client.getStatus({}, patience);
  const schedstat = workerSchedstat(dataplane?.pid ?? 0);
  await established(client, flows);
  const sample = async (): Promise<{ readonly packets: number; readonly cpuNs: number }> => {
    const { ports } = await client.listPorts({}, patience);
    const cpuNs = Number(readFileSync(schedstat, 'utf8').split(' ')[0]);
    return { packets: Number(ports.find(({ name }) => name === 'source')?.rxPackets), cpuNs };
  };
  const costs: number[] = [];
  let from = await sample();
  while (costs.length < windows) {
    await pass(windowMs);
    const to = await sample();
    costs.push((to.cpuNs - from.cpuNs) / (to.packets - from.packets));
    from = to;
  }
  return median(costs);
}

async function established(client: DirectorClient, flows: number): Promise<void> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const { dataplane } = await client.getStatus({}, patience);
    if (Number(dataplane?.connections) >= flows) return;
    if (performance.now() > end) throw new Error('the director makes no connections of the packets that it is sent');
  }
}

/** The worker's is the one thread of the dataplane that DPDK named as a worker. */
function workerSchedstat(pid: number): string {
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const path = `/proc/${pid}/task/${thread}`;
    if (/^(rte|dpdk)-worker-?1$/.test(readFileSync(`${path}/comm`, 'utf8').trim())) return `${path}/schedstat`;
  }
  throw new Error(`process ${pid} has no thread of a worker`);
}

async function measureEdits(client: DirectorClient, services: readonly VirtualService[], edits: number) {
  const watcher = await Watcher.start(client);
  const calls: number[] = [];
  const events: number[] = [];
  for (let edit = 0; edit < edits; edit++) {
    const { key, servers } = services[(edit * 7919) % services.length] as VirtualService;
    const server = { key: servers?.[0]?.key ?? null, spec: { weight: 2 + edit } };
    const begun = performance.now();
    const seen = watcher.next();
    const { inForce } = await client.updateRealServer({ service: key ?? null, server }, patience);
    calls.push(performance.now() - begun);
    if (!inForce) throw new Error('an edit was not in force in time');
    events.push((await seen) - begun);
  }
  await watcher.stop();
  return { editMs: spread(calls), watchMs: spread(events) };
}

/** A client that watches, and says when the next change of a service arrived. */
class Watcher {
  readonly #stopping = new AbortController();
  #seen: (at: number) => void = () => {};
  #ended: Promise<void> = Promise.resolve();

  /** Resolves when it has read the snapshot. */
  static start(client: DirectorClient): Promise<Watcher> {
    const watcher = new Watcher();
    return new Promise((ready, fail) => {
      watcher.#ended = watcher.#read(client, () => ready(watcher)).catch(fail);
    });
  }

  next(): Promise<number> {
    return new Promise((seen) => {
      this.#seen = seen;
    });
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#ended;
  }

  async #read(client: DirectorClient, ready: () => void): Promise<void> {
    const { signal } = this.#stopping;
    try {
      for await (const { endOfSnapshot, service } of client.watch({}, { signal })) {
        if (endOfSnapshot) ready();
        else if (service) this.#seen(performance.now());
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }
}

async function listAll(client: DirectorClient): Promise<number> {
  let pages = 0;
  for (let pageToken = ''; pages === 0 || pageToken !== ''; pages++) {
    ({ nextPageToken: pageToken } = await client.listVirtualServices({ pageToken }, patience));
  }
  return pages;
}

/** A thread with a client of its own, that asks for one service again and again. */
class Poller {
  readonly #thread: Worker;

  private constructor(thread: Worker) {
    this.#thread = thread;
  }

  static async start(socket: string, key: ServiceKey): Promise<Poller> {
    const thread = new Worker(builtProgram('bench/control_poller'), { workerData: { socket, key } });
    await new Promise((ready, fail) => thread.once('message', ready).once('error', fail));
    return new Poller(thread);
  }

  /** The longest that a call took. */
  async stop(): Promise<number> {
    const answer = new Promise<number>((done, fail) => this.#thread.once('message', done).once('error', fail));
    this.#thread.postMessage('stop');
    return await answer;
  }
}

interface Verdict {
  readonly verdict: string;
  readonly drop: boolean;
  readonly packets: number;
}

/** What became of the one worker's packets; always the same verdicts in the same order. */
async function verdicts(client: DirectorClient): Promise<readonly Verdict[]> {
  const { workers } = await client.getStatistics({ service: null }, patience);
  return (workers[0]?.verdicts ?? []).map(({ verdict, drop, packets }) => ({
    verdict,
    drop,
    packets: Number(packets),
  }));
}

async function memory(client: DirectorClient): Promise<Memory> {
  const { pid, dataplane } = await client.getStatus({}, patience);
  return { manager: memoryOf(pid), dataplane: memoryOf(dataplane?.pid ?? 0) };
}

/** Applies, and returns when the workers have it: the answer does not wait for long. */
async function inForce(client: DirectorClient, request: Parameters<DirectorClient['apply']>[0]): Promise<void> {
  const end = performance.now() + timeoutMs;
  let done = (await client.apply(request, patience)).inForce;
  while (!done) {
    if (performance.now() > end) throw new Error('a configuration was not in force in time');
    const { dataplane } = await client.getStatus({}, patience);
    done = dataplane !== null && dataplane.generationApplied === dataplane.generationWanted;
  }
}

async function elapsed(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

async function repeat<T>(times: number, work: () => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  for (let time = 0; time < times; time++) results.push(await work());
  return results;
}

function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((left, right) => left - right);
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
  return { median: median(values), p99: at(0.99), greatest: at(1) };
}

/** The report for people. */
export function controlTable(report: ControlReport): readonly string[] {
  const ms = (value: number): string => `${value.toFixed(value < 10 ? 2 : 0)} ms`;
  const of = ({ median: middle, p99, greatest }: Spread): string =>
    `${ms(middle)} median, ${ms(p99)} p99, ${ms(greatest)} greatest`;
  const use = ({ manager, dataplane }: Memory): string =>
    `manager ${manager.residentMb} MB, dataplane ${dataplane.residentMb} MB`;
  const packets = (ns: PacketNs): string =>
    `${ns.oneService.toFixed(1)} ns of CPU; of ${report.services} services: ${ns.allServices.toFixed(1)} ns (${percentMore(ns)})`;
  const { underLoad } = report;
  const drops = Object.entries(underLoad.drops).map(([name, count]) => `${name} ${count}`);
  const lines: readonly (readonly [string, string])[] = [
    [`apply ${report.services} services, ${report.servers} servers`, ms(report.applyMs)],
    [`edit one weight (${report.edits} times)`, of(report.editMs)],
    ['watcher sees it', of(report.watchMs)],
    [`list all (${report.listPages} pages)`, ms(report.listMs)],
    ['get one', ms(report.getMs)],
    ['edit all weights', ms(report.editAllMs)],
    ['longest wait of another call meanwhile', ms(report.longestWaitMs)],
    ['delete all services', ms(report.deleteMs)],
    ['resident memory, empty', use(report.memory.empty)],
    ['resident memory, full', use(report.memory.full)],
    [
      `apply ${underLoad.servers} servers under full load`,
      `first call ${ms(underLoad.firstMs)}; then ${of(underLoad.applyMs)}`,
    ],
    ['  forwarded meanwhile', `${underLoad.packets} packets, dropped: ${drops.join(', ') || 'none'}`],
    ['packet, 1,000 flows of one service', packets(report.packetNs)],
    ['packet, 200,000 flows of one service', packets(report.packetNsManyFlows)],
  ];
  const width = Math.max(...lines.map(([name]) => name.length));
  return lines.map(([name, value]) => `${name.padEnd(width)}  ${value}`);
}

function percentMore({ oneService, allServices }: PacketNs): string {
  const more = 100 * (allServices / oneService - 1);
  return `${more >= 0 ? '+' : ''}${more.toFixed(1)}%`;
}
