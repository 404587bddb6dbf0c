// SPDX-License-Identifier: Apache-2.0
// Reads a LoadSource of the API into what the load monitor goes by: who says it, how often, and what is made of it.
import type { LoadSource__Output } from '../../generated/fulcrum/v1/LoadSource.js';
import { FulcrumError, joinPath } from '../../grpc/errors.js';
import { invalid, readRange } from '../health/fields.js';
import { readPlace } from '../health/prepare.js';
import { prepareAgent } from './agent.js';
import { largestPercent } from './agent_words.js';
import type { LoadKind } from './load.js';
import { prepareNumber } from './number.js';
import { prepareOrca } from './orca.js';
import type { Scale, Shaping } from './shaping.js';
import type { Ask, Listen } from './source.js';

const leastIntervalMs = 100;
const longestIntervalMs = 86_400_000;
const leastTimeoutMs = 10;
const longestTimeoutMs = 3_600_000;

interface Defaults {
  readonly intervalMs: number;
  readonly smoothingMs: number;
  readonly least: number;
  readonly greatest: number;
  readonly deadBand: number;
  readonly expiryMs: number;
}

/** What an agent says is an order, and taken as it is; what others say is a measurement. */
const agentDefaults: Defaults = {
  intervalMs: 2000,
  smoothingMs: 0,
  least: 0,
  greatest: largestPercent,
  deadBand: 0,
  expiryMs: 0,
};
const numberDefaults: Defaults = {
  intervalMs: 2000,
  smoothingMs: 10_000,
  least: 10,
  greatest: 100,
  deadBand: 5,
  expiryMs: 180_000,
};
const defaults: Readonly<Record<LoadKind, Defaults>> = {
  agent: agentDefaults,
  number: numberDefaults,
  orca: { ...numberDefaults, intervalMs: 10_000 },
};

/** A source as the load monitor asks it. */
export interface PreparedLoad {
  /** Sources with the same key are the same. */
  readonly key: string;
  readonly kind: LoadKind;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly shaping: Shaping;
  readonly scale: Scale;
  /** 0: never. */
  readonly expiryMs: number;
  /** Instead of the target's own. */
  readonly place: ReturnType<typeof readPlace>;
  readonly how: { readonly ask: Ask } | { readonly listen: Listen };
}

/** Throws a FulcrumError that names the field below `path` ("health.load"). Reads the files that are named. */
export function prepareLoad(source: LoadSource__Output, path: string): PreparedLoad {
  const { kind } = source;
  if (kind === undefined) throw invalid(path, 'must have a kind: agent, orca or number');
  const initial = defaults[kind];
  const within = (field: string): string => joinPath(path, field);
  const optional = (value: number | undefined, unset: number, most: number, field: string): number =>
    readRange(value ?? unset, 0, 0, most, within(field));
  const intervalMs = readRange(
    source.intervalMs,
    initial.intervalMs,
    leastIntervalMs,
    longestIntervalMs,
    within('interval_ms'),
  );
  const usualTimeoutMs = Math.min(longestTimeoutMs, intervalMs);
  const timeoutMs = readRange(source.timeoutMs, usualTimeoutMs, leastTimeoutMs, longestTimeoutMs, within('timeout_ms'));
  const shaping: Shaping = {
    least: optional(source.leastPercent, initial.least, largestPercent, 'least_percent'),
    greatest: optional(source.greatestPercent, initial.greatest, largestPercent, 'greatest_percent'),
    halfLifeMs: optional(source.smoothingMs, initial.smoothingMs, longestTimeoutMs, 'smoothing_ms'),
    deadBand: optional(source.deadBandPercent, initial.deadBand, 100, 'dead_band_percent'),
  };
  if (shaping.least > shaping.greatest) {
    const message = `${shaping.least} is more than greatest_percent, which is ${shaping.greatest}`;
    throw invalid(within('least_percent'), message);
  }
  if (shaping.greatest === 0) throw invalid(within('greatest_percent'), 'with 0 the server would never serve');
  return {
    key: JSON.stringify(source),
    kind,
    intervalMs,
    timeoutMs,
    shaping,
    scale: readScale(source, path),
    expiryMs: optional(source.expiryMs, initial.expiryMs, longestIntervalMs, 'expiry_ms'),
    place: readPlace(source, path),
    how: prepareKind(source, intervalMs, timeoutMs, path),
  };
}

function readScale({ kind, idle, busy }: LoadSource__Output, path: string): Scale {
  const scale = { idle: idle ?? 0, busy: busy ?? 1 };
  for (const [field, value] of [['idle', idle] as const, ['busy', busy] as const]) {
    if (value === undefined) continue;
    if (kind === 'agent') throw invalid(joinPath(path, field), 'an agent says by itself what share it wants');
    if (!Number.isFinite(value)) throw outOfRange(joinPath(path, field), `${value} is not a number`);
  }
  if (scale.idle === scale.busy) throw invalid(joinPath(path, 'busy'), `${scale.busy} is idle, too`);
  return scale;
}

function outOfRange(field: string, message: string): FulcrumError {
  return new FulcrumError({ reason: 'REASON_OUT_OF_RANGE', field, message });
}

function prepareKind(
  source: LoadSource__Output,
  intervalMs: number,
  timeoutMs: number,
  path: string,
): PreparedLoad['how'] {
  if (source.agent) {
    if (source.port === 0) throw invalid(joinPath(path, 'port'), 'must be given: an agent has a port of its own');
    return { ask: prepareAgent(source.agent) };
  }
  if (source.number) return { ask: prepareNumber(source.number, joinPath(path, 'number')) };
  if (source.orca) return { listen: prepareOrca(source.orca, intervalMs, timeoutMs, joinPath(path, 'orca')) };
  throw invalid(path, 'must have a kind: agent, orca or number');
}
