// SPDX-License-Identifier: Apache-2.0
// From what is configured and what is wanted to the operations between them: as few as possible, in order. With prune the
// result has the wanted servers in the wanted order. A server can only be added at the end (LVS: at the head of its
// list), so those after the first one out of place are deleted and added again, which keeps their connections.
import { timeouts, timeoutsFrom } from '../config/timeouts.js';
import { type TunableValues, tunables } from '../config/tunables.js';
import type { Configuration__Output } from '../generated/fulcrum/v1/Configuration.js';
import type { Operation__Output } from '../generated/fulcrum/v1/Operation.js';
import type { RealServer__Output } from '../generated/fulcrum/v1/RealServer.js';
import type { VirtualService__Output } from '../generated/fulcrum/v1/VirtualService.js';
import { FulcrumError, type Reason } from '../grpc/errors.js';
import { type Capabilities, engineCapabilities } from './capabilities.js';
import { readHealthPolicy, readServerHealth } from './health_values.js';
import { readMarkRules } from './mark_rules.js';
import type { Model } from './model.js';
import { type Server, type Service, type ServiceKey, type ServiceSpec, serviceId, type Vip } from './nouns.js';
import { readPrefixList, readTrafficPolicy } from './traffic.js';
import {
  checkServerAddress,
  type NamedServer,
  readServer,
  readServiceKey,
  readServiceSpec,
  readTimeouts,
  readTunables,
  readVip,
} from './validate.js';

interface WantedService {
  readonly key: ServiceKey;
  readonly spec: ServiceSpec;
  readonly servers: ReadonlyMap<string, WantedServer>;
  readonly health: Service['health'];
  readonly traffic: Service['traffic'];
}

type PrefixLists = Model['prefixLists'];

interface WantedServer extends NamedServer {
  readonly health: Server['health'];
}

/** The operations that make a model what a configuration says. Errors have fields like "services[1].key.port". */
export function diff(
  model: Model,
  configuration: Configuration__Output,
  prune: boolean,
  capabilities: Capabilities = engineCapabilities,
): Operation__Output[] {
  const lists = readPrefixLists(configuration.prefixLists);
  const known = prune ? lists : new Map([...model.prefixLists, ...lists]);
  const services = readServices(configuration.services, known, capabilities);
  const vips = readVips(model, configuration.vips);
  return [
    ...diffTimeouts(model, configuration),
    ...diffTunables(model, configuration, prune),
    ...diffMarkRules(model, configuration, prune),
    ...diffVips(model, vips),
    ...diffPrefixLists(model, lists),
    ...(prune ? deleteServices(model, services) : []),
    ...[...services].flatMap(([id, wanted]) => diffService(model.services.get(id), wanted, prune)),
    ...(prune ? deleteVips(model, vips) : []),
    ...(prune ? deletePrefixLists(model, lists) : []),
  ];
}

function alreadyNamed(reason: Reason, field: string, name: string): FulcrumError {
  return new FulcrumError({ code: 'INVALID_ARGUMENT', reason, field, message: `${name} is named twice` });
}

function readServices(
  given: readonly VirtualService__Output[],
  lists: PrefixLists,
  capabilities: Capabilities,
): ReadonlyMap<string, WantedService> {
  const services = new Map<string, WantedService>();
  given.forEach((service, index) => {
    const path = `services[${index}]`;
    const key = readServiceKey(service.key, `${path}.key`);
    const id = serviceId(key);
    if (services.has(id)) throw alreadyNamed('REASON_SERVICE_EXISTS', `${path}.key`, `virtual service ${id}`);
    const spec = readServiceSpec(service.spec, key, `${path}.spec`);
    capabilities.checkService(key, spec, path);
    const health = service.health && readHealthPolicy(service.health, key, `${path}.health`, capabilities);
    const traffic = service.traffic && readTrafficPolicy(service.traffic, key, lists, `${path}.traffic`);
    services.set(id, { key, spec, health, traffic, servers: readServers(key, service.servers, path, capabilities) });
  });
  return services;
}

function readServers(
  service: ServiceKey,
  given: readonly RealServer__Output[],
  servicePath: string,
  capabilities: Capabilities,
): ReadonlyMap<string, WantedServer> {
  const servers = new Map<string, WantedServer>();
  given.forEach((realServer, index) => {
    const path = `${servicePath}.servers[${index}]`;
    const server = readServer(service, realServer.key, realServer.spec, path);
    if (servers.has(server.id)) throw alreadyNamed('REASON_SERVER_EXISTS', `${path}.key`, `real server ${server.id}`);
    checkServerAddress(server.key, `${path}.key`);
    const health = realServer.health && readServerHealth(realServer.health, service, `${path}.health`, capabilities);
    servers.set(server.id, { ...server, health });
  });
  return servers;
}

function readPrefixLists(given: Configuration__Output['prefixLists']): PrefixLists {
  const lists = new Map<string, ReturnType<typeof readPrefixList>>();
  given.forEach((message, index) => {
    const list = readPrefixList(message, `prefix_lists[${index}]`);
    if (lists.has(list.name)) {
      throw alreadyNamed('REASON_INVALID', `prefix_lists[${index}].name`, `prefix list "${list.name}"`);
    }
    lists.set(list.name, list);
  });
  return lists;
}

function readVips(model: Model, given: Configuration__Output['vips']): ReadonlyMap<string, Vip> {
  const vips = new Map<string, Vip>();
  given.forEach((message, index) => {
    const vip = readVip(message, (address) => model.vips.get(address), `vips[${index}]`);
    if (vips.has(vip.address)) {
      throw alreadyNamed('REASON_INVALID', `vips[${index}].address`, `VIP ${vip.address}`);
    }
    vips.set(vip.address, vip);
  });
  return vips;
}

/** Whether two flat records of the same type hold the same values. */
export function sameFields<T extends object>(left: T, right: T): boolean {
  return (Object.keys(left) as (keyof T)[]).every((key) => left[key] === right[key]);
}

/** Only what changes: 0 keeps a value. */
function diffTimeouts(model: Model, { timeouts: given }: Configuration__Output): Operation__Output[] {
  if (given === null) return [];
  const wanted = readTimeouts(given, 'timeouts');
  const changes = timeoutsFrom(({ field }) => (wanted[field] === model.timeouts[field] ? 0 : wanted[field]));
  const isSame = timeouts.every(({ field }) => changes[field] === 0);
  return isSame ? [] : [{ action: 'setTimeouts', setTimeouts: changes }];
}

/** What is not named stays, or with prune goes back to its default. */
function diffTunables(model: Model, { tunables: given }: Configuration__Output, prune: boolean): Operation__Output[] {
  const named = given === null ? {} : readTunables(given, 'tunables');
  const changes: Record<string, number> = {};
  for (const { field, initial } of tunables) {
    const current = model.tunables[field] ?? initial;
    const wanted = named[field] ?? (prune ? initial : current);
    if (wanted !== current) changes[field] = wanted;
  }
  if (Object.keys(changes).length === 0) return [];
  return [{ action: 'setTunables', setTunables: changes as TunableValues }];
}

function diffMarkRules(model: Model, { markRules: given }: Configuration__Output, prune: boolean): Operation__Output[] {
  if (given === null && !prune) return [];
  const rules = given === null ? [] : readMarkRules(given, 'mark_rules');
  if (JSON.stringify(rules) === JSON.stringify(model.markRules)) return [];
  return [{ action: 'setMarkRules', setMarkRules: { rules: [...rules] } }];
}

/** Before services: a VIP that is to be silent must not be announced first. */
function diffVips(model: Model, wanted: ReadonlyMap<string, Vip>): Operation__Output[] {
  return [...wanted.values()]
    .filter((vip) => {
      const current = model.vips.get(vip.address);
      return current === undefined || !sameFields(vip, current);
    })
    .map((vip) => ({ action: 'setVip', setVip: { ...vip, services: 0 } }));
}

function deleteVips(model: Model, wanted: ReadonlyMap<string, Vip>): Operation__Output[] {
  return [...model.vips.keys()]
    .filter((address) => !wanted.has(address))
    .map((address) => ({ action: 'deleteVip', deleteVip: address }));
}

/** Before the services that refer to them. */
function diffPrefixLists(model: Model, wanted: PrefixLists): Operation__Output[] {
  return [...wanted.values()]
    .filter((list) => !samePrefixes(list.prefixes, model.prefixLists.get(list.name)?.prefixes))
    .map((list) => ({ action: 'setPrefixList', setPrefixList: list }));
}

function samePrefixes(left: readonly string[], right: readonly string[] | undefined): boolean {
  return left.length === right?.length && left.every((prefix, index) => prefix === right[index]);
}

/** After the services that did. */
function deletePrefixLists(model: Model, wanted: PrefixLists): Operation__Output[] {
  return [...model.prefixLists.keys()]
    .filter((name) => !wanted.has(name))
    .map((name) => ({ action: 'deletePrefixList', deletePrefixList: name }));
}

function deleteServices(model: Model, wanted: ReadonlyMap<string, WantedService>): Operation__Output[] {
  return [...model.services]
    .filter(([id]) => !wanted.has(id))
    .map(([, service]) => ({ action: 'deleteService', deleteService: service.key }));
}

function diffService(current: Service | undefined, wanted: WantedService, prune: boolean): Operation__Output[] {
  const { key, spec, health, traffic } = wanted;
  const edits: Operation__Output[] = [];
  if (current === undefined) edits.push({ action: 'addService', addService: { key, spec } });
  else if (!sameFields(spec, current.spec)) edits.push({ action: 'editService', editService: { key, spec } });
  const servers = current?.servers ?? new Map<string, Server>();
  if (!isSame(current?.health ?? null, health))
    edits.push({ action: 'setHealth', setHealth: { service: key, health } });
  if (!isSame(current?.traffic ?? null, traffic))
    edits.push({ action: 'setTraffic', setTraffic: { service: key, traffic } });
  return [...edits, ...diffServers(key, servers, wanted.servers, prune), ...diffServerHealth(wanted, servers)];
}

/** After the servers are there. */
function diffServerHealth(
  { key: service, servers }: WantedService,
  current: ReadonlyMap<string, Server>,
): Operation__Output[] {
  return [...servers]
    .filter(([id, { health }]) => !isSame(current.get(id)?.health ?? null, health))
    .map(([, { key, health }]) => ({ action: 'setServerHealth', setServerHealth: { service, key, health } }));
}

function isSame(left: object | null, right: object | null): boolean {
  return JSON.stringify(left) === JSON.stringify(right);
}

function diffServers(
  service: ServiceKey,
  current: ReadonlyMap<string, Server>,
  wanted: ReadonlyMap<string, WantedServer>,
  prune: boolean,
): Operation__Output[] {
  const remove = (key: Server['key']): Operation__Output => ({
    action: 'deleteServer',
    deleteServer: { service, key },
  });
  const add = ({ key, spec }: NamedServer): Operation__Output => ({
    action: 'addServer',
    addServer: { service, key, spec },
  });
  const edit = ({ key, spec }: NamedServer): Operation__Output => ({
    action: 'editServer',
    editServer: { service, key, spec },
  });
  const keep = prune ? leadingInOrder(current, wanted) : new Set(current.keys());

  const unnamed = prune ? [...current].filter(([id]) => !wanted.has(id)).map(([, server]) => remove(server.key)) : [];
  const kept: Operation__Output[] = [];
  const added: Operation__Output[] = [];
  for (const [id, server] of wanted) {
    const before = current.get(id);
    if (before === undefined) added.push(add(server));
    else if (!keep.has(id)) added.push(remove(before.key), add(server));
    else if (!sameFields(server.spec, before.spec)) kept.push(edit(server));
  }
  return [...unnamed, ...kept, ...added];
}

/** The longest beginning of the wanted list whose members are there already, in that order. */
function leadingInOrder(current: ReadonlyMap<string, Server>, wanted: ReadonlyMap<string, NamedServer>): Set<string> {
  const positions = new Map([...current.keys()].map((id, position) => [id, position]));
  const leading = new Set<string>();
  let last = -1;
  for (const id of wanted.keys()) {
    const position = positions.get(id);
    if (position === undefined || position < last) break;
    leading.add(id);
    last = position;
  }
  return leading;
}
