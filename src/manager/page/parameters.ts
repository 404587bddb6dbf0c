// SPDX-License-Identifier: Apache-2.0
// What a viewer wants to see, as it says in the address of its stream: which page, and which part of a list.
import { KeyError, parseServiceKey } from '../../config/keys.js';
import { serviceId } from '../nouns.js';
import { readServiceKey } from '../validate.js';

export const serviceSorts = ['order', 'key', 'scheduler', 'state', 'active', 'inactive', 'rate', 'traffic'] as const;
export const serverSorts = ['order', 'id', 'state', 'weight', 'active', 'inactive', 'rate', 'traffic'] as const;

export type ServiceSort = (typeof serviceSorts)[number];
export type ServerSort = (typeof serverSorts)[number];

/** Rows of a list that a page has. */
export const pageSize = 100;
const longestFilter = 100;
const largestFrom = 10_000_000;

export interface ListPart<Sort> {
  readonly sort: Sort;
  readonly descending: boolean;
  /** In small letters. */
  readonly filter: string;
  readonly from: number;
}

export type Parameters =
  | { readonly page: 'overview'; readonly list: ListPart<ServiceSort> }
  | { readonly page: 'service'; readonly id: string; readonly list: ListPart<ServerSort> };

/** Its message names the parameter. */
export class ParameterError extends Error {}

export function readParameters(query: URLSearchParams): Parameters {
  const known = ['service', 'sort', 'filter', 'from'];
  const unknown = [...query.keys()].find((name) => !known.includes(name));
  if (unknown !== undefined) throw new ParameterError(`there is no parameter ${JSON.stringify(unknown)}`);
  const service = query.get('service');
  if (service === null) return { page: 'overview', list: readList(query, serviceSorts) };
  return { page: 'service', id: readService(service), list: readList(query, serverSorts) };
}

function readService(text: string): string {
  try {
    return serviceId(readServiceKey(parseServiceKey(text), 'service'));
  } catch (error) {
    throw new ParameterError(`service: ${error instanceof KeyError ? error.message : (error as Error).message}`);
  }
}

function readList<Sort extends string>(query: URLSearchParams, sorts: readonly Sort[]): ListPart<Sort> {
  const given = query.get('sort') ?? 'order';
  const descending = given.startsWith('-');
  const sort = sorts.find((name) => name === given.replace(/^-/, ''));
  if (sort === undefined)
    throw new ParameterError(`sort: one of ${sorts.join(', ')} is needed, with - in front for the other way round`);
  const filter = (query.get('filter') ?? '').trim().toLowerCase();
  if (filter.length > longestFilter) throw new ParameterError(`filter: at most ${longestFilter} characters`);
  const from = query.get('from') ?? '0';
  if (!/^\d{1,8}$/.test(from) || Number(from) > largestFrom)
    throw new ParameterError(`from: a number from 0 to ${largestFrom} is needed`);
  return { sort, descending, filter, from: Number(from) };
}

/** The part of a list that is shown; what was there before keeps its order among equals. */
export function partOf<T, Sort>(
  things: readonly T[],
  { sort, descending, from }: ListPart<Sort>,
  valueIn: (thing: T, sort: Sort) => string | number,
): readonly T[] {
  const isAsGiven = sort === 'order';
  if (isAsGiven) return (descending ? things.toReversed() : things).slice(from, from + pageSize);
  const direction = descending ? -1 : 1;
  return things
    .map((thing) => ({ thing, value: valueIn(thing, sort) }))
    .toSorted((left, right) => direction * compared(left.value, right.value))
    .slice(from, from + pageSize)
    .map(({ thing }) => thing);
}

function compared(left: string | number, right: string | number): number {
  if (typeof left === 'number' && typeof right === 'number') return left - right;
  return left < right ? -1 : left > right ? 1 : 0;
}

/** Text that is in order of the numbers in it: "10.0.0.9" before "10.0.0.11". */
export function naturalOrder(text: string): string {
  return text.replace(/\d+/g, (digits) => digits.padStart(5, '0'));
}
