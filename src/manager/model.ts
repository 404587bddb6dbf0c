// SPDX-License-Identifier: Apache-2.0
// What is configured, as an immutable value, and LVS's rules for editing it. Edits come in groups: a group becomes one
// revision. A service is copied once a group, so a group of many edits costs what its edits cost.
import { defaultTimeouts, type TimeoutValues, timeoutsFrom } from '../config/timeouts.js';
import { type TunableValues, tunables } from '../config/tunables.js';
import type { ApplyMode__Output } from '../generated/fulcrum/v1/ApplyMode.js';
import type { Operation, Operation__Output } from '../generated/fulcrum/v1/Operation.js';
import type { OperationResult } from '../generated/fulcrum/v1/OperationResult.js';
import type { PrefixList__Output } from '../generated/fulcrum/v1/PrefixList.js';
import { FulcrumError, type Reason } from '../grpc/errors.js';
import { type Capabilities, engineCapabilities } from './capabilities.js';
import { Draft } from './draft.js';
import { drainMessage, readDrain } from './drain.js';
import { readHealthPolicy, readServerHealth } from './health_values.js';
import { readMarkRules } from './mark_rules.js';
import {
  type MarkRule,
  type Server,
  type ServerKey,
  type Service,
  type ServiceKey,
  serverId,
  serviceId,
  type Vip,
} from './nouns.js';
import type { Condition } from './pool.js';
import { readPrefixList, readTrafficPolicy, refersTo } from './traffic.js';
import {
  checkServerAddress,
  invalid,
  readServer,
  readServerKey,
  readServiceKey,
  readServiceSpec,
  readTimeouts,
  readTunables,
  readVip,
  readVipAddress,
} from './validate.js';

export interface Model {
  /** By serviceId(), in the order of creation. */
  readonly services: ReadonlyMap<string, Service>;
  /** What was declared, by address. */
  readonly vips: ReadonlyMap<string, Vip>;
  readonly timeouts: TimeoutValues;
  /** Only what is not at its default. */
  readonly tunables: TunableValues;
  /** The first that matches gives a packet its mark. */
  readonly markRules: readonly MarkRule[];
  /** By name. */
  readonly prefixLists: ReadonlyMap<string, PrefixList__Output>;
  /** Grows by one with each group of edits that changed something, or might have. */
  readonly revision: number;
  /** Sequence number of the next object. */
  readonly nextSequence: number;
}

export const emptyModel: Model = {
  services: new Map(),
  vips: new Map(),
  timeouts: defaultTimeouts,
  tunables: {},
  markRules: [],
  prefixLists: new Map(),
  revision: 0,
  nextSequence: 1,
};

/** Which objects a group of edits named. */
export interface Touched {
  readonly services: ReadonlySet<string>;
  /** Addresses whose declaration, or whose number of services, may have changed. */
  readonly vips: ReadonlySet<string>;
  readonly timeouts: boolean;
  readonly tunables: boolean;
  readonly markRules: boolean;
  /** By name. */
  readonly prefixLists: ReadonlySet<string>;
}

export interface Applied {
  readonly model: Model;
  /** One an operation, in order. */
  readonly results: readonly OperationResult[];
  /** The operations carried out, in normal form: defaults filled in. */
  readonly carriedOut: readonly Operation[];
  /** What checks have found, where that was the edit. */
  readonly conditions: readonly ConditionChange[];
  /** What the dataplane is to do, in order: the operations, but where servers are checked what comes of them. */
  readonly effects: readonly Operation[];
  readonly touched: Touched;
}

/** What checks have found of a server. */
export interface ConditionChange {
  readonly service: ServiceKey;
  readonly key: ServerKey;
  readonly condition: Condition;
}

const done: OperationResult = { reason: 'REASON_UNSPECIFIED', field: '', message: '' };

/**
 * Carries out a group of edits. With ATOMIC (the default) the first refused one throws, its field beginning with
 * "operations[i]"; with RESTORE it is reported and the next one tried.
 */
export function applyOperations(
  model: Model,
  operations: readonly Operation__Output[],
  mode: ApplyMode__Output = 'APPLY_MODE_ATOMIC',
  capabilities: Capabilities = engineCapabilities,
): Applied {
  const draft = new Draft(model, capabilities);
  const carriedOut: Operation[] = [];
  const results = operations.map((operation, index) => {
    try {
      carriedOut.push(applyOperation(draft, operation));
      return done;
    } catch (error) {
      if (!(error instanceof FulcrumError)) throw error;
      if (mode !== 'APPLY_MODE_RESTORE') throw error.within(`operations[${index}]`);
      return { reason: error.reason, field: error.field, message: error.message };
    }
  });
  return {
    model: draft.finish(),
    results,
    carriedOut,
    conditions: [],
    effects: draft.effects,
    touched: draft.touched,
  };
}

/** What checks have found becomes part of the model. Servers that are gone meanwhile, or no longer checked, are passed over. */
export function applyConditions(model: Model, changes: readonly ConditionChange[]): Applied {
  const draft = new Draft(model, engineCapabilities, false);
  const conditions = changes.filter(({ service: serviceKey, key, condition }) => {
    const service = draft.service(serviceKey);
    const server = service?.servers.get(serverId(key));
    if (service?.health == null || server === undefined) return false;
    draft.setCondition(service, server, condition);
    return true;
  });
  draft.settle();
  const { effects, touched } = draft;
  return { model: draft.finish(), results: [], carriedOut: [], conditions, effects, touched };
}

/** Carries out one edit on a draft, or throws and leaves it as it was. Returns the edit in normal form. */
function applyOperation(draft: Draft, given: Operation__Output): Operation {
  const operation = editOf(draft, given);
  draft.follow(operation);
  return operation;
}

function editOf(draft: Draft, operation: Operation__Output): Operation {
  switch (operation.action) {
    case 'addService':
      return addService(draft, operation);
    case 'editService':
      return editService(draft, operation);
    case 'deleteService':
      return deleteService(draft, operation);
    case 'addServer':
      return addServer(draft, operation);
    case 'editServer':
      return editServer(draft, operation);
    case 'deleteServer':
      return deleteServer(draft, operation);
    case 'flush':
      draft.flush();
      return { flush: {} };
    case 'zero':
      return zero(draft, operation);
    case 'setTimeouts':
      return setTimeouts(draft, operation);
    case 'setTunables':
      return setTunables(draft, operation);
    case 'setMarkRules':
      draft.markRules = readMarkRules(operation.setMarkRules, 'set_mark_rules');
      return { setMarkRules: { rules: [...draft.markRules] } };
    case 'setVip':
      return setVip(draft, operation);
    case 'deleteVip':
      return deleteVip(draft, operation);
    case 'setHealth':
      return setHealth(draft, operation);
    case 'setServerHealth':
      return setServerHealth(draft, operation);
    case 'setDrain':
      return setDrain(draft, operation);
    case 'setTraffic':
      return setTraffic(draft, operation);
    case 'setPrefixList':
      return setPrefixList(draft, operation);
    case 'deletePrefixList':
      return deletePrefixList(draft, operation);
    default:
      throw invalid('', 'no action is given');
  }
}

function refuse(reason: Reason, field: string, message: string): FulcrumError {
  return new FulcrumError({ reason, field, message });
}

function addService(draft: Draft, { addService: change }: Operation__Output): Operation {
  const key = readServiceKey(change?.key, 'add_service.key');
  if (draft.service(key) !== undefined) {
    throw refuse('REASON_SERVICE_EXISTS', 'add_service.key', `virtual service ${serviceId(key)} exists already`);
  }
  const spec = readServiceSpec(change?.spec, key, 'add_service.spec');
  draft.capabilities.checkService(key, spec, 'add_service');
  draft.addService(key, spec);
  return { addService: { key, spec } };
}

function findService(draft: Draft, key: ServiceKey, field: string): Service {
  const service = draft.service(key);
  if (service === undefined) {
    throw refuse('REASON_SERVICE_NOT_FOUND', field, `there is no virtual service ${serviceId(key)}`);
  }
  return service;
}

function editService(draft: Draft, { editService: change }: Operation__Output): Operation {
  const key = readServiceKey(change?.key, 'edit_service.key');
  const service = findService(draft, key, 'edit_service.key');
  const spec = readServiceSpec(change?.spec, key, 'edit_service.spec');
  draft.capabilities.checkService(key, spec, 'edit_service');
  checkSwitch(service, spec);
  draft.editService(service, spec);
  return { editService: { key, spec } };
}

/** Slots of mh's table: it cannot begin with more servers. One that is there already takes them, and leaves them out. */
const mostMhServers = 4_093;

function checkSwitch({ spec: { scheduler: before }, servers }: Service, { scheduler }: Service['spec']): void {
  if (scheduler !== 'mh' || before === 'mh' || servers.size <= mostMhServers) return;
  const message = `mh cannot begin with ${servers.size} servers: its table has ${mostMhServers} slots`;
  throw refuse('REASON_INVALID', 'edit_service.spec.scheduler', message);
}

function deleteService(draft: Draft, { deleteService: given }: Operation__Output): Operation {
  const key = readServiceKey(given, 'delete_service');
  draft.deleteService(findService(draft, key, 'delete_service'));
  return { deleteService: key };
}

function addServer(draft: Draft, { addServer: change }: Operation__Output): Operation {
  const service = findService(draft, readServiceKey(change?.service, 'add_server.service'), 'add_server.service');
  const { key, spec, id } = readServer(service.key, change?.key, change?.spec, 'add_server');
  if (service.servers.has(id)) {
    throw refuse('REASON_SERVER_EXISTS', 'add_server.key', `${serviceId(service.key)} has a real server ${id} already`);
  }
  checkServerAddress(key, 'add_server.key');
  draft.addServer(service, key, spec, id);
  return { addServer: { service: service.key, key, spec } };
}

function findServer(service: Service, id: string, field: string): Server {
  const server = service.servers.get(id);
  if (server === undefined) {
    throw refuse('REASON_SERVER_NOT_FOUND', field, `${serviceId(service.key)} has no real server ${id}`);
  }
  return server;
}

function editServer(draft: Draft, { editServer: change }: Operation__Output): Operation {
  const service = findService(draft, readServiceKey(change?.service, 'edit_server.service'), 'edit_server.service');
  const { key, spec, id } = readServer(service.key, change?.key, change?.spec, 'edit_server');
  const server = findServer(service, id, 'edit_server.key');
  draft.editServer(service, server, spec, id);
  return { editServer: { service: service.key, key, spec } };
}

function deleteServer(draft: Draft, { deleteServer: reference }: Operation__Output): Operation {
  const path = 'delete_server';
  const service = findService(draft, readServiceKey(reference?.service, `${path}.service`), `${path}.service`);
  const key = readServerKey(reference?.key, `${path}.key`);
  const id = serverId(key);
  findServer(service, id, `${path}.key`);
  draft.deleteServer(service, id);
  return { deleteServer: { service: service.key, key } };
}

function zero(draft: Draft, { zero: given }: Operation__Output): Operation {
  if (given?.service === null || given?.service === undefined) return { zero: {} };
  const key = readServiceKey(given.service, 'zero.service');
  findService(draft, key, 'zero.service');
  return { zero: { service: key } };
}

function setTimeouts(draft: Draft, { setTimeouts: given }: Operation__Output): Operation {
  const timeouts = readTimeouts(given, 'set_timeouts');
  draft.timeouts = timeoutsFrom(({ field }) => timeouts[field] || draft.timeouts[field]);
  return { setTimeouts: timeouts };
}

function setTunables(draft: Draft, { setTunables: given }: Operation__Output): Operation {
  const values = readTunables(given, 'set_tunables');
  draft.tunables = withoutDefaults({ ...draft.tunables, ...values });
  return { setTunables: values };
}

function withoutDefaults(values: TunableValues): TunableValues {
  const changed = tunables.filter(({ field, initial }) => values[field] !== undefined && values[field] !== initial);
  return Object.fromEntries(changed.map(({ field }) => [field, values[field]]));
}

function setVip(draft: Draft, { setVip: given }: Operation__Output): Operation {
  const vip = readVip(given, (address) => draft.vip(address), 'set_vip');
  draft.setVip(vip);
  return { setVip: vip };
}

function deleteVip(draft: Draft, { deleteVip: given }: Operation__Output): Operation {
  const text = readVipAddress(given ?? '', 'delete_vip');
  if (draft.vip(text) === undefined) {
    throw refuse('REASON_VIP_NOT_FOUND', 'delete_vip', `nothing was declared of VIP ${text}`);
  }
  draft.deleteVip(text);
  return { deleteVip: text };
}

function setHealth(draft: Draft, { setHealth: change }: Operation__Output): Operation {
  const path = 'set_health';
  const service = findService(draft, readServiceKey(change?.service, `${path}.service`), `${path}.service`);
  const health = change?.health
    ? readHealthPolicy(change.health, service.key, `${path}.health`, draft.capabilities)
    : null;
  draft.setHealth(service, health);
  return { setHealth: { service: service.key, health } };
}

function setServerHealth(draft: Draft, { setServerHealth: change }: Operation__Output): Operation {
  const path = 'set_server_health';
  const service = findService(draft, readServiceKey(change?.service, `${path}.service`), `${path}.service`);
  const key = readServerKey(change?.key, `${path}.key`);
  const server = findServer(service, serverId(key), `${path}.key`);
  const health = change?.health
    ? readServerHealth(change.health, service.key, `${path}.health`, draft.capabilities)
    : null;
  draft.setServerHealth(service, server, health);
  return { setServerHealth: { service: service.key, key, health } };
}

function setDrain(draft: Draft, { setDrain: change }: Operation__Output): Operation {
  const path = 'set_drain';
  const service = findService(draft, readServiceKey(change?.service, `${path}.service`), `${path}.service`);
  const key = readServerKey(change?.key, `${path}.key`);
  const server = findServer(service, serverId(key), `${path}.key`);
  if (!change?.drain && server.drain === null)
    throw invalid(`${path}.drain`, `${serverId(key)} of ${serviceId(service.key)} is not draining`);
  const drain = change?.drain ? readDrain(change.drain, draft.now, `${path}.drain`) : null;
  draft.setDrain(service, server, drain);
  return { setDrain: { service: service.key, key, drain: drain && drainMessage(drain) } };
}

function setTraffic(draft: Draft, { setTraffic: change }: Operation__Output): Operation {
  const path = 'set_traffic';
  const service = findService(draft, readServiceKey(change?.service, `${path}.service`), `${path}.service`);
  const traffic = change?.traffic
    ? readTrafficPolicy(change.traffic, service.key, draft.prefixLists, `${path}.traffic`)
    : null;
  draft.setTraffic(service, traffic);
  return { setTraffic: { service: service.key, traffic } };
}

function setPrefixList(draft: Draft, { setPrefixList: given }: Operation__Output): Operation {
  const list = readPrefixList(given, 'set_prefix_list');
  draft.setPrefixList(list);
  return { setPrefixList: list };
}

function deletePrefixList(draft: Draft, { deletePrefixList: name = '' }: Operation__Output): Operation {
  const field = 'delete_prefix_list';
  if (!draft.prefixLists.has(name)) {
    throw refuse('REASON_PREFIX_LIST_NOT_FOUND', field, `there is no prefix list "${name}"`);
  }
  const user = draft.services().find(({ traffic }) => refersTo(traffic, name));
  if (user !== undefined) {
    const message = `virtual service ${serviceId(user.key)} refers to prefix list "${name}"`;
    throw refuse('REASON_PREFIX_LIST_IN_USE', field, message);
  }
  draft.deletePrefixList(name);
  return { deletePrefixList: name };
}

/** Number of real servers in all services. */
export function countServers(model: Model): number {
  let count = 0;
  for (const { servers } of model.services.values()) count += servers.size;
  return count;
}
