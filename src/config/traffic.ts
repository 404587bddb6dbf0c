// SPDX-License-Identifier: Apache-2.0
// What a service takes, as operators write it ("allow", "deny", "max_connections", "mss: auto" …), and prefix lists:
// JSON Schema, the way to the API's messages and back.
import type { PrefixList__Output } from '../generated/fulcrum/v1/PrefixList.js';
import type { ServiceKey__Output } from '../generated/fulcrum/v1/ServiceKey.js';
import type { TrafficPolicy__Output } from '../generated/fulcrum/v1/TrafficPolicy.js';
import type { Attempt, Path } from './document.js';
import { KeyError } from './keys.js';
import { readPrefixText } from './mark_rules.js';

/** Members of a service. */
export interface TrafficEntry {
  readonly allow?: readonly string[];
  readonly deny?: readonly string[];
  readonly max_connections?: number;
  readonly connections_per_second?: number;
  readonly connections_burst?: number;
  readonly mss?: number | 'auto';
}

/** Prefixes by the name of their list. */
export type PrefixListsEntry = Readonly<Record<string, readonly string[]>>;

export const leastMss = 88;
export const mostMss = 65_495;
export const mostPerSecond = 10_000_000;
export const mostConnections = 4_294_967_295;
export const listName = '^[A-Za-z][A-Za-z0-9_-]{0,63}$';

const clients = (description: string) => ({ type: 'array', items: { type: 'string' }, description });
const count = (maximum: number, description: string) => ({ type: 'integer', minimum: 1, maximum, description });

export const trafficProperties = {
  allow: clients(
    'clients that it takes, and no others: prefixes, and names of prefix_lists; the longest prefix decides',
  ),
  deny: clients('clients that it does not take: prefixes, and names of prefix_lists'),
  max_connections: count(mostConnections, 'connections at once; left out: no limit'),
  connections_per_second: count(mostPerSecond, 'connections that begin in a second; left out: no limit'),
  connections_burst: count(
    mostConnections,
    'as many of them at once after a quiet time; left out: connections_per_second',
  ),
  mss: {
    type: ['integer', 'string'],
    description: `the greatest TCP segment that SYNs may announce, ${leastMss} to ${mostMss}; auto: what goes whole to the server`,
  },
} as const;

export const prefixListsSchema = {
  type: 'object',
  description: 'prefixes that services refer to by name',
  propertyNames: { pattern: listName, description: 'a letter, then letters, digits, "_" and "-", at most 64' },
  additionalProperties: { type: 'array', items: { type: 'string' } },
} as const;

/** Undefined if the entry says nothing. */
export function toTraffic(
  entry: TrafficEntry,
  service: ServiceKey__Output,
  path: Path,
  attempt: Attempt,
): TrafficPolicy__Output | undefined {
  if (!Object.keys(trafficProperties).some((name) => Object.hasOwn(entry, name))) return undefined;
  const mss = attempt([...path, 'mss'], () => mssOf(entry.mss, service)) ?? 0;
  if (entry.connections_burst !== undefined && entry.connections_per_second === undefined) {
    attempt([...path, 'connections_burst'], () => {
      throw new KeyError('needs connections_per_second');
    });
  }
  return {
    allow: readClients(entry.allow, [...path, 'allow'], attempt),
    deny: readClients(entry.deny, [...path, 'deny'], attempt),
    maxConnections: entry.max_connections ?? 0,
    connectionsPerSecond: entry.connections_per_second ?? 0,
    connectionsBurst: entry.connections_burst ?? 0,
    mss: mss === 'auto' ? 0 : mss,
    mssAuto: mss === 'auto',
  };
}

function mssOf(given: number | string | undefined, { protocol, fwmark }: ServiceKey__Output): number | 'auto' {
  if (given === undefined) return 0;
  if (fwmark === 0 && protocol !== 'PROTOCOL_TCP') throw new KeyError('only TCP has a maximum segment size');
  return readMss(given);
}

/** 1360, or "auto". */
export function readMss(given: number | string): number | 'auto' {
  if (given === 'auto') return given;
  const value = typeof given === 'number' ? given : Number.NaN;
  if (Number.isInteger(value) && value >= leastMss && value <= mostMss) return value;
  throw new KeyError(`${JSON.stringify(given)} is neither "auto" nor a number from ${leastMss} to ${mostMss}`);
}

/** A name has no dot and no colon, an address has some. */
export function isListName(text: string): boolean {
  return !/[.:/]/.test(text);
}

function readClients(given: readonly string[] = [], path: Path, attempt: Attempt): string[] {
  given.forEach((text, index) => {
    if (!isListName(text)) attempt([...path, index], () => readPrefixText(text));
  });
  return [...given];
}

export function toPrefixLists(entry: PrefixListsEntry, attempt: Attempt): PrefixList__Output[] {
  return Object.entries(entry).map(([name, prefixes]) => {
    prefixes.forEach((text, index) => {
      attempt(['prefix_lists', name, index], () => readPrefixText(text));
    });
    return { name, prefixes: [...prefixes] };
  });
}

/** What toTraffic would read back to the same policy; what is not limited is left out. */
export function trafficEntry(policy: TrafficPolicy__Output): TrafficEntry {
  return {
    ...(policy.allow.length > 0 && { allow: policy.allow }),
    ...(policy.deny.length > 0 && { deny: policy.deny }),
    ...(policy.maxConnections !== 0 && { max_connections: policy.maxConnections }),
    ...(policy.connectionsPerSecond !== 0 && { connections_per_second: policy.connectionsPerSecond }),
    ...(policy.connectionsBurst !== 0 && { connections_burst: policy.connectionsBurst }),
    ...(policy.mssAuto ? { mss: 'auto' as const } : policy.mss !== 0 && { mss: policy.mss }),
  };
}

export function prefixListsEntry(lists: readonly PrefixList__Output[]): PrefixListsEntry {
  return Object.fromEntries(lists.map(({ name, prefixes }) => [name, prefixes]));
}

/** In words: "allow 2, deny 1, at most 1000, 50 a second, mss auto". */
export function trafficWords(policy: TrafficPolicy__Output | null): readonly string[] {
  if (policy === null) return [];
  const { allow, deny, maxConnections, connectionsPerSecond, connectionsBurst, mss, mssAuto } = policy;
  return [
    ...(allow.length > 0 ? [`allow ${clientsText(allow)}`] : []),
    ...(deny.length > 0 ? [`deny ${clientsText(deny)}`] : []),
    ...(maxConnections !== 0 ? [`max ${maxConnections}`] : []),
    ...(connectionsPerSecond !== 0 ? [`${connectionsPerSecond}/s${burstText(connectionsBurst)}`] : []),
    ...(mssAuto ? ['mss auto'] : mss !== 0 ? [`mss ${mss}`] : []),
  ];
}

function burstText(burst: number): string {
  return burst === 0 ? '' : ` burst ${burst}`;
}

function clientsText(clients: readonly string[]): string {
  const [first = '', ...rest] = clients;
  return rest.length === 0 ? first : `${first}+${rest.length}`;
}
