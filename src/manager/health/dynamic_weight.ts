// SPDX-License-Identifier: Apache-2.0
// Weights that commands ask for, combined as keepalived combines those of several checkers with misc_dynamic.

const greatestWeight = 2_147_483_647;

/** Each adds its difference to the configured weight; without any it is the configured one. */
export function dynamicWeight(configured: number, weights: readonly number[]): number {
  const sum = weights.reduce((total, weight) => total + weight - configured, configured);
  return Math.min(greatestWeight, Math.max(0, sum));
}
