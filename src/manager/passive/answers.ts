// SPDX-License-Identifier: Apache-2.0
// What the dataplane has seen of a server's answers within a window of time.
import type { Answers__Output } from '../../generated/fulcrum/v1/Answers.js';

export interface Signals {
  /** TCP connections begun within the window. */
  readonly opened: number;
  /** Of these, so many had no answer by its end. */
  readonly unanswered: number;
  /** Connections that the server has reset within the window, whenever they began. */
  readonly reset: number;
}

interface Sample {
  /** Milliseconds of a clock that never runs backwards. */
  readonly at: number;
  readonly answers: Answers__Output;
}

const none: Answers__Output = { opened: 0, answered: 0, reset: 0 };
/** A counter that seems to have gone on by so much began anew. */
const mostAtOnce = 2 ** 31;

export class AnswersWindow {
  readonly #lengthMs: number;
  #samples: Sample[] = [];

  constructor(lengthMs: number) {
    this.#lengthMs = lengthMs;
  }

  /** Counters as the dataplane tells them, modulo 2^32; null: all are 0. */
  add(at: number, counted: Answers__Output | null): void {
    const answers = counted ?? none;
    const last = this.#samples.at(-1);
    // After -Z, or after a restart of the dataplane, there is nothing to compare with.
    if (last !== undefined && beganAnew(last.answers, answers)) this.#samples = [];
    this.#samples.push({ at, answers });
    // What is just outside is where the window begins.
    while ((this.#samples[1]?.at ?? at) <= at - this.#lengthMs) this.#samples.shift();
  }

  /** As if nothing had been seen before. */
  clear(): void {
    this.#samples = [];
  }

  signals(): Signals {
    const [first, last] = [this.#samples.at(0)?.answers ?? none, this.#samples.at(-1)?.answers ?? none];
    const opened = difference(last.opened, first.opened);
    // Answers to what began before the window may be among them.
    const answered = Math.min(opened, difference(last.answered, first.answered));
    return { opened, unanswered: opened - answered, reset: difference(last.reset, first.reset) };
  }
}

/** Any of them tells: some may be above what they were already. */
function beganAnew(before: Answers__Output, now: Answers__Output): boolean {
  return (['opened', 'answered', 'reset'] as const).some((of) => difference(now[of], before[of]) >= mostAtOnce);
}

function difference(later: number, earlier: number): number {
  return (later - earlier) >>> 0;
}
