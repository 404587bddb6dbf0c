// SPDX-License-Identifier: Apache-2.0
// What each option of a command line does to the draft of the command. Options are read from left to right, since for
// ipvsadm their order matters: -r copies the port of a service named before it, -M is overwritten by an IPv6 service
// named after it, -6 needs a -f before it.
import { isIPv4, isIPv6 } from 'node:net';
import type { ForwardingMethod__Output } from '../../generated/fulcrum/v1/ForwardingMethod.js';
import type { Protocol__Output } from '../../generated/fulcrum/v1/Protocol.js';
import type { ServerKey__Output } from '../../generated/fulcrum/v1/ServerKey.js';
import type { ServiceKey__Output } from '../../generated/fulcrum/v1/ServiceKey.js';
import { UsageError } from './messages.js';
import { type CommandName, type OptionName, type SettingName, type TunnelName, tunnelTypes } from './options.js';

/** Names of hosts and ports, looked up outside. */
export interface Resolver {
  /** IPv4 address of a host name. */
  host(name: string): Promise<string | undefined>;
  /** Port of a service name, for example "http". */
  port(name: string, protocol: Protocol__Output): number | undefined;
}

const longestTimeout = 2678400;
const largestInteger = 2147483647;
const defaultPersistence = 360;
export const fullMask = 0xffffffff;

/** What has been read so far. */
export interface Draft {
  readonly command: CommandName;
  readonly given: Set<OptionName>;
  service: ServiceKey__Output;
  isIpv6: boolean;
  /** IPv4: the mask as a number; IPv6: a prefix length. */
  mask: number;
  scheduler: string;
  flagNames: string;
  persistence: number;
  engine: string;
  server: ServerKey__Output;
  method: ForwardingMethod__Output;
  weight: number;
  upperThreshold: number;
  lowerThreshold: number;
  tunnelType: TunnelName;
  tunnelPort: number;
}

export const newDraft = (command: CommandName): Draft => ({
  command,
  given: new Set(),
  service: {
    protocol: 'PROTOCOL_UNSPECIFIED',
    address: '',
    port: 0,
    fwmark: 0,
    family: 'ADDRESS_FAMILY_UNSPECIFIED',
  },
  isIpv6: false,
  mask: fullMask,
  scheduler: 'wlc',
  flagNames: '',
  persistence: 0,
  engine: '',
  server: { address: '', port: 0 },
  method: 'FORWARDING_METHOD_DR',
  weight: 1,
  upperThreshold: 0,
  lowerThreshold: 0,
  tunnelType: 'ipip',
  tunnelPort: 0,
});

type Reader = (draft: Draft, value: string, resolver: Resolver) => void | Promise<void>;

export interface OptionReader {
  /** What it counts as; undefined if it may be repeated and goes with everything. */
  readonly name?: OptionName;
  readonly read?: Reader;
}

/** A number in decimal digits, with a sign if there is one. */
function integer(text: string, minimum: number, maximum: number): number | undefined {
  if (!/^[+-]?\d{1,15}$/.test(text)) return undefined;
  const value = Number(text);
  return value >= minimum && value <= maximum ? value : undefined;
}

function integerOr(text: string, minimum: number, maximum: number, complaint: string): number {
  const value = integer(text, minimum, maximum);
  if (value === undefined) throw new UsageError(complaint);
  return value;
}

export function timeout(text: string, minimum: number): number {
  return integerOr(text, minimum, longestTimeout, `invalid timeout value \`${text}' specified`);
}

const bounded = (name: OptionName, minimum: number, maximum: number): OptionReader => ({
  name,
  read: (_draft, value) => {
    integerOr(value, minimum, maximum, `illegal ${name} specified`);
  },
});

const forwarding = (method: ForwardingMethod__Output): OptionReader => ({
  name: 'forwarding-method',
  read: (draft) => {
    draft.method = method;
  },
});

const address = (protocol: Protocol__Output): OptionReader => ({
  name: 'service-address',
  read: async (draft, value, resolver) => {
    const endpoint = await readEndpoint(value, protocol, resolver);
    if (endpoint === undefined) throw new UsageError('illegal virtual server address[:port] specified');
    draft.service = { ...draft.service, protocol, address: endpoint.address, port: endpoint.port ?? 0 };
    setFamily(draft, isIPv6(endpoint.address));
  },
});

function setFamily(draft: Draft, isIpv6: boolean): void {
  draft.isIpv6 = isIpv6;
  if (isIpv6) draft.mask = 128;
}

/** By long name. */
export const readers: Readonly<Record<SettingName, OptionReader>> = {
  'tcp-service': address('PROTOCOL_TCP'),
  'udp-service': address('PROTOCOL_UDP'),
  'sctp-service': address('PROTOCOL_SCTP'),
  'fwmark-service': {
    name: 'service-address',
    read: (draft, value) => {
      const fwmark = integerOr(value, 1, 4294967295, `invalid fwmark value \`${value}' specified`);
      draft.service = { ...draft.service, fwmark, family: 'ADDRESS_FAMILY_IPV4' };
    },
  },
  ipv6: {
    read: (draft) => {
      if (draft.service.fwmark === 0) throw new UsageError('-6 used before -f\n');
      draft.service = { ...draft.service, family: 'ADDRESS_FAMILY_IPV6' };
      setFamily(draft, true);
    },
  },
  scheduler: {
    name: 'scheduler',
    read: (draft, value) => {
      draft.scheduler = value;
    },
  },
  'sched-flags': {
    name: 'sched-flags',
    read: (draft, value) => {
      draft.flagNames = value;
    },
  },
  persistent: {
    name: 'persistent',
    read: (draft, value) => {
      draft.persistence = value === '' ? defaultPersistence : timeout(value, 1);
    },
  },
  netmask: {
    name: 'netmask',
    read: (draft, value) => {
      draft.mask = draft.isIpv6 ? integerOr(value, 1, 128, 'illegal ipv6 netmask specified') : readMask(value);
    },
  },
  pe: {
    name: 'pe',
    read: (draft, value) => {
      draft.engine = value;
    },
  },
  ops: { name: 'ops' },
  'real-server': {
    name: 'real-server',
    read: async (draft, value, resolver) => {
      const endpoint = await readEndpoint(value, draft.service.protocol, resolver);
      if (endpoint === undefined) throw new UsageError('illegal real server address[:port] specified');
      draft.server = { address: endpoint.address, port: endpoint.port ?? draft.service.port };
    },
  },
  gatewaying: forwarding('FORWARDING_METHOD_DR'),
  ipip: forwarding('FORWARDING_METHOD_TUN'),
  masquerading: forwarding('FORWARDING_METHOD_NAT'),
  'tun-type': {
    name: 'tun-type',
    read: (draft, value) => {
      const type = tunnelTypes.find((name) => name === value);
      if (type === undefined) throw new UsageError('illegal tunnel type specified');
      draft.tunnelType = type;
    },
  },
  'tun-port': {
    name: 'tun-port',
    read: (draft, value) => {
      draft.tunnelPort = integerOr(value, 1, 65535, 'illegal tunnel port specified');
    },
  },
  'tun-nocsum': { name: 'tun-nocsum' },
  'tun-csum': { name: 'tun-csum' },
  'tun-remcsum': { name: 'tun-remcsum' },
  weight: {
    name: 'weight',
    read: (draft, value) => {
      draft.weight = integerOr(value, 0, largestInteger, 'illegal weight specified');
    },
  },
  'u-threshold': {
    name: 'u-threshold',
    read: (draft, value) => {
      draft.upperThreshold = integerOr(value, 0, largestInteger, 'illegal u_threshold specified');
    },
  },
  'l-threshold': {
    name: 'l-threshold',
    read: (draft, value) => {
      draft.lowerThreshold = integerOr(value, 0, largestInteger, 'illegal l_threshold specified');
    },
  },
  numeric: { name: 'numeric' },
  connection: { name: 'connection' },
  timeout: { name: 'timeout' },
  daemon: { name: 'daemon' },
  stats: { name: 'stats' },
  rate: { name: 'rate' },
  thresholds: { name: 'thresholds' },
  'persistent-conn': { name: 'persistent-conn' },
  'tun-info': { name: 'tun-info' },
  exact: { name: 'exact' },
  nosort: { name: 'nosort' },
  sort: {},
  'mcast-interface': { name: 'mcast-interface' },
  'mcast-group': {
    name: 'mcast-group',
    read: (_draft, value) => {
      if (!isIPv4(value) && !isIPv6(value)) throw new UsageError('illegal mcast-group specified');
    },
  },
  'mcast-port': bounded('mcast-port', 1, 65535),
  'mcast-ttl': bounded('mcast-ttl', 1, 255),
  syncid: bounded('syncid', 0, 255),
  'sync-maxlen': bounded('sync-maxlen', 1, 65507),
};

interface Endpoint {
  readonly address: string;
  readonly port: number | undefined;
}

/** HOST[:PORT] in all forms: 10.0.0.1, 10.0.0.1:http, [2001:db8::1]:80, 2001:db8::1, www.example.org:80. */
async function readEndpoint(
  text: string,
  protocol: Protocol__Output,
  resolver: Resolver,
): Promise<Endpoint | undefined> {
  if (text === '' || /^\d+$/.test(text)) return undefined;
  if (isIPv6(text)) return { address: text, port: undefined };
  const parts = /^\[([^\]]*)\](?::(.*))?$/.exec(text) ?? /^([^:]*)(?::(.*))?$/.exec(text);
  if (parts === null) return undefined;
  const [, host = '', portText] = parts;
  const port = portText === undefined ? undefined : (integer(portText, 0, 65535) ?? resolver.port(portText, protocol));
  if (portText !== undefined && port === undefined) return undefined;
  if (text.startsWith('[')) return isIPv6(host) ? { address: host, port } : undefined;
  const found = isIPv4(host) ? host : await resolver.host(host);
  return found === undefined ? undefined : { address: found, port };
}

/** A mask as inet_aton(3) reads it: an IPv6 prefix length given too early is a number to it, and overwritten later. */
function readMask(text: string): number {
  if (isIPv4(text)) return text.split('.').reduce((mask, part) => mask * 256 + Number(part), 0);
  return integerOr(text, 0, fullMask, 'illegal virtual server persistent mask specified');
}
