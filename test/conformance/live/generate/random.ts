// SPDX-License-Identifier: Apache-2.0
// Numbers that only look random: xoshiro128** 1.1 (Blackman and Vigna, 2018), its state filled by splitmix32 from a seed
// and the number of the scenario. The same two numbers give the same scenario on every machine.

export class Random {
  readonly #state: Uint32Array;

  /** Four numbers, not all of them 0. */
  constructor(state: readonly number[]) {
    this.#state = Uint32Array.from(state);
  }

  static of(seed: number, scenario: number): Random {
    const next = splitmix32((Math.imul(seed, 0x9e3779b1) ^ scenario) >>> 0);
    return new Random([next(), next(), next(), next()]);
  }

  /** 0 … 2³² − 1. */
  next(): number {
    const [s0 = 0, s1 = 0, s2 = 0, s3 = 0] = this.#state;
    const result = Math.imul(rotate(Math.imul(s1, 5), 7), 9) >>> 0;
    const third = s2 ^ s0;
    const fourth = s3 ^ s1;
    this.#state.set([s0 ^ fourth, s1 ^ third, third ^ (s1 << 9), rotate(fourth, 11)]);
    return result;
  }

  /** A whole number of that range, both ends included. */
  int(from: number, to: number): number {
    return from + Math.floor((this.next() / 0x1_0000_0000) * (to - from + 1));
  }

  chance(probability: number): boolean {
    return this.next() < probability * 0x1_0000_0000;
  }

  pick<T>(items: readonly T[]): T {
    const item = items[this.int(0, items.length - 1)];
    if (item === undefined) throw new Error('there is nothing to pick from');
    return item;
  }

  /** A key, as often as its weight says. */
  weighted<K extends string>(weights: Readonly<Partial<Record<K, number>>>): K {
    const entries = Object.entries(weights) as [K, number][];
    const total = entries.reduce((sum, [, weight]) => sum + weight, 0);
    let left = (this.next() / 0x1_0000_0000) * total;
    for (const [key, weight] of entries) {
      left -= weight;
      if (left < 0) return key;
    }
    throw new Error('there is nothing to choose from');
  }

  shuffled<T>(items: readonly T[]): readonly T[] {
    const result = [...items];
    for (let at = result.length - 1; at > 0; at--) {
      const other = this.int(0, at);
      [result[at], result[other]] = [result[other] as T, result[at] as T];
    }
    return result;
  }
}

function rotate(value: number, by: number): number {
  return ((value << by) | (value >>> (32 - by))) >>> 0;
}

function splitmix32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  };
}
