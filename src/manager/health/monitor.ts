// SPDX-License-Identifier: Apache-2.0
// Makes the checks of all targets, each at its time, and tells which targets come up and go down. One timer serves all;
// what a state means for a pool is not decided here.
import { readFileSync } from 'node:fs';
import { FulcrumError } from '../../grpc/errors.js';
import { ChangeBatch } from './change_batch.js';
import { type Cancel, type Clock, systemClock } from './clock.js';
import { DueHeap } from './heap.js';
import type { ScheduledCheck } from './prepare.js';
import type { Result, Target } from './prober.js';
import { afterTry, nextOnGrid, type Standing, type State, stateOfAll } from './standing.js';

export interface WatchedTarget {
  readonly target: Target;
  /** All of them must pass. */
  readonly checks: readonly ScheduledCheck[];
  /**
   * Of a target that is new to the monitor. unknown: nothing is known of it, one failure makes it down, `rise` successes
   * up. up: it was up before, it takes `fall` failures. down: it was down before (or has to prove itself, alpha), it takes
   * `rise` successes.
   */
  readonly initial: State;
  /** Why and since when it is in that state, if that is known: milliseconds since 1970. */
  readonly reason?: string;
  readonly since?: number;
}

/** A target has come up or gone down, or is up with other weights than before. */
export interface Change {
  readonly targetId: string;
  readonly up: boolean;
  /** "http: status 500, not 200-299"; empty if it is up. */
  readonly reason: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** Of the try that decided. */
  readonly latencyUs: number;
  /** One for each check that asks for a weight: see dynamicWeight(). */
  readonly weights: readonly number[];
}

export interface CheckStatus {
  readonly name: string;
  readonly state: State;
  /** Why the last try failed, or could not be made; empty if it passed. */
  readonly reason: string;
  /** Of the last try that had a result. */
  readonly latencyUs: number;
  /** Tries that had a result, how many of them failed, and those that this host could not make. */
  readonly made: number;
  readonly failed: number;
  readonly unmade: number;
}

export interface TargetStatus {
  readonly state: State;
  readonly reason: string;
  /** Milliseconds since 1970. */
  readonly since: number;
  /** Of the last try of any check. */
  readonly latencyUs: number;
  readonly weights: readonly number[];
  readonly checks: readonly CheckStatus[];
}

/** Of all targets since the start. */
export interface MonitorCounts {
  readonly targets: number;
  readonly checks: number;
  /** Tries that are under way, and those that are due but have to wait for descriptors. */
  readonly underWay: number;
  readonly waiting: number;
  readonly made: number;
  readonly failed: number;
  readonly unmade: number;
  /** Times at which a check was due, but the try before had not ended. */
  readonly missed: number;
}

export interface MonitorOptions {
  readonly onChange: (batch: readonly Change[]) => void;
  readonly clock?: Clock;
  readonly random?: () => number;
  /** At most so many tries at a time; left out: as many as the process may open files, less a reserve. */
  readonly mostUnderWay?: number;
}

/** Of a turn of the event loop, so that answers are heard between starts. */
const startsPerTurn = 64;
/** Due so soon is due. */
const toleranceMs = 0.5;
/** Descriptors that are not for checks. */
const reservedFiles = 512;
const notCheckedYet = 'not checked yet';

/** One check of one target. In the heap, waiting, or under way, never two of these. */
interface Task {
  readonly owner: Watched;
  readonly check: ScheduledCheck;
  readonly place: Target;
  readonly controller: AbortController;
  standing: Standing;
  reason: string;
  weight: number | undefined;
  latencyUs: number;
  made: number;
  failed: number;
  unmade: number;
  retired: boolean;
  due: number;
  position: number;
}

interface Watched {
  readonly id: string;
  target: Target;
  tasks: readonly Task[];
  state: State;
  reason: string;
  since: number;
  latencyUs: number;
  weights: readonly number[];
}

export class Monitor {
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #mostUnderWay: number;
  readonly #changes: ChangeBatch<Change>;
  readonly #targets = new Map<string, Watched>();
  readonly #heap = new DueHeap<Task>();
  /** Due, in the order in which they became so. */
  readonly #waiting = new Set<Task>();
  #underWay = 0;
  #timer: { readonly due: number; readonly cancel: Cancel } | undefined;
  #turn: Cancel | undefined;
  #stopped: (() => void) | undefined;
  #isStopped = false;
  #made = 0;
  #failed = 0;
  #unmade = 0;
  #missed = 0;

  constructor(options: MonitorOptions) {
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#mostUnderWay = options.mostUnderWay ?? descriptorsForChecks();
    this.#changes = new ChangeBatch(this.#clock, options.onChange);
  }

  /**
   * Begins to watch a target, or watches it with other checks: those that are the same as before keep their state and
   * their schedule, new ones begin in the target's state. Checks of a target whose address changes begin anew, in its state.
   */
  set(targetId: string, wanted: WatchedTarget): void {
    if (this.#isStopped) throw new Error('the monitor is stopped');
    const known = this.#targets.get(targetId);
    const watched = known ?? this.#newTarget(targetId, wanted);
    const kept = known !== undefined && isSamePlace(known.target, wanted.target) ? [...known.tasks] : [];
    watched.target = wanted.target;
    const tasks = wanted.checks.map((check) => takeSame(kept, check) ?? this.#newTask(watched, check));
    for (const task of watched.tasks) if (!tasks.includes(task)) this.#retire(task);
    watched.tasks = tasks;
    if (known !== undefined && tasks.length > 0) this.#reconsider(watched);
    this.#arm();
  }

  /** Its tries are aborted; nothing is told of it any more. */
  remove(targetId: string): void {
    const watched = this.#targets.get(targetId);
    if (watched === undefined) return;
    this.#targets.delete(targetId);
    for (const task of watched.tasks) this.#retire(task);
    this.#changes.drop((change) => change.targetId === targetId);
  }

  /** Aborts everything; resolves when all that the tries had opened is closed. Nothing is told any more. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#changes.stop();
    for (const { tasks } of this.#targets.values()) for (const task of tasks) this.#retire(task);
    this.#targets.clear();
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#turn?.();
    this.#turn = undefined;
    if (this.#underWay === 0) return;
    await new Promise<void>((resolve) => {
      this.#stopped = resolve;
    });
  }

  status(targetId: string): TargetStatus | undefined {
    const watched = this.#targets.get(targetId);
    if (watched === undefined) return undefined;
    const { state, reason, since, latencyUs, weights, tasks } = watched;
    return { state, reason, since, latencyUs, weights, checks: tasks.map(statusOf) };
  }

  counts(): MonitorCounts {
    const waiting = this.#waiting.size;
    return {
      targets: this.#targets.size,
      checks: this.#heap.size + waiting + this.#underWay,
      underWay: this.#underWay,
      waiting,
      made: this.#made,
      failed: this.#failed,
      unmade: this.#unmade,
      missed: this.#missed,
    };
  }

  #newTarget(id: string, { target, initial, reason, since }: WatchedTarget): Watched {
    const watched: Watched = {
      id,
      target,
      tasks: [],
      state: initial,
      reason: reason ?? (initial === 'up' ? '' : notCheckedYet),
      since: since ?? this.#clock.date(),
      latencyUs: 0,
      weights: [],
    };
    this.#targets.set(id, watched);
    return watched;
  }

  #newTask(owner: Watched, check: ScheduledCheck): Task {
    const task: Task = {
      owner,
      check,
      place: placeOf(owner.target, check),
      controller: new AbortController(),
      standing: { state: owner.state, streak: 0 },
      reason: owner.state === 'up' ? '' : notCheckedYet,
      weight: undefined,
      latencyUs: 0,
      made: 0,
      failed: 0,
      unmade: 0,
      retired: false,
      due: this.#clock.now() + this.#random() * check.warmupMs,
      position: -1,
    };
    this.#heap.add(task);
    return task;
  }

  #retire(task: Task): void {
    task.retired = true;
    this.#heap.remove(task);
    this.#waiting.delete(task);
    task.controller.abort();
  }

  #arm(): void {
    const due = this.#heap.first?.due;
    if (due === undefined || (this.#timer !== undefined && this.#timer.due <= due)) return;
    this.#timer?.cancel();
    const cancel = this.#clock.after(due - this.#clock.now(), () => {
      this.#timer = undefined;
      this.#runDue();
    });
    this.#timer = { due, cancel };
  }

  #runDue(): void {
    const limit = this.#clock.now() + toleranceMs;
    for (let task = this.#heap.takeDue(limit); task !== undefined; task = this.#heap.takeDue(limit))
      this.#waiting.add(task);
    this.#arm();
    if (this.#turn === undefined) this.#startWaiting();
  }

  #startWaiting(): void {
    let started = 0;
    for (const task of this.#waiting) {
      if (this.#underWay >= this.#mostUnderWay) return;
      if (started === startsPerTurn) {
        this.#turn = this.#clock.soon(() => {
          this.#turn = undefined;
          this.#startWaiting();
        });
        return;
      }
      started++;
      this.#waiting.delete(task);
      void this.#try(task);
    }
  }

  async #try(task: Task): Promise<void> {
    this.#underWay++;
    const { check, place, controller } = task;
    let result: Result | FulcrumError;
    try {
      result = await check.prober.probe(place, check.timeoutMs, controller.signal);
    } catch (error) {
      result = asFulcrumError(error);
    }
    this.#underWay--;
    if (!task.retired) this.#conclude(task, result);
    if (this.#isStopped && this.#underWay === 0) this.#stopped?.();
    if (this.#waiting.size > 0 && this.#turn === undefined) this.#startWaiting();
  }

  #conclude(task: Task, result: Result | FulcrumError): void {
    const { check } = task;
    const now = this.#clock.now();
    if (result instanceof FulcrumError) {
      task.unmade++;
      this.#unmade++;
      task.reason = `not checked: ${result.describe()}`;
      this.#again(task, nextOnGrid(task.due, check.intervalMs, now));
      return;
    }
    this.#note(task, result);
    const wasUp = task.standing.state === 'up';
    task.standing = afterTry(task.standing, result.ok, check);
    // While it is still up, a failure is looked into again after the time for that; otherwise the schedule is kept.
    const isDoubtful = !result.ok && wasUp && task.standing.state === 'up';
    const next = isDoubtful ? now + check.retryIntervalMs : nextOnGrid(task.due, check.intervalMs, now);
    if (!isDoubtful) this.#missed += Math.round((next - task.due) / check.intervalMs) - 1;
    this.#again(task, next);
    this.#reconsider(task.owner);
  }

  #note(task: Task, result: Result): void {
    task.made++;
    this.#made++;
    task.latencyUs = result.latencyUs;
    task.owner.latencyUs = result.latencyUs;
    task.weight = result.ok ? result.weight : undefined;
    task.reason = result.ok ? '' : result.reason;
    if (result.ok) return;
    task.failed++;
    this.#failed++;
  }

  #again(task: Task, due: number): void {
    task.due = due;
    this.#heap.add(task);
    this.#arm();
  }

  /** The state of a target from those of its checks. */
  #reconsider(watched: Watched): void {
    const state = stateOfAll(watched.tasks.map((task) => task.standing.state));
    const weights = watched.tasks.flatMap(({ weight }) => (weight === undefined ? [] : [weight]));
    const hasOtherState = state !== watched.state;
    const hasOtherWeights = !isSameList(weights, watched.weights);
    if (hasOtherState) watched.since = this.#clock.date();
    watched.state = state;
    watched.weights = weights;
    watched.reason = reasonOfAll(watched.tasks, state);
    if (state === 'unknown' || !(hasOtherState || (hasOtherWeights && state === 'up'))) return;
    this.#changes.add({
      targetId: watched.id,
      up: state === 'up',
      reason: watched.reason,
      at: this.#clock.date(),
      latencyUs: watched.latencyUs,
      weights,
    });
  }
}

/** Where a check of a target is made. */
export function placeOf(
  target: Target,
  { address, port, source }: Pick<ScheduledCheck, 'address' | 'port' | 'source'>,
): Target {
  const from = source ?? target.source;
  const place = { address: address ?? target.address, port: port ?? target.port };
  const { clientWay } = target;
  return { ...place, ...(from !== undefined && { source: from }), ...(clientWay !== undefined && { clientWay }) };
}

export function isSamePlace(one: Target, other: Target): boolean {
  return one.address === other.address && one.port === other.port && one.source === other.source;
}

/** Each is taken once: the same check may be given twice. */
function takeSame(kept: Task[], check: ScheduledCheck): Task | undefined {
  const index = kept.findIndex((task) => task.check.key === check.key);
  return index === -1 ? undefined : kept.splice(index, 1)[0];
}

function isSameList(one: readonly number[], other: readonly number[]): boolean {
  return one.length === other.length && one.every((value, index) => value === other[index]);
}

function reasonOfAll(tasks: readonly Task[], state: State): string {
  if (state === 'up') return '';
  if (state === 'unknown') return notCheckedYet;
  const down = tasks.filter(({ standing }) => standing.state === 'down');
  return down
    .map(({ check, reason }) => `${check.name}: ${reason === '' ? 'passes again, but not often enough yet' : reason}`)
    .join('; ');
}

function statusOf({ check, standing, reason, latencyUs, made, failed, unmade }: Task): CheckStatus {
  return { name: check.name, state: standing.state, reason, latencyUs, made, failed, unmade };
}

function asFulcrumError(error: unknown): FulcrumError {
  if (error instanceof FulcrumError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new FulcrumError({ code: 'INTERNAL', message: `internal error: ${message}`, cause: error });
}

/** Each try has one socket (or a process, which has as many): what the limit leaves of them. */
export function descriptorsForChecks(): number {
  const limit = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
  const files = limit === undefined ? Number.POSITIVE_INFINITY : Number(limit);
  return Math.max(64, files - reservedFiles);
}
