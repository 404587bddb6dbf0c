// SPDX-License-Identifier: Apache-2.0
// What clients' own connections say of the servers, as operators write it, "{ unanswered: 50 }": JSON Schema, the way to
// the API's message and back. Times are seconds here, milliseconds there.
import type { PassiveHealth__Output } from '../generated/fulcrum/v1/PassiveHealth.js';
import type { ServiceKey__Output } from '../generated/fulcrum/v1/ServiceKey.js';
import type { Attempt, Path } from './document.js';
import { time, toMilliseconds } from './health_check.js';
import { KeyError } from './keys.js';

export type PassiveEntry = {
  readonly window?: number;
  readonly least_connections?: number;
  /** Percent, as those below. */
  readonly unanswered?: number;
  readonly reset?: number;
  readonly ejection?: number;
  readonly most_ejected?: number;
};

const percent = (least: number, description: string) => ({
  type: 'integer',
  minimum: least,
  maximum: 100,
  description,
});

export const passiveSchema = {
  type: 'object',
  additionalProperties: false,
  description: "NAT servers are judged by clients' own TCP connections; left out: they are not",
  properties: {
    window: time({ least: 1, most: 600 }, 'seconds that shares are taken of; left out: 10'),
    least_connections: {
      type: 'integer',
      minimum: 1,
      maximum: 1_000_000,
      description: 'fewer connections within the window say nothing; left out: 20',
    },
    unanswered: percent(
      0,
      'a server is ejected at this percentage of SYNs without an answer; left out: never for that',
    ),
    reset: percent(0, 'a server is ejected at this percentage of connections that it resets; left out: never for that'),
    ejection: time({ least: 1, most: 86_400 }, 'seconds of the first ejection; left out: 30'),
    most_ejected: percent(1, 'at most this percentage of the servers is ejected at a time; left out: 10'),
  },
};

export function toPassive(
  entry: PassiveEntry,
  { protocol, fwmark }: ServiceKey__Output,
  path: Path,
  attempt: Attempt,
): PassiveHealth__Output {
  attempt(path, () => {
    if (fwmark === 0 && protocol !== 'PROTOCOL_TCP')
      throw new KeyError('only of TCP connections is it seen whether they are answered');
  });
  const milliseconds = (option: 'window' | 'ejection'): number =>
    attempt([...path, option], () => toMilliseconds(entry[option])) ?? 0;
  return {
    windowMs: milliseconds('window'),
    leastConnections: entry.least_connections ?? 0,
    unansweredPercent: entry.unanswered ?? 0,
    resetPercent: entry.reset ?? 0,
    ejectionMs: milliseconds('ejection'),
    mostEjectedPercent: entry.most_ejected ?? 0,
  };
}

/** The entry that toPassive would read back to the same; what is left to defaults is left out. */
export function passiveEntry(passive: PassiveHealth__Output): PassiveEntry {
  return {
    ...(passive.windowMs !== 0 && { window: passive.windowMs / 1000 }),
    ...(passive.leastConnections !== 0 && { least_connections: passive.leastConnections }),
    ...(passive.unansweredPercent !== 0 && { unanswered: passive.unansweredPercent }),
    ...(passive.resetPercent !== 0 && { reset: passive.resetPercent }),
    ...(passive.ejectionMs !== 0 && { ejection: passive.ejectionMs / 1000 }),
    ...(passive.mostEjectedPercent !== 0 && { most_ejected: passive.mostEjectedPercent }),
  };
}
