// SPDX-License-Identifier: Apache-2.0
// The one writer of the dataplane. On connecting it compares lineage and generation: equal, nothing is sent; behind by
// what is still queued, the queue is sent; otherwise a snapshot. Then groups of operations, as they come, in order and
// never folded. A dataplane that is gone is looked for until it is back: the stream of its events tells at once.
import { setTimeout as sleep } from 'node:timers/promises';
import type { ApplyResponse__Output } from '../generated/fulcrum/dataplane/v1/ApplyResponse.js';
import type { GetStateResponse__Output } from '../generated/fulcrum/dataplane/v1/GetStateResponse.js';
import type { Event, Event__Output } from '../generated/fulcrum/v1/Event.js';
import type { Operation } from '../generated/fulcrum/v1/Operation.js';
import { FulcrumError } from '../grpc/errors.js';
import type { Logger } from '../grpc/log.js';
import type { DataplaneClient } from './dataplane_client.js';
import { inForceMessage } from './messages.js';
import type { State } from './state_file.js';

/** Waits between attempts to connect. A dataplane that comes back is found within the longest. */
const firstRetryMs = 20;
const longestRetryMs = 500;
/** Waits between attempts to have a refused configuration taken; an edit tries at once. */
const firstRefusalRetryMs = 1_000;
const longestRefusalRetryMs = 30_000;
/** How often a quiet dataplane is asked for its state. */
const probeMs = 5_000;
const stateTimeoutMs = 2_000;
const applyTimeoutMs = 30_000;

/** Edits that were made together, and go to the dataplane together. */
export interface Group {
  /** One more than that of the group before it. */
  readonly generation: number;
  readonly operations: readonly Operation[];
}

export interface ReconcilerStatus {
  readonly connected: boolean;
  readonly state: GetStateResponse__Output | undefined;
  readonly generationApplied: number;
  readonly lastError: string;
  readonly retryInMs: number;
  /** Of the dataplane's, since the start. */
  readonly eventsLost: number;
}

export interface ReconcilerOptions {
  readonly connect: () => DataplaneClient;
  /** The durable state as it is now. */
  readonly desired: () => State;
  readonly onEvent: (event: Event) => void;
  readonly log: Logger;
}

interface Waiter {
  readonly generation: number;
  readonly settle: (inForce: boolean) => void;
}

/** The dataplane answered, but does not take what it was sent. */
class Refused extends Error {}

export class Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #stopped = new AbortController();
  readonly #waiters = new Set<Waiter>();
  /** Generations of -Z that a snapshot went past: their counters were not zeroed. */
  readonly #skipped = new Set<number>();
  #queue: Group[] = [];
  #running: Promise<void> | undefined;
  #client: DataplaneClient | undefined;
  #state: GetStateResponse__Output | undefined;
  /** The dataplane has had nothing applied since its start. */
  #fresh = false;
  #applied = 0;
  #refused = false;
  #lastError = 'not connected yet';
  #retryAt = 0;
  #eventsLost = 0;
  #wake: () => void = () => {};

  constructor(options: ReconcilerOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#wake();
    await this.#running;
  }

  /** Queues a group. Its edits are part of what desired() returns. */
  submit(group: Group): void {
    this.#queue.push(group);
    this.#wake();
  }

  /** Whether a generation is acknowledged, waiting for it at most so long. */
  inForce(generation: number, timeoutMs: number): Promise<boolean> {
    if (generation <= this.#applied && !this.#refused) return Promise.resolve(!this.#skipped.has(generation));
    return new Promise((done) => {
      const waiter: Waiter = {
        generation,
        settle: (inForce) => {
          clearTimeout(timer);
          this.#waiters.delete(waiter);
          done(inForce);
        },
      };
      const timer = setTimeout(() => waiter.settle(false), Math.max(0, timeoutMs));
      this.#waiters.add(waiter);
    });
  }

  /** The connected dataplane; UNAVAILABLE, and why, if there is none. */
  dataplane(): DataplaneClient {
    if (this.#client !== undefined) return this.#client;
    throw new FulcrumError({ code: 'UNAVAILABLE', message: `the dataplane is not connected: ${this.#lastError}` });
  }

  status(): ReconcilerStatus {
    const connected = this.#client !== undefined;
    return {
      connected,
      state: this.#state,
      generationApplied: this.#applied,
      lastError: this.#lastError,
      eventsLost: this.#eventsLost,
      retryInMs: connected ? 0 : Math.max(0, Math.ceil(this.#retryAt - performance.now())),
    };
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped;
    for (let attempt = 0; !signal.aborted; attempt++) {
      if (await this.#connectOnce()) attempt = 0;
      if (signal.aborted) return;
      const longest = Math.min(firstRetryMs * 2 ** Math.min(attempt, 10), longestRetryMs);
      await this.#pause(longest * (0.5 + Math.random() / 2));
    }
  }

  async #pause(ms: number): Promise<void> {
    this.#retryAt = performance.now() + ms;
    await sleep(ms, undefined, { signal: this.#stopped.signal }).catch(() => {});
  }

  /** Connects and serves until the dataplane is lost. Returns whether it was there for a while. */
  async #connectOnce(): Promise<boolean> {
    const begin = performance.now();
    const client = this.#options.connect();
    const session = new AbortController();
    const end = () => session.abort();
    this.#stopped.signal.addEventListener('abort', end, { once: true });
    try {
      await this.#serve(client, session);
    } catch (error) {
      if (!session.signal.aborted) this.#noteLoss(error);
    } finally {
      session.abort();
      this.#stopped.signal.removeEventListener('abort', end);
    }
    const wasConnected = this.#client !== undefined;
    this.#client = undefined;
    // What it has is known again when it answers again.
    this.#applied = 0;
    client.close();
    if (wasConnected && !this.#stopped.signal.aborted) this.#report('dataplane_lost', this.#lastError);
    return wasConnected && performance.now() - begin > longestRetryMs;
  }

  #noteLoss(error: unknown): void {
    if (this.#stopped.signal.aborted) return;
    const message = error instanceof FulcrumError ? error.describe() : (error as Error).message;
    if (message !== this.#lastError) this.#options.log.warn({ err: message }, 'the dataplane is not there');
    this.#lastError = message;
  }

  #report(kind: string, message: string): void {
    this.#options.log.info({ kind }, message === '' ? kind : message);
    this.#options.onEvent({ time: new Date().toISOString(), kind, message });
  }

  async #serve(client: DataplaneClient, session: AbortController): Promise<void> {
    const state = await client.getState({}, { timeoutMs: stateTimeoutMs, signal: session.signal });
    const lost = this.#readEvents(client, session);
    this.#client = client;
    this.#lastError = '';
    this.#refused = false;
    this.#compare(state);
    this.#report('dataplane_connected', `instance ${state.instanceId}, generation ${state.generation}`);
    for (let refusals = 0; !session.signal.aborted; ) {
      const wanted = this.#options.desired().generation;
      try {
        await this.#step(client, session.signal);
        refusals = 0;
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        this.#noteRefusal(error.message);
        // Operations that are refused are followed by a snapshot at once.
        if (refusals++ > 0 && this.#options.desired().generation === wanted) {
          const ms = Math.min(firstRefusalRetryMs * 2 ** Math.min(refusals, 10), longestRefusalRetryMs);
          await this.#forNews(ms, session.signal);
        }
      }
    }
    await lost;
  }

  async #step(client: DataplaneClient, signal: AbortSignal): Promise<void> {
    if (this.#needsSnapshot()) await this.#sendSnapshot(client, signal);
    else if (this.#queue.length > 0) await this.#sendQueue(client, signal);
    else await this.#idle(client, signal);
  }

  /** Passes events on. When the stream ends, so does the session: the dataplane is gone. */
  async #readEvents(client: DataplaneClient, session: AbortController): Promise<void> {
    try {
      for await (const { event, lost } of client.watchEvents({}, { signal: session.signal })) {
        this.#eventsLost += Number(lost);
        if (lost !== '0') this.#report('events_lost', `${lost} events of the dataplane were lost`);
        if (event !== null) this.#passOn(event);
      }
      this.#lastError = 'the dataplane ended the connection';
    } catch (error) {
      if (!session.signal.aborted) this.#noteLoss(error);
    } finally {
      session.abort();
      this.#wake();
    }
  }

  #passOn(event: Event__Output): void {
    this.#options.log.info({ kind: event.kind }, event.message);
    this.#options.onEvent(event);
  }

  /** Learns what the dataplane has. */
  #compare(state: GetStateResponse__Output): void {
    const ours = state.lineage === this.#options.desired().lineage;
    const generation = Number(state.generation);
    this.#state = state;
    this.#fresh = generation === 0;
    this.#applied = 0;
    // A generation that we have not reached is that of a newer state file than ours.
    if (ours && generation <= this.#options.desired().generation) this.#acknowledge(generation);
  }

  /** Whether the queue does not lead from what the dataplane has to what is wanted. */
  #needsSnapshot(): boolean {
    if (this.#refused) return true;
    const next = this.#queue[0]?.generation ?? this.#options.desired().generation + 1;
    return this.#applied + 1 !== next;
  }

  async #sendSnapshot(client: DataplaneClient, signal: AbortSignal): Promise<void> {
    const { lineage, generation, model } = this.#options.desired();
    const fresh = this.#fresh;
    const zeroed = this.#queue.filter((group) => group.operations.some((operation) => operation.zero !== undefined));
    this.#options.log.info({ generation, services: model.services.size }, 'sending a snapshot');
    await this.#apply(client, signal, { lineage, generation, snapshot: inForceMessage(model) });
    // A dataplane that had nothing yet has no counters to zero.
    if (!fresh) for (const group of zeroed) this.#skipped.add(group.generation);
    this.#refused = false;
    this.#lastError = '';
    this.#acknowledge(generation);
  }

  async #sendQueue(client: DataplaneClient, signal: AbortSignal): Promise<void> {
    const groups = this.#queue;
    const last = groups.at(-1);
    if (last === undefined) return;
    await this.#apply(client, signal, {
      lineage: this.#options.desired().lineage,
      baseGeneration: this.#applied,
      generation: last.generation,
      operations: { operations: groups.flatMap((group) => group.operations) },
      // Every edit in it was accepted here: the dataplane is to take all of them.
      mode: 'APPLY_MODE_ATOMIC',
    });
    this.#acknowledge(last.generation);
  }

  async #apply(
    client: DataplaneClient,
    signal: AbortSignal,
    request: Omit<Parameters<DataplaneClient['apply']>[0], 'instanceId'>,
  ): Promise<void> {
    let answer: ApplyResponse__Output;
    try {
      const instanceId = this.#state?.instanceId ?? '';
      answer = await client.apply({ instanceId, ...request }, { timeoutMs: applyTimeoutMs, signal });
    } catch (error) {
      if (!(error instanceof FulcrumError) || isLoss(error)) throw error;
      throw new Refused(error.describe(), { cause: error });
    }
    const index = answer.results.findIndex(({ reason }) => reason !== 'REASON_UNSPECIFIED');
    const result = answer.results[index];
    if (result !== undefined) throw new Refused(`operations[${index}].${result.field}: ${result.message}`);
    this.#fresh = false;
  }

  /** From now on a snapshot is tried, since what the dataplane has is not on the way to what is wanted. */
  #noteRefusal(message: string): void {
    this.#options.log.error({ err: message }, 'the dataplane refused the configuration');
    if (message !== this.#lastError || !this.#refused) this.#report('apply_refused', message);
    this.#lastError = `the dataplane refused the configuration: ${message}`;
    if (this.#refused) for (const waiter of this.#waiters) waiter.settle(false);
    this.#refused = true;
  }

  #acknowledge(generation: number): void {
    this.#applied = generation;
    this.#queue = this.#queue.filter((group) => group.generation > generation);
    for (const waiter of this.#waiters) {
      if (waiter.generation <= generation) waiter.settle(!this.#skipped.has(waiter.generation));
    }
  }

  /** Waits for work, and asks a quiet dataplane now and then whether it is still the one that it was. */
  async #idle(client: DataplaneClient, signal: AbortSignal): Promise<void> {
    if (await this.#forNews(probeMs, signal)) return;
    if (signal.aborted) return;
    const state = await client.getState({}, { timeoutMs: stateTimeoutMs, signal });
    if (this.#queue.length === 0) this.#compare(state);
  }

  /** Resolves true when a group is queued or the session ends, false after a time. */
  #forNews(ms: number, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return Promise.resolve(true);
    return new Promise((done) => {
      const finish = (news: boolean) => {
        clearTimeout(timer);
        this.#wake = () => {};
        done(news);
      };
      const timer = setTimeout(() => finish(false), ms);
      this.#wake = () => finish(true);
    });
  }
}

/** Whether an error says that the dataplane, or the one we knew, is not there any more. */
function isLoss(error: FulcrumError): boolean {
  return ['UNAVAILABLE', 'DEADLINE_EXCEEDED', 'CANCELLED', 'FAILED_PRECONDITION', 'ABORTED'].includes(error.code);
}
