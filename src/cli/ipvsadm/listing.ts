// SPDX-License-Identifier: Apache-2.0
// The tables of ipvsadm -L: services and real servers in every choice of columns, widths as scripts cut them.
// Pure: from the model to lines.
import { bracket } from '../../config/keys.js';
import { flagNames, hasOwnNames } from '../../config/scheduler_flags.js';
import type { Protocol__Output } from '../../generated/fulcrum/v1/Protocol.js';
import type { ServerSpec__Output } from '../../generated/fulcrum/v1/ServerSpec.js';
import type { ServiceKey__Output } from '../../generated/fulcrum/v1/ServiceKey.js';
import { type Counters, isIpv6Service, type ListedServer, type ListedService } from './model.js';
import type { Names } from './names.js';
import { exactNumber, left, scaledNumber } from './numbers.js';
import type { Columns } from './parse.js';

export interface ListingStyle {
  readonly columns: Columns;
  readonly exact: boolean;
  readonly names: Names;
}

/** First line of a full listing. `size`: room in the connection table. */
export function versionLine(size: number | string): string {
  return `IP Virtual Server version 1.2.1 (size=${size})`;
}

const numberTitles = (...names: readonly string[]): readonly [string, string] => [
  left('Prot LocalAddress:Port', 33) + names.map((name) => name.padStart(9)).join(''),
  '  -> RemoteAddress:Port',
];

const titles: Readonly<Record<Columns, readonly [string, string]>> = {
  plain: [
    'Prot LocalAddress:Port Scheduler Flags',
    '  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn',
  ],
  stats: numberTitles('Conns', 'InPkts', 'OutPkts', 'InBytes', 'OutBytes'),
  rate: numberTitles('CPS', 'InPPS', 'OutPPS', 'InBPS', 'OutBPS'),
  thresholds: [
    `${left('Prot LocalAddress:Port', 34)}Uthreshold Lthreshold ActiveConn InActConn `,
    '  -> RemoteAddress:Port',
  ],
  'persistent-conn': [
    `${left('Prot LocalAddress:Port', 34)}Weight    PersistConn ActiveConn InActConn `,
    '  -> RemoteAddress:Port',
  ],
  'tun-info': [
    'Prot LocalAddress:Port Scheduler Flags',
    '  -> RemoteAddress:Port           Forward TunnelInfo    Weight ActiveConn InActConn',
  ],
};

export function titleLines(columns: Columns): readonly string[] {
  return titles[columns];
}

/** One service with its servers. */
export function serviceLines(service: ListedService, style: ListingStyle): readonly string[] {
  const name = serviceName(service.key, style.names);
  const numbers = numbersOf(service, style.columns);
  const first = numbers ? left(name, 33) + numberColumns(numbers, style) : `${name} ${description(service)}`;
  return [first, ...service.servers.map((server) => serverLine(server, service.key.protocol, style))];
}

/** What the five columns of numbers show; undefined for other columns. */
function numbersOf({ counters, rates }: ListedService | ListedServer, columns: Columns): Counters | undefined {
  if (columns === 'rate') return rates;
  return columns === 'stats' ? counters : undefined;
}

const protocolTitles: Readonly<Record<Protocol__Output, string>> = {
  PROTOCOL_UNSPECIFIED: 'IP',
  PROTOCOL_TCP: 'TCP',
  PROTOCOL_UDP: 'UDP',
  PROTOCOL_SCTP: 'SCTP',
};

/** "TCP  192.0.2.1:80", "FWM  8 IPv6"; a long IPv4 host name is cut at the column's end. Marks are signed in listings. */
function serviceName(key: ServiceKey__Output, names: Names): string {
  if (key.fwmark !== 0) return `FWM  ${key.fwmark | 0}${isIpv6Service(key) ? ' IPv6' : ''}`;
  const name = `${left(protocolTitles[key.protocol], 4)} ${endpointName(key.address, key.port, key.protocol, names)}`;
  return isIpv6Service(key) ? name : name.slice(0, 33);
}

export function protocolTitle(protocol: Protocol__Output): string {
  return protocolTitles[protocol];
}

export function endpointName(address: string, port: number, protocol: Protocol__Output, names: Names): string {
  return `${bracket(names.host(address))}:${names.port(port, protocol)}`;
}

/** Scheduler and flags: "sh (sh-fallback,sh-port) persistent 600 mask 255.255.255.0 pe sip ops". */
function description({ key, spec }: ListedService): string {
  const isPersistent = spec.persistenceTimeoutS !== 0;
  const words = [
    spec.scheduler,
    spec.schedulerFlags !== 0 && `(${shownFlags(spec.schedulerFlags, spec.scheduler).join(',')})`,
    isPersistent && `persistent ${spec.persistenceTimeoutS}`,
    isPersistent && spec.persistencePrefix !== 0 && `mask ${maskText(key, spec.persistencePrefix)}`,
    spec.persistenceEngine !== '' && `pe ${spec.persistenceEngine}`,
    spec.onePacket && 'ops',
  ];
  return words.filter((word) => word !== false).join(' ');
}

/** ipvsadm does not name the third bit of sh and mh. */
export function shownFlags(bits: number, scheduler: string): readonly string[] {
  return flagNames(bits, scheduler).filter((name) => name !== 'flag-3' || !hasOwnNames(scheduler));
}

/** IPv4: dotted; IPv6: the prefix length. */
export function maskText(key: ServiceKey__Output, prefix: number): string {
  if (isIpv6Service(key)) return String(prefix);
  return [0, 8, 16, 24].map((from) => 256 - 2 ** (8 - Math.min(8, Math.max(0, prefix - from)))).join('.');
}

const forwards: Readonly<Record<ServerSpec__Output['method'], string>> = {
  FORWARDING_METHOD_UNSPECIFIED: 'Route',
  FORWARDING_METHOD_NAT: 'Masq',
  FORWARDING_METHOD_DR: 'Route',
  FORWARDING_METHOD_TUN: 'Tunnel',
};

/** A server that is the director itself has no method. */
function forwardText({ key, spec }: ListedServer): string {
  return isLoopback(key.address) ? 'Local' : forwards[spec.method];
}

export function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address === '::1';
}

function serverLine(server: ListedServer, protocol: Protocol__Output, style: ListingStyle): string {
  const { key, spec } = server;
  const name = endpointName(key.address, key.port, protocol, style.names);
  const start = `  -> ${left(key.address.includes(':') ? name : name.slice(0, 28), 28)}`;
  const connections = `${left(server.active, 10)} ${left(server.inactive, 10)}`;
  const weight = spec.weight ?? 1;
  switch (style.columns) {
    case 'plain':
      return `${start} ${left(forwardText(server), 7)} ${left(weight, 6)} ${connections}`;
    case 'stats':
      return start + numberColumns(server.counters, style);
    case 'rate':
      return start + numberColumns(server.rates, style);
    case 'thresholds':
      return `${start} ${left(spec.upperThreshold, 10)} ${left(spec.lowerThreshold, 10)} ${connections}`;
    case 'persistent-conn':
      return `${start} ${left(weight, 9)} ${left(server.persistent, 11)} ${connections}`;
    case 'tun-info':
      return `${start} ${left(forwardText(server), 7)} ${left(tunnelInfo(spec), 13)} ${left(weight, 6)} ${connections}`;
  }
}

function numberColumns(counters: Counters, style: ListingStyle): string {
  const { connections, inPackets, outPackets, inBytes, outBytes } = counters;
  return [connections, inPackets, outPackets, inBytes, outBytes].map(style.exact ? exactNumber : scaledNumber).join('');
}

const checksumMarks: Readonly<Record<ServerSpec__Output['tunnelChecksum'], string>> = {
  TUNNEL_CHECKSUM_UNSPECIFIED: '-c',
  TUNNEL_CHECKSUM_NOCSUM: '-c',
  TUNNEL_CHECKSUM_CSUM: '+c',
  TUNNEL_CHECKSUM_REMCSUM: 'r+c',
};

function tunnelInfo(spec: ServerSpec__Output): string {
  if (spec.method !== 'FORWARDING_METHOD_TUN') return 'n/a';
  const mark = checksumMarks[spec.tunnelChecksum];
  switch (spec.tunnelType) {
    case 'TUNNEL_TYPE_GUE':
      return `gue:${spec.tunnelPort}:${mark}`;
    case 'TUNNEL_TYPE_GRE':
      return `gre:${mark}`;
    default:
      return 'ipip';
  }
}
