// SPDX-License-Identifier: Apache-2.0
// IP addresses as text: read strictly, written in one form, so that equal addresses are equal strings.
import { isIPv6, SocketAddress } from 'node:net';

export type Family = 4 | 6;

export interface Address {
  readonly family: Family;
  /** The one way to write it: dotted quad, or RFC 5952. */
  readonly text: string;
}

const dottedQuad = /^(0|[1-9]\d?|1\d\d|2[0-4]\d|25[0-5])(?:\.(?:0|[1-9]\d?|1\d\d|2[0-4]\d|25[0-5])){3}$/;

/** Undefined if the text is not an IPv4 or IPv6 address. Zones ("%eth0") are not taken. */
export function parseAddress(text: string): Address | undefined {
  if (dottedQuad.test(text)) return { family: 4, text };
  if (!isIPv6(text) || text.includes('%')) return undefined;
  return { family: 6, text: new SocketAddress({ address: text, family: 'ipv6' }).address };
}

/** Family of an address that parseAddress() wrote. */
export function familyOf(text: string): Family {
  return text.includes(':') ? 6 : 4;
}

/** Why packets cannot be sent to an address as such; undefined if they can. Loopback is fine, as in LVS. */
export function notUnicast(address: Address): string | undefined {
  return address.family === 4 ? notUnicastIpv4(address.text) : notUnicastIpv6(address.text);
}

function notUnicastIpv4(text: string): string | undefined {
  const first = Number.parseInt(text, 10);
  if (first === 0) return 'names no host';
  if (first >= 224 && first < 240) return 'is a multicast address';
  if (text === '255.255.255.255') return 'is the broadcast address';
  // 240/4, RFC 1112.
  return first >= 240 ? 'is a reserved address' : undefined;
}

function notUnicastIpv6(text: string): string | undefined {
  if (text === '::') return 'names no host';
  return text.startsWith('ff') && text.indexOf(':') === 4 ? 'is a multicast address' : undefined;
}

/** "203.0.113.10:80", "[2001:db8::10]:80". */
export function endpoint(address: string, port: number): string {
  return familyOf(address) === 6 ? `[${address}]:${port}` : `${address}:${port}`;
}
