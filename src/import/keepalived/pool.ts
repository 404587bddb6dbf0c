// SPDX-License-Identifier: Apache-2.0
// From a virtual server as written to the services it stands for, with keepalived's defaults and corrections: every one
// that changes what is written is told.
import { isDeepStrictEqual } from 'node:util';
import type { HealthEntry, ServerHealthEntry } from '../../config/health.js';
import type { CheckEntry } from '../../config/health_check.js';
import { formatEndpoint } from '../../config/keys.js';
import { flagNames } from '../../config/scheduler_flags.js';
import type { ServerSpecEntry } from '../../config/servers.js';
import type { ServiceEntry } from '../../config/services.js';
import type { PlacedServer, PlacedService } from '../finish.js';
import type { Place, Warn } from '../source.js';
import type { Member } from './groups.js';
import { defaultMethod, type Method } from './method.js';
import { inherit, type Settings } from './settings.js';
import type { Target } from './values.js';
import { defaultPersistence, type RealServer, thresholdsOf, type VirtualServer } from './virtual_server.js';

/** A real server with what it inherits, the same for every service of its virtual server. */
interface Pooled {
  readonly server: RealServer;
  readonly method: Method;
  readonly weight: number;
  readonly checks: readonly CheckEntry[];
  readonly alpha: boolean;
  readonly inhibit: boolean;
}

export function servicesOf(virtual: VirtualServer, members: readonly Member[], warn: Warn): readonly PlacedService[] {
  const { place } = virtual;
  if (virtual.servers.length === 0) {
    warn(place, 'virtual_server has no real_server; ignored');
    return [];
  }
  const method = virtual.method ?? defaultMethod;
  const pool = virtual.servers.map((server) => pooled(server, virtual, method));
  tellDefaults(virtual, members, warn);
  const policy = policyOf(virtual, pool, warn);
  if (members.length > 1) tellOfMany(members.length, policy, pool, place, warn);
  return members.map((member) => serviceOf(virtual, member, pool, policy, warn));
}

function pooled(server: RealServer, virtual: VirtualServer, method: Method): Pooled {
  const settings = inherit(server.settings, virtual.settings);
  const checkers = server.checkers.map((read) => read(settings)).filter((checker) => checker !== undefined);
  return {
    server,
    method: server.method ?? method,
    weight: settings.weight ?? 1,
    checks: checkers.flatMap(({ checks }) => checks),
    alpha: checkers.some(({ alpha }) => alpha),
    inhibit: settings.inhibit ?? false,
  };
}

function tellDefaults(virtual: VirtualServer, members: readonly Member[], warn: Warn): void {
  const { place } = virtual;
  const hasAddress = members.some((member) => 'address' in member);
  if (virtual.scheduler === undefined) warn(place, 'no lvs_sched: wlc, as keepalived has it');
  if (virtual.method === undefined) warn(place, 'no lvs_method: NAT, as keepalived has it');
  if (virtual.protocol === undefined && hasAddress) warn(place, 'no protocol: UDP, as keepalived has it');
  if (virtual.onePacket && virtual.protocol !== undefined && virtual.protocol !== 'udp' && hasAddress) {
    warn(place, 'ops is only for UDP; left out');
  }
}

/** One check serves a whole group there. */
function tellOfMany(count: number, policy: HealthEntry, pool: readonly Pooled[], place: Place, warn: Warn): void {
  if (pool.some(({ checks }) => checks.length > 0)) {
    warn(place, `the group becomes ${count} services, each of which checks its real servers on its own`);
  }
  const hasScripts =
    policy.quorum_up ?? policy.quorum_down ?? pool.find(({ server }) => server.notifyUp ?? server.notifyDown);
  if (hasScripts !== undefined) warn(place, `scripts run once for each of the group's ${count} services`);
}

/** What of the health policy does not depend on the service. */
function policyOf(virtual: VirtualServer, pool: readonly Pooled[], warn: Warn): HealthEntry {
  const quorum = quorumOf(virtual, pool, warn);
  const hysteresis = hysteresisOf(virtual, quorum, warn);
  if (virtual.settings.alpha && pool.every(({ checks }) => checks.length === 0)) {
    warn(virtual.place, 'alpha has no effect without checkers; left out');
  }
  return {
    ...(quorum !== 1 && { quorum }),
    ...(hysteresis !== 0 && { hysteresis }),
    ...(virtual.quorumUp && { quorum_up: virtual.quorumUp }),
    ...(virtual.quorumDown && { quorum_down: virtual.quorumDown }),
    ...(virtual.omega && { omega: true }),
  };
}

function quorumOf({ quorum = 1, place }: VirtualServer, pool: readonly Pooled[], warn: Warn): number {
  const weights = pool.reduce((sum, { weight }) => sum + weight, 0);
  if (quorum === 1 || quorum <= weights) return quorum;
  const lowered = Math.max(weights, 1);
  warn(place, `quorum ${quorum} is above the sum of all weights; lowered to ${lowered}, as keepalived does`);
  return lowered;
}

function hysteresisOf({ hysteresis = 0, place }: VirtualServer, quorum: number, warn: Warn): number {
  if (hysteresis < quorum) return hysteresis;
  warn(place, `hysteresis ${hysteresis} is not below the quorum; lowered to ${quorum - 1}, as keepalived does`);
  return quorum - 1;
}

function serviceOf(
  virtual: VirtualServer,
  member: Member,
  pool: readonly Pooled[],
  policy: HealthEntry,
  warn: Warn,
): PlacedService {
  const isMark = 'fwmark' in member;
  const placed = pool.map((one) => ({ one, target: placedTarget(one.server, one.method, member, warn) }));
  const unique = withoutRepeated(placed, warn);
  const checks = unique.map(({ one, target }) => checksFor(one, target, warn));
  const health = { ...policy, ...sorryOf(virtual, member, warn) };
  const { service, servers } = shared(
    virtual.settings,
    unique.map(({ one }) => one),
    checks,
  );
  const whole = { ...service, ...health };
  const scheduler = virtual.scheduler ?? 'wlc';
  return {
    place: virtual.place,
    entry: {
      address: keyOf(virtual, member),
      scheduler,
      ...(virtual.flags !== 0 && { scheduler_flags: flagNames(virtual.flags, scheduler) }),
      ...persistenceOf(virtual, member, warn),
      ...(virtual.onePacket && (isMark || (virtual.protocol ?? 'udp') === 'udp') && { one_packet: true }),
      ...(Object.keys(whole).length > 0 && { health: whole }),
    },
    servers: unique.map(({ one, target }, index) => serverOf(one, target, servers[index] ?? {}, warn)),
  };
}

function keyOf(virtual: VirtualServer, member: Member): string {
  if ('address' in member) return `${virtual.protocol ?? 'udp'}:${formatEndpoint(member.address, member.port)}`;
  const isIpv6 = member.isIpv6 ?? virtual.isIpv6 ?? virtual.servers[0]?.target.address.includes(':');
  return `fwmark:${member.fwmark}${isIpv6 ? ':ipv6' : ''}`;
}

function persistenceOf(
  virtual: VirtualServer,
  member: Member,
  warn: Warn,
): Pick<ServiceEntry, 'persistence_timeout' | 'persistence_prefix' | 'persistence_engine'> {
  const { persistencePrefix: prefix, persistenceEngine: engine, place } = virtual;
  const isNeeded = 'address' in member && member.port === 0;
  if (virtual.persistenceTimeout === undefined) {
    const reason = prefix !== undefined ? 'persistence_granularity' : isNeeded ? 'port 0' : undefined;
    if (reason !== undefined)
      warn(place, `${reason} without persistence_timeout: ${defaultPersistence} s, as keepalived has it`);
  }
  const timeout = virtual.persistenceTimeout ?? (prefix !== undefined || isNeeded ? defaultPersistence : undefined);
  return {
    ...(timeout !== undefined && { persistence_timeout: timeout }),
    ...(prefix !== undefined && { persistence_prefix: prefix }),
    ...(engine !== undefined && { persistence_engine: engine }),
  };
}

interface Placed {
  readonly address: string;
  readonly port: number;
  /** Where checks go that name no port: what was written, before any correction. */
  readonly writtenPort: number;
}

/** Only NAT has ports of its own: keepalived corrects the others. */
function placedTarget(
  { target, place }: { readonly target: Target; readonly place: Place },
  { method }: Method,
  member: Member,
  warn: Warn,
): Placed {
  const { address, port: writtenPort = 0 } = target;
  const servicePort = 'address' in member ? member.port : 0;
  if (method === 'nat') return { address, port: writtenPort === 0 ? servicePort : writtenPort, writtenPort };
  if (writtenPort !== 0 && writtenPort !== servicePort) {
    const why = 'fwmark' in member ? 'a fwmark service has none' : `the service has ${servicePort}`;
    warn(place, `port ${writtenPort} of ${address} is ignored with ${method.toUpperCase()}: ${why}`);
  }
  return { address, port: servicePort, writtenPort };
}

function withoutRepeated<T extends { readonly one: Pooled; readonly target: Placed }>(
  placed: readonly T[],
  warn: Warn,
): readonly T[] {
  const seen = new Set<string>();
  return placed.filter(({ one, target }) => {
    const key = formatEndpoint(target.address, target.port);
    if (!seen.has(key)) {
      seen.add(key);
      return true;
    }
    warn(one.server.place, `real_server ${key} is there already; the second one is dropped, as keepalived does`);
    return false;
  });
}

const typesWithoutPort: ReadonlySet<string> = new Set(['ping', 'command']);

/** A port that was corrected away is still the one that is checked. */
function checksFor({ checks, server }: Pooled, { port, writtenPort }: Placed, warn: Warn): readonly CheckEntry[] {
  return checks.map((check) => {
    if (check.port !== undefined || typesWithoutPort.has(check.type)) return check;
    if (writtenPort !== 0 && writtenPort !== port) return { ...check, port: writtenPort };
    if (port === 0) warn(server.place, `a check of type ${check.type} has no port and fails: write connect_port`);
    return check;
  });
}

/** What all servers have alike is said once, for the service; what one has of its own, for the server. */
function shared(
  settings: Settings,
  pool: readonly Pooled[],
  checks: readonly (readonly CheckEntry[])[],
): { readonly service: HealthEntry; readonly servers: readonly ServerHealthEntry[] } {
  const isChecked = checks.some((one) => one.length > 0);
  const own = pool.map(({ server, alpha, inhibit }, index) => ({
    checks: checks[index] ?? [],
    notify_up: server.notifyUp ?? [],
    notify_down: server.notifyDown ?? [],
    alpha: isChecked && alpha,
    inhibit_on_failure: inhibit,
  }));
  const common = <T>(value: (one: (typeof own)[number]) => T, otherwise: T): T => {
    const [first] = own;
    return first !== undefined && own.every((one) => isDeepStrictEqual(value(one), value(first)))
      ? value(first)
      : otherwise;
  };
  const service = {
    checks: common((one) => one.checks, []),
    notify_up: common((one) => one.notify_up, []),
    notify_down: common((one) => one.notify_down, []),
    alpha: common((one) => one.alpha, isChecked && settings.alpha === true),
    inhibit_on_failure: common((one) => one.inhibit_on_failure, settings.inhibit === true),
  };
  const isEmpty = (value: unknown): boolean => value === false || (Array.isArray(value) && value.length === 0);
  const isOwn = ([name, value]: readonly [string, unknown]): boolean =>
    !isDeepStrictEqual(value, service[name as keyof typeof service]);
  return {
    service: Object.fromEntries(Object.entries(service).filter(([, value]) => !isEmpty(value))),
    servers: own.map((one) => Object.fromEntries(Object.entries(one).filter(isOwn))),
  };
}

function sorryOf(virtual: VirtualServer, member: Member, warn: Warn): HealthEntry {
  const { sorryServer, sorryInhibit } = virtual;
  if (sorryServer === undefined) return {};
  const method = virtual.sorryMethod ?? virtual.method ?? defaultMethod;
  const { address, port } = placedTarget(sorryServer, method, member, warn);
  if (/^127\.|^::1$/.test(address)) {
    warn(sorryServer.place, `sorry_server ${address} is the director itself, which serves nothing there; name a host`);
  }
  return {
    sorry_server: { address: formatEndpoint(address, port), ...method },
    ...(sorryInhibit && { sorry_server_inhibit: true }),
  };
}

function serverOf(
  { server, method, weight }: Pooled,
  target: Placed,
  health: ServerHealthEntry,
  warn: Warn,
): PlacedServer {
  const { method: name, ...tunnel } = method;
  const entry: ServerSpecEntry & { readonly health?: ServerHealthEntry } = {
    address: formatEndpoint(target.address, target.port),
    method: name,
    weight,
    ...thresholdsOf(server, warn),
    ...tunnel,
    ...(Object.keys(health).length > 0 && { health }),
  };
  return { place: server.place, entry };
}
