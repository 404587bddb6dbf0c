// SPDX-License-Identifier: Apache-2.0
// Reads messages of fulcrum.v1 into the manager's normal form, or throws a FulcrumError that names the field. Only what
// can be said without knowing the configuration; the rules are LVS's (kernel and ipvsadm).
import { widthOf } from '../config/prefix.js';
import { largestTimeout, type TimeoutValues, timeoutsFrom } from '../config/timeouts.js';
import { type Tunable, type TunableValues, tunables, tunableValues } from '../config/tunables.js';
import type { Announce__Output } from '../generated/fulcrum/v1/Announce.js';
import type { ServerKey__Output } from '../generated/fulcrum/v1/ServerKey.js';
import type { ServerSpec__Output } from '../generated/fulcrum/v1/ServerSpec.js';
import type { ServiceKey__Output } from '../generated/fulcrum/v1/ServiceKey.js';
import type { ServiceSpec__Output } from '../generated/fulcrum/v1/ServiceSpec.js';
import type { Timeouts__Output } from '../generated/fulcrum/v1/Timeouts.js';
import type { Tunables__Output } from '../generated/fulcrum/v1/Tunables.js';
import type { Vip__Output } from '../generated/fulcrum/v1/Vip.js';
import type { VipState__Output } from '../generated/fulcrum/v1/VipState.js';
import { FulcrumError, joinPath, quote } from '../grpc/errors.js';
import { type Address, familyOf, notUnicast, parseAddress } from './address.js';
import {
  type ServerKey,
  type ServerSpec,
  type ServiceKey,
  type ServiceSpec,
  serverId,
  serviceFamily,
  type Vip,
} from './nouns.js';
import { lastOf, readPrefix } from './prefixes.js';

const maxPort = 65_535;
const maxInt32 = 2_147_483_647;
/** The three scheduler flags of ipvsadm -b. */
const allSchedulerFlags = 0b111;

/** Every scheduler of LVS. */
export const lvsSchedulers: readonly string[] = 'rr wrr lc wlc lblc lblcr dh sh mh sed nq fo ovf twos none'.split(' ');
/** Every persistence engine of LVS. */
export const lvsPersistenceEngines: readonly string[] = ['sip'];

export function invalid(field: string, message: string): FulcrumError {
  return new FulcrumError({ reason: 'REASON_INVALID', field, message });
}

export function outOfRange(field: string, message: string): FulcrumError {
  return new FulcrumError({ reason: 'REASON_OUT_OF_RANGE', field, message });
}

function checkRange(value: number, min: number, max: number, field: string, what: string): void {
  if (value < min || value > max) throw outOfRange(field, `${value} is not ${what} (${min} … ${max})`);
}

/** An enum value that is set and known: one that is not known arrives as a number. */
function checkEnum(value: string | number, field: string, unspecified: string): void {
  if (typeof value === 'number') throw invalid(field, `${value} is not a known value`);
  if (value === unspecified) throw invalid(field, 'must be given');
}

export function readAddress(text: string, field: string): Address {
  if (text === '') throw invalid(field, 'must be given');
  const address = parseAddress(text);
  if (address === undefined) throw invalid(field, `${quote(text)} is not an IPv4 or IPv6 address`);
  return address;
}

function readUnicast(text: string, field: string): Address {
  const address = readAddress(text, field);
  const why = notUnicast(address);
  if (why !== undefined) throw invalid(field, `${address.text} ${why}`);
  return address;
}

export function readServiceKey(key: ServiceKey__Output | null | undefined, path: string): ServiceKey {
  if (key === null || key === undefined) throw invalid(path, 'must be given');
  return key.fwmark === 0 ? readAddressKey(key, path) : readFwmarkKey(key, path);
}

function readAddressKey(key: ServiceKey__Output, path: string): ServiceKey {
  checkEnum(key.protocol, joinPath(path, 'protocol'), 'PROTOCOL_UNSPECIFIED');
  const { text } = readUnicast(key.address, joinPath(path, 'address'));
  checkRange(key.port, 0, maxPort, joinPath(path, 'port'), 'a port');
  return { protocol: key.protocol, address: text, port: key.port, fwmark: 0, family: 'ADDRESS_FAMILY_UNSPECIFIED' };
}

function readFwmarkKey(key: ServiceKey__Output, path: string): ServiceKey {
  if (key.protocol !== 'PROTOCOL_UNSPECIFIED' || key.address !== '' || key.port !== 0) {
    throw invalid(path, 'a service by fwmark has no protocol, address or port');
  }
  if (typeof key.family === 'number') throw invalid(joinPath(path, 'family'), `${key.family} is not a known value`);
  const family = key.family === 'ADDRESS_FAMILY_IPV6' ? key.family : 'ADDRESS_FAMILY_IPV4';
  return { protocol: 'PROTOCOL_UNSPECIFIED', address: '', port: 0, fwmark: key.fwmark, family };
}

const noServiceSpec: ServiceSpec__Output = {
  scheduler: '',
  schedulerFlags: 0,
  persistenceTimeoutS: 0,
  persistencePrefix: 0,
  persistenceEngine: '',
  onePacket: false,
};

/** The spec of a service with a given key; what is unset gets ipvsadm's default. */
export function readServiceSpec(
  given: ServiceSpec__Output | null | undefined,
  key: ServiceKey,
  path: string,
): ServiceSpec {
  const spec = given ?? noServiceSpec;
  const scheduler = spec.scheduler === '' ? 'wlc' : spec.scheduler;
  checkKnown(scheduler, lvsSchedulers, joinPath(path, 'scheduler'), 'a scheduler of LVS');
  if (spec.schedulerFlags > allSchedulerFlags) {
    throw outOfRange(joinPath(path, 'scheduler_flags'), `${spec.schedulerFlags} has other bits than the three flags`);
  }
  checkRange(
    spec.persistenceTimeoutS,
    0,
    largestTimeout,
    joinPath(path, 'persistence_timeout_s'),
    'a number of seconds',
  );
  if (spec.persistenceEngine !== '') {
    checkKnown(
      spec.persistenceEngine,
      lvsPersistenceEngines,
      joinPath(path, 'persistence_engine'),
      'a persistence engine of LVS',
    );
  }
  if (spec.onePacket && key.fwmark === 0 && key.protocol !== 'PROTOCOL_UDP') {
    throw invalid(joinPath(path, 'one_packet'), 'one-packet scheduling is only for UDP virtual services');
  }
  if (key.fwmark === 0 && key.port === 0 && spec.persistenceTimeoutS === 0) {
    throw invalid(joinPath(path, 'persistence_timeout_s'), 'must be given for a service with port 0 (every port)');
  }
  return {
    scheduler,
    schedulerFlags: spec.schedulerFlags,
    persistenceTimeoutS: spec.persistenceTimeoutS,
    persistencePrefix: readPersistencePrefix(spec.persistencePrefix, key, joinPath(path, 'persistence_prefix')),
    persistenceEngine: spec.persistenceEngine,
    onePacket: spec.onePacket,
  };
}

function readPersistencePrefix(prefix: number, key: ServiceKey, field: string): number {
  const full = serviceFamily(key) === 6 ? 128 : 32;
  checkRange(prefix, 0, full, field, 'a prefix length');
  return prefix === full ? 0 : prefix;
}

function checkKnown(name: string, known: readonly string[], field: string, what: string): void {
  if (known.includes(name)) return;
  const message = `${quote(name)} is not ${what}; there are: ${known.join(' ')}`;
  throw new FulcrumError({ reason: 'REASON_SCHEDULER_NOT_FOUND', field, message });
}

/** Key of a server as given. Whether its address is unicast is asked only when it is added, as in LVS. */
export function readServerKey(key: ServerKey__Output | null | undefined, path: string): ServerKey {
  if (key === null || key === undefined) throw invalid(path, 'must be given');
  const { text } = readAddress(key.address, joinPath(path, 'address'));
  checkRange(key.port, 0, maxPort, joinPath(path, 'port'), 'a port');
  return { address: text, port: key.port };
}

export function checkServerAddress(key: ServerKey, path: string): void {
  const { text } = readUnicast(key.address, joinPath(path, 'address'));
  // fe80::/10, RFC 4291: it says nothing about the link.
  if (/^fe[89ab].:/.test(text)) throw invalid(joinPath(path, 'address'), `${text} is a link-local address`);
}

/** With DR and TUN the packet keeps its port: the server's is the service's, whatever was given. */
export function effectiveServerKey(service: ServiceKey, key: ServerKey, spec: ServerSpec): ServerKey {
  if (service.fwmark !== 0 || spec.method === 'FORWARDING_METHOD_NAT' || key.port === service.port) return key;
  return { address: key.address, port: service.port };
}

const noServerSpec: ServerSpec__Output = {
  method: 'FORWARDING_METHOD_UNSPECIFIED',
  upperThreshold: 0,
  lowerThreshold: 0,
  tunnelType: 'TUNNEL_TYPE_UNSPECIFIED',
  tunnelPort: 0,
  tunnelChecksum: 'TUNNEL_CHECKSUM_UNSPECIFIED',
};

/** The spec of a server; what is unset gets ipvsadm's default. */
export function readServerSpec(given: ServerSpec__Output | null | undefined, path: string): ServerSpec {
  const spec = given ?? noServerSpec;
  const weight = spec.weight ?? 1;
  if (typeof spec.method === 'number') throw invalid(joinPath(path, 'method'), `${spec.method} is not a known value`);
  checkRange(weight, 0, maxInt32, joinPath(path, 'weight'), 'a weight');
  checkThresholds(spec, path);
  const method = spec.method === 'FORWARDING_METHOD_UNSPECIFIED' ? 'FORWARDING_METHOD_DR' : spec.method;
  return {
    method,
    weight,
    upperThreshold: spec.upperThreshold,
    lowerThreshold: spec.lowerThreshold,
    ...(method === 'FORWARDING_METHOD_TUN' ? readTunnel(spec, path) : readNoTunnel(spec, path)),
  };
}

function checkThresholds(spec: ServerSpec__Output, path: string): void {
  const { upperThreshold: upper, lowerThreshold: lower } = spec;
  checkRange(upper, 0, maxInt32, joinPath(path, 'upper_threshold'), 'a number of connections');
  if (lower > upper) {
    throw outOfRange(joinPath(path, 'lower_threshold'), `${lower} is above the upper threshold, ${upper}`);
  }
}

type Tunnel = Pick<ServerSpec, 'tunnelType' | 'tunnelPort' | 'tunnelChecksum'>;

const noTunnel: Tunnel = {
  tunnelType: 'TUNNEL_TYPE_UNSPECIFIED',
  tunnelPort: 0,
  tunnelChecksum: 'TUNNEL_CHECKSUM_UNSPECIFIED',
};
const ipipTunnel: Tunnel = { ...noTunnel, tunnelType: 'TUNNEL_TYPE_IPIP' };

function isPlainIpip(spec: ServerSpec__Output): boolean {
  const type = spec.tunnelType;
  return (
    (type === 'TUNNEL_TYPE_UNSPECIFIED' || type === 'TUNNEL_TYPE_IPIP') &&
    spec.tunnelPort === 0 &&
    spec.tunnelChecksum === 'TUNNEL_CHECKSUM_UNSPECIFIED'
  );
}

function readNoTunnel(spec: ServerSpec__Output, path: string): Tunnel {
  if (!isPlainIpip(spec)) throw invalid(joinPath(path, 'tunnel_type'), 'tunnel settings are only for the method TUN');
  return noTunnel;
}

function readTunnel(spec: ServerSpec__Output, path: string): Tunnel {
  if (isPlainIpip(spec)) return ipipTunnel;
  const { tunnelPort, tunnelType } = spec;
  if (typeof tunnelType === 'number')
    throw invalid(joinPath(path, 'tunnel_type'), `${tunnelType} is not a known value`);
  if (typeof spec.tunnelChecksum === 'number') {
    throw invalid(joinPath(path, 'tunnel_checksum'), `${spec.tunnelChecksum} is not a known value`);
  }
  const unset = spec.tunnelChecksum === 'TUNNEL_CHECKSUM_UNSPECIFIED';
  const tunnelChecksum = unset ? 'TUNNEL_CHECKSUM_NOCSUM' : spec.tunnelChecksum;
  switch (tunnelType) {
    case 'TUNNEL_TYPE_GUE':
      if (tunnelPort === 0) throw invalid(joinPath(path, 'tunnel_port'), 'must be given for GUE');
      checkRange(tunnelPort, 1, maxPort, joinPath(path, 'tunnel_port'), 'a port');
      return { tunnelType, tunnelPort, tunnelChecksum };
    case 'TUNNEL_TYPE_GRE':
      if (tunnelPort !== 0) throw invalid(joinPath(path, 'tunnel_port'), 'GRE has no port');
      if (tunnelChecksum === 'TUNNEL_CHECKSUM_REMCSUM') {
        throw invalid(joinPath(path, 'tunnel_checksum'), 'GRE has no remote checksum offload');
      }
      return { tunnelType, tunnelPort, tunnelChecksum };
    default:
      throw invalid(joinPath(path, 'tunnel_type'), 'IPIP has neither port nor checksum');
  }
}

/** LVS tunnels may cross families; NAT and DR may not. */
export function checkFamily(service: ServiceKey, key: ServerKey, spec: ServerSpec, path: string): void {
  if (spec.method === 'FORWARDING_METHOD_TUN' || familyOf(key.address) === serviceFamily(service)) return;
  const message = `${key.address} is not of the service's address family, which only the method TUN allows`;
  throw new FulcrumError({ reason: 'REASON_FAMILY_MISMATCH', field: joinPath(path, 'address'), message });
}

/** A VIP; fields that are unset keep their value, or get the default if nothing was declared. */
export function readVip(
  vip: Vip__Output | null | undefined,
  current: (address: string) => Vip | undefined,
  path: string,
): Vip {
  if (vip === null || vip === undefined) throw invalid(path, 'must be given');
  const text = readVipAddress(vip.address, joinPath(path, 'address'));
  if (typeof vip.announce === 'number')
    throw invalid(joinPath(path, 'announce'), `${vip.announce} is not a known value`);
  if (typeof vip.state === 'number') throw invalid(joinPath(path, 'state'), `${vip.state} is not a known value`);
  const before = current(text) ?? undeclaredVip(text);
  const announce: Announce__Output = vip.announce === 'ANNOUNCE_UNSPECIFIED' ? before.announce : vip.announce;
  const state: VipState__Output = vip.state === 'VIP_STATE_UNSPECIFIED' ? before.state : vip.state;
  return { address: text, announce, state };
}

/** The address of a VIP, or a range of them; in normal form a range of one is an address. */
export function readVipAddress(text: string, field: string): string {
  if (!text.includes('/')) return readUnicast(text, field).text;
  const { text: range, prefix } = readPrefix(text, field);
  const [first = '', length] = range.split('/');
  if (Number(length) === widthOf(prefix.family)) return readUnicast(first, field).text;
  const why = notUnicast({ family: prefix.family, text: first }) ?? notUnicast(lastOf(prefix));
  if (why !== undefined) throw invalid(field, `${range} has an address that ${why}`);
  return range;
}

/** What holds for the address of a service that nobody declared. */
export function undeclaredVip(address: string): Vip {
  return { address, announce: 'ANNOUNCE_ARP', state: 'VIP_STATE_ACTIVE' };
}

/** Timeouts as given: 0 is to keep a value. */
export function readTimeouts(given: Timeouts__Output | null | undefined, path: string): TimeoutValues {
  if (given === null || given === undefined) throw invalid(path, 'must be given');
  return timeoutsFrom(({ name, field }) => {
    checkRange(given[field], 0, largestTimeout, joinPath(path, `${name}_s`), 'a number of seconds');
    return given[field];
  });
}

/** Only the tunables that are given. */
export function readTunables(given: Tunables__Output | null | undefined, path: string): TunableValues {
  if (given === null || given === undefined) throw invalid(path, 'must be given');
  const values = tunableValues(given);
  for (const tunable of tunables) {
    const value = values[tunable.field];
    if (value !== undefined) checkTunable(tunable, value, joinPath(path, tunable.name));
  }
  return { ...values, ...automatic(values) };
}

/** 2 is how the automatic mode reads while it is at work; who writes it means that mode. */
function automatic(values: TunableValues): TunableValues {
  const defences = ['secureTcp', 'dropEntry', 'dropPacket'] as const;
  return Object.fromEntries(defences.filter((field) => values[field] === 2).map((field) => [field, 1]));
}

function checkTunable({ name, initial, minimum, maximum, unsupported }: Tunable, value: number, field: string): void {
  checkRange(value, minimum, maximum, field, `a value of ${name}`);
  if (unsupported === undefined || value === initial) return;
  const message = `${name} stays ${initial}: ${unsupported}`;
  throw new FulcrumError({ reason: 'REASON_NOT_SUPPORTED', field, message });
}

export interface NamedServer {
  readonly key: ServerKey;
  readonly spec: ServerSpec;
  readonly id: string;
}

/** Key and spec of a server that is to be in a service, with the port that its method gives it. */
export function readServer(
  service: ServiceKey,
  key: ServerKey__Output | null | undefined,
  spec: ServerSpec__Output | null | undefined,
  path: string,
): NamedServer {
  const given = readServerKey(key, joinPath(path, 'key'));
  const readSpec = readServerSpec(spec, joinPath(path, 'spec'));
  const effective = effectiveServerKey(service, given, readSpec);
  checkFamily(service, effective, readSpec, joinPath(path, 'key'));
  return { key: effective, spec: readSpec, id: serverId(effective) };
}
