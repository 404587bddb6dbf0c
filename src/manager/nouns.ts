// SPDX-License-Identifier: Apache-2.0
// What the manager holds: virtual services, real servers, VIPs, timeouts, mark rules, as plain values in one normal form
// (addresses in one notation, defaults filled in), close to the messages of fulcrum.v1.
import type { AddressFamily__Output } from '../generated/fulcrum/v1/AddressFamily.js';
import type { Announce__Output } from '../generated/fulcrum/v1/Announce.js';
import type { ForwardingMethod__Output } from '../generated/fulcrum/v1/ForwardingMethod.js';
import type { HealthPolicy__Output } from '../generated/fulcrum/v1/HealthPolicy.js';
import type { Protocol__Output } from '../generated/fulcrum/v1/Protocol.js';
import type { ServerHealth__Output } from '../generated/fulcrum/v1/ServerHealth.js';
import type { TrafficPolicy__Output } from '../generated/fulcrum/v1/TrafficPolicy.js';
import type { TunnelChecksum__Output } from '../generated/fulcrum/v1/TunnelChecksum.js';
import type { TunnelType__Output } from '../generated/fulcrum/v1/TunnelType.js';
import type { VipState__Output } from '../generated/fulcrum/v1/VipState.js';
import { endpoint, type Family, familyOf } from './address.js';
import type { Drain } from './drain.js';
import type { Condition, Pool } from './pool.js';

export interface ServiceKey {
  readonly protocol: Protocol__Output;
  readonly address: string;
  readonly port: number;
  /** Not 0: the key is (family, fwmark), and the rest is unset. */
  readonly fwmark: number;
  readonly family: AddressFamily__Output;
}

export interface ServiceSpec {
  readonly scheduler: string;
  readonly schedulerFlags: number;
  readonly persistenceTimeoutS: number;
  /** 0 for the full address. */
  readonly persistencePrefix: number;
  readonly persistenceEngine: string;
  readonly onePacket: boolean;
}

export interface ServerKey {
  readonly address: string;
  readonly port: number;
}

export interface ServerSpec {
  readonly method: ForwardingMethod__Output;
  readonly weight: number;
  readonly upperThreshold: number;
  readonly lowerThreshold: number;
  readonly tunnelType: TunnelType__Output;
  readonly tunnelPort: number;
  readonly tunnelChecksum: TunnelChecksum__Output;
}

export interface Server {
  readonly key: ServerKey;
  readonly spec: ServerSpec;
  /** Grows with every object added: the order of addition. */
  readonly sequence: number;
  /** Revision of its last change. */
  readonly version: number;
  /** What it has of its own; null: as its service says. */
  readonly health: ServerHealth__Output | null;
  /** Null while its service is not checked. */
  readonly condition: Condition | null;
  /** As long as it has one it gets no new connections. */
  readonly drain: Drain | null;
}

export interface Service {
  readonly key: ServiceKey;
  readonly spec: ServiceSpec;
  /** By serverId(), in the order of addition: the reverse of LVS's list, where a new server goes to the head. */
  readonly servers: ReadonlyMap<string, Server>;
  readonly sequence: number;
  /** Revision of its last change, or of one of its servers'. */
  readonly version: number;
  /** Null: its servers are not checked. */
  readonly health: HealthPolicy__Output | null;
  /** What the dataplane has of its servers; null while they are not checked: all, as they are configured. */
  readonly pool: Pool | null;
  /** Null: it takes all clients, and as many connections as they make. */
  readonly traffic: TrafficPolicy__Output | null;
}

/** What was declared of a VIP, or of a range of them. */
export interface Vip {
  /** "203.0.113.10", or a range: "203.0.113.0/24". */
  readonly address: string;
  readonly announce: Announce__Output;
  readonly state: VipState__Output;
}

/** Both ends are in it. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** What is empty or null matches anything. */
export interface MarkRule {
  /** Unspecified: both. */
  readonly family: AddressFamily__Output;
  readonly protocol: Protocol__Output;
  /** Prefixes with their length. */
  readonly source: string;
  readonly destination: string;
  readonly sourcePorts: PortRange | null;
  readonly destinationPorts: PortRange | null;
  readonly mark: number;
  readonly local: boolean;
}

const protocolNames: Readonly<Record<Protocol__Output, string>> = {
  PROTOCOL_UNSPECIFIED: '?',
  PROTOCOL_TCP: 'TCP',
  PROTOCOL_UDP: 'UDP',
  PROTOCOL_SCTP: 'SCTP',
};

/** Family of a service's clients and, but for tunnels, of its servers. */
export function serviceFamily(key: ServiceKey): Family {
  if (key.fwmark !== 0) return key.family === 'ADDRESS_FAMILY_IPV6' ? 6 : 4;
  return familyOf(key.address);
}

/** "TCP 203.0.113.10:80", "FWM 7", "FWM 7 IPv6": unique, and fit for messages. */
export function serviceId(key: ServiceKey): string {
  if (key.fwmark !== 0) return serviceFamily(key) === 6 ? `FWM ${key.fwmark} IPv6` : `FWM ${key.fwmark}`;
  return `${protocolNames[key.protocol]} ${endpoint(key.address, key.port)}`;
}

/** "10.0.1.11:8080": unique within its service. */
export function serverId(key: ServerKey): string {
  return endpoint(key.address, key.port);
}
