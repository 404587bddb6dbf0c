// SPDX-License-Identifier: Apache-2.0
// Carries out one event of a scenario in a world; the outcome has the shape of the recordings.
import { addToAddress, formatEndpoint, parseEndpoint } from './bytes.js';
import { Environment, type Surroundings } from './environment.js';
import { type Device, describeFrame, type Frame, type OutItem } from './frames.js';
import { readConnections, readCounters, readServices } from './listings.js';
import { buildIcmpError, buildPackets, type IcmpSpec, type PacketSpec } from './packets.js';
import { type Json, type Scenario, type ScenarioEvent, splitWords } from './scenario.js';
import type { World } from './world.js';

/** Counters are refreshed every two seconds: `stats` waits for that. */
const statisticsWaitMs = 2_200;
const rateStepMs = 500;
/** Rates that stay the same this often will not change any more. */
const rateReadings = 40;

/** What a scenario is played in: Fulcrum's World, or another director. */
export type Stage = Pick<World, 'ipvsadm' | 'inject' | 'drain' | 'advance'>;

export class Player {
  readonly #scenario: Scenario;
  readonly #environment: Environment | undefined;
  readonly #world: Stage;

  /** Without `surroundings`, events that change them are the caller's. */
  constructor(scenario: Scenario, world: Stage, surroundings?: Surroundings) {
    this.#scenario = scenario;
    this.#world = world;
    this.#environment = surroundings && new Environment(scenario, surroundings);
  }

  /** One line of the configuration; fails if it is refused. */
  async configure(line: string): Promise<void> {
    const { rc, stderr } = await this.#world.ipvsadm(splitWords(line));
    if (rc !== 0 || stderr !== '') throw new Error(`ipvsadm ${line}: status ${rc}: ${stderr.trim()}`);
  }

  async play(event: ScenarioEvent, index: number): Promise<Json> {
    switch (event.op) {
      case 'conns':
        return await this.#connections(event as unknown as ConnectionsEvent);
      case 'pkt':
        return await this.#packets(sideOf(event), buildPackets(event as unknown as PacketSpec), index);
      case 'icmp':
        return await this.#packets(sideOf(event), [buildIcmpError(event as unknown as IcmpSpec)], index);
      case 'raw':
        return await this.#raw(event, index);
      case 'ipvsadm':
        return await this.#command(event);
      case 'wait':
        await this.#world.advance(event.ms as number);
        return withOut(await this.#out(index));
      case 'list':
        return { services: await this.#services() };
      case 'conntab':
        return { conns: readConnections((await this.#listing('-Lnc')).stdout) };
      case 'stats':
        await this.#world.advance(statisticsWaitMs);
        return { stats: readCounters((await this.#listing('-Ln --nosort --stats --exact')).stdout) };
      case 'rate_seq':
        return { rates: await this.#rates(event.n as number) };
      default:
        if (this.#environment === undefined) throw new Error(`"${event.op}" is for whoever owns the surroundings`);
        return await this.#environment.play(event, index);
    }
  }

  async #command(event: ScenarioEvent): Promise<Json> {
    const { rc, stdout, stderr } = await this.#world.ipvsadm(
      splitWords(event.args as string),
      event.stdin as string | undefined,
    );
    return { rc, ...(stdout === '' ? {} : { stdout }), ...(stderr === '' ? {} : { stderr }) };
  }

  async #listing(line: string) {
    const result = await this.#world.ipvsadm(splitWords(line));
    if (result.rc === 0 && result.stderr === '') return result;
    throw new Error(`ipvsadm ${line}: status ${result.rc}: ${result.stderr.trim()}`);
  }

  async #services(): Promise<unknown> {
    const plain = await this.#listing('-Ln --nosort');
    const persistent = await this.#listing('-Ln --nosort --persistent-conn');
    const thresholds = await this.#listing('-Ln --nosort --thresholds');
    return readServices(plain.stdout, persistent.stdout, thresholds.stdout);
  }

  async #rates(count: number): Promise<unknown> {
    const readings: unknown[] = [];
    for (let tries = 0; readings.length < count && tries < rateReadings; tries++) {
      const reading = readCounters((await this.#listing('-Ln --nosort --rate')).stdout);
      if (JSON.stringify(reading) !== JSON.stringify(readings.at(-1))) {
        readings.push(reading);
        tries = 0;
      }
      await this.#world.advance(rateStepMs);
    }
    return readings;
  }

  async #packets(side: Device, packets: readonly Buffer[], index: number): Promise<Json> {
    await this.#world.inject(side, packets);
    return { in: packets.map((packet) => packet.toString('hex')), out: await this.#out(index) };
  }

  async #raw(event: ScenarioEvent, index: number): Promise<Json> {
    const packet = Buffer.from(event.hex as string, 'hex');
    await this.#world.inject(event.from === 'client' ? 'cl' : 'rs', [packet], event.from === 'rs-mcast');
    return { out: await this.#out(index) };
  }

  /** What came out, with those fields blanked that the recording of this event has blanked. */
  async #out(index: number): Promise<readonly OutItem[]> {
    const frames = byDevice(await this.#world.drain());
    const recorded = byDevice((this.#scenario.golden[index]?.out ?? []) as readonly OutItem[]);
    return frames.map((frame, at) => describeFrame(frame, this.#scenario.guePorts, recorded[at]?.masked));
  }

  async #connections(event: ConnectionsEvent): Promise<Json> {
    const chosen: (string | null)[] = [];
    const notes: Json[] = [];
    for (let i = 0; i < event.n; i++) {
      const { server, out } = await this.#connect(event, i);
      chosen.push(server?.to ?? null);
      if (server === undefined) notes.push({ i, out: out.map(({ sum }) => sum) });
      if (event.gap_ms) await this.#world.advance(event.gap_ms);
    }
    return { chosen, ...(notes.length > 0 ? { notes } : {}) };
  }

  async #connect(event: ConnectionsEvent, i: number) {
    const src = clientOf(event, i);
    const dst = event.dsts ? (event.dsts[i % event.dsts.length] ?? '') : (event.dst ?? '');
    const proto = event.proto ?? 'tcp';
    const fromClient = (flags: string) => buildPackets({ proto, src, dst, flags });
    await this.#world.inject('cl', fromClient('S'));
    const out = (await this.#world.drain()).map((frame) => describeFrame(frame, this.#scenario.guePorts));
    const server = out.find(({ dev, to }) => dev === 'rs' && to !== undefined);
    if (server !== undefined) await this.#finish(event.finish ?? 'syn', server, src, proto, fromClient);
    return { server, out };
  }

  async #finish(
    finish: string,
    server: OutItem,
    client: string,
    proto: 'tcp' | 'udp',
    fromClient: (flags: string) => readonly Buffer[],
  ): Promise<void> {
    let before: Device = 'cl';
    for (const [side, flags] of finishSteps(finish, server.via === 'nat')) {
      // What waits at different ports has no order.
      if (side !== before) await this.#world.drain();
      before = side;
      const src = formatEndpoint({ address: server.to ?? '', port: server.port ?? 0 });
      const packets = side === 'cl' ? fromClient(flags) : buildPackets({ proto, src, dst: client, flags });
      await this.#world.inject(side, packets);
    }
    await this.#world.drain();
  }
}

export interface ConnectionsEvent {
  readonly n: number;
  readonly dst?: string | null;
  readonly dsts?: readonly string[];
  readonly client: string;
  readonly vary?: 'port' | 'ip' | 'none';
  readonly step?: number;
  readonly proto?: 'tcp' | 'udp';
  readonly finish?: string;
  readonly gap_ms?: number;
}

/** Of the connection of that index, as an endpoint. */
export function clientOf(event: ConnectionsEvent, i: number): string {
  const { address, port } = parseEndpoint(event.client);
  const by = i * (event.step ?? 1);
  switch (event.vary ?? 'port') {
    case 'port':
      return formatEndpoint({ address, port: port + by });
    case 'ip':
      return formatEndpoint({ address: addToAddress(address, by), port });
    case 'none':
      return event.client;
  }
}

type FinishStep = readonly [side: Device, flags: string];

/** What follows the first packet. Only with NAT do the server's packets pass the director. */
function finishSteps(finish: string, isNat: boolean): readonly FinishStep[] {
  const established: readonly FinishStep[] = [...(isNat ? [['rs', 'SA'] as const] : []), ['cl', 'A']];
  const half: readonly FinishStep[] = [...established, ['cl', 'FA']];
  switch (finish) {
    case 'syn':
      return [];
    case 'est':
      return established;
    case 'half':
      return half;
    case 'close':
      return [...half, ...(isNat ? [['rs', 'FA'] as const] : []), ['cl', 'A']];
    case 'rst':
      return [...established, ['cl', 'R']];
    case 'reply':
      return [['rs', '']];
    default:
      throw new Error(`the finish "${finish}" is not known`);
  }
}

function sideOf(event: ScenarioEvent): Device {
  const from = event.from ?? 'client';
  if (from !== 'client' && from !== 'rs') throw new Error(`"${from}" is not a side that packets come from`);
  return from === 'client' ? 'cl' : 'rs';
}

function withOut(out: readonly OutItem[]): Json {
  return out.length > 0 ? { out } : {};
}

/** Frames of different ports have no order among each other. */
export function byDevice<T extends Pick<Frame, 'dev'>>(items: readonly T[]): readonly T[] {
  return [...items].sort((one, other) => one.dev.localeCompare(other.dev));
}
