// SPDX-License-Identifier: Apache-2.0
// Addresses and prefixes of both families as numbers: what a configuration file's checks compare.

import { isIPv4, isIPv6 } from 'node:net';

export type Family = 4 | 6;

export interface Address {
  readonly family: Family;
  readonly value: bigint;
}

export interface Prefix extends Address {
  readonly length: number;
}

export const widthOf = (family: Family): number => (family === 4 ? 32 : 128);

export function parseAddress(text: string): Address | undefined {
  if (isIPv4(text)) return { family: 4, value: ipv4Value(text) };
  if (isIPv6(text) && !text.includes('%')) return { family: 6, value: ipv6Value(text) };
  return undefined;
}

/** "10.0.0.0/8", "2001:db8::/32"; without a length undefined. */
export function parsePrefix(text: string): Prefix | undefined {
  const slash = text.indexOf('/');
  const address = slash < 0 ? undefined : parseAddress(text.slice(0, slash));
  const digits = text.slice(slash + 1);
  if (address === undefined || !/^\d{1,3}$/.test(digits) || Number(digits) > widthOf(address.family)) return undefined;
  return { ...address, length: Number(digits) };
}

const hostMask = (prefix: Prefix): bigint => (1n << BigInt(widthOf(prefix.family) - prefix.length)) - 1n;

/** The bits below the prefix length. */
export const hostPart = (prefix: Prefix): bigint => prefix.value & hostMask(prefix);

export const contains = (prefix: Prefix, address: Address): boolean =>
  prefix.family === address.family && (prefix.value | hostMask(prefix)) === (address.value | hostMask(prefix));

/** The network's own address or, IPv4, its broadcast address: nothing that a host may have. */
export function isReserved(prefix: Prefix): boolean {
  if (prefix.length >= widthOf(prefix.family) - 1) return false;
  return hostPart(prefix) === 0n || (prefix.family === 4 && hostPart(prefix) === hostMask(prefix));
}

/** Usable as the address of one host somewhere: not 0.0.0.0, multicast, loopback or the IPv4 broadcast address. */
export function isUnicast({ family, value }: Address): boolean {
  if (value === 0n) return false;
  if (family === 6) return value >> 120n !== 0xffn && value !== 1n;
  const first = value >> 24n;
  return first !== 0n && first !== 127n && first < 224n;
}

const ipv4Value = (text: string): bigint => text.split('.').reduce((value, part) => (value << 8n) | BigInt(part), 0n);

function ipv6Value(text: string): bigint {
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  const tail = dotted ? ipv4Value(dotted[2] ?? '') : undefined;
  const hexadecimal =
    tail === undefined ? text : `${dotted?.[1]}${(tail >> 16n).toString(16)}:${(tail & 0xffffn).toString(16)}`;
  const [head = '', rest] = hexadecimal.split('::');
  const groups = (part: string): readonly string[] => (part === '' ? [] : part.split(':'));
  const before = groups(head);
  const after = groups(rest ?? '');
  const zeros = Array<string>(8 - before.length - after.length).fill('0');
  return [...before, ...zeros, ...after].reduce((value, group) => (value << 16n) | BigInt(`0x${group}`), 0n);
}
