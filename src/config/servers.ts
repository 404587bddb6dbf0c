// SPDX-License-Identifier: Apache-2.0
// A real server as operators write it, "{ address: 10.0.0.11:80, method: nat, weight: 2 }", without its health: JSON
// Schema, the way to key and spec and back. Sorry servers are written so too.
import { isIPv4 } from 'node:net';
import type { ForwardingMethod__Output } from '../generated/fulcrum/v1/ForwardingMethod.js';
import type { ServerKey__Output } from '../generated/fulcrum/v1/ServerKey.js';
import type { ServerSpec__Output } from '../generated/fulcrum/v1/ServerSpec.js';
import type { ServiceKey__Output } from '../generated/fulcrum/v1/ServiceKey.js';
import type { TunnelChecksum__Output } from '../generated/fulcrum/v1/TunnelChecksum.js';
import type { TunnelType__Output } from '../generated/fulcrum/v1/TunnelType.js';
import type { Attempt, Path } from './document.js';
import { formatServerKey, KeyError, parseServerKey } from './keys.js';

export type ServerSpecEntry = {
  readonly address: string;
  readonly method?: string;
  readonly weight?: number;
  readonly upper_threshold?: number;
  readonly lower_threshold?: number;
  readonly tunnel_type?: string;
  readonly tunnel_port?: number;
  readonly tunnel_checksum?: string;
};

/** LVS's bound. */
export const largestWeight = 2147483647;

export const methods: Readonly<Record<string, ForwardingMethod__Output>> = {
  nat: 'FORWARDING_METHOD_NAT',
  dr: 'FORWARDING_METHOD_DR',
  tun: 'FORWARDING_METHOD_TUN',
};
export const tunnelTypes: Readonly<Record<string, TunnelType__Output>> = {
  ipip: 'TUNNEL_TYPE_IPIP',
  gue: 'TUNNEL_TYPE_GUE',
  gre: 'TUNNEL_TYPE_GRE',
};
export const tunnelChecksums: Readonly<Record<string, TunnelChecksum__Output>> = {
  nocsum: 'TUNNEL_CHECKSUM_NOCSUM',
  csum: 'TUNNEL_CHECKSUM_CSUM',
  remcsum: 'TUNNEL_CHECKSUM_REMCSUM',
};
const threshold = (description: string) => ({
  type: 'integer',
  minimum: 0,
  maximum: largestWeight,
  default: 0,
  description,
});

export const sorryServerProperties = {
  address: { type: 'string', description: 'ADDRESS:PORT; without a port it is that of the service' },
  method: { enum: Object.keys(methods), default: 'dr', description: 'how packets reach the server' },
  weight: {
    type: 'integer',
    minimum: 0,
    maximum: largestWeight,
    default: 1,
    description: 'share of new connections; 0 quiesces the server: it gets none, and keeps those it has',
  },
  tunnel_type: {
    enum: Object.keys(tunnelTypes),
    default: 'ipip',
    description: 'with method tun: what packets are put into',
  },
  tunnel_port: { type: 'integer', minimum: 1, maximum: 65535, description: 'UDP port of a gue tunnel' },
  tunnel_checksum: {
    enum: Object.keys(tunnelChecksums),
    description: 'of gue and gre: a checksum over the packet or none; remcsum only of gue; left out: nocsum',
  },
} as const;

export const serverProperties = {
  ...sorryServerProperties,
  upper_threshold: threshold('connections at which it is overloaded; 0 for none'),
  lower_threshold: threshold('connections below which it is no longer overloaded'),
} as const;

/** Bits in an address of this service: 32 or 128. */
export function addressWidth(key: ServiceKey__Output): number {
  const ipv4 = key.fwmark !== 0 ? key.family !== 'ADDRESS_FAMILY_IPV6' : isIPv4(key.address);
  return ipv4 ? 32 : 128;
}

/** A real server as the API has it, as far as LVS knows it. */
interface KeyAndSpec {
  readonly key: ServerKey__Output;
  readonly spec: ServerSpec__Output;
}

export function toServer(
  entry: ServerSpecEntry,
  service: ServiceKey__Output,
  path: Path,
  attempt: Attempt,
): KeyAndSpec | undefined {
  const key = attempt([...path, 'address'], () => {
    const parsed = parseServerKey(entry.address, service);
    checkPort(parsed.port, service, entry.method ?? 'dr');
    return parsed;
  });
  if (key === undefined) return undefined;
  attempt([...path, 'method'], () => checkMethod(key, service, entry.method ?? 'dr'));
  attempt([...path, 'tunnel_type'], () => checkTunnel(entry));
  return {
    key,
    spec: {
      method: methods[entry.method ?? 'dr'] ?? 'FORWARDING_METHOD_DR',
      weight: entry.weight ?? 1,
      upperThreshold: entry.upper_threshold ?? 0,
      lowerThreshold: entry.lower_threshold ?? 0,
      tunnelType: tunnelTypes[entry.tunnel_type ?? ''] ?? 'TUNNEL_TYPE_UNSPECIFIED',
      tunnelPort: entry.tunnel_port ?? 0,
      tunnelChecksum: tunnelChecksums[entry.tunnel_checksum ?? ''] ?? 'TUNNEL_CHECKSUM_UNSPECIFIED',
    },
  };
}

/** A tunnel may cross families; NAT and DR may not. */
function checkMethod(key: ServerKey__Output, service: ServiceKey__Output, method: string): void {
  if (method === 'tun' || isIPv4(key.address) === (addressWidth(service) === 32)) return;
  throw new KeyError(`${key.address} is not of the service's address family, which only method tun allows`);
}

function checkTunnel(entry: ServerSpecEntry): void {
  const { tunnel_type: type = 'ipip', tunnel_port: port, tunnel_checksum: checksum } = entry;
  if (entry.method !== 'tun') {
    const isGiven = entry.tunnel_type !== undefined || port !== undefined || checksum !== undefined;
    if (isGiven) throw new KeyError('tunnel settings are only for method tun');
    return;
  }
  if (type === 'gue' && port === undefined) throw new KeyError('gue needs a tunnel_port');
  if (type !== 'gue' && port !== undefined) throw new KeyError(`${type} has no port`);
  if (type === 'ipip' && checksum !== undefined) throw new KeyError('ipip has no checksum');
  if (type === 'gre' && checksum === 'remcsum') throw new KeyError('gre has no remote checksum offload');
}

/** Only NAT rewrites the port; a server reached by DR or TUN sees the one that the client used. */
function checkPort(port: number, service: ServiceKey__Output, method: string): void {
  if (method === 'nat' || service.fwmark !== 0 || port === service.port) return;
  throw new KeyError(
    `port ${port} differs from the service's ${service.port}, and method ${method} leaves ports as they are`,
  );
}

/** The entry that toServer would read back to the same; defaults are left out. */
export function serverSpecEntry({
  key,
  spec,
}: {
  readonly key: ServerKey__Output | null;
  readonly spec: ServerSpec__Output | null;
}): ServerSpecEntry {
  if (!key || !spec) throw new Error('the director sent a real server without key or spec');
  const tunnelType = nameOf(tunnelTypes, spec.tunnelType);
  const tunnelChecksum = nameOf(tunnelChecksums, spec.tunnelChecksum);
  return {
    address: formatServerKey(key),
    method: nameOf(methods, spec.method) ?? 'dr',
    weight: spec.weight ?? 1,
    ...(spec.upperThreshold !== 0 && { upper_threshold: spec.upperThreshold }),
    ...(spec.lowerThreshold !== 0 && { lower_threshold: spec.lowerThreshold }),
    ...(tunnelType !== undefined && tunnelType !== 'ipip' && { tunnel_type: tunnelType }),
    ...(spec.tunnelPort !== 0 && { tunnel_port: spec.tunnelPort }),
    ...(tunnelChecksum !== undefined && { tunnel_checksum: tunnelChecksum }),
  };
}

/** The word for a value. */
export function nameOf<T>(names: Readonly<Record<string, T>>, value: T): string | undefined {
  return Object.keys(names).find((name) => names[name] === value);
}
