// SPDX-License-Identifier: Apache-2.0
// Numbers and names as wide as ipvsadm prints them.

const scales: readonly (readonly [bound: bigint, divisor: bigint, letter: string])[] = [
  [1_000_000_000n, 1_000n, 'K'],
  [100_000_000_000n, 1_000_000n, 'M'],
  [100_000_000_000_000n, 1_000_000_000n, 'G'],
];

/** A counter, nine wide: as it is below 10^8, then cut (not rounded) to thousands, millions, … */
export function scaledNumber(value: bigint): string {
  if (value < 100_000_000n) return String(value).padStart(9);
  const [, divisor, letter] = scales.find(([bound]) => value < bound) ?? [0n, 1_000_000_000_000n, 'T'];
  return `${String(value / divisor).padStart(8)}${letter}`;
}

/** A counter with all its digits, at least one blank before it and at least nine wide. */
export function exactNumber(value: bigint): string {
  const digits = String(value);
  return digits.padStart(Math.max(9, digits.length + 1));
}

/** printf's %-Ns. */
export function left(value: string | number | bigint, width: number): string {
  return String(value).padEnd(width);
}
