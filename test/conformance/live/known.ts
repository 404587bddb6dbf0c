// SPDX-License-Identifier: Apache-2.0
// Differences between the kernel and Fulcrum that are no mistakes, each with its reason. Everything else fails the test.
import type { Difference } from '../compare.js';
import type { Scenario } from '../scenario.js';

interface Explanation {
  readonly reason: string;
  readonly applies: (scenario: Scenario, difference: Difference) => boolean;
}

const explanations: readonly Explanation[] = [];

/** Why this difference is none; undefined if nobody knows. */
export function explanation(scenario: Scenario, difference: Difference): string | undefined {
  return explanations.find(({ applies }) => applies(scenario, difference))?.reason;
}
