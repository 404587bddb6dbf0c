// SPDX-License-Identifier: Apache-2.0
// Addresses and checksums, written apart from the product's own: what judges the engine must not share its mistakes.
import { isIPv4, isIPv6, SocketAddress } from 'node:net';

export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/** "192.0.2.1:80", "[2001:db8::1]:80", or an address alone (port 0). */
export function parseEndpoint(text: string): Endpoint {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(text) ?? [];
  const address = isIPv6(text) ? text : (bracketed ?? plain ?? '');
  if (!isIPv4(address) && !isIPv6(address)) throw new Error(`"${text}" is not an address with or without a port`);
  return { address, port: isIPv6(text) ? 0 : Number(port ?? 0) };
}

export function formatEndpoint({ address, port }: Endpoint): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** 4 or 16 bytes. */
export function addressBytes(address: string): Buffer {
  if (!address.includes(':')) return Buffer.from(address.split('.').map(Number));
  const [head = '', tail] = address.split('::');
  const words = (text: string): string[] => text.split(':').filter((word) => word !== '');
  const front = words(head);
  const back = words(tail ?? '');
  const zeros = Array<string>(8 - front.length - back.length).fill('0');
  const bytes = Buffer.alloc(16);
  [...front, ...zeros, ...back].forEach((word, index) => {
    bytes.writeUInt16BE(Number.parseInt(word, 16), 2 * index);
  });
  return bytes;
}

/** Text of 4 or 16 bytes; IPv6 as RFC 5952 writes it. */
export function addressText(bytes: Buffer): string {
  if (bytes.length === 4) return [...bytes].join('.');
  const words = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(2 * index).toString(16));
  return new SocketAddress({ address: words.join(':'), family: 'ipv6' }).address;
}

/** The address that is `by` further on. */
export function addToAddress(address: string, by: number): string {
  const bytes = addressBytes(address);
  const at = bytes.length - 4;
  bytes.writeUInt32BE((bytes.readUInt32BE(at) + by) >>> 0, at);
  return addressText(bytes);
}

/** The one's complement sum of RFC 1071, complemented. */
export function internetChecksum(...parts: readonly Buffer[]): number {
  const bytes = Buffer.concat(parts);
  let sum = 0;
  for (let at = 0; at < bytes.length; at++) sum += at % 2 === 0 ? (bytes[at] ?? 0) << 8 : (bytes[at] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return ~sum & 0xffff;
}

/** What a transport checksum covers of the IP header. Parts must be of even length but for the last. */
export function pseudoHeader(source: Buffer, destination: Buffer, protocol: number, length: number): Buffer {
  const rest = Buffer.alloc(source.length === 4 ? 4 : 8);
  rest.writeUInt16BE(length, 2);
  rest[source.length === 4 ? 1 : 7] = protocol;
  return Buffer.concat([source, destination, rest]);
}

/** CRC32c as SCTP has it (RFC 9260 appendix A), in the byte order of the wire. */
export function crc32c(bytes: Buffer): Buffer {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  const wire = Buffer.alloc(4);
  wire.writeUInt32LE(~crc >>> 0);
  return wire;
}
