// SPDX-License-Identifier: Apache-2.0
// Time that passes only when a test lets it.
import type { Clock } from '../../../../../src/manager/health/clock.js';

interface Alarm {
  readonly at: number;
  readonly ring: () => void;
}

/** Of the first of January 2026. */
export const epoch = Date.UTC(2026, 0, 1);

export class FakeClock implements Clock {
  #now = 0;
  #alarms: Alarm[] = [];

  readonly now = (): number => this.#now;
  readonly date = (): number => epoch + this.#now;
  readonly soon = (callback: () => void) => this.after(0, callback);

  readonly after = (milliseconds: number, ring: () => void) => {
    const alarm = { at: this.#now + milliseconds, ring };
    this.#alarms.push(alarm);
    return () => {
      this.#alarms = this.#alarms.filter((other) => other !== alarm);
    };
  };

  get alarms(): number {
    return this.#alarms.length;
  }

  /** Rings everything until then, each at its time, and lets promises settle in between. */
  async pass(milliseconds: number): Promise<void> {
    const end = this.#now + milliseconds;
    for (;;) {
      await settled();
      const next = this.#alarms.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#alarms = this.#alarms.filter((alarm) => alarm !== next);
      this.#now = Math.max(this.#now, next.at);
      next.ring();
    }
    this.#now = end;
  }
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
