// SPDX-License-Identifier: Apache-2.0
// How services and real servers stand, in a word and a tone. A service is an immutable value: what was worked out of one
// holds as long as it does.
import type { ServerRow, Tone } from '../../web/view.js';
import { stateWord } from '../messages.js';
import { type Server, type Service, serverId } from '../nouns.js';

export interface Standing {
  readonly state: string;
  readonly tone: Tone;
}

export interface ServiceStanding extends Standing {
  /** Real servers that get new connections. */
  readonly up: number;
  readonly strip: string;
  /** Real servers that are wrong. */
  readonly wrong: readonly Server[];
  /** Sum of the weights in force. */
  readonly weight: number;
}

/** Of more real servers than this a strip tells nothing any more. */
const longestStrip = 48;

const tones: Readonly<Record<string, Tone>> = {
  up: 'good',
  unknown: 'quiet',
  unchecked: 'quiet',
  quiesced: 'quiet',
  draining: 'quiet',
  drained: 'quiet',
  ejected: 'warn',
  down: 'bad',
};

/** Null: it is out of the pool. */
export function weightOf(server: Server, { pool }: Service): number | null {
  if (pool !== null) return pool.servers.get(serverId(server.key))?.spec.weight ?? null;
  return server.drain === null ? server.spec.weight : 0;
}

export function serverStanding(server: Server, service: Service): Standing {
  const word = stateWord(server, service) || 'unchecked';
  const state = word === 'unchecked' && server.spec.weight === 0 ? 'quiesced' : word;
  return { state, tone: tones[state] ?? 'warn' };
}

const known = new WeakMap<Service, ServiceStanding>();

export function serviceStanding(service: Service): ServiceStanding {
  const before = known.get(service);
  if (before !== undefined) return before;
  const standing = workOut(service);
  known.set(service, standing);
  return standing;
}

function workOut(service: Service): ServiceStanding {
  const wrong: Server[] = [];
  let strip = '';
  let up = 0;
  const isShort = service.servers.size <= longestStrip;
  for (const server of service.servers.values()) {
    const { tone } = serverStanding(server, service);
    if (tone === 'bad' || tone === 'warn') wrong.push(server);
    else if ((weightOf(server, service) ?? 0) > 0) up++;
    // LVS lists the one that was added last first.
    if (isShort) strip = tone.charAt(0) + strip;
  }
  return { ...wordOf(service, up, wrong.length), up, strip, wrong, weight: weightSum(service) };
}

function wordOf({ servers, pool }: Service, up: number, wrong: number): Standing {
  if (servers.size === 0) return { state: 'empty', tone: 'warn' };
  if (pool === null) return up > 0 ? { state: 'unchecked', tone: 'quiet' } : { state: 'quiesced', tone: 'warn' };
  if (!pool.quorumUp) {
    const isSorry = [...pool.servers].some(([id, { spec }]) => spec.weight > 0 && !servers.has(id));
    return { state: isSorry ? 'sorry server' : 'down', tone: 'bad' };
  }
  if (up === 0) return { state: 'quiesced', tone: 'warn' };
  return wrong > 0 ? { state: 'degraded', tone: 'warn' } : { state: 'up', tone: 'good' };
}

function weightSum(service: Service): number {
  let sum = 0;
  if (service.pool !== null) for (const { spec } of service.pool.servers.values()) sum += spec.weight;
  else for (const server of service.servers.values()) sum += weightOf(server, service) ?? 0;
  return sum;
}

/** Of a pool that is not all of the service's own: it serves in place of the others. */
export const sorryStanding: Pick<ServerRow, 'state' | 'tone' | 'reason'> = {
  state: 'sorry server',
  tone: 'warn',
  reason: 'serves while the pool has no quorum',
};
