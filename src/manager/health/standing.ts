// SPDX-License-Identifier: Apache-2.0
// How one check stands after each try, and when the next try is due: keepalived's cycle, with a schedule that does not
// drift.

export type State = 'unknown' | 'up' | 'down';

export interface Standing {
  readonly state: State;
  /** Tries in a row that spoke for another state than this one. */
  readonly streak: number;
}

export interface Thresholds {
  readonly rise: number;
  readonly fall: number;
}

/** Before the first result one failure is enough. */
export function afterTry({ state, streak }: Standing, passed: boolean, { rise, fall }: Thresholds): Standing {
  if (passed) {
    if (state === 'up') return { state, streak: 0 };
    return streak + 1 >= rise ? { state: 'up', streak: 0 } : { state, streak: streak + 1 };
  }
  if (state !== 'up') return { state: 'down', streak: 0 };
  return streak + 1 >= fall ? { state: 'down', streak: 0 } : { state, streak: streak + 1 };
}

/** The first time after `now` that is whole intervals after the last one. */
export function nextOnGrid(due: number, intervalMs: number, now: number): number {
  const intervals = Math.max(1, Math.floor((now - due) / intervalMs) + 1);
  return due + intervals * intervalMs;
}

/** A target is up when all its checks are, and down when one is. */
export function stateOfAll(states: readonly State[]): State {
  if (states.includes('down')) return 'down';
  return states.includes('unknown') || states.length === 0 ? 'unknown' : 'up';
}
