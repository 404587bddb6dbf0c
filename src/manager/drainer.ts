// SPDX-License-Identifier: Apache-2.0
// Brings drains to their end: looks once a second whether connections are left, and when none is, or time is up, does what
// was asked for. What goes on is in the model, so a manager that starts again goes on with it.
import { setTimeout as sleep } from 'node:timers/promises';
import type { ConnectionFilter } from '../generated/fulcrum/v1/ConnectionFilter.js';
import type { Event } from '../generated/fulcrum/v1/Event.js';
import type { Operation__Output } from '../generated/fulcrum/v1/Operation.js';
import type { WatchDrainResponse } from '../generated/fulcrum/v1/WatchDrainResponse.js';
import { FulcrumError } from '../grpc/errors.js';
import type { Logger } from '../grpc/log.js';
import type { Director } from './director.js';
import { type Drain, drainMessage, drainText, isDraining } from './drain.js';
import { type Applied, applyOperations, type Model } from './model.js';
import { type Server, type ServerKey, type ServiceKey, serverId, serviceId } from './nouns.js';
import type { Reconciler } from './reconciler.js';

export interface DrainerOptions {
  readonly director: Director;
  readonly reconciler: Reconciler;
  readonly onEvent: (event: Event) => void;
  readonly log: Logger;
}

const lookEveryMs = 1_000;
/** How long a look waits until the dataplane has the weight 0: until then new connections may come. */
const inForceTimeoutMs = 5_000;
const callTimeoutMs = 10_000;
/** So long who asks is told how a drain has ended. */
const rememberedMs = 60_000;

interface Outcome {
  readonly text: string;
  /** Not called off. */
  readonly completed: boolean;
}

/** A drain that goes on, or did until lately. */
interface Draining {
  readonly service: ServiceKey;
  readonly key: ServerKey;
  drain: Drain;
  /** What it is to end with, while that is being done. */
  intended: Outcome | undefined;
  outcome: Outcome | undefined;
  readonly ended: AbortController;
}

interface Counts {
  readonly active: number;
  readonly inactive: number;
}

/** By service and server, as of one look. */
type Statistics = Map<string, ReadonlyMap<string, Counts>>;

export class Drainer {
  readonly #options: DrainerOptions;
  readonly #going = new Map<string, Draining>();
  readonly #ended = new Map<string, Draining>();
  readonly #stopped = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  /** When the timer fires. */
  #lookAt = Number.POSITIVE_INFINITY;
  #looking: Promise<void> = Promise.resolve();
  #isLooking = false;

  constructor(options: DrainerOptions) {
    this.#options = options;
  }

  /** Goes on with what the model has. */
  start(): void {
    const { director } = this.#options;
    director.listen((before, after, applied) => this.#follow(before, after, applied));
    for (const service of director.state.model.services.values()) {
      for (const server of service.servers.values())
        if (isDraining(server.drain)) this.#add(service.key, server.key, server.drain);
    }
    this.#schedule();
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    clearTimeout(this.#timer);
    await this.#looking;
  }

  /** Now and at each interval, until it has ended. */
  async *watch(
    service: ServiceKey,
    key: ServerKey,
    intervalMs: number,
    signal: AbortSignal,
  ): AsyncGenerator<WatchDrainResponse> {
    const id = drainId(service, key);
    const draining = this.#going.get(id) ?? this.#ended.get(id);
    if (draining === undefined) {
      const message = `${serverId(key)} of ${serviceId(service)} is not draining`;
      throw new FulcrumError({ code: 'FAILED_PRECONDITION', field: 'key', message });
    }
    const wake = AbortSignal.any([signal, draining.ended.signal, this.#stopped.signal]);
    while (draining.outcome === undefined && !wake.aborted) {
      yield await this.#progress(draining);
      await sleep(intervalMs, undefined, { signal: wake }).catch(() => {});
    }
    if (draining.outcome !== undefined) yield await this.#progress(draining);
  }

  #add(service: ServiceKey, key: ServerKey, drain: Drain): void {
    const id = drainId(service, key);
    this.#ended.delete(id);
    this.#going.set(id, {
      service,
      key,
      drain,
      intended: undefined,
      outcome: undefined,
      ended: new AbortController(),
    });
  }

  /** Costs what the edits cost, and what goes on. */
  #follow(_before: Model, after: Model, { carriedOut }: Applied): void {
    if (this.#stopped.signal.aborted) return;
    const mayEnd = carriedOut.some((edit) => edit.setDrain ?? edit.deleteServer ?? edit.deleteService ?? edit.flush);
    if (mayEnd) for (const [id, draining] of this.#going) this.#compare(id, draining, after);
    for (const { setDrain } of carriedOut) {
      if (!setDrain?.drain) continue;
      const [service, key] = [setDrain.service as ServiceKey, setDrain.key as ServerKey];
      const drain = serverIn(after, service, key)?.drain;
      if (!isDraining(drain) || this.#going.has(drainId(service, key))) continue;
      this.#add(service, key, drain);
      this.#report('drain_started', service, key, drainText(drain));
    }
    this.#schedule();
  }

  #compare(id: string, draining: Draining, after: Model): void {
    const server = serverIn(after, draining.service, draining.key);
    const drain = server?.drain;
    if (drain === draining.drain) return;
    if (isDraining(drain)) {
      draining.drain = drain;
      this.#report('drain_started', draining.service, draining.key, drainText(drain));
      return;
    }
    const text = server === undefined ? 'the server was deleted meanwhile' : 'called off';
    this.#end(id, draining, draining.intended ?? { text, completed: false });
  }

  #end(id: string, draining: Draining, outcome: Outcome): void {
    draining.outcome = outcome;
    this.#going.delete(id);
    this.#ended.set(id, draining);
    setTimeout(() => {
      if (this.#ended.get(id) === draining) this.#ended.delete(id);
    }, rememberedMs).unref();
    this.#report('drain_ended', draining.service, draining.key, outcome.text);
    draining.ended.abort();
  }

  #report(kind: string, service: ServiceKey, key: ServerKey, text: string): void {
    const message = `${drainId(service, key)}: ${text}`;
    this.#options.log.info({ kind }, message);
    this.#options.onEvent({ time: new Date().toISOString(), kind, message });
  }

  /** The next look: at a deadline, or a second from now. */
  #schedule(): void {
    if (this.#isLooking || this.#stopped.signal.aborted || this.#going.size === 0) return;
    const left = [...this.#going.values()].map(({ drain }) => leftMs(drain)).filter((ms) => ms > 0);
    const waitMs = Math.min(lookEveryMs, ...left);
    // What is edited meanwhile does not put a look off.
    if (performance.now() + waitMs >= this.#lookAt) return;
    clearTimeout(this.#timer);
    this.#lookAt = performance.now() + waitMs;
    this.#timer = setTimeout(() => this.#look(), waitMs);
  }

  #look(): void {
    this.#isLooking = true;
    this.#lookAt = Number.POSITIVE_INFINITY;
    this.#looking = this.#lookAtAll().finally(() => {
      this.#isLooking = false;
      this.#schedule();
    });
  }

  async #lookAtAll(): Promise<void> {
    const { director, reconciler } = this.#options;
    const { generation } = director.state;
    await reconciler.inForce(generation, inForceTimeoutMs);
    const isInForce = reconciler.status().generationApplied >= generation;
    const statistics: Statistics = new Map();
    for (const draining of [...this.#going.values()]) {
      if (this.#stopped.signal.aborted) return;
      try {
        await this.#lookAtOne(draining, isInForce ? statistics : undefined);
      } catch (error) {
        const id = drainId(draining.service, draining.key);
        this.#options.log.warn({ err: error, drain: id }, 'a drain cannot be ended yet');
      }
    }
  }

  /** Without statistics: connections may still begin. */
  async #lookAtOne(draining: Draining, statistics: Statistics | undefined): Promise<void> {
    const counts = statistics && (await this.#counts(draining, statistics));
    const left = counts && counts.active + counts.inactive;
    if (left === 0) await this.#finish(draining, 'no connection is left');
    else if (leftMs(draining.drain) <= 0) await this.#finish(draining, `time is up with ${leftText(left)} left`);
  }

  /** Undefined while the dataplane does not tell. */
  async #counts({ service, key }: Draining, statistics: Statistics): Promise<Counts | undefined> {
    const id = serviceId(service);
    try {
      const known = statistics.get(id) ?? (await this.#countsOf(service));
      statistics.set(id, known);
      return known.get(serverId(key)) ?? (await this.#countEntries(service, key));
    } catch (error) {
      return unlessRefused(error);
    }
  }

  async #countsOf(service: ServiceKey): Promise<ReadonlyMap<string, Counts>> {
    const { services } = await this.#options.reconciler.dataplane().getStatistics({ service }, this.#settings());
    const servers = services.flatMap((each) => each.servers);
    return new Map(
      servers.map(({ key, activeConnections, inactiveConnections }) => [
        key === null ? '' : serverId(key),
        { active: Number(activeConnections), inactive: Number(inactiveConnections) },
      ]),
    );
  }

  /** Of a server that checks have taken out of its pool. */
  async #countEntries(service: ServiceKey, key: ServerKey): Promise<Counts & { readonly oldestMs: string }> {
    const request = { filter: filterOf(service, key), countOnly: true };
    const dataplane = this.#options.reconciler.dataplane();
    const { connections, active, oldestMs } = await dataplane.deleteConnections(request, this.#settings());
    return { active: Number(active), inactive: Number(connections) - Number(active), oldestMs };
  }

  #settings() {
    return { timeoutMs: callTimeoutMs, signal: this.#stopped.signal };
  }

  /** Whatever fails is tried again at the next look. */
  async #finish(draining: Draining, why: string): Promise<void> {
    const { service, key, drain } = draining;
    const done = await this.#cut(draining);
    draining.intended = { text: `${why}; ${done}`, completed: true };
    const operation: Operation__Output =
      drain.atEnd === 'DRAIN_END_REMOVE'
        ? { action: 'deleteServer', deleteServer: { service, key } }
        : { action: 'setDrain', setDrain: { service, key, drain: endOf(drain) } };
    const apply = (model: Model): Applied => {
      const isSame = serverIn(model, service, key)?.drain === drain;
      return applyOperations(model, isSame ? [operation] : []);
    };
    try {
      await this.#options.director.edit({ apply, validateOnly: false, identity: 'drain', method: 'end' });
    } finally {
      draining.intended = undefined;
    }
  }

  /** What becomes of the connections that are left, and of clients who would come back. */
  async #cut({ service, key, drain }: Draining): Promise<string> {
    if (drain.atEnd === 'DRAIN_END_KEEP') return 'kept with weight 0';
    const request = { filter: filterOf(service, key), reset: true, templates: true };
    const dataplane = this.#options.reconciler.dataplane();
    const { connections } = await dataplane.deleteConnections(request, this.#settings());
    const cut = connections === '0' ? '' : `${leftText(Number(connections))} reset, `;
    return cut + (drain.atEnd === 'DRAIN_END_REMOVE' ? 'removed' : 'kept with weight 0');
  }

  async #progress({ service, key, drain, outcome }: Draining): Promise<WatchDrainResponse> {
    const left = leftMs(drain);
    const counts = await this.#countEntries(service, key).catch(unlessRefused);
    return {
      drain: drainMessage(drain),
      ...(counts && {
        activeConnections: counts.active,
        inactiveConnections: counts.inactive,
        oldestMs: counts.oldestMs,
      }),
      ...(Number.isFinite(left) && { leftMs: Math.max(0, left) }),
      outcome: outcome?.text ?? '',
      completed: outcome?.completed ?? false,
    };
  }
}

function unlessRefused(error: unknown): undefined {
  if (error instanceof FulcrumError) return undefined;
  throw error;
}

function drainId(service: ServiceKey, key: ServerKey): string {
  return `${serviceId(service)} ${serverId(key)}`;
}

function serverIn(model: Model, service: ServiceKey, key: ServerKey): Server | undefined {
  return model.services.get(serviceId(service))?.servers.get(serverId(key));
}

function filterOf(service: ServiceKey, key: ServerKey): ConnectionFilter {
  return { service, serverAddress: key.address, serverPort: key.port };
}

function leftMs({ deadline }: Drain): number {
  return deadline === '' ? Number.POSITIVE_INFINITY : Date.parse(deadline) - Date.now();
}

function leftText(connections: number | undefined): string {
  if (connections === undefined) return 'an unknown number of connections';
  return connections === 1 ? '1 connection' : `${connections} connections`;
}

function endOf(drain: Drain) {
  return drainMessage({ ...drain, ended: new Date().toISOString() });
}
