// SPDX-License-Identifier: Apache-2.0
// The time by which the monitor goes: the process's own, or a test's.

/** Calls something off; nothing happens if it has happened already. */
export type Cancel = () => void;

export interface Clock {
  /** Milliseconds that never run backwards. */
  readonly now: () => number;
  /** Milliseconds since 1970. */
  readonly date: () => number;
  readonly after: (milliseconds: number, callback: () => void) => Cancel;
  /** After whatever has arrived meanwhile has been looked at. */
  readonly soon: (callback: () => void) => Cancel;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  date: () => Date.now(),
  after: (milliseconds, callback) => {
    const timer = setTimeout(callback, Math.max(1, Math.ceil(milliseconds)));
    return () => clearTimeout(timer);
  },
  soon: (callback) => {
    const immediate = setImmediate(callback);
    return () => clearImmediate(immediate);
  },
};
