// SPDX-License-Identifier: Apache-2.0
// The layer-3 packets of a scenario's `pkt` and `icmp` events, byte by byte as the recordings have them.
import { addressBytes, crc32c, internetChecksum, parseEndpoint, pseudoHeader } from './bytes.js';

export interface PacketSpec {
  readonly src: string;
  readonly dst: string;
  readonly proto?: 'tcp' | 'udp' | 'sctp' | 'icmp';
  readonly flags?: string;
  readonly seq?: number;
  readonly ack?: number;
  readonly win?: number;
  readonly urp?: number;
  readonly tcp_opts?: string;
  readonly payload?: string;
  readonly payload_hex?: string;
  readonly payload_len?: number;
  readonly ttl?: number;
  readonly tos?: number;
  readonly id?: number;
  readonly df?: boolean;
  readonly ip_opts?: string;
  readonly bad_csum?: boolean;
  readonly zero_csum?: boolean;
  readonly l4_csum?: string;
  readonly frag_size?: number;
  readonly frag_reverse?: boolean;
  readonly vtag?: number;
  readonly chunks_hex?: string;
}

export interface IcmpSpec {
  readonly src: string;
  readonly dst: string;
  readonly type: number;
  readonly code: number;
  readonly mtu?: number;
  readonly inner?: PacketSpec;
  readonly inner_hex?: string;
  readonly inner_len?: number;
  readonly bad_csum?: boolean;
  readonly ttl?: number;
  readonly tos?: number;
  readonly id?: number;
}

export const packetFields: readonly (keyof PacketSpec)[] = [
  ...(['src', 'dst', 'proto', 'flags', 'seq', 'ack', 'win', 'urp', 'tcp_opts', 'payload', 'payload_hex'] as const),
  ...(['payload_len', 'ttl', 'tos', 'id', 'df', 'ip_opts', 'bad_csum', 'zero_csum', 'l4_csum', 'frag_size'] as const),
  ...(['frag_reverse', 'vtag', 'chunks_hex'] as const),
];

export const icmpFields: readonly (keyof IcmpSpec)[] = [
  ...([
    'src',
    'dst',
    'type',
    'code',
    'mtu',
    'inner',
    'inner_hex',
    'inner_len',
    'bad_csum',
    'ttl',
    'tos',
    'id',
  ] as const),
];

const protocolNumbers = { icmp: 1, tcp: 6, udp: 17, sctp: 132, icmp6: 58 } as const;
const flagLetters = 'FSRPAUEC';
const ipv6FragmentHeader = 44;
/** What a checksum that is to be wrong is mixed with. */
const damage = 0x5555;

const defaults = { ttl: 64, sequence: 1000, window: 8192, id: 0x1234, idOfErrors: 0x4321 } as const;

/** The packets of one `pkt` event: one, or its fragments in the order in which they are sent. */
export function buildPackets(spec: PacketSpec): readonly Buffer[] {
  const transport = buildTransport(spec);
  const header = {
    ...addressesOf(spec),
    protocol: protocolOf(spec),
    ttl: spec.ttl ?? defaults.ttl,
    tos: spec.tos ?? 0,
    id: spec.id ?? defaults.id,
    options: Buffer.from(spec.ip_opts ?? '', 'hex'),
  };
  if (spec.frag_size === undefined) return [buildIp({ ...header, dontFragment: spec.df ?? true }, transport)];
  const fragments = cut(header, transport, spec.frag_size);
  return spec.frag_reverse ? fragments.reverse() : fragments;
}

/** The packet of one `icmp` event. */
export function buildIcmpError(spec: IcmpSpec): Buffer {
  const { source, destination } = addressesOf(spec);
  const isSix = source.length === 16;
  const head = Buffer.alloc(8);
  head[0] = spec.type;
  head[1] = spec.code;
  if (spec.mtu !== undefined) head.writeUInt32BE(spec.mtu, 4);
  const message = Buffer.concat([head, quoted(spec)]);
  const protocol = isSix ? protocolNumbers.icmp6 : protocolNumbers.icmp;
  const covered = isSix ? pseudoHeader(source, destination, protocol, message.length) : Buffer.alloc(0);
  message.writeUInt16BE(internetChecksum(covered, message) ^ (spec.bad_csum ? damage : 0), 2);
  const { ttl = defaults.ttl, tos = 0, id = defaults.idOfErrors } = spec;
  return buildIp({ source, destination, protocol, ttl, tos, id, dontFragment: false }, message);
}

function quoted(spec: IcmpSpec): Buffer {
  const whole = spec.inner ? buildPackets(spec.inner)[0] : Buffer.from(spec.inner_hex ?? '', 'hex');
  if (whole === undefined || whole.length === 0) throw new Error('an icmp event needs inner or inner_hex');
  const headerBytes = (whole[0] ?? 0) >> 4 === 6 ? 40 : 4 * ((whole[0] ?? 0) & 15);
  return whole.subarray(0, spec.inner_len ?? headerBytes + 8);
}

function isIpv6({ src }: { readonly src: string }): boolean {
  return parseEndpoint(src).address.includes(':');
}

function addressesOf({ src, dst }: { readonly src: string; readonly dst: string }) {
  const source = addressBytes(parseEndpoint(src).address);
  const destination = addressBytes(parseEndpoint(dst).address);
  return { source, destination };
}

function protocolOf(spec: PacketSpec): number {
  const name = spec.proto ?? 'tcp';
  const number = protocolNumbers[name === 'icmp' && isIpv6(spec) ? 'icmp6' : name];
  if (number === undefined) throw new Error(`protocol "${name}" is not known`);
  return number;
}

function payloadOf(spec: PacketSpec): Buffer {
  if (spec.payload !== undefined) return Buffer.from(spec.payload);
  if (spec.payload_hex !== undefined) return Buffer.from(spec.payload_hex, 'hex');
  return Buffer.from(Array.from({ length: spec.payload_len ?? 0 }, (_, index) => (7 * index + 1) & 255));
}

function buildTransport(spec: PacketSpec): Buffer {
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(parseEndpoint(spec.src).port, 0);
  ports.writeUInt16BE(parseEndpoint(spec.dst).port, 2);
  switch (spec.proto ?? 'tcp') {
    case 'tcp':
      return withChecksum(spec, Buffer.concat([ports, tcpRest(spec), payloadOf(spec)]), 16);
    case 'udp':
      return udp(spec, ports);
    case 'sctp':
      return sctp(spec, ports);
    case 'icmp':
      return echoRequest(spec);
  }
}

function tcpRest(spec: PacketSpec): Buffer {
  const options = Buffer.from(spec.tcp_opts ?? '', 'hex');
  const rest = Buffer.alloc(16 + Math.ceil(options.length / 4) * 4);
  rest.writeUInt32BE(spec.seq ?? defaults.sequence, 0);
  rest.writeUInt32BE(spec.ack ?? 0, 4);
  rest[8] = ((rest.length + 4) / 4) << 4;
  rest[9] = [...(spec.flags ?? '')].reduce((bits, letter) => bits | (1 << flagIndex(letter)), 0);
  rest.writeUInt16BE(spec.win ?? defaults.window, 10);
  rest.writeUInt16BE(spec.urp ?? 0, 14);
  options.copy(rest, 16);
  return rest;
}

function flagIndex(letter: string): number {
  const index = flagLetters.indexOf(letter);
  if (index < 0) throw new Error(`TCP flag "${letter}" is not one of ${flagLetters}`);
  return index;
}

function udp(spec: PacketSpec, ports: Buffer): Buffer {
  const payload = payloadOf(spec);
  const rest = Buffer.alloc(4);
  rest.writeUInt16BE(8 + payload.length, 0);
  const datagram = withChecksum(spec, Buffer.concat([ports, rest, payload]), 6);
  // RFC 768: a computed zero is sent as all ones, since zero means none.
  const isComputed = spec.l4_csum === undefined && !spec.zero_csum;
  if (isComputed && datagram.readUInt16BE(6) === 0) datagram.writeUInt16BE(0xffff, 6);
  return datagram;
}

function sctp(spec: PacketSpec, ports: Buffer): Buffer {
  const rest = Buffer.alloc(8);
  rest.writeUInt32BE(spec.vtag ?? 0, 0);
  const packet = Buffer.concat([ports, rest, Buffer.from(spec.chunks_hex ?? '', 'hex')]);
  const sum = crc32c(packet);
  if (spec.bad_csum) sum.writeUInt16BE(sum.readUInt16BE(0) ^ damage, 0);
  sum.copy(packet, 8);
  return packet;
}

function echoRequest(spec: PacketSpec): Buffer {
  const message = Buffer.concat([Buffer.from([isIpv6(spec) ? 128 : 8, 0, 0, 0, 0, 1, 0, 1]), payloadOf(spec)]);
  if (isIpv6(spec)) return withChecksum(spec, message, 2);
  message.writeUInt16BE(internetChecksum(message) ^ (spec.bad_csum ? damage : 0), 2);
  return message;
}

function withChecksum(spec: PacketSpec, bytes: Buffer, at: number): Buffer {
  const { source, destination } = addressesOf(spec);
  const sum = internetChecksum(pseudoHeader(source, destination, protocolOf(spec), bytes.length), bytes);
  if (spec.l4_csum !== undefined) bytes.writeUInt16BE(Number.parseInt(spec.l4_csum, 16), at);
  else if (!spec.zero_csum) bytes.writeUInt16BE(sum ^ (spec.bad_csum ? damage : 0), at);
  return bytes;
}

interface IpFields {
  readonly source: Buffer;
  readonly destination: Buffer;
  readonly protocol: number;
  readonly ttl: number;
  readonly tos: number;
  readonly id: number;
  readonly options?: Buffer;
  readonly dontFragment?: boolean;
  readonly offset?: number;
  readonly more?: boolean;
}

function buildIp(fields: IpFields, body: Buffer): Buffer {
  return fields.source.length === 4 ? buildIpv4(fields, body) : buildIpv6(fields, body);
}

function buildIpv4(fields: IpFields, body: Buffer): Buffer {
  const { options = Buffer.alloc(0), offset = 0 } = fields;
  if (options.length % 4 !== 0) throw new Error('ip_opts must be a multiple of four bytes');
  const header = Buffer.alloc(20 + options.length);
  header[0] = 0x40 | (header.length / 4);
  header[1] = fields.tos;
  header.writeUInt16BE(header.length + body.length, 2);
  header.writeUInt16BE(fields.id, 4);
  header.writeUInt16BE((fields.dontFragment ? 0x4000 : 0) | (fields.more ? 0x2000 : 0) | (offset / 8), 6);
  header[8] = fields.ttl;
  header[9] = fields.protocol;
  fields.source.copy(header, 12);
  fields.destination.copy(header, 16);
  options.copy(header, 20);
  header.writeUInt16BE(internetChecksum(header), 10);
  return Buffer.concat([header, body]);
}

function buildIpv6(fields: IpFields, body: Buffer): Buffer {
  const isFragment = fields.more !== undefined;
  const extension = isFragment ? fragmentHeader(fields) : Buffer.alloc(0);
  const header = Buffer.alloc(40);
  header.writeUInt32BE((0x60000000 | (fields.tos << 20)) >>> 0, 0);
  header.writeUInt16BE(extension.length + body.length, 4);
  header[6] = isFragment ? ipv6FragmentHeader : fields.protocol;
  header[7] = fields.ttl;
  fields.source.copy(header, 8);
  fields.destination.copy(header, 24);
  return Buffer.concat([header, extension, body]);
}

function fragmentHeader(fields: IpFields): Buffer {
  const header = Buffer.alloc(8);
  header[0] = fields.protocol;
  header.writeUInt16BE((fields.offset ?? 0) | (fields.more ? 1 : 0), 2);
  header.writeUInt32BE(fields.id, 4);
  return header;
}

function cut(fields: IpFields, body: Buffer, size: number): Buffer[] {
  if (size < 8 || size % 8 !== 0) throw new Error(`frag_size ${size} is not a multiple of eight`);
  const pieces: Buffer[] = [];
  for (let offset = 0; offset < body.length; offset += size) {
    const more = offset + size < body.length;
    pieces.push(buildIp({ ...fields, offset, more }, body.subarray(offset, offset + size)));
  }
  return pieces;
}
