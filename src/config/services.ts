// SPDX-License-Identifier: Apache-2.0
// The services part of a configuration file: `services`, `vips`, `timeouts`, `tunables`, `mark_rules`. Its JSON Schema,
// the way from a document to the API's Configuration (errors by file, line and column) and back. The file that
// `fulcrum config show` prints is the file that `fulcrum config apply` reads.

import type { Announce__Output } from '../generated/fulcrum/v1/Announce.js';
import type { Configuration, Configuration__Output } from '../generated/fulcrum/v1/Configuration.js';
import type { RealServer, RealServer__Output } from '../generated/fulcrum/v1/RealServer.js';
import type { ServiceKey__Output } from '../generated/fulcrum/v1/ServiceKey.js';
import type { Vip, Vip__Output } from '../generated/fulcrum/v1/Vip.js';
import type { VipState__Output } from '../generated/fulcrum/v1/VipState.js';
import type { VirtualService, VirtualService__Output } from '../generated/fulcrum/v1/VirtualService.js';
import { type Attempt, ConfigurationError, type Document, inOrder, type Path, type Problem } from './document.js';
import {
  type HealthEntry,
  healthEntry,
  healthSchema,
  type ServerHealthEntry,
  serverHealthEntry,
  serverHealthSchema,
  toHealth,
  toServerHealth,
} from './health.js';
import { formatServerKey, formatServiceKey, KeyError, parseServiceKey } from './keys.js';
import {
  type MarkRuleEntry,
  markRuleEntry,
  markRuleSchema,
  parsePrefixOrAddress,
  readPrefixText,
  toMarkRule,
} from './mark_rules.js';
import { allFlagNames, flagNames, flagOf } from './scheduler_flags.js';
import {
  addressWidth,
  methods,
  nameOf,
  type ServerSpecEntry,
  serverProperties,
  serverSpecEntry,
  toServer,
  tunnelChecksums,
  tunnelTypes,
} from './servers.js';
import { largestTimeout, shortTimeoutsEntry, type TimeoutsEntry, timeoutsSchema, toTimeouts } from './timeouts.js';
import {
  type PrefixListsEntry,
  prefixListsEntry,
  prefixListsSchema,
  type TrafficEntry,
  toPrefixLists,
  toTraffic,
  trafficEntry,
  trafficProperties,
} from './traffic.js';
import { type TunablesEntry, type TunableValues, toTunables, tunablesEntry, tunablesSchema } from './tunables.js';

export interface ServerEntry extends ServerSpecEntry {
  readonly health?: ServerHealthEntry;
}

export interface ServiceEntry extends TrafficEntry {
  readonly address: string;
  readonly scheduler?: string;
  readonly scheduler_flags?: readonly string[];
  readonly persistence_timeout?: number;
  readonly persistence_prefix?: number;
  readonly persistence_engine?: string;
  readonly one_packet?: boolean;
  readonly health?: HealthEntry;
  readonly servers?: readonly ServerEntry[];
}

export interface VipEntry {
  readonly address: string;
  readonly announce?: string;
  readonly state?: string;
}

export interface ServicesSection {
  readonly services?: readonly ServiceEntry[];
  readonly vips?: readonly VipEntry[];
  readonly timeouts?: TimeoutsEntry;
  readonly tunables?: TunablesEntry;
  readonly mark_rules?: readonly MarkRuleEntry[];
  readonly prefix_lists?: PrefixListsEntry;
}

export const schedulers = [
  'rr',
  'wrr',
  'lc',
  'wlc',
  'lblc',
  'lblcr',
  'dh',
  'sh',
  'mh',
  'sed',
  'nq',
  'fo',
  'ovf',
  'twos',
  'none',
] as const;

const announces: Readonly<Record<string, Announce__Output>> = {
  arp: 'ANNOUNCE_ARP',
  route: 'ANNOUNCE_ROUTE',
  none: 'ANNOUNCE_NONE',
};
const vipStates: Readonly<Record<string, VipState__Output>> = {
  active: 'VIP_STATE_ACTIVE',
  standby: 'VIP_STATE_STANDBY',
};
const seconds = (description: string) => ({ type: 'integer', minimum: 0, maximum: largestTimeout, description });

const serverSchema = {
  type: 'object',
  additionalProperties: false,
  required: ['address'],
  properties: { ...serverProperties, health: serverHealthSchema },
} as const;

export const serviceSchema = {
  type: 'object',
  additionalProperties: false,
  required: ['address'],
  properties: {
    address: { type: 'string', description: 'tcp:ADDRESS:PORT, udp:ADDRESS:PORT, sctp:ADDRESS:PORT or fwmark:MARK' },
    scheduler: { enum: schedulers, default: 'wlc', description: "LVS's, by their names; none finds no server" },
    scheduler_flags: {
      type: 'array',
      uniqueItems: true,
      items: { enum: allFlagNames },
      description:
        'of sh and mh: fallback takes another server if the chosen one has no weight, port hashes the port, too',
    },
    persistence_timeout: seconds('seconds a client stays with its server; 0: not persistent'),
    persistence_prefix: {
      type: 'integer',
      minimum: 1,
      maximum: 128,
      description: 'persistence: clients of one network of this prefix length count as one; left out: each on its own',
    },
    persistence_engine: { type: 'string', description: 'for example sip; known to LVS, refused as not available yet' },
    one_packet: { type: 'boolean', default: false, description: 'schedule every UDP packet on its own' },
    ...trafficProperties,
    health: healthSchema,
    servers: { type: 'array', description: 'in the order in which they are added', items: serverSchema },
  },
} as const;

const vipSchema = {
  type: 'object',
  additionalProperties: false,
  required: ['address'],
  properties: {
    address: { type: 'string', description: 'an IPv4 or IPv6 address, or a range of them: "203.0.113.0/24"' },
    announce: { enum: Object.keys(announces), default: 'arp', description: 'how the link learns of it' },
    state: {
      enum: Object.keys(vipStates),
      default: 'active',
      description: 'standby answers no ARP or ND, but forwards what arrives',
    },
  },
} as const;

/** Properties to be merged into the schema of a larger file. */
export const servicesProperties = {
  services: { type: 'array', description: 'virtual services with their real servers', items: serviceSchema },
  vips: {
    type: 'array',
    description: 'virtual IP addresses; those of services that are not named here are arp and active',
    items: vipSchema,
  },
  timeouts: timeoutsSchema,
  tunables: tunablesSchema,
  mark_rules: {
    type: 'array',
    description: 'give packets their marks: the first rule that matches',
    items: markRuleSchema,
  },
  prefix_lists: prefixListsSchema,
} as const;

/** Schema of a file that holds only the services part. */
export const servicesSchema = {
  $schema: 'http://json-schema.org/draft-07/schema#',
  title: 'Fulcrum services',
  type: 'object',
  additionalProperties: false,
  properties: servicesProperties,
} as const;

/** The Configuration that a document asks for. Throws ConfigurationError for what the schema cannot see. */
export function toConfiguration(document: Document<ServicesSection>): Configuration {
  const problems: Problem[] = [];
  const attempt = <T>(path: Path, read: () => T): T | undefined => {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof KeyError)) throw error;
      problems.push(document.problem(path, error.message));
      return undefined;
    }
  };
  const section = document.value;
  const services = (section.services ?? []).map((entry, index) => serviceOf(entry, ['services', index], attempt));
  const vips = (section.vips ?? []).map((entry, index) => attempt(['vips', index, 'address'], () => vipOf(entry)));
  findRepeated(services.map((service) => service?.key && formatServiceKey(service.key as ServiceKey__Output))).forEach(
    ([index, text]) => {
      problems.push(document.problem(['services', index, 'address'], `${text} is defined twice`));
    },
  );
  findRepeated(vips.map((vip) => vip?.address)).forEach(([index, text]) => {
    problems.push(document.problem(['vips', index, 'address'], `${text} is defined twice`));
  });
  services.forEach((service, index) => {
    const keys = service?.servers?.map(
      (server) => server.key && formatServerKey({ address: server.key.address ?? '', port: server.key.port ?? 0 }),
    );
    findRepeated(keys ?? []).forEach(([position, text]) => {
      problems.push(
        document.problem(
          ['services', index, 'servers', position, 'address'],
          `${text} is defined twice in this service`,
        ),
      );
    });
  });
  const rules = section.mark_rules?.map((entry, index) =>
    toMarkRule(entry, (field, read) => attempt(['mark_rules', index, ...(field === undefined ? [] : [field])], read)),
  );
  const prefixLists = toPrefixLists(section.prefix_lists ?? {}, attempt);
  if (problems.length > 0) throw new ConfigurationError(inOrder(problems));
  return {
    services: services.filter((service) => service !== undefined),
    vips: vips.filter((vip) => vip !== undefined),
    timeouts: section.timeouts === undefined ? null : toTimeouts(section.timeouts),
    tunables: section.tunables === undefined ? null : toTunables(section.tunables),
    markRules: rules === undefined ? null : { rules },
    prefixLists,
  };
}

function serviceOf(entry: ServiceEntry, path: Path, attempt: Attempt): VirtualService | undefined {
  const key = attempt([...path, 'address'], () => parseServiceKey(entry.address));
  if (key === undefined) return undefined;
  const scheduler = entry.scheduler ?? 'wlc';
  const flags = (entry.scheduler_flags ?? []).map(
    (flag, index) => attempt([...path, 'scheduler_flags', index], () => schedulerFlag(flag, scheduler)) ?? 0,
  );
  const servers = (entry.servers ?? []).map((server, index) =>
    serverOf(server, key, [...path, 'servers', index], attempt),
  );
  const traffic = toTraffic(entry, key, path, attempt);
  return {
    key,
    spec: {
      scheduler,
      schedulerFlags: flags.reduce((bits, flag) => bits | flag, 0),
      persistenceTimeoutS: entry.persistence_timeout ?? 0,
      persistencePrefix: attempt([...path, 'persistence_prefix'], () => prefixOf(entry, key)) ?? 0,
      persistenceEngine: entry.persistence_engine ?? '',
      onePacket: entry.one_packet ?? false,
    },
    servers: servers.filter((server) => server !== undefined),
    ...(traffic !== undefined && { traffic }),
    ...(entry.health !== undefined && { health: toHealth(entry.health, key, [...path, 'health'], attempt) }),
  };
}

function serverOf(
  entry: ServerEntry,
  service: ServiceKey__Output,
  path: Path,
  attempt: Attempt,
): RealServer | undefined {
  const server = toServer(entry, service, path, attempt);
  if (server === undefined || entry.health === undefined) return server;
  return { ...server, health: toServerHealth(entry.health, [...path, 'health'], attempt) };
}

function prefixOf(entry: ServiceEntry, key: ServiceKey__Output): number {
  const width = addressWidth(key);
  const prefix = entry.persistence_prefix ?? 0;
  if (prefix > width) throw new KeyError(`${prefix} is longer than an address of ${width} bits`);
  return prefix === width ? 0 : prefix;
}

function schedulerFlag(name: string, scheduler: string): number {
  const flag = flagOf(name);
  if (flag === undefined) throw new KeyError(`${name} is not a scheduler flag`);
  if (flag.owner !== undefined && flag.owner !== scheduler) {
    throw new KeyError(`${name} belongs to scheduler ${flag.owner}, not ${scheduler}`);
  }
  return flag.bit;
}

function vipOf(entry: VipEntry): Vip {
  if (parsePrefixOrAddress(entry.address) === undefined) {
    throw new KeyError(`"${entry.address}" is not an IPv4 or IPv6 address, or a range such as "203.0.113.0/24"`);
  }
  readPrefixText(entry.address);
  return {
    address: entry.address,
    announce: announces[entry.announce ?? 'arp'] ?? 'ANNOUNCE_ARP',
    state: vipStates[entry.state ?? 'active'] ?? 'VIP_STATE_ACTIVE',
  };
}

function findRepeated(texts: readonly (string | null | undefined)[]): readonly (readonly [number, string])[] {
  const seen = new Set<string>();
  return texts.flatMap((text, index) => {
    if (text === undefined || text === null) return [];
    if (seen.has(text)) return [[index, text] as const];
    seen.add(text);
    return [];
  });
}

/** The section that toConfiguration would read back to the same configuration; defaults are left out. */
export function fromConfiguration(configuration: Configuration__Output): ServicesSection {
  return {
    services: configuration.services.map(serviceEntry),
    ...(configuration.vips.length > 0 && { vips: configuration.vips.map(vipEntry) }),
    ...(configuration.timeouts && { timeouts: shortTimeoutsEntry(configuration.timeouts) }),
    ...(configuration.tunables &&
      hasTunables(configuration.tunables) && { tunables: tunablesEntry(configuration.tunables) }),
    ...(configuration.markRules && { mark_rules: configuration.markRules.rules.map(markRuleEntry) }),
    ...(configuration.prefixLists.length > 0 && { prefix_lists: prefixListsEntry(configuration.prefixLists) }),
  };
}

function hasTunables(values: TunableValues): boolean {
  return Object.keys(tunablesEntry(values)).length > 0;
}

export function serviceEntry(service: VirtualService__Output): ServiceEntry {
  const { key, spec } = service;
  if (!key || !spec) throw new Error('the director sent a service without key or spec');
  return {
    address: formatServiceKey(key),
    scheduler: spec.scheduler,
    ...(spec.schedulerFlags !== 0 && { scheduler_flags: flagNames(spec.schedulerFlags, spec.scheduler) }),
    ...(spec.persistenceTimeoutS !== 0 && { persistence_timeout: spec.persistenceTimeoutS }),
    ...(spec.persistencePrefix !== 0 && { persistence_prefix: spec.persistencePrefix }),
    ...(spec.persistenceEngine !== '' && { persistence_engine: spec.persistenceEngine }),
    ...(spec.onePacket && { one_packet: true }),
    ...(service.traffic && trafficEntry(service.traffic)),
    ...(service.health && { health: healthEntry(service.health) }),
    servers: service.servers.map(serverEntry),
  };
}

export function serverEntry(server: RealServer__Output): ServerEntry {
  return { ...serverSpecEntry(server), ...(server.health && { health: serverHealthEntry(server.health) }) };
}

export function vipEntry(vip: Vip__Output): VipEntry {
  return {
    address: vip.address,
    announce: nameOf(announces, vip.announce) ?? 'arp',
    state: nameOf(vipStates, vip.state) ?? 'active',
  };
}

/** The place in a document that a field path of the API means: "configuration.services[0].key.port" is services[0].address. */
export function documentPath(field: string): Path {
  const parts = field
    .replace(/^configuration\./, '')
    .split(/[.[\]]+/)
    .filter((part) => part !== '');
  const path: (string | number)[] = [];
  for (const [index, part] of parts.entries()) {
    if (/^\d+$/.test(part)) path.push(Number(part));
    else if (part === 'key') return [...path, 'address'];
    else if (part.endsWith('_ports')) return [...path, part];
    else if (
      !['spec', 'rules', 'traffic'].includes(part) &&
      !isKindOfCheck(parts, index) &&
      !isKindOfLoad(parts, index)
    )
      path.push(documentName(parts, index));
  }
  return path;
}

/** "checks[0].http.path": the document has the options of all kinds in one place. */
function isKindOfCheck(parts: readonly string[], index: number): boolean {
  return parts[index - 2] === 'checks' && checkKinds.has(parts[index] ?? '');
}

/** "load.number.path", likewise. */
function isKindOfLoad(parts: readonly string[], index: number): boolean {
  return parts[index - 1] === 'load' && /^(agent|orca|number)$/.test(parts[index] ?? '');
}

const checkKinds: ReadonlySet<string> = new Set('tcp http smtp dns udp ping grpc command'.split(' '));
const isWithoutUnit = /^(timeouts|services)$/;

/** Names of the API tell units where documents have one for all, and those of a DNS check are shorter. */
function documentName(parts: readonly string[], index: number): string {
  const part = parts[index] ?? '';
  if (parts[index - 1] === 'dns') return `query_${part}`;
  if (parts[index - 1] === 'number' && /^(json_pointer|prometheus_metric)$/.test(part)) return part.replace(/^.*_/, '');
  return isWithoutUnit.test(parts[0] ?? '') ? part.replace(/_(s|ms|percent)$/, '') : part;
}

/** For commands that take the same words as options. */
export const words = { methods, announces, vipStates, tunnelTypes, tunnelChecksums } as const;
