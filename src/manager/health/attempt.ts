// SPDX-License-Identifier: Apache-2.0
// One try of a check: it ends once, by what it finds, by its time limit or by being aborted, and whatever way it ends,
// what it opened is closed.
import { contactOf, ownFault, reasonOf } from './faults.js';
import type { Failure, Result } from './prober.js';

/** Until something is. */
const nothingHeard = 'no answer';

/** How a try tells what came of it. Whatever is told after the first is not heard. */
export interface Course {
  /** What is said when the time is over: `${late} in 5 s`. Undefined: then the try has passed. */
  late: string | undefined;
  /** The latency: so far, unless it is known better. */
  readonly pass: (latencyUs?: number) => void;
  readonly fail: (reason: string) => void;
  /** Fails with a complaint, passes without one. */
  readonly settle: (complaint: string | undefined) => void;
  /** Fails for the error's reason, or rejects if the fault is this host's. */
  readonly error: (error: unknown, reason?: string) => void;
}

/** Starts a try, and returns what closes all that it opened. */
export type Begin = (course: Course) => () => void;

export function attempt(timeoutMs: number, signal: AbortSignal, begin: Begin): Promise<Result> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    const begun = performance.now();
    const elapsedUs = (): number => Math.round((performance.now() - begun) * 1000);
    let ended = false;
    let close: (() => void) | undefined;
    const end = (tell: () => void): void => {
      if (ended) return;
      ended = true;
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
      close?.();
      tell();
    };
    const failed = (reason: string, contact: Failure['contact']): void => {
      const latencyUs = elapsedUs();
      end(() => resolve({ ok: false, reason, latencyUs, ...(contact !== undefined && { contact }) }));
    };
    const abort = (): void => end(() => reject(signal.reason));
    const course: Course = {
      late: nothingHeard,
      pass: (latencyUs = elapsedUs()) => end(() => resolve({ ok: true, latencyUs })),
      fail: (reason) => failed(reason, undefined),
      settle: (complaint) => (complaint === undefined ? course.pass() : course.fail(complaint)),
      error: (error, reason) => {
        const own = ownFault(error);
        if (own === undefined) failed(reason ?? reasonOf(error), contactOf(error));
        else end(() => reject(own));
      },
    };
    // Answers that came while this process was busy with something else are looked at before the time is called over.
    const timeUp = (): void =>
      void setImmediate(() => {
        if (course.late === undefined) course.pass();
        else failed(`${course.late} in ${durationText(timeoutMs)}`, course.late === nothingHeard ? 'none' : undefined);
      });
    const timer = setTimeout(timeUp, timeoutMs);
    signal.addEventListener('abort', abort);
    try {
      close = begin(course);
      if (ended) close();
    } catch (error) {
      course.error(error);
    }
  });
}

/** 5000 → "5 s"; 250 → "250 ms". */
export function durationText(milliseconds: number): string {
  return milliseconds < 1000 ? `${milliseconds} ms` : `${milliseconds / 1000} s`;
}
