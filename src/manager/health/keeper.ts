// SPDX-License-Identifier: Apache-2.0
// Keeps the monitor's targets to what is configured, and brings what checks find into the model: as edits like any other,
// so that the state survives a restart and the dataplane follows in order. Slow start goes on by steps of its own.
import { describeWithoutSecrets } from '../../config/secrets.js';
import type { Event } from '../../generated/fulcrum/v1/Event.js';
import type { HealthPolicy__Output } from '../../generated/fulcrum/v1/HealthPolicy.js';
import type { LoadSource__Output } from '../../generated/fulcrum/v1/LoadSource.js';
import { FulcrumError } from '../../grpc/errors.js';
import type { Logger } from '../../grpc/log.js';
import type { DataplaneClient } from '../dataplane_client.js';
import type { Director } from '../director.js';
import { loadSource } from '../load/load.js';
import { type LoadChange, LoadMonitor } from '../load/monitor.js';
import { type PreparedLoad, prepareLoad } from '../load/prepare.js';
import type { Live } from '../messages.js';
import { type Applied, applyConditions, type ConditionChange, type Model } from '../model.js';
import { type Server, type Service, serverId, serviceId } from '../nouns.js';
import { Ejector } from '../passive/ejector.js';
import { type Condition, isLive, reasonOf, weightInForce } from '../pool.js';
import { type ClientWays, isSameWay } from './client_ways.js';
import { systemClock } from './clock.js';
import { dynamicWeight } from './dynamic_weight.js';
import { type Change, descriptorsForChecks, Monitor } from './monitor.js';
import { prepareChecks, type ScheduledCheck } from './prepare.js';
import { runScript } from './script.js';
import { slowStartSteps, withShare } from './slow_start.js';
import { virtualPort } from './via_vip.js';
import { WeightNews } from './weight_news.js';

export interface KeeperOptions {
  readonly director: Director;
  readonly ways: ClientWays;
  /** Throws while there is none. */
  readonly dataplane: () => DataplaneClient;
  readonly onEvent: (event: Event) => void;
  readonly log: Logger;
}

/** Of the descriptors for tries, so many are for questions to load sources. */
const shareForLoads = 0.25;

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
  readonly #loads: LoadMonitor;
  readonly #ejector: Ejector;
  readonly #weightNews: WeightNews;
  readonly #watched = new Map<string, Watched>();
  readonly #slowStarts = new Map<string, NodeJS.Timeout>();
  /** The checks of a policy or a server are read once. */
  readonly #prepared = new WeakMap<object, readonly ScheduledCheck[]>();
  readonly #preparedLoads = new WeakMap<LoadSource__Output, PreparedLoad | 'unusable'>();
  #stopped = false;

  constructor({ director, ways, dataplane, onEvent, log }: KeeperOptions) {
    this.#director = director;
    this.#ways = ways;
    this.#onEvent = onEvent;
    this.#log = log;
    const descriptors = descriptorsForChecks();
    const forLoads = Math.ceil(descriptors * shareForLoads);
    this.#monitor = new Monitor({ onChange: (batch) => this.#take(batch), mostUnderWay: descriptors - forLoads });
    this.#loads = new LoadMonitor({ onChange: (batch) => this.#takeLoads(batch), mostUnderWay: forLoads });
    this.#weightNews = new WeightNews({
      clock: systemClock,
      tell: (message) => this.#report('weight_changed', message),
    });
    this.#ejector = new Ejector({
      dataplane,
      model: () => director.state.model,
      enter: (changesIn) => this.#enter(changesIn),
      report: (kind, message) => this.#report(kind, message),
    });
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
    this.#ejector.stop();
    this.#weightNews.stop();
    for (const timer of this.#slowStarts.values()) clearTimeout(timer);
    await Promise.all([this.#monitor.stop(), this.#loads.stop()]);
  }

  /** What is known just now of a server. */
  live(service: Service, server: Server): Live {
    const id = targetId(service, server);
    const signals = this.#ejector.signals(service, server);
    return { latencyUs: this.#monitor.status(id)?.latencyUs ?? 0, load: this.#loads.status(id), signals };
  }

  /** Tells of what has become part of the model, not before. */
  #follow(before: Model, after: Model, { touched, conditions }: Applied): void {
    if (this.#stopped) return;
    for (const { service: key, key: serverKey } of conditions) {
      const service = after.services.get(serviceId(key)) as Service;
      const server = service.servers.get(serverId(serverKey)) as Server;
      const was = before.services.get(serviceId(key))?.servers.get(serverId(serverKey));
      const known = was?.condition;
      if (was) this.#weightNews.changed(targetId(service, server), weightInForce(was), weightInForce(server));
      this.#tellChange(service, server, known ?? null);
      // A step is under way unless the share is another one.
      if (server.condition !== null && server.condition.share < 100 && server.condition.share !== known?.share)
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
    this.#ejector.watch((now ?? before) as Service, now?.health?.passive ?? null);
    if (now?.health == null) return;
    for (const [id, server] of now.servers) {
      const old = before?.servers.get(id);
      const isSame = before?.health === now.health && old?.health === server.health && isSameWay(old.spec, server.spec);
      if (!isSame) this.#set(now, now.health, server);
    }
  }

  #forget(id: string): void {
    this.#monitor.remove(id);
    this.#loads.remove(id);
    this.#ways.set(id, []);
    this.#watched.delete(id);
    this.#ejector.forget(id);
    clearTimeout(this.#slowStarts.get(id));
    this.#slowStarts.delete(id);
  }

  #set(service: Service, policy: HealthPolicy__Output, server: Server): void {
    const id = targetId(service, server);
    const { condition } = server;
    const { key, spec } = server;
    this.#watched.set(id, { service: service.key, key });
    const target = { address: key.address, port: key.port || service.key.port };
    const source = this.#loadOf(policy, server);
    if (source === undefined) this.#loads.remove(id);
    else this.#loads.set(id, { target, source, known: condition?.load });
    // Who is in maintenance is not looked after.
    const checks = condition?.load?.admin === 'maint' ? [] : this.#checksOf(policy, server);
    const ports = new Set(checks.filter(({ isViaVip }) => isViaVip).map(({ port }) => virtualPort(service.key, port)));
    this.#ways.set(
      id,
      [...ports].map((port) => ({ service: service.key, port, key, spec })),
    );
    this.#monitor.set(id, {
      target: {
        ...target,
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
      this.#report('checks_not_made', `${serverId(server.key)}: ${faultOf(error)}`);
    }
    this.#prepared.set(source, checks);
    return checks;
  }

  #loadOf(policy: HealthPolicy__Output, server: Server): PreparedLoad | undefined {
    const source = loadSource(server, policy);
    if (source === null) return undefined;
    let prepared = this.#preparedLoads.get(source);
    if (prepared === undefined) {
      try {
        prepared = prepareLoad(source, 'health.load');
      } catch (error) {
        this.#report('load_not_read', `${serverId(server.key)}: ${faultOf(error)}`);
        prepared = 'unusable';
      }
      this.#preparedLoads.set(source, prepared);
    }
    return prepared === 'unusable' ? undefined : prepared;
  }

  #takeLoads(batch: readonly LoadChange[]): void {
    // Each says all that is known: of several about a server the last one is enough.
    const last = new Map(batch.map((change) => [change.targetId, change]));
    this.#enter((model) => [...last.values()].flatMap((change) => this.#loadedCondition(model, change)));
  }

  #loadedCondition(model: Model, { targetId: id, load }: LoadChange): ConditionChange[] {
    const watched = this.#watched.get(id);
    const service = watched && model.services.get(serviceId(watched.service));
    const server = watched && service?.servers.get(serverId(watched.key));
    if (!watched || service?.health == null || server?.condition == null) return [];
    // It was read from what is no longer the source.
    if (loadSource(server, service.health)?.kind !== load.kind) return [];
    const before = server.condition;
    return [{ ...watched, condition: withShare(before, { ...before, load }, service.health) }];
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
    const after: Condition = {
      ...before,
      up: change.up,
      checked: true,
      reason: change.reason,
      since: before.up === change.up ? before.since : new Date(change.at).toISOString(),
      weight: change.weights.length > 0 ? dynamicWeight(server.spec.weight, change.weights) : null,
    };
    return [{ ...watched, condition: withShare(before, after, service.health) }];
  }

  #tellChange(service: Service, server: Server, before: Condition | null): void {
    const { condition: after } = server;
    if (after === null) return;
    const wasLive = before === null || isLive(before);
    if (wasLive !== isLive(after) || before?.checked !== after.checked) this.#tell(service, server, after);
    this.#ejector.follow(service, server, before?.ejection);
    const [old, now] = [before?.load?.admin ?? 'ready', after.load?.admin ?? 'ready'];
    if (old === now) return;
    this.#report(`agent_${now}`, `${serviceId(service.key)} ${serverId(server.key)}`);
    const isPause = old === 'maint' || now === 'maint';
    if (isPause && service.health !== null) this.#set(service, service.health, server);
  }

  #tell(service: Service, server: Server, condition: Condition): void {
    const up = isLive(condition);
    const name = `${serviceId(service.key)} ${serverId(server.key)}`;
    const kind = up ? 'server_up' : 'server_down';
    this.#report(kind, up ? name : `${name}: ${reasonOf(condition)}`);
    const own = up ? server.health?.notifyUp : server.health?.notifyDown;
    const command =
      own !== undefined && own.length > 0 ? own : up ? service.health?.notifyUp : service.health?.notifyDown;
    this.#run(command ?? []);
  }

  /** keepalived's omega: the scripts of what ends with its service. */
  #sayFarewell({ servers, pool }: Service, policy: HealthPolicy__Output): void {
    for (const { condition, health } of servers.values()) {
      const own = health?.notifyDown ?? [];
      if (condition !== null && isLive(condition)) this.#run(own.length > 0 ? own : policy.notifyDown);
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
    if (!watched || !condition || !isLive(condition) || condition.share >= 100) return [];
    return [{ ...watched, condition: { ...condition, share: Math.min(100, condition.share + 100 / slowStartSteps) } }];
  }
}

function targetId(service: Service, server: Server): string {
  return `${serviceId(service.key)} ${serverId(server.key)}`;
}

function faultOf(error: unknown): string {
  return error instanceof FulcrumError ? describeWithoutSecrets(error) : (error as Error).message;
}
