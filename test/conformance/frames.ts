// SPDX-License-Identifier: Apache-2.0
// What a packet that left the director is: by which method, to which server, and one line that a person can read.
import { addressText, internetChecksum, pseudoHeader } from './bytes.js';
import { isServerNet, routerMac, serverOfMac } from './world_plan.js';

export type Device = 'cl' | 'rs';

/** A frame that left a port, without its Ethernet header. */
export interface Frame {
  readonly dev: Device;
  readonly dmac: string;
  readonly etherType: number;
  readonly packet: Buffer;
}

/** An item of `out`, as the recordings have it. */
export interface OutItem {
  readonly dev: Device;
  readonly via: string;
  readonly to?: string;
  readonly port?: number;
  readonly sum: string;
  readonly hex: string;
  readonly dmac: string;
  readonly masked?: readonly string[];
}

export function splitFrame(dev: Device, frame: Buffer): Frame {
  const dmac = frame
    .subarray(0, 6)
    .toString('hex')
    .replace(/..(?=.)/g, '$&:');
  const etherType = frame.readUInt16BE(12);
  const packet = frame.subarray(14);
  return { dev, dmac, etherType, packet: packet.subarray(0, Math.min(packet.length, ipLength(etherType, packet))) };
}

/** Short frames may be padded: the IP header knows the true length. */
function ipLength(etherType: number, packet: Buffer): number {
  if (etherType === 0x0800 && packet.length >= 20) return packet.readUInt16BE(2);
  if (etherType === 0x86dd && packet.length >= 40) return 40 + packet.readUInt16BE(4);
  return packet.length;
}

/** `masked` names the fields that are blanked first. */
export function describeFrame(frame: Frame, guePorts: readonly number[], masked: readonly string[] = []): OutItem {
  const { dev, dmac } = frame;
  if (frame.etherType !== 0x0800 && frame.etherType !== 0x86dd) {
    const sum = `not IP: ethertype ${frame.etherType.toString(16).padStart(4, '0')}`;
    return { dev, via: 'other', sum, hex: frame.packet.toString('hex'), dmac };
  }
  const packet = Buffer.from(frame.packet);
  for (const field of masked) blank(packet, field);
  const ip = readIp(packet);
  const item = { dev, ...wayOf(frame, ip, guePorts), sum: summary(packet), hex: packet.toString('hex'), dmac };
  return masked.length === 0 ? item : { ...item, masked };
}

interface Ip {
  readonly isIpv6: boolean;
  readonly source: Buffer;
  readonly destination: Buffer;
  readonly protocol: number;
  readonly headerBytes: number;
  /** Of the fragment, in bytes. */
  readonly offset: number;
  readonly more: boolean;
  readonly body: Buffer;
}

function readIp(packet: Buffer): Ip {
  return (packet[0] ?? 0) >> 4 === 6 ? readIpv6(packet) : readIpv4(packet);
}

function readIpv4(packet: Buffer): Ip {
  const headerBytes = 4 * ((packet[0] ?? 0) & 15);
  const fragment = packet.readUInt16BE(6);
  return {
    isIpv6: false,
    source: packet.subarray(12, 16),
    destination: packet.subarray(16, 20),
    protocol: packet[9] ?? 0,
    headerBytes,
    offset: (fragment & 0x1fff) * 8,
    more: (fragment & 0x2000) !== 0,
    body: packet.subarray(headerBytes),
  };
}

function readIpv6(packet: Buffer): Ip {
  const isFragment = packet[6] === 44;
  const headerBytes = isFragment ? 48 : 40;
  const word = isFragment ? packet.readUInt16BE(42) : 0;
  return {
    isIpv6: true,
    source: packet.subarray(8, 24),
    destination: packet.subarray(24, 40),
    protocol: (isFragment ? packet[40] : packet[6]) ?? 0,
    headerBytes,
    offset: word & 0xfff8,
    more: (word & 1) !== 0,
    body: packet.subarray(headerBytes),
  };
}

const greChecksum = 0x8000;

/** Where the header of the packet begins that travels in a tunnel; undefined if this is none, or a later piece of it. */
export function innerHeader(packet: Buffer): number | undefined {
  const { protocol, headerBytes, offset } = readIp(packet);
  if (offset !== 0 || packet.length < headerBytes + 8) return undefined;
  const gue = headerBytes + 8;
  if (protocol === 4 || protocol === 41) return headerBytes;
  if (protocol === 47 && [0x0800, 0x86dd].includes(packet.readUInt16BE(headerBytes + 2)))
    return headerBytes + ((packet.readUInt16BE(headerBytes) & greChecksum) !== 0 ? 8 : 4);
  // GUE: the length of its options, in words, are five bits of its first byte.
  if (protocol === 17 && packet.length > gue + 4 && [4, 41].includes(packet[gue + 1] ?? 0))
    return gue + 4 + 4 * ((packet[gue] ?? 0) & 0x1f);
  return undefined;
}

/** The same, of a piece of an IPv6 datagram. */
export function innerFragment(packet: Buffer): number | undefined {
  const at = innerHeader(packet);
  return at !== undefined && packet.length >= at + 48 && (packet[at] ?? 0) >> 4 === 6 && packet[at + 6] === 44
    ? at
    : undefined;
}

function blankIpv4Id(packet: Buffer, at: number, headerBytes: number): void {
  packet.writeUInt16BE(0, at + 4);
  packet.writeUInt16BE(0, at + 10);
  packet.writeUInt16BE(internetChecksum(packet.subarray(at, at + headerBytes)), at + 10);
}

/** Blanks a field that the recordings name in `masked`. */
function blank(packet: Buffer, field: string): void {
  const { isIpv6, headerBytes, protocol } = readIp(packet);
  if (field === 'ip.id' && !isIpv6) {
    blankIpv4Id(packet, 0, headerBytes);
  } else if (field === 'inner.ip.id') {
    const inner = innerHeader(packet);
    if (inner !== undefined && (packet[inner] ?? 0) >> 4 === 4) blankIpv4Id(packet, inner, 20);
  } else if (field === 'gue.sport') {
    packet.writeUInt16BE(0, headerBytes);
  } else if (field === 'gue.csum') {
    if (packet.readUInt16BE(headerBytes + 6) !== 0) packet.writeUInt16BE(0xffff, headerBytes + 6);
  } else if (field === 'frag.id' && isIpv6 && packet[6] === 44) {
    packet.writeUInt32BE(0, 44);
  } else if (field === 'inner.frag.id') {
    const inner = innerFragment(packet) ?? 0;
    if (inner > 0) packet.writeUInt32BE(0, inner + 44);
  } else if (field === 'inner.flow') {
    const inner = innerHeader(packet);
    if (inner !== undefined) packet.writeUInt32BE((packet.readUInt32BE(inner) & 0xfff00000) >>> 0, inner);
  } else if (field === 'gre.csum') {
    if (protocol === 47 && (packet.readUInt16BE(headerBytes) & greChecksum) !== 0)
      packet.writeUInt16BE(0xffff, headerBytes + 4);
  } else if (isIpv6 && field.includes('flow')) {
    packet.writeUInt32BE((packet.readUInt32BE(0) & 0xfff00000) >>> 0, 0);
  } else {
    throw new Error(`the field "${field}" cannot be blanked`);
  }
}

function wayOf(frame: Frame, ip: Ip, guePorts: readonly number[]): Pick<OutItem, 'via' | 'to' | 'port'> {
  if (frame.dev === 'cl') return { via: 'client' };
  const to = addressText(ip.destination);
  const tunnels: Readonly<Record<number, string>> = { 4: 'ipip', 41: 'ipip6', 47: 'gre' };
  const tunnel = tunnels[ip.protocol];
  if (tunnel !== undefined) return { via: tunnel, to };
  const port = destinationPort(ip);
  if (ip.protocol === 17 && port !== undefined && guePorts.includes(port)) return { via: 'gue', to };
  if (isServerNet(to)) return port === undefined ? { via: 'nat', to } : { via: 'nat', to, port };
  const server = frame.dmac === routerMac ? undefined : serverOfMac(frame.dmac, ip.isIpv6);
  return server === undefined ? { via: 'other' } : { via: 'dr', to: server };
}

function destinationPort(ip: Ip): number | undefined {
  const hasPorts = [6, 17, 132].includes(ip.protocol) && ip.offset === 0 && ip.body.length >= 4;
  return hasPorts ? ip.body.readUInt16BE(2) : undefined;
}

/** "198.51.100.1>192.0.2.1 ttl=63 DF len=40 TCP 1000>80 [S]". */
export function summary(packet: Buffer): string {
  return [...ipWords(packet), ...transportWords(readIp(packet), true)].join(' ');
}

function ipWords(packet: Buffer): readonly string[] {
  const ip = readIp(packet);
  const isFragment = ip.offset !== 0 || ip.more;
  return [
    `${addressText(ip.source)}>${addressText(ip.destination)}`,
    ip.isIpv6 ? `hl=${packet[7]}` : `ttl=${packet[8]}`,
    ...(!ip.isIpv6 && (packet.readUInt16BE(6) & 0x4000) !== 0 ? ['DF'] : []),
    ...(isFragment ? [`frag=${ip.offset}${ip.more ? '+' : ''}`] : []),
    `len=${packet.length}`,
  ];
}

function quote(packet: Buffer): string {
  if (packet.length < ((packet[0] ?? 0) >> 4 === 6 ? 40 : 20)) return '';
  return `{${[...ipWords(packet), ...transportWords(readIp(packet), false)].join(' ')}}`;
}

function transportWords(ip: Ip, isWhole: boolean): readonly string[] {
  if (ip.offset !== 0) return [];
  const { body, protocol } = ip;
  const checkable = isWhole && !ip.more;
  switch (protocol) {
    case 1:
    case 58:
      return body.length < 8 ? [] : icmpWords(ip);
    case 4:
    case 41:
      return [`IPIP${quote(body)}`];
    case 47:
      return [`GRE${quote(body.subarray(body[0] === 0 ? 4 : 8))}`];
    case 6:
      return [...portWords('TCP', body), ...tcpFlags(body), ...(checkable ? badChecksum(ip, 16) : [])];
    case 17:
      return [...portWords('UDP', body), ...(checkable && hasUdpChecksum(body) ? badChecksum(ip, 6) : [])];
    case 132:
      return portWords('SCTP', body);
    default:
      return [`protocol ${protocol}`];
  }
}

function icmpWords({ body, isIpv6 }: Ip): readonly string[] {
  const [type = 0, code = 0] = body;
  const isError = isIpv6 ? type < 128 : [3, 4, 5, 11, 12].includes(type);
  const hasMtu = isIpv6 ? type === 2 : type === 3 && code === 4;
  return [
    `${isIpv6 ? 'ICMP6' : 'ICMP'} ${type}/${code}`,
    ...(hasMtu ? [`mtu=${isIpv6 ? body.readUInt32BE(4) : body.readUInt16BE(6)}`] : []),
    ...(isError ? [quote(body.subarray(8))] : []),
  ];
}

function portWords(name: string, body: Buffer): readonly string[] {
  return body.length < 4 ? [name] : [`${name} ${body.readUInt16BE(0)}>${body.readUInt16BE(2)}`];
}

function tcpFlags(body: Buffer): readonly string[] {
  if (body.length < 14) return [];
  const bits = body[13] ?? 0;
  return [`[${[...'SFRPAUEC'].filter((letter) => bits & (1 << 'FSRPAUEC'.indexOf(letter))).join('')}]`];
}

function hasUdpChecksum(body: Buffer): boolean {
  return body.length >= 8 && body.readUInt16BE(6) !== 0;
}

function badChecksum(ip: Ip, at: number): readonly string[] {
  if (ip.body.length < at + 2) return [];
  const pseudo = pseudoHeader(ip.source, ip.destination, ip.protocol, ip.body.length);
  return internetChecksum(pseudo, ip.body) === 0 ? [] : ['BAD-L4CSUM'];
}
