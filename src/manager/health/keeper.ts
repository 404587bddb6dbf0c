// SPDX-License-Identifier: Apache-2.0
// Keeps the monitor's targets to what is configured, and brings what checks find into the model: as edits like any other,
// so that the state survives a restart and the dataplane follows in order. Slow start goes on by steps of its own.
import type { Event } from '../../generated/fulcrum/v1/Event.js';
import type { HealthPolicy__Output } from '../../generated/fulcrum/v1/HealthPolicy.js';
import type { Logger } from '../../grpc/log.js';
import type { Director } from '../director.js';
import { type Applied, applyConditions, type ConditionChange, type Model } from '../model.js';
import { type Server, type Service, serverId, serviceId } from '../nouns.js';
import type { Condition } from '../pool.js';
import { type ClientWays, isSameWay } from './client_ways.js';
import { dynamicWeight } from './dynamic_weight.js';
import { type Change, Monitor, type TargetStatus } from './monitor.js';
import { prepareChecks, type ScheduledCheck } from './prepare.js';
import { runScript } from './script.js';
import { virtualPort } from './via_vip.js';

export interface KeeperOptions {
  readonly director: Director;
  readonly ways: ClientWays;
  readonly onEvent: (event: Event) => void;
  readonly log: Logger;
}

/** Steps of a slow start. */
const slowStartSteps = 10;

interface Watched {
  readonly service: Service['key'];
  readonly key: Server['key'];
}

export class Keeper {
  readonly #director: Director;
  readonly #ways: ClientWays;
  readonly #onEvent: KeeperOptions['onEvent'];
  readonly #log: Logger;
  readonly #monitor: Monitor;
  readonly #watched = new Map<string, Watched>();
  readonly #slowStarts = new Map<string, NodeJS.Timeout>();
  /** The checks of a policy or a server are read once. */
  readonly #prepared = new WeakMap<object, readonly ScheduledCheck[]>();
  #stopped = false;

  constructor({ director, ways, onEvent, log }: KeeperOptions) {
    this.#director = director;
    this.#ways = ways;
    this.#onEvent = onEvent;
    this.#log = log;
    this.#monitor = new Monitor({ onChange: (batch) => this.#take(batch) });
  }

  /** Begins with what is configured, each server in the state that it was left in. */
  start(): void {
    this.#director.listen((before, after, applied) => this.#follow(before, after, applied));
    const { model } = this.#director.state;
    for (const service of model.services.values()) this.#watch(undefined, service);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#ways.stop();
    for (const timer of this.#slowStarts.values()) clearTimeout(timer);
    await this.#monitor.stop();
  }

  /** Undefined for a server that is not checked. */
  status(service: Service, server: Server): TargetStatus | undefined {
    return this.#monitor.status(targetId(service, server));
  }

  /** Tells of what has become part of the model, not before. */
  #follow(before: Model, after: Model, { touched, conditions }: Applied): void {
    if (this.#stopped) return;
    for (const { service: key, key: serverKey } of conditions) {
      const service = after.services.get(serviceId(key)) as Service;
      const server = service.servers.get(serverId(serverKey)) as Server;
      const known = before.services.get(serviceId(key))?.servers.get(serverId(serverKey))?.condition;
      if (known?.up !== server.condition?.up || known?.checked !== server.condition?.checked)
        this.#tell(service, server);
      if ((server.condition?.share ?? 100) < 100)
        this.#slowlyOn(targetId(service, server), service.health?.slowStartMs ?? 0);
    }
    for (const id of touched.services) {
      const [old, now] = [before.services.get(id), after.services.get(id)];
      this.#watch(old, now);
      if (old?.health?.omega && now === undefined) this.#sayFarewell(old, old.health);
      if (old?.pool && now?.pool && old.pool.quorumUp !== now.pool.quorumUp) this.#tellQuorum(now, now.pool.quorumUp);
    }
  }

  #watch(before: Service | undefined, now: Service | undefined): void {
    for (const server of before?.servers.values() ?? []) {
      const isGone = now?.health == null || !now.servers.has(serverId(server.key));
      if (before?.health != null && isGone) this.#forget(targetId(before, server));
    }
    if (now?.health == null) return;
    for (const [id, server] of now.servers) {
      const old = before?.servers.get(id);
      const isSame = before?.health === now.health && old?.health === server.health && isSameWay(old.spec, server.spec);
      if (!isSame) this.#set(now, now.health, server);
    }
  }

  #forget(id: string): void {
    this.#monitor.remove(id);
    this.#ways.set(id, []);
    this.#watched.delete(id);
    clearTimeout(this.#slowStarts.get(id));
    this.#slowStarts.delete(id);
  }

  #set(service: Service, policy: HealthPolicy__Output, server: Server): void {
    const id = targetId(service, server);
    const { condition } = server;
    const checks = this.#checksOf(policy, server);
    const ports = new Set(checks.filter(({ isViaVip }) => isViaVip).map(({ port }) => virtualPort(service.key, port)));
    const { key, spec } = server;
    this.#watched.set(id, { service: service.key, key });
    this.#ways.set(
      id,
      [...ports].map((port) => ({ service: service.key, port, key, spec })),
    );
    this.#monitor.set(id, {
      target: {
        address: key.address,
        port: key.port || service.key.port,
        ...(ports.size > 0 && { clientWay: (port: number) => this.#ways.way(id, virtualPort(service.key, port)) }),
      },
      checks,
      initial: !condition?.checked ? 'unknown' : condition.up ? 'up' : 'down',
      ...(condition?.checked && { reason: condition.reason, since: Date.parse(condition.since) }),
    });
    if (condition !== null && condition.share < 100) this.#slowlyOn(id, policy.slowStartMs);
  }

  /** They were found good when they were configured; files may have gone since. */
  #checksOf(policy: HealthPolicy__Output, server: Server): readonly ScheduledCheck[] {
    const source = server.health !== null && server.health.checks.length > 0 ? server.health : policy;
    const known = this.#prepared.get(source);
    if (known !== undefined) return known;
    let checks: readonly ScheduledCheck[] = [];
    try {
      checks = prepareChecks(source.checks, 'health');
    } catch (error) {
      this.#report('checks_not_made', `${serverId(server.key)}: ${(error as Error).message}`);
    }
    this.#prepared.set(source, checks);
    return checks;
  }

  #take(batch: readonly Change[]): void {
    this.#enter((model) => batch.flatMap((change) => this.#conditionOf(model, change)));
  }

  #conditionOf(model: Model, change: Change): ConditionChange[] {
    const watched = this.#watched.get(change.targetId);
    if (watched === undefined) return [];
    const service = model.services.get(serviceId(watched.service));
    const server = service?.servers.get(serverId(watched.key));
    if (service?.health == null || server?.condition == null) return [];
    const before = server.condition;
    const comesBack = change.up && !before.up && before.checked;
    const slow = comesBack && service.health.slowStartMs > 0;
    const condition: Condition = {
      up: change.up,
      checked: true,
      reason: change.reason,
      since: before.up === change.up ? before.since : new Date(change.at).toISOString(),
      weight: change.weights.length > 0 ? dynamicWeight(server.spec.weight, change.weights) : null,
      share: slow ? 100 / slowStartSteps : change.up ? before.share : 100,
    };
    return [{ ...watched, condition }];
  }

  #tell(service: Service, server: Server): void {
    const { up = true, reason = '' } = server.condition ?? {};
    const name = `${serviceId(service.key)} ${serverId(server.key)}`;
    const kind = up ? 'server_up' : 'server_down';
    this.#report(kind, up ? name : `${name}: ${reason}`);
    const own = up ? server.health?.notifyUp : server.health?.notifyDown;
    const command =
      own !== undefined && own.length > 0 ? own : up ? service.health?.notifyUp : service.health?.notifyDown;
    this.#run(command ?? []);
  }

  /** keepalived's omega: the scripts of what ends with its service. */
  #sayFarewell({ servers, pool }: Service, policy: HealthPolicy__Output): void {
    for (const { condition, health } of servers.values()) {
      const own = health?.notifyDown ?? [];
      if (condition?.up) this.#run(own.length > 0 ? own : policy.notifyDown);
    }
    if (pool?.quorumUp) this.#run(policy.quorumDown);
  }

  #tellQuorum(service: Service, isUp: boolean): void {
    this.#report(isUp ? 'quorum_gained' : 'quorum_lost', serviceId(service.key));
    this.#run((isUp ? service.health?.quorumUp : service.health?.quorumDown) ?? []);
  }

  #report(kind: string, message: string): void {
    this.#log.info({ kind }, message);
    this.#onEvent({ time: new Date().toISOString(), kind, message });
  }

  #run(command: readonly string[]): void {
    if (command.length > 0) runScript(command, this.#log);
  }

  /** Worked out when its turn comes: what was found before is in the model then. */
  #enter(changesIn: (model: Model) => readonly ConditionChange[]): void {
    const apply = (model: Model): Applied => applyConditions(model, changesIn(model));
    this.#director
      .edit({ apply, validateOnly: false, identity: 'health checks', method: 'condition' })
      .catch((error: unknown) => this.#log.error({ err: error }, 'what checks found could not be stored'));
  }

  #slowlyOn(id: string, durationMs: number): void {
    clearTimeout(this.#slowStarts.get(id));
    const timer = setTimeout(() => this.#enter((model) => this.#nextShare(model, id)), durationMs / slowStartSteps);
    this.#slowStarts.set(id, timer);
  }

  /** Nothing if it has failed meanwhile. */
  #nextShare(model: Model, id: string): ConditionChange[] {
    const watched = this.#watched.get(id);
    const service = watched && model.services.get(serviceId(watched.service));
    const condition = watched && service?.servers.get(serverId(watched.key))?.condition;
    if (!watched || !condition?.up || condition.share >= 100) return [];
    return [{ ...watched, condition: { ...condition, share: Math.min(100, condition.share + 100 / slowStartSteps) } }];
  }
}

function targetId(service: Service, server: Server): string {
  return `${serviceId(service.key)} ${serverId(server.key)}`;
}
