// SPDX-License-Identifier: Apache-2.0
// Compares an outcome with its recording. Of a packet: the port it left by, its MAC and all its bytes; method, server,
// port and text follow from these. Seconds left may differ by two; what has no order in LVS is put into one first.
import { byDevice } from './events.js';
import type { OutItem } from './frames.js';
import type { ListedConnection } from './listings.js';
import type { Json } from './scenario.js';

const expiryTolerance = 2;
const longestText = 400;

export interface Difference {
  /** Undefined: before the first event. */
  readonly event?: number;
  readonly expected: unknown;
  readonly got: unknown;
}

/** Undefined if they agree; else the first part of each that does not. */
export function compareOutcome(recorded: Json, outcome: Json): Omit<Difference, 'event'> | undefined {
  const { i: _index, op: _op, ...expected } = recorded;
  for (const key of new Set([...Object.keys(expected), ...Object.keys(outcome)])) {
    const difference = compareField(key, expected[key], outcome[key]);
    if (difference !== undefined) return difference;
  }
  return undefined;
}

function compareField(key: string, expected: unknown, got: unknown): Omit<Difference, 'event'> | undefined {
  if (Array.isArray(expected) && Array.isArray(got)) {
    const order = orders[key] ?? ((items: readonly unknown[]) => items);
    return compareLists(key, order(expected), order(got));
  }
  return equal(expected, got) ? undefined : { expected: { [key]: expected }, got: { [key]: got } };
}

function compareLists(key: string, expected: readonly unknown[], got: readonly unknown[]) {
  const same = sameness[key] ?? equal;
  const length = Math.max(expected.length, got.length);
  for (let at = 0; at < length; at++) {
    if (at < expected.length && at < got.length && same(expected[at], got[at])) continue;
    const name = `${key}[${at}]`;
    return { expected: { [name]: expected[at] ?? 'nothing' }, got: { [name]: got[at] ?? 'nothing' } };
  }
  return undefined;
}

/** Services lie in a hash table in LVS, connections too; a listing of counters has a service and then its servers. */
const orders: Readonly<Record<string, (items: readonly unknown[]) => readonly unknown[]>> = {
  out: (items) => byDevice(items as readonly OutItem[]),
  conns: (items) =>
    sorted(items as readonly ListedConnection[], ({ pro, c, v, d, state }) => [pro, c, v, d, state].join(' ')),
  services: (items) => sorted(items as readonly { readonly svc: string }[], ({ svc }) => svc),
  stats: (items) => serviceBlocks(items as readonly Row[]),
  rates: (items) => (items as readonly (readonly Row[])[]).map(serviceBlocks),
};

type Row = readonly (string | number)[];

function sorted<T>(items: readonly T[], key: (item: T) => string): readonly T[] {
  return [...items].sort((one, other) => (key(one) < key(other) ? -1 : 1));
}

function serviceBlocks(rows: readonly Row[]): readonly Row[] {
  const blocks: Row[][] = [];
  for (const row of rows) {
    if (String(row[0]).startsWith('->')) blocks.at(-1)?.push(row);
    else blocks.push([row]);
  }
  return sorted(blocks, (block) => String(block[0]?.[0])).flat();
}

const sameness: Readonly<Record<string, (expected: unknown, got: unknown) => boolean>> = {
  out: (expected, got) => {
    const [one, other] = [expected as OutItem, got as OutItem];
    return one.dev === other.dev && one.dmac === other.dmac && one.hex === other.hex;
  },
  conns: (expected, got) => {
    const [{ exp: one, ...entry }, { exp: other, ...gotten }] = [expected as ListedConnection, got as ListedConnection];
    return Math.abs(one - other) <= expiryTolerance && equal(entry, gotten);
  },
};

/** Deep, without regard to the order of keys. */
function equal(one: unknown, other: unknown): boolean {
  return canonical(one) === canonical(other);
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, member) =>
    typeof member === 'object' && member !== null && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).sort(([one], [other]) => (one < other ? -1 : 1)))
      : member,
  );
}

/** One line: "expected … got …"; of two packets that read alike, where their bytes part. */
export function differenceText({ expected, got }: Omit<Difference, 'event'>): string {
  return `expected ${text(expected)} got ${text(got)}${firstByte(expected, got)}`;
}

function text(value: unknown): string {
  if (typeof value === 'string') return value;
  const whole = JSON.stringify(value, (key, member) => (key === 'hex' ? undefined : member));
  return whole.length > longestText ? `${whole.slice(0, longestText)}…` : whole;
}

function firstByte(expected: unknown, got: unknown): string {
  const [one, other] = [hexOf(expected), hexOf(got)];
  if (one === undefined || other === undefined || one === other) return '';
  let at = 0;
  while (one.slice(2 * at, 2 * at + 2) === other.slice(2 * at, 2 * at + 2)) at++;
  const around = (hex: string): string => hex.slice(2 * at, 2 * at + 16) || 'its end';
  return ` (from byte ${at}: ${around(one)}, not ${around(other)})`;
}

function hexOf(value: unknown): string | undefined {
  const [member] = Object.values((value ?? {}) as Json);
  if (typeof member === 'string') return /^([0-9a-f]{2})+$/.test(member) ? member : undefined;
  return typeof member === 'object' && member !== null ? ((member as Json).hex as string | undefined) : undefined;
}
