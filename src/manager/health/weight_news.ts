// SPDX-License-Identifier: Apache-2.0
// Tells of weights in force that change by themselves, by health, load or slow start: of a server at most once in ten
// seconds, from what was told last to what is now, and in a second of so many servers that somebody can read it.
import type { Cancel, Clock } from './clock.js';

export interface WeightNewsOptions {
  readonly clock: Clock;
  readonly tell: (message: string) => void;
}

/** What changes within so long of the first is told together. */
const gatherMs = 1_000;
const pauseMs = 10_000;
/** Of more servers at a time only their number is told. */
const mostTold = 20;

interface News {
  readonly from: number;
  to: number;
}

export class WeightNews {
  readonly #clock: Clock;
  readonly #tell: (message: string) => void;
  readonly #news = new Map<string, News>();
  /** When each server was told of last. */
  readonly #told = new Map<string, number>();
  #cancel: Cancel | undefined;

  constructor({ clock, tell }: WeightNewsOptions) {
    this.#clock = clock;
    this.#tell = tell;
  }

  changed(name: string, from: number, to: number): void {
    const known = this.#news.get(name);
    if (known !== undefined) known.to = to;
    else if (from !== to) this.#news.set(name, { from, to });
    this.#schedule();
  }

  stop(): void {
    this.#cancel?.();
    this.#news.clear();
  }

  #schedule(): void {
    if (this.#news.size > 0) this.#cancel ??= this.#clock.after(gatherMs, () => this.#tellAll());
  }

  #tellAll(): void {
    this.#cancel = undefined;
    const now = this.#clock.now();
    for (const [name, at] of this.#told) if (now - at >= pauseMs) this.#told.delete(name);
    let untold = 0;
    let told = 0;
    for (const [name, { from, to }] of this.#news) {
      if (this.#told.has(name)) continue;
      this.#news.delete(name);
      // It may have come back to what it was.
      if (from === to) continue;
      this.#told.set(name, now);
      if (told < mostTold) this.#tell(`${name}: weight ${from} → ${to}`);
      else untold++;
      told++;
    }
    if (untold > 0) this.#tell(`weights of ${untold} more real servers`);
    this.#schedule();
  }
}
