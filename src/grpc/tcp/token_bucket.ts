// SPDX-License-Identifier: Apache-2.0
// Tokens that fill up at a rate, one for each thing that is let pass.

export class TokenBucket {
  readonly #perSecond: number;
  readonly #capacity: number;
  readonly #now: () => number;
  #tokens: number;
  #filledAt: number;

  /** `now` in milliseconds. */
  constructor(perSecond: number, capacity: number, now: () => number = () => performance.now()) {
    this.#perSecond = perSecond;
    this.#capacity = capacity;
    this.#now = now;
    this.#tokens = capacity;
    this.#filledAt = now();
  }

  /** 0: one was taken; otherwise milliseconds until there is one. */
  take(): number {
    this.#fill();
    if (this.#tokens < 1) return Math.ceil(((1 - this.#tokens) / this.#perSecond) * 1_000);
    this.#tokens--;
    return 0;
  }

  /** Whether it makes no difference to begin with a new one. */
  isFull(): boolean {
    this.#fill();
    return this.#tokens >= this.#capacity;
  }

  #fill(): void {
    const now = this.#now();
    this.#tokens = Math.min(this.#capacity, this.#tokens + ((now - this.#filledAt) / 1_000) * this.#perSecond);
    this.#filledAt = now;
  }
}
