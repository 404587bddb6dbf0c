// SPDX-License-Identifier: Apache-2.0
// Gathers changes for a short time, so that a rack that fails is one change of the pool and not forty. While changes keep
// coming the time grows, up to a limit that the operator does not notice.
import type { Cancel, Clock } from './clock.js';

/** What comes within so long of the first is told together with it. */
export const usualGatherMs = 20;
/** While changes keep coming. */
const longestGatherMs = 60;

export class ChangeBatch<Change> {
  readonly #clock: Clock;
  readonly #deliver: (batch: readonly Change[]) => void;
  #changes: Change[] = [];
  #cancel: Cancel | undefined;
  #gatherMs = usualGatherMs;
  #deliveredAt = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock, deliver: (batch: readonly Change[]) => void) {
    this.#clock = clock;
    this.#deliver = deliver;
  }

  add(change: Change): void {
    this.#changes.push(change);
    if (this.#cancel !== undefined) return;
    const isMore = this.#clock.now() - this.#deliveredAt <= this.#gatherMs;
    this.#gatherMs = isMore ? Math.min(longestGatherMs, 2 * this.#gatherMs) : usualGatherMs;
    this.#cancel = this.#clock.after(this.#gatherMs, () => this.#flush());
  }

  /** Forgets those that are not to be told any more. */
  drop(unwanted: (change: Change) => boolean): void {
    this.#changes = this.#changes.filter((change) => !unwanted(change));
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#changes = [];
  }

  #flush(): void {
    this.#cancel = undefined;
    this.#deliveredAt = this.#clock.now();
    const batch = this.#changes;
    this.#changes = [];
    if (batch.length > 0) this.#deliver(batch);
  }
}
