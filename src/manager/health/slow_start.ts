// SPDX-License-Identifier: Apache-2.0
// A server that comes back gets its weight little by little.
import type { HealthPolicy__Output } from '../../generated/fulcrum/v1/HealthPolicy.js';
import { type Condition, isLive } from '../pool.js';

/** Of equal length, and of an equal part of the weight. */
export const slowStartSteps = 10;

/** With the share that it begins with when it comes back. Who has had to prove himself first (alpha) does not come back. */
export function withShare(before: Condition, after: Condition, { slowStartMs }: HealthPolicy__Output): Condition {
  if (!isLive(after)) return { ...after, share: 100 };
  const isReturn = before.ejection !== undefined && after.ejection === undefined;
  const comesBack = isReturn || (!isLive(before) && (before.checked || before.up));
  return comesBack && slowStartMs > 0 ? { ...after, share: 100 / slowStartSteps } : after;
}
