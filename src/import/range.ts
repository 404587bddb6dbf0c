// SPDX-License-Identifier: Apache-2.0
// Ranges of addresses, written out.
import { SocketAddress } from 'node:net';
import type { Family } from '../config/prefix.js';

/** A network may be written by mistake; more than this are not meant. */
const mostAddresses = 65_536;

/** Every address, first and last included; or why there is no such range. */
export function addressesBetween(first: bigint, last: bigint, family: Family): readonly string[] | string {
  if (last < first) return 'ends before it begins';
  if (last - first >= BigInt(mostAddresses)) return `more than ${mostAddresses} addresses`;
  return Array.from({ length: Number(last - first) + 1 }, (_, index) => addressText(first + BigInt(index), family));
}

function addressText(value: bigint, family: Family): string {
  if (family === 4) return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join('.');
  const groups = Array.from({ length: 8 }, (_, index) => ((value >> BigInt(112 - 16 * index)) & 0xffffn).toString(16));
  return new SocketAddress({ address: groups.join(':'), family: 'ipv6' }).address;
}
