// SPDX-License-Identifier: Apache-2.0
// Keeps a director's processes running: the dataplane first, then the manager. One that dies is started again at once,
// and with growing pauses when it keeps dying. Stopped in reverse order.

import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '../grpc/log.js';
import { Child, type ChildSpec, type OutputLine } from './child.js';

/** A process that ran this long before it died is started again without a pause. */
const stableMs = 10_000;
const firstPauseMs = 250;
const longestPauseMs = 5_000;
const stopGraceMs = 5_000;

/** A process ended before it was ready for the first time: its configuration is wrong, another attempt would not help. */
export class StartError extends Error {}

export interface SupervisorEvents {
  readonly output: OutputLine;
  /** The processes that run now, after each change. */
  readonly changed: (pids: readonly number[]) => void;
}

export class Supervisor {
  readonly #log: Logger;
  readonly #events: SupervisorEvents;
  readonly #stopping = new AbortController();
  readonly #children = new Map<string, Child>();
  /** Names in the order of their first start. */
  readonly #order: string[] = [];
  readonly #keepers: Promise<void>[] = [];

  constructor(log: Logger, events: SupervisorEvents) {
    this.#log = log;
    this.#events = events;
  }

  /** Starts a process and returns when it is ready; from then on it is kept running. Throws StartError. */
  async start(spec: ChildSpec): Promise<void> {
    this.#order.push(spec.name);
    const child = this.#launch(spec);
    if (await child.ready) {
      this.#keepers.push(this.#keep(spec, child));
      return;
    }
    const ending = await child.ended;
    this.#forget(child);
    if (this.#stopping.signal.aborted) throw new StartError(`stopped while the ${spec.name} was starting`);
    const said = child.lastWords === '' ? '' : `: ${child.lastWords}`;
    throw new StartError(`the ${spec.name} did not start (${ending})${said}`);
  }

  /** Ends everything, the process started last first. May be called again: then it does not wait any longer. */
  async stop(): Promise<void> {
    if (this.#stopping.signal.aborted) for (const child of this.#children.values()) child.kill();
    this.#stopping.abort();
    for (const name of this.#order.toReversed()) {
      const child = this.#children.get(name);
      if (child === undefined) continue;
      await child.stop(stopGraceMs);
      this.#forget(child);
    }
    await Promise.all(this.#keepers);
  }

  async #keep(spec: ChildSpec, first: Child): Promise<void> {
    let failures = 0;
    for (let child = first; ; ) {
      const readySince = (await child.ready) ? Date.now() : undefined;
      const ending = await child.ended;
      if (this.#stopping.signal.aborted) return;
      this.#forget(child);
      if (readySince !== undefined && Date.now() - readySince >= stableMs) failures = 0;
      const pauseMs = failures === 0 ? 0 : Math.min(longestPauseMs, firstPauseMs * 2 ** (failures - 1));
      failures++;
      this.#log.error({ process: spec.name, ending, pauseMs }, `the ${spec.name} ended: starting it again`);
      await this.#pause(pauseMs);
      if (this.#stopping.signal.aborted) return;
      child = this.#launch(spec);
    }
  }

  async #pause(ms: number): Promise<void> {
    if (ms > 0) await delay(ms, undefined, { signal: this.#stopping.signal }).catch(() => {});
  }

  #launch(spec: ChildSpec): Child {
    const child = new Child(spec, this.#events.output);
    this.#children.set(spec.name, child);
    this.#changed();
    return child;
  }

  #forget(child: Child): void {
    if (this.#children.get(child.name) !== child) return;
    this.#children.delete(child.name);
    this.#changed();
  }

  #changed(): void {
    this.#events.changed([...this.#children.values()].map((child) => child.pid).filter((pid) => pid !== undefined));
  }
}
