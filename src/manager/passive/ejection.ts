// SPDX-License-Identifier: Apache-2.0
// Which servers of a pool are ejected for what clients meet there, and which come back. A value and a rule; the dataplane
// counts, the pool gives who is ejected weight 0.
import type { PassiveHealth__Output } from '../../generated/fulcrum/v1/PassiveHealth.js';
import { type Server, serverId } from '../nouns.js';
import { type Condition, isDrained, isLive } from '../pool.js';
import type { Signals } from './answers.js';
import { windowText } from './policy.js';

/** RFC 3339, UTC. */
export interface Ejection {
  readonly since: string;
  readonly until: string;
  /** "31 of 40 SYNs unanswered within 10 s". */
  readonly reason: string;
  /** How often in a row. */
  readonly times: number;
}

/** Who was ejected before, and may be again. */
export interface Past {
  readonly times: number;
  /** Milliseconds since 1970. */
  readonly returnedAt: number;
}

export interface EjectionChange {
  readonly server: Server;
  /** Null: it comes back. */
  readonly ejection: Ejection | null;
}

/** From then on it is out no longer than before. */
const mostTimes = 10;

export interface Seen {
  /** By serverId(). */
  readonly signals: ReadonlyMap<string, Signals>;
  readonly past: ReadonlyMap<string, Past>;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/** In normal form, see readPassiveHealth(). */
export function ejectionChanges(
  servers: ReadonlyMap<string, Server>,
  policy: PassiveHealth__Output,
  seen: Seen,
): readonly EjectionChange[] {
  const all = [...servers.values()];
  const returning = all.filter(
    ({ condition }) => condition?.ejection && Date.parse(condition.ejection.until) <= seen.now,
  );
  const out = all.filter((server) => server.condition?.ejection && !returning.includes(server)).length;
  const serving = all.filter((server) => isServing(server) || returning.includes(server)).length;
  const most = Math.max(1, Math.floor((all.length * policy.mostEjectedPercent) / 100));
  // Somebody has to be left.
  const room = Math.max(0, Math.min(most - out, serving - 1));
  const bad = all
    .filter(isServing)
    .map((server) => ({ server, ...verdict(seen.signals.get(serverId(server.key)), policy) }))
    .filter(({ reason }) => reason !== '')
    .toSorted((one, other) => other.percent - one.percent);
  return [
    ...returning.map((server) => ({ server, ejection: null })),
    ...bad.slice(0, room).map(({ server, reason }) => ({ server, ejection: ejectionOf(server, reason, policy, seen) })),
  ];
}

function isServing({ spec, drain, condition }: Server): boolean {
  return spec.weight > 0 && drain === null && condition !== null && mayServe(condition);
}

function mayServe(condition: Condition): boolean {
  return isLive(condition) && !isDrained(condition) && condition.ejection === undefined;
}

interface Verdict {
  /** Empty: nothing speaks against it. */
  readonly reason: string;
  readonly percent: number;
}

function verdict(signals: Signals | undefined, policy: PassiveHealth__Output): Verdict {
  const good = { reason: '', percent: 0 };
  if (signals === undefined || signals.opened < policy.leastConnections) return good;
  const { opened, unanswered, reset } = signals;
  const percentOf = (count: number): number => Math.min(100, (100 * count) / opened);
  const within = `within ${windowText(policy)}`;
  if (policy.unansweredPercent > 0 && percentOf(unanswered) >= policy.unansweredPercent)
    return { reason: `${unanswered} of ${opened} SYNs unanswered ${within}`, percent: percentOf(unanswered) };
  if (policy.resetPercent > 0 && percentOf(reset) >= policy.resetPercent)
    return { reason: `${reset} connections reset, ${opened} begun ${within}`, percent: percentOf(reset) };
  return good;
}

function ejectionOf({ key }: Server, reason: string, { ejectionMs }: PassiveHealth__Output, seen: Seen): Ejection {
  const past = seen.past.get(serverId(key));
  // Who behaved for as long as he had been out begins anew.
  const isAgain = past !== undefined && seen.now - past.returnedAt < past.times * ejectionMs;
  const times = isAgain ? Math.min(mostTimes, past.times + 1) : 1;
  const time = (at: number): string => new Date(at).toISOString();
  return { since: time(seen.now), until: time(seen.now + times * ejectionMs), reason, times };
}
