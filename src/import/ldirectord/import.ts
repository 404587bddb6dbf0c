// SPDX-License-Identifier: Apache-2.0
// An ldirectord.cf as the services part of the director's configuration, and what of it has no equivalent.
import type { HealthEntry } from '../../config/health.js';
import type { CheckEntry } from '../../config/health_check.js';
import { formatEndpoint, largestMark, largestPort, parseDecimal } from '../../config/keys.js';
import { type ServiceEntry, schedulers } from '../../config/services.js';
import { largestTimeout } from '../../config/timeouts.js';
import { acceptable, type Import, type PlacedServer, type PlacedService } from '../finish.js';
import { prefixLengthOf } from '../mask.js';
import { type Warn, warningList } from '../source.js';
import { programOf } from '../words.js';
import { type CheckOptions, checkOf, servicePorts } from './checks.js';
import { type Directive, type LdirectordFile, readDirectives, unquoted, type Virtual } from './lines.js';
import { hostAndPort, readReal } from './real.js';

/** Throws ConfigurationError for a file that cannot be parsed, UnreadableFile for one that cannot be read. */
export function importLdirectord(file: string): Import {
  const { warn, list } = warningList();
  const { globals, virtuals }: LdirectordFile = readDirectives(file);
  for (const one of globals) {
    if (!perVirtual.has(one.key)) tellUnknown(one, globalAdvice, 'the file', warn);
  }
  const services = virtuals
    .map((virtual) => serviceOf(virtual, globals, warn))
    .filter((service) => service !== undefined);
  return { configuration: acceptable(services, {}, warn), warnings: list() };
}

const mailAdvice = 'no mail is sent; notify_up and notify_down can, and "fulcrum watch" tells every change';

const globalAdvice: Readonly<Record<string, string>> = {
  autoreload: 'a changed file is applied with "fulcrum config apply"',
  callback: 'nothing is run when the file changes',
  execute: 'one director serves all services',
  fork: 'checks of all services run side by side',
  logfile: 'the director logs to standard output',
  supervised: '"fulcrum up" stays in the foreground',
};

const virtualAdvice: Readonly<Record<string, string>> = {
  cleanstop: 'services stay until they are deleted, also while the director is restarted',
  emailalert: mailAdvice,
  emailalertfreq: mailAdvice,
  emailalertfrom: mailAdvice,
  emailalertstatus: mailAdvice,
  smtp: mailAdvice,
  maintenancedir: '"fulcrum server drain" takes a server out',
  monitorfile: 'every change is an event: fulcrum watch',
  readdquiescent: 'servers keep their place when a file is applied again',
  load: 'not known to ldirectord any more',
  login: 'only that the connection is made is checked, without logging in',
  passwd: 'only that the connection is made is checked, without logging in',
  database: 'only that the connection is made is checked, without logging in',
  secret: 'only that the connection is made is checked, without logging in',
};

/** What a virtual service can have, and the lines above all of them hand down. */
const perVirtual: ReadonlySet<string> = new Set(
  'checktype service checktimeout negotiatetimeout checkinterval failurecount checkcount checkcommand checkport request receive httpmethod virtualhost scheduler persistent netmask protocol quiescent fallback fallbackcommand'.split(
    ' ',
  ),
);

function tellUnknown(
  { key, place }: Directive,
  advice: Readonly<Record<string, string>>,
  where: string,
  warn: Warn,
): void {
  const known = { ...virtualAdvice, ...advice };
  const reason = Object.hasOwn(known, key) ? known[key] : undefined;
  warn(place, reason === undefined ? `unknown key "${key}" in ${where}; skipped` : `${key}: ${reason}`);
}

/** The last line of the virtual service counts, else the last one above all of them. */
type Lookup = (key: string) => Directive | undefined;

function lookupIn(virtual: Virtual, globals: readonly Directive[]): Lookup {
  return (key) => virtual.directives.findLast((one) => one.key === key) ?? globals.findLast((one) => one.key === key);
}

interface Key {
  readonly protocol: 'tcp' | 'udp' | 'fwm';
  readonly address: string;
  readonly port: number;
  readonly mark: number;
}

function serviceOf(virtual: Virtual, globals: readonly Directive[], warn: Warn): PlacedService | undefined {
  for (const one of virtual.directives) {
    if (!perVirtual.has(one.key) && one.key !== 'real') tellUnknown(one, {}, 'a virtual service', warn);
  }
  const find = lookupIn(virtual, globals);
  const key = keyOf(virtual, find, warn);
  if (key === undefined) return undefined;
  const reals = virtual.directives.filter((one) => one.key === 'real').flatMap((one) => readReal(one, key, warn));
  if (reals.length === 0) {
    warn(virtual.place, 'virtual has no real; ignored');
    return undefined;
  }
  const options = checkOptions(virtual, key, find, warn);
  const servers = reals.map(({ entry, ...real }): PlacedServer => {
    const { place } = real;
    const check = checkOf(options, real, warn);
    const weight = options.checktype === 'off' ? { weight: 0 } : {};
    return { place, entry: { ...entry, ...weight, ...(check && { health: { checks: [check] } }) } };
  });
  if (options.checktype === 'off')
    warn(virtual.place, 'checktype off: ldirectord activates no server; they have weight 0');
  const isIpv6 = key.mark !== 0 && reals[0]?.address.includes(':');
  const hoisted = commonChecks(servers);
  const health = { ...hoisted.health, ...healthOf(key, find, hoisted.isChecked, warn) };
  return {
    place: virtual.place,
    entry: {
      address:
        key.mark !== 0
          ? `fwmark:${key.mark}${isIpv6 ? ':ipv6' : ''}`
          : `${key.protocol}:${formatEndpoint(key.address, key.port)}`,
      scheduler: schedulerOf(find('scheduler'), warn),
      ...persistenceOf(key, find, virtual, warn),
      ...(Object.keys(health).length > 0 && { health }),
    },
    servers: hoisted.servers,
  };
}

/** "HOST:PORT" or a mark; protocol by the line of that name, else by the port. */
function keyOf({ value, place }: Virtual, find: Lookup, warn: Warn): Key | undefined {
  const text = unquoted(value);
  const mark = parseDecimal(text, 1, largestMark);
  const protocol = find('protocol')?.value.toLowerCase();
  if (mark !== undefined) return { protocol: 'fwm', address: '', port: 0, mark };
  const target = hostAndPort(text);
  if (typeof target === 'string' || target.port === undefined) {
    warn(place, `virtual "${text}": ${typeof target === 'string' ? target : 'a port is missing'}; skipped`);
    return undefined;
  }
  const guessed = target.port === servicePorts.get('dns') ? 'udp' : 'tcp';
  if (protocol !== undefined && protocol !== 'tcp' && protocol !== 'udp') {
    warn(place, `protocol "${protocol}" is neither tcp nor udp; ${guessed} instead`);
    return { protocol: guessed, address: target.address, port: target.port, mark: 0 };
  }
  return { protocol: protocol ?? guessed, address: target.address, port: target.port, mark: 0 };
}

function schedulerOf(directive: Directive | undefined, warn: Warn): string {
  if (directive === undefined) return 'wrr';
  const name = unquoted(directive.value);
  if ((schedulers as readonly string[]).includes(name)) return name;
  warn(directive.place, `scheduler "${name}" is unknown; wrr instead`);
  return 'wrr';
}

function persistenceOf(
  key: Key,
  find: Lookup,
  { place }: Virtual,
  warn: Warn,
): Pick<ServiceEntry, 'persistence_timeout' | 'persistence_prefix'> {
  const timeout = numberOf(find('persistent'), 1, largestTimeout, warn);
  const netmask = find('netmask');
  const prefix = netmask === undefined ? undefined : prefixLengthOf(unquoted(netmask.value));
  if (netmask !== undefined && prefix === undefined)
    warn(netmask.place, `netmask "${netmask.value}" is not a mask; ignored`);
  if (timeout === undefined && key.mark === 0 && key.port === 0) {
    warn(place, 'a virtual service with port 0 needs persistent; 360 s instead');
    return { persistence_timeout: 360 };
  }
  return {
    ...(timeout !== undefined && { persistence_timeout: timeout }),
    ...(timeout !== undefined && prefix !== undefined && { persistence_prefix: prefix }),
  };
}

function numberOf(directive: Directive | undefined, least: number, most: number, warn: Warn): number | undefined {
  if (directive === undefined) return undefined;
  const value = parseDecimal(unquoted(directive.value), least, most);
  if (value === undefined) {
    warn(directive.place, `${directive.key} "${directive.value}" is not a number from ${least} to ${most}; ignored`);
  }
  return value;
}

function checkOptions(virtual: Virtual, key: Key, find: Lookup, warn: Warn): CheckOptions {
  const number = (name: string, least: number, most: number): number | undefined =>
    numberOf(find(name), least, most, warn);
  const text = (name: string): string | undefined => {
    const value = find(name)?.value;
    return value === undefined ? undefined : unquoted(value);
  };
  const service = text('service') ?? serviceByPort(key.port);
  return {
    place: virtual.place,
    checktype: (text('checktype') ?? 'negotiate').toLowerCase(),
    service,
    isUdp: key.protocol === 'udp',
    virtualAddress: key.mark === 0 ? key.address : String(key.mark),
    virtualPort: key.port,
    interval: number('checkinterval', 1, 86_400) ?? 10,
    connectTimeout: number('checktimeout', 1, 3_600) ?? 5,
    negotiateTimeout: number('negotiatetimeout', 1, 3_600) ?? 30,
    failures: number('failurecount', 1, 1_000) ?? 1,
    pings: number('checkcount', 1, 1_000) ?? 1,
    checkPort: number('checkport', 1, largestPort),
    request: text('request'),
    receive: text('receive'),
    method: text('httpmethod')?.toUpperCase(),
    virtualhost: text('virtualhost'),
    command: programOf(text('checkcommand') ?? ''),
  };
}

function serviceByPort(port: number): string {
  const [name = 'none'] = [...servicePorts].find(([, known]) => known === port) ?? [];
  return name;
}

/** A check that all servers have alike is said once. */
function commonChecks(servers: readonly PlacedServer[]): {
  readonly health: HealthEntry;
  readonly servers: readonly PlacedServer[];
  readonly isChecked: boolean;
} {
  const texts = servers.map(({ entry }) => JSON.stringify(entry.health));
  const [first] = texts;
  const isChecked = texts.some((text) => text !== undefined);
  if (first === undefined || texts.some((text) => text !== first)) {
    return { health: {}, servers: isChecked ? servers.map(assumedUp) : servers, isChecked };
  }
  const checks: readonly CheckEntry[] = servers[0]?.entry.health?.checks ?? [];
  const bare = servers.map(({ place, entry: { health: _, ...entry } }) => ({ place, entry }));
  return { health: { checks }, servers: bare, isChecked };
}

/** A server that nothing checks cannot wait for its first success. */
function assumedUp({ place, entry }: PlacedServer): PlacedServer {
  return { place, entry: entry.health === undefined ? { ...entry, health: { alpha: false } } : entry };
}

function healthOf(key: Key, find: Lookup, isChecked: boolean, warn: Warn): HealthEntry {
  const quiescent = find('quiescent');
  const command = find('fallbackcommand');
  const program = command === undefined ? [] : programOf(unquoted(command.value));
  return {
    // Servers are enabled after their first successful check.
    ...(isChecked && { alpha: true }),
    ...(isChecked && !/^no$/i.test(quiescent?.value ?? 'yes') && { inhibit_on_failure: true }),
    ...(program.length > 0 && { quorum_up: [...program, 'stop'], quorum_down: [...program, 'start'] }),
    ...fallbackOf(key, find('fallback'), warn),
  };
}

/** "HOST[:PORT] [gate|masq|ipip]". */
function fallbackOf(key: Key, directive: Directive | undefined, warn: Warn): HealthEntry {
  if (directive === undefined) return {};
  const [server] = readReal(directive, key, warn);
  if (server === undefined) return {};
  const { address: host, entry, place } = server;
  if (/^127\.|^::1$/.test(host)) {
    warn(place, `fallback ${host} is the director itself, which serves nothing there; name a host`);
  }
  const { weight: _, ...sorryServer } = entry;
  return { sorry_server: sorryServer };
}
