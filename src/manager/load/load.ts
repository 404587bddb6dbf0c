// SPDX-License-Identifier: Apache-2.0
// What is known of a server by its load source: what an agent has said and not taken back, and the share of the wanted
// weight that is in force. A value; what becomes of it is the pool's rule.
import type { HealthPolicy__Output } from '../../generated/fulcrum/v1/HealthPolicy.js';
import type { LoadSource__Output } from '../../generated/fulcrum/v1/LoadSource.js';
import type { ServerHealth__Output } from '../../generated/fulcrum/v1/ServerHealth.js';
import type { Admin, AgentWords } from './agent_words.js';

export interface Load {
  /** Of what source: what one kind has said means nothing to another. */
  readonly kind: LoadKind;
  /** Of the wanted weight, a whole number. 0: no new connections. */
  readonly percent: number;
  readonly admin: Admin;
  /** Why the agent says that it is down; null: it does not. */
  readonly down: string | null;
  /** Instead of the wanted upper threshold; null: nothing was said of it. */
  readonly maxConnections: number | null;
  /** When admin and down became what they are; RFC 3339, empty before the agent has said anything of them. */
  readonly since: string;
  /** What the share came from, as it was said, and when (RFC 3339). Empty: nothing was read yet. */
  readonly reading: string;
  readonly readAt: string;
}

export type LoadKind = NonNullable<LoadSource__Output['kind']>;

/** The source that a server has: its own, or its service's. */
export function loadSource(
  server: { readonly health: ServerHealth__Output | null },
  policy: HealthPolicy__Output | null,
): LoadSource__Output | null {
  return policy === null ? null : (server.health?.load ?? policy.load ?? null);
}

/** Before anything was read. */
export function firstLoad(kind: LoadKind): Load {
  return { kind, percent: 100, admin: 'ready', down: null, maxConnections: null, since: '', reading: '', readAt: '' };
}

/** What was known, as far as it is of the same kind of source; undefined: nothing. */
export function keptLoad(known: Load | undefined, source: LoadSource__Output | null): Load | undefined {
  return known !== undefined && known.kind === source?.kind ? known : undefined;
}

/** What an agent said, but for its percentage: only what it names changes, so only the agent takes back what it said. */
export function afterWords(before: Load, words: AgentWords, now: string): Load {
  const admin = words.admin ?? before.admin;
  const down = words.health === undefined ? before.down : words.health === 'up' ? null : downReason(words);
  const isSame = admin === before.admin && (down === null) === (before.down === null);
  return {
    ...before,
    admin,
    down,
    maxConnections: words.maxConnections ?? before.maxConnections,
    since: isSame ? before.since : now,
  };
}

function downReason({ health, description }: AgentWords): string {
  return `agent: ${health}${description === '' ? '' : `: ${description}`}`;
}

/** Whether both have the same effect on the pool, whatever they were read from. */
export function isSameLoad(one: Load, other: Load): boolean {
  return (
    one.percent === other.percent &&
    one.admin === other.admin &&
    one.down === other.down &&
    one.maxConnections === other.maxConnections
  );
}
