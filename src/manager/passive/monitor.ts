// SPDX-License-Identifier: Apache-2.0
// Looks at what the dataplane counts of the answers that clients get, for every service that wants it, and tells after
// each look. A look that fails is one that nothing is learnt from.
import type { PassiveHealth__Output } from '../../generated/fulcrum/v1/PassiveHealth.js';
import type { ServiceStatistics__Output } from '../../generated/fulcrum/v1/ServiceStatistics.js';
import { type Cancel, type Clock, systemClock } from '../health/clock.js';
import { type ServiceKey, serverId } from '../nouns.js';
import { readServerKey } from '../validate.js';
import { AnswersWindow, type Signals } from './answers.js';

export interface PassiveMonitorOptions {
  /** Of one service. */
  readonly statistics: (service: ServiceKey) => Promise<readonly ServiceStatistics__Output[]>;
  /** After each look, also after one that failed: time has gone on. */
  readonly onLook: (service: ServiceKey, signals: ReadonlyMap<string, Signals>) => void;
  readonly clock?: Clock;
}

/** Looks within one window. */
const looksInWindow = 10;
const leastPauseMs = 500;
const longestPauseMs = 5_000;

interface Watched {
  readonly key: ServiceKey;
  readonly policy: PassiveHealth__Output;
  /** By serverId(). */
  readonly windows: Map<string, AnswersWindow>;
  next: Cancel;
}

export class PassiveMonitor {
  readonly #options: PassiveMonitorOptions;
  readonly #clock: Clock;
  readonly #watched = new Map<string, Watched>();

  constructor(options: PassiveMonitorOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** Begins to watch a service, or goes on as before if its policy is the same; null: looks at it no more. */
  set(serviceId: string, key: ServiceKey, policy: PassiveHealth__Output | null): void {
    const before = this.#watched.get(serviceId);
    if (before !== undefined && before.policy === policy) return;
    before?.next();
    this.#watched.delete(serviceId);
    if (policy === null) return;
    const watched: Watched = { key, policy, windows: new Map(), next: () => {} };
    this.#watched.set(serviceId, watched);
    this.#lookLater(serviceId, watched, 0);
  }

  /** Undefined: nothing has been seen of it. */
  signals(serviceId: string, server: string): Signals | undefined {
    return this.#watched.get(serviceId)?.windows.get(server)?.signals();
  }

  /** What was seen of a server counts no more. */
  forget(serviceId: string, server: string): void {
    this.#watched.get(serviceId)?.windows.get(server)?.clear();
  }

  stop(): void {
    for (const { next } of this.#watched.values()) next();
    this.#watched.clear();
  }

  #lookLater(serviceId: string, watched: Watched, pauseMs = pauseOf(watched.policy)): void {
    watched.next = this.#clock.after(pauseMs, () => {
      void this.#look(serviceId, watched);
    });
  }

  async #look(serviceId: string, watched: Watched): Promise<void> {
    const counted = await this.#options.statistics(watched.key).catch(() => undefined);
    if (this.#watched.get(serviceId) !== watched) return;
    if (counted !== undefined) this.#take(watched, counted);
    this.#lookLater(serviceId, watched);
    const signals = [...watched.windows].map(([id, window]) => [id, window.signals()] as const);
    this.#options.onLook(watched.key, new Map(signals));
  }

  #take({ policy, windows }: Watched, counted: readonly ServiceStatistics__Output[]): void {
    const at = this.#clock.now();
    const seen = new Set<string>();
    for (const { key, answers } of counted.flatMap(({ servers }) => servers)) {
      const id = serverId(readServerKey(key, 'key'));
      seen.add(id);
      const window = windows.get(id) ?? new AnswersWindow(policy.windowMs);
      windows.set(id, window);
      window.add(at, answers);
    }
    for (const id of windows.keys()) if (!seen.has(id)) windows.delete(id);
  }
}

function pauseOf({ windowMs }: PassiveHealth__Output): number {
  return Math.min(longestPauseMs, Math.max(leastPauseMs, windowMs / looksInWindow));
}
