// SPDX-License-Identifier: Apache-2.0
// The last ten minutes of a number, a second each, in a fixed piece of memory. What is sampled more rarely fills the
// seconds since the sample before: the mean over them is what was measured.

export const ringSeconds = 600;
export const ringBytes = ringSeconds * Float32Array.BYTES_PER_ELEMENT;

/** Longer ago than this a sample says nothing about the seconds since. */
const longestFill = 15;

export class Ring {
  /** NaN: not known. */
  readonly #values = new Float32Array(ringSeconds).fill(Number.NaN);
  #last = 0;

  /** `second`: since 1970, later than that before. */
  add(second: number, value: number | null): void {
    if (second <= this.#last) return;
    const known = value ?? Number.NaN;
    const passed = this.#last === 0 ? 1 : Math.min(ringSeconds, second - this.#last);
    for (let ago = passed - 1; ago >= 0; ago--)
      this.#values[(second - ago) % ringSeconds] = ago < longestFill ? known : Number.NaN;
    this.#last = second;
  }

  /** The newest last, that of `second`; each the mean over `step` of them. */
  values(second: number, step = 1, length: number = ringSeconds / step): (number | null)[] {
    return Array.from({ length }, (_, at) => this.#mean(second - (length - at) * step, step));
  }

  /** Over (begin, begin + step]; null if nothing is known of it. */
  #mean(begin: number, step: number): number | null {
    let sum = 0;
    let known = 0;
    for (let second = begin + 1; second <= begin + step; second++) {
      const value = this.#at(second);
      if (Number.isNaN(value)) continue;
      sum += value;
      known++;
    }
    return known === 0 ? null : short(sum / known);
  }

  #at(second: number): number {
    if (second > this.#last || second <= this.#last - ringSeconds) return Number.NaN;
    return this.#values[second % ringSeconds] ?? Number.NaN;
  }
}

/** As many digits as a plot shows. */
export function short(value: number): number {
  return Math.abs(value) < 1e-9 ? 0 : Number(value.toPrecision(3));
}
