// SPDX-License-Identifier: Apache-2.0
// Ports of this host that checks are made from, where it matters which.
import type { SourcePorts } from './prober.js';

/** In the order in which they are to be tried: from one of them around to the one before it. */
export function portsOf(range: SourcePorts | undefined): number[] {
  if (range === undefined) return [];
  const { first, count } = range;
  const start = Math.floor(Math.random() * count);
  return Array.from({ length: count }, (_, index) => first + ((start + index) % count));
}
