// SPDX-License-Identifier: Apache-2.0
// virtual_server_group: every address of it, also of its ranges and networks, and every mark is a service of its own.
import { isIP } from 'node:net';
import { largestMark, largestPort, parseDecimal } from '../../config/keys.js';
import { hostPart, parseAddress, parsePrefix, widthOf } from '../../config/prefix.js';
import { usableAddress } from '../address.js';
import { addressesBetween } from '../range.js';
import type { Place, Warn } from '../source.js';
import type { Statement } from './blocks.js';

export type Member = { readonly place: Place } & (
  | { readonly address: string; readonly port: number }
  | { readonly fwmark: number; readonly isIpv6: boolean | undefined }
);

export function readGroup(body: readonly Statement[], warn: Warn): readonly Member[] {
  return body.flatMap((statement) => membersOf(statement, warn));
}

function membersOf(statement: Statement, warn: Warn): readonly Member[] {
  const { keyword, place } = statement;
  const words = statement.words.map(({ text }) => text);
  if (keyword === 'fwmark') {
    const member = markOf(words, place);
    if (member === undefined) warn(place, `"${words[0] ?? ''}" is not a mark; skipped`);
    return member === undefined ? [] : [member];
  }
  const port = words[0] === undefined ? 0 : parseDecimal(words[0], 0, largestPort);
  if (port === undefined) {
    warn(place, `"${words[0]}" is not a port; skipped`);
    return [];
  }
  const addresses = addressesOf(keyword);
  if (typeof addresses === 'string') {
    warn(place, `${keyword}: ${addresses}; skipped`);
    return [];
  }
  return addresses.flatMap((text) => {
    const usable = usableAddress(text);
    if ('address' in usable) return [{ place, address: usable.address, port }];
    warn(place, `${usable.reason}; skipped`);
    return [];
  });
}

/** "N [inet | inet6]". */
export function markOf(words: readonly string[], place: Place): Member | undefined {
  const fwmark = parseDecimal(words[0] ?? '', 1, largestMark);
  if (fwmark === undefined) return undefined;
  return { place, fwmark, isIpv6: words[1] === undefined ? undefined : words[1] === 'inet6' };
}

/** "192.0.2.1", "192.0.2.1-9", "192.0.2.1-192.0.2.9", "192.0.2.0/28"; or why it is none of them. */
function addressesOf(text: string): readonly string[] | string {
  if (isIP(text) !== 0) return [text];
  if (text.includes('/')) return networkAddresses(text);
  const dash = text.indexOf('-');
  const first = parseAddress(text.slice(0, Math.max(dash, 0)));
  if (first === undefined) return 'not an address, a range or a network';
  const end = text.slice(dash + 1);
  const last = parseAddress(end) ?? parseAddress(withLastPart(text.slice(0, dash), end));
  if (last === undefined || last.family !== first.family) return `"${end}" does not end a range that begins so`;
  return addressesBetween(first.value, last.value, first.family);
}

/** The end of a range is its last byte, or the last 16 bits of an IPv6 address in hexadecimal. */
function withLastPart(first: string, last: string): string {
  return first.replace(/[^.:]*$/, last);
}

function networkAddresses(text: string): readonly string[] | string {
  const prefix = parsePrefix(text);
  if (prefix === undefined) return 'not a network';
  const first = prefix.value - hostPart(prefix);
  return addressesBetween(first, first + (1n << BigInt(widthOf(prefix.family) - prefix.length)) - 1n, prefix.family);
}
