// SPDX-License-Identifier: Apache-2.0
// A model while a group of edits is made to it, and what the edits mean for the dataplane: the edits themselves, but where
// servers are checked what becomes of the pool. A service is copied once a group.
import type { TimeoutValues } from '../config/timeouts.js';
import type { TunableValues } from '../config/tunables.js';
import type { Operation } from '../generated/fulcrum/v1/Operation.js';
import type { PrefixList__Output } from '../generated/fulcrum/v1/PrefixList.js';
import type { Capabilities } from './capabilities.js';
import type { Drain } from './drain.js';
import { EditedMap } from './edited_map.js';
import { keptLoad, loadSource } from './load/load.js';
import type { Model } from './model.js';
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
import {
  type Condition,
  firstCondition,
  isAlpha,
  isChecked,
  type Pool,
  type Pooled,
  poolEdits,
  unchecked,
  wantedPool,
} from './pool.js';

interface DraftService extends Service {
  spec: Service['spec'];
  servers: Map<string, Server>;
  health: Service['health'];
  pool: Pool | null;
  traffic: Service['traffic'];
}

/** A model while a group of edits is made to it. The model that it began with stays as it is. */
export class Draft {
  readonly capabilities: Capabilities;
  readonly touched = {
    services: new Set<string>(),
    vips: new Set<string>(),
    timeouts: false,
    tunables: false,
    markRules: false,
    prefixLists: new Set<string>(),
  };
  readonly #before: Model;
  readonly #revision: number;
  readonly #isEdit: boolean;
  /** Services that belong to this draft and may be changed in place. */
  readonly #own = new Set<Service>();
  /** Once a service was added or deleted. */
  #services: Map<string, Service> | undefined;
  /** Until then: those that were edited. */
  readonly #edited = new Map<string, Service>();
  #vips: Map<string, Vip> | undefined;
  #timeouts: TimeoutValues;
  #tunables: TunableValues;
  #markRules: readonly MarkRule[];
  #prefixLists: Map<string, PrefixList__Output> | undefined;
  #nextSequence: number;
  /** For the dataplane. */
  readonly effects: Operation[] = [];
  /** Services whose pool is not what it should be. */
  readonly #unsettled = new Set<string>();
  /** Milliseconds since the epoch. */
  readonly now = Date.now();

  /** What checks find is no edit: it leaves revision and etags alone. */
  constructor(model: Model, capabilities: Capabilities, isEdit = true) {
    this.capabilities = capabilities;
    this.#before = model;
    this.#isEdit = isEdit;
    this.#revision = model.revision + (isEdit ? 1 : 0);
    this.#timeouts = model.timeouts;
    this.#tunables = model.tunables;
    this.#markRules = model.markRules;
    this.#nextSequence = model.nextSequence;
  }

  /** The new model; the old one itself if no edit was carried out. */
  finish(): Model {
    const { timeouts, tunables: tuned, markRules } = this.touched;
    const isSettled = !(timeouts || tuned || markRules || this.#prefixLists !== undefined);
    const isSame = this.#services === undefined && this.#edited.size === 0;
    if (isSame && this.#vips === undefined && isSettled) return this.#before;
    return {
      services: this.#finishServices(),
      vips: this.#vips ?? this.#before.vips,
      timeouts: this.#timeouts,
      tunables: this.#tunables,
      markRules: this.#markRules,
      prefixLists: this.prefixLists,
      revision: this.#revision,
      nextSequence: this.#nextSequence,
    };
  }

  service(key: ServiceKey): Service | undefined {
    const id = serviceId(key);
    return this.#services?.get(id) ?? this.#edited.get(id) ?? this.#publishedService(id);
  }

  /** All of them, as they are now. */
  services(): readonly Service[] {
    return [...this.#finishServices().values()];
  }

  #publishedService(id: string): Service | undefined {
    return this.#services === undefined ? this.#before.services.get(id) : undefined;
  }

  #finishServices(): Model['services'] {
    if (this.#services !== undefined) return this.#services;
    if (this.#edited.size === 0) return this.#before.services;
    return EditedMap.edit(this.#before.services, this.#edited);
  }

  addService(key: ServiceKey, spec: Service['spec']): void {
    const service: DraftService = {
      key,
      spec,
      servers: new Map(),
      sequence: this.#nextSequence++,
      version: this.#revision,
      health: null,
      pool: null,
      traffic: null,
    };
    this.#own.add(service);
    this.#writableServices().set(this.#touch(key), service);
    this.#touchVip(key);
  }

  editService(service: Service, spec: Service['spec']): void {
    this.#writable(service).spec = spec;
  }

  deleteService(service: Service): void {
    this.#writableServices().delete(this.#touch(service.key));
    this.#touchVip(service.key);
  }

  addServer(service: Service, key: Server['key'], spec: Server['spec'], id: string): void {
    const server: Server = {
      key,
      spec,
      sequence: this.#nextSequence++,
      version: this.#revision,
      health: null,
      condition: null,
      drain: null,
    };
    this.#writable(service).servers.set(id, this.#assumed(server, service.health));
  }

  editServer(service: Service, server: Server, spec: Server['spec'], id: string): void {
    this.#writable(service).servers.set(id, { ...server, spec, version: this.#revision });
  }

  deleteServer(service: Service, id: string): void {
    this.#writable(service).servers.delete(id);
  }

  setHealth(service: Service, health: Service['health']): void {
    const own = this.#writable(service);
    if (health === null && own.pool !== null) this.#serveAll(own, own.pool);
    own.health = health;
    own.pool = health === null ? null : (own.pool ?? everyServer(own));
    for (const [id, server] of own.servers) own.servers.set(id, this.#assumed(server, health));
  }

  setTraffic(service: Service, traffic: Service['traffic']): void {
    this.#writable(service).traffic = traffic;
  }

  setServerHealth(service: Service, server: Server, health: Server['health']): void {
    const own = this.#writable(service);
    const changed = { ...server, health, version: this.#revision };
    own.servers.set(serverId(server.key), this.#assumed(changed, service.health));
  }

  setDrain(service: Service, server: Server, drain: Drain | null): void {
    const own = this.#writable(service);
    const changed = { ...server, drain, version: this.#revision };
    own.servers.set(serverId(server.key), changed);
    if (own.pool !== null) this.#unsettled.add(serviceId(own.key));
    // An edit that changes nothing would begin wrr anew.
    else if (unchecked(changed).spec.weight !== unchecked(server).spec.weight)
      this.effects.push({ editServer: { service: own.key, key: server.key, spec: unchecked(changed).spec } });
  }

  setCondition(service: Service, server: Server, condition: Condition): void {
    this.#writable(service).servers.set(serverId(server.key), { ...server, condition });
    this.#unsettled.add(serviceId(service.key));
  }

  /** A server that has no result yet is assumed to be up, or down with alpha. */
  #assumed(server: Server, policy: Service['health']): Server {
    if (policy === null) return server.condition === null ? server : { ...server, condition: null };
    const isToCheck = isChecked(server, policy);
    const load = keptLoad(server.condition?.load, loadSource(server, policy));
    const ejection = policy.passive === null ? undefined : server.condition?.ejection;
    const kept = { ...(load && { load }), ...(ejection && { ejection }) };
    if (server.condition?.checked && isToCheck) {
      const { load: knownLoad, ejection: knownEjection, ...found } = server.condition;
      const isSame = knownLoad === load && knownEjection === ejection;
      return isSame ? server : { ...server, condition: { ...found, ...kept } };
    }
    const alpha = isToCheck && isAlpha(server, policy);
    const since = server.condition?.since ?? new Date(this.now).toISOString();
    return { ...server, condition: { ...firstCondition(alpha, since), ...kept } };
  }

  /** From the pool back to all servers as they are configured, in their order. */
  #serveAll({ key: service, servers }: DraftService, { servers: pooled }: Pool): void {
    const inOrder = [...pooled.keys()].join() === [...servers.keys()].join();
    for (const [id, { key }] of pooled) {
      if (!inOrder || !servers.has(id)) this.effects.push({ deleteServer: { service, key } });
    }
    for (const { key, spec } of [...servers.values()].map(unchecked))
      this.effects.push(inOrder ? { editServer: { service, key, spec } } : { addServer: { service, key, spec } });
  }

  /** Notes what an edit means for the dataplane. */
  follow(operation: Operation): void {
    const change = operation.addServer ?? operation.editServer ?? operation.deleteServer;
    if (operation.setHealth ?? operation.setServerHealth) {
      const key = (operation.setHealth ?? operation.setServerHealth)?.service as ServiceKey;
      this.#unsettled.add(serviceId(key));
    } else if (operation.setDrain) {
      // setDrain() has seen to it.
    } else if (change === null || change === undefined) {
      this.effects.push(operation);
      return;
    } else {
      const service = this.service(change.service as ServiceKey);
      if (service?.pool == null) {
        const edited = operation.editServer && service?.servers.get(serverId(change.key as ServerKey));
        const isDrained = edited != null && edited.drain !== null;
        this.effects.push(isDrained ? { editServer: { ...change, ...unchecked(edited) } } : operation);
        return;
      }
      this.#followServer(service as DraftService & { pool: Pool }, operation, serverId(change.key as ServerKey));
    }
    this.settle();
  }

  /** In a pool a deletion takes place at once, and an edit counts even if it changes nothing. */
  #followServer(service: DraftService & { pool: Pool }, operation: Operation, id: string): void {
    this.#unsettled.add(serviceId(service.key));
    const pooled = service.pool.servers.get(id);
    if (pooled === undefined) return;
    const { key } = pooled;
    if (operation.deleteServer) {
      const servers = new Map(service.pool.servers);
      servers.delete(id);
      service.pool = { ...service.pool, servers };
      this.effects.push({ deleteServer: { service: service.key, key } });
    } else if (operation.editServer) {
      const wanted = wantedPool(service as Pooled, service.pool.quorumUp).servers.get(id);
      if (wanted === undefined) return;
      const servers = new Map(service.pool.servers).set(id, wanted);
      service.pool = { ...service.pool, servers };
      this.effects.push({ editServer: { service: service.key, key, spec: wanted.spec } });
    }
  }

  /** Brings the pools up to date with what was changed. */
  settle(): void {
    for (const id of this.#unsettled) {
      const service = this.#services?.get(id) ?? this.#edited.get(id);
      if (service?.pool != null && service.health !== null) this.#settleService(service as DraftService);
    }
    this.#unsettled.clear();
  }

  #settleService(service: DraftService): void {
    const pool = service.pool as Pool;
    const wanted = wantedPool(service as Pooled, pool.quorumUp);
    const servers = new Map(pool.servers);
    for (const edit of poolEdits(pool.servers, wanted.servers)) {
      const { key, spec } = edit.server;
      const change = { service: service.key, key, spec };
      if (edit.kind === 'delete') {
        servers.delete(edit.id);
        this.effects.push({ deleteServer: { service: service.key, key } });
      } else {
        servers.set(edit.id, edit.server);
        this.effects.push(edit.kind === 'add' ? { addServer: change } : { editServer: change });
      }
    }
    service.pool = { servers, quorumUp: wanted.quorumUp };
  }

  flush(): void {
    for (const { key } of (this.#services ?? this.#before.services).values()) {
      this.#touch(key);
      this.#touchVip(key);
    }
    this.#services = new Map();
    this.#edited.clear();
  }

  get timeouts(): TimeoutValues {
    return this.#timeouts;
  }

  set timeouts(timeouts: TimeoutValues) {
    this.touched.timeouts = true;
    this.#timeouts = timeouts;
  }

  get tunables(): TunableValues {
    return this.#tunables;
  }

  set tunables(values: TunableValues) {
    this.touched.tunables = true;
    this.#tunables = values;
  }

  get markRules(): readonly MarkRule[] {
    return this.#markRules;
  }

  set markRules(rules: readonly MarkRule[]) {
    this.touched.markRules = true;
    this.#markRules = rules;
  }

  get prefixLists(): Model['prefixLists'] {
    return this.#prefixLists ?? this.#before.prefixLists;
  }

  setPrefixList(list: PrefixList__Output): void {
    this.touched.prefixLists.add(list.name);
    this.#writablePrefixLists().set(list.name, list);
  }

  deletePrefixList(name: string): void {
    this.touched.prefixLists.add(name);
    this.#writablePrefixLists().delete(name);
  }

  #writablePrefixLists(): Map<string, PrefixList__Output> {
    this.#prefixLists ??= new Map(this.#before.prefixLists);
    return this.#prefixLists;
  }

  vip(address: string): Vip | undefined {
    return (this.#vips ?? this.#before.vips).get(address);
  }

  setVip(vip: Vip): void {
    this.touched.vips.add(vip.address);
    this.#writableVips().set(vip.address, vip);
  }

  deleteVip(address: string): void {
    this.touched.vips.add(address);
    this.#writableVips().delete(address);
  }

  #touch(key: ServiceKey): string {
    const id = serviceId(key);
    this.touched.services.add(id);
    return id;
  }

  #touchVip(key: ServiceKey): void {
    if (key.fwmark === 0) this.touched.vips.add(key.address);
  }

  #writableServices(): Map<string, Service> {
    this.#services ??= new Map([...this.#before.services, ...this.#edited]);
    this.#edited.clear();
    return this.#services;
  }

  #writableVips(): Map<string, Vip> {
    this.#vips ??= new Map(this.#before.vips);
    return this.#vips;
  }

  #writable(service: Service): DraftService {
    if (this.#own.has(service)) return service as DraftService;
    const version = this.#isEdit ? this.#revision : service.version;
    const copy = { ...service, servers: new Map(service.servers), version };
    this.#own.add(copy);
    (this.#services ?? this.#edited).set(this.#touch(service.key), copy);
    return copy;
  }
}

/** Where its servers were not checked until now. */
function everyServer({ servers }: Service): Pool {
  const serving = [...servers].map(([id, server]) => [id, unchecked(server)] as const);
  return { servers: new Map(serving), quorumUp: true };
}
