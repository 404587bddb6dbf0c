// SPDX-License-Identifier: Apache-2.0
// Checks whose results a test decides, and a monitor that goes by the test's clock.
import { type Change, Monitor } from '../../../../../src/manager/health/monitor.js';
import type { ScheduledCheck } from '../../../../../src/manager/health/prepare.js';
import type { Failure, Result, Success, Target } from '../../../../../src/manager/health/prober.js';
import { FakeClock } from './fake_clock.js';

export const target: Target = { address: '192.0.2.10', port: 80 };
export const good: Success = { ok: true, latencyUs: 100 };
export const bad: Failure = { ok: false, reason: 'connection refused', latencyUs: 50 };

/** Answers with what `result` is; notes when it was asked. */
export class FakeCheck {
  result: Result | Error = good;
  /** Milliseconds until it answers. */
  takesMs = 0;
  readonly asked: number[] = [];
  readonly places: Target[] = [];
  aborted = 0;
  readonly scheduled: ScheduledCheck;

  constructor(clock: FakeClock, fields: Partial<ScheduledCheck> = {}) {
    this.scheduled = {
      key: 'check',
      name: 'tcp',
      intervalMs: 1000,
      timeoutMs: 500,
      rise: 1,
      fall: 1,
      retryIntervalMs: 1000,
      warmupMs: 0,
      ...fields,
      prober: { probe: (place, _timeoutMs, signal) => this.#probe(clock, place, signal) },
    };
  }

  async #probe(clock: FakeClock, place: Target, signal: AbortSignal): Promise<Result> {
    this.asked.push(clock.now());
    this.places.push(place);
    if (this.takesMs > 0)
      await new Promise<void>((resolve, reject) => {
        const cancel = clock.after(this.takesMs, resolve);
        signal.addEventListener('abort', () => {
          this.aborted++;
          cancel();
          reject(signal.reason);
        });
      });
    if (this.result instanceof Error) throw this.result;
    return this.result;
  }
}

export interface Watching {
  readonly clock: FakeClock;
  readonly monitor: Monitor;
  readonly batches: (readonly Change[])[];
  /** "12000: a up", in the order in which they were told; forgets them. */
  readonly told: () => string[];
}

export function watching(options: { readonly random?: () => number; readonly mostUnderWay?: number } = {}): Watching {
  const clock = new FakeClock();
  const batches: (readonly Change[])[] = [];
  const monitor = new Monitor({
    clock,
    random: options.random ?? (() => 0),
    mostUnderWay: options.mostUnderWay ?? 1000,
    onChange: (batch) => batches.push(batch),
  });
  const told = (): string[] => {
    const changes = batches.splice(0).flat();
    return changes.map(({ targetId, up, reason, weights }) =>
      [targetId, up ? 'up' : 'down', ...(reason === '' ? [] : [reason]), ...weights].join(' '),
    );
  };
  return { clock, monitor, batches, told };
}
