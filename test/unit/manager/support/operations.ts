// SPDX-License-Identifier: Apache-2.0
// Short ways to write operations and to read a model, for tests.
import { keptTimeouts, type TimeoutValues } from '../../../../src/config/timeouts.js';
import type { TunableValues } from '../../../../src/config/tunables.js';
import type { Drain__Output } from '../../../../src/generated/fulcrum/v1/Drain.js';
import type { MarkRule__Output } from '../../../../src/generated/fulcrum/v1/MarkRule.js';
import type { Operation__Output } from '../../../../src/generated/fulcrum/v1/Operation.js';
import type { ServerSpec__Output } from '../../../../src/generated/fulcrum/v1/ServerSpec.js';
import type { ServiceKey__Output } from '../../../../src/generated/fulcrum/v1/ServiceKey.js';
import type { ServiceSpec__Output } from '../../../../src/generated/fulcrum/v1/ServiceSpec.js';
import type { TrafficPolicy__Output } from '../../../../src/generated/fulcrum/v1/TrafficPolicy.js';
import { FulcrumError } from '../../../../src/grpc/errors.js';
import type { Model } from '../../../../src/manager/model.js';

/** A service's key from "tcp 192.0.2.1:80", "udp [2001:db8::1]:53" or "fwm 7". */
export function service(text: string): ServiceKey__Output {
  const [kind = '', where = ''] = text.split(' ');
  const unset = { address: '', port: 0, fwmark: 0, family: 'ADDRESS_FAMILY_UNSPECIFIED' } as const;
  if (kind === 'fwm') return { ...unset, protocol: 'PROTOCOL_UNSPECIFIED', fwmark: Number(where) };
  const protocol = `PROTOCOL_${kind.toUpperCase()}` as ServiceKey__Output['protocol'];
  return { ...unset, ...server(where), protocol };
}

/** An address and a port from "10.0.0.1:80" or "[2001:db8::1]:80". */
export function server(text: string): { address: string; port: number } {
  const colon = text.lastIndexOf(':');
  return { address: text.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(text.slice(colon + 1)) };
}

export function serviceSpec(spec: Partial<ServiceSpec__Output> = {}): ServiceSpec__Output {
  return {
    scheduler: '',
    schedulerFlags: 0,
    persistenceTimeoutS: 0,
    persistencePrefix: 0,
    persistenceEngine: '',
    onePacket: false,
    ...spec,
  };
}

export function serverSpec(spec: Partial<ServerSpec__Output> = {}): ServerSpec__Output {
  return {
    method: 'FORWARDING_METHOD_UNSPECIFIED',
    upperThreshold: 0,
    lowerThreshold: 0,
    tunnelType: 'TUNNEL_TYPE_UNSPECIFIED',
    tunnelPort: 0,
    tunnelChecksum: 'TUNNEL_CHECKSUM_UNSPECIFIED',
    ...spec,
  };
}

export function addService(key: string, spec: Partial<ServiceSpec__Output> = {}): Operation__Output {
  return { action: 'addService', addService: { key: service(key), spec: serviceSpec(spec) } };
}

export function editService(key: string, spec: Partial<ServiceSpec__Output> = {}): Operation__Output {
  return { action: 'editService', editService: { key: service(key), spec: serviceSpec(spec) } };
}

export function deleteService(key: string): Operation__Output {
  return { action: 'deleteService', deleteService: service(key) };
}

export function addServer(of: string, key: string, spec: Partial<ServerSpec__Output> = {}): Operation__Output {
  return { action: 'addServer', addServer: { service: service(of), key: server(key), spec: serverSpec(spec) } };
}

export function editServer(of: string, key: string, spec: Partial<ServerSpec__Output> = {}): Operation__Output {
  return { action: 'editServer', editServer: { service: service(of), key: server(key), spec: serverSpec(spec) } };
}

export function deleteServer(of: string, key: string): Operation__Output {
  return { action: 'deleteServer', deleteServer: { service: service(of), key: server(key) } };
}

export function setDrain(of: string, key: string, drain: Partial<Drain__Output> | null): Operation__Output {
  const unset = { atEnd: 'DRAIN_END_UNSPECIFIED', timeoutMs: 0, deadline: '', since: '', ended: '' } as const;
  const change = { service: service(of), key: server(key), drain: drain && { ...unset, ...drain } };
  return { action: 'setDrain', setDrain: change };
}

export function setTimeouts(values: Partial<TimeoutValues>): Operation__Output {
  return { action: 'setTimeouts', setTimeouts: { ...keptTimeouts, ...values } };
}

export function setTunables(values: TunableValues): Operation__Output {
  return { action: 'setTunables', setTunables: values };
}

export function markRule(rule: Partial<MarkRule__Output> = {}): MarkRule__Output {
  return {
    family: 'ADDRESS_FAMILY_UNSPECIFIED',
    protocol: 'PROTOCOL_UNSPECIFIED',
    source: '',
    destination: '',
    sourcePorts: null,
    destinationPorts: null,
    mark: 7,
    local: false,
    ...rule,
  };
}

export function setMarkRules(...rules: Partial<MarkRule__Output>[]): Operation__Output {
  return { action: 'setMarkRules', setMarkRules: { rules: rules.map(markRule) } };
}

/** Declares a VIP or a range of them: announced by ARP, active. */
export function setVip(address: string): Operation__Output {
  return { action: 'setVip', setVip: { address, announce: 'ANNOUNCE_ARP', state: 'VIP_STATE_ACTIVE', services: 0 } };
}

/** Services in the order of creation, each with its servers in LVS list order: "TCP 192.0.2.1:80: 10.0.0.2:80 10.0.0.1:80". */
export function outline(model: Model): string[] {
  return [...model.services].map(([id, { servers }]) => `${id}: ${[...servers.keys()].reverse().join(' ')}`.trimEnd());
}

/** "REASON_INVALID add_service.key.port" of the FulcrumError that a function throws. */
export function refusal(attempt: () => unknown): string {
  try {
    attempt();
  } catch (error) {
    if (error instanceof FulcrumError) return `${error.reason} ${error.field}`;
    throw error;
  }
  return 'not refused';
}

export function trafficPolicy(policy: Partial<TrafficPolicy__Output> = {}): TrafficPolicy__Output {
  return {
    allow: [],
    deny: [],
    maxConnections: 0,
    connectionsPerSecond: 0,
    connectionsBurst: 0,
    mss: 0,
    mssAuto: false,
    ...policy,
  };
}

export function setTraffic(of: string, policy: Partial<TrafficPolicy__Output>): Operation__Output {
  return { action: 'setTraffic', setTraffic: { service: service(of), traffic: trafficPolicy(policy) } };
}

export function setPrefixList(name: string, ...prefixes: string[]): Operation__Output {
  return { action: 'setPrefixList', setPrefixList: { name, prefixes } };
}

export function deletePrefixList(name: string): Operation__Output {
  return { action: 'deletePrefixList', deletePrefixList: name };
}
