// SPDX-License-Identifier: Apache-2.0
// What is listed: services and real servers joined with their counters, in ipvsadm's order.
import { isIPv6 } from 'node:net';
import { formatServerKey, formatServiceKey } from '../../config/keys.js';
import type { Counters__Output } from '../../generated/fulcrum/v1/Counters.js';
import type { Rates__Output } from '../../generated/fulcrum/v1/Rates.js';
import type { RealServer__Output } from '../../generated/fulcrum/v1/RealServer.js';
import type { ServerKey__Output } from '../../generated/fulcrum/v1/ServerKey.js';
import type { ServerSpec__Output } from '../../generated/fulcrum/v1/ServerSpec.js';
import type { ServerStatistics__Output } from '../../generated/fulcrum/v1/ServerStatistics.js';
import type { ServiceKey__Output } from '../../generated/fulcrum/v1/ServiceKey.js';
import type { ServiceSpec__Output } from '../../generated/fulcrum/v1/ServiceSpec.js';
import type { ServiceStatistics__Output } from '../../generated/fulcrum/v1/ServiceStatistics.js';
import type { VirtualService__Output } from '../../generated/fulcrum/v1/VirtualService.js';

export interface Counters {
  readonly connections: bigint;
  readonly inPackets: bigint;
  readonly outPackets: bigint;
  readonly inBytes: bigint;
  readonly outBytes: bigint;
}

export interface ListedServer {
  readonly key: ServerKey__Output;
  readonly spec: ServerSpec__Output;
  readonly counters: Counters;
  /** Per second. */
  readonly rates: Counters;
  readonly active: bigint;
  readonly inactive: bigint;
  readonly persistent: bigint;
}

export interface ListedService {
  readonly key: ServiceKey__Output;
  readonly spec: ServiceSpec__Output;
  readonly counters: Counters;
  /** Per second. */
  readonly rates: Counters;
  readonly servers: readonly ListedServer[];
}

const noCounters: Counters = { connections: 0n, inPackets: 0n, outPackets: 0n, inBytes: 0n, outBytes: 0n };

/** Statistics of what is not configured any more (retired servers) are left out. */
export function joinStatistics(
  services: readonly VirtualService__Output[],
  statistics: readonly ServiceStatistics__Output[],
): readonly ListedService[] {
  const byKey = new Map(
    statistics.flatMap((entry) => (entry.key ? [[formatServiceKey(entry.key), entry] as const] : [])),
  );
  return services.flatMap((service) => {
    if (!service.key || !service.spec) return [];
    const counted = byKey.get(formatServiceKey(service.key));
    const isPooled = service.health !== null || service.pool.length > 0;
    return [
      {
        key: service.key,
        spec: service.spec,
        counters: countersOf(counted?.counters),
        rates: countersOf(counted?.rates),
        // Of servers that are checked or drained: those that serve, as the kernel would have them.
        servers: joinServers(isPooled ? service.pool : service.servers, counted?.servers ?? []),
      },
    ];
  });
}

function joinServers(
  servers: readonly RealServer__Output[],
  statistics: readonly ServerStatistics__Output[],
): readonly ListedServer[] {
  const byKey = new Map(
    statistics.flatMap((entry) => (entry.key ? [[formatServerKey(entry.key), entry] as const] : [])),
  );
  return servers.flatMap(({ key, spec }) => {
    if (!key || !spec) return [];
    const counted = byKey.get(formatServerKey(key));
    return [
      {
        key,
        spec,
        counters: countersOf(counted?.counters),
        rates: countersOf(counted?.rates),
        active: BigInt(counted?.activeConnections ?? 0),
        inactive: BigInt(counted?.inactiveConnections ?? 0),
        persistent: BigInt(counted?.persistentConnections ?? 0),
      },
    ];
  });
}

function countersOf(counters: Counters__Output | Rates__Output | null | undefined): Counters {
  if (!counters) return noCounters;
  return {
    connections: BigInt(counters.connections),
    inPackets: BigInt(counters.inPackets),
    outPackets: BigInt(counters.outPackets),
    inBytes: BigInt(counters.inBytes),
    outBytes: BigInt(counters.outBytes),
  };
}

const protocolNumber = { PROTOCOL_UNSPECIFIED: 0, PROTOCOL_TCP: 6, PROTOCOL_UDP: 17, PROTOCOL_SCTP: 132 } as const;

/** By mark (as a signed difference), family, protocol, address, port; servers by address, port. */
export function sortServices(services: readonly ListedService[]): readonly ListedService[] {
  return services
    .map((service) => ({ ...service, servers: [...service.servers].sort(compareServers) }))
    .sort(compareServices);
}

function compareServices({ key: a }: ListedService, { key: b }: ListedService): number {
  return (
    (a.fwmark - b.fwmark) | 0 ||
    Number(isIpv6Service(a)) - Number(isIpv6Service(b)) ||
    protocolNumber[a.protocol] - protocolNumber[b.protocol] ||
    compareAddresses(a.address, b.address) ||
    a.port - b.port
  );
}

function compareServers({ key: a }: ListedServer, { key: b }: ListedServer): number {
  return compareAddresses(a.address, b.address) || a.port - b.port;
}

export function isIpv6Service(key: ServiceKey__Output): boolean {
  return key.fwmark !== 0 ? key.family === 'ADDRESS_FAMILY_IPV6' : isIPv6(key.address);
}

/** IPv4 before IPv6; then 32 bits at a time by signed difference, so 10.0.0.1 and 192.0.2.1 compare as LVS compares them. */
export function compareAddresses(a: string, b: string): number {
  const left = addressWords(a);
  const right = addressWords(b);
  if (left.length !== right.length) return left.length - right.length;
  return left.reduce((order, word, index) => order || (word - (right[index] ?? 0)) | 0, 0);
}

function addressWords(address: string): readonly number[] {
  if (address === '') return [];
  if (!address.includes(':')) return [address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)];
  const [head = '', tail] = address.split('::');
  const front = groupsOf(head);
  const back = tail === undefined ? [] : groupsOf(tail);
  const groups = [...front, ...Array<number>(8 - front.length - back.length).fill(0), ...back];
  return [0, 2, 4, 6].map((at) => (groups[at] ?? 0) * 65536 + (groups[at + 1] ?? 0));
}

/** 16-bit groups; an IPv4 address at the end counts as two. */
function groupsOf(text: string): readonly number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (!group.includes('.')) return [Number.parseInt(group, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number);
    return [a * 256 + b, c * 256 + d];
  });
}
