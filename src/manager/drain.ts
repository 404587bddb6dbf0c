// SPDX-License-Identifier: Apache-2.0
// The drain of a real server as a value: since when, until when, and what then. Times are those of the wall clock, so that
// neither a restart of the manager nor one of the machine makes it longer.
import type { Drain__Output } from '../generated/fulcrum/v1/Drain.js';
import type { DrainEnd__Output } from '../generated/fulcrum/v1/DrainEnd.js';
import { joinPath, quote } from '../grpc/errors.js';
import { invalid } from './validate.js';

export interface Drain {
  readonly atEnd: DrainEnd__Output;
  /** RFC 3339, UTC, as all these. Empty: it ends when no connection is left, and not before. */
  readonly deadline: string;
  readonly since: string;
  /** Empty while it goes on. */
  readonly ended: string;
}

const rfc3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/i;

/** Field names are those of the request below `path`; `now` in milliseconds since the epoch. */
export function readDrain(given: Drain__Output, now: number, path: string): Drain {
  if (typeof given.atEnd === 'number') throw invalid(joinPath(path, 'at_end'), `${given.atEnd} is not a known value`);
  if (given.timeoutMs !== 0 && given.deadline !== '')
    throw invalid(joinPath(path, 'deadline'), 'timeout_ms is given already');
  const deadline =
    given.timeoutMs !== 0
      ? new Date(now + given.timeoutMs).toISOString()
      : readTime(given.deadline, joinPath(path, 'deadline'));
  return {
    atEnd: given.atEnd === 'DRAIN_END_UNSPECIFIED' ? 'DRAIN_END_KEEP' : given.atEnd,
    deadline,
    since: readTime(given.since, joinPath(path, 'since')) || new Date(now).toISOString(),
    ended: readTime(given.ended, joinPath(path, 'ended')),
  };
}

function readTime(text: string, field: string): string {
  if (text === '') return '';
  const time = rfc3339.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(time)) throw invalid(field, `${quote(text)} is not a time such as "2026-05-01T12:00:00Z"`);
  return new Date(time).toISOString();
}

/** It still goes on. */
export function isDraining(drain: Drain | null | undefined): drain is Drain {
  return drain != null && drain.ended === '';
}

export function drainMessage(drain: Drain): Drain__Output {
  return { ...drain, timeoutMs: 0 };
}

const fates: Readonly<Record<DrainEnd__Output, string>> = {
  DRAIN_END_UNSPECIFIED: 'kept',
  DRAIN_END_KEEP: 'kept',
  DRAIN_END_RESET: 'what is left is reset',
  DRAIN_END_REMOVE: 'removed',
};

/** "until 2026-05-01T12:00:00.000Z or no connection is left, then removed". */
export function drainText({ atEnd, deadline, ended }: Drain): string {
  if (ended !== '') return 'its drain has ended';
  const until = deadline === '' ? 'until no connection is left' : `until ${deadline} or no connection is left`;
  return `${until}, then ${fates[atEnd]}`;
}
