// SPDX-License-Identifier: Apache-2.0
// From readings to the share that is brought into force, so that weights follow the load and do not swing with it:
// bounded, smoothed by a half-life, and at rest while it stays within a dead band.

/** All in per cent of the wanted weight, times in milliseconds. */
export interface Shaping {
  readonly least: number;
  readonly greatest: number;
  /** 0: no smoothing. */
  readonly halfLifeMs: number;
  readonly deadBand: number;
}

/** Readings that stand for the greatest and the least share; idle may be above busy, where more is better. */
export interface Scale {
  readonly idle: number;
  readonly busy: number;
}

export interface Share {
  /** Smoothed, not rounded; null before the first reading, which counts as it is. */
  readonly smooth: number | null;
  /** In force: a whole number. */
  readonly inForce: number;
  /**
   * It has left the dead band, and is followed until it has come to rest. In steps as wide as the dead band, a server
   * whose load answers to its weight would be led past the place where both agree, and back again, for ever.
   */
  readonly isMoving: boolean;
}

/** The share that a reading stands for. */
export function shareOf(reading: number, { idle, busy }: Scale, { least, greatest }: Shaping): number {
  const busyness = Math.min(1, Math.max(0, (reading - idle) / (busy - idle)));
  return greatest - busyness * (greatest - least);
}

/** A share that was asked for in so many words. None at all is no small share: 0 is what drains, whatever is the least. */
export function bounded(percent: number, { least, greatest }: Shaping): number {
  return percent === 0 ? 0 : Math.min(greatest, Math.max(least, percent));
}

/** After another reading, so long after the one before. */
export function nextShare(before: Share, target: number, elapsedMs: number, shaping: Shaping): Share {
  const smooth = smoothed(before.smooth, target, elapsedMs, shaping.halfLifeMs);
  const whole = smooth > 0 ? Math.max(1, Math.round(smooth)) : 0;
  const isMoving = before.isMoving || startsMoving(before.inForce, whole, target, shaping);
  const isThere = Math.abs(target - smooth) <= shaping.deadBand / 2;
  return { smooth, inForce: isMoving ? whole : before.inForce, isMoving: isMoving && !isThere };
}

/** To 0 and from it there is no way in little steps: who asks for nothing is to get nothing. */
function smoothed(before: number | null, target: number, elapsedMs: number, halfLifeMs: number): number {
  if (before === null || before === 0 || target === 0 || halfLifeMs === 0) return target;
  return target + (before - target) * 2 ** (-elapsedMs / halfLifeMs);
}

/** The ends are reached in spite of the dead band, or a server that has long been idle would never get all of its weight. */
function startsMoving(inForce: number, whole: number, target: number, { least, greatest, deadBand }: Shaping): boolean {
  const isAtEnd = (whole === least || whole === greatest) && Math.round(target) === whole;
  return isAtEnd || (whole === 0) !== (inForce === 0) || Math.abs(whole - inForce) >= deadBand;
}
