// SPDX-License-Identifier: Apache-2.0
// Prefixes as text: read strictly, written in one form, so that equal prefixes are equal strings.
import { contains, hostPart, type Prefix, parsePrefix, widthOf } from '../config/prefix.js';
import { FulcrumError, quote } from '../grpc/errors.js';
import { type Address, type Family, parseAddress } from './address.js';

export interface NamedPrefix {
  readonly family: Family;
  /** The one way to write it, with its length: "10.0.0.0/8". */
  readonly text: string;
  readonly prefix: Prefix;
}

/** A prefix as text; an address alone is one of full length. Undefined if it is neither. */
export function parseNamedPrefix(text: string): NamedPrefix | undefined {
  const [addressText = '', length, ...rest] = text.split('/');
  const address = parseAddress(addressText);
  if (address === undefined || rest.length > 0) return undefined;
  const prefix = parsePrefix(`${address.text}/${length ?? widthOf(address.family)}`);
  return prefix && { family: address.family, text: `${address.text}/${prefix.length}`, prefix };
}

/** A prefix whose bits behind its length are 0. */
export function readPrefix(text: string, field: string): NamedPrefix {
  const named = parseNamedPrefix(text);
  if (named === undefined) throw wrong(field, `${quote(text)} is not an address or a prefix such as "10.0.0.0/8"`);
  if (hostPart(named.prefix) !== 0n) throw wrong(field, `${named.text} has bits set behind its prefix length`);
  return named;
}

function wrong(field: string, message: string): FulcrumError {
  return new FulcrumError({ reason: 'REASON_INVALID', field, message });
}

/** The highest address of a prefix. */
export function lastOf({ family, value, length }: Prefix): Address {
  const width = widthOf(family);
  const last = value | ((1n << BigInt(width - length)) - 1n);
  if (family === 4) return { family, text: groups(last, 4, 8n).join('.') };
  const text = groups(last, 8, 16n)
    .map((group) => group.toString(16))
    .join(':');
  return { family, text: parseAddress(text)?.text ?? text };
}

/** A number cut into groups of bits, the highest first. */
function groups(value: bigint, count: number, bits: bigint): bigint[] {
  return Array.from({ length: count }, (_, index) => (value >> (bits * BigInt(count - 1 - index))) % (1n << bits));
}

/** Whether a VIP as it was declared is a range. */
export function isRange(vipAddress: string): boolean {
  return vipAddress.includes('/');
}

/** The narrowest of these ranges that has an address in it. */
export function rangeOf(address: string, ranges: readonly NamedPrefix[]): NamedPrefix | undefined {
  const inner = parseNamedPrefix(address)?.prefix;
  if (inner === undefined) return undefined;
  return ranges
    .filter(({ prefix }) => contains(prefix, inner))
    .reduce<NamedPrefix | undefined>(
      (best, range) => (best === undefined || range.prefix.length > best.prefix.length ? range : best),
      undefined,
    );
}
