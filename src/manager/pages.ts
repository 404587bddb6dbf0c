// SPDX-License-Identifier: Apache-2.0
// Pages of lists that change meanwhile. Objects have sequence numbers that only grow, and a token holds that of the last
// one given: whatever lives during the whole listing appears exactly once.
import { quote } from '../grpc/errors.js';
import { invalid } from './validate.js';

const defaultPageSize = 1_000;
const largestPageSize = 10_000;

/** 0 means 1000; more than 10000 means 10000. */
export function readPageSize(given: number): number {
  return given === 0 ? defaultPageSize : Math.min(given, largestPageSize);
}

/** Opaque to clients. Kind tells the tokens of different lists apart. */
export function pageToken(kind: string, value: string): string {
  return Buffer.from(`${kind}/${value}`).toString('base64url');
}

/** The value in a token of a kind, or undefined for the first page. */
export function readPageToken(token: string, kind: string): string | undefined {
  if (token === '') return undefined;
  const text = Buffer.from(token, 'base64url').toString();
  if (text.startsWith(`${kind}/`)) return text.slice(kind.length + 1);
  throw invalid('page_token', `${quote(token)} was not given by this list`);
}

/** The sequence number in a token of a kind, or undefined for the first page. */
export function readSequenceToken(token: string, kind: string): number | undefined {
  const value = readPageToken(token, kind);
  if (value === undefined) return undefined;
  if (!/^\d+$/.test(value)) throw invalid('page_token', `${quote(token)} was not given by this list`);
  return Number(value);
}

export interface Page<T> {
  readonly items: readonly T[];
  /** Empty on the last page. */
  readonly nextPageToken: string;
}

export interface PageSettings {
  readonly size: number;
  readonly kind: string;
  /** Ends a page early, when the items in it weigh this much. */
  readonly largestWeight?: number;
}

/** One page of items that are already those after the token. */
export function takePage<T extends { readonly sequence: number }>(
  items: Iterable<T>,
  { size, kind, largestWeight = Number.POSITIVE_INFINITY }: PageSettings,
  weigh: (item: T) => number = () => 1,
): Page<T> {
  const page: T[] = [];
  let weight = 0;
  for (const item of items) {
    const last = page[page.length - 1];
    if (last !== undefined && (page.length === size || weight + weigh(item) > largestWeight)) {
      return { items: page, nextPageToken: pageToken(kind, String(last.sequence)) };
    }
    page.push(item);
    weight += weigh(item);
  }
  return { items: page, nextPageToken: '' };
}
