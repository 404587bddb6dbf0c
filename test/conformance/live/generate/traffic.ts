// SPDX-License-Identifier: Apache-2.0
// Events that are packets: connections, single packets of either side, ICMP errors about them, and what is no good.
import { formatEndpoint, internetChecksum, parseEndpoint } from '../../bytes.js';
import { buildPackets, type PacketSpec } from '../../packets.js';
import type { ScenarioEvent } from '../../scenario.js';
import type { Client, Draft, DraftServer, DraftService } from './draft.js';
import { guePort } from './services.js';

const finishes = { syn: 3, est: 4, half: 1, close: 2, rst: 2 };

/** Several connections, one after another. */
export function connections(draft: Draft, most: number): void {
  const { random } = draft;
  const service = draft.pickService();
  if (service === undefined) return;
  if (service.protocol === 'sctp') {
    packet(draft);
    return;
  }
  const client = draft.pickClient(service, 0.2);
  // Ports end at 65535.
  const vary = random.weighted({ port: parseEndpoint(client.src).port > 60000 ? 0 : 5, ip: 3, none: 0.7 });
  const several = service.ports.length > 1 && random.chance(0.5);
  const destinations = service.ports.map((port) => formatEndpoint({ address: service.address, port }));
  const isUdp = service.protocol === 'udp';
  draft.add({
    op: 'conns',
    n: random.chance(0.5) ? random.int(1, 4) : random.int(1, most),
    client: client.src,
    ...(several ? { dsts: destinations } : { dst: client.dst }),
    ...(vary === 'port' ? {} : { vary }),
    ...(random.chance(0.2) ? { step: random.pick(vary === 'ip' ? [2, 16, 256, 1000] : [2, 3]) } : {}),
    ...(isUdp ? { proto: 'udp' } : {}),
    finish: isUdp ? random.pick(['syn', 'syn', 'reply']) : random.weighted(finishes),
  });
}

/** One packet of a client, known or new. */
export function packet(draft: Draft): void {
  const service = draft.pickService();
  if (service === undefined) return;
  const client = draft.pickClient(service, 0.7);
  draft.add({ op: 'pkt', ...transport(draft, client.service, client.src, client.dst, false) } as ScenarioEvent);
}

/** One packet of a server to a client: if there are several servers, perhaps of the wrong one. */
export function reply(draft: Draft): void {
  const client = pickKnown(draft);
  if (client === undefined) {
    packet(draft);
    return;
  }
  const from = serverSide(draft, client);
  if (from === undefined) return;
  const spec = transport(draft, client.service, from, client.src, true);
  // An error about a packet that comes from one of the director's own addresses would go to the director itself.
  const ttl = from === client.dst && (spec.ttl ?? 64) < 3 ? { ttl: 3 } : {};
  draft.add({ op: 'pkt', from: 'rs', ...spec, ...ttl } as ScenarioEvent);
}

function pickKnown(draft: Draft): Client | undefined {
  return draft.clients.length === 0 ? undefined : draft.random.pick(draft.clients);
}

/** What a server's packets to a client come from. */
function serverSide(draft: Draft, client: Client): string | undefined {
  const [server] = client.service.servers.length === 0 ? [] : [draft.random.pick(client.service.servers)];
  if (server === undefined || server.method !== 'nat') return client.dst;
  return formatEndpoint({ address: server.address, port: server.port || parseEndpoint(client.dst).port });
}

function transport(draft: Draft, service: DraftService, src: string, dst: string, isReply: boolean): PacketSpec {
  const common = { src, dst, ...ipFields(draft, service.isIpv6) };
  switch (service.protocol) {
    case 'tcp':
      return { ...common, ...tcpFields(draft, isReply), ...payload(draft, service.isIpv6, 20) };
    case 'udp':
      return { ...common, proto: 'udp', ...checksumFields(draft, true), ...payload(draft, service.isIpv6, 8) };
    case 'sctp':
      return { ...common, proto: 'sctp', vtag: draft.random.int(0, 5), chunks_hex: chunk(draft) };
  }
}

function ipFields(draft: Draft, isIpv6: boolean): Partial<PacketSpec> {
  const { random } = draft;
  return {
    ...(random.chance(0.08) ? { ttl: random.pick([1, 2, 3, 255]) } : {}),
    ...(random.chance(0.1) ? { tos: random.pick([1, 2, 3, 0x10, 0xb8, 0xbb, 255]) } : {}),
    ...(random.chance(0.2) && !isIpv6 ? { df: false } : {}),
    ...(random.chance(0.1) ? { id: random.int(0, 65535) } : {}),
    ...(random.chance(0.04) && !isIpv6 ? { ip_opts: random.pick(['01010101', '94040000']) } : {}),
  };
}

const clientFlags = {
  S: 5,
  A: 6,
  PA: 3,
  FA: 4,
  F: 1,
  R: 2,
  RA: 1,
  SA: 1,
  '': 0.5,
  FSRPAU: 0.3,
  SF: 0.3,
  SR: 0.3,
  SAEC: 0.3,
  U: 0.3,
};
const serverFlags = { SA: 6, A: 5, PA: 3, FA: 4, F: 1, R: 2, RA: 1, S: 1, '': 0.5, FSRPAU: 0.3 };

function tcpFields(draft: Draft, isReply: boolean): Partial<PacketSpec> {
  const { random } = draft;
  return {
    flags: random.weighted(isReply ? serverFlags : clientFlags),
    ...(random.chance(0.2) ? { seq: random.next(), ack: random.next() } : {}),
    ...(random.chance(0.05) ? { urp: random.int(0, 65535), win: random.int(0, 65535) } : {}),
    ...(random.chance(0.08) ? { tcp_opts: '020405b40402080a000000010000000001030307' } : {}),
    ...checksumFields(draft, false),
  };
}

function checksumFields(draft: Draft, isUdp: boolean): Partial<PacketSpec> {
  const { random } = draft;
  if (isUdp && random.chance(0.1)) return { zero_csum: true };
  if (random.chance(0.05)) return { bad_csum: true };
  return random.chance(0.03) ? { l4_csum: random.pick(['0000', 'ffff', '0001']) } : {};
}

/** Mostly small; big ones end around the sizes at which a packet no longer fits into what is put around it. */
function payload(draft: Draft, isIpv6: boolean, header: number): Partial<PacketSpec> {
  const { random } = draft;
  if (random.chance(0.5)) return {};
  if (!draft.has('big-packets') || random.chance(0.6)) return { payload_len: random.int(1, 200) };
  const around = random.pick([1500, 1492, 1488, 1480, 1476, 1472, 1468, 1460, 1400, 1380, 1300, 1280]);
  const room = around + random.int(-1, 1) - header - (isIpv6 ? 40 : 20);
  // Options of both headers may be there as well: with all of them it has to fit into 1500 bytes.
  return { payload_len: Math.min(room, 1500 - header - (isIpv6 ? 40 : 20) - 24) };
}

/** Type, flags, length and contents of one chunk; sometimes a second one behind it. */
function chunk(draft: Draft): string {
  const { random } = draft;
  const chunks = {
    '0100001400000001000100000001000100000001': 5,
    '0200001400000002000100000001000100000001': 3,
    '0a000008cafebabe': 4,
    '0b000004': 4,
    '0000001400000001000000000000000068690000': 3,
    '0300001000000001000010000000000000': 0,
    '03000010000000010000100000000000': 1,
    '0400000800000000': 1,
    '0700000800000001': 2,
    '08000004': 2,
    '0e000004': 2,
    '09000004': 1,
    '06000004': 2,
    '0c000008000000ff': 0.5,
    '80000004': 0.3,
  };
  const first = random.weighted(chunks);
  return random.chance(0.1) ? first + random.pick(['06000004', '0000001400000001000000000000000068690000']) : first;
}

/** A datagram in pieces, from either side. */
export function fragments(draft: Draft): void {
  const { random } = draft;
  const service = draft.pickService();
  if (service === undefined || service.protocol === 'sctp') return;
  const client = draft.pickClient(service, 0.4);
  const isReply = random.chance(0.25);
  const src = isReply ? serverSide(draft, client) : client.src;
  if (src === undefined) return;
  const size = random.pick(
    [8, 16, 64, 480, 776, 1000, 1184, 1480, 1480, 1480].filter((one) => !service.isIpv6 || one < 1480),
  );
  draft.add({
    op: 'pkt',
    ...(isReply ? { from: 'rs' } : {}),
    ...{ src, dst: isReply ? client.src : client.dst },
    ...(service.protocol === 'udp' ? { proto: 'udp' } : { flags: isReply ? 'PA' : random.pick(['S', 'PA']) }),
    ...{ payload_len: random.int(1, Math.min(8000, size * random.pick([2, 3, 6, 30]))), frag_size: size },
    id: random.int(1, 65535),
    ...(random.chance(0.3) ? { frag_reverse: true } : {}),
    ...(random.chance(0.1) ? { bad_csum: true } : {}),
    ...(random.chance(0.1) && service.protocol === 'udp' ? { zero_csum: true } : {}),
  });
}

const errorsV4 = [
  ...([0, 1, 2, 3, 5, 9, 10, 13].map((code) => [3, code]) as [number, number][]),
  ...([
    [3, 4],
    [3, 4],
    [4, 0],
    [11, 0],
    [11, 1],
    [12, 0],
  ] as [number, number][]),
];
const errorsV6: [number, number][] = [
  [1, 0],
  [1, 1],
  [1, 3],
  [1, 4],
  [2, 0],
  [2, 0],
  [3, 0],
  [3, 1],
  [4, 0],
];

function errorFields(draft: Draft, isIpv6: boolean) {
  const { random } = draft;
  const [type, code] = random.pick(isIpv6 ? errorsV6 : errorsV4);
  const hasMtu = isIpv6 ? type === 2 : type === 3 && code === 4;
  return {
    ...{ type, code },
    ...(hasMtu ? { mtu: random.pick([1280, 1300, 1400, 1480]) } : {}),
    ...(random.chance(0.07) ? { bad_csum: true } : {}),
    ...(random.chance(0.05) ? { ttl: random.pick([1, 2]) } : {}),
  };
}

function quoteLength(draft: Draft, isIpv6: boolean) {
  const header = isIpv6 ? 40 : 20;
  const lengths = [header, header + 4, header + 7, header + 8, header + 20, header + 60];
  return draft.random.chance(0.3) ? { inner_len: draft.random.pick(lengths) } : {};
}

/** An error about what a service has sent to a client, known or not. */
export function errorFromClient(draft: Draft): void {
  const { random } = draft;
  const service = draft.pickService();
  if (service === undefined) return;
  const client = draft.pickClient(service, 0.85);
  const inner = transport(draft, service, client.dst, client.src, true);
  const sender = service.isIpv6 ? '2001:db8:bb::77' : '203.0.113.77';
  draft.add({
    op: 'icmp',
    src: random.chance(0.3) ? parseEndpoint(client.src).address : sender,
    dst: parseEndpoint(client.dst).address,
    ...errorFields(draft, service.isIpv6),
    inner: { ...inner, ttl: random.int(2, 60) },
    ...quoteLength(draft, service.isIpv6),
  });
}

/** An error about what a client has sent to a server. */
export function errorFromServer(draft: Draft): void {
  const { random } = draft;
  const client = pickKnown(draft);
  if (client === undefined) {
    packet(draft);
    return;
  }
  const { service } = client;
  const to = serverSide(draft, client);
  if (to === undefined) return;
  const router = service.isIpv6 ? '2001:db8:2::b' : '10.0.2.254';
  const own = parseEndpoint(to).address;
  draft.add({
    op: 'icmp',
    from: 'rs',
    src: own.startsWith('192.0.2.') || own.includes(':ff:') || random.chance(0.3) ? router : own,
    dst: parseEndpoint(client.src).address,
    ...errorFields(draft, service.isIpv6),
    inner: { ...transport(draft, service, client.src, to, false), ttl: random.int(2, 63) },
    ...quoteLength(draft, service.isIpv6),
  });
}

/** An error about a packet that the director itself has put around a client's. */
export function errorAboutTunnel(draft: Draft): void {
  const { random } = draft;
  const candidates = draft.clients.filter(({ service }) => service.servers.some((server) => isIpv4Tunnel(server)));
  if (candidates.length === 0) {
    packet(draft);
    return;
  }
  const client = random.pick(candidates);
  const server = random.pick(client.service.servers.filter(isIpv4Tunnel));
  const [inner] = buildPackets({ ...transport(draft, client.service, client.src, client.dst, false), ttl: 63 });
  if (inner === undefined) return;
  const quoted = wrap(server, inner, random.chance(0.8));
  const length = random.chance(0.7) ? Math.min(quoted.length, 548) : random.pick([28, 40, 47, 48, 52, 60, 68]);
  draft.add({
    op: 'icmp',
    from: 'rs',
    src: random.chance(0.5) ? '10.0.2.254' : server.address,
    dst: '10.0.2.1',
    ...errorFields(draft, false),
    inner_hex: quoted.toString('hex'),
    inner_len: Math.min(length, quoted.length),
  });
}

function isIpv4Tunnel(server: DraftServer): boolean {
  return server.method === 'tun' && !server.address.includes(':');
}

/** As the director would have sent it, as far as an error shows. */
function wrap(server: DraftServer, inner: Buffer, dontFragment: boolean): Buffer {
  const isV6 = (inner[0] ?? 0) >> 4 === 6;
  const between = tunnelHeader(server.tunnel, isV6, inner.length);
  const protocol = server.tunnel.includes('gue') ? 17 : server.tunnel.includes('gre') ? 47 : isV6 ? 41 : 4;
  const header = Buffer.from('4500000000000000' + '3f00' + '0000' + '0a000201' + '00000000', 'hex');
  header.writeUInt16BE(20 + between.length + inner.length, 2);
  header.writeUInt16BE(dontFragment ? 0x4000 : 0, 6);
  header[9] = protocol;
  Buffer.from(server.address.split('.').map(Number)).copy(header, 16);
  header.writeUInt16BE(internetChecksum(header), 10);
  return Buffer.concat([header, between, inner]);
}

function tunnelHeader(tunnel: string, isV6: boolean, innerBytes: number): Buffer {
  if (tunnel.includes('gue')) {
    const header = Buffer.alloc(12);
    header.writeUInt16BE(40000, 0);
    header.writeUInt16BE(guePort, 2);
    header.writeUInt16BE(12 + innerBytes, 4);
    header[9] = isV6 ? 41 : 4;
    return header;
  }
  if (!tunnel.includes('gre')) return Buffer.alloc(0);
  const header = Buffer.alloc(tunnel.includes('nocsum') ? 4 : 8);
  header.writeUInt16BE(header.length === 8 ? 0x8000 : 0, 0);
  header.writeUInt16BE(isV6 ? 0x86dd : 0x0800, 2);
  return header;
}

/** For the director itself: an echo request, or something for a port that nobody serves. */
export function localTraffic(draft: Draft): void {
  const { random } = draft;
  const isIpv6 = draft.isIpv6 && random.chance(0.5);
  const src = formatEndpoint(draft.newClient(isIpv6));
  const address = isIpv6 ? '2001:db8:ff::1' : `192.0.2.${random.int(1, 9)}`;
  const proto = random.pick(['icmp', 'tcp', 'udp'] as const);
  const port = random.pick([7, 20, 79, 1023, 1024, 9999]);
  const flags = proto === 'tcp' ? { flags: random.weighted(clientFlags) } : {};
  const dst = formatEndpoint({ address, port: proto === 'icmp' ? 0 : port });
  draft.add({
    ...{ op: 'pkt', src, dst, proto, ...flags },
    ...(random.chance(0.5) ? { payload_len: random.int(0, 600) } : {}),
    ...ipFields(draft, isIpv6),
    ...(random.chance(0.1) ? { bad_csum: true } : {}),
  });
}

/** A good packet with one thing wrong about it. */
export function malformed(draft: Draft): void {
  const service = draft.services.filter(({ isIpv6 }) => !isIpv6)[0];
  if (service === undefined) return;
  const client = draft.pickClient(service, 0.6);
  const [good] = buildPackets({ ...transport(draft, service, client.src, client.dst, false), ttl: 64 });
  if (good === undefined) return;
  draft.add({ op: 'raw', from: 'client', hex: damaged(draft, good).toString('hex') });
}

function damaged(draft: Draft, good: Buffer): Buffer {
  const { random } = draft;
  const bytes = Buffer.from(good);
  const header = 4 * ((bytes[0] ?? 0) & 15);
  switch (random.pick(['cut', 'cut', 'protocol', 'offset', 'udp-length', 'ip-checksum', 'padding', 'version'])) {
    case 'cut':
      return withLength(bytes.subarray(0, header + random.int(0, Math.min(19, bytes.length - header))), header);
    case 'protocol':
      bytes[9] = random.pick([2, 41, 47, 50, 51, 89, 253]);
      return withLength(bytes, header);
    case 'offset':
      bytes[header + 12] = random.int(0, 255);
      return bytes;
    case 'udp-length':
      bytes.writeUInt16BE(random.int(0, 100), header + 4);
      return bytes;
    case 'ip-checksum':
      bytes.writeUInt16BE(bytes.readUInt16BE(10) ^ 1, 10);
      return bytes;
    case 'version':
      bytes[0] = random.pick([0x44, 0x54, 0x4f]);
      return withLength(bytes, header);
    default:
      return Buffer.concat([bytes, Buffer.alloc(random.int(1, 20), 0xaa)]);
  }
}

function withLength(packet: Buffer, header: number): Buffer {
  packet.writeUInt16BE(packet.length, 2);
  packet.writeUInt16BE(0, 10);
  packet.writeUInt16BE(internetChecksum(packet.subarray(0, header)), 10);
  return packet;
}
