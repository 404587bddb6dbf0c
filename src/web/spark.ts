// SPDX-License-Identifier: Apache-2.0
// A plot without axes, as the path of an SVG of this size: one is in every row of a table, so it has to be cheap.
import type { Series } from './view.js';

export const sparkWidth = 120;
export const sparkHeight = 28;
/** Room for half of the line's width. */
const margin = 1.5;

export interface SparkPaths {
  readonly line: string;
  /** The line, and down to the ground. */
  readonly area: string;
}

/** `top`: what reaches to the upper edge; by default the largest value. */
export function sparkPaths(series: Series, top: number = largest(series)): SparkPaths {
  const height = sparkHeight - 2 * margin;
  const step = sparkWidth / Math.max(1, series.length - 1);
  const ground = sparkHeight - margin;
  let line = '';
  let area = '';
  let begin: number | undefined;
  series.forEach((value, at) => {
    const x = rounded(at * step);
    if (value !== null) {
      const y = rounded(ground - (top > 0 ? Math.min(1, value / top) * height : 0));
      area += begin === undefined ? `M${x} ${ground}L${x} ${y}` : `L${x} ${y}`;
      line += `${begin === undefined ? 'M' : 'L'}${x} ${y}`;
      begin ??= x;
    }
    const isEnd = value !== null && (at === series.length - 1 || series[at + 1] === null);
    if (isEnd) {
      area += `L${x} ${ground}Z`;
      // A single value is a dot.
      if (begin === x) line += `h0.01`;
      begin = undefined;
    }
  });
  return { line, area };
}

export function largest(series: Series): number {
  return series.reduce<number>((most, value) => Math.max(most, value ?? 0), 0);
}

const rounded = (value: number): number => Math.round(value * 10) / 10;
