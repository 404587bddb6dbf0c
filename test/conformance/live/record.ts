// SPDX-License-Identifier: Apache-2.0
// Plays a scenario in the guest and writes down what the kernel did, in the form of the recordings: that is then what
// Fulcrum is compared with.

import { addressText } from '../bytes.js';
import { Player } from '../events.js';
import { type Device, describeFrame, type Frame, innerFragment, innerHeader, type OutItem } from '../frames.js';
import type { Json, Scenario } from '../scenario.js';
import type { CommandResult } from '../world.js';
import { virtualAddresses } from '../world_plan.js';
import { GuestWorld } from './guest_world.js';
import type { AgentLine } from './line.js';

/** A scenario without its recording: what a generator makes. */
export type Script = Omit<Scenario, 'golden'>;

export interface Recording {
  readonly golden: readonly Json[];
  /** How much more real time than the scenario asks for had passed when each event began, in milliseconds. */
  readonly lateMs: readonly number[];
  /** Packets sent to the director and by it. */
  readonly packets: number;
}

/**
 * An entry that has to go at once (a connection that is used again, a deleted server) goes with the next tick of the
 * guest's clock. Until then a packet may still find it, and keep it alive.
 */
const tickMs = 11;
const packetEvents: readonly string[] = ['conns', 'pkt', 'icmp', 'raw'];

/** What the kernel says to a configuration line, if it does not like it. */
export class Refused extends Error {}

export async function record(script: Script, line: AgentLine): Promise<Recording> {
  const world = await GuestWorld.start(line, script.ipv6);
  await configure(script, world);
  const scenario = { ...script, golden: [] };
  const stage = new TimedStage(world);
  const player = new Player(scenario, stage);
  const golden: Json[] = [];
  const lateMs: number[] = [];
  for (const [index, event] of script.events.entries()) {
    lateMs.push(stage.lateMs);
    const outcome = (await world.change(event)) ?? (await player.play(event, index));
    if (packetEvents.includes(event.op)) await world.advance(tickMs);
    golden.push({ i: index, op: event.op, ...masked(outcome, script.guePorts) });
  }
  return { golden, lateMs, packets: stage.packets };
}

async function configure(script: Script, world: GuestWorld): Promise<void> {
  if (script.config.length === 0) return;
  try {
    await world.configure(script.config);
  } catch (error) {
    throw new Refused((error as Error).message);
  }
}

/** Knows how much of the time that has passed the scenario did not ask for. */
class TimedStage {
  readonly #world: GuestWorld;
  readonly #began: number;
  #asked = 0;
  #packets = 0;

  constructor(world: GuestWorld) {
    this.#world = world;
    this.#began = world.now;
  }

  get lateMs(): number {
    return Math.max(0, Math.round(this.#world.now - this.#began - this.#asked));
  }

  get packets(): number {
    return this.#packets;
  }

  async advance(milliseconds: number): Promise<void> {
    this.#asked += milliseconds;
    await this.#world.advance(milliseconds);
  }

  async ipvsadm(words: readonly string[], stdin?: string): Promise<CommandResult> {
    return await this.#world.ipvsadm(words, stdin);
  }

  async inject(dev: Device, packets: readonly Buffer[], isMulticast?: boolean): Promise<void> {
    this.#packets += packets.length;
    await this.#world.inject(dev, packets, isMulticast);
  }

  async drain(): Promise<readonly Frame[]> {
    const frames = await this.#world.drain();
    this.#packets += frames.length;
    return frames;
  }
}

/** With those fields blanked that the kernel fills at random. */
function masked(outcome: Json, guePorts: readonly number[]): Json {
  if (!Array.isArray(outcome.out)) return outcome;
  const out = (outcome.out as readonly OutItem[]).map((item) => maskItem(item, guePorts));
  return { ...outcome, out };
}

function maskItem(item: OutItem, guePorts: readonly number[]): OutItem {
  const packet = Buffer.from(item.hex, 'hex');
  const etherType = (packet[0] ?? 0) >> 4 === 6 ? 0x86dd : 0x0800;
  const fields = item.sum.startsWith('not IP') ? [] : randomFields(packet, guePorts);
  if (fields.length === 0) return item;
  return describeFrame({ dev: item.dev, dmac: item.dmac, etherType, packet }, guePorts, fields);
}

const ownAddresses: readonly string[] = ['10.0.1.1', '10.0.2.1', '2001:db8:1::1', '2001:db8:2::1'];
const directorAddresses = new Set([...virtualAddresses(true), ...ownAddresses]);
const protocol = { icmp: 1, ipip: 4, udp: 17, ip6ip: 41, gre: 47 } as const;
const ipv6FragmentHeader = 44;
/** Of packets that the director makes itself; what it forwards has one less at most. */
const ownHopLimit = 64;

/** Names of the fields of a packet that are random if the director made it. */
export function randomFields(packet: Buffer, guePorts: readonly number[]): readonly string[] {
  const version = (packet[0] ?? 0) >> 4;
  const [from, to, header] = version === 6 ? [8, 24, 40] : [12, 16, 4 * ((packet[0] ?? 0) & 15)];
  // A datagram that has been put together is cut again with an identification of the director's own.
  if (version === 6 && packet[6] === ipv6FragmentHeader) return ['frag.id', ...fieldsOfPiece(packet, guePorts)];
  if (packet.length < header || !directorAddresses.has(addressText(packet.subarray(from, to)))) return [];
  const fields = version === 6 ? randomFieldsV6(packet, guePorts) : randomFieldsV4(packet, header, guePorts);
  // The same before a tunnel: what lies around the pieces sums up their identification.
  if (innerFragment(packet) !== undefined) return [...fields, 'inner.frag.id', 'gre.csum'];
  switch (ownErrorWithin(packet)) {
    case 4:
      return [...fields, 'inner.ip.id'];
    case 6:
      return [...fields, 'inner.flow', 'gre.csum'];
    default:
      return fields;
  }
}

/** Family of an error that the director told itself, on its way to the server that it is about. */
function ownErrorWithin(packet: Buffer): 4 | 6 | undefined {
  const inner = innerHeader(packet);
  if (inner === undefined) return undefined;
  // IPv4: a checksum hides the id from what sums up all.
  const within = packet.subarray(inner);
  if (within[0] === 0x45 && within.length >= 20 && within[9] === protocol.icmp)
    return isToItself(within.subarray(12, 16), within.subarray(16, 20)) ? 4 : undefined;
  if ((within[0] ?? 0) >> 4 === 6 && within.length >= 40)
    return isToItself(within.subarray(8, 24), within.subarray(24, 40)) ? 6 : undefined;
  return undefined;
}

function isToItself(source: Buffer, destination: Buffer): boolean {
  return source.equals(destination) && directorAddresses.has(addressText(source));
}

function randomFieldsV4(packet: Buffer, header: number, guePorts: readonly number[]): readonly string[] {
  const fragment = packet.readUInt16BE(6);
  const isFirst = (fragment & 0x1fff) === 0;
  const isGue = packet[9] === protocol.udp && isFirst && isGueHeader(packet, header, guePorts);
  // Of the director's own packets only tunnels are ever cut: a later piece of UDP is one of GUE.
  const isOwnUdp = packet[9] === protocol.udp && ownAddresses.includes(addressText(packet.subarray(12, 16)));
  const isOwn =
    isGue || isOwnUdp || [protocol.icmp, protocol.ipip, protocol.ip6ip, protocol.gre].includes(packet[9] as 1);
  const mayBeCut = (fragment & 0x4000) === 0;
  return [...(isOwn && mayBeCut ? ['ip.id'] : []), ...(isGue ? gueFields(packet, header) : [])];
}

/** The flow label is a hash with a secret key. */
function randomFieldsV6(packet: Buffer, guePorts: readonly number[]): readonly string[] {
  if (packet[6] === protocol.udp && isGueHeader(packet, 40, guePorts)) return gueFields(packet, 40);
  const isOwn = packet[7] === ownHopLimit || isToItself(packet.subarray(8, 24), packet.subarray(24, 40));
  return isOwn ? ['flow'] : [];
}

/** Of the first piece of a tunnel packet that was cut. */
function fieldsOfPiece(packet: Buffer, guePorts: readonly number[]): readonly string[] {
  const transport = 48;
  const isFirst = packet.length >= transport && (packet.readUInt16BE(42) & 0xfff8) === 0;
  const isOwn = directorAddresses.has(addressText(packet.subarray(8, 24)));
  const isGue = packet[40] === protocol.udp && isGueHeader(packet, transport, guePorts);
  return isFirst && isOwn && isGue ? gueFields(packet, transport) : [];
}

function isGueHeader(packet: Buffer, at: number, guePorts: readonly number[]): boolean {
  return packet.length >= at + 8 && guePorts.includes(packet.readUInt16BE(at + 2));
}

function gueFields(packet: Buffer, at: number): readonly string[] {
  return packet.readUInt16BE(at + 6) === 0 ? ['gue.sport'] : ['gue.sport', 'gue.csum'];
}
