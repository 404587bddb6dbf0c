// SPDX-License-Identifier: Apache-2.0
// Passive health as it comes in requests, checked and in normal form.
import type { PassiveHealth__Output } from '../../generated/fulcrum/v1/PassiveHealth.js';
import { joinPath } from '../../grpc/errors.js';
import { durationText } from '../health/attempt.js';
import { invalid, readRange } from '../health/fields.js';
import type { ServiceKey } from '../nouns.js';

const leastWindowMs = 1_000;
const longestWindowMs = 600_000;
const usualWindowMs = 10_000;
const usualLeastConnections = 20;
const mostConnections = 1_000_000;
const leastEjectionMs = 1_000;
const longestEjectionMs = 86_400_000;
const usualEjectionMs = 30_000;
const usualMostEjectedPercent = 10;

/** Field names are those of the request below `path`. */
export function readPassiveHealth(
  given: PassiveHealth__Output,
  { protocol, fwmark }: ServiceKey,
  path: string,
): PassiveHealth__Output {
  if (fwmark === 0 && protocol !== 'PROTOCOL_TCP')
    throw invalid(path, 'only of TCP connections is it seen whether they are answered');
  const within = (field: string): string => joinPath(path, field);
  const percent = (value: number, unset: number, field: string): number =>
    readRange(value, unset, 0, 100, within(field));
  return {
    windowMs: readRange(given.windowMs, usualWindowMs, leastWindowMs, longestWindowMs, within('window_ms')),
    leastConnections: readRange(
      given.leastConnections,
      usualLeastConnections,
      1,
      mostConnections,
      within('least_connections'),
    ),
    unansweredPercent: percent(given.unansweredPercent, 0, 'unanswered_percent'),
    resetPercent: percent(given.resetPercent, 0, 'reset_percent'),
    ejectionMs: readRange(given.ejectionMs, usualEjectionMs, leastEjectionMs, longestEjectionMs, within('ejection_ms')),
    mostEjectedPercent: percent(given.mostEjectedPercent, usualMostEjectedPercent, 'most_ejected_percent'),
  };
}

export function windowText({ windowMs }: PassiveHealth__Output): string {
  return durationText(windowMs);
}
