// SPDX-License-Identifier: Apache-2.0
// Asks, or listens to, the load sources of all servers, and tells when what a server is to get changes. Questions go by
// the schedule of checks; a stream that ends is opened again after a while that grows.

import { FulcrumError } from '../../grpc/errors.js';
import { durationText } from '../health/attempt.js';
import { ChangeBatch } from '../health/change_batch.js';
import { type Cancel, type Clock, systemClock } from '../health/clock.js';
import { isSamePlace, Monitor, placeOf } from '../health/monitor.js';
import type { Target } from '../health/prober.js';
import { afterWords, firstLoad, isSameLoad, type Load } from './load.js';
import type { PreparedLoad } from './prepare.js';
import { bounded, nextShare, type Share, shareOf } from './shaping.js';
import type { Ask, Listen, Said } from './source.js';

export interface LoadTarget {
  readonly target: Target;
  readonly source: PreparedLoad;
  /** What was known of it when it was left. */
  readonly known: Load | undefined;
}

export interface LoadChange {
  readonly targetId: string;
  readonly load: Load;
}

/** How a source stands, beyond what it changed. */
export interface LoadStatus {
  /** What was read last; empty: nothing yet. */
  readonly lastReading: string;
  /** Why nothing was read the last time, or what of it was not understood. */
  readonly problem: string;
}

export interface LoadMonitorOptions {
  readonly onChange: (batch: readonly LoadChange[]) => void;
  readonly clock?: Clock;
  readonly random?: () => number;
  /** At most so many questions at a time. */
  readonly mostUnderWay?: number;
}

/** Until a stream is opened for the first time, and again. */
const firstPauseMs = 1000;
const longestPauseMs = 60_000;

interface Watched {
  readonly id: string;
  readonly target: Target;
  readonly source: PreparedLoad;
  load: Load;
  share: Share;
  /** When a share was read last, on the monitor's clock. */
  readAt: number;
  lastReading: string;
  problem: string;
  expiry: Cancel | undefined;
  /** Of a stream: closes it, or calls off the next one. */
  close: (() => void) | undefined;
  pauseMs: number;
}

export class LoadMonitor {
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #changes: ChangeBatch<LoadChange>;
  readonly #questions: Monitor;
  readonly #watched = new Map<string, Watched>();

  constructor({ onChange, clock = systemClock, random = Math.random, mostUnderWay }: LoadMonitorOptions) {
    this.#clock = clock;
    this.#random = random;
    this.#changes = new ChangeBatch(clock, onChange);
    const limit = mostUnderWay === undefined ? {} : { mostUnderWay };
    // What a source says is heard by itself; whether it says something is asked for when somebody wants to know.
    this.#questions = new Monitor({ onChange: () => {}, clock, random, ...limit });
  }

  /** Begins to watch a target, or goes on as before if nothing about it is new. */
  set(targetId: string, { target, source, known }: LoadTarget): void {
    const before = this.#watched.get(targetId);
    if (before !== undefined && before.source.key === source.key && isSamePlace(before.target, target)) return;
    this.remove(targetId);
    const watched = this.#newWatched(targetId, target, source, known);
    this.#watched.set(targetId, watched);
    if (known !== undefined && known.percent !== 100) this.#armExpiry(watched);
    if ('ask' in source.how) this.#ask(watched, source.how.ask);
    else this.#listenLater(watched, source.how.listen, 0);
  }

  remove(targetId: string): void {
    const watched = this.#watched.get(targetId);
    if (watched === undefined) return;
    this.#watched.delete(targetId);
    this.#questions.remove(targetId);
    watched.expiry?.();
    watched.close?.();
    this.#changes.drop((change) => change.targetId === targetId);
  }

  /** Resolves when all is closed. Nothing is told any more. */
  async stop(): Promise<void> {
    this.#changes.stop();
    for (const id of [...this.#watched.keys()]) this.remove(id);
    await this.#questions.stop();
  }

  status(targetId: string): LoadStatus | undefined {
    const watched = this.#watched.get(targetId);
    if (watched === undefined) return undefined;
    const { lastReading, problem } = watched;
    return { lastReading, problem: this.#questions.status(targetId)?.checks[0]?.reason || problem };
  }

  #newWatched(id: string, target: Target, source: PreparedLoad, known: Load | undefined): Watched {
    const load = known ?? firstLoad(source.kind);
    return {
      id,
      target,
      source,
      load,
      share: { smooth: load.reading === '' ? null : load.percent, inForce: load.percent, isMoving: false },
      readAt: this.#clock.now(),
      lastReading: '',
      problem: '',
      expiry: undefined,
      close: undefined,
      pauseMs: firstPauseMs,
    };
  }

  #ask(watched: Watched, ask: Ask): void {
    const { id, target, source } = watched;
    const { key, kind, intervalMs, timeoutMs, place } = source;
    const prober = {
      probe: (to: Target, limitMs: number, signal: AbortSignal) =>
        ask(to, limitMs, signal, (said) => this.#hear(watched, said)),
    };
    const check = { key, name: kind, prober, intervalMs, timeoutMs, retryIntervalMs: intervalMs, warmupMs: intervalMs };
    this.#questions.set(id, { target, checks: [{ ...check, ...place, rise: 1, fall: 1 }], initial: 'up' });
  }

  #listenLater(watched: Watched, listen: Listen, leastMs = watched.pauseMs / 2): void {
    const pauseMs = leastMs + this.#random() * (watched.pauseMs - leastMs);
    watched.close = this.#clock.after(pauseMs, () => this.#listen(watched, listen));
  }

  #listen(watched: Watched, listen: Listen): void {
    watched.pauseMs = Math.min(longestPauseMs, 2 * watched.pauseMs);
    let hasEnded = false;
    const close = listen(placeOf(watched.target, watched.source.place), {
      hear: (said) => {
        watched.pauseMs = firstPauseMs;
        this.#hear(watched, said);
      },
      complain: (reason) => {
        watched.problem = reason;
      },
      ended: (why) => {
        hasEnded = true;
        watched.problem = why instanceof FulcrumError ? `not asked: ${why.describe()}` : why;
        this.#listenLater(watched, listen);
      },
    });
    if (!hasEnded) watched.close = close;
  }

  #hear(watched: Watched, said: Said): void {
    if (this.#watched.get(watched.id) !== watched) return;
    watched.lastReading = said.text;
    watched.problem = said.kind === 'words' ? said.words.problem : '';
    this.#armExpiry(watched);
    const date = new Date(this.#clock.date()).toISOString();
    const target = targetOf(watched.source, said);
    if (target !== undefined) this.#follow(watched, target);
    const told = said.kind === 'words' ? afterWords(watched.load, said.words, date) : watched.load;
    const isOfShare = target !== undefined || watched.load.reading === '';
    const from = isOfShare ? { reading: said.text, readAt: date } : {};
    this.#bring(watched, { ...told, percent: watched.share.inForce, ...from });
  }

  #follow(watched: Watched, target: number): void {
    const now = this.#clock.now();
    watched.share = nextShare(watched.share, target, now - watched.readAt, watched.source.shaping);
    watched.readAt = now;
  }

  /** Told if it changes anything, or is the first that was read. */
  #bring(watched: Watched, load: Load): void {
    if (isSameLoad(load, watched.load) && watched.load.reading !== '') return;
    watched.load = load;
    this.#changes.add({ targetId: watched.id, load });
  }

  #armExpiry(watched: Watched): void {
    const { expiryMs } = watched.source;
    watched.expiry?.();
    watched.expiry = expiryMs === 0 ? undefined : this.#clock.after(expiryMs, () => this.#expire(watched));
  }

  #expire(watched: Watched): void {
    watched.share = { smooth: null, inForce: 100, isMoving: false };
    const readAt = new Date(this.#clock.date()).toISOString();
    const reading = `nothing in ${durationText(watched.source.expiryMs)}`;
    this.#bring(watched, { ...watched.load, percent: 100, reading, readAt });
  }
}

/** The share that is asked for; undefined: none was named. */
function targetOf({ scale, shaping }: PreparedLoad, said: Said): number | undefined {
  if (said.kind === 'number') return shareOf(said.number, scale, shaping);
  return said.words.percent === undefined ? undefined : bounded(said.words.percent, shaping);
}
