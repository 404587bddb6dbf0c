// SPDX-License-Identifier: Apache-2.0
// Text forms of the keys that operators type: "tcp:203.0.113.10:80", "udp:[2001:db8::1]:53", "fwmark:7",
// "10.0.0.1:80". Parsers throw KeyError with a sentence for the operator.
import { isIP, isIPv4, isIPv6 } from 'node:net';
import type { Protocol__Output } from '../generated/fulcrum/v1/Protocol.js';
import type { ServerKey__Output } from '../generated/fulcrum/v1/ServerKey.js';
import type { ServiceKey, ServiceKey__Output } from '../generated/fulcrum/v1/ServiceKey.js';

export class KeyError extends Error {
  override readonly name = 'KeyError';
}

const protocols: Readonly<Record<string, Protocol__Output>> = {
  tcp: 'PROTOCOL_TCP',
  udp: 'PROTOCOL_UDP',
  sctp: 'PROTOCOL_SCTP',
};

export const largestPort = 65535;
export const largestMark = 4294967295;

/** An address and, if the text has one, a port: "10.0.0.1", "10.0.0.1:80", "2001:db8::1", "[2001:db8::1]:80". */
export interface Endpoint {
  readonly address: string;
  readonly port: number | undefined;
}

/** Decimal digits only, within minimum … maximum; undefined for everything else. */
export function parseDecimal(text: string, minimum: number, maximum: number): number | undefined {
  if (!/^\d{1,15}$/.test(text)) return undefined;
  const value = Number(text);
  return value >= minimum && value <= maximum ? value : undefined;
}

function parsePort(text: string): number {
  const port = parseDecimal(text, 0, largestPort);
  if (port === undefined) throw new KeyError(`"${text}" is not a port: a number from 0 to ${largestPort} is needed`);
  return port;
}

function checkAddress(address: string): string {
  if (isIP(address) === 0) throw new KeyError(`"${address}" is not an IPv4 or IPv6 address`);
  return address;
}

export function parseEndpoint(text: string): Endpoint {
  if (isIPv6(text)) return { address: text, port: undefined };
  const bracketed = /^\[(.*)\](?::(.*))?$/.exec(text);
  if (bracketed) {
    const [, address = '', port] = bracketed;
    if (!isIPv6(address)) throw new KeyError(`"${address}" in brackets is not an IPv6 address`);
    return { address, port: port === undefined ? undefined : parsePort(port) };
  }
  const colon = text.lastIndexOf(':');
  if (colon < 0) return { address: checkAddress(text), port: undefined };
  const address = text.slice(0, colon);
  if (address.includes(':')) throw new KeyError(`"${text}": an IPv6 address with a port is written [address]:port`);
  return { address: checkAddress(address), port: parsePort(text.slice(colon + 1)) };
}

function fwmarkKey(text: string): ServiceKey__Output {
  const ipv6 = text.endsWith(':ipv6');
  const digits = ipv6 ? text.slice(0, -':ipv6'.length) : text;
  const fwmark = parseDecimal(digits, 1, largestMark);
  if (fwmark === undefined)
    throw new KeyError(`"${digits}" is not a mark: a number from 1 to ${largestMark} is needed`);
  const family = ipv6 ? 'ADDRESS_FAMILY_IPV6' : 'ADDRESS_FAMILY_IPV4';
  return { protocol: 'PROTOCOL_UNSPECIFIED', address: '', port: 0, fwmark, family };
}

/** "tcp:203.0.113.10:80" (or with a blank after the protocol), "fwmark:7", "fwmark:7:ipv6". */
export function parseServiceKey(text: string): ServiceKey__Output {
  const [, kind = '', rest = ''] = /^([a-z]+)[:\s]\s*(.*)$/i.exec(text.trim()) ?? [];
  const name = kind.toLowerCase();
  if (name === 'fwmark' || name === 'fwm') return fwmarkKey(rest);
  const protocol = protocols[name];
  if (protocol === undefined) {
    throw new KeyError(
      `"${text}" is not a virtual service: write tcp:ADDRESS:PORT, udp:ADDRESS:PORT, sctp:ADDRESS:PORT or fwmark:MARK`,
    );
  }
  const { address, port } = parseEndpoint(rest);
  if (port === undefined) throw new KeyError(`"${text}" has no port: write ${name}:${bracket(address)}:PORT`);
  return { protocol, address, port, fwmark: 0, family: 'ADDRESS_FAMILY_UNSPECIFIED' };
}

/** "10.0.0.1:80". Without a port it is the service's, as ipvsadm has it. */
export function parseServerKey(text: string, service: ServiceKey): ServerKey__Output {
  const { address, port } = parseEndpoint(text);
  return { address, port: port ?? service.port ?? 0 };
}

/** IPv6 addresses in brackets, so that a port can follow. */
export function bracket(address: string): string {
  return isIPv4(address) || !address.includes(':') ? address : `[${address}]`;
}

export function formatEndpoint(address: string, port: number): string {
  return `${bracket(address)}:${port}`;
}

/** "tcp", "udp", "sctp"; "ip" for what has no protocol of its own. */
export function protocolName(protocol: Protocol__Output): string {
  return Object.keys(protocols).find((name) => protocols[name] === protocol) ?? 'ip';
}

/** What parseServiceKey reads. */
export function formatServiceKey(key: ServiceKey__Output): string {
  if (key.fwmark !== 0)
    return key.family === 'ADDRESS_FAMILY_IPV6' ? `fwmark:${key.fwmark}:ipv6` : `fwmark:${key.fwmark}`;
  return `${protocolName(key.protocol)}:${formatEndpoint(key.address, key.port)}`;
}

export function formatServerKey(key: ServerKey__Output): string {
  return formatEndpoint(key.address, key.port);
}
