// SPDX-License-Identifier: Apache-2.0
// Line charts over the number of flows, as SVG.

export interface Series {
  readonly name: string;
  /** Flows, and what is plotted. */
  readonly points: readonly (readonly [number, number])[];
  readonly color: string;
  /** Not of this run. */
  readonly dashed?: boolean;
}

export interface Chart {
  readonly title: string;
  readonly unit: string;
  /** Where some series are many times others. */
  readonly logarithmic?: boolean;
  readonly series: readonly Series[];
}

const width = 860;
const height = 380;
const left = 64;
const right = 250;
const top = 44;
const bottom = 48;
const innerWidth = width - left - right;
const innerHeight = height - top - bottom;
const decades = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000];
const [leastFlows, mostFlows] = [1, 1_000_000];

/** "200 k", "1 M". */
export function flowsText(flows: number): string {
  if (flows >= 1_000_000) return `${flows / 1_000_000} M`;
  return flows >= 1_000 ? `${flows / 1_000} k` : String(flows);
}

const x = (flows: number): number =>
  left + (innerWidth * Math.log(flows / leastFlows)) / Math.log(mostFlows / leastFlows);

/** 1, 2 or 5 times a power of ten, so that there are four to ten lines. */
export function stepFor(greatest: number): number {
  const power = 10 ** Math.floor(Math.log10(greatest / 4));
  return power * ([1, 2, 5].findLast((factor) => factor * power <= greatest / 4) ?? 1);
}

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
const one = (value: number): string => value.toFixed(1);

interface Scale {
  readonly levels: readonly number[];
  readonly y: (value: number) => number;
}

export function linearScale(values: readonly number[]): Scale {
  const greatest = Math.max(...values) * 1.05;
  const step = stepFor(greatest);
  return {
    levels: Array.from({ length: Math.floor(greatest / step) + 1 }, (_, level) => level * step),
    y: (value) => top + innerHeight * (1 - value / greatest),
  };
}

export function logarithmicScale(values: readonly number[]): Scale {
  const [least, greatest] = [Math.min(...values) / 1.2, Math.max(...values) * 1.2];
  const powers = Array.from({ length: 12 }, (_, power) => 10 ** (power - 3));
  return {
    levels: powers.flatMap((power) => [power, 2 * power, 5 * power]).filter((at) => at >= least && at <= greatest),
    y: (value) => top + innerHeight * (1 - Math.log(value / least) / Math.log(greatest / least)),
  };
}

function axes(chart: Chart, { levels, y }: Scale): readonly string[] {
  return [
    `<text x="${left}" y="24" class="title">${escaped(chart.title)}</text>`,
    ...levels.flatMap((level) => [
      `<line x1="${left}" y1="${one(y(level))}" x2="${left + innerWidth}" y2="${one(y(level))}" class="grid"/>`,
      `<text x="${left - 8}" y="${one(y(level) + 4)}" text-anchor="end">${Number(level.toPrecision(6))}</text>`,
    ]),
    ...decades.map(
      (flows) =>
        `<text x="${one(x(flows))}" y="${top + innerHeight + 20}" text-anchor="middle">${flowsText(flows)}</text>`,
    ),
    `<text x="${left + innerWidth / 2}" y="${height - 8}" text-anchor="middle">flows</text>`,
    `<text x="16" y="${top + innerHeight / 2}" text-anchor="middle" transform="rotate(-90 16 ${top + innerHeight / 2})">${escaped(chart.unit)}</text>`,
  ];
}

function line({ points, color, dashed }: Series, y: (value: number) => number): readonly string[] {
  const places = points.map(([flows, value]) => [one(x(flows)), one(y(value))] as const);
  const path = places.map((place) => place.join(',')).join(' ');
  const dash = dashed ? ' stroke-dasharray="5 4"' : '';
  return [
    `<polyline points="${path}" fill="none" stroke="${color}" stroke-width="2"${dash}/>`,
    ...places.map(([cx, cy]) => `<circle cx="${cx}" cy="${cy}" r="3" fill="${color}"/>`),
  ];
}

function legend(series: readonly Series[]): readonly string[] {
  return series.flatMap(({ name, color, dashed }, number) => {
    const at = top + 12 + 20 * number;
    const begin = left + innerWidth + 16;
    const dash = dashed ? ' stroke-dasharray="5 4"' : '';
    return [
      `<line x1="${begin}" y1="${at}" x2="${begin + 24}" y2="${at}" stroke="${color}" stroke-width="2"${dash}/>`,
      `<text x="${begin + 32}" y="${at + 4}">${escaped(name)}</text>`,
    ];
  });
}

function chartBody(chart: Chart): readonly string[] {
  const drawn = chart.series.filter(({ points }) => points.length > 0);
  const values = drawn.flatMap(({ points }) => points.map(([, value]) => value));
  const scale = chart.logarithmic ? logarithmicScale(values) : linearScale(values);
  return [...axes(chart, scale), ...drawn.flatMap((series) => line(series, scale.y)), ...legend(drawn)];
}

/** One below the other. */
export function plot(charts: readonly Chart[]): string {
  const drawn = charts.filter(({ series }) => series.some(({ points }) => points.length > 0));
  const total = height * drawn.length;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${total}" width="${width}" height="${total}" font-family="sans-serif" font-size="12">`,
    '<style>text{fill:#24292f}.title{font-size:15px;font-weight:bold}.grid{stroke:#d0d7de}</style>',
    `<rect width="${width}" height="${total}" fill="#ffffff"/>`,
    ...drawn.flatMap((chart, number) => [
      `<g transform="translate(0 ${height * number})">`,
      ...chartBody(chart),
      '</g>',
    ]),
    '</svg>',
    '',
  ].join('\n');
}
