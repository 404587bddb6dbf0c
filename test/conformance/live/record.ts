// SPDX-License-Identifier: Apache-2.0
// Plays a scenario in the guest and writes down what the kernel did, in the form of the recordings: that is then what
// Fulcrum is compared with.

import { addressText } from '../bytes.js';
import { Player } from '../events.js';
import { describeFrame, type OutItem } from '../frames.js';
import type { Json, Scenario } from '../scenario.js';
import { virtualAddresses } from '../world_plan.js';
import { GuestWorld } from './guest_world.js';
import type { AgentLine } from './line.js';

/** A scenario without its recording: what a generator makes. */
export type Script = Omit<Scenario, 'golden'>;

export interface Recording {
  readonly golden: readonly Json[];
  /** How much more real time than the scenario asks for had passed when each event began, in milliseconds. */
  readonly lateMs: readonly number[];
}

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
    const outcome = (await world.change(scenario, event)) ?? (await player.play(event, index));
    golden.push({ i: index, op: event.op, ...masked(outcome, script.guePorts) });
  }
  return { golden, lateMs };
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

  constructor(world: GuestWorld) {
    this.#world = world;
    this.#began = world.now;
  }

  get lateMs(): number {
    return Math.max(0, Math.round(this.#world.now - this.#began - this.#asked));
  }

  async advance(milliseconds: number): Promise<void> {
    this.#asked += milliseconds;
    await this.#world.advance(milliseconds);
  }

  ipvsadm: GuestWorld['ipvsadm'] = (words, stdin) => this.#world.ipvsadm(words, stdin);
  inject: GuestWorld['inject'] = (dev, packets, isMulticast) => this.#world.inject(dev, packets, isMulticast);
  drain: GuestWorld['drain'] = () => this.#world.drain();
}

/** With those fields blanked that the kernel fills at random. */
function masked(outcome: Json, guePorts: readonly number[]): Json {
  if (!Array.isArray(outcome.out)) return outcome;
  const out = (outcome.out as readonly OutItem[]).map((item) => maskItem(item, guePorts));
  return { ...outcome, out };
}

function maskItem(item: OutItem, guePorts: readonly number[]): OutItem {
  const packet = Buffer.from(item.hex, 'hex');
  const fields = randomFields(packet, item, guePorts);
  if (fields.length === 0) return item;
  const etherType = (packet[0] ?? 0) >> 4 === 6 ? 0x86dd : 0x0800;
  return describeFrame({ dev: item.dev, dmac: item.dmac, etherType, packet }, guePorts, fields);
}

const directorAddresses = new Set([...virtualAddresses, '10.0.1.1', '10.0.2.1']);
const protocol = { icmp: 1, icmp6: 58, ipip: 4, ip6ip: 41, gre: 47 } as const;

/** Names of the fields of a packet that are random if the director made it. */
export function randomFields(
  packet: Buffer,
  { via }: Pick<OutItem, 'via'>,
  guePorts: readonly number[],
): readonly string[] {
  if (via === 'other' && (packet[0] ?? 0) >> 4 !== 4 && (packet[0] ?? 0) >> 4 !== 6) return [];
  const isIpv6 = (packet[0] ?? 0) >> 4 === 6;
  return isIpv6 ? randomFieldsV6(packet) : randomFieldsV4(packet, guePorts);
}

function randomFieldsV4(packet: Buffer, guePorts: readonly number[]): readonly string[] {
  const source = addressText(packet.subarray(12, 16));
  if (!directorAddresses.has(source)) return [];
  const isGue = isGuePacket(packet, 4 * ((packet[0] ?? 0) & 15), packet[9], guePorts);
  const isOwn = isGue || Object.values(protocol).some((number) => number === packet[9]);
  const mayFragment = (packet.readUInt16BE(6) & 0x4000) === 0;
  return [...(isOwn && mayFragment ? ['ip.id'] : []), ...(isGue ? gueFields(packet, 4 * ((packet[0] ?? 0) & 15)) : [])];
}

function randomFieldsV6(packet: Buffer): readonly string[] {
  // An error of the director's own: the flow label is a hash with a secret key.
  const isError = packet[6] === protocol.icmp6 && (packet[40] ?? 0) < 128;
  return isError ? ['flow'] : [];
}

function isGuePacket(packet: Buffer, at: number, number: number | undefined, guePorts: readonly number[]): boolean {
  const isFirst = (packet.readUInt16BE(6) & 0x1fff) === 0;
  return isFirst && number === 17 && packet.length >= at + 8 && guePorts.includes(packet.readUInt16BE(at + 2));
}

function gueFields(packet: Buffer, at: number): readonly string[] {
  return packet.readUInt16BE(at + 6) === 0 ? ['gue.sport'] : ['gue.sport', 'gue.csum'];
}
