// SPDX-License-Identifier: Apache-2.0
// Whole scenarios by kind: how many services of which sort, which events how often, and a last look at everything.
import type { Script } from '../record.js';
import { edit, look, pause, tunable } from './changes.js';
import { Draft } from './draft.js';
import { type Feature, features } from './options.js';
import { Random } from './random.js';
import { addService, guePort, type ServiceWish } from './services.js';
import * as traffic from './traffic.js';

type EventKind =
  | 'conns'
  | 'pkt'
  | 'reply'
  | 'fragments'
  | 'clientError'
  | 'serverError'
  | 'tunnelError'
  | 'local'
  | 'malformed'
  | 'edit'
  | 'tunable'
  | 'look'
  | 'pause';

interface Recipe {
  readonly needs?: Feature;
  readonly services: readonly [least: number, most: number];
  readonly wish: ServiceWish;
  readonly events: readonly [least: number, most: number];
  readonly weights: Readonly<Partial<Record<EventKind, number>>>;
  /** Most connections of one event. */
  readonly connections?: number;
  readonly stats?: number;
  readonly mtu?: number;
}

const both = { tcp: 3, udp: 1 } as const;

export const recipes = {
  scheduling: {
    services: [1, 1],
    wish: { protocols: both, servers: [2, 7], thresholds: 0.1 },
    events: [4, 10],
    weights: { conns: 8, edit: 3, look: 1 },
    connections: 40,
  },
  thresholds: {
    services: [1, 2],
    wish: { protocols: both, servers: [1, 4], thresholds: 0.8 },
    events: [5, 14],
    weights: { conns: 6, pkt: 2, edit: 3, look: 2 },
    connections: 15,
  },
  forwarding: {
    services: [1, 2],
    wish: { protocols: both, servers: [1, 4] },
    events: [10, 30],
    weights: { pkt: 12, reply: 5, conns: 2, local: 1, fragments: 1 },
    stats: 0.1,
    mtu: 0.4,
  },
  states: {
    services: [1, 1],
    wish: { protocols: { tcp: 1 }, servers: [1, 1] },
    events: [10, 35],
    weights: { pkt: 8, reply: 6, look: 2, tunable: 0.5 },
  },
  sctp: {
    needs: 'sctp',
    services: [1, 1],
    wish: { protocols: { sctp: 1 }, servers: [1, 3] },
    events: [6, 25],
    weights: { pkt: 8, reply: 6, look: 2 },
  },
  persistence: {
    needs: 'persistence',
    services: [1, 3],
    wish: { protocols: both, servers: [1, 5], persistent: 0.9, anyPort: 0.3, mark: 0.2, ops: 0.1 },
    events: [5, 16],
    weights: { conns: 6, pkt: 2, edit: 3, look: 2, tunable: 0.5 },
    connections: 12,
  },
  marks: {
    needs: 'fwmark',
    services: [1, 3],
    wish: { protocols: both, servers: [1, 4], mark: 0.7, persistent: 0.2 },
    events: [5, 16],
    weights: { conns: 5, pkt: 3, reply: 1, edit: 2, look: 1, clientError: 0.5 },
    connections: 10,
  },
  oneshot: {
    needs: 'ops',
    services: [1, 2],
    wish: { protocols: { udp: 1 }, servers: [1, 4], ops: 0.8, persistent: 0.3 },
    events: [5, 14],
    weights: { conns: 4, pkt: 4, reply: 2, edit: 2, look: 1, fragments: 1 },
    connections: 10,
    stats: 0.1,
  },
  errors: {
    needs: 'icmp',
    services: [1, 2],
    wish: { protocols: both, servers: [1, 2] },
    events: [8, 24],
    weights: { pkt: 5, clientError: 4, serverError: 4, tunnelError: 2, reply: 2, look: 1, tunable: 0.3 },
    stats: 0.1,
    mtu: 0.15,
  },
  fragments: {
    needs: 'fragments',
    services: [1, 2],
    wish: { protocols: { tcp: 1, udp: 3 }, servers: [1, 3], ops: 0.1 },
    events: [5, 14],
    weights: { fragments: 8, pkt: 2, reply: 2 },
    stats: 0.15,
    mtu: 0.3,
  },
  tunables: {
    needs: 'tunables',
    services: [1, 2],
    wish: { protocols: { tcp: 4, udp: 1, sctp: 0.5 }, servers: [1, 4], persistent: 0.25 },
    events: [8, 22],
    weights: { tunable: 4, pkt: 6, conns: 3, reply: 2, edit: 3, clientError: 1, look: 1.5 },
    connections: 8,
  },
  malformed: {
    needs: 'malformed',
    services: [1, 2],
    wish: { protocols: both, servers: [1, 2] },
    events: [6, 20],
    weights: { malformed: 8, pkt: 2, reply: 1 },
  },
  local: {
    services: [0, 2],
    wish: { protocols: both, servers: [0, 2] },
    events: [6, 20],
    weights: { local: 8, pkt: 2, clientError: 1, fragments: 0.5 },
  },
  editing: {
    services: [1, 3],
    wish: {
      protocols: { ...both, sctp: 0.3 },
      servers: [0, 5],
      persistent: 0.3,
      anyPort: 0.3,
      ops: 0.2,
      thresholds: 0.2,
      mark: 0.1,
    },
    events: [8, 18],
    weights: { edit: 10, conns: 4, look: 2 },
    connections: 8,
    stats: 0.1,
  },
  mixed: {
    services: [1, 4],
    wish: {
      ...{ protocols: { tcp: 3, udp: 1, sctp: 0.3 }, servers: [0, 5], persistent: 0.2, ops: 0.1 },
      ...{ thresholds: 0.15, mark: 0.1, anyPort: 0.2 },
    },
    events: [10, 30],
    weights: {
      ...{ conns: 5, pkt: 6, reply: 3, fragments: 1, clientError: 1, serverError: 1, tunnelError: 0.5 },
      ...{ local: 1, malformed: 0.5, edit: 4, tunable: 1, look: 1, pause: 0.3 },
    },
    stats: 0.15,
    mtu: 0.1,
  },
} as const satisfies Readonly<Record<string, Recipe>>;

export type Kind = keyof typeof recipes;
export const kinds = Object.keys(recipes) as readonly Kind[];

export interface Wishes {
  readonly seed: number;
  readonly features: ReadonlySet<Feature>;
  /** Empty: all that the features allow. */
  readonly only: readonly Kind[];
  readonly workers: number;
}

export const everyFeature: ReadonlySet<Feature> = new Set(features);

/** The scenario of that number: the same for the same wishes. */
export function generate(wishes: Wishes, number: number): Script {
  const random = Random.of(wishes.seed, number);
  const possible = kinds.filter((kind) => isPossible(recipes[kind], wishes.features));
  const wanted = wishes.only.length > 0 ? wishes.only : possible;
  const kind = random.pick(wanted);
  const recipe: Recipe = recipes[kind];
  const isIpv6 = wishes.features.has('ipv6') && random.chance(0.3);
  const draft = new Draft(random, wishes.features, isIpv6, wishes.workers > 1);
  const services = random.int(...recipe.services);
  for (let i = 0; i < services; i++) addService(draft, recipe.wish);
  chooseMtu(draft, recipe);
  const events = random.int(...recipe.events);
  const weights = allowed(recipe.weights, wishes.features);
  for (let i = 0; i < events; i++) makers[random.weighted<EventKind>(weights)](draft, recipe);
  draft.add({ op: 'conntab' });
  draft.add({ op: 'list' });
  if (draft.has('stats') && random.chance(recipe.stats ?? 0.05)) draft.add({ op: 'stats' });
  const name = `${kind}-${wishes.seed}-${number}`;
  return { name, ipv6: isIpv6, guePorts: [guePort], config: draft.config, events: draft.events };
}

function isPossible({ needs }: Recipe, wanted: ReadonlySet<Feature>): boolean {
  return needs === undefined || wanted.has(needs);
}

/** An MTU is part of the world: before anything else. */
function chooseMtu(draft: Draft, { mtu }: Recipe): void {
  const { random } = draft;
  if (!draft.has('mtu') || !random.chance(mtu ?? 0)) return;
  draft.events.unshift({ op: 'mtu', dev: random.pick(['rs', 'rs', 'cl']), mtu: random.pick([1280, 1300, 1400, 1480]) });
}

const neededBy: Readonly<Partial<Record<EventKind, Feature>>> = {
  fragments: 'fragments',
  clientError: 'icmp',
  serverError: 'icmp',
  tunnelError: 'tunnel-icmp',
  malformed: 'malformed',
  tunable: 'tunables',
};

function allowed(weights: Recipe['weights'], wanted: ReadonlySet<Feature>): Recipe['weights'] {
  const entries = Object.entries(weights).filter(([kind]) => {
    const needed = neededBy[kind as EventKind];
    return needed === undefined || wanted.has(needed);
  });
  return Object.fromEntries(entries);
}

const makers: Readonly<Record<EventKind, (draft: Draft, recipe: Recipe) => void>> = {
  conns: (draft, { connections }) => traffic.connections(draft, connections ?? 6),
  pkt: traffic.packet,
  reply: traffic.reply,
  fragments: traffic.fragments,
  clientError: traffic.errorFromClient,
  serverError: traffic.errorFromServer,
  tunnelError: traffic.errorAboutTunnel,
  local: traffic.localTraffic,
  malformed: traffic.malformed,
  edit: (draft, { wish }) => edit(draft, wish),
  tunable,
  look,
  pause,
};
