// SPDX-License-Identifier: Apache-2.0
// The cases by name, as dataplane_bench takes them: kind, forwarding method, number of flows, and "-tcp" where it is
// not UDP.

export const kinds = ['hit', 'new', 'life', 'flood', 'pairs', 'handover'] as const;
/**
 * hit: established connections. new: every packet begins one. life: as many end as begin. flood: the table is full, every
 * second packet would begin one. pairs: two workers, each with a pair of devices. handover: these receive each other's.
 */
export type Kind = (typeof kinds)[number];

export type Method = 'dr' | 'tun' | 'nat-client' | 'nat-server';

export interface Case {
  readonly name: string;
  readonly kind: Kind;
  readonly method: Method;
  readonly family: 4 | 6;
  readonly tcp: boolean;
  /** Of a pair of devices; of new and life: connections that the table holds. */
  readonly flows: number;
}

export const mostFlows = 10_000_000;

const grammar =
  /^(?:(new|life|flood|pairs|handover)-)?(?:(dr|tun)(6?)|nat(6?)-(client|server))-(\d{1,8})([km]?)(-tcp)?$/;

/** Undefined for what names no case. */
export function parseCase(name: string): Case | undefined {
  const match = grammar.exec(name);
  if (!match) return undefined;
  const [, kind = 'hit', plain, six, natSix, side, number, unit, tcp] = match;
  const flows = Number(number) * (unit === 'k' ? 1_000 : unit === 'm' ? 1_000_000 : 1);
  if (flows < 1 || flows > mostFlows) return undefined;
  const method = (plain ?? `nat-${side}`) as Method;
  // Nothing begins with a server's packet.
  if (method === 'nat-server' && (kind === 'new' || kind === 'life' || kind === 'flood')) return undefined;
  const family = (plain === undefined ? natSix : six) === '6' ? 6 : 4;
  return { name, kind: kind as Kind, method, family, tcp: tcp !== undefined, flows };
}

/** The frames of a capture file: one a flow, or a few that are stamped as they are received. */
export const framesOf = (one: Case): number => (one.kind === 'new' || one.kind === 'life' ? 64 : one.flows);

export const pairsOf = (one: Case): 1 | 2 => (one.kind === 'pairs' || one.kind === 'handover' ? 2 : 1);

/** The same packets with one worker and one pair of devices. */
export function singleOf(one: Case): Case {
  const name = one.name.slice(one.kind.length + 1);
  return { ...one, name, kind: 'hit' };
}

const methods: readonly Method[] = ['dr', 'tun', 'nat-client', 'nat-server'];
const v6 = (method: Method): string => method.replace(/^[a-z]+/, '$&6');
const hits = (sizes: readonly string[]): readonly string[] =>
  methods.flatMap((method) => sizes.map((size) => `${method}-${size}`));

/** What `npm run bench` measures: two minutes. */
const usual = hits(['1k', '10k', '200k']);

/** All of it. A million flows need three gigabytes of packet buffers, eight million connections as much. */
const everything: readonly string[] = [
  'dr-1',
  ...hits(['1k', '10k', '200k', '1m']),
  ...methods.map((method) => `${method}-1k-tcp`),
  ...methods.flatMap((method) => [`${v6(method)}-1k`, `${v6(method)}-200k`]),
  'new-dr-2m',
  'new-dr-2m-tcp',
  'new-tun-2m',
  'new-nat-client-2m',
  'new-dr6-1m',
  'life-dr-8m-tcp',
  'life-nat-client-8m-tcp',
  'flood-dr-10k',
  'flood-nat-client-10k',
  'flood-dr-200k-tcp',
  'pairs-dr-10k',
  'pairs-dr-200k',
  'handover-nat-client-10k',
  'handover-dr-10k',
];

export function standardCases(all: boolean): readonly Case[] {
  return (all ? everything : usual).map(parseCase).filter((made) => made !== undefined);
}
